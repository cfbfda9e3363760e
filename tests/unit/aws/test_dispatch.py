"""Sending a run's files: journal, limits, interruptions; and the event loop that it runs in."""

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from skyfan.aws import dispatch, journal
from skyfan.aws.budget import attempts
from skyfan.aws.connection import BrokenError, Response
from skyfan.aws.dispatch import Sent
from skyfan.aws.lease import Lease
from skyfan.aws.sender import Counts
from skyfan.engine import AwsOptions, Call, File
from skyfan.errors import InputError, Interrupted, RunBusyError, UsageError
from skyfan.runs import cancels, receipts
from skyfan.runs import run as runs
from skyfan.runs.cancels import Cancel
from skyfan.runs.outcome import Outcome
from skyfan.storage.place import Place
from skyfan.task import Task
from skyfan_contract import MAX_INPUTS

THROTTLED = Response(429, {"x-amzn-errortype": "TooManyRequestsException"}, b"{}")
DENIED = Response(403, {"x-amzn-errortype": "AccessDeniedException"}, b'{"message": "no right"}')


def files(number: int) -> list[File]:
    return [File(f"s3://b/{at}", "F") for at in range(number)]


def recorded(place: Place) -> list[str]:
    """The files of all receipts in the bucket."""
    tables = receipts.tables(place, receipts.chunks(place, "r"))
    return sorted(uri for table in tables for uri in table["uri"].to_pylist())


class Send:
    """dispatch.send() of a run "r" to the wire."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.ticks: list[tuple[int, int]] = []

    def __call__(
        self,
        pairs: Iterable[File],
        options: AwsOptions | None = None,
        on_tick: Callable[[], None] = lambda: None,
        **more: Any,
    ) -> Sent:
        def tick(accepted: int, counts: Counts) -> None:
            self.ticks.append((accepted, counts.accepted))
            on_tick()

        return dispatch.send(self.place, Task("r"), pairs, options or AwsOptions(), tick, **more)


@pytest.fixture
def send(bucket: Place, wire: Any) -> Send:
    return Send(bucket)


def test_each_accepted_file_has_its_receipt_in_the_bucket(send: Send, wire: Any) -> None:
    wire.latency_s = 0.5
    wire.script = lambda at, request: THROTTLED if at == 0 else None
    sent = send(files(30), AwsOptions(batch=4, connections=2))
    assert recorded(send.place) == sorted(file.uri for file in files(30))
    assert [len(request.inputs) for request in wire.requests] == [4] * 8 + [2]
    assert (sent.files, sent.counts) == (30, Counts(accepted=8, throttled=1))
    assert (sent.remaining, sent.stopped, sent.is_limited) == (0, "", False)
    assert sent.seconds == pytest.approx(wire.clock.now)
    assert send.ticks[-1][0] <= 4 * send.ticks[-1][1]
    assert list(journal.pending(send.place, "r")) == []
    assert attempts(send.place, "r") == []


def test_options_are_optional(bucket: Place, wire: Any) -> None:
    assert dispatch.send(bucket, Task("r"), files(2)).files == 2


@pytest.mark.parametrize(("maximum", "remaining"), [(None, 0), (0, 9), (4, 5), (9, 0), (12, 0)])
def test_a_limit_of_files_stops_it_and_counts_the_rest(
    send: Send, wire: Any, maximum: int | None, remaining: int
) -> None:
    sent = send(files(9), AwsOptions(max_files=maximum))
    assert (sent.files, sent.remaining, sent.is_limited) == (9 - remaining, remaining, remaining > 0)
    assert sent.stopped == (f"the limit of {maximum} files is reached" if remaining else "")
    assert len(wire.requests) == 9 - remaining


class Purse:
    """A budget of so many calls, which notes what it is told."""

    def __init__(self, calls: int) -> None:
        self.calls, self.told = calls, list[Call]()

    def spend(self, call: Call) -> bool:
        self.calls -= 1
        return self.calls >= 0

    def spent(self, calls: Iterable[Call]) -> None:
        self.told += calls


class Gate:
    """Waves that are open from a time on, and note what is sent."""

    def __init__(self, clock: Any, opens: float = 0.0) -> None:
        self.clock, self.opens, self.added = clock, opens, list[str]()

    def is_open(self) -> bool:
        return bool(self.clock.now >= self.opens)

    def add(self, call: Call) -> None:
        self.added += call.uris


def test_the_budget_stops_it_and_counts_the_rest(send: Send, wire: Any) -> None:
    gate = Gate(wire.clock)
    sent = send(files(9), AwsOptions(connections=2), budget=Purse(5), waves=gate)
    assert (sent.files, sent.remaining, sent.is_limited) == (5, 4, True)
    assert "cost limit" in sent.stopped
    assert gate.added == wire.inputs == [f"s3://b/{at}" for at in range(5)], "what is refused is not queued"


def test_lost_responses_are_paid_for_by_this_call_and_the_next(send: Send, wire: Any) -> None:
    wire.script = lambda at, request: BrokenError("it broke off") if at == 2 else None
    purse = Purse(100)
    assert send(files(4), AwsOptions(connections=1), budget=purse).files == 4
    assert (purse.calls, purse.told) == (95, [])
    assert [call.uris for call in attempts(send.place, "r")] == [("s3://b/2",)]
    send(files(1), budget=purse)
    assert [call.uris for call in purse.told] == [("s3://b/2",)]


def test_waves_hold_it_back(send: Send, wire: Any) -> None:
    sent = send(files(3), waves=Gate(wire.clock, 7.0))
    assert sent.files == 3
    assert min(wire.times()) >= 7.0


def test_ctrl_c_saves_the_receipts(send: Send, wire: Any) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    wire.latency_s = 0.15
    with pytest.raises(Interrupted) as caught:
        send(files(100), AwsOptions(connections=2), on_tick=interrupt)
    partial = caught.value.partial
    assert partial.files == len(recorded(send.place)) >= 2
    assert partial.remaining is None
    assert (partial.stopped, partial.is_limited) == ("", False)
    assert partial.counts.accepted == partial.files


def test_an_error_of_the_files_saves_the_receipts(send: Send, wire: Any) -> None:
    def broken() -> Iterator[File]:
        for pair in files(200):
            if len(wire.requests) >= 3:
                raise InputError("a file on this machine")
            yield pair

    wire.latency_s = 0.01
    with pytest.raises(InputError, match="on this machine"):
        send(broken(), AwsOptions(connections=1))
    assert recorded(send.place) == sorted(wire.inputs)[: len(recorded(send.place))]
    assert recorded(send.place)


def test_an_error_before_the_first_file_sends_nothing(send: Send, wire: Any) -> None:
    def broken() -> Iterator[File]:
        raise InputError("no plan")
        yield File("", "")

    with pytest.raises(InputError, match="no plan"):
        send(broken())
    assert wire.requests == []


def test_files_are_read_with_the_lock_after_old_receipts_were_uploaded(send: Send, wire: Any) -> None:
    with journal.Journal(send.place, "r") as killed:
        killed.add([(Call("F", ("s3://b/old",), b""), "id", 1.7e9)])
    seen: list[list[str]] = []

    def looking() -> Iterator[File]:
        seen.append(recorded(send.place))
        with pytest.raises(RunBusyError):
            journal.Journal(send.place, "r").__enter__()
        yield from files(1)

    send(looking())
    assert seen == [["s3://b/old"]]


def test_a_refusal_is_no_limit(send: Send, wire: Any) -> None:
    wire.script = lambda at, request: DENIED if at >= 2 else None
    sent = send(files(9), AwsOptions(connections=1))
    assert "AccessDeniedException" in sent.stopped
    assert (sent.files, sent.remaining, sent.is_limited) == (2, 7, False)


def test_receipts_are_uploaded_every_ten_seconds(send: Send, wire: Any) -> None:
    chunks: dict[float, int] = {}

    def count() -> None:
        chunks[round(wire.clock.now, 1)] = len(receipts.chunks(send.place, "r"))

    wire.latency_s = 1.0
    send(files(25), AwsOptions(connections=1), on_tick=count)
    assert (chunks[9.8], chunks[11.0], chunks[20.0], chunks[21.4]) == (0, 1, 1, 2)
    assert len(receipts.chunks(send.place, "r")) == 3


def test_many_receipts_are_uploaded_at_once(send: Send, wire: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "CHUNK", 3)
    chunks: list[int] = []
    wire.latency_s = 0.2
    send(files(9), AwsOptions(connections=1), on_tick=lambda: chunks.append(len(recorded(send.place))))
    assert chunks[-1] >= 3
    assert {number % 3 for number in chunks} == {0}
    assert wire.clock.now < 5.0


def test_without_new_receipts_nothing_is_uploaded(
    send: Send, wire: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotated: list[float] = []
    rotate = journal.Journal.rotate

    def count(self: Any) -> None:
        rotated.append(round(wire.clock.now))
        rotate(self)

    monkeypatch.setattr(journal.Journal, "rotate", count)
    wire.latency_s = 45.1
    send(files(2), AwsOptions(connections=1))
    assert rotated == [0, 45, 90, 90], "at the start, after each response and at the end"


def test_one_upload_at_a_time(send: Send, wire: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    under_way: list[int] = [0, 0]

    async def slow(work: Callable[..., Any], *arguments: Any) -> Any:
        if work.__name__ != "_upload":
            return work(*arguments)
        under_way[0] += 1
        under_way[1] = max(under_way)
        await asyncio.sleep(35.0)
        under_way[0] -= 1
        return work(*arguments)

    monkeypatch.setattr(asyncio, "to_thread", slow)
    wire.latency_s = 1.0
    sent = send(files(80), AwsOptions(connections=1))
    assert under_way[1] == 1
    assert sent.stopped == ""
    assert len(recorded(send.place)) == 80
    assert len(receipts.chunks(send.place, "r")) == 3


@pytest.mark.parametrize("error", [InputError("the bucket is gone"), OSError("a bad disk")])
def test_receipts_that_cannot_be_uploaded_are_named_and_follow_later(
    send: Send, wire: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(self: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        # From the first tick on: what a killed process has left is uploaded before.
        wire.latency_s = 0.3
        sent = send(
            files(3),
            AwsOptions(max_files=2),
            on_tick=lambda: patch.setattr(journal.Journal, "upload", refuse),
        )
    assert "the limit of 2 files is reached; receipts are still in" in sent.stopped
    assert str(journal.folder(send.place, "r")) in sent.stopped
    assert str(error) in sent.stopped
    assert recorded(send.place) == []
    assert send([]).files == 0
    assert recorded(send.place) == ["s3://b/0", "s3://b/1"]


def test_an_open_cancel_is_an_error_before_anything_is_read(send: Send, wire: Any) -> None:
    runs.begin(send.place, Task("r"), "s3://results/runs/{run}/{key}")
    cancels.begin(send.place, "r", Cancel(1.7e9, {}))
    with pytest.raises(UsageError, match="cancel"):
        send(pytest.fail("it was read") for _ in range(1))
    assert wire.requests == []


def test_a_cancel_stops_it(send: Send, wire: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def cancelled(self: Lease) -> None:
        self.stopped = "run 'r' is being cancelled"

    monkeypatch.setattr(Lease, "_beat", cancelled)
    wire.latency_s = 0.15
    sent = send(files(1000), AwsOptions(connections=2))
    assert sent.stopped == "run 'r' is being cancelled"
    assert 0 < sent.files < 10
    assert (sent.files + (sent.remaining or 0), sent.is_limited) == (1000, False)
    assert len(recorded(send.place)) == sent.files


def test_a_reason_of_its_own_comes_before_that_of_the_lease(
    send: Send, wire: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancelled(self: Lease) -> None:
        self.stopped = "run 'r' is being cancelled"

    monkeypatch.setattr(Lease, "_beat", cancelled)
    wire.latency_s = 0.1
    wire.script = lambda at, request: DENIED
    assert "AccessDeniedException" in send(files(5), AwsOptions(connections=1)).stopped


@pytest.mark.parametrize(
    ("name", "least", "most"), [("batch", 1, MAX_INPUTS), ("connections", 1, None), ("max_files", 0, None)]
)
def test_options_have_bounds(name: str, least: int, most: int | None) -> None:
    AwsOptions(**{name: least})
    with pytest.raises(UsageError, match=name.replace("_", "-")):
        AwsOptions(**{name: least - 1})
    if most:
        AwsOptions(**{name: most})
        with pytest.raises(UsageError, match=str(most)):
            AwsOptions(**{name: most + 1})


def test_the_usual_options() -> None:
    usual = AwsOptions()
    assert (usual.batch, usual.connections, usual.max_files) == (1, 256, None)
    assert (usual.timeout_s, usual.patience_s) == (30, 300), "half a minute for a response, five for any"
    assert (usual.wait, usual.every_s) == (True, 2.0)


def test_what_was_sent_is_in_the_outcome() -> None:
    outcome = Outcome("r", Place("s3://b", None))  # type: ignore[arg-type]
    Sent(7, Counts(5, 4, 3, 2), 1.5, 9, "stopped").report(outcome)
    assert (outcome.sent, outcome.remaining, outcome.stopped, outcome.send_seconds) == (7, 9, "stopped", 1.5)
    assert (outcome.invocations, outcome.throttled, outcome.errors, outcome.broken) == (5, 4, 3, 2)
    usual = Sent(7, Counts(), 1.5)
    assert (usual.remaining, usual.stopped, usual.is_limited) == (0, "", False)


def test_work_runs_with_and_without_a_loop_in_the_thread() -> None:
    seen: list[threading.Thread] = []

    async def work() -> None:
        seen.append(threading.current_thread())

    dispatch._run(work())
    before = threading.active_count()

    async def notebook() -> None:
        dispatch._run(work())

    asyncio.run(notebook())
    assert seen[0] is threading.main_thread()
    assert seen[1] is not threading.main_thread()
    assert threading.active_count() == before, "its thread has ended"


def test_errors_of_the_work_are_raised_and_its_tasks_finish() -> None:
    finished: list[str] = []

    async def slow(name: str) -> None:
        try:
            await asyncio.sleep(0.05)
            finished.append(name)
        finally:
            finished.append("ended")

    async def failing() -> None:
        raise ZeroDivisionError

    async def work() -> None:
        work.tasks = [asyncio.create_task(slow("a")), asyncio.create_task(failing())]  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        raise UsageError("no right")

    async def notebook() -> None:
        dispatch._run(work())

    with pytest.raises(UsageError, match="no right"):
        asyncio.run(notebook())
    assert finished == ["a", "ended"]


def test_ctrl_c_in_a_notebook_cancels_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    submit = asyncio.run_coroutine_threadsafe
    futures = itertools.count()

    def interrupted(coroutine: Any, loop: Any) -> Any:
        future = submit(coroutine, loop)
        if next(futures):
            return future

        def result() -> None:
            raise KeyboardInterrupt

        return SimpleNamespace(result=result, cancel=future.cancel)

    async def notebook() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(asyncio, "run_coroutine_threadsafe", interrupted)
            with pytest.raises(KeyboardInterrupt):
                dispatch._run(work())

    asyncio.run(notebook())
    assert ended.is_set()
