"""The AWS engine: sends files to the functions of a stack and waits for the results."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice, takewhile

from skyfan_contract import FAILURES

from .. import events, formatting, template
from ..bill.estimate import UNKNOWN_SIZE, Conditions, Estimate, estimate, known_sizes
from ..bill.show import queue_notice
from ..engine import AwsOptions, Call, File, Preview, Selection
from ..errors import Interrupted, UsageError
from ..files import require_posix
from ..plans.plan import STANDARD, Item, Plan
from ..runs import run as runs
from ..runs.judge import Limits
from ..runs.outcome import Outcome, finishing
from ..runs.state import UNSUCCESSFUL, Follower, RunState
from ..storage.place import Place
from ..storage.uris import Results, below_bucket
from ..task import Task
from ..template import Template
from . import dispatch
from . import stack as stacks
from .budget import Budget, Sizes, attempts, conditions_of
from .invocations import calls
from .remaining import Remaining, Selected, check_buckets
from .sender import Counts
from .stack import Functions, Stack
from .watch import Watch, Waves

_TICK_S = 0.2
# Give up if the storage fails in this many polls in a row, ten seconds apart.
_MAX_FAILED_POLLS = 5


class AwsEngine:
    """Sends files to the functions of a stack; see engine.Engine."""

    def __init__(self, registry: Template, options: AwsOptions) -> None:
        self._registry, self._options = registry, options

    @cached_property
    def stack(self) -> Stack:
        """Raises UsageError if there is no such stack, or if its results are in another bucket."""
        options = self._options
        found = stacks.find(options.stack)
        if options.bucket and Place.at(options.bucket).name != found.results.name:
            raise UsageError(
                f"the stack {options.stack} has its results in {found.results.name}, not in "
                f"{options.bucket}: use --stack to name the stack of the run"
            )
        return found

    @property
    def place(self) -> Place:
        return self.stack.results

    def state(self, run: str) -> RunState:
        return Follower(self.place, run, self.stack.failures).read()

    def plan(self, task: Task, files: Plan | Selection) -> Preview:
        work = self._work(task, files)
        check_buckets(work.files, work.functions)
        budget = work.budget(files if isinstance(files, Plan) else ())
        work.files.read(budget)
        cost = work.estimate()
        invocations = calls(islice(work.files, self._options.max_files), task, self._options.batch)
        if budget:
            budget.spent(attempts(self.place, task.run))
            invocations = takewhile(budget.spend, invocations)

        def counted() -> Iterator[Call]:
            yield from invocations
            preview.done_before, preview.sent_before = work.files.done_before, work.files.sent_before

        preview = Preview(counted(), estimate=cost, notices=list(work.notices(cost)))
        return preview

    def send(self, task: Task, files: Plan | Selection, on_event: events.OnEvent = events.ignore) -> Outcome:
        """See engine.Engine. With `wait`, returns when each file is done, has failed, or is late."""
        began = time.monotonic()
        require_posix("sending files to AWS")
        work = self._work(task, files)
        self.stack.check()
        work.check()
        cost = work.estimate()
        for notice in work.notices(cost):
            on_event(events.Notice(notice))
        if isinstance(files, Plan):
            failures, marks = self.stack.failures.name, self.stack.marks_doubtful
            engine = self._options.engine
            runs.begin(self.place, task, self._results(task), failures, engine=engine, marks=marks)
            runs.add_plan(self.place, task.run, files)
        outcome = Outcome(task.run, self.place, files.files)

        def finish() -> None:
            outcome.files = files.files
            if self._options.wait and watch.state is not None:
                done = outcome.set_state(watch.state, work.files.uris())
                outcome.done = max(0, done - outcome.done_before)
            elif isinstance(work.files, Selected):
                outcome.doubts = work.files.state.doubts()
            outcome.seconds = time.monotonic() - began

        with (
            Watch(self._follower(task.run, files), work.limits(cost), self._options.every_s) as watch,
            finishing(outcome, finish),
        ):
            is_refused = _send(work, work.waves(cost, watch), watch, outcome, on_event)
            if self._options.wait and not is_refused:
                _wait(watch, outcome, on_event)
        return outcome

    def _follower(self, run: str, files: Plan | Selection) -> Follower:
        replaced = files.stale if isinstance(files, Selection) else None
        return Follower(self.place, run, self.stack.failures, replaced)

    def _results(self, task: Task) -> str:
        return template.results(self._registry.function(task.function))

    def _work(self, task: Task, files: Plan | Selection) -> "_Work":
        options, function = self._options, task.function
        if options.batch > 1 and FAILURES not in self._registry.function(function).environment:
            raise UsageError(
                f"{function} takes one file per invocation: it has no {FAILURES} in its environment, where "
                "failed files of a batch would be recorded; omit --batch"
            )
        functions = stacks.deployed(self.stack, self._registry, function, options.concurrency)
        if isinstance(files, Plan):
            results = Results.of(below_bucket(self._results(task)), task.run)
            remaining = Remaining(self.place, task.run, results, files, functions, task.outputs)
            return _Work(task, options, self.stack, functions, remaining)
        selected = Selected(files, self._follower(task.run, files), functions, task.outputs)
        return _Work(task, options, self.stack, functions, selected)


@dataclass(frozen=True)
class _Work:
    """The arguments of a call, with what stack and template add to them."""

    task: Task
    options: AwsOptions
    stack: Stack
    functions: Functions
    files: Remaining | Selected

    @property
    def place(self) -> Place:
        return self.stack.results

    def check(self) -> None:
        """Raises UsageError if no file can be sent or no result written, before the run is created."""
        self.functions.check(self.task.run)
        check_buckets(self.files, self.functions)
        first = islice(self.files.all(), 1)  # a plan is sorted: file:// comes before s3://
        if next(calls(first, self.task, self.options.batch), None):
            stacks.prove_writable(self.functions.tiers[STANDARD], self.task.run)

    def conditions(self) -> Conditions:
        return conditions_of(self.stack, self.functions, self.task, self.options.batch)

    def estimate(self) -> Estimate:
        return estimate(self.files.graded(), self.conditions())

    def limits(self, cost: Estimate) -> Limits:
        tiers, age_s = self.functions.tiers.values(), self.functions.age_s
        return Limits(
            timeout_s=max(function.timeout_s for function in tiers),
            retries=max(function.retries for function in tiers),
            queue_s=min(age_s, max(Limits.queue_s, self.queue_s(cost))),
            age_s=max(function.age_s for function in tiers),
        )

    def queue_s(self, cost: Estimate) -> float:
        """How long the last event waits if all are sent at once, at most."""
        return cost.busy_seconds_high / self.functions.concurrency

    def budget(self, plan: Iterable[Item] = ()) -> Budget | None:
        """The budget of the run; None without a limit. `plan` is one that may not be stored yet."""
        if self.options.max_cost is None:
            return None
        sizes = Sizes(self.place, self.task.run, plan)
        return Budget(self.options.max_cost, self.conditions(), self.functions, sizes)

    def notices(self, cost: Estimate) -> Iterator[str]:
        yield from self.functions.notices
        if cost.unknown:
            size = f"{UNKNOWN_SIZE / 1e6:.0f} MB"
            unknown = f"{formatting.count(cost.unknown)} of unknown size"
            yield f"{unknown}: each counts as {size} and is sent to the function that the plan names"
        if (wait_s := self.queue_s(cost)) > self.functions.age_s:
            yield queue_notice(wait_s, self.functions.age_s)

    def waves(self, cost: Estimate, watch: Watch) -> Waves | None:
        """The waves in which files are sent; None if all of them can be sent at once.

        Half of the maximum event age is used: durations are estimates.
        """
        limit_s = self.functions.concurrency * self.functions.age_s / 2
        if cost.busy_seconds_high <= limit_s:
            return None
        watch.read()
        sizes, conditions = Sizes(self.place, self.task.run), self.conditions()
        tiers = self.functions.tier_of

        def seconds(call: Call) -> float:
            memory_mb = conditions.memory_mb[tiers[call.function]]
            return float(conditions.seconds(known_sizes(sizes.of(call.uris)), memory_mb)[1].sum())

        waiting = watch.unfinished()
        queued = (waiting, waiting * cost.busy_seconds_high / max(1, cost.files))
        return Waves(limit_s, seconds, watch.finished, queued)


def _send(work: _Work, waves: Waves | None, watch: Watch, outcome: Outcome, on_event: events.OnEvent) -> bool:
    """Sends the remaining files. Returns whether Lambda, not a limit, stopped it."""
    budget = work.budget()

    def files() -> Iterator[File]:
        work.files.read(budget)
        yield from work.files

    def on_tick(accepted: int, counts: Counts) -> None:
        dispatch.report_progress(outcome, accepted, counts)
        outcome.done_before, outcome.sent_before = work.files.done_before, work.files.sent_before
        outcome.unchecked = outcome.done_before
        watch.update()
        on_event(replace(_progress(outcome, watch), send_wait=counts.wait))

    try:
        sent = dispatch.send(
            work.place, work.task, files(), work.options, on_tick, budget=budget, waves=waves
        )
    except Interrupted as interrupted:
        interrupted.partial.report(outcome)
        on_tick(interrupted.partial.files, interrupted.partial.counts)
        raise
    sent.report(outcome)
    on_tick(sent.files, sent.counts)
    return bool(sent.stopped) and not sent.is_limited


def _wait(watch: Watch, outcome: Outcome, on_event: events.OnEvent) -> None:
    sent, since = time.monotonic(), time.time()
    watch.hurry()
    while watch.state is None or watch.polled < sent or watch.state.counts["sent"]:
        watch.update()
        if len(watch.errors) >= _MAX_FAILED_POLLS:
            raise watch.errors[-1]
        on_event(replace(_progress(outcome, watch), result_wait=_result_wait(watch, since)))
        time.sleep(_TICK_S)
    on_event(_progress(outcome, watch))


def _result_wait(watch: Watch, since: float) -> str:
    begun = formatting.time_of_day(since)
    if watch.errors:
        return (
            f"the bucket cannot be read, {len(watch.errors)} of {_MAX_FAILED_POLLS} times: {watch.errors[-1]}"
        )
    late = formatting.time_of_day(since + watch.limits.late_s)
    return f"waiting for {formatting.count(watch.unfinished(), 'result')} since {begun}, until {late} at most"


def _progress(outcome: Outcome, watch: Watch) -> events.Dispatched:
    counts = watch.state.counts if watch.state else {}
    return events.Dispatched(
        files=outcome.files,
        before=outcome.done_before + outcome.sent_before,
        sent=outcome.sent,
        planned=counts.get("planned"),
        done=counts.get("done", 0),
        failed=sum(counts.get(name, 0) for name in UNSUCCESSFUL),
        late=counts.get("late", 0),
    )
