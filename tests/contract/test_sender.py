"""The sender against an endpoint that responds as Lambda may: what it sends again, and when it stops."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import count
from threading import Event

import pytest
from standins.lambda_endpoint import Endpoint as StandIn
from standins.lambda_endpoint import error, response

from skyfan.aws import sender as senders
from skyfan.aws.connection import Endpoint
from skyfan.aws.sender import Admission, Sender
from skyfan.aws.signing import Credentials, Keys
from skyfan.engine import AwsOptions, Call
from skyfan.errors import InputError

Script = Callable[[int, str], bytes | None]
"""The response to the n-th request (from 0), signed with an access key; None lets the endpoint accept it, and
an empty one keeps it silent."""


class Scripted(StandIn):
    def __init__(self, script: Script, piece: int | None = None) -> None:
        super().__init__(piece=piece)
        self.script, self.requests = script, 0
        self.keys: list[str] = []

    def answer(self, head: bytes, body: bytes) -> bytes:
        number, self.requests = self.requests, self.requests + 1
        self.keys.append(head.partition(b"Credential=")[2].partition(b"/")[0].decode())
        scripted = self.script(number, self.keys[-1])
        return super().answer(head, body) if scripted is None else scripted


class Renewed(Credentials):
    """Credentials with the key a, and b after a renewal."""

    def __init__(self) -> None:
        self.keys, self.refreshed = Keys("a", "secret"), 0

    async def refresh(self) -> None:
        self.refreshed += 1

    async def renew(self, refused: Keys) -> None:
        assert refused.access_key == "a"
        self.keys = Keys("b", "secret")


class Allowance(Admission):
    """Admits a number of calls, lost responses included; counts requests whose fate is unknown."""

    def __init__(self, number: float) -> None:
        self.number, self.requests = number, 0
        self.unresolved: set[int] = set()

    def admit(self, call: Call) -> bool:
        self.number -= 1
        return self.number >= 0

    def began(self, call: Call) -> int:
        self.requests += 1
        self.unresolved.add(self.requests)
        return self.requests

    def ended(self, attempt: int) -> None:
        self.unresolved.remove(attempt)


def send(
    script: Script,
    number: int = 20,
    *,
    allowance: float = float("inf"),
    patience_s: float = 30.0,
    lanes: int = 4,
    pause: Callable[[int], None] = lambda at: None,
    on_tick: Callable[[], None] = lambda: None,
    admission: Admission | None = None,
    piece: int | None = None,
    credentials: Renewed | None = None,
) -> tuple[Sender, Scripted, list[str]]:
    """Sends calls; `pause` is called with the number of each before it is made."""

    def calls() -> Iterator[Call]:
        for at in range(number):
            pause(at)
            yield Call("skyfan-F", (f"s3://b/{at}",), b'{"input":"s3://b/x"}')

    accepted: list[str] = []

    async def work() -> tuple[Sender, Scripted]:
        stand_in = Scripted(script, piece)
        server = await stand_in.start()
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        sender = Sender(
            Endpoint(url, "us-east-1"),
            credentials or Renewed(),
            AwsOptions(connections=lanes, timeout_s=1.0, patience_s=patience_s),
            admission=admission or Allowance(allowance),
            on_accepted=lambda some: accepted.extend(uri for call, _, _ in some for uri in call.uris),
            on_tick=on_tick,
        )
        try:
            await sender.run(calls())
        finally:
            server.close()
        return sender, stand_in

    sender, stand_in = asyncio.run(work())
    return sender, stand_in, accepted


def test_without_failures_all_files_are_sent_once() -> None:
    sender, stand_in, accepted = send(lambda at, key: None)
    assert sorted(accepted) == sorted(f"s3://b/{at}" for at in range(20))
    assert (stand_in.accepted, sender.stopped) == (20, "")


def test_throttled_and_failed_requests_are_sent_again() -> None:
    throttle = error(429, "TooManyRequestsException", "slow down")
    failure = error(500, "ServiceException", "oh")
    script = {1: throttle, 2: failure, 5: throttle, 9: failure}
    sender, stand_in, accepted = send(lambda at, key: script.get(at))
    assert len(accepted) == len(set(accepted)) == 20
    assert (sender.counts.throttled, sender.counts.errors, stand_in.accepted) == (2, 2, 20)


def test_a_refusal_of_all_requests_stops_the_sender_at_once() -> None:
    denied = error(403, "AccessDeniedException", "no right")
    sender, stand_in, accepted = send(lambda at, key: denied if at >= 3 else None, 1000)
    assert "AccessDeniedException: no right" in sender.stopped
    assert stand_in.requests < 20
    assert len(accepted) == stand_in.accepted


def test_a_function_that_is_being_updated_is_waited_for() -> None:
    updating = error(409, "ResourceConflictException", "The function is currently in the state Pending")
    sender, stand_in, accepted = send(lambda at, key: updating if at < 6 else None)
    assert (len(set(accepted)), stand_in.accepted, sender.stopped) == (20, 20, "")
    sender, stand_in, accepted = send(lambda at, key: updating, patience_s=1.0)
    assert accepted == []
    assert "in the state Pending" in sender.stopped


def test_expired_credentials_are_renewed_and_no_file_is_lost() -> None:
    expired = error(403, "ExpiredTokenException", "the token has expired")
    sender, stand_in, accepted = send(lambda at, key: expired if key == "a" and at >= 5 else None)
    assert len(set(accepted)) == 20
    assert sender.stopped == ""
    assert stand_in.keys[-1] == "b"


def test_it_stops_when_nothing_is_accepted_for_long() -> None:
    throttle = error(429, "TooManyRequestsException", "no")
    sender, _, accepted = send(lambda at, key: throttle if at >= 4 else None, patience_s=1.0)
    assert "throttled" in sender.stopped
    assert len(accepted) == 4


def test_a_request_that_may_have_been_accepted_counts_against_the_allowance() -> None:
    failure = error(500, "ServiceException", "oh")
    sender, stand_in, accepted = send(lambda at, key: failure if at in {0, 1, 2} else None, allowance=10)
    assert stand_in.requests == 10  # never more, whatever the responses
    assert len(accepted) == 7
    assert sender.over_allowance


def test_only_requests_whose_response_was_lost_stay_unresolved() -> None:
    throttle, failure = error(429, "TooManyRequestsException", "no"), error(500, "ServiceException", "oh")
    admission = Allowance(20)
    _, stand_in, accepted = send(
        lambda at, key: {1: throttle, 3: failure, 7: throttle, 8: failure}.get(at), 12, admission=admission
    )
    assert len(accepted) == 12
    assert admission.requests == stand_in.requests == 16
    assert len(admission.unresolved) == 2


def test_nothing_is_sent_while_the_admission_is_closed() -> None:
    class Slow(Allowance):
        """Opens for one more call each time that it was asked three times; patience does not run out."""

        asked = 0

        def is_open(self) -> bool:
            self.asked += 1
            return self.asked % 3 == 0

    _, _, accepted = send(lambda at, key: None, 5, admission=Slow(20), lanes=1, patience_s=0.3)
    assert len(accepted) == 5


def test_a_throttled_request_does_not_count_against_the_allowance() -> None:
    throttle = error(429, "TooManyRequestsException", "no")
    sender, stand_in, accepted = send(lambda at, key: throttle if at in {0, 1, 2} else None, allowance=10)
    assert (len(accepted), stand_in.requests) == (10, 13)
    assert sender.over_allowance


def test_it_stops_if_nobody_listens_at_the_endpoint() -> None:
    async def work() -> Sender:
        sender = Sender(
            Endpoint("http://127.0.0.1:1", "us-east-1"),
            Renewed(),
            AwsOptions(connections=1, timeout_s=1.0, patience_s=0.5),
            admission=Admission(),
            on_accepted=lambda some: None,
            on_tick=lambda: None,
        )
        await sender.run(iter([Call("f", ("s3://b/k",), b"{}")]))
        return sender

    sender = asyncio.run(work())
    assert "http://127.0.0.1:1" in sender.stopped
    assert sender.counts.accepted == 0


@pytest.mark.parametrize("failing", ["began", "ended"])
def test_a_full_disk_stops_the_sender(monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    number = count()

    def fill(*_: object) -> int:
        if next(number) >= 5:
            raise OSError(28, "No space left on device")
        return 0

    monkeypatch.setattr(Allowance, failing, fill)
    monkeypatch.setattr(Allowance, "began" if failing == "ended" else "ended", lambda *_: 0)
    sender, stand_in, accepted = send(lambda at, key: None, 1000)
    assert "No space" in sender.stopped
    assert 5 <= len(accepted) == stand_in.accepted < 50


def test_a_receipt_is_recorded_before_its_lane_takes_the_next_file() -> None:
    """Otherwise kill -9 could lose more receipts than there are connections."""
    unrecorded: list[int] = []
    accepted: list[str] = []

    async def work() -> None:
        stand_in = Scripted(lambda at, key: None)
        server = await stand_in.start()

        def calls() -> Iterator[Call]:
            for at in range(60):
                unrecorded.append(sender.counts.accepted - len(accepted))
                yield Call("skyfan-F", (f"s3://b/{at}",), b"{}")

        sender = Sender(
            Endpoint(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "us-east-1"),
            Renewed(),
            AwsOptions(connections=3, timeout_s=1.0, patience_s=30.0),
            admission=Admission(),
            on_accepted=lambda some: accepted.extend(uri for call, _, _ in some for uri in call.uris),
            on_tick=lambda: None,
        )
        try:
            await sender.run(calls())
        finally:
            server.close()

    asyncio.run(work())
    assert len(accepted) == 60
    assert set(unrecorded) == {0}


def test_the_search_for_the_next_file_blocks_neither_requests_nor_ticks() -> None:
    responded, ticked = Event(), Event()
    waits: list[bool] = []

    def search(at: int) -> None:
        if at == 10:
            ticked.clear()
            waits.append(ticked.wait(20) and responded.wait(20))

    def accept(at: int, key: str) -> None:
        if at == 9:
            responded.set()

    _, stand_in, accepted = send(accept, pause=search, on_tick=ticked.set)
    assert waits == [True]
    assert (len(set(accepted)), stand_in.accepted) == (20, 20)


def test_an_error_of_the_search_is_raised() -> None:
    def search(at: int) -> None:
        if at == 10:
            raise InputError("no such file")

    with pytest.raises(InputError, match="no such file"):
        send(lambda at, key: None, pause=search)


def test_a_silent_endpoint_is_sent_the_file_again() -> None:
    admission = Allowance(30)
    sender, stand_in, accepted = send(lambda at, key: b"" if at in {2, 5} else None, admission=admission)
    assert len(set(accepted)) == len(accepted) == 20
    assert (sender.counts.broken, stand_in.requests) == (2, 22)
    assert len(admission.unresolved) == 2, "it may have been accepted"


def test_an_endpoint_that_stays_silent_stops_the_sender() -> None:
    sender, _, accepted = send(lambda at, key: b"" if at >= 3 else None, patience_s=2.0)
    assert len(accepted) == 3
    assert "no response in time" in sender.stopped


def test_responses_in_pieces_are_whole() -> None:
    failure = error(500, "ServiceException", "oh, in pieces")
    sender, stand_in, accepted = send(lambda at, key: failure if at == 4 else None, piece=5)
    assert (len(set(accepted)), stand_in.accepted, sender.counts.errors) == (20, 20, 1)
    assert "ServiceException: oh, in pieces" in sender._last_error


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses before requests are sent again, in seconds; none of them is waited for."""
    found: list[float] = []
    sleep = asyncio.sleep

    async def record(seconds: float) -> None:
        if seconds == senders._TICK_S:
            await sleep(seconds)
        else:
            found.append(seconds)
            await sleep(0)

    monkeypatch.setattr(senders.asyncio, "sleep", record)
    return found


def test_the_endpoint_says_how_long_to_wait(pauses: list[float]) -> None:
    body = b"{}"
    busy = response(429, body, headers="x-amzn-ErrorType: TooManyRequestsException\r\nRetry-After: 7\r\n")
    later = response(503, body, headers="Retry-After: 9999\r\n")
    _, _, accepted = send(lambda at, key: {1: busy, 2: later}.get(at), 4, lanes=1)
    assert len(accepted) == 4
    assert pauses == [7.0, 10.0], "at most the longest pause of its own"


def test_pauses_grow_from_request_to_request(pauses: list[float]) -> None:
    throttle = error(429, "TooManyRequestsException", "no")
    send(lambda at, key: throttle if at < 12 else None, 1, lanes=1)
    assert len(pauses) == 12
    assert 0 < pauses[0] <= 0.1
    assert max(pauses[-3:]) > 1, "0.1 s doubled, with chance, up to 10 s"
    assert max(pauses) <= 10


def test_credentials_are_refreshed_while_it_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    ticked = Event()

    def wait(at: int) -> None:
        ticked.wait(20)

    for every, refreshed in ((0.0, True), (60.0, False)):
        monkeypatch.setattr(senders, "_REFRESH_S", every)
        credentials = Renewed()
        ticked.clear()
        send(
            lambda at, key: None,
            2,
            pause=lambda at: ticked.wait(20) and None,
            on_tick=ticked.set,
            credentials=credentials,
        )
        assert (credentials.refreshed > 0) == refreshed


def test_a_sender_that_starts_has_counted_nothing() -> None:
    sender, _, _ = send(lambda at, key: None, 0)
    assert vars(sender.counts) == {"accepted": 0, "throttled": 0, "errors": 0, "broken": 0, "wait": ""}
    assert (sender.stopped, sender.over_allowance) == ("", False)
