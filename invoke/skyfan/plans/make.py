"""Makes a plan file from criteria or from paths, and records the query in it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from skyfan_contract.headers import Header
from skyfan_contract.products import product_type

from .. import concurrency, files, inputs
from .. import progress as progressing
from ..errors import InputError, UsageError
from ..events import OnProgress, ignore
from ..storage import uris
from . import bucket, headers, select, tiers
from . import plan as plans
from .cache import Cache
from .criteria import Criteria, product_types
from .detections import with_detections
from .limits import ArchiveLimits
from .plan import Plan

_RECORDED_PATHS = 100


@dataclass(frozen=True)
class PlanOptions:
    """How files are found.

    >>> PlanOptions(access="requester-pays", limit=100).huge
    False
    """

    access: str = "anonymous"
    """How S3 paths are read: anonymous, signed or requester-pays."""
    limit: int | None = None
    """Maximum number of observations."""
    huge: bool = False
    """Allows more than 50,000 observations."""
    proprietary: bool = False
    """Keeps files that are not public."""
    refresh: bool = False
    """Ignores the cached answers of the archive."""
    read_headers: bool = False
    """Reads the headers of objects, too; those of local files are always read."""
    detect: str | None = None
    """What other images' sources are measured: "total" for the deepest of each visit, or the URI of one."""


@progressing.shown
def plan(
    paths: inputs.Paths = (),
    out: str | Path | None = None,
    *,
    resume: str | Path | None = None,
    csv: str | Path | None = None,
    options: PlanOptions | None = None,
    progress: OnProgress = ignore,
    **criteria: Any,
) -> Plan:
    """Plans the files that `paths` name, or those that `criteria` match in MAST, into the plan file `out`.

    `out` defaults to plan.parquet. With `resume`, a plan file, only its unresolved files are looked up again,
    and `out` defaults to the same file. `criteria` are the fields of skyfan.plans.criteria.Criteria:
    plan(instrument=("WFC3/IR",), filters=("F160W",)). Of them, `products` select from `paths`, too; other
    files are dropped. `csv` gets the same rows as text. Raises UsageError for what cannot be planned,
    UnansweredError when MAST cannot be reached. Files for which it did not answer are dropped as unresolved.

    >>> plan("images/*.fits")
    <Plan: plan.parquet: 2 files, 927 kB; 0 dropped>
    """
    paths, options = inputs.as_paths(paths), options or PlanOptions()
    access, limit, proprietary = options.access, options.limit, options.proprietary
    if resume and (paths or criteria or limit or proprietary):
        raise UsageError(f"--resume {resume} takes paths and criteria from that plan: give no others")
    products = criteria.pop("products", ()) if paths else ()
    if paths and criteria:
        raise UsageError(
            "say what to plan: either criteria, such as --instrument and --proposal, or PATHS, not both"
        )
    query = None if paths or resume else Criteria.of(**criteria)
    if (paths or (query and query.sector)) and (limit or proprietary):
        raise UsageError("--limit and --proprietary are about observations in MAST, not PATHS or --sector")
    out = out or resume or "plan.parquet"
    for file in (out, csv):
        if file:
            files.require_folder(Path(file))
    limits = ArchiveLimits.from_environment()
    about: dict[str, Any] = {"made": datetime.now(UTC).isoformat(timespec="seconds")}
    about["skyfan"] = version("skyfan")
    if resume:
        table, old = resumed(resume, limits, access=access, refresh=options.refresh, progress=progress)
        about = {"query": {}} | old | about
    elif query and query.sector:
        table = full_frames(query, limits, progress)
        about["query"] = query.about()
    elif query:
        from . import archive  # astroquery, which paths do not need

        with Cache(refresh=options.refresh) as cache:
            table = archive.rows(
                query,
                limits,
                cache,
                limit=limit,
                huge=options.huge,
                proprietary=proprietary,
                progress=progress,
            )
        about["query"] = query.about()
        about["query"] |= {
            name: value for name, value in (("limit", limit), ("proprietary", proprietary)) if value
        }
    else:
        wanted = product_types(products)
        table = rows(paths, limits, wanted, access=access, progress=progress)
        about["query"] = {"paths": paths[:_RECORDED_PATHS]} | ({"products": sorted(wanted)} if wanted else {})
    read_headers = options.read_headers or about["query"].get("read_headers", False)
    if read_headers:
        about["query"]["read_headers"] = True
    table = with_headers(table, limits, access, progress, reads_objects=read_headers)
    detect = options.detect or about["query"].get("detect")
    if detect:
        about["query"]["detect"] = detect
        table, about["detect"] = with_detections(table, detect)
        table = _sized_detection(table, limits, access)
    result = plans.write(out, table, about)
    if csv:
        with files.replace(Path(csv)) as part:
            files.write_csv(result.table(), part)
    return result


def _sized_detection(table: pa.Table, limits: ArchiveLimits, access: str) -> pa.Table:
    """Rows with the size of a detection image that is in no row. Raises InputError if it does not exist."""
    unknown = table.filter(pc.and_(pc.is_valid(table["detect"]), pc.is_null(table["detect_size"])))
    known = set(table["uri"].to_pylist())
    for uri in sorted(set(unknown["detect"].to_pylist()) - known):
        (row,) = _sized([uri], limits, access, ignore).to_pylist()
        if row["dropped"] is not None:
            raise InputError(f"the detection image {uri}: {row['detail'] or row['dropped']}")
        sizes = pc.if_else(pc.equal(table["detect"], uri), row["size"], table["detect_size"])
        table = table.set_column(table.schema.get_field_index("detect_size"), "detect_size", sizes)
    return table


def resumed(
    path: str | Path,
    limits: ArchiveLimits,
    *,
    access: str = "anonymous",
    refresh: bool = False,
    progress: OnProgress = ignore,
) -> tuple[pa.Table, dict[str, Any]]:
    """The rows of a plan file, of which the unresolved ones are looked up again; and what it records.

    Raises InputError if the file is no plan.
    """
    plan = plans.read(path)
    table = plan.table()
    is_unresolved = pc.fill_null(pc.equal(table["dropped"], plans.UNRESOLVED), False)
    unresolved, others = table.filter(is_unresolved), table.filter(pc.invert(is_unresolved))
    if not len(unresolved):
        return table, plan.about
    query = plan.about.get("query") or {}
    if "products" in query and "paths" not in query:
        from . import archive

        wanted = select.Wanted(
            frozenset(query["products"]), query.get("provenance", "any"), query.get("proprietary", False)
        )
        planned = others.filter(pc.is_null(others["dropped"]))["uri"].to_pylist()
        with Cache(refresh=refresh) as cache:
            retried = archive.resumed(unresolved, planned, wanted, limits, cache, progress)
    else:
        retried = _sized(unresolved["uri"].to_pylist(), limits, access, progress)
    return plans.complete([others, retried]), plan.about


def full_frames(criteria: Criteria, limits: ArchiveLimits, progress: OnProgress = ignore) -> pa.Table:
    """The rows of a plan for TESS's full-frame images of a sector, from listings of the bucket.

    Raises InputError if there are none, UnansweredError if a listing fails.
    """
    chosen = (criteria.camera or r"\d", criteria.ccd or r"\d")
    chip = re.compile("{}-{}".format(*chosen)).fullmatch
    listing = bucket.full_frames(
        criteria.sector or 0, lambda folder: bool(chip(folder)), limits,
        lambda done, days: progress("days", done, days),
    )  # fmt: skip
    sizes: dict[str, int] = concurrency.run(listing)
    by_chip: dict[str, list[str]] = {}
    for key in sorted(sizes):  # by day, then by the time in the name
        if product_type(key) in criteria.product_types:
            by_chip.setdefault(f"{key.split('/')[-2]} {product_type(key)}", []).append(key)
    if not by_chip:
        raise InputError(f"no such full-frame image of TESS sector {criteria.sector} in s3://{limits.bucket}")
    files: list[select.File] = []
    observations: list[dict[str, Any]] = []
    for row, (name, keys) in enumerate(sorted(by_chip.items())):
        folder, _, product = name.partition(" ")
        observations.append(
            {
                "obs_id": f"tess-s{criteria.sector:04}-{folder}",  # as MAST calls them
                "obs_collection": "TESS",
                "instrument_name": "Photometer",
                "filters": "TESS",
                "target_name": "TESS FFI",
            }
        )
        for key in keys[:: criteria.every]:
            uri = f"s3://{limits.bucket}/{key}"
            files.append(select.File(row, None, product, sizes[key], uri=uri))
    select.set_tiers(files)
    return select.table(files, plans.complete([pa.Table.from_pylist(observations)]))


def with_headers(
    table: pa.Table, limits: ArchiveLimits, access: str, progress: OnProgress = ignore, *, reads_objects: bool
) -> pa.Table:
    """Rows with what the headers of local files say, and with `reads_objects` of those in buckets.

    Fills unknown columns, and sets the tier by the pixels of the largest plane. Objects whose headers are not
    available are unresolved.
    """
    table = plans.complete([table])
    if reads_objects or pc.any(pc.starts_with(table["uri"], "file:")).as_py():
        rows = table.to_pylist()
        todo = {row["uri"]: row for row in rows if row["dropped"] is None and row["pixels"] is None}
        found: dict[str, Header | None] = {}
        errors: dict[str, str] = {}
        objects = [uri for uri in todo if uris.local_path(uri) is None]
        for uri in todo:
            if path := uris.local_path(uri):
                found[uri] = headers.local(path)
                progress("headers", len(found), len(todo) if reads_objects else len(todo) - len(objects))
        if reads_objects:
            before = len(found)
            reading = headers.remote(
                objects, limits, access, lambda done: progress("headers", before + done, len(todo))
            )
            more, errors = concurrency.run(reading)
            found |= more
        for uri, header in found.items():
            if header:
                _fill(todo[uri], header)
        for uri, error in errors.items():
            todo[uri].update(dropped=plans.UNRESOLVED, detail=error, tier=None)
        table = pa.Table.from_pylist(rows, plans.SCHEMA)
    return table


def _fill(row: dict[str, Any], header: Header) -> None:
    row |= {name: value for name, value in header.columns.items() if row[name] is None}
    row["pixels"] = header.pixels
    row["tier"] = tiers.tier(row["uri"], row["size"], pixels=header.pixels)
    if row["tier"] is None:
        row.update(dropped="too big", detail=f"{header.pixels:,} pixels")


def rows(
    paths: Iterable[str],
    limits: ArchiveLimits,
    wanted: frozenset[str] = frozenset(),
    *,
    access: str = "anonymous",
    progress: OnProgress = ignore,
) -> pa.Table:
    """The rows of a plan for all inputs that `paths` name (see inputs.expand), with the known columns.

    Drops missing files, and those whose names end in no `wanted` product type, if there are any. Objects that
    S3 refuses or no client can read are unresolved. Raises InputError for a path without any input.
    """
    return _sized(inputs.expand(paths, access=access, checked=False), limits, access, progress, wanted)


def _sized(
    inputs_: Iterable[str],
    limits: ArchiveLimits,
    access: str,
    progress: OnProgress,
    wanted: frozenset[str] = frozenset(),
) -> pa.Table:
    files = [select.File(-1, None, product_type(uri), uri=uri) for uri in inputs_]
    for file in files:
        if wanted and file.product not in wanted:
            file.drop("wrong type", f"its name ends in {file.product or 'no product type'}")
    planned = select.kept(files)
    remote: dict[str, select.File] = {}
    keys: dict[str, str] = {}
    for file in planned:
        try:
            other = keys.setdefault(uris.key(str(file.uri)), str(file.uri))
        except InputError as error:
            file.drop(plans.UNRESOLVED, str(error))
            continue
        if other != file.uri:
            file.drop("duplicate", inputs.same_key(str(file.uri), other))
        elif local := uris.local_path(str(file.uri)):
            try:
                file.size = local.stat().st_size
            except OSError as error:
                file.drop("missing", error.strerror)
        else:
            remote[str(file.uri)] = file
    before = len(planned) - len(remote)
    sizes = bucket.statuses(
        remote, limits, lambda done: progress("sizes", before + done, len(planned)), access=access
    )
    statuses, errors = concurrency.run(sizes)
    for uri, file in remote.items():
        if uri in errors:
            file.drop(plans.UNRESOLVED, errors[uri])
        elif (size := statuses[uri].size) is None:
            file.drop("missing", "no such object")
        else:
            file.size = size
    select.set_tiers(planned)
    return select.table(files)
