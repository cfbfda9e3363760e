"""The bill for people, as JSON, and as CSV."""

import csv
import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from rich.console import Console

from .. import files, formatting, plots
from ..formatting import Column
from ..tables import Tabular
from .charges import billed_ms
from .costs import Bill
from .estimate import Estimate
from .prices import Prices
from .records import Concurrency, Records
from .whatif import Advice, WhatIf

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = (
    "request_id",
    "ended",
    "memory_mb",
    "used_mb",
    "duration_ms",
    "init_ms",
    "billed_ms",
    "status",
    "error_type",
)
"""Header of the CSV."""
_TYPES = {"request_id": pa.string(), "ended": pa.string(), "status": pa.string(), "error_type": pa.string()}
_SCHEMA = pa.schema(
    pa.field(name, _TYPES.get(name, pa.float64()), metadata={"unit": unit} if unit else None)
    for name in COLUMNS
    for unit in ("ms" if name.endswith("_ms") else "Mbyte" if name.endswith("_mb") else "",)
)
_BARS = " ▁▂▃▄▅▆▇█"
_NAMES = {
    "duration_ms": "duration, s",
    "billed_ms": "billed, s",
    "init_ms": "cold start, s",
    "used_mb": "memory used, MB",
}


@dataclass(frozen=True, repr=False)
class Costs(Tabular):
    """The bill of a run or of log files, the same under other models, and what was expected."""

    run: str | None
    bill: Bill
    others: dict[str, Bill]
    """The same work under the other models."""
    prices: Prices
    records: Records
    estimate: Estimate | None
    """Of the run's plan, without its logs; None without a plan."""
    what_if: WhatIf | None
    advice: list[Advice] | None
    """By tier."""
    own_machine: bool = False
    """True for a local run, for which nothing was billed."""
    requests: int = 0
    """Requests that Lambda accepted, by the run's receipts."""
    stored_bytes: int | None = None
    """Results of the run in its place; None for log files without a run."""
    unreported: int = 0
    """Those of them without a report that ran or may have: they are not in the bill."""
    watcher: str = ""
    """What the Watcher did for a watch, and what that cost at most: it is not in the bill."""

    def _table(self) -> pa.Table:
        """One row per invocation, as in the CSV."""
        rows = (
            dict(zip(COLUMNS, row, strict=True)) for row in _rows(self.records, self.prices, self.bill.model)
        )
        return pa.Table.from_pylist(
            [{name: None if value == "" else value for name, value in row.items()} for row in rows], _SCHEMA
        )

    def _summary(self) -> str:
        bill, of = self.bill, f"run {self.run}: " if self.run else ""
        paid = "would cost " if self.own_machine else ""
        counts = ", ".join(
            (formatting.count(bill.invocations, "invocation"), formatting.count(bill.images, "image"))
        )
        return f"{of}{paid}{formatting.usd(bill.usd)} in {bill.region}, {counts}, model {bill.model}"

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """The bill by its parts."""
        parts = {charge.name: charge.usd for charge in self.bill.charges.lines}
        return plots.bars(axes, parts, "USD", title=f"{formatting.usd(self.bill.usd)} in {self.bill.region}")


def show(console: Console, costs: Costs) -> None:
    """Prints the bill, counts, waste, percentiles, and what was requested besides."""
    line, bill = partial(formatting.say, console), costs.bill
    line("\n".join(_charges(bill, console.width)) + "\n")
    for text in _totals(costs):
        line(text)
    line("")
    for text in _counts(bill):
        line(text)
    if bill.percentiles:
        line("\n".join(["", *_percentiles(bill, console.width), ""]))
    if bill.concurrency:
        line(_concurrency(bill.concurrency))
    more = (*_expected(costs), *_what_if(costs), *_advice(costs), *_unreported(costs), *_unparsed(bill))
    for text in filter(None, (*more, costs.watcher)):
        line(text)


def estimate_lines(estimate: Estimate) -> Iterator[str]:
    """Time and cost of a plan on Lambda, with the assumptions."""
    times = [formatting.clock(seconds) for seconds in (estimate.seconds_low, estimate.seconds_high)]
    costs = [formatting.usd(usd) for usd in (estimate.usd_low, estimate.usd_high)]
    yield f"On Lambda: {' to '.join(times)}, {' to '.join(costs)}, assuming"
    for assumption in estimate.assumptions:
        yield f"    {assumption}"


def queue_notice(wait_s: float, age_s: float) -> str:
    """Says that events would expire in the queue, and what happens instead."""
    return (
        f"sent at once, the last event could wait {formatting.clock(wait_s)}, and Lambda drops an event "
        f"after {formatting.clock(age_s)} (MaximumEventAge): files are sent in waves, which takes as long"
    )


def document(costs: Costs) -> dict[str, Any]:
    """The bill as JSON. Times are Unix seconds, amounts USD; null if unknown."""
    what_if = None
    if other := costs.what_if:
        what_if = {
            "usd": other.usd,
            "files": other.files,
            "usd_per_image": other.usd / other.files if other.files else None,
            "lines": _plain(other.charges.lines),
            "assumptions": other.assumptions,
        }
    return {
        "run": costs.run,
        "own_machine": costs.own_machine,
        "requests": costs.requests,
        "unreported": costs.unreported,
        "watcher": costs.watcher,
        "stored_bytes": costs.stored_bytes,
        "prices": {"source": costs.prices.source, "collected": costs.prices.collected},
        "bill": _bill(costs.bill),
        "models": {name: other.usd for name, other in costs.others.items()},
        "estimate": None if costs.estimate is None else _plain(costs.estimate),
        "what_if": what_if,
        "advice": None if costs.advice is None else _plain(costs.advice),
    }


def write_csv(path: Path, records: Records, prices: Prices, model: str) -> None:
    """Writes one row per invocation, with its billed time under the model; whole or not at all."""
    with files.replace(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(_rows(records, prices, model))


def _charges(bill: Bill, width: int) -> list[str]:
    columns = [Column("part"), Column("quantity", "number"), Column("USD", "number"), Column("rule", "prose")]
    rows: list[list[str] | None] = [
        [charge.name, _quantity(charge.quantity, charge.unit), f"{charge.usd:.7f}", charge.rule]
        for charge in bill.charges.lines
    ]
    return formatting.table(columns, [*rows, None, ["total", "", f"{bill.usd:.7f}", ""]], width)


def _quantity(number: float, unit: str) -> str:
    return f"{number:,.6g} {unit.removesuffix('s') if number == 1 and unit == 'requests' else unit}"


def _totals(costs: Costs) -> Iterator[str]:
    bill = costs.bill
    free = "with" if bill.free_tier else "without"
    yield (
        f"{formatting.usd(bill.usd)} in {bill.region}, {free} free tier, model {bill.model}, "
        f"{costs.prices.source} of {costs.prices.collected}"
    )
    if costs.own_machine:
        yield "Nothing was paid for this local run: Lambda would charge this, if as fast as this machine"
    for name, other in costs.others.items():
        yield f"{formatting.usd(other.usd)} for the same work under the model {name}"
    stored, out = costs.prices.s3_gb_month, costs.prices.transfer_gb
    if costs.stored_bytes is None:
        yield (
            f"Not on the bill: results in S3, {stored:g} USD per GB-month, and their transfer out of the "
            f"region, {out:g} USD per GB"
        )
    else:
        gb, results = costs.stored_bytes / 1e9, formatting.size(costs.stored_bytes)
        yield (
            f"Not on the bill: {results} of results, {formatting.usd(gb * stored)} per month in S3, and "
            f"{formatting.usd(gb * out)} each time they are read outside {bill.region}"
        )
    if bill.usd_per_image is None:
        yield "no image is done"
        return
    thousand = formatting.usd(bill.usd_per_image * 1000)
    amounts = f"{formatting.usd(bill.usd_per_image)} per image, {thousand} per thousand images"
    if bill.usd_per_source is not None:
        amounts += f", {formatting.usd(bill.usd_per_source * 1e6)} per million sources"
    yield amounts


def _counts(bill: Bill) -> Iterator[str]:
    count = formatting.count
    parts = [count(bill.invocations, "invocation"), f"{count(bill.images, 'image')} done"]
    if bill.sources is not None:
        parts.append(count(bill.sources, "source"))
    failed = sum(failure.count for failure in bill.failures)
    retries = f"{bill.retries:,} {'retry' if bill.retries == 1 else 'retries'}"
    yield ", ".join([*parts, retries, f"{failed:,} failed", count(bill.cold_starts, "cold start")])
    if bill.repeated:
        yield f"{count(bill.repeated, 'report')} of exports that overlap, counted once"
    if bill.rebilled:
        yield f"{count(bill.rebilled, 'invocation')} logged under another model, recomputed under this one"
    waste = bill.waste
    yield (
        f"Wasted: failures {formatting.usd(waste.failures)}, timeouts {formatting.usd(waste.timeouts)}, "
        f"cold starts {formatting.usd(waste.cold_starts)}"
    )
    for failure in bill.failures:
        yield f"  {failure.count} x {failure.kind}: {formatting.usd(failure.usd)}"
    if bill.failed_starts:
        yield f"  {count(bill.failed_starts, 'failed start')} (INIT_REPORT), whose cost is not in the log"


def _percentiles(bill: Bill, width: int) -> list[str]:
    names = list(next(iter(bill.percentiles.values())))
    columns = [Column(""), *(Column("maximum" if name == "most" else name, "number") for name in names)]
    rows = []
    for kind, values in bill.percentiles.items():
        scale, digits = (1, 0) if kind == "used_mb" else (1000, 2)
        rows.append([_NAMES[kind], *(f"{values[name] / scale:,.{digits}f}" for name in names)])
    return formatting.table(columns, rows, width)


def _concurrency(running: Concurrency) -> str:
    highest = max((value for _, value in running.points), default=0.0) or 1.0
    bars = "".join(_BARS[round(value / highest * (len(_BARS) - 1))] for _, value in running.points)
    return f"at most {running.peak:,} at once, over {running.ended - running.began:,.1f} s  |{bars}|"


def _expected(costs: Costs) -> Iterator[str]:
    if estimate := costs.estimate:
        low, high = formatting.usd(estimate.usd_low), formatting.usd(estimate.usd_high)
        yield (
            f"Estimate for the {formatting.count(estimate.files)} of the plan on Lambda: {low} to {high}; "
            f"{costs.bill.images:,} are done for {formatting.usd(costs.bill.usd)}."
        )


def _what_if(costs: Costs) -> Iterator[str]:
    if other := costs.what_if:
        files = formatting.count(other.files) if other.files else "the same invocations"
        yield f"\nWhat if: {formatting.usd(other.usd)} for {files}, assuming"
        for assumption in other.assumptions:
            yield f"  {assumption}"


def _advice(costs: Costs) -> Iterator[str]:
    for advice in costs.advice or ():
        tier, best = f"{advice.tier_mb:,} MB", f"{advice.memory_mb:,} MB"
        yield f"\nImages that ran at {tier}: {best} is the best size that was measured"
        yield f"  {advice.sure}"
        yield f"  {advice.why}"
        for size in advice.sizes:
            source = f"{size.measured:,} measured" if size.measured else "computed"
            thousand = formatting.usd(size.usd_per_image * 1000)
            yield f"  {size.memory_mb:>6} MB  {size.seconds:8.2f} s  {thousand:>12} per thousand  ({source})"


def _unreported(costs: Costs) -> Iterator[str]:
    if costs.unreported:
        requests = formatting.count(costs.requests, "accepted request")
        yield (
            f"\n{costs.unreported:,} of {requests} have no report in the log and are not in the bill: "
            "reports appear some minutes late, and are removed after the log group's retention"
        )


def _unparsed(bill: Bill) -> Iterator[str]:
    if bill.unparsed:
        lines = formatting.count(bill.unparsed, "line")
        yield f"\n{lines} cannot be read though they look like reports, and are not in the bill:"
        for example in bill.examples:
            yield f"  {example}"


def _rows(records: Records, prices: Prices, model: str) -> Iterator[list[Any]]:
    billed = billed_ms(records, prices.model(model)).tolist()
    for report, ms in zip(records.reports(), billed, strict=True):
        ended = ""
        if not math.isnan(report.time):
            ended = datetime.fromtimestamp(report.time, UTC).isoformat(timespec="milliseconds")
        init = "" if math.isnan(report.init_ms) else report.init_ms
        yield [
            report.request_id,
            ended,
            report.memory_mb,
            report.used_mb,
            report.duration_ms,
            init,
            ms,
            report.status,
            report.error_type,
        ]


def _bill(bill: Bill) -> dict[str, Any]:
    fields: dict[str, Any] = _plain(bill)
    fields["lines"] = fields.pop("charges")["lines"]
    thousand = None if bill.usd_per_image is None else bill.usd_per_image * 1000
    return {
        "usd": bill.usd,
        "usd_per_image": bill.usd_per_image,
        "usd_per_thousand": thousand,
        "usd_per_source": bill.usd_per_source,
        **fields,
    }


def _plain(value: Any) -> Any:
    """Dataclasses as dicts, numbers of NumPy as those of Python, NaN as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
