"""A clock that jumps to the next wait, and a Lambda in this process: no sockets, no seconds."""

import asyncio
import json
import re
import selectors
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
from obstore.store import LocalStore

from skyfan.aws import dispatch
from skyfan.aws import sender as senders
from skyfan.aws.connection import Endpoint, Response
from skyfan.aws.signing import Keys
from skyfan.storage.place import Place

T = TypeVar("T")
BEGAN = 1.7e9
"""Unix time at which the clock begins; its monotonic time is 0 then."""
_HEAD = re.compile(
    rb"POST /2015-03-31/functions/([^/]+)/invocations HTTP/1\.1\r\nhost: lambda\.test\r\n(?s:.*)"
    rb"\r\nx-amz-invocation-type: Event\r\n(?s:.*)Credential=([^/]+)/(?s:.*)\r\nContent-Length: (\d+)"
)


class _Selector(selectors.DefaultSelector):
    """Instead of waiting, moves the clock on."""

    clock: "Clock"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found:
            assert timeout is not None, "it waits for what never comes"
            assert self.clock.now < 3600.0, "it waits for what never comes"
            self.clock.now += timeout
        self.clock.rounds += 1
        assert self.clock.rounds < 100_000, "it runs in circles"
        return found


class Clock:
    """Seconds that pass only while everything waits. Threads of asyncio are calls in this thread."""

    def __init__(self) -> None:
        self.now, self.rounds = 0.0, 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine whose event loop has this clock."""

        def make() -> asyncio.AbstractEventLoop:
            selector = _Selector()
            selector.clock = self
            loop = asyncio.SelectorEventLoop(selector)
            loop.time = lambda: self.now  # type: ignore[method-assign]
            return loop

        with asyncio.Runner(loop_factory=make) as runner:
            return runner.run(work)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()

    async def to_thread(work: Callable[..., T], *arguments: Any) -> T:
        return work(*arguments)

    times = SimpleNamespace(monotonic=lambda: clock.now, time=lambda: BEGAN + clock.now)
    monkeypatch.setattr(asyncio, "to_thread", to_thread)
    for module in (senders, dispatch):
        monkeypatch.setattr(module, "time", times)
    monkeypatch.setattr(dispatch, "_run", clock.run)
    return clock


class Wire:
    """What the sender's connections lead to: a script answers each request, None accepts it."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.script: Callable[[int, Request], Response | Exception | None] = lambda number, request: None
        self.latency_s = 0.0
        self.requests: list[Request] = []
        self.opened = self.closed = self.under_way = self.most_under_way = 0
        self.checks: list[float] = []

    def open(self, endpoint: Endpoint) -> "_Connection":
        self.opened += 1
        return _Connection(self)

    @property
    def inputs(self) -> list[str]:
        """The inputs of all requests in their order."""
        return [uri for request in self.requests for uri in request.inputs]

    def times(self) -> list[float]:
        return [request.at for request in self.requests]


class Request(SimpleNamespace):
    """One request: when it came, and what it says."""

    at: float
    function: str
    key: str
    inputs: list[str]
    event: dict[str, Any]
    timeout: float
    connection: int


class _Connection:
    def __init__(self, wire: Wire) -> None:
        self.wire, self.number, self.is_closed = wire, wire.opened, False

    async def post(self, request: bytes, timeout: float) -> Response:
        wire = self.wire
        head, body = request.split(b"\r\n\r\n", 1)
        match = _HEAD.fullmatch(head)
        assert match, head
        assert int(match[3]) == len(body)
        event = json.loads(body)
        inputs = event.get("inputs") or [event["input"]]
        function, key = match[1].decode(), match[2].decode()
        number = len(wire.requests)
        wire.requests.append(
            Request(
                at=round(wire.clock.now, 6),
                function=function,
                key=key,
                inputs=inputs,
                event=event,
                timeout=timeout,
                connection=self.number,
            )
        )
        wire.under_way += 1
        wire.most_under_way = max(wire.most_under_way, wire.under_way)
        try:
            await asyncio.sleep(wire.latency_s)
        finally:
            wire.under_way -= 1
        answer = wire.script(number, wire.requests[number])
        if isinstance(answer, Exception):
            raise answer
        return answer or Response(202, {"x-amzn-requestid": f"id-{number}"}, b"")

    def check_timeout(self, now: float) -> None:
        assert not self.is_closed
        self.wire.checks.append(now)

    def close(self) -> None:
        self.is_closed = True
        self.wire.closed += 1


@pytest.fixture
def wire(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Wire:
    """Its pauses are the longest that chance allows."""
    wire = Wire(clock)
    monkeypatch.setattr("skyfan.concurrency.random.uniform", lambda low, high: high)
    monkeypatch.setattr(senders, "Connection", wire.open)
    monkeypatch.setattr(dispatch, "endpoint", lambda: Endpoint("http://lambda.test", "us-east-1"))

    async def refresh() -> None:
        pass

    keyring = SimpleNamespace(keys=Keys("key", "secret"), refresh=refresh)
    monkeypatch.setattr(dispatch, "Credentials", lambda: keyring)
    return wire


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A folder under the name of a bucket; every bucket is one of these."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def at(name: str | Path, *, make: bool = False) -> Place:
        bucket = str(name).removeprefix("s3://")
        return Place(f"s3://{bucket}", LocalStore(tmp_path / "buckets" / bucket, mkdir=True))

    monkeypatch.setattr(Place, "at", at)
    return at("s3://results")
