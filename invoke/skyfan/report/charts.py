"""The charts of skyfan, as SVG: each has a title and a description in words; charts.css has their colours."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import formatting
from .distribution import Distribution, Floats
from .html import Content, Markup, figure, table, tag

STYLE = Path(__file__).with_name("charts.css")
WIDTH, HEIGHT = 420, 230
LEFT, RIGHT, TOP, BOTTOM = 62, 408, 12, 182
_SHADES = 6


@dataclass(frozen=True)
class Chart:
    """A picture with what it shows in words."""

    title: str
    summary: str
    svg: Markup
    height: int
    """In pixels of its own; the width is WIDTH."""
    numbers: Markup | None = None
    """The numbers behind it as a table that can be opened; None if the summary has them all."""

    def figure(self, caption: Content = None, class_: str | None = None) -> Markup:
        """The chart for a page, with a caption: its summary if none is given."""
        return figure(self.svg, self.summary if caption is None else caption, self.numbers, class_=class_)


def chart(
    name: str,
    title: str,
    summary: str,
    *content: Content,
    height: int = HEIGHT,
    top: float = 0,
    stretched: bool = False,
) -> Chart:
    """A chart of SVG elements, legible on a telephone and on a screen. `name` is unique on its page.

    What is drawn above `top` is cut off.
    """
    svg = tag(
        "svg",
        tag("title", title, id=f"{name}-title"),
        tag("desc", summary, id=f"{name}-desc"),
        *content,
        viewBox=f"0 {top:g} {WIDTH} {height - top:g}",
        preserveAspectRatio="none" if stretched else None,
        role="img",
        aria_labelledby=f"{name}-title",
        aria_describedby=f"{name}-desc",
    )
    return Chart(title, summary, svg, height)


def empty(name: str, title: str, reason: str) -> Chart:
    """The chart of nothing: a sentence."""
    text = tag("text", reason, x=WIDTH / 2, y=HEIGHT / 2, text_anchor="middle")
    return chart(name, title, f"{reason[0].upper()}{reason[1:]}.", text)


@dataclass(frozen=True)
class Scale:
    """From numbers to pixels; `low` < `high`, both positive on a logarithmic scale."""

    low: float
    high: float
    start: float
    """Pixel of `low`."""
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        position = math.log(value) if self.log else value
        return self.start + (position - low) / (high - low) * (self.end - self.start)

    def ticks(self, maximum: int = 6) -> list[float]:
        """At most `maximum` round numbers from low to high."""
        return _decades(self.low, self.high, maximum) if self.log else even(self.low, self.high, maximum)


def even(low: float, high: float, maximum: int = 6) -> list[float]:
    """At most `maximum` multiples of 1, 2 or 5 times a power of ten from low to high."""
    power = 10.0 ** math.floor(math.log10((high - low) / maximum))
    for step in (m * power for m in (1, 2, 5, 10, 20)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first + 1 <= maximum:
            return [n * step for n in range(first, last + 1)]
    return []


def histogram(
    name: str,
    values: Distribution,
    noun: str,
    *,
    marked: str = "",
    limits: Sequence[tuple[float, str]] = (),
) -> Chart:
    """Bars of how many `noun` (plural) have which value.

    `marked` is the word for the marked ones among them, whose part of a bar is hatched; `limits` are values
    with labels that get a line of their own.
    """
    ends = [float(values.edges[0]), float(values.edges[-1]), *(value for value, _ in limits)]
    x = Scale(min(ends), max(ends), LEFT, RIGHT, values.log)
    y = upward(float(values.counts.max()))
    bins = list(
        zip(values.edges[:-1], values.edges[1:], values.counts.tolist(), values.marked.tolist(), strict=True)
    )
    bars, hatched = [], []
    for low, high, count, part in bins:
        left, width = x(low) + 0.5, max(0.8, x(high) - x(low) - 1)
        hint = f"{formatting.number(low)} to {formatting.number(high)}: {count:,}"
        if count > part:
            bars.append(_bar(left, width, y(count), y(part), hint=hint))
        if part:
            hatched.append(_bar(left, width, y(part), BOTTOM, "failed", hint))
    middle = px(x(values.quantiles[2]))
    unit = f" ({values.unit})" if values.unit else ""
    title, words = f"{noun.capitalize()} by {values.label}", summary_of(values, noun, marked)
    rows = [
        (f"{formatting.number(low)} to {formatting.number(high)}", f"{count:,}", f"{part:,}")
        for low, high, count, part in bins
        if count
    ]
    columns = 3 if marked else 2
    drawn = chart(
        name,
        title,
        words,
        vertical_axis(y, noun),
        tag("g", bars, class_="bars"),
        tag("g", hatched, class_="parts"),
        tag("line", x1=middle, x2=middle, y1=TOP, y2=BOTTOM, class_="median"),
        [limit(x(value), label) for value, label in limits],
        horizontal_axis(x, f"{values.label}{unit}"),
    )
    return with_numbers(drawn, name, [f"{values.label}{unit}", noun, f"of them {marked}"][:columns], rows)


def with_numbers(drawn: Chart, name: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Chart:
    """A chart with its numbers as a table that can be opened; all columns but the first are numbers."""
    width = len(head)
    numbers = table(
        f"{name}-numbers", drawn.title, head, [row[:width] for row in rows], numbers=range(1, width)
    )
    details = tag("details", tag("summary", f"Numbers of the chart: {drawn.title}"), numbers)
    return replace(drawn, numbers=details)


def steps(
    name: str,
    title: str,
    edges: Floats,
    values: Floats,
    labels: tuple[str, str],
    summary: str,
    *,
    whole: bool = True,
) -> Chart:
    """An area of steps: (n,) `values` between (n + 1,) `edges`.

    `labels` are those of the edges and of the values, which are counts if `whole`.
    """
    x = Scale(float(edges[0]), float(edges[-1]), LEFT, RIGHT)
    y = upward(float(max(values.max(), 1e-9)))
    unit, noun = labels
    drawn = area(x, y, edges, values, "area")
    return chart(name, title, summary, vertical_axis(y, noun, whole=whole), drawn, horizontal_axis(x, unit))


def area(x: Scale, y: Scale, edges: Floats, values: Floats, kind: str) -> Markup:
    """The area under steps: (n,) `values` between (n + 1,) `edges`; `kind` is its class."""
    steps = "".join(
        f"L{px(x(low))} {px(y(value))}L{px(x(high))} {px(y(value))}"
        for low, high, value in zip(edges[:-1], edges[1:], values, strict=True)
    )
    return tag("path", d=f"M{px(x(edges[0]))} {BOTTOM}{steps}L{px(x(edges[-1]))} {BOTTOM}Z", class_=kind)


def bars(name: str, title: str, rows: Sequence[tuple[str, float, str]], summary: str) -> Chart:
    """Horizontal bars: label, value, and the value in words."""
    step, top, left = 34, 6, 4
    longest = max((value for _, value, _ in rows), default=0) or 1
    drawn = []
    for number, (label, value, words) in enumerate(rows):
        y = top + number * step
        length = value / longest * (WIDTH - left - 8)
        track = {"x": left, "y": y + 16, "height": 9}
        drawn += [
            tag("text", label, x=left, y=y + 11, class_="label"),
            tag("text", words, x=WIDTH - 4, y=y + 11, text_anchor="end"),
            tag("rect", **track, width=WIDTH - left - 8, class_="track"),
            tag("rect", **track, width=px(max(length, 1.5 if value else 0)), class_="bar"),
        ]
    return chart(name, title, summary, *drawn, height=top + step * max(len(rows), 1))


def parts(name: str, title: str, rows: Sequence[tuple[str, int, str]], summary: str) -> Chart:
    """One bar divided by number: label, number, class. Parts differ in pattern, not in colour alone."""
    total = sum(number for _, number, _ in rows) or 1
    position, drawn = 0.0, []
    for _, number, kind in rows:
        if number:
            # The smallest part is still seen; the table beside it has the exact share.
            width = max(3.0, number / total * WIDTH)
            left = px(min(position, WIDTH - width))
            drawn.append(tag("rect", x=left, y=0, width=px(width), height=26, class_=kind))
            position += number / total * WIDTH
    return chart(name, title, summary, tag("g", drawn, class_="parts"), height=26, stretched=True)


def _pattern(name: str, *lines: str) -> Markup:
    paths = [tag("path", d=line) for line in lines]
    ground = tag("rect", width=8, height=8)
    return tag(
        "pattern", ground, *paths, id=name, class_=name, width=8, height=8, patternUnits="userSpaceOnUse"
    )


PATTERNS = tag(
    "defs",
    # Once in each document that has charts.
    _pattern("hatch-failed", "M-2 2L2 -2M0 8L8 0M6 10L10 6"),
    _pattern("hatch-missing", "M0 4H8", "M4 0V8"),
    _pattern("hatch-waiting", "M4 0V8"),
)


def _decades(low: float, high: float, maximum: int) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for digits in ((1, 2, 5), (1, 3), (1,)):
        found = _between([m * 10.0**p for p in range(first, last + 1) for m in digits], low, high)
        if 2 <= len(found) <= maximum:
            return found
    found = _between([10.0**p for p in range(first, last + 1)], low, high)
    return found[:: -(-len(found) // maximum)] if found else even(low, high, maximum)


def _between(values: Iterable[float], low: float, high: float) -> list[float]:
    return [value for value in values if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]


def summary_of(values: Distribution, noun: str, marked: str = "", line: str = " (the dashed line)") -> str:
    """How many there were and their quantiles; `line` follows the median."""
    unit = f" {values.unit}" if values.unit else ""
    minimum, low, median, high, maximum = map(formatting.number, values.quantiles)
    counted = f"{values.sampled:,} {noun}"
    if values.sampled < values.total:
        counted = f"a sample of {values.sampled:,} of {values.total:,} {noun}"
    if values.finite < values.sampled:
        counted = f"{values.finite:,} of {counted} have a value"
    if number := int(values.marked.sum()):
        counted += f" ({number:,} {marked}, hatched)"
    return (
        f"{counted[0].upper()}{counted[1:]}: median {median}{unit}{line}, "
        f"90 % between {low} and {high}, all between {minimum} and {maximum}."
        + (" The bars at both ends include all values beyond." if values.clipped else "")
    )


def upward(maximum: float) -> Scale:
    """The vertical scale of numbers from 0."""
    return Scale(0, maximum * 1.05, BOTTOM, TOP)


def _bar(
    left: float, width: float, top: float, bottom: float, kind: str | None = None, hint: str = ""
) -> Markup:
    size = {"x": px(left), "y": px(top), "width": px(width), "height": px(bottom - top)}
    return tag("rect", tag("title", hint), **size, class_=kind)


def limit(x: float, label: str) -> Markup:
    """A vertical line at `x` with its label."""
    line = tag("line", x1=px(x), x2=px(x), y1=TOP, y2=BOTTOM)
    side = {"x": px(x - 4), "text_anchor": "end"} if x > WIDTH / 2 else {"x": px(x + 4)}
    return tag("g", line, tag("text", label, y=TOP + 12, **side), class_="limit")


def vertical_axis(y: Scale, label: str, *, whole: bool = True) -> Markup:
    """The axis of counts, which are whole numbers, or of others; with its grid."""
    drawn = []
    for tick in range(int(y.high) + 1) if whole and y.high <= 5 and not y.log else y.ticks(5):
        position = px(y(tick))
        drawn += [
            tag("line", x1=LEFT, x2=RIGHT, y1=position, y2=position),
            tag("text", _tick_label(tick, 1e3), x=LEFT - 6, y=px(y(tick) + 5), text_anchor="end"),
        ]
    turned = f"translate(13 {(TOP + BOTTOM) / 2:g}) rotate(-90)"
    title = tag("text", label, transform=turned, text_anchor="middle", class_="label") if label else None
    return tag("g", drawn, title, class_="axis")


def horizontal_axis(x: Scale, label: str, below: tuple[int, int] = (18, 40)) -> Markup:
    """The axis under the plot, with its numbers and its label so far `below` it."""
    drawn = [tag("line", x1=LEFT, x2=RIGHT, y1=BOTTOM, y2=BOTTOM, class_="base")]
    for tick in x.ticks():
        position = px(x(tick))
        drawn += [
            tag("line", x1=position, x2=position, y1=BOTTOM, y2=BOTTOM + 4, class_="base"),
            tag("text", _tick_label(tick, 1e4), x=position, y=BOTTOM + below[0], text_anchor="middle"),
        ]
    middle = (LEFT + RIGHT) / 2
    title = tag("text", label, x=middle, y=BOTTOM + below[1], text_anchor="middle", class_="label")
    return tag("g", drawn, title, class_="axis")


def _tick_label(value: float, thousand: float) -> str:
    """A short number; from `thousand` on in thousands (k)."""
    for least, power, mark in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (thousand, 1e3, "k")):
        if abs(value) >= least:
            return f"{value / power:g}{mark}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{round(value, 10):g}"


def shaded(counts: NDArray[np.int64], x: Sequence[float], y: Sequence[float]) -> Markup:
    """Cells (nx, ny) between pixels x (nx + 1,) and y (ny + 1,): the more in one, the stronger its colour."""
    shade = np.ceil(_SHADES * np.log1p(counts) / np.log1p(counts.max())).astype(int)
    drawn = []
    for level in range(1, _SHADES + 1):
        cells = "".join(
            box(min(x[i : i + 2]), min(y[j : j + 2]), abs(x[i + 1] - x[i]), abs(y[j + 1] - y[j]))
            for i, j in np.argwhere(shade == level).tolist()
        )
        drawn.append(tag("path", d=cells, class_=f"shade{level}"))
    return tag("g", drawn, class_="density")


def box(left: float, top: float, width: float, height: float) -> str:
    """A rectangle, as data of a path."""
    return f"M{px(left)} {px(top)}h{width:.2f}v{height:.2f}h{-width:.2f}z"


def px(value: float) -> str:
    """Pixels as SVG writes them."""
    return f"{value:.1f}".removesuffix(".0")
