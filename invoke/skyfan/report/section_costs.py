"""Sections on the work and its bill, from the logs."""

from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from .. import formatting
from ..bill.costs import Bill, per_invocation
from ..bill.estimate import Estimate
from ..bill.records import QUANTILES, Records, busy_until
from ..catalogs.kinds import Kind
from . import charts
from .charts import BOTTOM, LEFT, RIGHT, Chart, Scale, area, box, chart, horizontal_axis, vertical_axis
from .distribution import Floats, distribution
from .html import Content, Markup, cards, facts, notice, section, table, tag, text
from .story import Story

_NAMES = {
    "duration_ms": "Duration (s)",
    "billed_ms": "Billed (s)",
    "init_ms": "Cold start (s)",
    "used_mb": "Memory used (MB)",
}
MOST_BARS = 1500
"""Invocations that are drawn one by one; of more, how many ran at once."""
_HINTED = 400
_LANE, _TALLEST, _LABELLED = 10, 110, 50
"""Height of a row, of all rows at most, and from which on their axis has a label."""
_BINS, _POINTS = 150, 80
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
    return section(
        "work",
        title,
        facts(pairs),
        timeline(records).figure(class_="broad"),
        _percentiles(bill),
        cards(chart.figure() for chart in drawn),
    )


def costs(story: Story) -> Markup:
    """The bill with its rules, what was wasted, and what had been expected."""
    title = "Costs"
    if story.costs is None:
        return section("costs", title, notice(story.absent["costs"]))
    bill, prices, records = story.costs.bill, story.costs.prices, story.costs.records
    spent = per_invocation(bill, records, prices)
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
        facts(_amounts(bill, story.costs.others, story.images.kind)),
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
            growth(records, spent, bill.usd - float(spent.sum())).figure(),
            tag("div", _waste(bill), _expected(story.costs.estimate, bill, story.images.kind)),
        ),
    )


def _unreported(number: int, requests: int) -> Markup | None:
    if not number:
        return None
    return notice(
        f"The bill lacks {number:,} of {formatting.count(requests, 'accepted request')}: the log has no "
        "report of them, no longer or not yet."
    )


def timeline(records: Records) -> Chart:
    """The fan-out: a bar per invocation from its start to its end, or of many how many ran at once."""
    name, title = "timeline", "The fan-out over time"
    known = records.invoked & ~np.isnan(records.time)
    if not known.any():
        return charts.empty(name, title, "no times in the logs")
    cold = (np.nan_to_num(records.init_ms) + np.nan_to_num(records.restore_ms))[known] / 1000
    ends = records.time[known]
    starts = ends - records.duration_ms[known] / 1000 - cold
    began = float(starts.min())
    starts, ends, failed = starts - began, ends - began, records.failed[known]
    span = max(float(ends.max()), 1e-3)
    x = Scale(0, span, LEFT, RIGHT)
    summary = (
        f"{formatting.count(len(starts), 'invocation')} in {formatting.duration(span)} from "
        f"{formatting.timestamp(began)}, of them {formatting.count(int((cold > 0).sum()), 'cold start')} "
        f"and {int(failed.sum()):,} failed. "
    )
    if len(starts) <= MOST_BARS:
        lanes = _lanes(starts, ends)
        rows = int(lanes.max()) + 1
        top = BOTTOM - min(rows * _LANE, _TALLEST)
        y = Scale(0, rows, BOTTOM, top)
        summary += (
            "Each bar is an invocation; its orange beginning is a cold start, and a failed one is hatched."
        )
        drawn = _bars(x, y, starts, ends, cold, failed, lanes)
    else:
        edges = np.linspace(0, span, _BINS + 1)
        running, starting = (_running(edges, starts, stops) for stops in (ends, starts + cold))
        top = BOTTOM - _TALLEST
        y = Scale(0, float(running.max()) * 1.05, BOTTOM, top)
        summary += (
            f"In steps of {formatting.duration(span / _BINS)}: the mean number of invocations at once; "
            "the orange part of them were in their cold start."
        )
        areas = (area(x, y, edges, running, "area"), area(x, y, edges, starting, "cold"))
        drawn = tag("g", *areas, class_="timeline")
    # A label does not fit beside few rows.
    axis = vertical_axis(y, "at once" if BOTTOM - top > _LABELLED else "")
    below = horizontal_axis(x, "seconds since the first", (15, 31))
    return chart(name, title, summary, axis, drawn, below, height=BOTTOM + 36, top=top - 8)


def growth(records: Records, usd: Floats, rest: float) -> Chart:
    """The cost of invocations, `usd` (n,), added up in the order in which they ended; `rest` is not in it."""
    name, title = "growth", "Cost over time"
    known = records.invoked & ~np.isnan(records.time)
    if not known.any() or not usd.sum():
        return charts.empty(name, title, "no times in the logs")
    times = records.time[known]
    starts = times - records.duration_ms[known] / 1000
    began, ended = float(starts.min()), float(times.max())
    edges = np.linspace(0, max(ended - began, 1e-3), _POINTS + 1)
    order = np.argsort(times)
    sums = np.append(0.0, np.cumsum(usd[known][order]))
    totals = sums[np.searchsorted(times[order] - began, edges[1:], "right")]
    unit, words = _unit(float(totals[-1]))
    summary = (
        f"Invocations cost {formatting.usd(float(totals[-1]))}, each counted at its end. The other "
        f"{formatting.usd(rest)} of the bill, for S3 and logs, have no time."
    )
    labels = "seconds since the first", words
    return charts.steps(name, title, edges, totals / unit, labels, summary, whole=False)


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
    return charts.steps("concurrency", title, edges, values, ("seconds since the first", "at once"), summary)


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


def _amounts(bill: Bill, others: dict[str, Bill], kind: Kind) -> list[tuple[str, Content]]:
    pairs: list[tuple[str, Content]] = [("Total", formatting.usd(bill.usd))]
    if bill.usd_per_image is not None:
        pairs += [
            (f"Per {kind.input}", formatting.usd(bill.usd_per_image)),
            (f"Per thousand {kind.input}s", formatting.usd(bill.usd_per_image * 1000)),
        ]
    if bill.usd_per_source is not None:
        pairs.append((f"Per million {kind.row}s", formatting.usd(bill.usd_per_source * 1e6)))
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


def _expected(estimate: Estimate | None, bill: Bill, kind: Kind) -> Markup | None:
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
                f"Actual: {formatting.usd(bill.usd)} for {formatting.count(bill.images, kind.input)}.",
            ),
            tag("details", tag("summary", "Assumptions of the estimate"), assumptions),
        ]
    )


def _unit(usd: float) -> tuple[float, str]:
    for unit, words in ((1.0, "USD"), (1e-3, "thousandths of a USD")):
        if usd >= unit / 10:
            return unit, words
    return 1e-6, "millionths of a USD"


def _lanes(starts: Floats, ends: Floats) -> NDArray[np.int64]:
    """The row (n,) of each interval: the lowest one that is free at its start."""
    lanes, free, busy, count = np.zeros(len(starts), np.int64), list[int](), list[tuple[float, int]](), 0
    for at in np.argsort(starts, kind="stable").tolist():
        while busy and busy[0][0] <= starts[at] + 1e-9:
            heappush(free, heappop(busy)[1])
        if free:
            lane = heappop(free)
        else:
            lane, count = count, count + 1
        lanes[at] = lane
        heappush(busy, (float(ends[at]), lane))
    return lanes


def _bars(
    x: Scale,
    y: Scale,
    starts: Floats,
    ends: Floats,
    cold: Floats,
    failed: NDArray[np.bool_],
    lanes: NDArray[np.int64],
) -> Markup:
    height = (y(0) - y(1)) * 0.85
    drawn = []
    for start, end, seconds, bad, lane in zip(starts, ends, cold, failed, lanes, strict=True):
        left, top, width = x(start), y(lane + 1), max(x(end) - x(start), 0.6)
        parts = [box(left, top, width, height), box(left, top, x(start + seconds) - left, height)]
        kinds = ("failed" if bad else "warm", "cold")
        hint = f"{formatting.duration(end - start)}" + (
            f", cold start {formatting.duration(seconds)}" if seconds else ""
        )
        title = tag("title", hint + (", failed" if bad else "")) if len(starts) <= _HINTED else None
        drawn.append((kinds[0], parts[0], title))
        if seconds:
            drawn.append((kinds[1], parts[1], title))
    if len(starts) <= _HINTED:
        return tag(
            "g", [tag("path", title, d=d, class_=kind) for kind, d, title in drawn], class_="timeline parts"
        )
    paths = {
        kind: "".join(d for other, d, _ in drawn if other == kind) for kind in ("warm", "failed", "cold")
    }
    return tag(
        "g", [tag("path", d=d, class_=kind) for kind, d in paths.items() if d], class_="timeline parts"
    )


def _running(edges: Floats, starts: Floats, ends: Floats) -> Floats:
    """The mean number of intervals in each bin (n,)."""
    busy = busy_until(edges, np.sort(starts)) - busy_until(edges, np.sort(ends))
    return np.diff(busy) / np.diff(edges)
