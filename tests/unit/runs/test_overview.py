"""The overview of runs: counts up to a limit, and what it leaves unknown."""

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from skyfan.runs import overview, show
from skyfan.runs import run as runs
from skyfan.task import Task

from .conftest import RESULTS, Handmade


def test_results_are_counted_up_to_a_page_of_a_listing(handmade: Handmade) -> None:
    files = [f"s3://b/{number}.fits" for number in range(overview.MAX_COUNTED + 5)]
    handmade.plan(files)
    for uri in files:
        handmade.done(uri)
    (run,) = overview.read(handmade.place)
    assert (run.files, run.done.number, run.done.is_all) == (1005, 1000, False)
    assert (run.failed.number, run.failed.is_all) == (0, True)
    assert run.doubtful == overview.Count(0, True)
    out = io.StringIO()
    show.show_overview(Console(file=out, width=120), [run])
    assert "1,000+" in out.getvalue()


def test_the_number_of_files_is_unknown_if_a_plan_cannot_be_read(handmade: Handmade) -> None:
    handmade.plan(["s3://b/a.fits"])
    handmade.place.put("runs/r/plans/damaged.parquet", b"PAR1")
    (run,) = overview.read(handmade.place)
    assert run.files is None
    assert show.overview_document(run)["files"] is None


def test_folders_that_are_no_runs_are_skipped(handmade: Handmade) -> None:
    handmade.place.put("runs/other/file.txt", b"")
    assert [run.run for run in overview.read(handmade.place)] == ["r"]


def test_what_an_overview_counts(handmade: Handmade) -> None:
    handmade.plan(["s3://b/a.fits", "s3://b/b.fits"])
    handmade.plan(["s3://b/b.fits"])
    handmade.done("s3://b/a.fits")
    handmade.place.put("runs/r/catalogs/b/preview.png", b"no result")
    handmade.own("s3://b/b.fits", request="r", time=1.0)
    handmade.place.put("runs/r/failures/b/b.fits.txt", b"no record")
    root = Path(handmade.place.name)
    for path in (path for path in root.rglob("*") if path.is_file()):
        os.utime(path, (1e9, 1e9))
    os.utime(root / "runs/r/run.json", (1e9 + 5, 1e9 + 5))
    (run,) = overview.read(handmade.place)
    assert (run.files, run.done, run.failed) == (3, overview.Count(1, True), overview.Count(1, True))
    assert (run.function, run.started, run.active) == ("SepExtract", 1e9 + 5, 1e9 + 5)
    for newest in ("catalogs/b/a.fits.cat.fits", "failures/b/b.fits.json", "receipts/0000.parquet"):
        path = root / "runs/r" / newest
        path.parent.mkdir(exist_ok=True)
        path.touch()
        later = 2e9 + len(newest)
        os.utime(path, (later, later))
        assert overview.read(handmade.place)[0].active == later
        path.unlink()


def test_the_run_that_was_active_last_is_first(handmade: Handmade) -> None:
    for name, when in (("c", 3e9), ("b", 3e9), ("d", 2e9), ("a", 4e9)):
        runs.begin(handmade.place, Task(name), RESULTS)
        handmade.place.put(f"runs/{name}/receipts/0.parquet", b"")
        os.utime(Path(handmade.place.name, f"runs/{name}/receipts/0.parquet"), (when, when))
    assert [run.run for run in overview.read(handmade.place)] == ["a", "b", "c", "d", "r"]


def test_a_page_that_is_just_full_is_counted_whole(
    handmade: Handmade, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "MAX_COUNTED", 2)
    for number, expected in ((1, (1, True)), (2, (2, True)), (3, (2, False))):
        handmade.done(f"s3://b/{number}.fits")
        (run,) = overview.read(handmade.place)
        assert (run.done.number, run.done.is_all) == expected
