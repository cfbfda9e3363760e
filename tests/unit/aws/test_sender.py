"""The sender: what it sends when, how often again, what it records, and why it stops."""

import asyncio
import errno
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skyfan.aws import sender as senders
from skyfan.aws.connection import BrokenError, Endpoint, NotSentError, RefusedError, Response
from skyfan.aws.sender import Admission, Sender, Window
from skyfan.aws.signing import Keys
from skyfan.engine import AwsOptions, Call
from skyfan.errors import InputError, UsageError

THROTTLED = Response(429, {"x-amzn-errortype": "TooManyRequestsException"}, b'{"message": "Rate Exceeded"}')
PENDING = Response(409, {"x-amzn-errortype": "ResourceConflictException"}, b'{"message": "state Pending"}')
FAILED = Response(500, {"x-amzn-errortype": "ServiceException"}, b'{"message": "oh"}')
DENIED = Response(403, {"x-amzn-errortype": "AccessDeniedException"}, b'{"message": "no right"}')
EXPIRED = Response(403, {"x-amzn-errortype": "ExpiredTokenException"}, b'{"message": "too old"}')
LOST, UNSENT, REFUSED = BrokenError("it broke off"), NotSentError("nobody listens"), RefusedError("no proxy")


class Keyring:
    """Credentials whose key is 0; each renewal gives the next, up to `most`."""

    def __init__(self, most: int = 9) -> None:
        self.keys, self.most, self.refreshes = Keys("0", "secret"), most, list[float]()
        self.clock: Any = None
        self.is_broken = False

    async def refresh(self) -> None:
        self.refreshes.append(self.clock.now)
        if self.is_broken:
            raise UsageError("no metadata")

    async def renew(self, refused: Keys) -> None:
        if self.keys == refused:
            if int(refused.access_key) >= self.most:
                raise UsageError("sign in again")
            self.keys = Keys(str(int(refused.access_key) + 1), "secret")


class Book(Admission):
    """Admits `number` calls, and writes down what it is asked and told."""

    def __init__(self, number: float = float("inf")) -> None:
        self.number = number
        self.admitted: list[str] = []
        self.begun: list[str] = []
        self.ended_: list[int] = []

    def admit(self, call: Call) -> bool:
        if len(self.admitted) >= self.number:
            return False
        self.admitted.append(call.uris[0])
        return True

    def began(self, call: Call) -> int:
        self.begun.append(call.uris[0])
        return len(self.begun)

    def ended(self, attempt: int) -> None:
        assert 1 <= attempt <= len(self.begun)
        assert attempt not in self.ended_
        self.ended_.append(attempt)

    @property
    def unresolved(self) -> list[str]:
        return [uri for at, uri in enumerate(self.begun, 1) if at not in self.ended_]


def made(number: int) -> Iterator[Call]:
    return (Call("F", (f"s3://b/{at}",), f'{{"input":"s3://b/{at}"}}'.encode()) for at in range(number))


class Run(SimpleNamespace):
    sender: Sender
    book: Book
    keyring: Keyring
    receipts: list[tuple[str, str, float]]
    ticks: list[float]
    tasks_after: int


def send(
    wire: Any,
    calls: int | Callable[["Run"], Iterator[Call]],
    *,
    lanes: int = 4,
    patience_s: float = 300.0,
    book: Book | None = None,
    keyring: Keyring | None = None,
    on_accepted: Callable[[list[tuple[Call, str, float]]], None] | None = None,
    on_tick: Callable[[Sender], None] = lambda sender: None,
) -> Run:
    run = Run(book=book or Book(), keyring=keyring or Keyring(), receipts=[], ticks=[])
    run.keyring.clock = wire.clock

    def record(accepted: list[tuple[Call, str, float]]) -> None:
        run.receipts += [(call.uris[0], request_id, sent) for call, request_id, sent in accepted]

    def tick() -> None:
        run.ticks.append(wire.clock.now)
        on_tick(run.sender)

    async def work() -> None:
        run.sender = Sender(
            Endpoint("http://lambda.test", "us-east-1"),
            run.keyring,  # type: ignore[arg-type]
            AwsOptions(connections=lanes, timeout_s=30.0, patience_s=patience_s),
            admission=run.book,
            on_accepted=on_accepted or record,
            on_tick=tick,
        )
        await run.sender.run(made(calls) if isinstance(calls, int) else calls(run))
        run.tasks_after = len(asyncio.all_tasks())

    wire.clock.run(work())
    assert wire.closed == wire.opened, "each connection is closed"
    return run


ANSWERS: dict[str, Any] = {
    "accepted": None,
    "throttled": THROTTLED,
    "pending": PENDING,
    "failed": FAILED,
    "lost": LOST,
    "unsent": UNSENT,
    "expired": EXPIRED,
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(
    answers=st.lists(st.sampled_from(sorted(ANSWERS)), max_size=25),
    number=st.integers(0, 12),
    lanes=st.sampled_from([1, 3, 20]),
)
def test_whatever_lambda_answers_each_file_is_accepted_once_and_recorded(
    wire: Any, answers: list[str], number: int, lanes: int
) -> None:
    wire.__init__(wire.clock)
    wire.script = lambda at, request: ANSWERS[answers[at]] if at < len(answers) else None
    run = send(wire, number, lanes=lanes, keyring=Keyring(100))
    files = [f"s3://b/{at}" for at in range(number)]
    assert sorted(uri for uri, _, _ in run.receipts) == sorted(files)
    given_ = answers[: len(wire.requests)]
    seen = Counter(given_ + ["accepted"] * (len(wire.requests) - len(given_)))
    counts = run.sender.counts
    assert counts.accepted == seen["accepted"] == number
    assert counts.throttled == seen["throttled"] + seen["pending"]
    assert counts.errors == seen["failed"]
    assert counts.broken == seen["lost"] + seen["unsent"]
    # Only what may have been accepted is paid for again, and stays unresolved.
    uncertain = seen["failed"] + seen["lost"]
    assert len(run.book.admitted) == number + uncertain
    assert len(run.book.unresolved) == uncertain
    assert run.book.begun == wire.inputs
    assert (run.sender.stopped, run.sender.over_allowance) == ("", False)
    assert wire.most_under_way <= lanes


def test_calls_are_sent_in_order_with_their_payload_and_time(wire: Any) -> None:
    wire.latency_s = 0.5
    run = send(wire, 3, lanes=1)
    assert [(r.function, r.event, r.timeout, r.key) for r in wire.requests] == [
        ("F", {"input": f"s3://b/{at}"}, 30.0, "0") for at in range(3)
    ]
    # The request ID is Lambda's, the time that of the request, not of its response.
    assert run.receipts == [(f"s3://b/{at}", f"id-{at}", 1.7e9 + 0.5 * at) for at in range(3)]
    assert [r.connection for r in wire.requests] == [1, 1, 1]


def test_the_window_opens_to_the_number_of_connections(wire: Any) -> None:
    wire.latency_s = 1.0
    send(wire, 300, lanes=40)
    assert (wire.most_under_way, wire.opened) == (40, 40)
    at = Counter(wire.times())
    assert at[0.0] == 16, "the first window"
    assert at[1.0] == 32, "each response opens a connection beside its own"
    assert at[2.0] == 40


def test_connections_close_when_lambda_throttles(wire: Any) -> None:
    wire.latency_s = 1.0
    wire.script = lambda at, request: THROTTLED if at < 16 else None
    send(wire, 100, lanes=16)
    at = Counter(wire.times())
    assert [at[1.1], at[2.1], at[3.1], at[4.1]] == [16, 12, 13, 14], "0.7 of 16, then one more each second"


@pytest.mark.parametrize(("answer", "name"), [(DENIED, "AccessDeniedException"), (REFUSED, "no proxy")])
def test_a_refusal_stops_it_before_the_next_file(wire: Any, answer: Any, name: str) -> None:
    wire.script = lambda at, request: answer if at == 2 else None
    run = send(wire, 50, lanes=1)
    assert name in run.sender.stopped
    assert len(wire.requests) == 3
    assert len(run.receipts) == 2
    assert run.book.unresolved == [], "it was not accepted"


def test_what_is_under_way_when_it_stops_has_a_second(wire: Any) -> None:
    """A request may still be accepted, and then needs its receipt; one that hangs is not waited for."""
    slow = {1: 0.9, 2: 1.4}

    async def post(self: Any, request: bytes, timeout: float) -> Response:
        number = len(wire.requests)
        wire.requests.append(request)
        await asyncio.sleep(slow.get(number, 0.1))
        return DENIED if number == 0 else Response(202, {}, b"")

    wire_connection = type(wire.open(None))
    wire.closed += 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire_connection, "post", post)
        run = send(wire, 3, lanes=3)
    assert [uri for uri, _, _ in run.receipts] == ["s3://b/1"]
    assert run.book.unresolved == ["s3://b/2"]
    assert wire.clock.now == pytest.approx(1.1, abs=0.21)


def test_pauses_double_until_ten_seconds_and_a_header_may_lengthen_them(wire: Any) -> None:
    wire.script = lambda at, request: THROTTLED if at < 9 else None
    send(wire, 1, lanes=1)
    times = wire.times()
    pauses = [b - a for a, b in itertools.pairwise(times)]
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0])
    begin = wire.clock.now
    wire.__init__(wire.clock)
    headers = [{"retry-after": "3"}, {"retry-after": "60"}, {}]
    wire.script = lambda at, request: Response(503, headers[at], b"") if at < 3 else None
    send(wire, 1, lanes=1)
    assert [at - begin for at in wire.times()] == pytest.approx([0.0, 3.0, 13.0, 13.4])


@pytest.mark.parametrize("answer", [LOST, UNSENT])
def test_a_connection_that_broke_is_tried_again_at_once(wire: Any, answer: Exception) -> None:
    wire.script = lambda at, request: answer if at == 0 else None
    send(wire, 1, lanes=1)
    assert wire.times() == pytest.approx([0.0, 0.1])


def test_expired_keys_are_renewed_once_for_all_requests(wire: Any) -> None:
    wire.latency_s = 0.1
    wire.script = lambda at, request: EXPIRED if request.key == "0" else None
    run = send(wire, 8, lanes=4)
    assert run.keyring.keys.access_key == "1"
    assert Counter(request.key for request in wire.requests) == {"0": 4, "1": 8}
    assert run.book.unresolved == []
    assert run.sender.counts == senders.Counts(accepted=8)


def test_without_new_keys_it_stops_with_the_advice(wire: Any) -> None:
    wire.script = lambda at, request: EXPIRED
    run = send(wire, 8, lanes=2, keyring=Keyring(0))
    assert run.sender.stopped == "sign in again"
    assert (len(wire.requests), run.receipts, run.book.unresolved) == (2, [], [])


def test_keys_are_refreshed_each_minute_and_a_failure_of_that_is_no_end(wire: Any) -> None:
    wire.latency_s = 50.0
    keyring = Keyring()
    keyring.is_broken = True
    run = send(wire, 3, lanes=1, keyring=keyring)
    assert len(run.receipts) == 3
    assert keyring.refreshes == pytest.approx([60.0, 120.0], abs=0.41)


def test_it_ticks_five_times_a_second_and_checks_connections_for_silence(wire: Any) -> None:
    wire.latency_s = 0.95
    run = send(wire, 1, lanes=1)
    assert run.ticks == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert wire.checks == pytest.approx(run.ticks)


def test_its_patience_ends_when_nothing_is_accepted_and_says_why(wire: Any) -> None:
    answers = [THROTTLED, FAILED, LOST, UNSENT, THROTTLED]
    wire.script = lambda at, request: None if at < 2 else answers[(at - 2) % 5]
    run = send(wire, 50, lanes=1, patience_s=300.0)
    assert "nothing for 5 minutes" in run.sender.stopped
    # 0.1 + 0.2 + ... + 6.4 = 12.7 s are seven pauses; 28 more of 10 s end at 292.7 s: 36 requests.
    assert "(15 throttled, 7 errors, 14 broken connections so far)" in run.sender.stopped
    assert run.sender.stopped.endswith(f"last error: {run.sender._last_error}")
    assert 300.0 < run.ticks[-1] < 301.5, "and a second for what is under way"
    assert run.sender.counts.accepted == len(run.receipts) == 2


def test_without_an_error_there_is_none_to_name(wire: Any) -> None:
    wire.latency_s = 1000.0
    run = send(wire, 1, patience_s=90.0)
    assert run.sender.stopped.startswith("Lambda accepted nothing for 1.5 minutes")
    assert run.sender.stopped.endswith("so far)")


@pytest.mark.parametrize(("silence_s", "stopped"), [(9.9, False), (10.5, True)])
def test_what_is_accepted_renews_its_patience(wire: Any, silence_s: float, stopped: bool) -> None:
    wire.latency_s = silence_s
    run = send(wire, 3, lanes=1, patience_s=10.0)
    assert bool(run.sender.stopped) == stopped
    assert len(run.receipts) == (1 if stopped else 3)


def test_while_the_admission_is_closed_nothing_is_sent_and_patience_holds(wire: Any) -> None:
    class Gate(Book):
        def is_open(self) -> bool:
            return not 1.0 < wire.clock.now < 50.0

    wire.latency_s = 0.6
    run = send(wire, 4, lanes=1, patience_s=10.0, book=Gate())
    assert [at for at in wire.times() if 1.0 < at < 50.0] == []
    assert len(run.receipts) == 4
    assert run.sender.stopped == ""
    assert wire.times()[2] == pytest.approx(50.0, abs=0.21), "it asks five times a second"


@pytest.mark.parametrize("lanes", [1, 3])
def test_a_call_that_is_not_admitted_is_the_last_that_is_asked(wire: Any, lanes: int) -> None:
    run = send(wire, 50, lanes=lanes, book=Book(5))
    assert run.sender.over_allowance
    assert wire.inputs == [f"s3://b/{at}" for at in range(5)]
    assert (len(run.receipts), run.sender.stopped) == (5, "")


def test_a_lost_response_that_cannot_be_paid_again_ends_it(wire: Any) -> None:
    wire.script = lambda at, request: FAILED if at >= 2 else None
    run = send(wire, 50, lanes=1, book=Book(4))
    assert wire.inputs == ["s3://b/0", "s3://b/1", "s3://b/2", "s3://b/2"]
    assert run.sender.over_allowance
    assert run.sender.counts.errors == 2
    assert run.book.unresolved == ["s3://b/2"] * 2


def test_over_the_allowance_the_closed_admission_is_not_waited_for(wire: Any) -> None:
    class Shut(Book):
        def is_open(self) -> bool:
            return len(self.admitted) < 2

    wire.latency_s = 1.0
    wire.script = lambda at, request: FAILED
    run = send(wire, 50, lanes=3, book=Shut(2), patience_s=1e9)
    assert run.sender.over_allowance
    assert wire.clock.now < 10.0


@pytest.mark.parametrize("failing", ["began", "ended"])
def test_a_request_that_cannot_be_recorded_is_the_last(wire: Any, failing: str) -> None:
    book = Book()
    full = OSError(errno.ENOSPC, "No space left on device")
    usual = getattr(book, failing)

    def fail(*arguments: Any) -> Any:
        if len(wire.requests) >= 3 - (failing == "began") and len(book.begun) >= 2:
            raise full
        return usual(*arguments)

    setattr(book, failing, fail)
    run = send(wire, 50, lanes=1, book=book)
    assert "requests cannot be recorded" in run.sender.stopped
    assert "No space" in run.sender.stopped
    assert len(wire.requests) == (2 if failing == "began" else 3)
    assert len(run.receipts) == len(wire.requests)


def test_a_receipt_that_cannot_be_recorded_stops_it(wire: Any) -> None:
    def fail(accepted: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    run = send(wire, 50, lanes=1, on_accepted=fail)
    assert "receipts cannot be recorded" in run.sender.stopped
    assert len(wire.requests) == 1


def test_any_other_error_of_a_receipt_is_raised(wire: Any) -> None:
    def fail(accepted: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        send(wire, 50, on_accepted=fail)
    assert wire.closed == wire.opened


@pytest.mark.parametrize("good", [0, 3, 64, 100])
def test_an_error_of_the_calls_is_raised_after_those_before_it(wire: Any, good: int) -> None:
    def calls(run: Run) -> Iterator[Call]:
        yield from made(good)
        raise InputError("a file on this machine")

    wire.latency_s = 0.1
    with pytest.raises(InputError, match="on this machine"):
        send(wire, calls, lanes=1)
    assert len(wire.requests) <= good
    assert wire.closed == wire.opened


def test_calls_are_made_only_a_little_ahead(wire: Any) -> None:
    """There may be millions, and each costs a look at what is done."""
    ahead: list[int] = []

    def calls(run: Run) -> Iterator[Call]:
        for at, call in enumerate(made(300)):
            ahead.append(at - len(wire.requests))
            yield call

    wire.latency_s = 0.01
    send(wire, calls, lanes=2)
    assert len(wire.requests) == 300
    assert max(ahead) == 63


def test_who_stops_it_from_a_tick_stops_it_before_the_next_burst(wire: Any) -> None:
    def stop(sender: Sender) -> None:
        sender.stopped = sender.stopped or "it is being cancelled"

    wire.latency_s = 0.15
    run = send(wire, 500, lanes=2, on_tick=stop)
    assert run.sender.stopped == "it is being cancelled"
    assert max(wire.times()) <= 0.2
    assert len(run.receipts) == len(wire.requests), "those under way have their receipts"


def test_once_stopped_it_looks_for_no_more_calls(wire: Any) -> None:
    taken: list[int] = []

    def calls(run: Run) -> Iterator[Call]:
        for at, call in enumerate(made(50)):
            taken.append(at)
            if at == 3:
                run.sender.stopped = "the lease was lost"
            yield call

    run = send(wire, calls)
    assert taken == [0, 1, 2, 3]
    assert wire.requests == [] == run.receipts


def test_in_a_loop_that_goes_on_nothing_of_it_goes_on(wire: Any) -> None:
    """A notebook's loop."""

    def stop(sender: Sender) -> None:
        sender.stopped = "it is being cancelled"

    wire.latency_s = 100.0
    run = send(wire, 50, lanes=8, on_tick=stop)
    assert len(run.receipts) == 0
    assert run.tasks_after == 1, "the caller's own"


def test_an_error_of_a_tick_is_raised(wire: Any) -> None:
    def fail(sender: Sender) -> None:
        raise ZeroDivisionError

    wire.latency_s = 100.0
    with pytest.raises(ZeroDivisionError):
        send(wire, 5, on_tick=fail)
    assert wire.clock.now < 1.0


def test_ctrl_c_waits_a_second_for_receipts_and_sends_no_more(wire: Any) -> None:
    receipts: list[str] = []
    wire.latency_s = 0.5

    async def work() -> None:
        sender = Sender(
            Endpoint("http://lambda.test", "us-east-1"),
            Keyring(),  # type: ignore[arg-type]
            AwsOptions(connections=2),
            admission=Admission(),
            on_accepted=lambda some: receipts.extend(call.uris[0] for call, _, _ in some),
            on_tick=lambda: None,
        )
        running = asyncio.create_task(sender.run(made(50)))
        await asyncio.sleep(0.7)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert sender.stopped == "interrupted"

    wire.clock.run(work())
    assert (len(wire.requests), sorted(receipts)) == (4, sorted(wire.inputs))
    assert wire.closed == wire.opened
    assert wire.clock.now < 1.8


def test_an_admission_that_limits_nothing() -> None:
    call = Call("F", ("s3://b/k",), b"")
    usual = Admission()
    assert (usual.is_open(), usual.admit(call), usual.began(call)) == (True, True, 0)
    usual.ended(0)


def test_it_doubles_until_the_first_throttled_response() -> None:
    window = Window(256)
    start = window.size
    for _ in range(start):
        window.accepted()
    assert window.size == 2 * start
    window.throttled(10.0)
    assert window.size == int(2 * start * 0.7)
    before = window.size
    for _ in range(before + 1):  # a round trip
        window.accepted()
    assert window.size == before + 1


def test_one_request_at_a_time_remains() -> None:
    window = Window(256)
    for second in range(40):
        window.throttled(float(second))
    assert window.size == 1
    window.accepted()
    assert window.size == 2, "a round trip of one"


def test_throttled_responses_of_one_moment_count_once() -> None:
    window = Window(256)
    for _ in range(240):
        window.accepted()
    window.throttled(5.0)
    once = window.size
    for _ in range(100):
        window.throttled(5.5)
    assert window.size == once
    window.throttled(6.0)
    assert window.size < once


@given(maximum=st.integers(1, 300), responses=st.lists(st.booleans(), max_size=400))
def test_it_stays_between_1_and_the_maximum(maximum: int, responses: list[bool]) -> None:
    window = Window(maximum)
    for at, is_accepted in enumerate(responses):
        if is_accepted:
            window.accepted()
        else:
            window.throttled(float(at))
        assert 1 <= window.size <= maximum
