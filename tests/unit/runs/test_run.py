"""run.json and the plans of a run."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from threading import Event, current_thread, main_thread

import pytest

from skyfan.errors import InputError, RunConflictError, UsageError
from skyfan.runs import run as runs
from skyfan.storage.place import Place
from skyfan.task import Task

RESULTS = "s3://results/runs/{run}/catalogs/{key}.cat.fits"


def test_equal_files_give_equal_plans(tmp_path: Path) -> None:
    files = []
    for name, content in (("0.fits", "ok"), ("1.fits", "longer")):
        (tmp_path / name).write_text(content)
        files.append((tmp_path / name).as_uri())
    first = runs.of_uris(files, tmp_path / "1.parquet")
    second = runs.of_uris([*files, files[0]], tmp_path / "2.parquet")
    assert first.digest() == second.digest()
    assert [(item.uri, item.size, item.tier) for item in first] == [
        (files[0], 2, "standard"),
        (files[1], 6, "standard"),
    ]
    unknown = runs.of_uris(["s3://b/k", "file:///gone"], tmp_path / "3.parquet")
    assert [item.size for item in unknown] == [None, None]
    assert runs.of_uris([], tmp_path / "4.parquet").files == 0


def test_run_json_is_written_once_and_compared(tmp_path: Path) -> None:
    place = Place.at(tmp_path, make=True)
    task = Task("r", config={"thresh": 3}, outputs=("preview",))
    assert runs.begin(place, task, RESULTS, "s3://failures")
    assert not runs.begin(place, task, RESULTS, "s3://moved")
    about = runs.read(place, "r")
    assert about["results"] == "runs/{run}/catalogs/{key}.cat.fits"
    assert about["failures"] == "s3://failures"
    assert runs.task("r", about) == task
    with pytest.raises(RunConflictError, match="thresh was 3 and is now 4"):
        runs.begin(place, Task("r", config={"thresh": 4}, outputs=("preview",)), RESULTS)


def test_of_two_starters_with_different_configurations_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place.at(tmp_path, make=True)
    get, first_read = Place.get, Event()

    def read_and_wait(place: Place, key: str) -> bytes | None:
        body = get(place, key)
        if current_thread() is not main_thread() and not first_read.is_set():
            first_read.set()
            started.wait(30)
        return body

    monkeypatch.setattr(Place, "get", read_and_wait)
    started = Event()
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(runs.begin, place, Task("r", config={"thresh": 4}), RESULTS)
        assert first_read.wait(30)
        assert runs.begin(place, Task("r", config={"thresh": 3}), RESULTS)
        started.set()
        with pytest.raises(RunConflictError, match="thresh was 3 and is now 4"):
            slow.result()
    assert runs.read(place, "r")["config"] == {"thresh": 3}


def test_a_copy_of_run_json_does_not_make_the_run_younger(tmp_path: Path) -> None:
    place = Place.at(tmp_path, make=True)
    runs.begin(place, Task("r"), RESULTS)
    about = runs.read(place, "r")
    written = datetime.fromisoformat(about["began"]).timestamp()
    assert written == pytest.approx(place.modified("runs/r/run.json"), abs=5)
    os.utime(tmp_path / "runs/r/run.json", (written + 1e6, written + 1e6))
    assert runs.began(place, "r", about) == written
    os.utime(tmp_path / "runs/r/run.json", (written - 1e6, written - 1e6))
    assert runs.began(place, "r", about) == pytest.approx(written - 1e6), "the clock was ahead"
    del about["began"]  # as runs of earlier versions
    assert runs.began(place, "r", about) == pytest.approx(written - 1e6)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"results": 3}',
        b'{"results": "runs/{run}/no-key"}',
        b'{"results": "{key}", "began": "Monday"}',
        b'{"results": "{key}", "began": 3}',
        b'{"results": "{key}", "config": [3]}',
        b'{"results": "{key}", "failures": 3}',
        b"[" * 100_000,
        b'{"results": "{key}", "began": "2026-11-26T10:00:00"}',
    ],
)
def test_a_damaged_run_json_is_an_input_error(tmp_path: Path, body: bytes) -> None:
    place = Place.at(tmp_path, make=True)
    place.put("runs/r/run.json", body)
    with pytest.raises(InputError, match=r"r/run\.json"):
        runs.read(place, "r")
    with pytest.raises(InputError, match=r"r/run\.json"):
        runs.begin(place, Task("r"), RESULTS)


def test_the_task_is_kept_whole(tmp_path: Path) -> None:
    place = Place.at(tmp_path, make=True)
    task = Task("r", "requester-pays", {"a": [1, 2], "b": {"c": None}}, ("parquet", "preview"))
    runs.begin(place, task, RESULTS)
    about = json.loads((tmp_path / "runs/r/run.json").read_text())
    assert runs.task("r", about) == task


def test_of_many_runs_20_are_named(tmp_path: Path) -> None:
    place = Place.at(tmp_path, make=True)
    for number in range(20):
        place.put(f"runs/n{number:02}/run.json", b"{}")
    with pytest.raises(UsageError, match=r"n00, n01, .*, n19$"):
        runs.read(place, "nope")
    place.put("runs/n20/run.json", b"{}")
    with pytest.raises(UsageError, match=r"n19 and 1 more$"):
        runs.read(place, "nope")


def test_a_plan_is_stored_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place.at(tmp_path, make=True)
    written: list[str] = []
    put = Place.put
    monkeypatch.setattr(
        Place, "put", lambda place, key, body: (written.append(key), put(place, key, body))[1]
    )
    for names in (["s3://b/b", "s3://b/a", "s3://b/b"], ["s3://b/a", "s3://b/b"]):
        plan = runs.of_uris(names, tmp_path / "plan.parquet")
        runs.add_plan(place, "r", plan)
        assert [item.uri for item in plan] == ["s3://b/a", "s3://b/b"]
    assert len(written) == 1


def test_each_difference_is_named(tmp_path: Path) -> None:
    place = Place.at(tmp_path, make=True)
    runs.begin(place, Task("r", config={"thresh": 3}), RESULTS)
    with pytest.raises(RunConflictError) as caught:
        runs.begin(
            place, Task("r", config={"back": 64}, outputs=("preview",), function="FitsSummary"), RESULTS
        )
    for part in (
        '"FitsSummary"',
        "thresh was 3 and is now not set",
        "back was not set and is now 64",
        '["preview"]',
    ):
        assert part in str(caught.value)
    assert "access" not in str(caught.value)
