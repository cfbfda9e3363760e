"""How far a collection is, on stderr: a bar a stage on a terminal, else a line now and then."""

import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

EVERY_S = 10.0


class Stages:
    """Use it as a context manager, and as collect.Progress."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stages: dict[str, TaskID] = {}
        self._spoke = time.monotonic()
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        if self._console.is_terminal:
            if what not in self._stages:
                self._stages[what] = self._bar.add_task(what, total=total or None)
            self._bar.update(self._stages[what], completed=done)
        elif time.monotonic() - self._spoke >= EVERY_S:
            self._spoke = time.monotonic()
            self._console.print(f"{what}: {done:,}" + (f" of {total:,}" if total else ""), highlight=False)
