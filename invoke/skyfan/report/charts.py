"""The charts of skyfan, as SVG: each has a title and a description in words; charts.css has their colours."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import formatting
from .distribution import Distribution, Floats
from .html import Content, Markup, figure, table, tag

STYLE = Path(__file__).with_name("charts.css")
WIDTH, HEIGHT = 420, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 408, 12, 182


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
    name: str, title: str, summary: str, *content: Content, height: int = HEIGHT, stretched: bool = False
) -> Chart:
    """A chart of SVG elements, legible on a telephone and on a screen. `name` is unique on its page."""
    svg = tag(
        "svg",
        tag("title", title, id=f"{name}-title"),
        tag("desc", summary, id=f"{name}-desc"),
        *content,
        viewBox=f"0 0 {WIDTH} {height}",
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
    x = Scale(min(ends), max(ends), _LEFT, _RIGHT, values.log)
    y = _upward(float(values.counts.max()))
    bins = list(
        zip(values.edges[:-1], values.edges[1:], values.counts.tolist(), values.marked.tolist(), strict=True)
    )
    bars, hatched = [], []
    for low, high, count, part in bins:
        left, width = x(low) + 0.5, max(0.8, x(high) - x(low) - 1)
        if count > part:
            bars.append(_bar(left, width, y(count), y(part)))
        if part:
            hatched.append(_bar(left, width, y(part), _BOTTOM, "failed"))
    middle = _px(x(values.quantiles[2]))
    unit = f" ({values.unit})" if values.unit else ""
    title, words = f"{noun.capitalize()} by {values.label}", _summary(values, noun, marked)
    rows = [
        (f"{formatting.number(low)} to {formatting.number(high)}", f"{count:,}", f"{part:,}")
        for low, high, count, part in bins
        if count
    ]
    columns = 3 if marked else 2
    numbers = table(
        f"{name}-numbers",
        title,
        [f"{values.label}{unit}", noun, f"of them {marked}"][:columns],
        [row[:columns] for row in rows],
        numbers=range(1, columns),
    )
    drawn = chart(
        name,
        title,
        words,
        _vertical_axis(y, noun),
        tag("g", bars, class_="bars"),
        tag("g", hatched, class_="parts"),
        tag("line", x1=middle, x2=middle, y1=_TOP, y2=_BOTTOM, class_="median"),
        [_limit(x(value), label) for value, label in limits],
        _horizontal_axis(x, f"{values.label}{unit}"),
    )
    details = tag("details", tag("summary", f"Numbers of the chart: {title}"), numbers)
    return Chart(title, words, drawn.svg, drawn.height, details)


def steps(name: str, title: str, edges: Floats, values: Floats, unit: str, noun: str, summary: str) -> Chart:
    """An area of steps: (n,) `values` of `noun` between (n + 1,) `edges` in `unit`."""
    x = Scale(float(edges[0]), float(edges[-1]), _LEFT, _RIGHT)
    y = _upward(float(max(values.max(), 1e-9)))
    path = [f"M{_px(x(edges[0]))} {_BOTTOM}"]
    for low, high, value in zip(edges[:-1], edges[1:], values, strict=True):
        path.append(f"L{_px(x(low))} {_px(y(value))}L{_px(x(high))} {_px(y(value))}")
    path.append(f"L{_px(x(edges[-1]))} {_BOTTOM}Z")
    area = tag("path", d="".join(path), class_="area")
    return chart(name, title, summary, _vertical_axis(y, noun), area, _horizontal_axis(x, unit))


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
            tag("rect", **track, width=_px(max(length, 1.5 if value else 0)), class_="bar"),
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
            left = _px(min(position, WIDTH - width))
            drawn.append(tag("rect", x=left, y=0, width=_px(width), height=26, class_=kind))
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


def _summary(values: Distribution, noun: str, marked: str) -> str:
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
        f"{counted[0].upper()}{counted[1:]}: median {median}{unit} (the dashed line), "
        f"90 % between {low} and {high}, all between {minimum} and {maximum}."
        + (" The bars at both ends include all values beyond." if values.clipped else "")
    )


def _upward(maximum: float) -> Scale:
    return Scale(0, maximum * 1.05, _BOTTOM, _TOP)


def _bar(left: float, width: float, top: float, bottom: float, kind: str | None = None) -> Markup:
    return tag("rect", x=_px(left), y=_px(top), width=_px(width), height=_px(bottom - top), class_=kind)


def _limit(x: float, label: str) -> Markup:
    line = tag("line", x1=_px(x), x2=_px(x), y1=_TOP, y2=_BOTTOM)
    side = {"x": _px(x - 4), "text_anchor": "end"} if x > WIDTH / 2 else {"x": _px(x + 4)}
    return tag("g", line, tag("text", label, y=_TOP + 12, **side), class_="limit")


def _vertical_axis(y: Scale, label: str) -> Markup:
    """The axis of counts, with its grid."""
    drawn = []
    # Counts are whole numbers.
    for tick in y.ticks(5) if y.high > 5 else range(int(y.high) + 1):
        position = _px(y(tick))
        drawn += [
            tag("line", x1=_LEFT, x2=_RIGHT, y1=position, y2=position),
            tag("text", _tick_label(tick, 1e3), x=_LEFT - 6, y=_px(y(tick) + 5), text_anchor="end"),
        ]
    turned = f"translate(13 {(_TOP + _BOTTOM) / 2:g}) rotate(-90)"
    title = tag("text", label, transform=turned, text_anchor="middle", class_="label")
    return tag("g", drawn, title, class_="axis")


def _horizontal_axis(x: Scale, label: str) -> Markup:
    drawn = [tag("line", x1=_LEFT, x2=_RIGHT, y1=_BOTTOM, y2=_BOTTOM, class_="base")]
    for tick in x.ticks():
        position = _px(x(tick))
        drawn += [
            tag("line", x1=position, x2=position, y1=_BOTTOM, y2=_BOTTOM + 4, class_="base"),
            tag("text", _tick_label(tick, 1e4), x=position, y=_BOTTOM + 18, text_anchor="middle"),
        ]
    middle = (_LEFT + _RIGHT) / 2
    title = tag("text", label, x=middle, y=_BOTTOM + 40, text_anchor="middle", class_="label")
    return tag("g", drawn, title, class_="axis")


def _tick_label(value: float, thousand: float) -> str:
    """A short number; from `thousand` on in thousands (k)."""
    for least, power, mark in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (thousand, 1e3, "k")):
        if abs(value) >= least:
            return f"{value / power:g}{mark}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{round(value, 10):g}"


def _px(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
