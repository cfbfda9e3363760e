"""The light curve of an object as a chart of its page."""

import math
from collections.abc import Sequence
from typing import Any

from .. import formatting
from . import charts
from .charts import BOTTOM, LEFT, RIGHT, TOP, Chart, Scale, chart, horizontal_axis, px, vertical_axis
from .html import Markup, tag
from .objects import Variable


def light_curve(name: str, one: Variable) -> Chart:
    """Magnitudes of an object in its band over time, with errors; limits point down."""
    assert one.curve is not None
    rows = [row for row in one.curve.table.to_pylist() if row["BAND"] == one.band and row["MJD"] is not None]
    seen = [row for row in rows if row["MAG"] is not None]
    missed = [row for row in rows if row["LIMIT"] is not None]
    ends = [row["MAG"] + sign * (row["MAGERR"] or 0) for row in seen for sign in (-1, 1)]
    ends += [row["LIMIT"] for row in missed]
    times = [row["MJD"] for row in (*seen, *missed)]
    title = f"Object {one.ident}"
    if not times:
        return charts.empty(name, title, "no detection has a time")
    origin = math.floor(min(times))
    x, y = _scale([time - origin for time in times], LEFT + 8, RIGHT - 8), _scale(ends, TOP + 6, BOTTOM - 6)
    points = [
        tag(
            "g",
            _error_bar(x(row["MJD"] - origin), y, row),
            tag(
                "circle", tag("title", _words(row)), cx=px(x(row["MJD"] - origin)), cy=px(y(row["MAG"])), r=3
            ),
            class_=None if row["USED"] else "unused",
        )
        for row in seen
    ]
    limits = [
        tag(
            "path",
            tag("title", _words(row)),
            d=f"M{px(x(row['MJD'] - origin))} {px(y(row['LIMIT']))}l-4 -6h8z",
        )
        for row in missed
    ]
    unused = sum(not row["USED"] for row in seen)
    summary = f"{one.band}: {formatting.count(len(seen), 'detection')}"
    summary += f", {unused:,} of them open, which count in no mean" if unused else ""
    summary += (
        f"; {formatting.count(len(missed), 'triangle')}: the depth of images that do not see it"
        if missed
        else ""
    )
    summary += f". Mean {one.light['MAG']:.3f}, scatter {one.light['MAGRMS']:.3f} mag."
    others = len({row["BAND"] for row in one.curve.table.to_pylist()} - {one.band})
    summary += f" It has {formatting.count(others, 'other band')}." if others else ""
    axes = vertical_axis(y, "", whole=False), horizontal_axis(x, f"magnitude over MJD − {origin} (days)")
    return chart(
        name, title, summary, *axes, tag("g", points, class_="points"), tag("g", limits, class_="limits")
    )


def _words(row: dict[str, Any]) -> str:
    value = (
        f"{row['MAG']:.3f} ± {row['MAGERR'] or 0:.3f}" if row["MAG"] is not None else f"> {row['LIMIT']:.2f}"
    )
    return f"{value}, MJD {row['MJD']:.5f}, {formatting.file_name(row['IMAGE'])}"


def _error_bar(x: float, y: Scale, row: dict[str, Any]) -> Markup | None:
    if not row["MAGERR"]:
        return None
    ends = {f"y{n}": px(y(row["MAG"] + sign * row["MAGERR"])) for n, sign in ((1, -1), (2, 1))}
    return tag("line", x1=px(x), x2=px(x), **ends)


def _scale(values: Sequence[float], start: float, end: float) -> Scale:
    low, high = min(values), max(values)
    if high - low < 1e-6:
        low, high = low - 0.5, high + 0.5
    return Scale(low, high, start, end)
