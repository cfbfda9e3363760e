"""The section on the rows of any function's tables, and on facts about their inputs."""

import math

from .. import formatting
from . import charts
from .html import Content, Markup, cards, facts, notice, section, table
from .images import date
from .measured import Measured
from .rows import Pair, RowCharts
from .section_sky import density, density_summary

_MAX_GROUPS = 40


def measured(found: Measured, rows: RowCharts) -> Markup:
    """Rows by instrument and filter, the columns that people see first, and facts."""
    caption, omitted = "Inputs by instrument and filter", len(found.groups) - _MAX_GROUPS
    if omitted > 0:
        caption += f"; {omitted:,} smaller groups are left out"
    groups = [
        (group.instrument or "unknown", group.filter or "–", f"{group.images:,}", f"{group.sources:,}")
        for group in found.groups[:_MAX_GROUPS]
    ]
    drawn = [
        *(charts.histogram(f"row-{value.label}", value, "rows") for value in rows.numbers),
        *([_chart("pair", rows.pair, "row")] if rows.pair else []),
        *([charts.histogram("per-image", found.per_image, "inputs")] if found.per_image else []),
        *(charts.histogram(f"fact-{value.label}", value, "inputs") for value in rows.facts),
        *(_chart(f"time-{pair.name}", pair, "input") for pair in rows.over_time),
    ]
    nothing = notice("The function marks no column with numbers as one that people see first.")
    return section(
        "measured",
        "Rows",
        facts(_facts(found)),
        table("groups", caption, ["Instrument", "Filter", "Inputs", "Rows"], groups, numbers=(2, 3)),
        None if rows.numbers or found.sources + found.unplaced == 0 else nothing,
        cards(*(one.figure() for one in drawn), large=True),
    )


def _facts(found: Measured) -> list[tuple[str, Content]]:
    pairs: list[tuple[str, Content]] = [
        ("Inputs", f"{found.images:,}"),
        ("Rows", f"{found.sources + found.unplaced:,}"),
    ]
    if found.unplaced:
        pairs.append(("Of them without a position", f"{found.unplaced:,}"))
    if math.isfinite(found.began):
        pairs.append(("Exposures", f"{date(found.began)} to {date(found.ended) or 'an unknown day'}"))
    if found.doubtful:
        pairs.append(("Doubtful, see Outcome", formatting.count(found.doubtful, "input")))
    return pairs


def _chart(name: str, pair: Pair, noun: str) -> charts.Chart:
    of, against = pair.y.partition(" (")[0], pair.x.partition(" (")[0]
    summary = density_summary(pair.cells, noun, f"{against} and {of}")
    return density(name, f"{of} against {against}", summary, pair.cells, (pair.x, pair.y))
