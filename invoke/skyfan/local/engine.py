"""The local engine: the same handler as in Lambda, under Lambda's rules, on worker processes of this machine.

A fresh process is a cold start and stays warm for the next file; it is killed over its memory size or its
time limit; a failed file is tried again after a pause, while others go on; the last failure leaves a record.
One thread looks after everything, and no more than the files in flight are held in memory.
"""

import heapq
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from .. import events
from ..errors import FunctionRefusedError, UsageError
from ..plans.plan import Plan
from ..runs import given
from ..runs.folder import Run
from ..task import Task
from ..template import Function
from . import environment, records
from .pool import WATCH_S, Job, Outcome, Pool

# Lambda waits one and then two minutes; nothing here is shared that would need a minute to recover.
BACKOFF_S = (1.0, 2.0)


@dataclass(frozen=True)
class LocalOptions:
    """How this machine works. None takes the template's value, or one worker a CPU."""

    output: Path
    """Folder in the place of the output bucket."""
    jobs: int | None = None
    retries: int | None = None
    timeout_s: float | None = None
    memory_mb: int | None = None

    def __post_init__(self) -> None:
        for name, value, least in (("jobs", self.jobs, 1), ("retries", self.retries, 0)):
            if value is not None and value < least:
                raise UsageError(f"{name} must be at least {least}, not {value}")
        for name, limit in (("timeout", self.timeout_s), ("memory", self.memory_mb)):
            if limit is not None and limit <= 0:
                raise UsageError(f"{name} must be more than 0, not {limit}")

    def apply(self, function: Function) -> Function:
        """The function with the limits that were given in the place of the template's."""
        return replace(
            function,
            retries=function.retries if self.retries is None else self.retries,
            timeout_s=self.timeout_s or function.timeout_s,
            memory_mb=self.memory_mb or function.memory_mb,
        )


def run(
    inputs: Iterable[str] | Plan,
    function: Function,
    task: Task,
    options: LocalOptions,
    on_event: events.OnEvent = lambda event: None,
) -> events.Summary:
    """Runs `function` on every input that has no result yet, and says what came of it.

    The inputs, URIs or a plan, are kept as a plan of the run before anything runs. One file's failure never
    stops the others. Raises UsageError before anything runs when the run cannot be; FunctionRefusedError when
    the function refuses its first event or cannot start; Interrupted on Ctrl-C. Whenever it ends, the same
    call goes on where it stopped.
    """
    place = Run(options.output.resolve(), task, environment.results(function))
    return _run(
        place, function.name, function, options, on_event, lambda: given.keep(place.place, task.run, inputs)
    )


def run_again(
    files: list[str],
    function: Function,
    name: str,
    task: Task,
    options: LocalOptions,
    on_event: events.OnEvent = lambda event: None,
) -> events.Summary:
    """The same for files of a run that is there: `name` is its function, `function` that or a larger one."""
    place = Run(options.output.resolve(), task, environment.results(function))
    return _run(place, name, function, options, on_event, lambda: (iter(files), len(files)))


def _run(
    place: Run,
    name: str,
    function: Function,
    options: LocalOptions,
    on_event: events.OnEvent,
    inputs: Callable[[], tuple[Iterator[str], int]],
) -> events.Summary:
    is_new = place.open(name)
    engine = _Engine(options.apply(function), place, options.jobs or environment.cpus(), on_event)
    started = time.monotonic()
    try:
        uris, total = inputs()
        on_event(events.Started(total, engine.pool.jobs))
        engine.work(uris)
    except FunctionRefusedError:
        if is_new:
            place.disown()
        raise
    except KeyboardInterrupt as error:
        raise events.Interrupted(engine.summary) from error
    finally:
        engine.close()
        engine.summary.seconds = time.monotonic() - started
    return engine.summary


class _Engine:
    """The work of one call of run(): what is next, what is tried again, what came of it."""

    def __init__(self, function: Function, place: Run, jobs: int, on_event: events.OnEvent) -> None:
        self.place, self.on_event = place, on_event
        self.summary = events.Summary()
        self.pool = Pool(function, environment.variables(function, place.output), jobs, self._write)
        self._waiting: list[Job] = []
        self._exhausted = False
        self._log: IO[str] | None = None

    def work(self, inputs: Iterator[str]) -> None:
        while True:
            self._feed(inputs)
            if self._exhausted and not self._waiting and not self.pool.is_busy():
                return
            idle = self._exhausted or not self.pool.can_take()
            for outcome in self.pool.wait(WATCH_S if idle else 0.0):
                if outcome.error is None:
                    self._succeeded(outcome)
                else:
                    self._failed(outcome, outcome.error)

    def close(self) -> None:
        self.pool.close()
        if self._log:
            self._log.close()

    def _feed(self, inputs: Iterator[str]) -> None:
        # Not for long at a time: a second run may pass over a hundred thousand finished files here.
        until = time.monotonic() + WATCH_S
        while self.pool.can_take() and time.monotonic() < until:
            if self._waiting and self._waiting[0].due <= time.monotonic():
                self.pool.give(heapq.heappop(self._waiting))
            elif self._exhausted:
                return
            elif (uri := next(inputs, None)) is None:
                self._exhausted = True
            else:
                self._take(uri)

    def _take(self, uri: str) -> None:
        self.summary.total += 1
        if self.place.is_done(uri):
            self.place.clear_failure(uri)
            self.summary.already_done += 1
            self.on_event(events.AlreadyDone(uri))
        else:
            self.pool.give(Job(0.0, uri, self.place.task.event(uri)))

    def _succeeded(self, outcome: Outcome) -> None:
        job = outcome.job
        self.summary.done += 1
        if not self.place.result(job.input).exists():
            self.summary.unwritten += 1
        self.place.clear_failure(job.input)
        self.on_event(events.Done(job.input, outcome.result, outcome.seconds, job.attempt))

    def _failed(self, outcome: Outcome, error: dict[str, Any]) -> None:
        job = outcome.job
        if not self.summary.done:
            self._give_up_early(outcome, error)
        if job.attempt <= self.pool.function.retries:
            delay = BACKOFF_S[min(job.attempt, len(BACKOFF_S)) - 1]
            heapq.heappush(self._waiting, replace(job, due=time.monotonic() + delay, attempt=job.attempt + 1))
            self.summary.retries += 1
            self.on_event(events.Retrying(job.input, error, job.attempt, delay))
            return
        told = {**error, "permanent": True} if outcome.permanent else error
        record = records.failure(job.request_id, self.pool.arn, job.event, told, job.attempt)
        path = self.place.record_failure(job.input, record)
        group = events.FailureGroup(0, job.input, error["errorMessage"], path, outcome.permanent)
        self.summary.failures.setdefault(error["errorType"], group).count += 1
        self.on_event(events.Failed(job.input, error, job.attempt, path))

    def _give_up_early(self, outcome: Outcome, error: dict[str, Any]) -> None:
        # A wrong setting or a function that cannot start fails ten thousand files the same way: once will do.
        message = error["errorMessage"].removeprefix(f"RequestId: {outcome.job.request_id} Error: ")
        name = self.pool.function.name
        if not outcome.started:
            raise FunctionRefusedError(f"{name} cannot start: {error['errorType']}: {message}")
        if error["errorType"] == "EventError":
            raise FunctionRefusedError(f"{name} refused the event: {message}")

    def _write(self, text: str) -> None:
        if self._log is None:
            self._log = self.place.new_log()
            self.summary.log = Path(self._log.name)
        self._log.write(text)
        self._log.flush()
