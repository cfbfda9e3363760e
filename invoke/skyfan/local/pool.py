"""The pool of worker processes. Each starts cold, stays warm, and is killed over its memory or time limit."""

import selectors
import signal
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..template import Function
from . import lambda_format
from .process import Process

POLL_S = 0.02
"""Seconds between two checks of memory and time."""
# Lambda allows 10 s for INIT, before the function's own time limit begins.
INIT_S = 10.0
# What others send: the system for want of memory, people, and what stops a session. A process that fails by
# its own doing dies of other signals.
_FROM_OUTSIDE = frozenset(("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"))


@dataclass(order=True)
class Job:
    """One input to process. Sorts by the time at which it is due."""

    due: float
    """Monotonic time before which it must not start."""
    input: str = field(compare=False)
    event: dict[str, Any] = field(compare=False)
    size: int = field(compare=False, default=0)
    """Bytes; 0 if unknown."""
    version: tuple[int, int] | None = field(compare=False, default=None)
    """Of the input before it was processed, as RunFolder has it."""
    request_id: str = field(compare=False, default_factory=lambda: str(uuid.uuid4()))
    """The same for all attempts, as in Lambda."""
    attempt: int = field(compare=False, default=1)


@dataclass(frozen=True)
class Attempt:
    """One finished attempt, with the handler's result or with an error in Lambda's format."""

    job: Job
    seconds: float
    result: Any = None
    error: dict[str, Any] | None = None
    cure: str | None = None
    """The cure that the exception names. Lambda retries it all the same, and so does the engine."""
    killed: bool = False
    """Something other than the pool ended the process: most likely the system, for want of memory."""
    started: bool = True
    """False if the process never became ready, so that the handler has not seen the event."""

    @property
    def recorded(self) -> dict[str, Any] | None:
        """The permanent failure that the function recorded and returned as its result, if it did."""
        result = self.result
        return result if isinstance(result, dict) and {"errorType", "record"} <= result.keys() else None


@dataclass
class _Worker:
    process: Process
    job: Job | None
    deadline: float
    ready: bool = False
    init_ms: float | None = None
    """Duration of INIT; None after the first REPORT line, which contains it."""
    began: float = 0.0
    began_at: str = ""
    used_mb: float = 0.0


class Workers(Protocol):
    """What runs the attempts of an engine, several at a time, controlled from one thread."""

    function: Function
    arn: str

    def can_take(self) -> bool:
        """Whether another job could start now."""

    def is_busy(self) -> bool:
        """Whether any job is being processed."""

    def take_notice(self) -> str:
        """What a person should know and was not taken before; empty if there is nothing."""

    def give(self, job: Job) -> None:
        """Starts a job."""

    def wait(self, timeout: float) -> list[Attempt]:
        """Waits up to `timeout` seconds; returns the attempts that have finished."""

    def release(self) -> None:
        """Ends what is kept warm."""

    def close(self) -> None:
        """Ends all jobs. Files in flight get no result; the next run processes them."""


class Pool:
    """Up to `jobs` worker processes of one function, controlled from one thread.

    Memory, that of a worker's children included, is checked every 20 ms, while Lambda's limit is hard. A
    shorter peak appears only in the REPORT line, whose Max Memory Used is the peak of these checks and of
    what the process itself measured.
    """

    def __init__(
        self, function: Function, environment: dict[str, str], jobs: int, log: Callable[[str], None]
    ) -> None:
        """`log` is called with the log of each invocation, as one string."""
        self.function, self.jobs, self._environment, self._log = function, jobs, environment, log
        self.arn = lambda_format.arn(function.name, environment["AWS_REGION"])
        self._notice = ""
        self._workers: dict[int, _Worker] = {}
        self._unstarted: list[Job] = []
        """Jobs for which the system had no process; they wait for one that is idle."""
        self._selector = selectors.DefaultSelector()
        self._attempts: list[Attempt] = []

    def can_take(self) -> bool:
        """Whether another job could start now."""
        idle = sum(worker.job is None for worker in self._workers.values())
        return self.jobs - len(self._workers) + idle > len(self._unstarted)

    def is_busy(self) -> bool:
        """Whether any job is being processed."""
        return bool(self._unstarted) or any(worker.job for worker in self._workers.values())

    def give(self, job: Job) -> None:
        """Gives a job to an idle worker or to a new one, which is a cold start.

        If the system has no further process, goes on with those that there are. Raises OSError if there are
        none.
        """
        for worker in self._workers.values():
            if worker.job is None:
                worker.job = job
                self._send(worker, job)
                return
        try:
            process = Process(self.function, self._environment)
        except OSError as error:
            reason = f"no further worker process can start: {error.strerror or error}"
            if not self._workers:
                raise OSError(error.errno, f"{reason}; see `ulimit -n` and `ulimit -u`") from error
            self.jobs = len(self._workers)
            self._notice = f"{reason}; {self.jobs} at a time from here on (see `ulimit -n` and `ulimit -u`)"
            self._unstarted.append(job)
            return
        deadline = process.started + INIT_S + self.function.timeout_s
        self._workers[process.replies] = _Worker(process, job, deadline)
        self._selector.register(process.replies, selectors.EVENT_READ)

    def wait(self, timeout: float) -> list[Attempt]:
        """Waits up to `timeout` seconds for replies; returns the attempts that have finished."""
        for key, _ in self._selector.select(min(timeout, POLL_S)):
            worker = self._workers[key.fd]
            for reply in worker.process.receive():
                self._handle(worker, reply)
            if worker.process.ended and key.fd in self._workers:
                self._handle_exit(worker)
        self._check_limits()
        while self._unstarted and (
            not self._workers or any(worker.job is None for worker in self._workers.values())
        ):
            self.give(self._unstarted.pop())
        ended, self._attempts = self._attempts, []
        return ended

    def take_notice(self) -> str:
        """What a person should know and was not taken before; empty if there is nothing."""
        notice, self._notice = self._notice, ""
        return notice

    def release(self) -> None:
        """Ends the idle workers, which hold memory."""
        for worker in [worker for worker in self._workers.values() if worker.job is None]:
            self._remove(worker)

    def close(self) -> None:
        """Kills all workers. Files in flight get no result; the next run processes them."""
        for worker in self._workers.values():
            worker.process.close()
        self._workers.clear()
        self._selector.close()

    def _send(self, worker: _Worker, job: Job) -> None:
        limit = self.function.timeout_s
        worker.began, worker.began_at = time.monotonic(), lambda_format.now()
        worker.deadline = worker.began + limit
        request = {"id": job.request_id, "arn": self.arn, "deadline": time.time() + limit, "event": job.event}
        worker.process.send(request)

    def _handle(self, worker: _Worker, reply: dict[str, Any]) -> None:
        job = worker.job
        assert job is not None, "an idle worker sends no reply"
        if reply["kind"] == "ready":
            worker.ready = True
            worker.init_ms = (time.monotonic() - worker.process.started) * 1000
            self._send(worker, job)
        elif reply["kind"] == "init_error":
            self._fail_init(worker, job, reply["error"], "error")
        else:
            worker.used_mb = max(worker.used_mb, reply["max_rss_mb"])
            self._report(
                worker, job, reply["duration_ms"], "error" if "error" in reply else "", reply.get("error")
            )
            worker.job = None
            seconds = reply["duration_ms"] / 1000
            cure = reply.get("cure")
            self._attempts.append(Attempt(job, seconds, reply.get("result"), reply.get("error"), cure))

    def _handle_exit(self, worker: _Worker) -> None:
        code = worker.process.exit_code()
        if worker.job is None:  # it died between two files, and no file is affected
            self._remove(worker)
        else:
            by = next((one.name for one in signal.Signals if one == -code), "")
            killed = by in _FROM_OUTSIDE and not worker.process.was_killed
            error = lambda_format.exited(worker.job.request_id, code, killed)
            self._kill(worker, worker.job, error, "error", killed=killed)

    def _check_limits(self) -> None:
        limit_mb, limit_s = self.function.memory_mb, self.function.timeout_s
        for worker in list(self._workers.values()):
            if (job := worker.job) is None:
                continue
            worker.used_mb = max(worker.used_mb, worker.process.memory_mb(limit_mb))
            if worker.used_mb > limit_mb:
                self._kill(worker, job, lambda_format.out_of_memory(job.request_id, limit_mb), "error")
            elif time.monotonic() >= worker.deadline:
                self._kill(worker, job, lambda_format.timed_out(job.request_id, limit_s), "timeout")

    def _kill(
        self, worker: _Worker, job: Job, error: dict[str, Any], status: str, *, killed: bool = False
    ) -> None:
        worker.process.kill()
        if not worker.ready:
            self._fail_init(worker, job, error, status, killed=killed)
            return
        elapsed = self.function.timeout_s if status == "timeout" else time.monotonic() - worker.began
        self._report(worker, job, elapsed * 1000, status, error)
        self._remove(worker)
        self._attempts.append(Attempt(job, elapsed, error=error, killed=killed))

    def _fail_init(
        self, worker: _Worker, job: Job, error: dict[str, Any], status: str, *, killed: bool = False
    ) -> None:
        elapsed = time.monotonic() - worker.process.started
        kind = "" if status == "timeout" else error["errorType"]
        output = worker.process.take_output()
        self._log(lambda_format.init_report(output, init_ms=elapsed * 1000, status=status, error_type=kind))
        self._remove(worker)
        self._attempts.append(Attempt(job, elapsed, error=error, killed=killed, started=False))

    def _remove(self, worker: _Worker) -> None:
        self._selector.unregister(worker.process.replies)
        del self._workers[worker.process.replies]
        worker.process.close()

    def _report(
        self, worker: _Worker, job: Job, elapsed_ms: float, status: str, error: dict[str, Any] | None
    ) -> None:
        output = worker.process.take_output()
        if error and "stackTrace" not in error:  # the process could not print it itself
            output += (
                f"{lambda_format.now()} {job.request_id} {error['errorMessage'].partition('Error: ')[2]}\n"
            )
        report = lambda_format.Report(
            job.request_id,
            started=worker.began_at,
            duration_ms=elapsed_ms,
            memory_mb=self.function.memory_mb,
            used_mb=worker.used_mb,
            init_ms=worker.init_ms,
            status=status,
            error_type=error["errorType"] if error and status != "timeout" else "",
        )
        worker.init_ms = None
        self._log(lambda_format.invocation(report, output))
