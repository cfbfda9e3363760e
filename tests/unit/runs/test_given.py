"""What a run is given is kept as its plan, and run.json is begun once."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from skyfan import template
from skyfan.errors import FunctionRefusedError, RunConflictError, UsageError
from skyfan.local import engine
from skyfan.plans import plan as plans
from skyfan.plans.plan import Plan
from skyfan.runs import given, planned, state
from skyfan.runs import run as runs
from skyfan.runs.place import Place
from skyfan.task import Task

TOY = template.read(Path(__file__).parents[1] / "toy" / "template.yaml").function("Toy")


def scripts(folder: Path, *actions: str) -> list[str]:
    folder.mkdir(exist_ok=True)
    for number, action in enumerate(actions):
        (folder / f"{number}.fits").write_text(action)
    return [(folder / f"{number}.fits").as_uri() for number in range(len(actions))]


def options(folder: Path) -> engine.LocalOptions:
    return engine.LocalOptions(folder / "out", jobs=1, retries=0)


def plan_of(path: Path, *uris: str) -> Plan:
    return given.of_names(uris, path)


def test_the_same_files_are_the_same_plan(tmp_path: Path) -> None:
    files = scripts(tmp_path / "in", "ok", "longer")
    first = plan_of(tmp_path / "1.parquet", *files)
    again = plan_of(tmp_path / "2.parquet", *files, files[0])
    assert first.digest() == again.digest()
    assert [(item.uri, item.size, item.tier) for item in first] == [
        (files[0], 2, "standard"),
        (files[1], 6, "standard"),
    ]
    assert [item.size for item in plan_of(tmp_path / "3.parquet", "s3://b/k", "file:///gone")] == [None, None]
    assert plan_of(tmp_path / "4.parquet").files == 0


def test_the_local_engine_takes_a_plan(tmp_path: Path) -> None:
    files = scripts(tmp_path / "in", "ok", "fail bad", "ok")
    table = plan_of(tmp_path / "made.parquet", *files).table()
    dropped = ["too big", None, None]
    table = table.set_column(table.column_names.index("dropped"), "dropped", [dropped])
    plan = plans.write(tmp_path / "plan.parquet", table, {"query": "by hand"})
    summary = engine.run(plan, TOY, Task("r"), options(tmp_path))
    assert (summary.total, summary.done, summary.failed) == (2, 1, 1)
    (kept,) = (tmp_path / "out/runs/r/plans").iterdir()
    assert kept.read_bytes() == plan.path.read_bytes()
    counts = state.read(Place.at(tmp_path / "out"), "r").counts
    assert (counts["planned"], counts["done"], counts["failed"]) == (2, 1, 1)


def test_the_plan_is_there_before_anything_runs(tmp_path: Path) -> None:
    files = scripts(tmp_path / "in", "ok", "ok")
    seen: list[dict[str, int]] = []

    def one_at_a_time() -> Iterator[str]:
        yield from files

    def on_event(event: object) -> None:
        seen.append(state.read(Place.at(tmp_path / "out"), "r").counts)

    engine.run(one_at_a_time(), TOY, Task("r"), options(tmp_path), on_event)
    assert (seen[0]["planned"], seen[0]["unsent"]) == (2, 2)
    assert seen[-1]["done"] == 2


def test_a_run_that_never_began_leaves_no_plan(tmp_path: Path) -> None:
    files = scripts(tmp_path / "in", "refuse it")
    with pytest.raises(FunctionRefusedError):
        engine.run(files, TOY, Task("r"), options(tmp_path))
    assert planned.keys(Place.at(tmp_path / "out"), "r") == []


def test_run_json_is_written_once_and_compared(tmp_path: Path) -> None:
    place = Place.at(tmp_path, make=True)
    results = "s3://results/runs/{run}/catalogs/{key}.cat.fits"
    task = Task("r", config={"thresh": 3}, outputs=("preview",))
    assert runs.begin(place, task, "SepExtract", results, "s3://failures")
    assert not runs.begin(place, task, "SepExtract", results, "s3://moved")
    about = runs.read(place, "r")
    assert about["results"] == "runs/{run}/catalogs/{key}.cat.fits"
    assert about["failures"] == "s3://failures"
    assert runs.task("r", about) == task
    with pytest.raises(RunConflictError, match="config thresh was 3 and is now 4"):
        runs.begin(place, Task("r", config={"thresh": 4}, outputs=("preview",)), "SepExtract", results)


def test_a_run_json_of_before_is_understood_and_a_broken_one_told(tmp_path: Path) -> None:
    place = Place.at(tmp_path, make=True)
    about = {"function": "SepExtract", "config": {}, "outputs": [], "access": "anonymous"}
    place.put("runs/old/run.json", json.dumps(about).encode())
    assert runs.read(place, "old")["results"].endswith(".cat.fits")
    place.put("runs/own/run.json", json.dumps({**about, "function": "Own"}).encode())
    with pytest.raises(UsageError, match="does not say where results go"):
        runs.read(place, "own")
    assert not runs.begin(place, Task("own"), "Own", "s3://results/runs/{run}/own/{key}.txt")
    assert runs.read(place, "own")["results"] == "runs/{run}/own/{key}.txt"
    for body in (b"{", b"[]"):
        place.put("runs/broken/run.json", body)
        with pytest.raises(UsageError, match="cannot be read"):
            runs.read(place, "broken")
