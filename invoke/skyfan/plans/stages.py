"""How far a plan is, on stderr: a bar for each stage on a terminal, else a line."""

from collections.abc import Callable
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

Watch = Callable[[str, int, int | None], None]
"""Called with what is asked for (observations, places, sizes…), how many are there, and of how many."""


class Stages:
    """Shows how far a plan is. Use it as a context manager, and as a Watch."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stages: dict[str, TaskID] = {}
        text = TextColumn("{task.description}")
        self._bar = Progress(
            text, BarColumn(), MofNCompleteColumn(), console=console, disable=not console.is_terminal
        )

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, what: str, done: int, total: int | None) -> None:
        if what not in self._stages:
            self._stages[what] = self._bar.add_task(what, total=total)
            if not self._console.is_terminal:
                self._console.print(
                    f"{what}: {total:,} to ask for" if total is not None else what, highlight=False
                )
        self._bar.update(self._stages[what], completed=done, total=total)
