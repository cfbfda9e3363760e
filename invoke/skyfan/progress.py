"""Progress on stderr: a bar on a terminal, a plain line now and then in a log file."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from . import events, words

EVERY_S = 10.0
# Failures are told one by one up to this many; the rest is in the summary and in the records.
TOLD = 10


class Watcher:
    """Counts an engine's events and shows how far it is. Use it as a context manager and as on_event."""

    def __init__(self, console: Console) -> None:
        """`console` writes to stderr; its is_terminal decides between a bar and lines."""
        self.total: int | None = None
        self.done = self.already_done = self.failed = self.waiting = 0
        self._console = console
        self._began = self._spoke = time.monotonic()
        self._bar: Progress | None = None
        if console.is_terminal:
            text = TextColumn("{task.fields[told]}")
            self._bar = Progress(BarColumn(), MofNCompleteColumn(), text, console=console, transient=True)

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, event: events.Event) -> None:
        match event:
            case events.Started():
                self.total, self._began = event.total, time.monotonic()
                if self._bar:
                    self._bar.add_task("", total=event.total, told="starting")
                return
            case events.AlreadyDone():
                self.already_done += 1
            case events.Done():
                self.done += 1
                self.waiting -= event.attempt > 1
            case events.Retrying():
                self.waiting += event.attempt == 1
            case events.Failed():
                self.failed += 1
                self.waiting -= event.attempt > 1
                if self.failed <= TOLD:
                    self._tell(f"failed: {event.input}: {event.error['errorType']}")
        self._show()

    def told(self) -> str:
        """Rate, time left and failures, in words."""
        elapsed = time.monotonic() - self._began
        finished = self.done + self.failed
        told = []
        if finished and elapsed > 0:
            rate = finished / elapsed
            told.append(f"{rate:.1f} files/s" if rate >= 1 else f"{1 / rate:.1f} s/file")
            if self.total is not None:
                told.append(f"{words.clock((self.total - self.already_done - finished) / rate)} left")
        if self.waiting:
            told.append(f"{self.waiting} to be tried again")
        if self.failed:
            told.append(f"{self.failed} failed")
        return ", ".join(told)

    def _show(self) -> None:
        completed = self.done + self.failed + self.already_done
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=completed, told=self.told())
        elif time.monotonic() - self._spoke >= EVERY_S:
            self._spoke = time.monotonic()
            of = "" if self.total is None else f" of {self.total}"
            self._tell(f"{completed}{of} files; {self.told()}")

    def _tell(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class Bars:
    """Shows how far the AWS engine is, in two bars: sent, and finished. Takes its events like Watcher."""

    def __init__(self, console: Console) -> None:
        """`console` writes to stderr; its is_terminal decides between bars and lines."""
        self._console = console
        self._began = self._spoke = time.monotonic()
        self._bars: Progress | None = None
        if console.is_terminal:
            name, told = TextColumn("{task.description:8}"), TextColumn("{task.fields[told]}")
            self._bars = Progress(
                name, BarColumn(), MofNCompleteColumn(), told, console=console, transient=True
            )
            self._bars.add_task("sent", total=None, told="")
            self._bars.add_task("finished", total=None, told="")

    def __enter__(self) -> Self:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()

    def __call__(self, event: events.Event) -> None:
        if not isinstance(event, events.Dispatched):
            return
        sent, finished = event.before + event.sent, event.done + event.failed
        elapsed = time.monotonic() - self._began
        rate = f"{event.sent / elapsed:.0f} files/s" if event.sent and sent < event.files else ""
        told = ", ".join(
            f"{count} {name}" for name, count in (("failed", event.failed), ("late", event.late)) if count
        )
        if self._bars:
            tasks = self._bars.task_ids
            self._bars.update(tasks[0], total=event.files, completed=sent, told=rate)
            self._bars.update(tasks[1], total=event.planned, completed=finished, told=told)
        elif time.monotonic() - self._spoke >= EVERY_S:
            self._spoke = time.monotonic()
            parts = [f"{sent} of {event.files} files sent", rate]
            if event.planned is not None:
                parts += [f"{finished} of {event.planned} finished", told]
            line = ", ".join(word for word in parts if word)
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
