"""Progress: bars on a terminal and in a notebook, otherwise at most one line every ten seconds on stderr."""

import inspect
import sys
import time
from collections.abc import Callable
from functools import wraps
from html import escape
from importlib import import_module
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from . import events, formatting

EVERY_S = 10.0
"""Seconds between lines if stderr is not a terminal."""
_REDRAWN_S = 0.2
"""Seconds between changes of the bars in a notebook."""
BYTES = "bytes"
"""The stage whose numbers are bytes: it is shown with its rate and the remaining time."""
LISTED = 10
"""Maximum failures printed one by one; the rest is in the summary and in the records."""


_Parameters = ParamSpec("_Parameters")
_Returned = TypeVar("_Returned")


def in_notebook() -> bool:
    """Whether this is a kernel of Jupyter."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")


def shown(function: Callable[_Parameters, _Returned]) -> Callable[_Parameters, _Returned]:
    """Decorates a function with a parameter `progress` or `on_event`: a notebook shows its progress.

    A callback of the caller's replaces the bars; `events.ignore` shows none.
    """
    name = "on_event" if "on_event" in inspect.signature(function).parameters else "progress"

    @wraps(function)
    def call(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Returned:
        if name in kwargs or not in_notebook():
            return function(*args, **kwargs)
        with RunProgress() as bars:
            kwargs[name] = bars.on_event if name == "on_event" else bars
            return function(*args, **kwargs)

    return call


class _NotebookBars:
    """Bars below a cell, which replace each other."""

    def __init__(self) -> None:
        self.stages: dict[str, tuple[int, int, str]] = {}
        self._display: Any = None
        self._drawn = -_REDRAWN_S

    def update(self, stage: str, done: int, total: int, note: str) -> None:
        self.stages[stage] = done, total, note
        if time.monotonic() - self._drawn >= _REDRAWN_S:
            self.draw()

    def draw(self) -> None:
        shown: Any = import_module("IPython.display")  # untyped, and not a dependency
        self._drawn = time.monotonic()
        rows = []
        for stage, (done, total, note) in self.stages.items():
            value = f'value="{done}" max="{total}"' if total else ""
            cells = (
                escape(stage),
                f"<progress {value}></progress>",
                _count(stage, done, total),
                escape(note),
            )
            rows.append("".join(f"<td>{cell}</td>" for cell in cells))
        html = shown.HTML(f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>")
        if self._display is None:
            self._display = shown.display(html, display_id=True)
        else:
            self._display.update(html)

    def end(self) -> None:
        """Draws the bars of a call that has ended: a bar of unknown length would move for ever."""
        ended = {name: (done, total or done, note) for name, (done, total, note) in self.stages.items()}
        self.stages = {name: stage for name, stage in ended.items() if stage[1]}
        if self.stages or self._display:
            self.draw()


class Stages:
    """Shows the progress of named stages. Use it as a context manager and as an events.OnProgress."""

    def __init__(self, console: Console | None = None) -> None:
        """`console` must write to stderr (default: a new one); bars are shown if it is a terminal."""
        self._console = console or Console(stderr=True)
        self._printed = time.monotonic()
        self._tasks: dict[str, TaskID] = {}
        self._transfer: tuple[float, int] | None = None
        """When the stage BYTES began, and with how many."""
        self._notebook = _NotebookBars() if console is None and in_notebook() else None
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            _Count(),
            TextColumn("{task.fields[note]}", markup=False),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()
        if self._notebook:
            self._notebook.end()

    def __call__(self, stage: str, done: int, total: int = 0, note: str = "") -> None:
        """Updates one stage: `done` of `total` (0 if unknown), and a note shown after the numbers."""
        note = formatting.one_line(note or self._rate(stage, done, total))
        if self._notebook:
            self._notebook.update(stage, done, total, note)
        elif self._console.is_terminal:
            if stage not in self._tasks:
                self._tasks[stage] = self._bars.add_task(stage, total=total or None, note=note)
            self._bars.update(self._tasks[stage], completed=done, total=total or None, note=note)
        elif time.monotonic() - self._printed >= EVERY_S:
            self._printed = time.monotonic()
            self.line(f"{stage}: {_count(stage, done, total)}" + (f", {note}" if note else ""))

    def _rate(self, stage: str, done: int, total: int) -> str:
        """Rate and remaining time of a transfer."""
        if stage != BYTES:
            return ""
        began, before = self._transfer = self._transfer or (time.monotonic(), done)
        elapsed, moved = time.monotonic() - began, done - before
        if elapsed < 1 or moved <= 0:
            return ""
        remaining = f", {formatting.clock((total - done) / moved * elapsed)} remaining" if total else ""
        return f"{formatting.size(moved / elapsed)}/s{remaining}"

    def line(self, text: str) -> None:
        """Prints a line above the bars."""
        formatting.say(self._console, text)


class _Count(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(_count(task.description, int(task.completed), int(task.total or 0)))


def _count(stage: str, done: int, total: int) -> str:
    if stage == BYTES:
        return f"{formatting.size(done)} of {formatting.size(total)}" if total else formatting.size(done)
    return f"{done:,} of {total:,}" if total else f"{done:,}"


class RunProgress(Stages):
    """Shows the progress of a run. Use it as a context manager, and pass `on_event` to an engine."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(console)
        self._began = time.monotonic()
        self._total = 0
        self._bytes: int | None = None
        self._done_bytes = self._already_done_bytes = 0
        self._done = self._already_done = self._failed = self._waiting = 0

    def on_event(self, event: events.Event) -> None:
        """Takes an event of either engine."""
        match event:
            case events.Dispatched():
                self._dispatched(event)
                return
            case events.Notice():
                self.line(f"skyfan: {event.text}")
                return
            case events.Started():
                self._total, self._bytes = event.total or 0, event.bytes
                self._began = time.monotonic()
                if event.note:
                    self.line(event.note)
            case events.AlreadyDone():
                self._already_done += 1
                self._already_done_bytes += event.size
            case events.Done():
                self._done += 1
                self._done_bytes += event.size
                self._waiting -= event.attempt > 1
            case events.Retrying():
                self._waiting += event.attempt == 1
            case events.Failed():
                self._failed += 1
                self._done_bytes += event.size
                self._waiting -= event.attempt > 1
                if self._failed <= LISTED:
                    self.line(f"failed: {event.input}: {event.error['errorType']}")
        self("files", self._done + self._failed + self._already_done, self._total, self.note())

    def note(self) -> str:
        """Rate, remaining time, retries and failures of a local run.

        The remaining time is by bytes, because large files take longer; by number if a size is unknown.
        """
        elapsed = time.monotonic() - self._began
        finished = self._done + self._failed
        parts = []
        if finished and elapsed > 0:
            rate = finished / elapsed
            parts.append(f"{rate:.1f} files/s" if rate >= 1 else f"{1 / rate:.1f} s/file")
            if self._total:
                share = (self._total - self._already_done - finished) / finished
                if self._bytes is not None and self._done_bytes:
                    remaining = self._bytes - self._already_done_bytes - self._done_bytes
                    share = remaining / self._done_bytes
                parts.append(f"{formatting.clock(elapsed * share)} remaining")
        if self._waiting:
            parts.append(f"{self._waiting} waiting for a retry")
        if self._failed:
            parts.append(f"{self._failed} failed")
        return ", ".join(parts)

    def _dispatched(self, event: events.Dispatched) -> None:
        sent, elapsed = event.before + event.sent, time.monotonic() - self._began
        is_sending = event.sent and sent < event.files and elapsed > 0
        rate = f"{event.sent / elapsed:.0f} files/s" if is_sending else ""
        self("sent", sent, event.files, event.send_wait or rate)
        if event.planned is not None:
            problems = (("failed", event.failed), ("late", event.late))
            parts = [f"{count} {name}" for name, count in problems if count]
            note = ", ".join([*parts, *([event.result_wait] if event.result_wait else [])])
            self("finished", event.done + event.failed, event.planned, note)
