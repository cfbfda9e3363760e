"""skyfan plan as a user runs it: real astroquery and obstore, a stand-in for MAST and its bucket."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from standins.mast import Mast
from standins.sky import NAMES, Sky

from skyfan.plans import archive, plan
from skyfan.plans.cache import Cache
from skyfan.plans.criteria import Criteria
from skyfan.plans.limits import Limits, UnansweredError

REPO = Path(__file__).parents[2]
START = [sys.executable, "-c", "from skyfan.cli import main; main(prog_name='skyfan')"]
Skyfan = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def mast() -> Iterator[Mast]:
    """120 observations, of which three each are proprietary, unknown to path_lookup, missing and doubled."""
    with Mast(Sky(120, odd=True)) as mast:
        yield mast


@pytest.fixture
def quick(mast: Mast, monkeypatch: pytest.MonkeyPatch) -> Limits:
    """The usual limits but for the pauses."""
    for name, value in mast.environment.items():
        monkeypatch.setenv(name, value)
    return replace(Limits.of_environment(), pause=0.01, longest=0.05)


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


def environment(mast: Mast, folder: Path) -> dict[str, str]:
    paths = {"PYTHONPATH": str(REPO / "invoke"), "XDG_CACHE_HOME": str(folder / "cache")}
    return {**os.environ, **mast.environment, **paths}


def rows(limits: Limits, folder: Path, **fields: Any) -> Any:
    options = {name: fields.pop(name) for name in ("limit", "huge", "proprietary") if name in fields}
    with Cache(folder / "cache") as cache:
        return archive.rows(Criteria.of(**fields), limits, cache, **options)


def fates(table: Any) -> dict[str | None, int]:
    return {item["values"]: item["counts"] for item in table["dropped"].value_counts().to_pylist()}


WFC3 = {"instrument": "WFC3/IR"}
EXPECTED = {None: 108, "proprietary": 3, "not in the cloud": 6, "duplicate": 3}


def test_a_plan_from_the_command_line(skyfan: Skyfan, tmp_path: Path) -> None:
    done = skyfan("plan", "--instrument", "WFC3/IR", "--csv", "plan.csv", "--footprints", "sky.png")
    assert done.returncode == 0, done.stderr
    assert "108 files, 1.4 GB; 0 need the large function" in done.stdout
    assert "6 dropped: not in the cloud, MAST has it, the public bucket does not" in done.stdout
    assert "3 dropped: duplicate" in done.stdout
    assert "3 dropped: proprietary, not public yet" in done.stdout
    assert "On Lambda: " in done.stdout
    assert "observations: 120 to ask for" in done.stderr
    made = plan.read(tmp_path / "plan.parquet")
    assert made.files == len(list(made)) == 108
    assert {item.uri.split("/")[2] for item in made} == {"stpubdata"}
    assert len((tmp_path / "plan.csv").read_text().splitlines()) == 121
    assert (tmp_path / "sky.png").read_bytes().startswith(b"\x89PNG")


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
    ("words", "told"),
    [
        ([], "all of HST is too much"),
        (["--product", "FLT"], "all of HST is too much"),
        (["a.fits", "--filter", "F160W"], "not both"),
        (["--target", "NOWHERE"], "no observation in MAST matches"),
        (["--where", "filtre=F160W"], "Filter 'filtre' does not exist. Did you mean 'filters'?"),
        (["--where", "s_ra=10"], "s_ra is continuous"),
        (["--around", "Nowhere at all"], "nor a name that MAST knows"),
        (["--target", "X", "--out", "no/such/plan.parquet"], "there is no folder"),
        (["--mission", "GALEX", "--target", "X"], "'GALEX'"),
        (["nope.fits"], "nope.fits does not exist"),
    ],
)
def test_wrong_use_is_2_and_says_why(skyfan: Skyfan, words: list[str], told: str) -> None:
    done = skyfan("plan", *words)
    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout


@pytest.mark.slow
def test_what_mast_does_not_answer_is_1_and_the_rest_is_written(
    skyfan: Skyfan, mast: Mast, tmp_path: Path
) -> None:
    mast.poison = {f"mast:HST/product/{mast.sky.product(5)}"}
    with Cache(tmp_path / "cache" / "skyfan" / "mast") as cache:  # all but the bad one is known
        known = {f"mast:HST/product/{mast.sky.product(n)}": "" for n in range(60) if n != 5}
        cache.put(f"path {mast.url}", known, 60)
    done = skyfan("plan", "--where", "proposal_id=11000", "--limit", "8")
    assert done.returncode == 1
    assert "1 dropped: unresolved" in done.stdout
    assert "path_lookup: 500" in done.stdout
    assert plan.read(tmp_path / "plan.parquet").about["dropped"]["unresolved"] == 1


def test_the_criteria_are_what_mast_is_asked_for(
    mast: Mast, quick: Limits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    asked = {item["paramName"]: item for item in query["params"]["filters"]}
    assert asked["instrument_name"]["freeText"] == "WFC3%"
    assert asked["t_exptime"]["values"] == [{"min": 500.0, "max": 900.0}]
    assert asked["t_min"]["values"] == [{"min": 54983.0, "max": 55349.0}]
    assert asked["obs_collection"]["values"] == ["HST"]


def test_each_file_has_its_fate(mast: Mast, quick: Limits, tmp_path: Path) -> None:
    mast.executing = 2
    table = rows(quick, tmp_path, **WFC3)
    assert fates(table) == EXPECTED
    for uri, size in zip(table["uri"].to_pylist(), table["size"].to_pylist(), strict=True):
        if size is not None:
            assert size == mast.sky.size(uri.removeprefix("s3://stpubdata/"))
    assert mast.counts["invoke"] == 4  # the count, the observations, and twice "still executing"


def test_nothing_is_lost_when_one_request_in_twenty_fails(mast: Mast, quick: Limits, tmp_path: Path) -> None:
    smooth = rows(quick, tmp_path / "smooth", products="FLT", **WFC3)
    assert fates(smooth)[None] > 400
    mast.errors = 0.05
    assert rows(quick, tmp_path / "rough", products="FLT", **WFC3).equals(smooth)
    assert mast.counts["errors"] > 0


def test_the_cache_answers_the_second_time(mast: Mast, quick: Limits, tmp_path: Path) -> None:
    first = rows(quick, tmp_path, **WFC3)
    mast.counts.clear()
    assert rows(quick, tmp_path, **WFC3).equals(first)
    assert not mast.counts


def test_one_bad_uri_costs_only_itself(mast: Mast, quick: Limits, tmp_path: Path) -> None:
    bad = f"mast:HST/product/{mast.sky.product(5)}"
    mast.poison = {bad}
    table = rows(quick, tmp_path, **WFC3)
    assert fates(table) == EXPECTED | {None: 107, "unresolved": 1}
    (lost,) = [row for row in table.to_pylist() if row["dropped"] == "unresolved"]
    assert lost["dataURI"] == bad
    mast.poison = set()
    assert fates(rows(quick, tmp_path, **WFC3)) == EXPECTED


@pytest.mark.parametrize(
    "kind", ["lookup", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("list", "head"))]
)
def test_a_service_that_is_down_leaves_a_plan_and_a_list(
    mast: Mast, quick: Limits, tmp_path: Path, kind: str
) -> None:
    mast.down = {kind} if kind == "lookup" else {"list", "head"}
    told = fates(rows(replace(quick, tries=2), tmp_path, **WFC3, limit=20))
    assert told["unresolved"] >= 17
    assert sum(told.values()) == 20


def test_a_database_that_is_down_is_told(mast: Mast, quick: Limits, tmp_path: Path) -> None:
    mast.down = {"invoke"}
    with pytest.raises(UnansweredError, match="503"):
        rows(replace(quick, tries=2), tmp_path, **WFC3)


def test_a_server_that_hangs_is_asked_again(mast: Mast, quick: Limits, tmp_path: Path) -> None:
    mast.hangs = 3
    limits = replace(quick, query_seconds=0.3, lookup_seconds=0.3)
    assert fates(rows(limits, tmp_path, **WFC3)) == EXPECTED


def test_no_more_at_once_than_the_limits_say(mast: Mast, quick: Limits, tmp_path: Path) -> None:
    mast.latency = 0.01
    rows(replace(quick, lookups=2, objects=3, queries=1), tmp_path, products="FLT", **WFC3)
    assert mast.most_at_once["lookup"] <= 2
    assert mast.most_at_once["list"] + mast.most_at_once["head"] <= 2 * 3


def test_a_huge_query_is_announced_and_refused(
    quick: Limits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "HUGE", 100)
    with pytest.raises(Exception, match="120 observations match, which is a lot"):
        rows(quick, tmp_path, **WFC3)
    assert sum(fates(rows(quick, tmp_path, **WFC3, limit=7)).values()) == 7
    assert sum(fates(rows(quick, tmp_path, **WFC3, huge=True)).values()) == 120


def test_pages_are_put_together(quick: Limits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skyfan.plans.service.PAGE", 50)
    table = rows(quick, tmp_path, **WFC3)
    assert fates(table) == EXPECTED
    assert len(set(table["obs_id"].to_pylist())) == 120


def test_prefixes_and_lists_have_sizes_and_what_is_missing(
    skyfan: Skyfan, mast: Mast, tmp_path: Path
) -> None:
    key = str(mast.sky.path(f"mast:HST/product/{mast.sky.product(1)}"))
    (tmp_path / "list.txt").write_text(f"s3://stpubdata{key}\ns3://stpubdata/hst/public/none.fits\n")
    (tmp_path / "local.fits").write_bytes(b"x" * 2880)
    done = skyfan("plan", "@list.txt", "local.fits", "s3://stpubdata/hst/public/i000/i00000010/", "--json")
    document = json.loads(done.stdout)
    assert (document["files"], document["unsized"]) == (1 + 1 + 30, 0)
    assert [(drop["reason"], drop["files"]) for drop in document["dropped"]] == [("missing", 1)]


@pytest.mark.slow
def test_after_kill_9_the_same_command_goes_on(tmp_path: Path) -> None:
    with Mast(Sky(3000), latency=0.05) as mast:
        words = [*START, "plan", "--instrument", "WFC3/IR", "--out", "plan.parquet"]
        options: dict[str, Any] = {"cwd": tmp_path, "env": environment(mast, tmp_path)}
        process = subprocess.Popen(words, **options, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while mast.counts["list"] < 30 and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "plan.parquet").exists()
        told = mast.counts.copy()
        done = subprocess.run(words, **options, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert plan.read(tmp_path / "plan.parquet").files == 3000
        assert mast.counts["invoke"] == told["invoke"]
        assert mast.counts["lookup"] == told["lookup"]
        # The pages in flight at the kill are asked for again.
        assert mast.counts["list"] < told["list"] + 94 - 30 + 2 * Limits.objects
