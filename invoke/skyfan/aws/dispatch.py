"""Sends files to deployed functions as Event invocations and records the receipts.

    sent = dispatch.send(place, task, [File(uri, "skyfan-SepExtractLarge"), ...])

However the call ends (a limit, Ctrl-C, kill -9), each file that Lambda accepted has its receipt: in the
bucket, or in this machine's journal, which the next call uploads before it reads `files`.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from threading import Thread
from typing import Any

from ..engine import AwsOptions, Call, File
from ..errors import InputError, Interrupted
from ..events import ignore
from ..runs import cancels
from ..runs.outcome import Outcome
from ..storage.place import Place
from ..task import Task
from .budget import Attempts, Budget
from .connection import endpoint
from .invocations import calls
from .journal import CHUNK, Journal
from .sender import Admission, Counts, Sender
from .signing import Credentials
from .watch import Waves

_CHUNK_S = 10.0
OnTick = Callable[[int, Counts], None]
"""Called five times per second with the number of accepted files and the sender's counts."""


@dataclass(frozen=True)
class Sent:
    """The result of send()."""

    files: int
    """Accepted by Lambda."""
    counts: Counts
    seconds: float
    remaining: int | None = 0
    """Files that were not sent; None if they were not counted."""
    stopped: str = ""
    """Why not all files were sent, in one line; empty if all were."""
    is_limited: bool = False
    """Whether a limit in the options, not an error, stopped the call."""

    def report(self, outcome: Outcome) -> None:
        """Writes these results into `outcome`."""
        outcome.remaining, outcome.stopped, outcome.send_seconds = self.remaining, self.stopped, self.seconds
        report_progress(outcome, self.files, self.counts)


def report_progress(outcome: Outcome, files: int, counts: Counts) -> None:
    """Writes the arguments of OnTick into `outcome`."""
    outcome.sent, outcome.invocations = files, counts.accepted
    outcome.throttled, outcome.errors, outcome.broken = counts.throttled, counts.errors, counts.broken


def send(
    place: Place,
    task: Task,
    files: Iterable[File],
    options: AwsOptions | None = None,
    on_tick: OnTick = ignore,
    budget: Budget | None = None,
    waves: Waves | None = None,
) -> Sent:
    """Sends files as Event invocations of `task` until all are accepted.

    `files` is read while sending, and only after the run's journal on this machine was locked and uploaded:
    a generator that looks for the remaining files therefore sees every receipt of this machine. It must have
    counted the receipts in `budget` when it returns the first file. A file whose response was lost counts
    each time it is sent, in later calls too. `waves` limits the queue. Raises UsageError if a file cannot be
    sent or a cancel of the run is open, Interrupted[Sent] on Ctrl-C.
    """
    with Journal(place, task.run) as journal, Attempts(journal.folder) as attempts:
        cancels.refuse_if_open(place, task.run)
        admission = _Admission(attempts, budget, waves)
        return _Sending(journal, task, files, options or AwsOptions(), on_tick, admission).complete()


class _Admission(Admission):
    """Admits calls that the budget pays for, when the queue has room; and records each request."""

    def __init__(self, attempts: Attempts, budget: Budget | None, waves: Waves | None) -> None:
        self.attempts, self.budget, self.waves = attempts, budget, waves
        if budget:
            budget.spent(attempts.unresolved())

    def is_open(self) -> bool:
        return self.waves is None or self.waves.is_open()

    def admit(self, call: Call) -> bool:
        if self.budget and not self.budget.spend(call):
            return False
        if self.waves:
            self.waves.add(call)
        return True

    def began(self, call: Call) -> int:
        return self.attempts.began(call)

    def ended(self, attempt: int) -> None:
        self.attempts.ended(attempt)


class _Sending:
    def __init__(
        self,
        journal: Journal,
        task: Task,
        files: Iterable[File],
        options: AwsOptions,
        on_tick: OnTick,
        admission: Admission,
    ) -> None:
        self.journal, self.options, self.on_tick = journal, options, on_tick
        self.accepted = self.taken = 0
        self._began = self._rotated = time.monotonic()
        self._uploading: asyncio.Task[str] | None = None
        # The first file is read here, outside the event loop: finding it may take a long listing, which must
        # block neither the sender nor Ctrl-C.
        files = iter(files)
        first = list(islice(files, 1))
        self._files = chain(first, files)
        self._calls = calls(self._counted(), task, options.batch)
        self._sender = Sender(
            endpoint(),
            Credentials(),
            options,
            admission=admission,
            on_accepted=self._record,
            on_tick=self._tick,
        )

    def complete(self) -> Sent:
        try:
            _run(self._sender.run(self._calls))
        except KeyboardInterrupt as error:
            self._save()
            raise Interrupted(self._sent("", None)) from error
        except BaseException:
            self._save()
            raise
        error_message = self._save()
        remaining = self.taken - self.accepted + sum(1 for _ in self._files)
        return self._sent("; ".join(filter(None, (self._reason(remaining), error_message))), remaining)

    def _reason(self, remaining: int) -> str:
        if self._sender.stopped or not remaining:
            return self._sender.stopped
        if self._sender.over_allowance:
            return "the cost limit is reached"
        return f"the limit of {self.options.max_files} files is reached"

    def _sent(self, stopped: str, remaining: int | None) -> Sent:
        is_limited = bool(remaining) and not self._sender.stopped
        seconds = time.monotonic() - self._began
        return Sent(self.accepted, self._sender.counts, seconds, remaining, stopped, is_limited)

    def _counted(self) -> Iterator[File]:
        for file in islice(self._files, self.options.max_files):
            self.taken += 1
            yield file

    def _record(self, accepted: list[tuple[Call, str, float]]) -> None:
        self.journal.add(accepted)
        self.accepted += sum(len(call.uris) for call, _, _ in accepted)

    def _tick(self) -> None:
        self._sender.stopped = self._sender.stopped or self.journal.stopped
        self.on_tick(self.accepted, self._sender.counts)
        now = time.monotonic()
        is_due = now - self._rotated > _CHUNK_S or self.journal.waiting >= CHUNK
        is_free = self._uploading is None or self._uploading.done()
        if self.journal.waiting and is_due and is_free:
            self._rotated = now
            self.journal.rotate()
            self._uploading = asyncio.create_task(asyncio.to_thread(self._upload))

    def _upload(self) -> str:
        """Uploads the finished chunks of receipts. Returns an error message, empty on success."""
        try:
            self.journal.upload()
        except (InputError, OSError) as error:  # the chunks stay in the journal for the next upload
            return f"receipts are still in {self.journal.folder}, the same command uploads them: {error}"
        return ""

    def _save(self) -> str:
        self.journal.rotate()
        return self._upload()


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Runs a coroutine; in a notebook, whose thread already runs an event loop, in a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    future = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        future.result()
    finally:
        future.cancel()
        asyncio.run_coroutine_threadsafe(_finish_tasks(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _finish_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)
    await asyncio.get_running_loop().shutdown_default_executor()
