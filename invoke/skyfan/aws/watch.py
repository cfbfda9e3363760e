"""Polls the state of a run in the background."""

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from ..engine import Call
from ..errors import InputError
from ..runs.judge import Limits
from ..runs.state import Follower, RunState

# Polling takes at most a tenth of a run's time. A poll of 10,000 files is about 15 listings: 0.0001 USD.
_SHARE = 10
_PAUSE_AFTER_ERROR_S = 10.0


class Watch:
    """The newest known state of a run. Use it as a context manager: it owns a thread."""

    def __init__(self, follower: Follower, limits: Limits, every_s: float) -> None:
        """`every_s` is the minimum time between two polls in seconds."""
        self.state: RunState | None = None
        self.polled = 0.0
        """When the poll that returned `state` began, on the monotonic clock."""
        self.errors: list[InputError] = []
        """Errors of the polls since the last successful one."""
        self.limits = limits
        self._follower, self._every = follower, every_s
        self._next = time.monotonic() + every_s
        self._began = 0.0
        self._is_urgent = False
        self._thread = ThreadPoolExecutor(1)
        self._poll: Future[RunState] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._thread.shutdown()

    def read(self) -> None:
        """Reads the state at once, before the first update(). Raises InputError if the storage fails."""
        self.state = self._follower.read(limits=self.limits)

    def hurry(self) -> None:
        """Polls again as soon as the current poll has finished."""
        self._next, self._is_urgent = 0.0, True

    def finished(self) -> int:
        """Files that Lambda has accepted and finished so far, as far as known; one sent twice counts twice.

        Receipts tell this, because failures become fewer while a retry sends them again.
        """
        return self.state.accepted - self.unfinished() if self.state else 0

    def unfinished(self) -> int:
        """Files of the run that Lambda has accepted and not finished, as far as known."""
        counts = self.state.counts if self.state else {}
        return counts.get("sent", 0) + counts.get("late", 0)

    def update(self) -> None:
        """Takes the result of a finished poll, or starts a poll that is due. Never waits.

        If the storage fails, the error is added to `errors` and the poll is repeated later.
        """
        now = time.monotonic()
        if self._poll is None:
            if now >= self._next:
                self._began, self._is_urgent = now, False
                self._poll = self._thread.submit(self._follower.read, limits=self.limits)
        elif self._poll.done():
            poll, self._poll = self._poll, None
            self._next = now + (0.0 if self._is_urgent else max(self._every, _SHARE * (now - self._began)))
            try:
                self.state, self.polled = poll.result(), self._began
                self.errors = []
            except InputError as error:
                self.errors.append(error)
                self._next = now + max(self._every, _PAUSE_AFTER_ERROR_S)


class Waves:
    """Limits the queue: the seconds of work that Lambda has accepted and not finished.

    Lambda works through its queue roughly in order, so what finishes is taken to be what was sent first.
    """

    def __init__(
        self,
        limit_s: float,
        seconds: Callable[[Call], float],
        finished: Callable[[], int],
        queued: tuple[int, float] = (0, 0.0),
    ) -> None:
        """`limit_s` is the maximum of these seconds, `seconds` the work in a call.

        `finished` returns the number of files that Lambda has finished so far, `queued` are the files that
        earlier calls have sent and their seconds.
        """
        self._limit, self._seconds, self._finished = limit_s, seconds, finished
        self._before = finished()
        self._queue = deque([queued])
        self.queued_s = queued[1]

    def add(self, call: Call) -> None:
        """Adds a call to the queue."""
        seconds = self._seconds(call)
        self._queue.append((len(call.uris), seconds))
        self.queued_s += seconds

    def is_open(self) -> bool:
        """Whether the queue has room for another call."""
        while self._queue and self._finished() - self._before >= self._queue[0][0]:
            files, seconds = self._queue.popleft()
            self._before += files
            self.queued_s -= seconds
        return not self._queue or self.queued_s < self._limit
