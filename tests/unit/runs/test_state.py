"""The state of a run, read from a folder with the layout of the bucket."""

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from skyfan.engine import Selection
from skyfan.errors import InputError, UsageError
from skyfan.plans import plan as plans
from skyfan.runs import digests, overview, show, state
from skyfan.runs import run as runs
from skyfan.runs.judge import STATES, Limits
from skyfan.storage.place import Place
from skyfan.task import Task
from skyfan_function import errors
from skyfan_function import failures as recorded

from .conftest import RESULTS, Handmade

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
    handmade.record(E, request="re", time=NOW - 30, error="NotFitsError", message="no FITS", cure="never")
    handmade.record(F, request="rf", time=NOW - 30, error="", condition="ZeroReservedConcurrency")
    found = state.read(handmade.place, "r", handmade.lambdas, now=NOW)
    assert found.counts == {
        "planned": 7, "unsent": 1, "sent": 1, "late": 1, "missing": 1, "cancelled": 1, "damaged": 0,
        "failed": 1, "done": 1,
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


def test_a_failure_counts_until_the_file_is_sent_again(handmade: Handmade) -> None:
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


def test_a_failure_that_the_function_recorded_is_read(
    handmade: Handmade, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = (tmp_path / "results").as_uri() + "/runs/{run}/failures/{key}.json"
    monkeypatch.setenv("SKYFAN_FAILURES", place)
    handmade.plan([A, B, C, D])
    handmade.receipt(*((uri, f"first {uri}", NOW - 60) for uri in (A, B, C, D)))
    for uri, error in ((A, "NotFitsError"), (B, "NotFitsError"), (C, "NotFitsError"), (D, "StorageError")):
        event = {"input": uri, "run": "r"}
        context = SimpleNamespace(
            aws_request_id=f"first {uri}",
            invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:skyfan-SepExtract",
        )
        kind = getattr(errors, error)
        recorded.record(recorded.record_uri(event), event, kind("no stars"), context)
    handmade.receipt((B, "second", NOW + 60))
    handmade.done(C)
    assert named(handmade, "failed", now=NOW + 90) == [A, D]
    assert named(handmade, "sent", now=NOW + 90) == [B], "a newer receipt supersedes the failure"
    assert named(handmade, "done", now=NOW + 90) == [C], "an existing result counts"
    found = state.read(handmade.place, "r", handmade.lambdas, now=NOW + 90)
    failure = {file.uri: file.failure for file in found.files("failed")}[A]
    assert failure is not None
    assert (failure.error_type, failure.message, failure.is_permanent) == ("NotFitsError", "no stars", True)
    assert (failure.function, failure.request_id) == ("skyfan-SepExtract", f"first {A}")
    names = {"standard": "skyfan-SepExtract", "large": "skyfan-SepExtractLarge"}
    selected = list(Selection().select(found, names, {"standard": 1769, "large": 10240}))
    assert [item.uri for item in selected] == [D], "permanent failures are skipped"


def test_request_ids_decide_if_the_senders_clock_is_wrong(handmade: Handmade) -> None:
    handmade.plan([A, B])
    # The sender's clock is an hour ahead: the record seems to come before the receipt.
    handmade.receipt((A, "ra", NOW + 3600))
    handmade.record(A, request="ra", time=NOW + 10)
    # An hour behind: the record of the first request seems to come after the second receipt.
    handmade.receipt((B, "rb1", NOW - 3700), (B, "rb2", NOW - 3600))
    handmade.record(B, request="rb1", time=NOW - 50)
    assert named(handmade, "failed") == [A]
    assert named(handmade, "late", "sent") == [B]


def test_the_time_decides_for_a_record_without_a_receipt(handmade: Handmade) -> None:
    handmade.plan([A, B])
    handmade.receipt((A, "ra", NOW - 100), (B, "rb", NOW - 100))
    handmade.record(A, request="lost", time=NOW - 50)
    handmade.record(B, request="lost too", time=NOW - 150)
    assert named(handmade, "failed") == [A]
    assert named(handmade, "sent") == [B]


def test_a_record_of_a_batch_counts_for_files_without_their_own_record(handmade: Handmade) -> None:
    handmade.plan([A, B, C])
    handmade.receipt((A, "batch", NOW - 100), (B, "batch", NOW - 100), (C, "batch", NOW - 100))
    handmade.done(A)
    handmade.own(B, request="batch", time=NOW - 90, error="NotFitsError", message="B is no FITS")
    handmade.record(A, B, C, request="batch", time=NOW - 80, error="Sandbox.Timedout", message="timed out")
    found = state.read(handmade.place, "r", handmade.lambdas, now=NOW)
    kinds = {file.uri: file.failure.error_type for file in found.files("failed") if file.failure}
    assert kinds == {B: "NotFitsError", C: "Sandbox.Timedout"}
    assert {group.error_type: group.exhausted for group in found.groups()} == {
        "NotFitsError": False,
        "Sandbox.Timedout": True,
    }


@pytest.mark.parametrize("function", ["skyfan-SepExtract", "skyfan-SepExtractLarge"])
def test_files_of_a_batch_that_was_killed_are_retried_alone_whatever_function_it_was(
    handmade: Handmade, function: str
) -> None:
    """One of them exhausted it, and is not known; those after it never began."""
    handmade.plan([A, B, C, D, E])
    handmade.receipt(*((uri, "batch", NOW - 100) for uri in (A, B, C)), (D, "rd", NOW - 100))
    handmade.done(A)
    handmade.record(A, B, C, request="batch", time=NOW - 80, error="Runtime.OutOfMemory", function=function)
    handmade.record(D, request="rd", time=NOW - 80, error="StorageError")
    handmade.record(E, request="re", time=NOW - 80, error="Runtime.OutOfMemory", function=function)
    found = state.read(handmade.place, "r", handmade.lambdas, now=NOW)
    names = {"standard": "skyfan-SepExtract", "large": "skyfan-SepExtractLarge"}
    selection = Selection()
    selected = {
        item.uri: item.tier for item in selection.select(found, names, {"standard": 1769, "large": 10240})
    }
    alone = {} if function.endswith("Large") else {E: "large"}
    assert selected == {B: "large", C: "large", D: "standard", **alone}
    assert selection.alone == {B, C}
    assert selection.exhausted == ({} if alone else {"Runtime.OutOfMemory": 1})


def test_an_event_of_a_batch_that_expired_ended_no_function(handmade: Handmade) -> None:
    handmade.plan([A, B])
    handmade.receipt((A, "batch", NOW - 100), (B, "batch", NOW - 100))
    handmade.record(A, B, request="batch", time=NOW - 80, error="", condition="EventAgeExceeded")
    found = state.read(handmade.place, "r", handmade.lambdas, now=NOW)
    selection, names = Selection(), dict.fromkeys(("standard", "large"), "skyfan-SepExtract")
    assert len(list(selection.select(found, names, {"standard": 1769, "large": 1769}))) == 2
    assert selection.alone == set()


def test_records_of_other_runs_and_of_unknown_files_are_ignored(handmade: Handmade) -> None:
    handmade.plan([A])
    handmade.receipt((A, "ra", NOW - 100))
    handmade.record(A, request="other", time=NOW - 50, run="another")
    handmade.record(B, request="stranger", time=NOW - 50)
    handmade.record("gopher://x", request="by hand", time=NOW - 50)
    handmade.lambdas.put("aws/lambda/async/skyfan-SepExtract/2999/01/01/broken", b"{")
    assert named(handmade, "sent") == [A]
    assert named(handmade, "failed") == []


def test_a_second_write_of_run_json_hides_no_failure(handmade: Handmade) -> None:
    handmade.plan([A])
    now, month = NOW + 40 * 86400, 30 * 86400
    handmade.receipt((A, "ra", NOW + 10))
    handmade.record(A, request="ra", time=NOW + 20)
    run_json = Path(handmade.place.name) / "runs/r/run.json"
    os.utime(run_json, (NOW + month, NOW + month))
    assert named(handmade, "failed", now=now) == [A]


def test_an_expired_event_is_cancelled_only_during_a_cancel(handmade: Handmade) -> None:
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


def test_the_files_are_the_union_of_the_plans_and_other_results_are_counted(handmade: Handmade) -> None:
    handmade.plan([A, B, B])
    handmade.plan([B, C])
    handmade.plan([A, B, B])
    handmade.done(C)
    handmade.done(D)
    handmade.place.put("runs/r/catalogs/stpubdata/preview.png", b"")
    found = state.read(handmade.place, "r", now=NOW)
    assert (found.counts["planned"], found.counts["done"], found.unplanned) == (3, 1, 1)
    assert sorted(file.uri for file in found.files(*STATES)) == [A, B, C]


def test_limits_decide_which_files_are_late_or_missing(handmade: Handmade) -> None:
    handmade.plan([A])
    handmade.receipt((A, "ra", NOW - 1000))
    limits = Limits(timeout_s=60, retries=0, queue_s=100, age_s=300)
    for age, name in ((300, "sent"), (400, "late"), (630, "late"), (700, "missing")):
        found = state.read(handmade.place, "r", limits=limits, now=NOW - 1000 + age)
        assert found.counts[name] == 1


def test_a_follower_reads_only_new_objects(handmade: Handmade, monkeypatch: pytest.MonkeyPatch) -> None:
    handmade.plan([A, B, C])
    handmade.receipt((A, "ra", NOW - 100), (B, "rb", NOW - 100))
    handmade.record(A, request="ra", time=NOW - 50)
    handmade.own(B, request="rb", time=NOW - 50)
    follower = state.Follower(handmade.place, "r", handmade.lambdas)
    assert follower.read(now=NOW).counts["failed"] == 2
    read: list[str] = []
    get, get_tagged = Place.get, Place.get_tagged
    monkeypatch.setattr(Place, "get", lambda place, key: (read.append(key), get(place, key))[1])
    monkeypatch.setattr(Place, "get_tagged", lambda place, key: (read.append(key), get_tagged(place, key))[1])
    assert follower.read(now=NOW).counts["failed"] == 2
    assert read == ["runs/r/cancel.json"]
    handmade.receipt((C, "rc", NOW - 10))
    handmade.done(A)
    (Path(handmade.place.name) / "runs/r/failures").joinpath(B.removeprefix("s3://") + ".json").unlink()
    assert follower.read(now=NOW).counts == {
        "planned": 3, "unsent": 0, "sent": 2, "late": 0, "missing": 0, "cancelled": 0, "damaged": 0,
        "failed": 0, "done": 1,
    }  # fmt: skip


def test_restrict_keeps_the_states_of_some_files(handmade: Handmade) -> None:
    handmade.plan([A, B, C])
    handmade.receipt((A, "ra", NOW - 60), (B, "rb", NOW - 60))
    handmade.done(A)
    handmade.record(B, request="rb", time=NOW - 30)
    whole = state.read(handmade.place, "r", handmade.lambdas, now=NOW)
    some = whole.restrict([C, B, "s3://b/in-no-plan", B])
    assert (some.counts["planned"], some.counts["failed"], some.counts["unsent"]) == (2, 1, 1)
    assert [file.uri for file in some.files(*STATES)] == [B, C]
    assert [group.input for group in some.groups()] == [B]
    assert whole.restrict([A]).groups() == []
    assert whole.restrict([]).counts["planned"] == 0


def test_the_message_for_an_unknown_run_names_the_existing_runs(handmade: Handmade) -> None:
    with pytest.raises(UsageError, match=r"'nope' .*: r$"):
        state.read(handmade.place, "nope")
    with pytest.raises(UsageError, match="'a/b'"):
        state.read(handmade.place, "a/b")


def test_what_is_known_of_each_file(handmade: Handmade, tmp_path: Path) -> None:
    for name, size in (("small", 3), ("large", 5)):
        (tmp_path / name).write_bytes(b"x" * size)
    small, large = ((tmp_path / name).as_uri() for name in ("small", "large"))
    handmade.plan([small, large, A, B])
    handmade.receipt((large, "r", NOW - 60), (A, "r", NOW - 50))
    handmade.done(small)
    handmade.done(B)
    done = Path(handmade.place.name, f"runs/r/catalogs/{small.removeprefix('file:///')}.cat.fits")
    os.utime(done, (NOW - 20, NOW - 20))
    found = state.read(handmade.place, "r", now=NOW)
    assert {file.uri: (file.size, file.state) for file in found.files(*STATES)} == {
        small: (3, "done"), large: (5, "sent"), A: (None, "sent"), B: (None, "done")
    }  # fmt: skip
    assert [file.uri for file in found.files(*STATES)] == sorted([small, large, A, B]), "in the plan's order"
    assert {file.uri: file.sent and round(file.sent - NOW) for file in found.files("sent")} == {
        large: -60,
        A: -50,
    }
    assert [file.sent for file in found.files("done")] == [None, None]
    assert (found.bytes["planned"], found.bytes["sent"], found.bytes["done"]) == (8, 5, 3)
    assert found.times.first_done == pytest.approx(NOW - 20, abs=0.001)
    assert found.times.last_done == pytest.approx(time.time(), abs=60)
    assert found.times.last_done > found.times.first_done


def test_every_file_of_a_plan_can_fail_and_the_first_is_the_example(handmade: Handmade) -> None:
    files = [A, B, C, D, E, F, G]
    handmade.plan(files)
    handmade.receipt(*((uri, uri, NOW - 100) for uri in files))
    for uri in files[2:]:
        handmade.own(uri, request=uri, time=NOW - 50, error="PixelError", message=f"of {uri}")
    for uri in files[:2]:
        handmade.own(uri, request=uri, time=NOW - 50, error="StorageError", message=f"of {uri}")
    found = state.read(handmade.place, "r", now=NOW)
    assert (found.counts["failed"], found.times.first_done, found.times.last_done) == (7, None, None)
    assert [(group.error_type, group.count, group.input, group.message) for group in found.groups()] == [
        ("PixelError", 5, C, f"of {C}"),
        ("StorageError", 2, A, f"of {A}"),
    ]
    assert {file.failure.message for file in found.files("failed") if file.failure} == {
        f"of {uri}" for uri in files
    }
    own = found.groups()[0].record
    assert own == handmade.place.uri(f"runs/r/failures/{C.removeprefix('s3://')}.json")


def test_an_event_that_expired_at_the_very_end_of_a_cancel_is_cancelled(handmade: Handmade) -> None:
    at = round(NOW)
    handmade.plan([A, B, C, D])
    for uri, when in ((A, at - 350), (B, at - 200), (C, at - 350.001), (D, at - 199.999)):
        handmade.receipt((uri, uri, at - 500))
        handmade.record(uri, request=uri, time=when, name=uri[-11], error="", condition="EventAgeExceeded")
    cancel = {"began": at - 350, "ended": at - 200, "reserved": {}}
    handmade.place.put("runs/r/cancel.json", json.dumps([cancel]).encode())
    assert named(handmade, "cancelled") == [A, B]
    assert named(handmade, "failed") == [C, D]


def test_results_of_many_pages_are_counted_once(handmade: Handmade, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_CHUNK", 2)
    handmade.plan([A, B, C])
    for number, uri in enumerate((A, B, C, D, E)):
        handmade.done(uri)
        path = Path(handmade.place.name, f"runs/r/catalogs/{uri.removeprefix('s3://')}.cat.fits")
        os.utime(path, (NOW + number, NOW + number))
    found = state.read(handmade.place, "r", now=NOW)
    assert (found.counts["done"], found.unplanned) == (3, 2)
    assert (found.times.first_done, found.times.last_done) == pytest.approx((NOW, NOW + 2), abs=0.001)


def ended(handmade: Handmade, uri: str, when: float) -> None:
    handmade.done(uri)
    path = Path(handmade.place.name, f"runs/r/catalogs/{uri.removeprefix('s3://')}.cat.fits")
    os.utime(path, (when, when))


def test_pauses_are_not_in_the_rate(handmade: Handmade) -> None:
    """55 of 100 files at five per second, in two parts with a week between them: 9 s for the others."""
    files = [f"s3://b/{number}.fits" for number in range(100)]
    handmade.plan(files)
    began = NOW - 8 * 86400
    handmade.receipt(*((uri, uri, began) for uri in files[:30]))
    handmade.receipt(*((uri, uri, began + 7 * 86400) for uri in files[30:]))
    for number, uri in enumerate(files[:55]):
        ended(handmade, uri, began + 0.2 * (number + 1) + (7 * 86400 if number >= 30 else 0))
    found = state.read(handmade.place, "r", now=began + 7 * 86400 + 12)
    assert show.rate(found) == pytest.approx(5.0, rel=0.03)
    assert found.remaining_s == pytest.approx(9.0, rel=0.03)


def test_the_remaining_time_follows_from_bytes(handmade: Handmade, tmp_path: Path) -> None:
    """Ten files of 1 MB took 10 s; one of 90 MB remains."""
    files = {f"s3://b/{number}.fits": 1_000_000 for number in range(10)} | {"s3://b/large.fits": 90_000_000}
    for sizes, expected in ((files, 90.0), (dict(list(files.items())[:10]), 1.0)):
        name = f"r{len(sizes)}"
        runs.begin(handmade.place, Task(name), RESULTS)
        runs.add_plan(handmade.place, name, runs.of_uris(files, tmp_path / f"{name}.parquet", sizes))
        run = Handmade(handmade.place, handmade.lambdas, name)
        run.receipt(*((uri, uri, NOW - 100) for uri in files))
        for number, uri in enumerate(list(files)[:10]):
            run.done(uri)
            path = Path(handmade.place.name, f"runs/{name}/catalogs/b/{number}.fits.cat.fits")
            os.utime(path, (NOW - 99 + number, NOW - 99 + number))
        found = state.read(handmade.place, name, now=NOW)
        assert found.remaining_s == pytest.approx(expected, rel=1e-3)


def test_without_a_result_the_remaining_time_is_not_known(handmade: Handmade) -> None:
    handmade.plan([A])
    assert state.read(handmade.place, "r", now=NOW).remaining_s is None


def test_a_retry_knows_the_pixels_of_the_plan(handmade: Handmade, tmp_path: Path) -> None:
    """A packed mosaic: a small file of many pixels needs the larger function."""
    table = pa.table({"uri": [A, B], "size": [1000, 1000], "tier": ["standard"] * 2, "pixels": [10**8, None]})
    runs.add_plan(handmade.place, "r", plans.write(tmp_path / "plan.parquet", table, {}))
    handmade.record(A, request="ra", time=NOW - 30)
    handmade.record(B, request="rb", time=NOW - 30)
    handmade.receipt((A, "ra", NOW - 60), (B, "rb", NOW - 60))
    found = state.read(handmade.place, "r", handmade.lambdas, now=NOW)
    names = {"standard": "skyfan-SepExtract", "large": "skyfan-SepExtractLarge"}
    selected = list(Selection().select(found, names, {"standard": 1769, "large": 10240}))
    assert [(item.uri, item.tier, item.pixels) for item in selected] == [
        (A, "large", 10**8),
        (B, "standard", None),
    ]


def test_an_empty_result_is_none(handmade: Handmade) -> None:
    files = ["s3://b/whole.fits", "s3://b/empty.fits"]
    handmade.plan(files)
    for uri in files:
        handmade.done(uri)
    (item,) = [item for item in handmade.place.list("runs/r/") if item.key.endswith("empty.fits.cat.fits")]
    handmade.place.put(item.key, b"")
    counts = state.read(handmade.place, "r").counts
    assert (counts["done"], counts["unsent"]) == (1, 1)


@pytest.mark.parametrize("length", [0, 1, 500])
def test_a_damaged_plan_is_written_again(handmade: Handmade, length: int) -> None:
    handmade.plan(["s3://b/a.fits"])
    (plan,) = handmade.place.list("runs/r/plans/")
    handmade.place.put(plan.key, (handmade.place.get(plan.key) or b"")[:length])
    with pytest.raises(InputError, match=r"not a plan: .*`skyfan run` command that added it"):
        state.read(handmade.place, "r")
    assert [run.files for run in overview.read(handmade.place)] == [None]
    handmade.plan(["s3://b/a.fits"])
    assert state.read(handmade.place, "r").counts["planned"] == 1
