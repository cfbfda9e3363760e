"""A run's state, read from a folder that is laid out as the bucket is."""

import json
import time
from pathlib import Path

import pytest

from skyfan import template
from skyfan.errors import UsageError
from skyfan.local import engine
from skyfan.runs import run as runs
from skyfan.runs import state
from skyfan.runs.judge import STATES, Limits
from skyfan.runs.place import Place
from skyfan.task import Task

from .conftest import Handmade

NOW = time.time()
A, B, C, D, E, F, G = (f"s3://stpubdata/hst/public/x/{name} ü%20.fits" for name in "abcdefg")


def named(handmade: Handmade, *states: str, now: float = NOW) -> list[str]:
    found = state.read(handmade.place, "r", handmade.lambdas, now=now)
    return [file.uri for file in found.files(*(states or STATES))]


def test_each_state_has_its_files(handmade: Handmade) -> None:
    handmade.plan([A, B, C, D, E, F, G])
    handmade.done(A)
    handmade.receipt((A, "ra", NOW - 60), (B, "rb", NOW - 60), (C, "rc", NOW - 4000), (D, "rd", NOW - 40000))
    handmade.receipt((E, "re", NOW - 60), (F, "rf", NOW - 60))
    handmade.record(E, request="re", time=NOW - 30, error="NotFitsError", message="no FITS")
    handmade.record(F, request="rf", time=NOW - 30, error="", condition="ZeroReservedConcurrency")
    found = state.read(handmade.place, "r", handmade.lambdas, now=NOW)
    assert found.counts == {
        "planned": 7, "unsent": 1, "sent": 1, "late": 1, "missing": 1, "cancelled": 1, "failed": 1, "done": 1
    }  # fmt: skip
    for name, uri in zip(
        ("done", "sent", "late", "missing", "failed", "cancelled", "unsent"),
        (A, B, C, D, E, F, G),
        strict=True,
    ):
        assert [file.uri for file in found.files(name)] == [uri]
    (group,) = found.groups()
    assert (group.error_type, group.count, group.input, group.message) == ("NotFitsError", 1, E, "no FITS")
    assert group.permanent
    assert group.record.startswith("file:///")
    assert found.times.first_sent == pytest.approx(NOW - 40000, abs=0.001)
    assert found.times.last_sent == pytest.approx(NOW - 60, abs=0.001)
    assert found.functions == ("skyfan-SepExtract",)


def test_a_failure_that_was_sent_again_is_history(handmade: Handmade) -> None:
    handmade.plan([A])
    handmade.receipt((A, "first", NOW - 500))
    handmade.record(A, request="first", time=NOW - 400)
    assert named(handmade, "failed") == [A]
    handmade.receipt((A, "second", NOW - 300))
    assert named(handmade, "sent") == [A]
    handmade.record(A, request="second", time=NOW - 200)
    assert named(handmade, "failed") == [A]
    handmade.done(A)
    assert named(handmade, "done") == [A]


def test_a_sender_whose_clock_is_wrong_is_understood_by_the_request(handmade: Handmade) -> None:
    handmade.plan([A, B])
    # The sender's clock is an hour ahead: the record seems to come before the receipt.
    handmade.receipt((A, "ra", NOW + 3600))
    handmade.record(A, request="ra", time=NOW + 10)
    # An hour behind: the record of the first try seems to come after the second receipt.
    handmade.receipt((B, "rb1", NOW - 3700), (B, "rb2", NOW - 3600))
    handmade.record(B, request="rb1", time=NOW - 50)
    assert named(handmade, "failed") == [A]
    assert named(handmade, "late", "sent") == [B]


def test_a_record_of_an_invocation_without_receipt_counts_by_its_time(handmade: Handmade) -> None:
    handmade.plan([A, B])
    handmade.receipt((A, "ra", NOW - 100), (B, "rb", NOW - 100))
    handmade.record(A, request="lost", time=NOW - 50)
    handmade.record(B, request="lost too", time=NOW - 150)
    assert named(handmade, "failed") == [A]
    assert named(handmade, "sent") == [B]


def test_a_batch_counts_for_each_of_its_files_that_has_no_word_of_its_own(handmade: Handmade) -> None:
    handmade.plan([A, B, C])
    handmade.receipt((A, "batch", NOW - 100), (B, "batch", NOW - 100), (C, "batch", NOW - 100))
    handmade.done(A)
    handmade.own(B, request="batch", time=NOW - 90, error="NotFitsError", message="B is no FITS")
    handmade.record(A, B, C, request="batch", time=NOW - 80, error="Sandbox.Timedout", message="timed out")
    found = state.read(handmade.place, "r", handmade.lambdas, now=NOW)
    told = {file.uri: file.failure.error_type for file in found.files("failed") if file.failure}
    assert told == {B: "NotFitsError", C: "Sandbox.Timedout"}
    assert {group.error_type: group.exhausted for group in found.groups()} == {
        "NotFitsError": False,
        "Sandbox.Timedout": True,
    }


def test_records_of_other_runs_and_of_unknown_files_are_left_alone(handmade: Handmade) -> None:
    handmade.plan([A])
    handmade.receipt((A, "ra", NOW - 100))
    handmade.record(A, request="other", time=NOW - 50, run="another")
    handmade.record(B, request="stranger", time=NOW - 50)
    handmade.record("gopher://x", request="by hand", time=NOW - 50)
    handmade.lambdas.put("aws/lambda/async/skyfan-SepExtract/2999/01/01/broken", b"{")
    assert named(handmade, "sent") == [A]
    assert named(handmade, "failed") == []


def test_an_expired_event_is_cancelled_only_while_a_cancel_was_on(handmade: Handmade) -> None:
    handmade.plan([A, B])
    handmade.receipt((A, "ra", NOW - 500), (B, "rb", NOW - 500))
    handmade.record(A, request="ra", time=NOW - 300, error="", condition="EventAgeExceeded")
    handmade.record(B, request="rb", time=NOW - 100, error="", condition="EventAgeExceeded")
    handmade.place.put(
        "runs/r/cancel.json",
        json.dumps([{"began": NOW - 350, "ended": NOW - 200, "reserved": {"f": None}}]).encode(),
    )
    assert named(handmade, "cancelled") == [A]
    assert named(handmade, "failed") == [B]


def test_plans_are_united_and_results_of_no_plan_counted(handmade: Handmade) -> None:
    handmade.plan([A, B, B])
    handmade.plan([B, C])
    handmade.plan([A, B, B])
    handmade.done(C)
    handmade.done(D)
    handmade.place.put("runs/r/catalogs/stpubdata/preview.png", b"")
    found = state.read(handmade.place, "r", now=NOW)
    assert (found.counts["planned"], found.counts["done"], found.unplanned) == (3, 1, 1)
    assert sorted(file.uri for file in found.files(*STATES)) == [A, B, C]


def test_limits_decide_what_is_late(handmade: Handmade) -> None:
    handmade.plan([A])
    handmade.receipt((A, "ra", NOW - 1000))
    limits = Limits(timeout_s=60, retries=0, queue_s=100, age_s=300)
    for age, name in ((300, "sent"), (400, "late"), (630, "late"), (700, "missing")):
        found = state.read(handmade.place, "r", limits=limits, now=NOW - 1000 + age)
        assert found.counts[name] == 1


def test_a_follower_sees_what_is_new_and_reads_nothing_twice(
    handmade: Handmade, monkeypatch: pytest.MonkeyPatch
) -> None:
    handmade.plan([A, B, C])
    handmade.receipt((A, "ra", NOW - 100), (B, "rb", NOW - 100))
    handmade.record(A, request="ra", time=NOW - 50)
    handmade.own(B, request="rb", time=NOW - 50)
    follower = state.Follower(handmade.place, "r", handmade.lambdas)
    assert follower.read(now=NOW).counts["failed"] == 2
    read: list[str] = []
    get = Place.get
    monkeypatch.setattr(Place, "get", lambda place, key: (read.append(key), get(place, key))[1])
    assert follower.read(now=NOW).counts["failed"] == 2
    assert read == ["runs/r/cancel.json"]
    handmade.receipt((C, "rc", NOW - 10))
    handmade.done(A)
    (Path(handmade.place.name) / "runs/r/failures").joinpath(B.removeprefix("s3://") + ".json").unlink()
    assert follower.read(now=NOW).counts == {
        "planned": 3, "unsent": 0, "sent": 2, "late": 0, "missing": 0, "cancelled": 0, "failed": 0, "done": 1
    }  # fmt: skip


def test_an_unknown_run_is_told_with_those_that_there_are(handmade: Handmade) -> None:
    with pytest.raises(UsageError, match=r"there is no run 'nope' in .*; there are: r"):
        state.read(handmade.place, "nope")
    with pytest.raises(UsageError, match="is no run's name"):
        state.read(handmade.place, "a/b")


def test_the_local_engines_folder_is_read_the_same_way(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, action in (("0 ü%20.fits", "ok"), ("1#2.fits", "fail for good"), ("2.fits", "flaky 5")):
        (tmp_path / "in" / name).write_text(action)
    toy = template.read(Path(__file__).parents[1] / "toy" / "template.yaml").function("Toy")
    files = [path.as_uri() for path in (tmp_path / "in").iterdir()]
    options = engine.LocalOptions(tmp_path / "out", jobs=1, retries=0)
    summary = engine.run(files, toy, Task("r"), options)
    found = state.read(Place.at(tmp_path / "out"), "r")
    assert found.counts["planned"] == summary.total == 3
    assert (found.counts["done"], found.counts["failed"], found.unplanned) == (summary.done, 2, 0)
    (group,) = found.groups()
    assert (group.error_type, group.count, group.permanent) == ("PixelError", 2, True)
    assert found.times.last_done == pytest.approx(time.time(), abs=60)
    assert runs.names(Place.at(tmp_path / "out")) == ["r"]
