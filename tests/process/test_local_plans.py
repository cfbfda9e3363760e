"""The local engine stores its inputs as plans, and its folder has the layout that runs.state reads."""

import os
import time
from pathlib import Path

import pyarrow as pa
import pytest

from skyfan import events, template
from skyfan.engine import LocalOptions
from skyfan.errors import FunctionRefusedError
from skyfan.local.engine import LocalEngine
from skyfan.plans import plan as plans
from skyfan.plans.plan import Plan
from skyfan.runs import planned, state
from skyfan.runs import run as runs
from skyfan.runs.outcome import Outcome
from skyfan.storage.place import Place
from skyfan.task import Task

TOY = template.read(Path(__file__).parent / "toy" / "template.yaml")
TASK = Task("r", function="Toy")


def scripts(folder: Path, *actions: str) -> list[str]:
    folder.mkdir(exist_ok=True)
    for number, action in enumerate(actions):
        (folder / f"{number}.fits").write_text(action)
    return [(folder / f"{number}.fits").as_uri() for number in range(len(actions))]


def process(
    folder: Path, files: list[str] | Plan, on_event: events.OnEvent = events.ignore, **options: int
) -> Outcome:
    engine = LocalEngine(TOY, LocalOptions(folder / "out", jobs=1, retries=0, **options))
    with runs.as_plan(files) as plan:
        return engine.send(TASK, plan, on_event)


def test_a_plan_is_processed_without_its_dropped_files(tmp_path: Path) -> None:
    files = scripts(tmp_path / "in", "ok", "fail bad", "ok")
    table = runs.of_uris(files, tmp_path / "all.parquet").table()
    dropped = ["too big", None, None]
    table = table.set_column(table.column_names.index("dropped"), "dropped", [dropped])
    plan = plans.write(tmp_path / "plan.parquet", table, {"query": "by hand"})
    outcome = process(tmp_path, plan)
    assert (outcome.files, outcome.done, outcome.failed, outcome.remaining) == (2, 1, 1, 0)
    (kept,) = (tmp_path / "out/runs/r/plans").iterdir()
    assert kept.read_bytes() == plan.path.read_bytes()
    assert outcome.state is not None
    counts = outcome.state.counts
    assert (counts["planned"], counts["done"], counts["failed"]) == (2, 1, 1)


def test_the_plan_exists_before_the_first_file_is_processed(tmp_path: Path) -> None:
    files = scripts(tmp_path / "in", "ok", "ok")
    seen: list[dict[str, int]] = []

    def on_event(event: object) -> None:
        seen.append(state.read(Place.at(tmp_path / "out"), "r").counts)

    process(tmp_path, files, on_event)
    assert (seen[0]["planned"], seen[0]["unsent"]) == (2, 2)
    assert seen[-1]["done"] == 2


def test_a_refused_run_leaves_no_plan(tmp_path: Path) -> None:
    files = scripts(tmp_path / "in", "refuse it")
    with pytest.raises(FunctionRefusedError):
        process(tmp_path, files)
    assert planned.keys(Place.at(tmp_path / "out"), "r") == []


def test_the_state_of_a_local_run_is_read_like_that_of_a_bucket(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, action in (("0 ü%20.fits", "ok"), ("1#2.fits", "fail for good"), ("2.fits", "flaky 5")):
        (tmp_path / "in" / name).write_text(action)
    files = [path.as_uri() for path in (tmp_path / "in").iterdir()]
    outcome = process(tmp_path, files)
    found = state.read(Place.at(tmp_path / "out"), "r")
    assert found.counts["planned"] == outcome.files == 3
    assert (found.counts["done"], found.counts["failed"], found.unplanned) == (outcome.done, 2, 0)
    (group,) = found.groups()
    assert (group.error_type, group.count, group.permanent) == ("PixelError", 2, True)
    assert found.times.last_done == pytest.approx(time.time(), abs=60)
    assert runs.names(Place.at(tmp_path / "out")) == ["r"]


def test_a_large_file_has_the_limits_of_the_larger_function(tmp_path: Path) -> None:
    files = scripts(tmp_path / "in", "context", "context", "leave 4")
    sizes = [1000, 20_000_000, 20_000_000]
    table = pa.table({"uri": files, "size": sizes, "tier": ["standard"] * 3})
    received: list[events.Event] = []
    outcome = process(tmp_path, plans.write(tmp_path / "plan.parquet", table, {}), received.append)
    contexts = {event.input: event.result["context"] for event in received if isinstance(event, events.Done)}
    assert [(contexts[uri]["function_name"], contexts[uri]["memory_limit_in_mb"]) for uri in files[:2]] == [
        ("Toy", "300"),
        ("ToyLarge", "1200"),
    ]
    (failed,) = state.read(Place.at(tmp_path / "out"), "r").files("failed")
    assert failed.failure is not None
    assert failed.failure.function == "ToyLarge"
    assert outcome.log is not None
    assert outcome.log.read_text().count("REPORT RequestId") == 3, "one log for both functions"
    assert [type(event) for event in received].count(events.Started) == 1


def test_a_result_that_is_older_than_its_input_is_no_result(tmp_path: Path) -> None:
    files = scripts(tmp_path / "in", "ok", "ok")
    process(tmp_path, files)
    changed = tmp_path / "in" / "1.fits"
    changed.write_text("fail now")
    later = time.time_ns() + 10**9
    os.utime(changed, ns=(later, later))
    outcome = process(tmp_path, files)
    assert (outcome.done_before, outcome.done, outcome.failed, outcome.is_complete) == (1, 0, 1, False)
    assert outcome.state is not None
    assert (outcome.state.counts["done"], outcome.state.counts["failed"]) == (1, 1)
