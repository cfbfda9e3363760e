"""Sections on the sky, on depth and sources, and on the rows of the tables of any other function."""

import math
from collections.abc import Iterable

import numpy as np

from .. import formatting
from ..sky.footprints import NO_FOOTPRINTS
from . import charts, distribution
from .charts import BOTTOM, LEFT, RIGHT, TOP, Chart, Scale, chart, horizontal_axis, px, vertical_axis
from .distribution import Distribution, Grid
from .html import Content, Markup, cards, facts, notice, section, table, tag
from .images import date
from .maps import sky_charts
from .measured import Group, Measured
from .rows import Pair, RowCharts
from .story import Story

_MAX_GROUPS = 40
_KEY = {
    "planned": "dashed: the edge of a planned {input}, from MAST",
    "measured": "solid: the edge of a measured {input}, or a line around its {row}s",
}
_DEPTHS = ["Minimum depth", "Median depth", "Maximum depth"]


def maps(story: Story) -> Markup:
    """The whole sky, and the fields with the most images."""
    planned = story.request.footprints
    measured = story.measured.footprints if story.measured else NO_FOOTPRINTS
    if not len(planned) and not len(measured):
        sentence = (
            "No position is known. Plans from MAST have positions, and so has what `skyfan collect` makes."
        )
        return section("sky", "Positions on the sky", notice(sentence))
    nouns = story.images.kind
    whole, *fields = sky_charts(planned, measured, nouns.input)
    kinds = [kind for kind, images in (("planned", planned), ("measured", measured)) if len(images)]
    words = {kind: text.format(input=nouns.input, row=nouns.row) for kind, text in _KEY.items()}
    key = [tag("li", tag("span", class_=f"key {kind}", aria_hidden="true"), words[kind]) for kind in kinds]
    return section(
        "sky",
        "Positions on the sky",
        whole.figure(class_="all-sky"),
        tag("ul", key, class_="legend"),
        cards(field.figure() for field in fields),
    )


def measured(story: Story) -> Markup:
    """Depth, number of sources and magnitudes."""
    title, found = "Depth and sources", story.measured
    if found is None:
        return section("measured", title, notice(story.absent["measured"]))
    aperture = f" in {found.depth_aperture:g}″ apertures" if math.isfinite(found.depth_aperture) else ""
    caption = f"Images by instrument and filter; depth is 5σ{aperture}, AB magnitudes"
    omitted = len(found.groups) - _MAX_GROUPS
    if omitted > 0:
        caption += f"; {omitted:,} smaller groups are left out"
    head = ["Instrument", "Filter", "Images", "Sources", "Exposure", *_DEPTHS]
    rows = [_row(group) for group in found.groups[:_MAX_GROUPS]]
    return section(
        "measured",
        title,
        facts(_facts(found, "image", "source")),
        table("depths", caption, head, rows, numbers=range(2, 8)),
        cards(
            number_counts(found.magnitudes, found.depth).figure() if found.magnitudes else None,
            widths(found.widths, found.depth).figure() if found.widths else None,
            _histogram("depth", found.depth, "images"),
            _histogram("per-image", found.per_image, "images"),
            large=True,
        ),
    )


def _facts(found: Measured, noun: str, row: str) -> list[tuple[str, Content]]:
    pairs: list[tuple[str, Content]] = [
        (f"{noun.capitalize()}s", f"{found.images:,}"),
        (f"{row.capitalize()}s", f"{found.sources + found.unplaced:,}"),
    ]
    if found.unplaced:
        pairs.append(("Of them without a position", f"{found.unplaced:,}"))
    if math.isfinite(found.began):
        pairs.append(("Exposures", f"{date(found.began)} to {date(found.ended) or 'an unknown day'}"))
    if simplified := sum(number for step, number in found.steps.items() if step >= 3):
        label = "Deblended less than requested (EXTRACT_STEP 3 or 4)"
        pairs.append((label, formatting.count(simplified, noun)))
    if found.doubtful:
        pairs.append(("Doubtful, see Outcome", formatting.count(found.doubtful, noun)))
    return pairs


def _row(group: Group) -> list[str]:
    depths = [f"{depth:.2f}" if math.isfinite(depth) else "–" for depth in group.depth]
    exposure = formatting.duration(group.exposure_s) if group.exposure_s else "–"
    instrument = group.instrument or "unknown"
    return [instrument, group.filter or "–", f"{group.images:,}", f"{group.sources:,}", exposure, *depths]


def _histogram(name: str, values: distribution.Distribution | None, noun: str) -> Markup | None:
    return charts.histogram(name, values, noun).figure() if values else None


def number_counts(values: Distribution, depth: Distribution | None) -> Chart:
    """Sources per magnitude on a logarithmic scale, with errors of counting, and the depth of the images."""
    name, title = "counts", "Number counts"
    width = np.diff(values.edges)
    scale = values.total / values.sampled / width
    some = values.counts > 0
    counts, root = values.counts[some], np.sqrt(values.counts[some])
    numbers, low, high = (
        scale[some] * part for part in (counts, np.maximum(counts - root, 0.5), counts + root)
    )
    ends = [float(values.edges[0]), float(values.edges[-1])]
    lines: list[Markup] = []
    summary = charts.summary_of(values, "sources", line="")
    if depth:
        _, shallow, median, deep, _ = depth.quantiles
        ends = [min(ends[0], shallow), max(ends[1], deep)]
    x = Scale(min(ends), max(ends), LEFT, RIGHT)
    y = Scale(float(low.min()) * 0.7, float(high.max()) * 1.4, BOTTOM, TOP, log=True)
    if depth:
        band = {"x": px(x(shallow)), "y": TOP, "width": px(x(deep) - x(shallow)), "height": BOTTOM - TOP}
        lines = [tag("rect", **band, class_="band"), charts.limit(x(median), f"5σ {median:.1f}")]
        summary += (
            f" The dotted line is the median 5σ depth of the images, {median:.2f}; the band has 90 % of them."
        )
    places = (values.edges[:-1] + width / 2)[some]
    points = [
        tag(
            "g",
            tag("line", x1=px(x(at)), x2=px(x(at)), y1=px(y(least)), y2=px(y(most))),
            tag("circle", tag("title", f"{at:.2f}: {count:,}"), cx=px(x(at)), cy=px(y(number)), r=3),
        )
        for at, number, least, most, count in zip(places, numbers, low, high, counts.tolist(), strict=True)
    ]
    axes = vertical_axis(y, "sources per magnitude"), horizontal_axis(x, f"{values.label} ({values.unit})")
    drawn = chart(name, title, summary, lines, *axes, tag("g", points, class_="points"))
    rows = [
        (f"{low:.2f} to {high:.2f}", f"{count:,}")
        for low, high, count in zip(values.edges[:-1], values.edges[1:], values.counts.tolist(), strict=True)
        if count
    ]
    return charts.with_numbers(drawn, name, [f"{values.label} ({values.unit})", "sources"], rows)


def widths(found: Grid, depth: Distribution | None) -> Chart:
    """The density of sources by magnitude and width: stars are the flat, narrow ridge."""
    summary = density_summary(found, "source", "magnitude and width")
    summary += " Stars lie on a level line, galaxies above it, and cosmic rays and hot pixels below."
    labels = "MAG_AUTO (AB mag)", "FWHM (pixels)"
    limit = depth.quantiles[2] if depth else math.nan
    return density("widths", "Magnitude and width", summary, found, labels, limit)


def density_summary(found: Grid, noun: str, by: str) -> str:
    """How many there are, by which two values."""
    number = int(found.counts.sum())
    beyond = f" {found.outside:,} lie beyond the axes." if found.outside else ""
    return f"{formatting.count(number, noun)} by {by}; the stronger the colour, the more.{beyond}"


def density(  # noqa: PLR0913
    name: str,
    title: str,
    summary: str,
    found: Grid,
    labels: tuple[str, str],
    limit: float = math.nan,
    *,
    down: bool = False,
    log: bool = False,
    marks: Iterable[tuple[float, float, str]] = (),
) -> Chart:
    """How many have which two values, by colour; `limit` is the value of a line on the horizontal axis.

    With `down`, the vertical axis points down, as for magnitudes; with `log`, its edges are decimal
    logarithms. `marks` are x, y and a name of what gets a circle, at the edge where it is beyond.
    """
    x = Scale(float(found.x_edges[0]), float(found.x_edges[-1]), LEFT, RIGHT)
    edges = 10.0**found.y_edges if log else found.y_edges
    y = Scale(float(edges[0]), float(edges[-1]), *((TOP, BOTTOM) if down else (BOTTOM, TOP)), log=log)
    shades = charts.shaded(found.counts, list(map(x, found.x_edges)), list(map(y, edges)))
    circles = [
        tag(
            "circle",
            tag("title", label),
            cx=px(x(min(max(a, x.low), x.high))),
            cy=px(y(min(max(b, y.low), y.high))),
            r=3.5,
        )
        for a, b, label in marks
    ]
    lines = [tag("g", circles, class_="marks")] if circles else []
    if found.x_edges[0] < limit < found.x_edges[-1]:
        lines.append(charts.limit(x(limit), f"5σ {limit:.1f}"))
    axes = vertical_axis(y, labels[1], whole=False), horizontal_axis(x, labels[0])
    return chart(name, title, summary, *axes, shades, lines)


def measured_rows(found: Measured, rows: RowCharts) -> Markup:
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
        *([_pair("pair", rows.pair, "row")] if rows.pair else []),
        *([charts.histogram("per-image", found.per_image, "inputs")] if found.per_image else []),
        *(charts.histogram(f"fact-{value.label}", value, "inputs") for value in rows.facts),
        *(_pair(f"time-{pair.name}", pair, "input") for pair in rows.over_time),
    ]
    nothing = notice("The function marks no column with numbers as one that people see first.")
    return section(
        "measured",
        "Rows",
        facts(_facts(found, "input", "row")),
        table("groups", caption, ["Instrument", "Filter", "Inputs", "Rows"], groups, numbers=(2, 3)),
        None if rows.numbers or found.sources + found.unplaced == 0 else nothing,
        cards(*(one.figure() for one in drawn), large=True),
    )


def _pair(name: str, pair: Pair, noun: str) -> charts.Chart:
    of, against = pair.y.partition(" (")[0], pair.x.partition(" (")[0]
    summary = density_summary(pair.cells, noun, f"{against} and {of}")
    return density(name, f"{of} against {against}", summary, pair.cells, (pair.x, pair.y))
