"""How far the reading of a log is, on stderr: a line that changes on a terminal, else one now and then."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status

EVERY_S = 10.0


class Pages:
    """Counts pages of events. Use it as a context manager and as on_page."""

    def __init__(self, console: Console) -> None:
        """`console` writes to stderr."""
        self.pages = self.events = 0
        self._console, self._spoke = console, time.monotonic()
        self._status = Status("reading the log", console=console) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._status:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status:
            self._status.stop()

    def __call__(self, events: int) -> None:
        self.pages += 1
        self.events += events
        told = f"reading the log: {self.events} lines in {self.pages} pages"
        if self._status:
            self._status.update(told)
        elif time.monotonic() - self._spoke > EVERY_S:
            self._spoke = time.monotonic()
            self._console.print(told, markup=False, highlight=False)
