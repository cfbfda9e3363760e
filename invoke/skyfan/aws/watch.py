"""Looks after a run in the background: its state, read from the bucket again and again at little cost."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from ..errors import InputError
from ..runs.judge import Limits
from ..runs.outcome import RunState
from ..runs.state import Follower

# A look at 10,000 files is some 15 listings, 0.0001 USD; looks take a tenth of a run's time at most.
_SHARE = 10


class Watch:
    """The newest state of a run. Use it as a context manager: it has a thread."""

    def __init__(self, follower: Follower, limits: Limits, every_s: float) -> None:
        """`every_s` is the least time between two looks in seconds."""
        self.state: RunState | None = None
        self.looked = 0.0
        """When the look that gave `state` began, on the monotonic clock."""
        self.failed: list[InputError] = []
        """What the storage said, at each look since the last that went well."""
        self._follower, self._limits, self._every = follower, limits, every_s
        self._next = time.monotonic() + every_s
        self._began = 0.0
        self._soon = False
        self._thread = ThreadPoolExecutor(1)
        self._look: Future[RunState] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()

    def now(self) -> None:
        """Has the next look begin as soon as the last has ended."""
        self._next, self._soon = 0.0, True

    def poll(self) -> None:
        """Takes a look that has ended, begins one that is due. A storage that fails is asked again later."""
        now = time.monotonic()
        if self._look is None:
            if now >= self._next:
                self._began, self._soon = now, False
                self._look = self._thread.submit(self._follower.read, limits=self._limits)
        elif self._look.done():
            look, self._look = self._look, None
            self._next = now + (0.0 if self._soon else max(self._every, _SHARE * (now - self._began)))
            try:
                self.state, self.looked = look.result(), self._began
                self.failed = []
            except InputError as error:
                self.failed.append(error)
                self._next = now + max(self._every, 10.0)
