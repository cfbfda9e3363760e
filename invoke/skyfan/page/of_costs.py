"""Sections on the work and its bill, as the logs tell them."""

import numpy as np

from .. import words
from ..bill import figures
from ..bill.costs import Bill
from ..bill.estimate import Estimate
from . import charts
from .distribution import Floats, distribution
from .elements import absent, cards, chart, facts, figure, section, table
from .markup import Content, Markup, tag, text
from .story import Story

_NAMES = {
    "duration_ms": "Duration (s)",
    "billed_ms": "Billed (s)",
    "init_ms": "Cold start (s)",
    "used_mb": "Memory used (MB)",
}
_KINDS = 20


def work(story: Story) -> Markup:
    """Durations, memory, and how many ran at once."""
    title = "Time and memory"
    if story.costs is None:
        return section("work", title, absent(story.absent["costs"]))
    records, bill = story.costs.records, story.costs.bill
    invoked = records.invoked
    used = records.used_mb[invoked & (records.used_mb > 0)]
    sizes = np.unique(records.memory_mb[invoked])[:8]
    failed = sum(failure.count for failure in bill.failures)
    told: list[tuple[str, Content]] = [
        ("Invocations", f"{bill.invocations:,}"),
        ("Of them retries", f"{bill.retries:,}"),
        ("Failed", f"{failed:,}"),
        ("Cold starts", f"{bill.cold_starts:,}"),
        ("Memory sizes", ", ".join(f"{size:,.0f} MB" for size in sizes) or "–"),
    ]
    if bill.failed_starts:
        told.append(("Starts that failed", f"{bill.failed_starts:,}"))
    if bill.unparsed:
        told.append(("Lines that look like reports and could not be read", f"{bill.unparsed:,}"))
    return section(
        "work",
        title,
        facts(told),
        _percentiles(bill),
        cards(
            chart(
                "durations", distribution(records.duration_ms[invoked] / 1000, "duration", "s"), "invocations"
            ),
            chart("memory", distribution(used, "memory used", "MB"), "invocations"),
            _concurrency(bill.concurrency),
        ),
    )


def _percentiles(bill: Bill) -> Markup | None:
    if not bill.percentiles:
        return None
    rows = [
        (
            _NAMES[name],
            *(f"{found[column] / (1 if name == 'used_mb' else 1000):,.4g}" for column in figures.QUANTILES),
        )
        for name, found in bill.percentiles.items()
    ]
    head = ["", *(name.capitalize() for name in figures.QUANTILES)]
    return table(
        "percentiles", "Percentiles over invocations", ["Of", *head[1:]], rows, numbers=range(1, len(head))
    )


def _concurrency(found: figures.Concurrency | None) -> Markup:
    if found is None or found.ended <= found.began:
        return Markup()
    starts: Floats = np.array([time for time, _ in found.points])
    edges = np.append(starts, found.ended - found.began)
    running: Floats = np.array([value for _, value in found.points])
    sentence = (
        f"At most {found.peak:,} at once, over {words.seconds(found.ended - found.began)} from "
        f"{words.moment(found.began)}."
    )
    title = "Invocations at once over time"
    drawn = charts.steps("concurrency", title, edges, running, "seconds from the first", "at once", sentence)
    return figure(drawn, sentence)


def costs(story: Story) -> Markup:
    """The bill with its rules, what was lost, and what had been expected."""
    title = "What it cost"
    if story.costs is None:
        return section("costs", title, absent(story.absent["costs"]))
    bill, prices = story.costs.bill, story.costs.prices
    told: list[tuple[str, Content]] = [("Total", words.usd(bill.usd))]
    if bill.usd_per_image is not None:
        told += [
            ("An image", words.usd(bill.usd_per_image)),
            ("A thousand images", words.usd(bill.usd_per_image * 1000)),
        ]
    if bill.usd_per_source is not None:
        told.append(("A million sources", words.usd(bill.usd_per_source * 1e6)))
    told += [
        (f"Under the rules of {name}", words.usd(other.usd)) for name, other in story.costs.others.items()
    ]
    where = (
        "Counted from the logs of Lambda."
        if story.state.functions
        else "Nothing was paid: the run was made without Lambda, where the same work would have cost this."
    )
    rows = [
        (line.name, f"{line.quantity:,.6g} {line.unit}", line.rule, f"{line.usd:.7f}")
        for line in bill.charges.lines
    ]
    free = "with" if bill.free_tier else "without"
    caption = f"The bill in {bill.region}, {free} the free tier; prices: {prices.source}, {prices.collected}"
    parts = [(line.name, line.usd, words.usd(line.usd)) for line in bill.charges.lines]
    said = f"{words.usd(bill.usd)} in all; " + ", ".join(f"{name} {told}" for name, usd, told in parts if usd)
    return section(
        "costs",
        title,
        tag("p", where),
        facts(told),
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
            figure(charts.bars("parts", "Cost by part", parts, said), "Cost by part."),
            tag("div", _waste(bill), _expected(story.costs.estimate, bill)),
        ),
    )


def _waste(bill: Bill) -> Markup:
    lost = bill.waste
    rows = [
        ("Failures", words.usd(lost.failures)),
        ("Time-outs", words.usd(lost.timeouts)),
        ("Cold starts", words.usd(lost.cold_starts)),
    ]
    made = table("waste", "Spent without a result", ["On", "Amount"], rows, numbers=(1,))
    kinds = [
        (tag("code", kind.kind), f"{kind.count:,}", words.usd(kind.usd)) for kind in bill.failures[:_KINDS]
    ]
    if not kinds:
        return made
    more = table(
        "bad", "Failed invocations by kind", ["Error", "Invocations", "Amount"], kinds, numbers=(1, 2)
    )
    return text([made, more])


def _expected(estimate: Estimate | None, bill: Bill) -> Markup | None:
    if estimate is None:
        return None
    low, high = words.usd(estimate.usd_low), words.usd(estimate.usd_high)
    expected = f"Expected for the plan's {words.files(estimate.files)}: {low} to {high}. "
    actual = f"Actual: {words.usd(bill.usd)} for {words.files(bill.images, 'image')}."
    return text(
        [
            tag("h3", "Estimate and actual"),
            tag("p", expected, actual),
            tag(
                "details",
                tag("summary", "What the estimate assumes"),
                tag("ul", [tag("li", a) for a in estimate.assumptions]),
            ),
        ]
    )
