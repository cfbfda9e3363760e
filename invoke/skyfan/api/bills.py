"""skyfan costs: the bill of a run or of log files."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import progress as progressing
from .. import template
from ..bill import logs, prices, runlog, whatif
from ..bill.collector import Collector
from ..bill.costs import NOTHING_UNLOGGED, Unlogged, bill
from ..bill.estimate import Conditions, Estimate, estimate
from ..bill.prices import Prices
from ..bill.runlog import RunLog
from ..bill.show import Costs, queue_notice
from ..bill.speeds import Speeds
from ..bill.whatif import TimeLimits, Variation
from ..engine import AwsOptions
from ..errors import UsageError
from ..events import OnProgress, ignore
from ..plans.plan import LARGE, STANDARD, Plan
from ..plans.tiers import MEMORY_MB, graded
from ..runs import watch_state
from ..runs.run import LARGE_SUFFIX
from ..watches import costs as watch_costs
from . import engines
from .engines import Where

ARCH = "x86_64"


@dataclass(frozen=True)
class CostOptions:
    """How a bill is computed, and what is computed beside it.

    >>> CostOptions(region="eu-central-1", free_tier=True).model
    'today'
    """

    model: str = prices.MODEL
    region: str | None = None
    """AWS region whose prices apply (default: us-east-1)."""
    price_file: str | Path | None = None
    arch: str | None = None
    """Architecture of the functions (default: the stack's)."""
    free_tier: bool = False
    variation: Variation | None = None
    """Other conditions, under which the cost of the same work is computed too."""
    advise: bool = False
    """Whether to recommend a memory size."""


@progressing.shown
def costs(
    run: str | None = None,
    where: Where | None = None,
    *,
    log: Iterable[str | Path] = (),
    options: CostOptions | None = None,
    progress: OnProgress = ignore,
) -> Costs:
    """The bill of a run from its logs, or of log files.

    `where` is the folder of the run, s3://bucket, or AwsOptions for a stack with its bucket. `log` are files
    to read: alone, or instead of the logs of the run, whose invocations alone then count. Raises UsageError
    if there is no such run, or no report in the logs.

    >>> bill = costs("first", "out")
    >>> bill.bill.invocations, bill.own_machine  # Lambda would charge bill.bill.usd
    (2, True)
    """
    options = options or CostOptions()
    model = options.model
    rates = prices.load(options.price_file, options.region)
    paths = [str(path) for path in log]
    run_log: RunLog | None = None
    unlogged: Unlogged = NOTHING_UNLOGGED
    if run is not None:
        if where is None:
            raise UsageError(f"where is the run {run}? Name its folder, its bucket or the stack")
        run_log = _run_log(run, where, progress, paths)
        records, unlogged = run_log.records, run_log.unlogged
    elif paths:
        collector = Collector()
        for events in logs.files(paths):
            collector.add(events)
        records = collector.finish()
    else:
        raise UsageError("name a run, or log files with --log")
    if not len(records) and not records.unparsed:
        source = ", ".join(paths) or f"the logs of the run {run}"
        source = f"{source} of the run {run}" if paths and run else source
        raise UsageError(f"no REPORT line in {source}: Lambda writes one at the end of each invocation")
    processor = options.arch or _processor(None if paths else run_log, where)
    common: dict[str, Any] = {"arch": processor, "unlogged": unlogged}
    actual = bill(records, rates, model=model, free_tier=options.free_tier, **common)
    others = {name: bill(records, rates, model=name, **common) for name in rates.models if name != model}
    expected = None
    if run_log and len(run_log.files):
        expected = estimate(run_log.items(), Conditions(run_log.memory_mb, processor, rates))
    limits = TimeLimits()
    if run_log and (options.variation or options.advise):
        limits = time_limits(run_log.function, _stack(where) if run_log.sent else None)
    other = None
    if options.variation:
        terms = {"model": model, "free_tier": options.free_tier, **common}
        other = whatif.what_if(records, rates, replace(options.variation, limits=limits), **terms)
    advice = whatif.advise(records, rates, arch=processor, limits=limits) if options.advise else None
    is_local = run_log is not None and not run_log.sent
    made = Costs(run, actual, others, rates, records, expected, other, advice, is_local)
    if run_log is None:
        return made
    counts = {name: getattr(run_log, name) for name in ("requests", "stored_bytes", "unreported")}
    return replace(made, **counts, watcher=_watcher(str(run), where, rates, processor))


def _watcher(run: str, where: Where | None, rates: Prices, arch: str) -> str:
    """What the Watcher did for a watch on AWS, and its cost; empty for another run."""
    place, _ = engines.find_place(where or AwsOptions())
    found = None if place.folder else watch_state.read(place, run)
    return watch_costs.spent(found.ledger, rates, arch) if found else ""


def history(run: str, where: Where) -> Speeds | None:
    """Time and memory of a past run's files, for estimate(history=...); None if its logs lack them.

    >>> history("first", "out") is None
    False
    """
    return _run_log(run, where, ignore).speeds()


def forecast(
    plan: Plan,
    *,
    stack: str = "skyfan",
    function: str = "SepExtract",
    concurrency: int | None = None,
    history: Speeds | None = None,
    template_file: str | Path | None = None,
) -> tuple[Estimate, list[str]]:
    """Time and cost of a plan on a stack, and what the user should know about them, one line each.

    `concurrency` replaces what Lambda allows. If the stack cannot be asked, the template's memory sizes and
    an account's default concurrency are assumed, and the lines say so.
    """
    conditions = Conditions(_memory_mb(function, template_file))
    if history is not None:
        conditions = replace(conditions, speeds=history)
    notices: list[str] = []
    age_s = template.AGE_S
    try:
        from ..aws import stack as stacks

        found = stacks.find(stack, patient=False)
        registry = engines.registry(template_file)
        functions = stacks.deployed(found, registry, function, concurrency, patient=False)
    except UsageError as error:
        notices.append(f"the stack {stack!r} could not be asked about memory and concurrency: {error}")
        if concurrency is not None:
            conditions = replace(conditions, concurrency=concurrency, concurrency_source="as requested")
    else:
        notices += functions.notices
        age_s = functions.age_s
        conditions = replace(
            conditions,
            memory_mb=functions.memory_mb,
            arch=found.outputs.get("ProcessorArchitecture", ARCH),
            prices=prices.load(region=found.region),
            concurrency=functions.concurrency,
            concurrency_source=functions.concurrency_source,
        )
    made = estimate(graded(plan, conditions.memory_mb), conditions)
    if (wait_s := made.busy_seconds_high / conditions.concurrency) > age_s:
        notices.append(queue_notice(wait_s, age_s))
    return made, notices


def _run_log(run: str, where: Where, progress: OnProgress, exports: Iterable[str] = ()) -> RunLog:
    place, _ = engines.find_place(where)

    def groups(functions: frozenset[str]) -> list[str]:
        from ..aws import stack as stacks

        found = stacks.find(_stack(where))
        return [found.log_group(key) for key, name in found.functions.items() if name in functions]

    def client() -> Any:
        from .. import session

        return session.client("logs")

    return runlog.read(place, run, log_groups=groups, client=client, exports=exports, progress=progress)


def _memory_mb(function: str, template_file: str | Path | None) -> Mapping[str, int]:
    """The memory sizes of a function in the template, by tier; for one that it lacks, those of plans."""
    registry = engines.registry(template_file)
    if function not in registry.functions:
        return MEMORY_MB
    large = function + LARGE_SUFFIX if function + LARGE_SUFFIX in registry.functions else function
    return {STANDARD: registry.function(function).memory_mb, LARGE: registry.function(large).memory_mb}


def time_limits(function: str, stack: str | None) -> TimeLimits:
    """The time limits of a function and of its variant with more memory.

    Those deployed in a stack; without a stack, and where Lambda does not tell, those of the template.
    """
    names = (function, function + LARGE_SUFFIX)
    if stack is not None:
        from .. import session
        from ..aws import stack as stacks

        with suppress(UsageError):  # not everybody may ask, and a stack may have been deleted
            found = stacks.find(stack, patient=False)
            client = session.client("lambda", patient=False)
            with session.aws_errors("Lambda"):
                answers = [
                    client.get_function_configuration(FunctionName=found.function(name))
                    for name in names
                    if name in found.functions
                ]
            deployed = {int(answer["MemorySize"]): float(answer["Timeout"]) for answer in answers}
            return TimeLimits(deployed, f"of {function} in the stack {stack}")
    registry = engines.registry(None)
    functions = [registry.function(name) for name in names if name in registry.functions]
    seconds = {int(each.memory_mb): each.timeout_s for each in functions}
    return TimeLimits(seconds, f"of {function} in {registry.path}")


def _stack(where: Where | None) -> str:
    return where.stack if isinstance(where, AwsOptions) else AwsOptions.stack


def _processor(run_log: RunLog | None, where: Where | None) -> str:
    """The stack's architecture if the run was on Lambda, else x86_64."""
    if run_log is None or not run_log.sent:
        return ARCH
    from ..aws import stack as stacks

    return stacks.find(_stack(where)).outputs.get("ProcessorArchitecture", ARCH)
