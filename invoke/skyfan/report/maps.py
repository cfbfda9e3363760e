"""Maps of the sky as SVG; north is up and east to the left."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..sky.angles import round_length
from ..sky.footprints import Corners, Field, Floats, Footprints, fields, separation, vectors
from .charts import WIDTH, Chart, chart, even, px, shaded
from .html import Content, Markup, tag
from .projections import Gnomonic, Hammer, great_circle, meridian, parallel

Indices = NDArray[np.intp]
MAX_OUTLINES = 1500
"""Outlines drawn on one map; of more images, an even sample."""
# More outlines than this, each filled, would be one blot.
_CROWD = 60
_FIELD_HEIGHT = 380
_LEFT, _TOP, _PLANE = 16, 8, _FIELD_HEIGHT - 48
_SKY_HEIGHT = 226
# About 18 h the plane of the Milky Way crosses the map; about 0 h its southern end is bent along the edge.
_SKY = Hammer(270.0, WIDTH / 2, 112, WIDTH - 16)
# The map of the whole sky has one disc per cell of this many pixels, which limits their number.
_CELL = 3.0
_MANY_DISCS = 200
# Pixels of a cell of a map of densities.
_DENSITY_CELL = 4.0
# Degrees: outlines of larger images can be seen on the map of the whole sky.
_LARGE = 3.0
# The north pole of the Galaxy (ESA 1997, The Hipparcos Catalogue, volume 1, section 1.5.3).
_GALACTIC_POLE = vectors(np.array([192.85948]), np.array([27.12825]))[0]


def sky_charts(planned: Footprints, measured: Footprints, noun: str = "image") -> list[Chart]:
    """The whole sky, and up to three fields with the most images; one of both must have images.

    `noun` is what an image is called where a function measures something else.
    """
    most = planned if len(planned) >= len(measured) else measured
    chosen = fields(most)
    charts = [whole_sky("sky-whole", planned, measured, noun)]
    for number, field in enumerate(chosen, 1):
        everything = len(chosen) == 1 and len(field.images) == len(most)
        title = f"All {noun}s" if everything else f"Field {number}"
        charts.append(field_map(f"sky-{number}", title, field, planned, measured, noun=noun))
    return charts


def whole_sky(name: str, planned: Footprints, measured: Footprints, noun: str = "image") -> Chart:
    """The whole sky with discs where images are, the more the larger; large images have outlines, too."""
    curves = [meridian(ra) for ra in range(0, 360, 30)] + [parallel(dec) for dec in (-60, -30, 0, 30, 60)]
    grid = dict.fromkeys(path(_SKY.pieces(curve)) for curve in curves)
    hours = [_label(f"{hour}h", hour * 15.0, 0.0, "middle") for hour in range(0, 24, 4)]
    degrees = [_label(_signed(dec), _SKY.ra + 180, dec, "start") for dec in (-60, -30, 30, 60)]
    shown = _numbers(len(planned), len(measured), noun)
    return chart(
        name,
        "The whole sky",
        f"The whole sky in equal areas, north up and east left: {shown} "
        "with a known position. The dashed line is the plane of the Milky Way.",
        tag("g", [tag("path", d=line) for line in grid], class_="grid"),
        tag("path", d=path(_SKY.pieces(great_circle(_GALACTIC_POLE))), class_="galaxy"),
        tag("g", _discs(planned), _large_outlines(planned), class_="planned many"),
        tag("g", _discs(measured), _large_outlines(measured), class_="measured many"),
        tag("g", *hours, *degrees, class_="axis halo"),
        height=_SKY_HEIGHT,
    )


def field_map(
    name: str,
    title: str,
    field: Field,
    planned: Footprints,
    measured: Footprints,
    inside: Callable[[Gnomonic], Content] | None = None,
    *,
    noun: str = "image",
) -> Chart:
    """A field in the plane that touches its middle, with the outlines of images, and what is `inside`.

    Of many images there, the outlines would hide it, and are left out.
    """
    most = planned if len(planned) >= len(measured) else measured
    view = _view(field, most.outlines(field.images[:MAX_OUTLINES]))
    drawn, numbers = [], []
    for kind, footprints in (("planned", planned), ("measured", measured)):
        near = np.flatnonzero(view.inside(vectors(footprints.ra, footprints.dec)))
        chosen = _sample(near)
        # Many images of one pointing have one outline.
        paths = dict.fromkeys(path(view.pieces(_closed(c))) for c in footprints.outlines(chosen))
        paths.pop("", None)
        marks = [] if paths else _marks(view, footprints.ra[chosen], footprints.dec[chosen])
        crowd = " many" if len(paths) > _CROWD else ""
        if crowd and inside:
            paths = {}
        drawn.append(tag("g", [tag("path", d=line) for line in paths], marks, class_=kind + crowd))
        numbers.append(len(near))
    length, label = round_length(view.height * view.degrees_per_pixel * 0.35 * 3600)
    sample = f" (an even sample of {MAX_OUTLINES:,} is drawn)" if max(numbers) > MAX_OUTLINES else ""
    shown = f"{title}: {_numbers(numbers[0], numbers[1], noun)}{sample}"
    around = f"right ascension {round(field.ra, 3) % 360:.3f}°, declination {field.dec:.3f}°"
    summary = f"{shown} around {around}; the bar is {label} long."
    grid, labels = _grid(view)
    axes = {"x": WIDTH / 2, "y": _FIELD_HEIGHT - 6, "text_anchor": "middle", "class_": "label"}
    return chart(
        name,
        title,
        summary.replace("-", "−"),
        tag("rect", x=_LEFT, y=_TOP, width=view.width, height=view.height, class_="ground"),
        tag("g", grid, class_="grid"),
        *drawn,
        inside(view) if inside else None,
        _scale_bar(view, length, label),
        tag("g", labels, class_="axis halo"),
        tag("text", "right ascension and declination, ICRS", **axes),
        height=_FIELD_HEIGHT,
    )


def density_map(view: Gnomonic, places: Floats) -> Markup | None:
    """How dense points are, unit vectors (n, 3) inside the view; None without any."""
    if not len(places):
        return None
    x = np.linspace(view.left, view.left + view.width, int(view.width // _DENSITY_CELL) + 1)
    y = np.linspace(view.top, view.top + view.height, int(view.height // _DENSITY_CELL) + 1)
    pixels = view.pixels(places)
    counts = np.histogram2d(pixels[:, 0], pixels[:, 1], [x, y])[0].astype(np.int64)
    return shaded(counts, x.tolist(), y.tolist())


def circles(view: Gnomonic, places: Floats) -> Markup:
    """Circles around points, unit vectors (n, 3) inside the view."""
    points = view.pixels(places).tolist() if len(places) else []
    return tag("g", [tag("circle", cx=px(x), cy=px(y), r=3.5) for x, y in points], class_="marks")


def _numbers(planned: int, measured: int, noun: str) -> str:
    kinds = [
        f"{number:,} {kind}" for number, kind in ((planned, "planned"), (measured, "measured")) if number
    ]
    return f"{' and '.join(kinds)} {noun}{'' if planned + measured == 1 else 's'}"


def path(pieces: list[Floats]) -> str:
    """The data of an SVG path through pieces of a curve, (n, 2) pixels each."""
    return "".join("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in piece) for piece in pieces)


def _discs(footprints: Footprints) -> list[Markup]:
    if not len(footprints):
        return []
    cells = np.round(_SKY.pixels(vectors(footprints.ra, footprints.dec)) / _CELL).astype(np.int64)
    places, counts = np.unique(cells, axis=0, return_counts=True)
    least = 1.5 if len(places) > _MANY_DISCS else 2.6
    return [
        tag("circle", cx=f"{x * _CELL:g}", cy=f"{y * _CELL:g}", r=f"{least + 0.8 * np.log10(count):.1f}")
        for (x, y), count in zip(places, counts, strict=True)
    ]


def _large_outlines(footprints: Footprints) -> list[Markup]:
    outlines = (_closed(corners) for corners in footprints.outlines(_sample(np.arange(len(footprints)))))
    large = (curve for curve in outlines if separation(curve, curve[0]).max() > _LARGE)
    return [tag("path", d=line) for line in dict.fromkeys(path(_SKY.pieces(curve)) for curve in large)]


def _sample(images: Indices) -> Indices:
    chosen = np.linspace(0, len(images) - 1, MAX_OUTLINES).astype(int)
    return images if len(images) <= MAX_OUTLINES else np.take(images, chosen)


def _closed(corners: Corners) -> Floats:
    curve = vectors(corners[:, 0], corners[:, 1])
    return np.append(curve, curve[:1], axis=0)


def _label(label: str, ra: float, dec: float, anchor: str) -> Markup:
    ((x, y),) = _SKY.pixels(vectors(np.array([ra]), np.array([dec])))
    return tag("text", label, x=f"{x + 5 * (anchor == 'start'):.1f}", y=f"{y - 3:.1f}", text_anchor=anchor)


def _signed(degrees: float) -> str:
    number = round(degrees, 8)
    return f"{number:+g}°".replace("-", "−") if number else "0°"


def _view(field: Field, outlines: list[Corners]) -> Gnomonic:
    middle = vectors(np.array([field.ra]), np.array([field.dec]))[0]
    farthest = [float(separation(vectors(c[:, 0], c[:, 1]), middle).max()) for c in outlines]
    # A few images far off must not make all others small.
    reach = float(np.quantile(farthest, 0.95)) if farthest else 0.0
    # Points alone get the width of a camera's field around them.
    height = 2.4 * min(reach, 40.0) if reach else 2.2 * field.radius + 0.07
    return Gnomonic(field.ra, field.dec, _LEFT, _TOP, WIDTH - 24, _PLANE, height / _PLANE)


def _marks(view: Gnomonic, ra: Floats, dec: Floats) -> list[Markup]:
    places = dict.fromkeys((f"{x:.1f}", f"{y:.1f}") for x, y in view.pixels(vectors(ra, dec)))
    return [tag("circle", cx=x, cy=y, r=3) for x, y in places]


def _scale_bar(view: Gnomonic, length: float, label: str) -> Markup:
    pixels = length / 3600 / view.degrees_per_pixel
    right, y = WIDTH - 24, _FIELD_HEIGHT - 52
    return tag(
        "g",
        tag("path", d=f"M{right} {y}v-5m0 5h{-pixels:.1f}v-5", class_="scale"),
        tag("text", label, x=f"{right - pixels / 2:.1f}", y=y - 8, text_anchor="middle", class_="label"),
        class_="halo",
    )


def _grid(view: Gnomonic) -> tuple[list[Markup], list[Markup]]:
    """Meridians and parallels inside the frame, and their labels."""
    offset, dec = view.frame()
    poles = view.inside(np.array([[0.0, 0, 1], [0, 0, -1]]))
    low, high = -90.0 if poles[1] else dec.min(), 90.0 if poles[0] else dec.max()
    if poles.any():
        west, east, ra_ticks = 0.0, 360.0, [30.0 * n for n in range(12)]
    else:
        west, east = view.ra + offset.min(), view.ra + offset.max()
        ra_ticks = even(west, east, 5)
    lines, labels = [], []
    bottom, right = _TOP + _PLANE, _LEFT + view.width
    for ra in ra_ticks:
        label = f"{round(ra % 360, 8):g}°"
        for piece in view.pieces(meridian(ra, max(-90.0, low - 1), min(90.0, high + 1))):
            lines.append(tag("path", d=path([piece])))
            for x, y in piece[[0, -1]]:
                if y > bottom - 0.5 and _LEFT + 20 < x < right - 20:
                    labels.append(_text(label, x, bottom + 15, "middle"))
                elif poles.any() and x < _LEFT + 0.5:
                    labels.append(_text(label, x + 4, y + 4, "start"))
                elif poles.any() and x > right - 0.5:
                    labels.append(_text(label, x - 4, y + 4, "end"))
    for value in even(low, high, 5):
        pieces = view.pieces(parallel(value, west, east))
        lines += [tag("path", d=path([piece])) for piece in pieces]
        # Around a pole the left edge has the labels of meridians.
        ends = [e for piece in pieces for e in piece[[0, -1]] if e[0] < _LEFT + 0.5 and not poles.any()]
        ((x, y),) = ends[:1] or view.pixels(vectors(np.array([view.ra]), np.array([value])))
        if _TOP + 14 < y < bottom - 4 and _LEFT - 0.5 <= x <= right:
            labels.append(_text(_signed(value), x + 4, y - 3, "start"))
    return lines, labels


def _text(label: str, x: float, y: float, anchor: str) -> Markup:
    return tag("text", label, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor)
