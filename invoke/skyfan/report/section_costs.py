"""Sections on the work and its bill, from the logs."""

import numpy as np

from .. import formatting
from ..bill.costs import Bill
from ..bill.estimate import Estimate
from ..bill.records import QUANTILES, Records
from . import charts
from .charts import Chart
from .distribution import distribution
from .html import Content, Markup, cards, facts, notice, section, table, tag, text
from .story import Story

_NAMES = {
    "duration_ms": "Duration (s)",
    "billed_ms": "Billed (s)",
    "init_ms": "Cold start (s)",
    "used_mb": "Memory used (MB)",
}
_MAX_KINDS = 20
_MAX_SIZES = 6


def work(story: Story) -> Markup:
    """Durations, memory, and how many invocations ran at once."""
    title = "Time and memory"
    if story.costs is None:
        return section("work", title, notice(story.absent["costs"]))
    records, bill = story.costs.records, story.costs.bill
    pairs: list[tuple[str, Content]] = [
        ("Invocations", f"{bill.invocations:,}"),
        ("Of them retries", f"{bill.retries:,}"),
        ("Failed", f"{sum(failure.count for failure in bill.failures):,}"),
        ("Cold starts", f"{bill.cold_starts:,}"),
        ("Memory sizes", ", ".join(f"{size:,.0f} MB" for size in _memory_sizes(records)) or "–"),
    ]
    if bill.failed_starts:
        pairs.append(("Starts that failed", f"{bill.failed_starts:,}"))
    if bill.unparsed:
        pairs.append(("Lines that look like reports and could not be read", f"{bill.unparsed:,}"))
    drawn = (durations(records), memory(records), concurrency(bill))
    return section("work", title, facts(pairs), _percentiles(bill), cards(chart.figure() for chart in drawn))


def costs(story: Story) -> Markup:
    """The bill with its rules, what was wasted, and what had been expected."""
    title = "Costs"
    if story.costs is None:
        return section("costs", title, notice(story.absent["costs"]))
    bill, prices = story.costs.bill, story.costs.prices
    source = "Computed from the logs of Lambda."
    if not story.state.functions:
        source = "Nothing was paid: the run did not use Lambda, where the same work would have cost this."
    rows = [
        (line.name, f"{line.quantity:,.6g} {line.unit}", line.rule, f"{line.usd:.7f}")
        for line in bill.charges.lines
    ]
    free = "with" if bill.free_tier else "without"
    caption = f"The bill in {bill.region}, {free} the free tier; prices: {prices.source}, {prices.collected}"
    return section(
        "costs",
        title,
        tag("p", source),
        _unreported(story.costs.unreported, story.costs.requests),
        facts(_amounts(bill, story.costs.others)),
        table(
            "bill",
            caption,
            ["Part", "Quantity", "Rule", "USD"],
            rows,
            numbers=(1, 3),
            foot=["Total", "", "", f"{bill.usd:.7f}"],
            wordy=True,
        ),
        cards(
            parts(bill).figure("Cost by part."),
            tag("div", _waste(bill), _expected(story.costs.estimate, bill)),
        ),
    )


def _unreported(number: int, requests: int) -> Markup | None:
    if not number:
        return None
    return notice(
        f"The bill lacks {number:,} of {formatting.count(requests, 'accepted request')}: the log has no "
        "report of them, no longer or not yet."
    )


def durations(records: Records) -> Chart:
    """Invocations by duration; failed ones are hatched."""
    invoked = records.invoked
    failed = records.failed[invoked]
    values = distribution(records.duration_ms[invoked] / 1000, "duration", "s", marked=failed)
    if values is None:
        return charts.empty("durations", "Invocations by duration", "no invocation in the logs")
    return charts.histogram("durations", values, "invocations", marked="failed" if failed.any() else "")


def memory(records: Records) -> Chart:
    """Invocations by memory used, and the memory sizes."""
    used = records.used_mb[records.invoked & (records.used_mb > 0)]
    sizes = _memory_sizes(records)
    values = distribution(used, "memory used", "MB", span=(0.0, max(sizes, default=0.0)))
    if values is None:
        return charts.empty("memory", "Invocations by memory used", "no memory used in the logs")
    limits = [(size, f"{size:,.0f} MB") for size in sizes]
    return charts.histogram("memory", values, "invocations", limits=limits)


def concurrency(bill: Bill) -> Chart:
    """How many invocations ran at once over time."""
    title, running = "Invocations at once over time", bill.concurrency
    if running is None or running.ended <= running.began:
        return charts.empty("concurrency", title, "no times in the logs")
    span = running.ended - running.began
    summary = (
        f"At most {running.peak:,} at once, over {formatting.duration(span)} from "
        f"{formatting.timestamp(running.began)}."
    )
    edges = np.array([*(time for time, _ in running.points), span])
    values = np.array([value for _, value in running.points])
    return charts.steps("concurrency", title, edges, values, "seconds since the first", "at once", summary)


def parts(bill: Bill) -> Chart:
    """Cost by part of the bill."""
    rows = [(line.name, line.usd, formatting.usd(line.usd)) for line in bill.charges.lines]
    summary = f"{formatting.usd(bill.usd)} in all; " + ", ".join(
        f"{name} {amount}" for name, usd, amount in rows if usd
    )
    summary = summary.removesuffix("; ") + "."
    return charts.bars("parts", "Cost by part", rows, summary)


def _memory_sizes(records: Records) -> list[float]:
    return [float(size) for size in np.unique(records.memory_mb[records.invoked])[:_MAX_SIZES]]


def _percentiles(bill: Bill) -> Markup | None:
    if not bill.percentiles:
        return None
    rows = []
    for name, values in bill.percentiles.items():
        unit = 1 if name == "used_mb" else 1000
        rows.append((_NAMES[name], *(f"{values[column] / unit:,.4g}" for column in QUANTILES)))
    head = ["Quantity", *("Maximum" if name == "most" else name.capitalize() for name in QUANTILES)]
    return table("percentiles", "Percentiles over invocations", head, rows, numbers=range(1, len(head)))


def _amounts(bill: Bill, others: dict[str, Bill]) -> list[tuple[str, Content]]:
    pairs: list[tuple[str, Content]] = [("Total", formatting.usd(bill.usd))]
    if bill.usd_per_image is not None:
        pairs += [
            ("Per image", formatting.usd(bill.usd_per_image)),
            ("Per thousand images", formatting.usd(bill.usd_per_image * 1000)),
        ]
    if bill.usd_per_source is not None:
        pairs.append(("Per million sources", formatting.usd(bill.usd_per_source * 1e6)))
    return pairs + [(f"Under the rules of {name}", formatting.usd(b.usd)) for name, b in others.items()]


def _waste(bill: Bill) -> Markup:
    lost = bill.waste
    rows = [
        ("Failures", formatting.usd(lost.failures)),
        ("Timeouts", formatting.usd(lost.timeouts)),
        ("Cold starts", formatting.usd(lost.cold_starts)),
    ]
    wasted = table("waste", "Wasted", ["On", "Amount"], rows, numbers=(1,))
    kinds = [
        (tag("code", kind.kind), f"{kind.count:,}", formatting.usd(kind.usd))
        for kind in bill.failures[:_MAX_KINDS]
    ]
    if not kinds:
        return wasted
    caption = "Failed invocations by kind"
    if omitted := len(bill.failures) - len(kinds):
        caption += f"; {omitted:,} rarer kinds are left out"
    head = ["Error", "Invocations", "Amount"]
    return text([wasted, table("bad", caption, head, kinds, numbers=(1, 2))])


def _expected(estimate: Estimate | None, bill: Bill) -> Markup | None:
    if estimate is None:
        return None
    low, high = formatting.usd(estimate.usd_low), formatting.usd(estimate.usd_high)
    assumptions = tag("ul", [tag("li", assumption) for assumption in estimate.assumptions])
    return text(
        [
            tag("h3", "Estimate and actual cost"),
            tag(
                "p",
                f"Estimate for the {formatting.count(estimate.files)} of the plan: {low} to {high}. "
                f"Actual: {formatting.usd(bill.usd)} for {formatting.count(bill.images, 'image')}.",
            ),
            tag("details", tag("summary", "Assumptions of the estimate"), assumptions),
        ]
    )
