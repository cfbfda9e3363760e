"""The sender against an endpoint that answers as Lambda may: what it sends again, and when it stops."""

import asyncio
from collections.abc import Callable, Iterator

from standins.lambda_endpoint import Endpoint as StandIn
from standins.lambda_endpoint import error

from skyfan.aws.calls import Call
from skyfan.aws.connection import Endpoint
from skyfan.aws.credentials import Credentials, Keys
from skyfan.aws.sender import Sender

Answer = Callable[[int, str], bytes | None]
"""The answer to the n-th request (from 0), signed with an access key; None lets the endpoint accept it."""


class Scripted(StandIn):
    def __init__(self, script: Answer) -> None:
        super().__init__()
        self.script, self.requests = script, 0
        self.keys: list[str] = []

    def answer(self, head: bytes, body: bytes) -> bytes:
        number, self.requests = self.requests, self.requests + 1
        self.keys.append(head.partition(b"Credential=")[2].partition(b"/")[0].decode())
        return self.script(number, self.keys[-1]) or super().answer(head, body)


class Renewed(Credentials):
    """Credentials that are b after they were a."""

    def __init__(self) -> None:
        self.keys = Keys("a", "secret")

    async def refresh(self) -> None:
        pass

    async def renew(self, refused: Keys) -> None:
        assert refused.access_key == "a"
        self.keys = Keys("b", "secret")


def send(
    script: Answer,
    number: int = 20,
    *,
    allowance: float = float("inf"),
    patience_s: float = 30.0,
    lanes: int = 4,
) -> tuple[Sender, Scripted, list[str]]:
    calls = [Call("skyfan-F", (f"s3://b/{at}",), b'{"input":"s3://b/x"}') for at in range(number)]
    accepted: list[str] = []

    async def work() -> tuple[Sender, Scripted]:
        stand_in = Scripted(script)
        server = await stand_in.start()
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        sender = Sender(
            Endpoint(url, "us-east-1", None),
            Renewed(),
            connections=lanes,
            timeout_s=1.0,
            patience_s=patience_s,
            allowance=allowance,
            on_accepted=lambda some: accepted.extend(uri for call, _, _ in some for uri in call.uris),
            on_tick=lambda: None,
        )
        await sender.run(iter(calls))
        server.close()
        return sender, stand_in

    sender, stand_in = asyncio.run(work())
    return sender, stand_in, accepted


def test_all_is_sent_once_where_nothing_fails() -> None:
    sender, stand_in, accepted = send(lambda at, key: None)
    assert sorted(accepted) == sorted(f"s3://b/{at}" for at in range(20))
    assert (stand_in.accepted, sender.stopped, sender.dropped) == (20, "", 0)


def test_what_was_not_taken_is_sent_again() -> None:
    throttle = error(429, "TooManyRequestsException", "slow down")
    failure = error(500, "ServiceException", "oh")
    script = {1: throttle, 2: failure, 5: throttle, 9: failure}
    sender, stand_in, accepted = send(lambda at, key: script.get(at))
    assert len(accepted) == len(set(accepted)) == 20
    assert (sender.counts.throttled, sender.counts.errors, stand_in.accepted) == (2, 2, 20)


def test_a_refusal_that_all_would_meet_stops_at_once() -> None:
    denied = error(403, "AccessDeniedException", "no right")
    sender, stand_in, accepted = send(lambda at, key: denied if at >= 3 else None, 1000)
    assert sender.stopped.startswith("Lambda refused skyfan-F: AccessDeniedException: no right")
    assert stand_in.requests < 20
    assert len(accepted) == stand_in.accepted


def test_credentials_that_ran_out_are_renewed_and_no_file_is_lost() -> None:
    expired = error(403, "ExpiredTokenException", "the token has expired")
    sender, stand_in, accepted = send(lambda at, key: expired if key == "a" and at >= 5 else None)
    assert len(set(accepted)) == 20
    assert sender.stopped == ""
    assert stand_in.keys[-1] == "b"


def test_it_gives_up_when_nothing_is_accepted_for_long() -> None:
    throttle = error(429, "TooManyRequestsException", "no")
    sender, _, accepted = send(lambda at, key: throttle if at >= 4 else None, patience_s=1.0)
    assert "accepted nothing for" in sender.stopped
    assert len(accepted) == 4
    assert sender.dropped > 0


def test_what_may_have_been_taken_counts_against_the_allowance() -> None:
    failure = error(500, "ServiceException", "oh")
    sender, stand_in, accepted = send(lambda at, key: failure if at in {0, 1, 2} else None, allowance=10)
    assert stand_in.requests == 10  # never more, however they were answered
    assert len(accepted) == 7
    assert sender.over_allowance


def test_what_was_surely_not_taken_does_not() -> None:
    throttle = error(429, "TooManyRequestsException", "no")
    sender, stand_in, accepted = send(lambda at, key: throttle if at in {0, 1, 2} else None, allowance=10)
    assert (len(accepted), stand_in.requests) == (10, 13)
    assert sender.over_allowance


def test_an_endpoint_where_nobody_listens_is_given_up() -> None:
    async def work() -> Sender:
        sender = Sender(
            Endpoint("http://127.0.0.1:1", "us-east-1", None),
            Renewed(),
            connections=1,
            timeout_s=1.0,
            patience_s=0.5,
            allowance=10,
            on_accepted=lambda some: None,
            on_tick=lambda: None,
        )
        await sender.run(iter([Call("f", ("s3://b/k",), b"{}")]))
        return sender

    sender = asyncio.run(work())
    assert "accepted nothing" in sender.stopped
    assert sender.dropped == 1


def test_a_receipt_is_recorded_before_its_lane_takes_another_file() -> None:
    """Else kill -9 could lose more receipts than there are connections."""
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
            Endpoint(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "us-east-1", None),
            Renewed(),
            connections=3,
            timeout_s=1.0,
            patience_s=30.0,
            allowance=100,
            on_accepted=lambda some: accepted.extend(uri for call, _, _ in some for uri in call.uris),
            on_tick=lambda: None,
        )
        await sender.run(calls())
        server.close()

    asyncio.run(work())
    assert len(accepted) == 60
    assert set(unrecorded) == {0}
