"""Sends Event invocations over many keep-alive connections, at the pace that Lambda takes them.

A lane is one connection: it takes a call, sends it until it is accepted, and takes the next. What failed
waits in its lane, so no more than one call a connection is ever held in memory.
"""

import asyncio
import random
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from ..errors import UsageError
from . import answers, sigv4
from .answers import Verdict
from .calls import Call
from .connection import BrokenError, Connection, Endpoint, NotSentError
from .credentials import Credentials
from .pace import Pace

_BASE_S, _CAP_S = 0.1, 10.0
_TICK_S = 0.2
_REFRESH_S = 60.0
_GRACE_S = 1.0


@dataclass
class Counts:
    """What the sender has met so far."""

    accepted: int = 0
    """Invocations."""
    throttled: int = 0
    errors: int = 0
    """Answers of 5xx."""
    broken: int = 0
    """Connections that broke, or gave no answer in time."""


class Sender:
    """One sending of many calls."""

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Credentials,
        *,
        connections: int,
        timeout_s: float,
        patience_s: float,
        allowance: float,
        on_accepted: Callable[[list[tuple[Call, str, float]]], None],
        on_tick: Callable[[], None],
    ) -> None:
        """`allowance` is how many files may be sent; what may have been taken counts each time it was sent.

        `on_accepted` gets calls, request IDs and Unix times as they are accepted; `on_tick` is called five
        times a second. It stops when nothing was accepted for `patience_s` seconds.
        """
        self.counts = Counts()
        self.stopped = ""
        """Why not all was sent, for people; empty where all was."""
        self.over_allowance = False
        self.dropped = 0
        """Files that were taken from the plan and not accepted."""
        self._endpoint, self._credentials = endpoint, credentials
        self._signer = sigv4.Signer(endpoint.host, endpoint.region)
        self._timeout, self._patience = timeout_s, patience_s
        self._allowance = allowance
        self._on_accepted, self._on_tick = on_accepted, on_tick
        self._pace = Pace(connections)
        self._lanes: set[asyncio.Task[None]] = set()
        self._open: set[Connection] = set()
        self._exhausted = False

    async def run(self, calls: Iterator[Call]) -> None:
        """Sends all calls, or as many as it may. Raises what a call's making or recording raises."""
        self._calls = calls
        self._last = time.monotonic()
        ticking = asyncio.create_task(self._tick())
        try:
            self._widen()
            while self._lanes and not self.stopped:
                await asyncio.wait(
                    {*self._lanes, ticking}, timeout=_TICK_S, return_when=asyncio.FIRST_EXCEPTION
                )
                for task in [*self._lanes, ticking]:
                    if task.done() and task.exception():
                        task.result()
        except asyncio.CancelledError:  # Ctrl-C: what is on its way may be taken, and its receipt still come
            self.stopped = "interrupted"
            await asyncio.wait({*self._lanes, ticking}, timeout=_GRACE_S, return_when=asyncio.FIRST_EXCEPTION)
            raise
        finally:
            self._exhausted = True  # else a lane that is cancelled would make room for a new one
            for task in (ticking, *self._lanes):
                task.cancel()
            await asyncio.gather(ticking, *self._lanes, return_exceptions=True)

    def _widen(self) -> None:
        while len(self._lanes) < self._pace.window and not self._exhausted and not self.stopped:
            lane = asyncio.create_task(self._lane())
            self._lanes.add(lane)
            lane.add_done_callback(self._ended)

    def _ended(self, lane: asyncio.Task[None]) -> None:
        # A lane that raised stays for run() to see.
        if lane.cancelled() or not lane.exception():
            self._lanes.discard(lane)
            self._widen()

    async def _lane(self) -> None:
        connection = Connection(self._endpoint)
        self._open.add(connection)
        try:
            while len(self._lanes) <= self._pace.window and (call := self._next()) is not None:
                if not await self._send(connection, call):
                    return
        finally:
            self._open.discard(connection)
            connection.close()

    def _next(self) -> Call | None:
        if self._exhausted or self.stopped:
            return None
        call = next(self._calls, None)
        if call is None:
            self._exhausted = True
        elif not self._may(call):
            return None
        return call

    def _may(self, call: Call) -> bool:
        """Whether the money is there to send this call, which is then taken."""
        if len(call.uris) > self._allowance:
            self._exhausted = self.over_allowance = True
            self.dropped += len(call.uris)
            return False
        self._allowance -= len(call.uris)
        return True

    async def _send(self, connection: Connection, call: Call) -> bool:
        """Sends one call until it is accepted; False where it may not be sent again."""
        path = sigv4.path(call.function)
        tries = 0
        sent = False
        try:
            while True:
                verdict, wait = await self._try(connection, call, path)
                if verdict is Verdict.ACCEPTED:
                    sent = True
                    return True
                if verdict is Verdict.FATAL or self.stopped:
                    return False
                if verdict is Verdict.UNCERTAIN and not self._may(call):
                    sent = True  # counted as dropped already
                    return False
                await asyncio.sleep(max(wait, random.uniform(0, min(_CAP_S, _BASE_S * 2**tries))))
                tries = min(tries + 1, 16)
        finally:
            self.dropped += 0 if sent else len(call.uris)

    async def _try(self, connection: Connection, call: Call, path: str) -> tuple[Verdict, float]:
        """One request: what came of it, and the least seconds to wait before another."""
        keys = self._credentials.keys
        now = time.time()
        request = self._signer.head(path, call.payload, keys, now) + call.payload
        try:
            response = await connection.post(request, self._timeout)
        except NotSentError:
            self.counts.broken += 1
            return Verdict.THROTTLED, 0.0  # it did not leave: nothing can have been taken
        except BrokenError:
            self.counts.broken += 1
            return Verdict.UNCERTAIN, 0.0
        except ssl.SSLCertVerificationError as error:
            self.stopped = f"{self._endpoint.url} is not trusted: {error.verify_message}; see AWS_CA_BUNDLE"
            return Verdict.FATAL, 0.0
        verdict = answers.verdict(response)
        match verdict:
            case Verdict.ACCEPTED:
                self._accept(call, answers.request_id(response), now)
            case Verdict.THROTTLED:
                self.counts.throttled += 1
                self._pace.throttled(time.monotonic())
            case Verdict.UNCERTAIN:
                self.counts.errors += 1
            case Verdict.EXPIRED:
                try:
                    await self._credentials.renew(keys)
                except UsageError as error:
                    self.stopped = str(error)
            case Verdict.FATAL:
                self.stopped = answers.told(call, response)
        return verdict, _retry_after(response.headers.get("retry-after", ""))

    def _accept(self, call: Call, request_id: str, now: float) -> None:
        self.counts.accepted += 1
        self._last = time.monotonic()
        try:
            # At once: the lane must not send again before this receipt is written. Else kill -9 could
            # lose both, and more files than there are connections would be sent twice.
            self._on_accepted([(call, request_id, now)])
        except OSError as error:
            self.stopped = f"receipts cannot be recorded: {error}"
        self._pace.accepted()
        self._widen()

    async def _tick(self) -> None:
        refreshed = time.monotonic()
        while True:
            await asyncio.sleep(_TICK_S)
            now = time.monotonic()
            for connection in list(self._open):
                connection.overdue(asyncio.get_running_loop().time())
            if now - self._last > self._patience:
                self.stopped = (
                    f"Lambda accepted nothing for {self._patience / 60:.3g} minutes "
                    f"({self.counts.throttled} throttled, {self.counts.errors} errors, "
                    f"{self.counts.broken} broken connections so far)"
                )
            if now - refreshed > _REFRESH_S:
                refreshed = now
                with suppress(UsageError):  # what cannot be renewed is good until Lambda refuses it
                    await self._credentials.refresh()
            self._on_tick()


def _retry_after(text: str) -> float:
    return min(float(text), _CAP_S) if text.isdigit() else 0.0
