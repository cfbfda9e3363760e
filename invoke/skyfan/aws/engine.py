"""The AWS engine: a plan to the functions of a stack, and the wait for what comes of it."""

import math
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from .. import events
from ..bill.estimate import Estimate, estimate
from ..errors import UsageError
from ..local import environment
from ..plans.plan import Plan
from ..runs import given
from ..runs import run as runs
from ..runs.judge import Limits
from ..runs.place import Place
from ..runs.state import Follower
from ..task import Task
from ..template import Template
from . import deployed, dispatch
from . import stack as stacks
from .calls import Call, calls
from .deployed import Deployed
from .left import Left
from .outcome import Interrupted, Outcome
from .sender import Counts
from .stack import Stack
from .watch import Watch

# A function that takes several files in an event says in this variable where it records those that fail.
FAILURES = "SKYFAN_FAILURES"
_TICK_S = 0.2
# A storage that fails so often in a row, ten seconds apart, will not mend while somebody waits.
_LOOKS = 5


@dataclass(frozen=True)
class AwsOptions:
    """Where a run is sent, and how."""

    stack: str = stacks.DEFAULT
    max_cost: float | None = None
    """USD, for all calls of the run together, at the estimate's high end."""
    wait: bool = True
    """Whether to stay until something has come of every file."""
    every_s: float = 2.0
    """Least seconds between two looks at the bucket."""
    sending: dispatch.Options = field(default_factory=dispatch.Options)


@dataclass(frozen=True)
class Preview:
    """What a call would do."""

    calls: Iterator[Call]
    """What would be sent, in order; made while it is read."""
    left: Left
    """Counts what is passed over, while `calls` is read."""
    estimate: Estimate
    """Of the whole plan."""


def run(
    inputs: list[str] | Plan,
    registry: Template,
    function: str,
    task: Task,
    options: AwsOptions,
    on_event: events.OnEvent = lambda event: None,
) -> Outcome:
    """Sends what is left of the inputs, URIs or a plan, and waits for what comes of it.

    `function` is a logical ID in the template and the stack. Raises UsageError for what cannot be,
    Interrupted on Ctrl-C. Whenever it ends, the same call goes on where it stopped.
    """
    began = time.monotonic()
    with _planned(inputs) as plan:
        work = _Work.find(plan, registry, function, task, options)
        work.check()
        allowance = work.allowance()
        runs.begin(work.place, task, function, work.results, work.stack.failures.name)
        runs.add_plan(work.place, task.run, plan)
        outcome = Outcome(task.run, work.place.name, plan.files)
        follower = Follower(work.place, task.run, work.stack.failures)
        with Watch(follower, work.limits(), options.every_s) as watch:
            try:
                _send(work, allowance, watch, outcome, on_event)
                if options.wait and not outcome.refused:
                    _wait(watch, outcome, on_event)
            except KeyboardInterrupt as error:
                raise Interrupted(outcome) from error
            finally:
                outcome.state = watch.state if options.wait else None
                outcome.seconds = time.monotonic() - began
    return outcome


@contextmanager
def preview(
    inputs: list[str] | Plan, registry: Template, function: str, task: Task, options: AwsOptions
) -> Iterator[Preview]:
    """What run() would send now. Reads the bucket, and changes nothing anywhere."""
    with _planned(inputs) as plan:
        work = _Work.find(plan, registry, function, task, options)
        left = work.left()
        left.read()
        told = work.estimate()
        files = islice(left, options.sending.max_files)
        made = calls(files, task, options.sending.batch)
        yield Preview(_affordable(made, work.allowed(told) - left.receipts), left, told)


def _affordable(made: Iterator[Call], allowance: float) -> Iterator[Call]:
    for call in made:
        allowance -= len(call.uris)
        if allowance < 0:
            return
        yield call


@dataclass(frozen=True)
class _Work:
    """What is asked for, with what the stack and the template say of it."""

    plan: Plan
    task: Task
    options: AwsOptions
    stack: Stack
    place: Place
    results: str
    functions: Mapping[str, Deployed]
    retries: int

    @classmethod
    def find(cls, plan: Plan, registry: Template, function: str, task: Task, options: AwsOptions) -> "_Work":
        described = registry.function(function)
        if options.sending.batch > 1 and FAILURES not in described.environment:
            raise UsageError(
                f"{function} takes one file an invocation: it has no {FAILURES} in its environment, where "
                "files of a batch that fail would be recorded; leave --batch out"
            )
        stack = stacks.find(options.stack)
        functions = deployed.read(stack, registry, function)
        results = environment.results(described)
        return cls(plan, task, options, stack, stack.results, results, functions, described.retries)

    def left(self) -> Left:
        results = self.results.removeprefix("s3://").partition("/")[2]
        return Left(self.place, self.task.run, results, self.plan, self.functions)

    def check(self) -> None:
        """Raises UsageError for what no file can be sent with, before the run has taken its name."""
        first = next(iter(self.plan), None)  # a plan is sorted: file:// comes before s3://
        if first is not None:
            left = Left(self.place, self.task.run, "", [first], self.functions)
            next(calls(left.all(), self.task, self.options.sending.batch))

    def limits(self) -> Limits:
        timeout_s = max(function.timeout_s for function in self.functions.values())
        return Limits(timeout_s=timeout_s, retries=self.retries)

    def estimate(self) -> Estimate:
        memory_mb = {tier: function.memory_mb for tier, function in self.functions.items()}
        arch = self.stack.outputs.get("ProcessorArchitecture", "x86_64")
        batch = self.options.sending.batch
        return estimate(self.plan, memory_mb=memory_mb, arch=arch, region=self.stack.region, batch=batch)

    def allowance(self) -> float:
        """Files that all calls of the run together may send."""
        return math.inf if self.options.max_cost is None else self.allowed(self.estimate())

    def allowed(self, told: Estimate) -> float:
        cost = self.options.max_cost
        if cost is None or not told.usd_per_file_high:
            return math.inf
        if cost < 0:
            raise UsageError(f"max-cost must be at least 0, not {cost}")
        return math.floor(cost / told.usd_per_file_high)


@contextmanager
def _planned(inputs: list[str] | Plan) -> Iterator[Plan]:
    if isinstance(inputs, Plan):
        yield inputs
        return
    with tempfile.TemporaryDirectory(prefix="skyfan-") as folder:
        yield given.of_names(inputs, Path(folder) / "plan.parquet")


def _send(work: _Work, allowance: float, watch: Watch, outcome: Outcome, on_event: events.OnEvent) -> None:
    left = work.left()

    def files() -> Iterator[tuple[str, str]]:
        left.read()
        yield from left

    def tell(sent: int, counts: Counts) -> None:
        outcome.sent, outcome.counts = sent, counts
        outcome.done_before, outcome.sent_before = left.done_before, left.sent_before
        watch.poll()
        on_event(_progress(outcome, watch))

    try:
        sent = dispatch.send(
            work.place, work.task, files(), work.options.sending, tell, lambda: allowance - left.receipts
        )
    except dispatch.Interrupted as interrupted:
        tell(interrupted.sent.files, interrupted.sent.counts)
        outcome.left = None
        raise
    tell(sent.files, sent.counts)
    outcome.left, outcome.stopped, outcome.send_s = sent.left, sent.stopped, sent.seconds
    outcome.refused = bool(sent.stopped) and not sent.limited


def _wait(watch: Watch, outcome: Outcome, on_event: events.OnEvent) -> None:
    sent = time.monotonic()
    watch.now()
    while watch.state is None or watch.looked < sent or watch.state.counts["sent"]:
        watch.poll()
        if len(watch.failed) >= _LOOKS:
            raise watch.failed[-1]
        on_event(_progress(outcome, watch))
        time.sleep(_TICK_S)
    on_event(_progress(outcome, watch))


def _progress(outcome: Outcome, watch: Watch) -> events.Dispatched:
    counts = watch.state.counts if watch.state else {}
    return events.Dispatched(
        files=outcome.files,
        before=outcome.done_before + outcome.sent_before,
        sent=outcome.sent,
        planned=counts.get("planned"),
        done=counts.get("done", 0),
        failed=counts.get("failed", 0) + counts.get("missing", 0) + counts.get("cancelled", 0),
        late=counts.get("late", 0),
    )
