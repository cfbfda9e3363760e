"""Plans balance, over generated archives: each row of a query is planned, dropped or unresolved."""

import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standins.mast import LEFT_OUT, Mast
from standins.sky import BUCKET, Sky

from skyfan.plans import archive, plan
from skyfan.plans.cache import Cache
from skyfan.plans.criteria import Criteria
from skyfan.plans.limits import ArchiveLimits

FIRST = 5_000
NO_ANSWERS = [{"status_code": 500, "path": None}, {"status_code": 200, "path": None}, {}, None, LEFT_OUT]
TYPES = ("DRZ", "FLT", "FLC", "RAW", "FFIC", "FFIR")
PIPELINES = ("CALWF3", None, "HAP-SVM", "HAP-MVM")


@dataclass
class Made:
    """A product of a generated archive."""

    kind: str
    pipeline: str | None
    rights: str | None
    size: Any
    has_uri: bool
    lookup: str
    """found, unknown, or never: no usable answer."""
    refusals: list[Any]
    """What path_lookup says first, if it gives an answer later."""
    object: str
    """there, missing or denied."""
    name: str = ""

    @property
    def uri(self) -> str | None:
        return f"mast:HST/product/{self.name}" if self.has_uri else None


@dataclass
class Seen:
    """An observation of a generated archive; its main file is one of its products, or none."""

    pipeline: str | None
    rights: str
    level: int
    products: list[Made]
    main: int
    number: int = 0

    @property
    def main_product(self) -> Made | None:
        return self.products[self.main] if self.main < len(self.products) else None


@dataclass
class Generated:
    """What the stand-in asks of an archive, from generated observations. See standins.sky.Sky."""

    seen: list[Seen]
    by_uri: dict[str, Made] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for number, one in enumerate(self.seen):
            one.number = number
            if main := one.main_product:
                main.pipeline, main.rights = one.pipeline, one.rights
            for at, product in enumerate(one.products):
                product.name = f"i{number:03}{at:02}_{product.kind.lower()}.fits"
                if product.uri:
                    self.by_uri[product.uri] = product

    def matching(self, filters: list[dict[str, Any]], position: str | None) -> list[int]:
        return list(range(len(self.seen)))

    def observation(self, number: int) -> dict[str, Any]:
        one = self.seen[number]
        return {
            "obsid": str(FIRST + number),
            "obs_id": f"o{number}",
            "obs_collection": "HST",
            "dataURL": one.main_product.uri if one.main_product else None,
            "dataRights": one.rights,
            "calib_level": one.level,
            "provenance_name": one.pipeline,
            "target_name": "T",
        }

    def products(self, obsids: list[str]) -> list[dict[str, Any]]:
        return [
            {
                "obsID": obsid,
                "parent_obsid": obsid,
                "dataURI": product.uri,
                "productSubGroupDescription": product.kind,
                "provenance_name": product.pipeline,
                "size": product.size,
                "dataRights": product.rights,
            }
            for obsid in obsids
            for product in self.seen[int(obsid) - FIRST].products
        ]

    def path(self, uri: str) -> str | None:
        product = self.by_uri[uri]
        return None if product.lookup == "unknown" else f"/hst/public/{product.name}"

    def size(self, key: str) -> int | None:
        product = self.by_uri[f"mast:HST/product/{key.rsplit('/', 1)[-1]}"]
        return None if product.object == "missing" else 2880

    def is_hidden(self, key: str) -> bool:
        return self.by_uri[f"mast:HST/product/{key.rsplit('/', 1)[-1]}"].object == "denied"

    def keys(self, prefix: str, after: str, most: int) -> tuple[list[tuple[str, int]], bool]:
        names = sorted(
            p.name for p in self.by_uri.values() if p.lookup != "unknown" and p.object != "missing"
        )
        keys = [f"hst/public/{name}" for name in names]
        found = [(key, 2880) for key in keys if key.startswith(prefix) and key > after]
        return found[:most], len(found) > most


MADE = st.builds(
    Made,
    st.sampled_from(TYPES),
    st.sampled_from(PIPELINES),
    st.sampled_from(["PUBLIC", "PUBLIC", None, "EXCLUSIVE_ACCESS"]),
    st.sampled_from([2880, "N/A", None, ""]),
    st.sampled_from([True, True, True, False]),
    st.sampled_from(["found", "found", "unknown", "never"]),
    st.lists(st.sampled_from(NO_ANSWERS), max_size=2),
    st.sampled_from(["there", "there", "missing", "denied"]),
)
SEEN = st.builds(
    Seen,
    st.sampled_from(PIPELINES),
    st.sampled_from(["PUBLIC", "PUBLIC", "PUBLIC", "EXCLUSIVE_ACCESS"]),
    st.sampled_from([1, 2, 3]),
    st.lists(MADE, max_size=4),
    st.integers(0, 4),
)


@dataclass
class Query:
    """What is asked of the archive."""

    products: tuple[str, ...]
    provenance: str

    @property
    def types(self) -> set[str]:
        return set(self.products or ("DRZ", "DRC"))

    def admits(self, pipeline: str | None) -> bool:
        own = {"HAP-SVM": "hap", "HAP-MVM": "mvm"}.get(str(pipeline), "pipeline")
        return self.provenance in ("any", own)

    def asks(self, one: Seen) -> list[str | None]:
        """The dataURIs of the rows that this observation has to have; None for a row without a file."""
        main = one.main_product
        is_final = not self.admits(one.pipeline) or one.rights != "PUBLIC"
        is_final |= one.level < 2 and self.types <= {"DRZ", "DRC", "FLT", "FLC"}
        if is_final:
            return [main.uri if main else None]
        one_image = not self.products or self.products in {("DRZ",), ("FFIC",)}
        if one_image and main and main.uri and main.kind in self.types:
            return [main.uri]
        return [product.uri for product in one.products if product.kind in self.types] or [None]


QUERY = st.builds(
    Query,
    st.sampled_from([(), ("DRZ",), ("FLT",), ("DRZ", "FLT"), ("FFIC",), ("FFIC", "RAW")]),
    st.sampled_from(["pipeline", "pipeline", "hap", "mvm", "any"]),
)


@pytest.fixture(scope="module")
def mast() -> Iterator[Mast]:
    with Mast(Sky(0)) as mast:
        yield mast


@pytest.fixture(scope="module")
def limits(mast: Mast) -> Iterator[ArchiveLimits]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in mast.environment.items():
            patch.setenv(name, value)
        limits = ArchiveLimits.from_environment()
        yield replace(limits, attempts=3, first_delay=0.0, longest_delay=0.0)


def balance(mast: Mast, limits: ArchiveLimits, seen: list[Seen], query: Query, *, orphans: bool) -> None:
    """Plans the archive while it leaves out answers, then resumes when it answers all."""
    sky = Generated(seen)
    mast.sky, mast._matching = sky, {}
    never = {uri for uri, product in sky.by_uri.items() if product.lookup == "never"}
    mast.entries = {
        uri: NO_ANSWERS * 9 if uri in never else list(product.refusals) for uri, product in sky.by_uri.items()
    }
    mast.orphans = 10**6 if orphans else 0
    criteria = Criteria(target=("T",), products=query.products, provenance=query.provenance)
    wanted = archive.Wanted(criteria.product_types, query.provenance)
    with tempfile.TemporaryDirectory() as name, Cache(Path(name)) as cache:
        table = archive.rows(criteria, limits, cache)
        mast.entries, mast.orphans = {}, 0
        is_open = pc.fill_null(pc.equal(table["dropped"], plan.UNRESOLVED), False)
        unresolved, others = table.filter(is_open), table.filter(pc.invert(is_open))
        kept = others.filter(pc.is_null(others["dropped"]))
        planned = kept["uri"].to_pylist()
        resumed = archive.resumed(unresolved, planned, wanted, limits, cache)
        resumed = pa.concat_tables([others, resumed])
        fresh = archive.rows(criteria, limits, cache)

    asked = [(one.number, uri) for one in seen for uri in query.asks(one)]
    for rows in (resumed, fresh):
        assert Counter(entries(rows)) == Counter(asked)
        assert plan.UNRESOLVED not in rows["dropped"].to_pylist()
    if not orphans:
        assert Counter(entries(table)) == Counter(asked)
    assert outcomes(resumed) == outcomes(fresh)

    for row in table.to_pylist():
        product = sky.by_uri.get(row["dataURI"])
        if row["dropped"] is None:
            assert product
            assert (row["product"], product.lookup, product.object) == (product.kind, "found", "there")
            assert product.kind in query.types
            assert query.admits(product.pipeline)
            assert row["uri"] == f"s3://{BUCKET}/hst/public/{product.name}"
        elif row["dropped"] == plan.UNRESOLVED:
            assert row["dataURI"] in never or (orphans and row["dataURI"] is None)
            assert "path_lookup answered" in row["detail"] or "parent_obsid is 0" in row["detail"]
        else:
            assert row["dropped"] in plan.DROPS
            assert row["detail"]
    mains = {uri for _, uri in asked}
    there = {
        product.uri
        for product in sky.by_uri.values()
        if product.uri in mains and product.object == "there" and product.lookup != "unknown"
        and product.rights in {"PUBLIC", None} and query.admits(product.pipeline)
    }  # fmt: skip
    finals = {row["dataURI"] for row in fresh.to_pylist() if row["dropped"] is None}
    lost = there - finals
    # A main file that was not chosen from a list has the rights and the pipeline of its observation.
    assert not {uri for uri in lost if not is_final(seen, query, uri)}


def is_final(seen: list[Seen], query: Query, uri: str | None) -> bool:
    """Whether the observation of a file was dropped as a whole."""
    one = next(one for one in seen if any(product.uri == uri for product in one.products))
    calibrated = query.types <= {"DRZ", "DRC", "FLT", "FLC"}
    return not query.admits(one.pipeline) or one.rights != "PUBLIC" or (one.level < 2 and calibrated)


def entries(table: pa.Table) -> list[tuple[int, str | None]]:
    rows = zip(table["obsid"].to_pylist(), table["dataURI"].to_pylist(), strict=True)
    return [(int(obsid) - FIRST, uri) for obsid, uri in rows]


def outcomes(table: pa.Table) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(row[name] for name in ("obsid", "dataURI", "uri", "size", "dropped"))
                   for row in table.to_pylist())  # fmt: skip


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seen=st.lists(SEEN, min_size=1, max_size=6), query=QUERY, orphans=st.booleans())
def test_plans_balance(
    mast: Mast, limits: ArchiveLimits, seen: list[Seen], query: Query, orphans: bool
) -> None:
    balance(mast, limits, seen, query, orphans=orphans)


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seen=st.lists(SEEN, min_size=1, max_size=12), query=QUERY, orphans=st.booleans())
def test_many_plans_balance(
    mast: Mast, limits: ArchiveLimits, seen: list[Seen], query: Query, orphans: bool
) -> None:
    balance(mast, limits, seen, query, orphans=orphans)
