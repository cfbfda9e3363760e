"""Sends files to deployed functions, one Event invocation each or several together, and records the receipts.

    sent = dispatch.send(place, task, [(uri, "skyfan-SepExtractLarge"), ...])

Whenever it ends, by a limit, Ctrl-C or kill -9, each file that Lambda accepted has its receipt: in the
bucket, or in this machine's journal, which the next call uploads before it looks at `files`.
"""

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from threading import Thread
from typing import Any

from ..errors import InputError, UsageError
from ..runs.place import Place
from ..task import Task
from . import session
from .calls import Call, calls
from .credentials import Credentials
from .journal import CHUNK, Journal
from .sender import Counts, Sender

_CHUNK_S = 10.0
OnTick = Callable[[int, Counts], None]
"""Called five times a second with the files accepted so far."""


@dataclass(frozen=True)
class Options:
    """How files are sent."""

    batch: int = 1
    """Files that share an invocation, at most."""
    connections: int = 256
    max_files: int | None = None
    """Files to send in this call."""
    timeout_s: float = 30.0
    """For one answer of Lambda's."""
    patience_s: float = 300.0
    """It gives up when nothing at all was accepted for so long."""

    def __post_init__(self) -> None:
        for name, value in (("batch", self.batch), ("connections", self.connections)):
            if value < 1:
                raise UsageError(f"{name} must be at least 1, not {value}")
        if self.max_files is not None and self.max_files < 0:
            raise UsageError(f"max-files must be at least 0, not {self.max_files}")


@dataclass(frozen=True)
class Sent:
    """What came of a sending."""

    files: int
    """Accepted by Lambda."""
    counts: Counts
    seconds: float
    left: int | None = 0
    """Files that were to be sent and were not; None where they were not counted."""
    stopped: str = ""
    """Why not all was sent, in one line; empty where all was."""
    limited: bool = False
    """Whether only a limit that was asked for stopped it."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C; what was accepted is recorded."""

    def __init__(self, sent: Sent) -> None:
        super().__init__("interrupted")
        self.sent = sent


def send(
    place: Place,
    task: Task,
    files: Iterable[tuple[str, str]],
    options: Options | None = None,
    on_tick: OnTick = lambda files, counts: None,
    allowance: Callable[[], float] = lambda: math.inf,
) -> Sent:
    """Sends (URI, deployed function name) pairs as Event invocations of `task`, until all are accepted.

    `files` is read as it is sent, and not before this run's journal is locked and what a dead process left
    in it is uploaded: a generator that looks there for what is left to do sees every receipt of this machine.
    `allowance`, asked after the first of them was read, is how many files may be paid for; one whose answer
    was lost counts each time it was sent. Raises UsageError for what cannot be sent, Interrupted on Ctrl-C.
    """
    with Journal(place, task.run) as journal:
        return _Sending(journal, task, files, options or Options(), on_tick, allowance).complete()


class _Sending:
    def __init__(
        self,
        journal: Journal,
        task: Task,
        files: Iterable[tuple[str, str]],
        options: Options,
        on_tick: OnTick,
        allowance: Callable[[], float],
    ) -> None:
        self.journal, self.options, self.on_tick = journal, options, on_tick
        self.accepted = self.taken = 0
        self._began = self._rotated = time.monotonic()
        self._uploading: asyncio.Task[str] | None = None
        self._files = iter(files)
        # The first is asked for here: what it may list must not hold up the sender's loop, nor Ctrl-C.
        first = list(islice(self._files, 1))
        self._files = chain(first, self._files)
        self._calls = calls(self._counted(), task, options.batch)
        self._sender = Sender(
            session.endpoint(),
            Credentials(),
            connections=options.connections,
            timeout_s=options.timeout_s,
            patience_s=options.patience_s,
            allowance=allowance(),
            on_accepted=self._record,
            on_tick=self._tick,
        )

    def complete(self) -> Sent:
        unsaved = ""
        try:
            _run(self._sender.run(self._calls))
        except KeyboardInterrupt as error:
            self._save()
            raise Interrupted(self._sent("interrupted", None)) from error
        except BaseException:
            self._save()
            raise
        unsaved = self._save()
        left = self.taken - self.accepted + sum(1 for _ in self._files)
        return self._sent("; ".join(why for why in (self._why(left), unsaved) if why), left)

    def _why(self, left: int) -> str:
        if self._sender.stopped or not left:
            return self._sender.stopped
        if self._sender.over_allowance:
            return "the cost limit is reached"
        return f"{self.options.max_files} files were to be sent at most"

    def _sent(self, stopped: str, left: int | None) -> Sent:
        limited = bool(left) and not self._sender.stopped
        seconds = time.monotonic() - self._began
        return Sent(self.accepted, self._sender.counts, seconds, left, stopped, limited)

    def _counted(self) -> Iterator[tuple[str, str]]:
        for file in islice(self._files, self.options.max_files):
            self.taken += 1
            yield file

    def _record(self, accepted: list[tuple[Call, str, float]]) -> None:
        self.journal.add(accepted)
        self.accepted += sum(len(call.uris) for call, _, _ in accepted)

    def _tick(self) -> None:
        self.on_tick(self.accepted, self._sender.counts)
        now = time.monotonic()
        is_due = now - self._rotated > _CHUNK_S or self.journal.waiting >= CHUNK
        is_free = self._uploading is None or self._uploading.done()
        if self.journal.waiting and is_due and is_free:
            self._rotated = now
            self.journal.rotate()
            self._uploading = asyncio.create_task(asyncio.to_thread(self._upload))

    def _upload(self) -> str:
        try:
            self.journal.upload()
        except (InputError, OSError) as error:  # chunks stay in the journal: the next upload takes them
            return f"receipts are still in {self.journal.folder}, the same command uploads them: {error}"
        return ""

    def _save(self) -> str:
        self.journal.rotate()
        return self._upload()


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    # In a notebook this thread has a loop already, which runs what calls us.
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    future = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        future.result()
    finally:
        future.cancel()
        asyncio.run_coroutine_threadsafe(_others(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _others() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)
    await asyncio.get_running_loop().shutdown_default_executor()
