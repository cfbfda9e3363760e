"""Charts as SVG: each has a name and a description in words; its colours are the stylesheet's."""

from collections.abc import Sequence

from .. import words
from .distribution import Distribution, Floats
from .markup import Markup, tag
from .scale import Scale

WIDTH, HEIGHT = 420, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 408, 12, 182


def picture(
    name: str, title: str, description: str, *content: Markup, height: int = HEIGHT, stretched: bool = False
) -> Markup:
    """An SVG picture, legible on a telephone and on a screen. `name` is its own on the page."""
    return tag(
        "svg",
        tag("title", title, id=f"{name}-title"),
        tag("desc", description, id=f"{name}-desc"),
        *content,
        viewBox=f"0 0 {WIDTH} {height}",
        preserveAspectRatio="none" if stretched else None,
        role="img",
        aria_labelledby=f"{name}-title",
        aria_describedby=f"{name}-desc",
    )


def histogram(name: str, values: Distribution, noun: str) -> Markup:
    """Bars of how many `noun` (plural) have which value."""
    x = Scale(float(values.edges[0]), float(values.edges[-1]), _LEFT, _RIGHT, values.log)
    y = _upward(float(values.counts.max()))
    bars = [
        tag(
            "rect",
            x=_px(x(low) + 0.5),
            y=_px(y(count)),
            width=_px(max(0.8, x(high) - x(low) - 1)),
            height=_px(_BOTTOM - y(count)),
        )
        for low, high, count in zip(values.edges[:-1], values.edges[1:], map(int, values.counts), strict=True)
        if count
    ]
    middle = x(values.quantiles[2])
    median = tag("line", x1=_px(middle), x2=_px(middle), y1=_TOP, y2=_BOTTOM, class_="median")
    unit = f" ({values.unit})" if values.unit else ""
    return picture(
        name,
        title(values, noun),
        summary(values, noun),
        _across(y, noun),
        tag("g", bars, class_="bars"),
        median,
        _below(x, f"{values.label}{unit}"),
    )


def title(values: Distribution, noun: str) -> str:
    """A histogram's title."""
    return f"{noun.capitalize()} by {values.label}"


def summary(values: Distribution, noun: str) -> str:
    """What a histogram shows, in words."""
    unit = f" {values.unit}" if values.unit else ""
    least, low, middle, high, most = map(words.number, values.quantiles)
    whose = f"{values.looked:,} {noun}"
    if values.looked < values.of:
        whose = f"a sample of {values.looked:,} of {values.of:,} {noun}"
    if values.number < values.looked:
        whose = f"{values.number:,} of {whose} have one"
    return (
        f"{whose[0].upper()}{whose[1:]}: median {middle}{unit} (the dashed line), "
        f"90 % between {low} and {high}, all between {least} and {most}."
        + (" The bars at the ends hold what lies beyond." if values.clipped else "")
    )


def steps(
    name: str, title: str, edges: Floats, values: Floats, unit: str, what: str, description: str
) -> Markup:
    """An area of steps: (n,) `values` between (n + 1,) `edges` in `unit`, what they count along the side."""
    x = Scale(float(edges[0]), float(edges[-1]), _LEFT, _RIGHT)
    y = _upward(float(max(values.max(), 1e-9)))
    path = [f"M{_px(x(edges[0]))} {_BOTTOM}"]
    for low, high, value in zip(edges[:-1], edges[1:], values, strict=True):
        path.append(f"L{_px(x(low))} {_px(y(value))}L{_px(x(high))} {_px(y(value))}")
    path.append(f"L{_px(x(edges[-1]))} {_BOTTOM}Z")
    area = tag("path", d="".join(path), class_="area")
    return picture(name, title, description, _across(y, what), area, _below(x, unit))


def bars(name: str, title: str, rows: Sequence[tuple[str, float, str]], description: str) -> Markup:
    """Horizontal bars: label, value, and the value as it is written."""
    step, top, left = 34, 6, 4
    longest = max((value for _, value, _ in rows), default=0) or 1
    drawn = []
    for number, (label, value, told) in enumerate(rows):
        y = top + number * step
        length = value / longest * (WIDTH - left - 8)
        drawn += [
            tag("text", label, x=left, y=y + 11, class_="label"),
            tag("text", told, x=WIDTH - 4, y=y + 11, text_anchor="end"),
            tag("rect", x=left, y=y + 16, width=WIDTH - left - 8, height=9, class_="track"),
            tag(
                "rect", x=left, y=y + 16, width=_px(max(length, 1.5 if value else 0)), height=9, class_="bar"
            ),
        ]
    return picture(name, title, description, *drawn, height=top + step * max(len(rows), 1))


def parts(name: str, title: str, rows: Sequence[tuple[str, int, str]], description: str) -> Markup:
    """One bar parted by number: label, number, class. Parts differ in pattern, not in colour alone."""
    total = sum(number for _, number, _ in rows) or 1
    at, drawn = 0.0, []
    for _, number, kind in rows:
        if number:
            # The least part is still seen; a pixel's lie is told by the table beside it.
            width = max(3.0, number / total * WIDTH)
            drawn.append(
                tag("rect", x=_px(min(at, WIDTH - width)), y=0, width=_px(width), height=26, class_=kind)
            )
            at += number / total * WIDTH
    return picture(
        name, title, description, _PATTERNS, tag("g", drawn, class_="parts"), height=26, stretched=True
    )


def _pattern(name: str, *lines: str) -> Markup:
    paths = [tag("path", d=line) for line in lines]
    ground = tag("rect", width=8, height=8)
    return tag(
        "pattern", ground, *paths, id=name, class_=name, width=8, height=8, patternUnits="userSpaceOnUse"
    )


_PATTERNS = tag(
    "defs",
    _pattern("hatch-failed", "M-2 2L2 -2M0 8L8 0M6 10L10 6"),
    _pattern("hatch-missing", "M0 4H8", "M4 0V8"),
    _pattern("hatch-waiting", "M4 0V8"),
)


def _upward(most: float) -> Scale:
    return Scale(0, most * 1.05, _BOTTOM, _TOP)


def _across(y: Scale, what: str) -> Markup:
    """The vertical axis with its grid."""
    drawn = []
    # They count things: there is no half of one.
    for tick in y.ticks(5) if y.high > 5 else range(int(y.high) + 1):
        at = _px(y(tick))
        drawn += [
            tag("line", x1=_LEFT, x2=_RIGHT, y1=at, y2=at),
            tag("text", _short(tick, thousand=1e3), x=_LEFT - 6, y=_px(y(tick) + 5), text_anchor="end"),
        ]
    middle = (_TOP + _BOTTOM) / 2
    label = tag(
        "text", what, transform=f"translate(13 {middle:g}) rotate(-90)", text_anchor="middle", class_="label"
    )
    return tag("g", drawn, label, class_="axis")


def _below(x: Scale, what: str) -> Markup:
    """The horizontal axis."""
    drawn = [tag("line", x1=_LEFT, x2=_RIGHT, y1=_BOTTOM, y2=_BOTTOM, class_="base")]
    for tick in x.ticks():
        at = _px(x(tick))
        drawn += [
            tag("line", x1=at, x2=at, y1=_BOTTOM, y2=_BOTTOM + 4, class_="base"),
            tag("text", _short(tick), x=at, y=_BOTTOM + 18, text_anchor="middle"),
        ]
    middle = (_LEFT + _RIGHT) / 2
    return tag(
        "g",
        drawn,
        tag("text", what, x=middle, y=_BOTTOM + 40, text_anchor="middle", class_="label"),
        class_="axis",
    )


def _short(value: float, thousand: float = 1e4) -> str:
    """A tick's label; `thousand` is where k begins."""
    for least, power, mark in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (thousand, 1e3, "k")):
        if abs(value) >= least:
            return f"{value / power:g}{mark}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{round(value, 10):g}"


def _px(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
