"""The local engine: runs the handler under Lambda's rules in worker processes on this machine.

A new process is a cold start and stays warm for the next file. It is killed if it exceeds its memory size or
time limit. A failed file is retried after a pause, while other files go on; the last failure leaves a failure
record. A permanent failure that the function recorded itself is a result and is not retried. One thread
controls all workers, and only the files in flight are held in memory.
"""

import heapq
import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import IO, Any

from skyfan_contract import DOUBTFUL, PERMANENT, RETRIED, RETRY, failure_record

from .. import events, template
from ..engine import Call, LocalOptions, Preview, Selection
from ..errors import FunctionRefusedError
from ..files import require_posix, resolved
from ..formatting import printable
from ..plans.plan import LARGE, STANDARD, Item, Plan, extent
from ..plans.tiers import graded
from ..runs import run as runs
from ..runs import state
from ..runs.outcome import Outcome, finishing, raise_if_full, stopping
from ..runs.state import RunState
from ..storage.place import Place
from ..task import Task
from ..template import Function, Template
from . import process
from .capacity import Capacity
from .pool import POLL_S, Attempt, Job, Pool, Workers
from .replacements import Replacements
from .run_folder import RunFolder

# Lambda waits 1 and 2 minutes. Here no shared service needs minutes to recover.
BACKOFF_S = (1.0, 2.0)


class LocalEngine:
    """Runs the functions of a template on this machine; see engine.Engine."""

    def __init__(self, registry: Template, options: LocalOptions) -> None:
        self.options, self._registry = options, registry
        self._output = resolved(options.output)

    @property
    def place(self) -> Place:
        return Place.at(self._output)

    def state(self, run: str) -> RunState:
        return state.read(self.place, run)

    def plan(self, task: Task, files: Plan | Selection) -> Preview:
        functions = self._functions(task)
        folder = RunFolder(self._output, task, template.results(functions[STANDARD]))
        items = self._items(task, files, functions)

        def calls() -> Iterator[Call]:
            for item in items():
                if folder.is_done(item.uri) and not (isinstance(files, Selection) and files.is_named):
                    preview.done_before += 1
                else:
                    payload = json.dumps(task.event(item.uri, item.detect)).encode()
                    yield Call(functions[item.tier].name, (item.uri,), payload)

        preview = Preview(calls())
        return preview

    def send(self, task: Task, files: Plan | Selection, on_event: events.OnEvent = events.ignore) -> Outcome:
        """See engine.Engine. A failed file does not stop the others. The two memory tiers are processed one
        after the other, because the number of workers depends on their memory.

        Raises FunctionRefusedError if the function refuses its first event or cannot start.
        """
        require_posix("processing files on this machine")
        functions = self._functions(task)
        folder = RunFolder(self._output, task, template.results(functions[STANDARD]))
        with folder.locked():
            return self._send(task, files, functions, folder, on_event)

    def _send(
        self,
        task: Task,
        files: Plan | Selection,
        functions: dict[str, Function],
        folder: RunFolder,
        on_event: events.OnEvent,
    ) -> Outcome:
        began, is_new = time.monotonic(), False
        if isinstance(files, Plan):
            marks = DOUBTFUL in functions[STANDARD].environment
            is_new = folder.open(self.options.engine, marks=marks)
            runs.add_plan(folder.place, task.run, files)
        items = self._items(task, files, functions)
        outcome = Outcome(task.run, folder.place)
        replacements = Replacements(folder, files.stale if isinstance(files, Selection) else {})
        outcome.files, size = extent(files if isinstance(files, Plan) else items())

        def finish() -> None:
            outcome.remaining = outcome.files - outcome.done_before - outcome.sent
            now = state.read(self.place, task.run, replaced=replacements.kept)
            outcome.set_state(now, (item.uri for item in items()))
            outcome.kept = len(replacements.kept)
            outcome.seconds = time.monotonic() - began

        try:
            with (
                finishing(outcome, finish),
                stopping(outcome, folder.folder),
                closing(self),
                closing(replacements),
                closing(_Work(replacements, outcome, size, on_event, self)) as work,
            ):
                for function in {function.name: function for function in functions.values()}.values():
                    inputs = (item for item in items() if functions[item.tier].name == function.name)
                    work.process(function, inputs, self.options.jobs)
        except FunctionRefusedError:
            if is_new:
                folder.disown()
            raise
        return outcome

    def pool(self, function: Function, folder: RunFolder, jobs: int, log: Callable[[str], None]) -> Workers:
        """What runs up to `jobs` files at a time; `log` is called with the log of each invocation."""
        return Pool(function, process.variables(function, folder.output), jobs, log)

    def close(self) -> None:
        """Ends what serves all pools of a call; worker processes need nothing."""

    def _functions(self, task: Task) -> dict[str, Function]:
        """The function of each memory tier, with the limits of the options."""
        function, large = self._registry.function(task.function), task.function + runs.LARGE_SUFFIX
        larger = self._registry.function(large) if large in self._registry.functions else function
        return {STANDARD: self._limited(function), LARGE: self._limited(larger)}

    def _limited(self, function: Function) -> Function:
        return replace(
            function,
            retries=function.retries if self.options.retries is None else self.options.retries,
            timeout_s=self.options.timeout_s or function.timeout_s,
            memory_mb=self.options.memory_mb or function.memory_mb,
        )

    def _items(
        self, task: Task, files: Plan | Selection, functions: dict[str, Function]
    ) -> Callable[[], Iterator[Item]]:
        """Returns a function that iterates over the files, each with the tier that it is sent to."""
        memory_mb = {tier: function.memory_mb for tier, function in functions.items()}
        if isinstance(files, Plan):
            return lambda: graded(files, memory_mb, task.outputs)
        names = {tier: function.name for tier, function in functions.items()}
        if self.options.memory_mb:
            names[LARGE] = ""  # what exhausted the largest function may have enough now
        current = self.state(task.run)
        return lambda: files.select(current, names, memory_mb, task.outputs)


class _Work:
    """The work of one call: which file is next, which is retried, and the outcome so far."""

    pool: Workers

    def __init__(
        self,
        replacements: Replacements,
        outcome: Outcome,
        size: int | None,
        on_event: events.OnEvent,
        engine: LocalEngine,
    ) -> None:
        """`size` is that of all files in bytes, None if unknown."""
        self._size = size
        self._replacements, self.folder = replacements, replacements.folder
        self.outcome, self.on_event, self._engine = outcome, on_event, engine
        self._waiting: list[Job] = []
        self._killed: list[Job] = []
        """Jobs to be retried with no other beside them."""
        self._alone: Job | None = None
        self._exhausted = self._has_begun = self._was_killed = False
        self._log: IO[str] | None = None

    def process(self, function: Function, inputs: Iterator[Item], jobs: int | None) -> None:
        """Runs one function on its inputs; starts nothing if there are none."""
        if (first := next(inputs, None)) is None:
            return
        note = ""
        if jobs is None:
            capacity = Capacity.now()
            jobs, note = capacity.jobs(function.memory_mb), capacity.note(function.memory_mb)
        if not self._has_begun:
            self.on_event(events.Started(self.outcome.files, jobs, note, self._size))
        elif note:
            self.on_event(events.Notice(f"{function.name}: {note}"))
        self._has_begun, self._exhausted = True, False
        self.pool = self._engine.pool(function, self.folder, jobs, self._write_log)
        with closing(self.pool):
            self._work(chain([first], inputs))

    def _work(self, inputs: Iterator[Item]) -> None:
        while True:
            self._feed(inputs)
            if self._exhausted and not self._waiting and not self._killed and not self.pool.is_busy():
                return
            is_idle = self._exhausted or self._killed or self._alone or not self.pool.can_take()
            attempts = self.pool.wait(POLL_S if is_idle else 0.0)
            if notice := self.pool.take_notice():
                self.on_event(events.Notice(notice))
            for attempt in attempts:
                self.outcome.invocations += 1
                was_alone, self._alone = self._alone is not None, None
                self._was_killed |= "stackTrace" not in (attempt.error or {"stackTrace": []})
                if attempt.killed and not was_alone:
                    self._retry_alone(attempt)
                elif attempt.error is not None:
                    self._failed(attempt, attempt.error)
                elif attempt.recorded:
                    self._failed_permanently(attempt, attempt.recorded)
                else:
                    self._succeeded(attempt)

    def close(self) -> None:
        if self._was_killed or self.outcome.sent + self.outcome.done_before < self.outcome.files:
            self.folder.sweep()
        if self._log:
            self._log.close()

    def _feed(self, inputs: Iterator[Item]) -> None:
        # Return after a short time: a repeated run may skip a hundred thousand finished files here.
        until = time.monotonic() + POLL_S
        if self._killed and not self.pool.is_busy():
            self._alone = self._killed.pop()
            self.pool.release()
            self.pool.give(self._alone)
        if self._killed or self._alone:
            return
        while self.pool.can_take() and time.monotonic() < until:
            if self._waiting and self._waiting[0].due <= time.monotonic():
                self.pool.give(heapq.heappop(self._waiting))
            elif self._exhausted:
                return
            elif (item := next(inputs, None)) is None:
                self._exhausted = True
            else:
                self._take(item)

    def _take(self, item: Item) -> None:
        uri, size = item.uri, item.size or 0
        if not (self._replacements.is_due(uri) or self.folder.is_taken(uri)) and self.folder.is_done(uri):
            self.folder.clear_failure(uri)
            self.outcome.done_before += 1
            self.outcome.unchecked += uri.startswith("s3://")
            self.on_event(events.AlreadyDone(uri, size))
            return
        version = None
        with suppress(OSError):  # the function says what is wrong with it
            version = self.folder.version(uri)
        job = Job(0.0, uri, self.folder.task.event(uri, item.detect), size, version)
        if error := self.folder.refusal(uri):
            self._refuse(job, error)
            return
        # What exists otherwise is damaged, or of another version of the input.
        if not self._replacements.begin(uri) and self.folder.result(uri).exists():
            self.outcome.damaged += self.folder.is_damaged(uri)
            self.folder.clear_result(uri)
        self.pool.give(job)

    def _refuse(self, job: Job, error: dict[str, Any]) -> None:
        arn = f"{self.pool.arn}:$LATEST"
        record = failure_record(job.event, error, PERMANENT, request_id=job.request_id, function_arn=arn)
        path, self.outcome.sent = self.folder.record_failure(job.input, record), self.outcome.sent + 1
        self.on_event(events.Failed(job.input, error, job.attempt, path, job.size))

    def _succeeded(self, attempt: Attempt) -> None:
        job = attempt.job
        self.outcome.sent += 1
        if not self._record_result(job):
            self.outcome.unwritten += 1
        self.outcome.add_result(job.input, attempt.result, attempt.seconds)
        self.folder.clear_failure(job.input)
        self.on_event(events.Done(job.input, attempt.result, attempt.seconds, job.attempt, job.size))

    def _retry_alone(self, attempt: Attempt) -> None:
        # Most likely too many workers for the memory of this machine, which is no fault of the file.
        self._killed.append(replace(attempt.job, attempt=attempt.job.attempt + 1))
        self.outcome.retries += 1
        self.on_event(events.Retrying(attempt.job.input, attempt.error or {}, attempt.job.attempt, 0.0))

    def _failed(self, attempt: Attempt, error: dict[str, Any]) -> None:
        job = attempt.job
        self._stop_if_all_would_fail(attempt, error)
        raise_if_full(error["errorMessage"])
        if job.attempt <= self.pool.function.retries and not attempt.killed:
            delay = BACKOFF_S[min(job.attempt, len(BACKOFF_S)) - 1]
            heapq.heappush(self._waiting, replace(job, due=time.monotonic() + delay, attempt=job.attempt + 1))
            self.outcome.retries += 1
            self.on_event(events.Retrying(job.input, error, job.attempt, delay))
            return
        if attempt.cure:
            error = {**error, "cure": attempt.cure, "permanent": attempt.cure != RETRY}
        record = failure_record(
            job.event,
            error,
            RETRIED,
            request_id=job.request_id,
            function_arn=f"{self.pool.arn}:$LATEST",
            attempts=job.attempt,
        )
        self._add_failure(job, error, self.folder.record_failure(job.input, record))

    def _failed_permanently(self, attempt: Attempt, error: dict[str, Any]) -> None:
        # The function has recorded the failure.
        self._stop_if_all_would_fail(attempt, error)
        self._add_failure(attempt.job, error, self.folder.failure(attempt.job.input))

    def _add_failure(self, job: Job, error: dict[str, Any], record: Path) -> None:
        self.outcome.sent += 1
        self._record_result(job)  # written before the failure: a result counts
        self.on_event(events.Failed(job.input, error, job.attempt, record, job.size))

    def _record_result(self, job: Job) -> bool:
        """Counts and records the result of a job; whether it has left one."""
        if self._replacements.is_kept(job.input) or not self.folder.result(job.input).exists():
            return False
        self.outcome.done += 1
        self.folder.record_result(job.input, job.version)
        return True

    def _stop_if_all_would_fail(self, attempt: Attempt, error: dict[str, Any]) -> None:
        # A wrong setting, or a function that cannot start, would fail every file the same way.
        if self.outcome.done or self.outcome.unwritten:
            return
        message = error["errorMessage"].removeprefix(f"RequestId: {attempt.job.request_id} Error: ")
        name = self.pool.function.name
        if not attempt.started:
            raise FunctionRefusedError(f"{name} cannot start: {error['errorType']}: {message}")
        if error["errorType"] == "EventError":
            raise FunctionRefusedError(f"{name} refused the event: {message}")

    def _write_log(self, text: str) -> None:
        if self._log is None:
            self._log = self.folder.new_log()
            self.outcome.log = Path(self._log.name)
        self._log.write(printable(text))
        self._log.flush()
