"""skyfan costs: the bill of a run, or of log files."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..bill import logs, prices, runlog, whatif
from ..bill.collector import Collector
from ..bill.costs import NOTHING_BESIDE, Beside, bill
from ..bill.estimate import estimate
from ..bill.runlog import RunLog
from ..bill.speeds import Speeds
from ..bill.statement import Costs
from ..bill.whatif import Elsewhere
from ..errors import UsageError
from . import where

ARCH = "x86_64"


def costs(
    run: str | None = None,
    output: str | Path | None = None,
    *,
    stack: str = "skyfan",
    log: Iterable[str | Path] = (),
    model: str = prices.MODEL,
    region: str | None = None,
    price_file: str | Path | None = None,
    arch: str | None = None,
    free_tier: bool = False,
    elsewhere: Elsewhere | None = None,
    advise: bool = False,
    on_page: Callable[[int], None] = lambda events: None,
) -> Costs:
    """The bill of a run, from its logs, or of log files.

    A run's place is a folder, s3://bucket, or the results bucket of a stack; `log` are files in the place of
    the run's own logs, "-" for standard input. `elsewhere` asks what the same work would have cost elsewhere,
    `advise` for the memory size to use. `on_page` is called with the events of each page from CloudWatch.
    Raises UsageError for what cannot be read or has no price.
    """
    rates = prices.load(price_file, region)
    paths = [str(path) for path in log]
    known: RunLog | None = None
    beside: Beside = NOTHING_BESIDE
    if paths:
        collector = Collector(run)
        for events in logs.files(paths):
            collector.add(events)
        records = collector.finish()
    elif run is not None:
        known = _run_log(run, output, stack, on_page)
        records, beside = known.records, known.beside
    else:
        raise UsageError("name a run, or log files with --log")
    if not len(records) and not records.unparsed:
        where = f"the logs of the run {run}" if known else ", ".join(paths)
        raise UsageError(f"no REPORT line in {where}: Lambda writes it when an invocation has ended")
    processor = arch or _processor(known, stack)
    common: dict[str, Any] = {"arch": processor, "beside": beside}
    made = bill(records, rates, model=model, free_tier=free_tier, **common)
    others = {name: bill(records, rates, model=name, **common) for name in rates.models if name != model}
    expected = None
    if known and len(known.files):
        expected = estimate(known.items(), memory_mb=known.memory_mb, arch=processor, prices=rates)
    other = None
    if elsewhere:
        other = whatif.what_if(records, rates, elsewhere, model=model, free_tier=free_tier, **common)
    advice = whatif.advise(records, rates, arch=processor) if advise else None
    own_machine = known is not None and not known.sent
    return Costs(run, made, others, rates, records, expected, other, advice, own_machine)


def history(run: str, output: str | Path | None = None, *, stack: str = "skyfan") -> Speeds | None:
    """What the files of a past run took, for estimate(history=...); None where its logs do not tell."""
    return _run_log(run, output, stack, lambda events: None).speeds()


def _run_log(run: str, output: str | Path | None, stack: str, on_page: Callable[[int], None]) -> RunLog:
    place, _ = where.find(output, stack)

    def groups(functions: frozenset[str]) -> list[str]:
        from ..aws import stack as stacks

        found = stacks.find(stack)
        return [found.log_group(key) for key, name in found.functions.items() if name in functions]

    def client() -> Any:
        from ..aws import session

        return session.client("logs")

    return runlog.read(place, run, log_groups=groups, client=client, on_page=on_page)


def _processor(known: RunLog | None, stack: str) -> str:
    """The stack's architecture for a run on Lambda; elsewhere nothing tells it."""
    if known is None or not known.sent:
        return ARCH
    from ..aws import stack as stacks

    return stacks.find(stack).outputs.get("ProcessorArchitecture", ARCH)
