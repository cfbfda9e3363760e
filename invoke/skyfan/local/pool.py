"""The pool of worker processes: each starts cold, is kept warm, and is killed over its memory or its time."""

import selectors
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..template import Function
from . import records
from .process import Process

WATCH_S = 0.02
# Lambda gives INIT 10 s of its own, before the function's time limit counts.
INIT_S = 10.0


@dataclass(order=True)
class Job:
    """One input on its way through the function. Sorts by the time when it is due."""

    due: float
    """Monotonic time before which it is not tried."""
    input: str = field(compare=False)
    event: dict[str, Any] = field(compare=False)
    request_id: str = field(compare=False, default_factory=lambda: str(uuid.uuid4()))
    """The same for all tries, as in Lambda."""
    attempt: int = field(compare=False, default=1)


@dataclass(frozen=True)
class Outcome:
    """How one try ended: with the handler's result, or with an error in Lambda's words."""

    job: Job
    seconds: float
    result: Any = None
    error: dict[str, Any] | None = None
    permanent: bool = False
    """The function says that another try cannot help. Lambda tries all the same, and so does the engine."""
    started: bool = True
    """False where the process never became ready: the handler has not seen the event."""


@dataclass
class _Worker:
    process: Process
    job: Job | None
    deadline: float
    ready: bool = False
    init_ms: float | None = None
    """Until its first REPORT, which carries it."""
    began: float = 0.0
    began_at: str = ""
    used_mb: float = 0.0


class Pool:
    """At most `jobs` worker processes of one function, looked after from one thread.

    Memory is looked at every 20 ms, where Lambda's limit is hard: what is taken and given back between two
    looks is seen in the REPORT line only, whose Max Memory Used is the process's own high-water mark.
    """

    def __init__(
        self, function: Function, environment: dict[str, str], jobs: int, log: Callable[[str], None]
    ) -> None:
        """`log` is given each invocation's lines as one text."""
        self.function, self.jobs, self._environment, self._log = function, jobs, environment, log
        self.arn = records.arn(function.name, environment["AWS_REGION"])
        self._workers: dict[int, _Worker] = {}
        self._selector = selectors.DefaultSelector()
        self._outcomes: list[Outcome] = []

    def can_take(self) -> bool:
        """Whether another job can begin at once."""
        return len(self._workers) < self.jobs or any(worker.job is None for worker in self._workers.values())

    def is_busy(self) -> bool:
        return any(worker.job for worker in self._workers.values())

    def give(self, job: Job) -> None:
        """Hands a job to an idle worker, else to a new one, which is a cold start."""
        for worker in self._workers.values():
            if worker.job is None:
                worker.job = job
                self._send(worker, job)
                return
        process = Process(self.function, self._environment)
        deadline = process.started + INIT_S + self.function.timeout_s
        self._workers[process.replies] = _Worker(process, job, deadline)
        self._selector.register(process.replies, selectors.EVENT_READ)

    def wait(self, timeout: float) -> list[Outcome]:
        """Waits at most `timeout` seconds for something to happen; gives what has ended."""
        for key, _ in self._selector.select(min(timeout, WATCH_S)):
            worker = self._workers[key.fd]
            for reply in worker.process.receive():
                self._hear(worker, reply)
            if worker.process.ended and key.fd in self._workers:
                self._lost(worker)
        self._watch()
        ended, self._outcomes = self._outcomes, []
        return ended

    def close(self) -> None:
        """Kills every worker. A file in flight stays without a result and is done by the next run."""
        for worker in self._workers.values():
            worker.process.close()
        self._workers.clear()
        self._selector.close()

    def _send(self, worker: _Worker, job: Job) -> None:
        limit = self.function.timeout_s
        worker.began, worker.began_at = time.monotonic(), records.now()
        worker.deadline = worker.began + limit
        request = {"id": job.request_id, "arn": self.arn, "deadline": time.time() + limit, "event": job.event}
        worker.process.send(request)

    def _hear(self, worker: _Worker, reply: dict[str, Any]) -> None:
        job = worker.job
        assert job is not None, "a worker that was given nothing has nothing to say"
        if reply["kind"] == "ready":
            worker.ready = True
            worker.init_ms = (time.monotonic() - worker.process.started) * 1000
            self._send(worker, job)
        elif reply["kind"] == "init_error":
            self._never_ready(worker, job, reply["error"], "error")
        else:
            worker.used_mb = max(worker.used_mb, reply["max_rss_mb"])
            self._report(
                worker, job, reply["duration_ms"], "error" if "error" in reply else "", reply.get("error")
            )
            worker.job = None
            seconds = reply["duration_ms"] / 1000
            permanent = reply.get("permanent", False)
            self._outcomes.append(Outcome(job, seconds, reply.get("result"), reply.get("error"), permanent))

    def _lost(self, worker: _Worker) -> None:
        code = worker.process.exit_code()
        if worker.job is None:  # it died between two files: nobody's loss
            self._drop(worker)
        else:
            self._end(worker, worker.job, records.exited(worker.job.request_id, code), "error")

    def _watch(self) -> None:
        limit_mb, limit_s = self.function.memory_mb, self.function.timeout_s
        for worker in list(self._workers.values()):
            if (job := worker.job) is None:
                continue
            worker.used_mb = max(worker.used_mb, worker.process.rss_mb())
            if worker.used_mb > limit_mb:
                self._end(worker, job, records.out_of_memory(job.request_id, limit_mb), "error")
            elif time.monotonic() >= worker.deadline:
                self._end(worker, job, records.timed_out(job.request_id, limit_s), "timeout")

    def _end(self, worker: _Worker, job: Job, error: dict[str, Any], status: str) -> None:
        worker.process.kill()
        if not worker.ready:
            self._never_ready(worker, job, error, status)
            return
        elapsed = self.function.timeout_s if status == "timeout" else time.monotonic() - worker.began
        self._report(worker, job, elapsed * 1000, status, error)
        self._drop(worker)
        self._outcomes.append(Outcome(job, elapsed, error=error))

    def _never_ready(self, worker: _Worker, job: Job, error: dict[str, Any], status: str) -> None:
        elapsed = time.monotonic() - worker.process.started
        kind = "" if status == "timeout" else error["errorType"]
        output = worker.process.take_output()
        self._log(records.init_report(output, init_ms=elapsed * 1000, status=status, error_type=kind))
        self._drop(worker)
        self._outcomes.append(Outcome(job, elapsed, error=error, started=False))

    def _drop(self, worker: _Worker) -> None:
        self._selector.unregister(worker.process.replies)
        del self._workers[worker.process.replies]
        worker.process.close()

    def _report(
        self, worker: _Worker, job: Job, elapsed_ms: float, status: str, error: dict[str, Any] | None
    ) -> None:
        output = worker.process.take_output()
        if error and "stackTrace" not in error:  # the process could not say it itself
            output += f"{records.now()} {job.request_id} {error['errorMessage'].partition('Error: ')[2]}\n"
        text = records.invocation(
            job.request_id,
            output,
            started=worker.began_at,
            duration_ms=elapsed_ms,
            memory_mb=self.function.memory_mb,
            used_mb=worker.used_mb,
            init_ms=worker.init_ms,
            status=status,
            error_type=error["errorType"] if error and status != "timeout" else "",
        )
        worker.init_ms = None
        self._log(text)
