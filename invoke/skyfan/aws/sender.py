"""Sends Event invocations over many keep-alive connections, as fast as Lambda accepts them.

A lane is one connection: it takes a call, sends it until it is accepted, and takes the next. A call that must
be sent again waits in its lane. Calls are made in a thread, a few at a time: between two files that remain
there may be a million that are done.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from .. import concurrency, formatting
from ..engine import AwsOptions, Call
from ..errors import UsageError
from . import invocations, signing
from .connection import BrokenError, Connection, Endpoint, NotSentError, RefusedError
from .invocations import Verdict
from .signing import Credentials

_BACKOFF_S, _MAX_BACKOFF_S = 0.1, 10.0
_TICK_S = 0.2
_REFRESH_S = 60.0
_GRACE_S = 1.0
_QUIET_S = 3.0  # so long nothing may be accepted without a word
_FIRST_WINDOW = 16
_AHEAD = 64
_DECREASE = 0.7
# At most one decrease per second: throttled responses of the same moment carry the same information. Between
# two decreases the window grows by one per round trip, so that a few throttled responses cost little.
_DECREASE_EVERY_S = 1.0


@dataclass
class Counts:
    """What the sender has counted so far."""

    accepted: int = 0
    """Invocations."""
    throttled: int = 0
    """Requests that Lambda throttled, or for which the function was not ready."""
    errors: int = 0
    """Responses with status 5xx."""
    broken: int = 0
    """Connections that broke or timed out."""
    wait: str = ""
    """Why nothing is accepted now: what, since when, until when; empty while Lambda accepts."""


class Window:
    """The number of concurrent requests: additive increase, multiplicative decrease.

    It doubles per round trip until the first throttled response.
    """

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._size = float(min(_FIRST_WINDOW, maximum))
        self._is_doubling = True
        self._decreased = float("-inf")

    @property
    def size(self) -> int:
        """Maximum number of concurrent requests now; at least 1."""
        return int(self._size)

    def accepted(self) -> None:
        """Increases the window after an accepted request."""
        self._size = min(self._maximum, self._size + (1.0 if self._is_doubling else 1.0 / self._size))

    def throttled(self, now: float) -> None:
        """Decreases the window after a throttled request. `now` is in seconds of any monotonic clock."""
        self._is_doubling = False
        if now - self._decreased >= _DECREASE_EVERY_S:
            self._decreased = now
            self._size = max(1.0, self._size * _DECREASE)


class Admission:
    """Decides which calls are sent, and when. This one admits all of them at once."""

    def is_open(self) -> bool:
        """Whether a call may be sent now; if not, the sender asks again later."""
        return True

    def admit(self, call: Call) -> bool:
        """Whether a call may be sent: asked before its first request, and again after each lost response."""
        return True

    def began(self, call: Call) -> int:
        """Called before each request; returns a number for it."""
        return 0

    def ended(self, attempt: int) -> None:
        """Called when it is known whether a request was accepted, after its receipt was recorded."""


class Sender:
    """Sends many calls once."""

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Credentials,
        options: AwsOptions,
        *,
        admission: Admission,
        on_accepted: Callable[[list[tuple[Call, str, float]]], None],
        on_tick: Callable[[], None],
    ) -> None:
        """`on_accepted` is called with accepted calls, their request IDs and Unix times.

        `on_tick` is called five times per second. The sender stops if a call is not admitted, and if nothing
        was accepted for `options.patience_s` seconds although it may send.
        """
        self.counts = Counts()
        self.stopped = ""
        """Why not all calls were sent; empty if all were or the admission refused one."""
        self.over_allowance = False
        """Whether a call was not admitted."""
        self._endpoint, self._credentials = endpoint, credentials
        self._signer = signing.Signer(endpoint.host, endpoint.region)
        self._timeout, self._patience = options.timeout_s, options.patience_s
        self._admission = admission
        self._on_accepted, self._on_tick = on_accepted, on_tick
        self._window = Window(options.connections)
        self._lanes: set[asyncio.Task[None]] = set()
        self._connections: set[Connection] = set()
        self._waiting: deque[Call] = deque()
        self._arrived = asyncio.Event()
        self._taking: asyncio.Task[None] | None = None
        self._exhausted = False
        self._last_error = ""
        self._full_since: float | None = None  # Unix time since which the admission is closed

    async def run(self, calls: Iterator[Call]) -> None:
        """Sends all calls, or as many as allowed. Raises any error of `calls` and of `on_accepted`."""
        self._calls = calls
        self._last = time.monotonic()
        ticking = asyncio.create_task(self._tick())
        try:
            self._add_lanes()
            while self._lanes and not self.stopped:
                await asyncio.wait(
                    {*self._lanes, ticking}, timeout=_TICK_S, return_when=asyncio.FIRST_EXCEPTION
                )
                for task in [*self._lanes, ticking]:
                    if task.done() and task.exception():
                        task.result()
            if self._lanes:  # stopped: a request under way may still be accepted, and then has its receipt
                await asyncio.wait(self._lanes, timeout=_GRACE_S)
        except asyncio.CancelledError:  # Ctrl-C: requests in flight may still be accepted
            self.stopped = "interrupted"
            await asyncio.wait({*self._lanes, ticking}, timeout=_GRACE_S, return_when=asyncio.FIRST_EXCEPTION)
            raise
        finally:
            self._exhausted = True  # otherwise a cancelled lane would be replaced by a new one
            tasks = [ticking, *self._lanes, *([self._taking] if self._taking else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _add_lanes(self) -> None:
        while len(self._lanes) < self._window.size and not self._exhausted and not self.stopped:
            lane = asyncio.create_task(self._lane())
            self._lanes.add(lane)
            lane.add_done_callback(self._remove_lane)

    def _remove_lane(self, lane: asyncio.Task[None]) -> None:
        # A lane that raised stays in the set, where run() finds its exception.
        if lane.cancelled() or not lane.exception():
            self._lanes.discard(lane)
            self._add_lanes()

    async def _lane(self) -> None:
        connection = Connection(self._endpoint)
        self._connections.add(connection)
        try:
            while len(self._lanes) <= self._window.size:
                await self._wait_until_open()
                if (call := await self._next()) is None:
                    return
                await self._send(connection, call)
        finally:
            self._connections.discard(connection)
            connection.close()

    async def _next(self) -> Call | None:
        while not self._waiting and not self._exhausted and not self.stopped:
            # Before the next check, so that a call which the thread adds after it wakes this lane.
            self._arrived.clear()
            if not self._waiting:
                if self._taking is None or self._taking.done():
                    if self._taking:
                        self._taking.result()
                    self._taking = asyncio.create_task(self._take())
                await self._arrived.wait()
        if self.stopped or self.over_allowance or not self._waiting:
            return None
        call = self._waiting.popleft()
        return call if self._spend(call) else None

    async def _take(self) -> None:
        """Takes some of the next calls from their iterator, in a thread."""
        try:
            if not await asyncio.to_thread(self._take_some, asyncio.get_running_loop()):
                self._exhausted = True
        finally:
            self._arrived.set()

    def _take_some(self, loop: asyncio.AbstractEventLoop) -> bool:
        call = None
        for call in islice(self._calls, _AHEAD):
            self._waiting.append(call)
            if not self._arrived.is_set():
                loop.call_soon_threadsafe(self._arrived.set)
            if self.stopped:
                break
        return call is not None

    async def _wait_until_open(self) -> None:
        while not (self._admission.is_open() or self.over_allowance or self.stopped):
            self._full_since = self._full_since or time.time()
            await asyncio.sleep(_TICK_S)
            self._last = time.monotonic()  # nothing is accepted because nothing is sent
        self._full_since = None

    def _spend(self, call: Call) -> bool:
        if self._admission.admit(call):
            return True
        self._exhausted = self.over_allowance = True
        return False

    async def _send(self, connection: Connection, call: Call) -> None:
        """Sends one call until it is accepted, or must not be sent again; then no other is sent either."""
        path = signing.path(call.function)
        delays = concurrency.backoff(_BACKOFF_S, _MAX_BACKOFF_S)
        while True:
            verdict, wait = await self._request(connection, call, path)
            if verdict is Verdict.ACCEPTED or self.stopped:
                return
            if verdict is Verdict.UNCERTAIN and not self._spend(call):
                return
            await asyncio.sleep(max(wait, next(delays)))

    async def _request(self, connection: Connection, call: Call, path: str) -> tuple[Verdict, float]:
        """Sends one request. Returns the verdict and the minimum seconds to wait before the next request."""
        keys = self._credentials.keys
        now = time.time()
        request = self._signer.head(path, call.payload, keys, now) + call.payload
        try:
            attempt = self._admission.began(call)
        except OSError as error:
            self.stopped = f"requests cannot be recorded: {error}"
            return Verdict.FATAL, 0.0
        try:
            response = await connection.post(request, self._timeout)
        except NotSentError as error:
            self._ended(attempt)
            self.counts.broken += 1
            self._last_error = str(error)
            return Verdict.THROTTLED, 0.0  # it was not sent, so it cannot have been accepted
        except BrokenError as error:
            self.counts.broken += 1
            self._last_error = str(error)
            return Verdict.UNCERTAIN, 0.0
        except RefusedError as error:
            self._ended(attempt)
            self.stopped = str(error)
            return Verdict.FATAL, 0.0
        verdict = invocations.verdict(response)
        if verdict is not Verdict.ACCEPTED:
            self._last_error = invocations.error_message(call, response)
        match verdict:
            case Verdict.ACCEPTED:
                self._accept(call, invocations.request_id(response), now)
            case Verdict.THROTTLED | Verdict.NOT_READY:
                self.counts.throttled += 1
                self._window.throttled(time.monotonic())
            case Verdict.UNCERTAIN:
                self.counts.errors += 1
            case Verdict.EXPIRED:
                try:
                    await self._credentials.renew(keys)
                except UsageError as error:
                    self.stopped = str(error)
            case Verdict.FATAL:
                self.stopped = self._last_error
        if verdict is not Verdict.UNCERTAIN:
            self._ended(attempt)
        return verdict, concurrency.retry_after(response.headers.get("retry-after"), _MAX_BACKOFF_S)

    def _ended(self, attempt: int) -> None:
        try:
            self._admission.ended(attempt)
        except OSError as error:  # the request then counts as one that may have been accepted
            self.stopped = f"requests cannot be recorded: {error}"

    def _accept(self, call: Call, request_id: str, now: float) -> None:
        self.counts.accepted += 1
        self._last = time.monotonic()
        try:
            # At once: the lane must not send again before this receipt is written. Otherwise kill -9 could
            # lose both receipts, and more files than there are connections would be sent twice.
            self._on_accepted([(call, request_id, now)])
        except OSError as error:
            self.stopped = f"receipts cannot be recorded: {error}"
        self._window.accepted()
        self._add_lanes()

    async def _tick(self) -> None:
        refreshed = time.monotonic()
        while True:
            await asyncio.sleep(_TICK_S)
            now = time.monotonic()
            for connection in list(self._connections):
                connection.check_timeout(asyncio.get_running_loop().time())
            if now - self._last > self._patience:
                last_error = self._last_error and f"; last error: {self._last_error}"
                self.stopped = (
                    f"Lambda accepted nothing for {self._patience / 60:.3g} minutes "
                    f"({self.counts.throttled} throttled, {self.counts.errors} errors, "
                    f"{self.counts.broken} broken connections so far){last_error}"
                )
            if now - refreshed > _REFRESH_S:
                refreshed = now
                with suppress(UsageError):  # the old keys are valid until Lambda refuses them
                    await self._credentials.refresh()
            self.counts.wait = self._wait(now)
            self._on_tick()

    def _wait(self, now: float) -> str:
        at = formatting.time_of_day
        if self._full_since:
            return f"the queue is full since {at(self._full_since)}, until files in it have finished"
        quiet = now - self._last
        if quiet < _QUIET_S or not self._last_error or self.stopped:
            return ""
        last = time.time() - quiet
        return (
            f"nothing accepted since {at(last)}, given up at {at(last + self._patience)}: {self._last_error}"
        )
