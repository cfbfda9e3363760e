"""skyfan plan as a user runs it: real astroquery and obstore, a stand-in for MAST and its bucket."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from astroquery.mast.discovery_portal import PortalAPI
from click.testing import CliRunner, Result
from standins.mast import LEFT_OUT, Mast
from standins.processes import SKYFAN
from standins.sky import NAMES, Sky

from skyfan.cli import main
from skyfan.errors import UsageError
from skyfan.plans import archive, plan
from skyfan.plans.cache import Cache
from skyfan.plans.criteria import Criteria
from skyfan.plans.limits import ArchiveLimits, UnansweredError

START = [sys.executable, "-c", "from skyfan.cli import main; main(prog_name='skyfan')"]
Skyfan = Callable[..., subprocess.CompletedProcess[str]]
Here = Callable[..., Result]


@pytest.fixture
def mast() -> Iterator[Mast]:
    """120 observations; three each are proprietary, unknown to path_lookup, missing, and duplicates."""
    with Mast(Sky(120, odd=True)) as mast:
        yield mast


@pytest.fixture
def quick(mast: Mast, monkeypatch: pytest.MonkeyPatch) -> ArchiveLimits:
    """The default limits with short delays."""
    for name, value in mast.environment.items():
        monkeypatch.setenv(name, value)
    return replace(ArchiveLimits.from_environment(), first_delay=0.01, longest_delay=0.05)


@pytest.fixture
def skyfan(mast: Mast, tmp_path: Path) -> Skyfan:
    def call(*words: str | Path) -> subprocess.CompletedProcess[str]:
        command = [*START, *map(str, words)]
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=environment(mast, tmp_path),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return call


@pytest.fixture
def here(quick: ArchiveLimits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    """The command in this process, with short delays and few attempts."""
    limits = replace(quick, attempts=2)
    monkeypatch.setattr(ArchiveLimits, "from_environment", lambda: limits)
    # Asking for the stack takes seconds where there are no credentials.
    monkeypatch.setattr("skyfan.api.bills.forecast", lambda *_, **options: (None, []))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])


def environment(mast: Mast, folder: Path) -> dict[str, str]:
    paths = {"PYTHONPATH": SKYFAN, "XDG_CACHE_HOME": str(folder / "cache")}
    return {**os.environ, **mast.environment, **paths}


def rows(limits: ArchiveLimits, folder: Path, **fields: Any) -> Any:
    options = {name: fields.pop(name) for name in ("limit", "huge", "proprietary") if name in fields}
    with Cache(folder / "cache") as cache:
        return archive.rows(Criteria.of(**fields), limits, cache, **options)


def reasons(table: Any) -> dict[str | None, int]:
    """Number of files by the reason for which they are dropped; None for those that are kept."""
    return {item["values"]: item["counts"] for item in table["dropped"].value_counts().to_pylist()}


WFC3 = {"instrument": "WFC3/IR"}
EXPECTED = {None: 108, "proprietary": 3, "not in the cloud": 6, "duplicate": 3}


@pytest.mark.slow
def test_a_plan_from_the_command_line(skyfan: Skyfan, tmp_path: Path) -> None:
    done = skyfan("plan", "--instrument", "WFC3/IR", "--csv", "plan.csv", "--footprints", "sky.svg")
    assert done.returncode == 0, done.stderr
    for fact in (
        "108 files, 1.4 GB",
        "6 dropped: not in the cloud",
        "3 dropped: duplicate",
        "3 dropped: prop",
    ):
        assert fact in done.stdout
    assert "USD" in done.stdout
    written = plan.read(tmp_path / "plan.parquet")
    assert written.files == len(list(written)) == 108
    assert {item.uri.split("/")[2] for item in written} == {"stpubdata"}
    assert len((tmp_path / "plan.csv").read_text().splitlines()) == 121
    assert "<svg" in (tmp_path / "sky.svg").read_text()


@pytest.mark.slow
def test_json_is_one_document(skyfan: Skyfan) -> None:
    done = skyfan("plan", "--proposal", "11001", "--filter", "F160W", "--filter", "F105W", "--json")
    document = json.loads(done.stdout)
    assert document["files"] == sum(group["files"] for group in document["groups"]) > 0
    assert {group["filters"] for group in document["groups"]} == {"F160W", "F105W"}
    assert document["query"]["proposal"] == ["11001"]
    assert document["estimate"]["files"] == document["files"]
    assert document["unresolved"] == []


@pytest.mark.slow  # a process each, with all of astroquery
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "HST"),
        (["--product", "FLT"], "HST"),
        (["a.fits", "--filter", "F160W"], "PATHS"),
        (["--target", "NOWHERE"], "no observation"),
        (["--where", "filtre=F160W"], "'filtre'"),
        (["--where", "s_ra=10"], "s_ra"),
        (["--around", "Nowhere at all"], "'Nowhere at all'"),
        (["--target", "X", "--to", "no/such/plan.parquet"], "no/such"),
        (["--mission", "GALEX", "--target", "X"], "'GALEX'"),
        (["nope.fits"], "nope.fits"),
    ],
)
def test_wrong_use_exits_with_2_and_names_the_problem(skyfan: Skyfan, options: list[str], words: str) -> None:
    done = skyfan("plan", *options)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout


def test_resume_asks_again_for_the_unresolved_files_only(here: Here, mast: Mast, tmp_path: Path) -> None:
    one, other = (f"mast:HST/product/{mast.sky.product(n)}" for n in (5, 6))
    mast.entries = {one: [{"status_code": 500, "path": None}] * 99, other: [LEFT_OUT]}
    done = here("plan", "--proposal", "11000", "--limit", "8", "--json")
    document = json.loads(done.stdout)
    assert done.exit_code == 1
    (unresolved,) = document["unresolved"]
    assert unresolved["input"] == one
    assert "500" in unresolved["detail"]
    mast.entries = {}
    mast.looked_up.clear()
    done = here("plan", "--resume", "plan.parquet", "--json")
    again = json.loads(done.stdout)
    assert done.exit_code == 0, done.stderr
    assert again["files"] == document["files"] + 1
    assert (again["unresolved"], again["query"]) == ([], document["query"])
    assert mast.looked_up == {one: 1}
    assert plan.read(tmp_path / "plan.parquet").files == again["files"]


@pytest.mark.parametrize("words", [["--mission", "JWST"], ["--provenance", "hap"], ["--sector", "1"]])
def test_paths_take_no_criteria_that_would_be_ignored(here: Here, words: list[str]) -> None:
    done = here("plan", "a.fits", *words)
    assert done.exit_code == 2
    assert "PATHS" in done.stderr


@pytest.mark.parametrize("words", [["a.fits"], ["--limit", "3"], ["--target", "X"], ["--mission", "JWST"]])
def test_resume_takes_nothing_else(here: Here, words: list[str]) -> None:
    done = here("plan", "--resume", "plan.parquet", *words)
    assert done.exit_code == 2
    assert "--resume plan.parquet" in done.stderr


@pytest.mark.slow
def test_an_unresolved_file_exits_with_1_and_the_plan_has_the_rest(
    skyfan: Skyfan, mast: Mast, tmp_path: Path
) -> None:
    mast.poison = {f"mast:HST/product/{mast.sky.product(5)}"}
    with Cache(tmp_path / "cache" / "skyfan" / "mast") as cache:  # all others are cached
        known = {f"mast:HST/product/{mast.sky.product(n)}": "" for n in range(60) if n != 5}
        cache.put(f"cloud path {mast.url}", known, 60)
    done = skyfan("plan", "--where", "proposal_id=11000", "--limit", "8")
    assert done.returncode == 1
    assert "1 dropped: unresolved" in done.stdout
    assert "path_lookup: 500" in done.stdout
    assert plan.read(tmp_path / "plan.parquet").about["dropped"]["unresolved"] == 1


def test_mast_receives_the_criteria(
    mast: Mast, quick: ArchiveLimits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = mast.sky.observation(0)
    monkeypatch.setitem(NAMES, "m101", (first["s_ra"], first["s_dec"]))
    rows(
        quick,
        tmp_path,
        instrument="WFC3*",
        exptime="500..900",
        dates="2009-06-01..2010-06-01",
        radius="20d",
        around="M101",
    )
    lookup, count, query = mast.asked
    assert (lookup["service"], lookup["params"]["input"]) == ("Mast.Name.Lookup", "M101")
    assert count["service"] == query["service"] == "Mast.Caom.Filtered.Position"
    assert (count["params"]["columns"], query["params"]["columns"]) == ("COUNT_BIG(*)", "*")
    ra, dec, radius = (float(word) for word in query["params"]["position"].split(","))
    assert (ra, dec, radius) == pytest.approx((first["s_ra"], first["s_dec"], 20))
    filters = {item["paramName"]: item for item in query["params"]["filters"]}
    assert filters["instrument_name"]["freeText"] == "WFC3%"
    assert filters["t_exptime"]["values"] == [{"min": 500.0, "max": 900.0}]
    assert filters["t_min"]["values"] == [{"min": 54983.0, "max": 55349.0}]
    assert filters["obs_collection"]["values"] == ["HST"]


def test_each_file_is_kept_or_dropped_with_a_reason(mast: Mast, quick: ArchiveLimits, tmp_path: Path) -> None:
    mast.executing = 2
    table = rows(quick, tmp_path, **WFC3)
    assert reasons(table) == EXPECTED
    for uri, size in zip(table["uri"].to_pylist(), table["size"].to_pylist(), strict=True):
        if size is not None:
            assert size == mast.sky.size(uri.removeprefix("s3://stpubdata/"))
    assert mast.counts["invoke"] == 4  # the count, the observations, and twice "still executing"


def test_nothing_is_lost_when_one_request_in_twenty_fails(
    mast: Mast, quick: ArchiveLimits, tmp_path: Path
) -> None:
    smooth = rows(quick, tmp_path / "smooth", products="FLT", **WFC3)
    assert reasons(smooth)[None] > 400
    mast.errors = 0.05
    assert rows(quick, tmp_path / "rough", products="FLT", **WFC3).equals(smooth)
    assert mast.counts["errors"] > 0


def test_the_cache_answers_the_second_time(mast: Mast, quick: ArchiveLimits, tmp_path: Path) -> None:
    first = rows(quick, tmp_path, **WFC3)
    mast.counts.clear()
    assert rows(quick, tmp_path, **WFC3).equals(first)
    # That three files have no place and three are not in the bucket is asked again: it may change.
    assert (mast.counts["invoke"], mast.counts["lookup"], mast.counts["head"]) == (0, 1, 3)
    assert mast.counts["list"] == 0


def test_a_page_or_an_empty_count_is_no_answer(
    mast: Mast, quick: ArchiveLimits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PortalAPI, "_column_configs", {})
    mast.pages = Counter(invoke=1, columns=1, lookup=2)
    mast.count_rows = [[], [{"Column1": None}]]
    assert reasons(rows(quick, tmp_path, **WFC3)) == EXPECTED
    assert mast.counts["cloud paths"] == mast.counts["lookup"] - 2


@pytest.mark.parametrize("kind", ["invoke", "columns"])
def test_the_service_s_own_words_are_shown(
    mast: Mast, quick: ArchiveLimits, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PortalAPI, "_column_configs", {})
    mast.pages = Counter({kind: 100})
    with pytest.raises(UnansweredError, match="Scheduled maintenance"):
        rows(replace(quick, attempts=2), tmp_path, **WFC3)
    assert mast.counts[kind] == 2
    mast.pages, mast.count_rows = Counter(), [[{"Column1": None}]] * 2
    with pytest.raises(UnansweredError, match="None"):
        rows(replace(quick, attempts=2), tmp_path, **WFC3)


def test_products_of_no_observation_leave_theirs_unresolved(
    mast: Mast, quick: ArchiveLimits, tmp_path: Path
) -> None:
    mast.orphans = 1
    whole = rows(quick, tmp_path / "once", products="FLT", **WFC3)
    assert reasons(whole)[None] > 400
    mast.orphans = 1000
    table = rows(replace(quick, attempts=2), tmp_path / "always", products="FLT", **WFC3)
    assert reasons(table) == {"proprietary": 3, "unresolved": 117}
    assert "parent_obsid is 0" in table["detail"].to_pylist()[-1]


def test_product_types_add_up(mast: Mast, quick: ArchiveLimits, tmp_path: Path) -> None:
    mast.sky = Sky(9)
    counts = [
        reasons(rows(quick, tmp_path, products=products, provenance="any", **WFC3))[None]
        for products in (("DRZ",), ("FLT",), ("DRZ", "FLT"))
    ]
    assert counts == [9, 36, 45]


def test_open_ends_of_ranges_are_open(mast: Mast, quick: ArchiveLimits, tmp_path: Path) -> None:
    south = sum(mast.sky.observation(number)["s_dec"] <= 5 for number in range(120))
    assert len(rows(quick, tmp_path, where="s_dec=..5")) == south
    assert len(rows(quick, tmp_path, where="obsid=24000100..")) == 20
    assert len(rows(quick, tmp_path, where=("obsid=24000100,24000101", "calib_level=3"))) == 2
    with pytest.raises(UsageError, match="proposal_id"):
        rows(quick, tmp_path, where="proposal_id=11000..")


def test_one_bad_uri_costs_only_itself(mast: Mast, quick: ArchiveLimits, tmp_path: Path) -> None:
    bad = f"mast:HST/product/{mast.sky.product(5)}"
    mast.poison = {bad}
    table = rows(quick, tmp_path, **WFC3)
    assert reasons(table) == EXPECTED | {None: 107, "unresolved": 1}
    (unresolved,) = [row for row in table.to_pylist() if row["dropped"] == "unresolved"]
    assert unresolved["dataURI"] == bad
    mast.poison = set()
    assert reasons(rows(quick, tmp_path, **WFC3)) == EXPECTED


@pytest.mark.parametrize(
    "kind", ["lookup", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("list", "head"))]
)
def test_when_a_service_is_down_its_files_are_unresolved(
    mast: Mast, quick: ArchiveLimits, tmp_path: Path, kind: str
) -> None:
    mast.down = {kind} if kind == "lookup" else {"list", "head"}
    counts = reasons(rows(replace(quick, attempts=2), tmp_path, **WFC3, limit=20))
    assert counts["unresolved"] >= 17
    assert sum(counts.values()) == 20


def test_without_observations_there_is_no_plan(mast: Mast, quick: ArchiveLimits, tmp_path: Path) -> None:
    mast.down = {"invoke"}
    with pytest.raises(UnansweredError, match="503"):
        rows(replace(quick, attempts=2), tmp_path, **WFC3)


def test_requests_are_repeated_after_a_time_out(mast: Mast, quick: ArchiveLimits, tmp_path: Path) -> None:
    mast.hangs = 3
    limits = replace(quick, query_seconds=0.3, lookup_seconds=0.3)
    assert reasons(rows(limits, tmp_path, **WFC3)) == EXPECTED


def test_requests_at_once_stay_within_the_limits(mast: Mast, quick: ArchiveLimits, tmp_path: Path) -> None:
    mast.latency = 0.01
    rows(replace(quick, lookups=2, objects=3, queries=1), tmp_path, products="FLT", **WFC3)
    assert mast.most_at_once["lookup"] <= 2
    assert mast.most_at_once["list"] + mast.most_at_once["head"] <= 2 * 3


def test_a_huge_query_needs_permission(
    quick: ArchiveLimits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_OBSERVATIONS", 100)
    with pytest.raises(UsageError, match="120 observations"):
        rows(quick, tmp_path, **WFC3)
    assert sum(reasons(rows(quick, tmp_path, **WFC3, limit=7)).values()) == 7
    assert sum(reasons(rows(quick, tmp_path, **WFC3, huge=True)).values()) == 120


def test_pages_are_joined(quick: ArchiveLimits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skyfan.plans.mast.PAGE", 50)
    table = rows(quick, tmp_path, **WFC3)
    assert reasons(table) == EXPECTED
    assert len(set(table["obs_id"].to_pylist())) == 120


@pytest.mark.slow
def test_paths_get_sizes_and_missing_files_are_dropped(skyfan: Skyfan, mast: Mast, tmp_path: Path) -> None:
    key = str(mast.sky.path(f"mast:HST/product/{mast.sky.product(1)}"))
    (tmp_path / "list.txt").write_text(f"s3://stpubdata{key}\ns3://stpubdata/hst/public/none.fits\n")
    (tmp_path / "local.fits").write_bytes(b"x" * 2880)
    done = skyfan("plan", "@list.txt", "local.fits", "s3://stpubdata/hst/public/i000/i00000010/", "--json")
    document = json.loads(done.stdout)
    assert (document["files"], document["unsized"]) == (1 + 1 + 30, 0)
    assert [(drop["reason"], drop["files"]) for drop in document["dropped"]] == [("missing", 1)]


def frames(sector: int = 1) -> dict[str, bytes]:
    """A day and a half of a TESS sector: 30 cadences of two cameras and two CCDs, three files each."""
    name = "tess/public/ffi/s{0:04}/2018/{1}/{2}/tess2018{1}{3:06}-s{0:04}-{2}-0120-s_{4}.fits"
    return {
        name.format(sector, 206 + n // 20, chip, n, kind): b"x" * 2880
        for n in range(30)
        for chip in ("1-1", "1-2", "2-1", "2-2")
        for kind in ("ffic", "ffir", "cbv")
    }


@pytest.mark.parametrize(
    ("options", "files"),
    [
        ([], 120),
        (["--camera", "1", "--ccd", "2"], 30),
        (["--ccd", "2", "--every", "10"], 6),
        (["--camera", "2", "--product", "FFIC", "--product", "ffir"], 120),
        (["--every", "1000", "--read-headers"], 4),
    ],
)
def test_full_frames_of_tess_come_from_listings(
    here: Here, mast: Mast, tmp_path: Path, options: list[str], files: int
) -> None:
    mast.objects = frames() | frames(11)
    done = here("plan", "--mission", "TESS", "--sector", 1, *options, "--json")
    assert done.exit_code == 0, done.stderr
    rows = plan.read(tmp_path / "plan.parquet").table().to_pylist()
    assert json.loads(done.stdout)["files"] == len(rows) == files
    kinds = {"FFIC", "FFIR"} if "ffir" in options else {"FFIC"}
    assert {row["product"] for row in rows} == kinds
    assert {row["obs_collection"] for row in rows} == {"TESS"}
    assert all("/s0001/" in row["uri"] and row["size"] == 2880 for row in rows)
    for row in rows:
        assert f"/{row['obs_id'].removeprefix('tess-s0001-')}/" in row["uri"]
    if "10" in options:
        assert sorted(row["uri"].rsplit("/", 1)[-1][11:17] for row in rows)[::2] == [
            "000000",
            "000010",
            "000020",
        ]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--mission", "TESS", "--sector", "2"], 2, "sector 2"),
        (["--mission", "TESS", "--camera", "2"], 2, "--sector"),
        (["--sector", "1"], 2, "--mission TESS"),
        (["--mission", "TESS", "--sector", "1", "--product", "LC"], 2, "sequence_number=1"),
        (["--mission", "TESS", "--sector", "1", "--dates", "2018-01-01.."], 2, "dates"),
        (["--mission", "TESS", "--sector", "1", "--limit", "3"], 2, "--limit"),
    ],
)
def test_what_is_no_plan_of_a_sector_is_said(
    here: Here, mast: Mast, options: list[str], code: int, words: str
) -> None:
    mast.objects = frames()
    done = here("plan", *options)
    assert done.exit_code == code
    assert words in done.stderr


def test_product_types_select_from_paths_prefixes_and_patterns(
    here: Here, mast: Mast, tmp_path: Path
) -> None:
    mast.objects = frames()
    (tmp_path / "a_flt.fits").write_bytes(b"x")
    (tmp_path / "a_drz.fits").write_bytes(b"x")
    day = "s3://stpubdata/tess/public/ffi/s0001/2018/206/"
    counts = {}
    for words in (["*.fits"], [day], [f"{day}*_ffi?.fits"], [f"{day}1-1/*_ffic.fits", "a_flt.fits"]):
        found = []
        for types in ((), ("FFIC",), ("FFIC", "FLT")):
            options = [word for name in types for word in ("--product", name)]
            document = json.loads(here("plan", *words, *options, "--json").stdout)
            dropped = {drop["reason"]: drop["files"] for drop in document["dropped"]}
            assert set(dropped) <= {"wrong type"}
            found.append((document["files"], sum(dropped.values())))
        counts[words[0]] = found
    assert counts == {
        "*.fits": [(2, 0), (0, 2), (1, 1)],
        day: [(240, 0), (80, 160), (80, 160)],
        f"{day}*_ffi?.fits": [(160, 0), (80, 80), (80, 80)],
        f"{day}1-1/*_ffic.fits": [(21, 0), (20, 1), (21, 0)],
    }


def test_headers_say_what_files_are(here: Here, mast: Mast, tmp_path: Path, demo_data: Path) -> None:
    content = (demo_data / "ib6o23rsq_flt.fits").read_bytes()
    mast.objects = {
        "x/a_flt.fits": content,
        "x/b_flt.fits": b"no FITS",
        "x/c_flt.fits.gz": gzip.compress(content),
    }
    (tmp_path / "l_flt.fits").write_bytes(content)
    said = {"instrument_name": "WFC3/IR", "filters": "G141", "pixels": 102_400, "proposal_id": "11359"}
    nothing = dict.fromkeys(said)
    for options, expected in (([], nothing), (["--read-headers"], said)):
        done = here("plan", "l_flt.fits", "s3://stpubdata/x/", *options)
        assert done.exit_code == 0, done.stderr
        rows = plan.read(tmp_path / "plan.parquet").table().to_pylist()
        found = {row["uri"].rsplit("/", 1)[-1]: {name: row[name] for name in said} for row in rows}
        assert found == {
            "l_flt.fits": said,
            "a_flt.fits": expected,
            "b_flt.fits": nothing,
            "c_flt.fits.gz": expected,
        }
        assert (mast.counts["bytes"] > 0) == bool(options)


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "RequestTimeTooSkewed"])
def test_refused_keys_are_no_missing_file(
    here: Here, mast: Mast, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    mast.refusal = code
    done = here("plan", "s3://stpubdata/hst/public/a.fits", "--access", "signed")
    assert done.exit_code == 2
    assert code in done.stderr
    mast.refusal = "AccessDenied"
    done = here("plan", "s3://stpubdata/hst/public/a.fits", "--access", "signed", "--json")
    (unresolved,) = json.loads(done.stdout)["unresolved"]
    assert (done.exit_code, "permission" in unresolved["detail"]) == (1, True)


@pytest.mark.slow
def test_after_kill_9_the_same_command_continues(tmp_path: Path) -> None:
    with Mast(Sky(3000), latency=0.05) as mast:
        words = [*START, "plan", "--instrument", "WFC3/IR", "--to", "plan.parquet"]
        options: dict[str, Any] = {"cwd": tmp_path, "env": environment(mast, tmp_path)}
        process = subprocess.Popen(words, **options, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while mast.counts["list"] < 30 and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "plan.parquet").exists()
        before = mast.counts.copy()
        done = subprocess.run(words, **options, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert plan.read(tmp_path / "plan.parquet").files == 3000
        assert mast.counts["invoke"] == before["invoke"]
        assert mast.counts["lookup"] == before["lookup"]
        # Pages in flight at the kill are requested again.
        assert mast.counts["list"] < before["list"] + 94 - 30 + 2 * ArchiveLimits.objects
