"""A field of the sky as SVG, in the plane that touches its middle; north is up and east to the left."""

import numpy as np
from numpy.typing import NDArray

from ..pictures.picture import round_length
from .charts import WIDTH, picture
from .footprints import Corners, Field, Floats, Footprints, separation, vectors
from .markup import Markup, tag
from .scale import even
from .sky import line, points

MOST = 1500
"""Outlines drawn on one map; of more, an even sample."""
# More outlines than this, each filled, would be one blot.
_CROWD = 60
_HEIGHT = 380
_PLANE = _HEIGHT - 48


def draw(name: str, field: Field, planned: Footprints, measured: Footprints, title: str) -> Markup:
    """A field in the plane that touches its middle, with the outlines of images."""
    of = planned if len(planned) >= len(measured) else measured
    view = _View(field, of.outlines(field.images[:MOST]))
    drawn = []
    told = []
    for kind, found in (("planned", planned), ("measured", measured)):
        near = view.near(found)
        some = near[np.linspace(0, len(near) - 1, MOST).astype(int)] if len(near) > MOST else near
        # Many images of one pointing have one outline.
        paths = dict.fromkeys(points(*view.pixels(c[:, 0], c[:, 1])) + "Z" for c in found.outlines(some))
        marks = [] if paths else _marks(*view.pixels(found.ra[some], found.dec[some]))
        crowd = " many" if len(paths) > _CROWD else ""
        drawn.append(tag("g", [tag("path", d=path) for path in paths], marks, class_=kind + crowd))
        if len(near):
            sampled = f", {MOST:,} of them drawn" if len(near) > MOST else ""
            told.append(f"{len(near):,} {kind}{sampled}")
    length, label = round_length(view.width * 0.35 * 3600)
    pixels = length / 3600 / view.degrees_a_pixel
    bar_y = _HEIGHT - 52
    right = WIDTH - 24
    bar = tag("path", d=f"M{right} {bar_y}v-5m0 5h{-pixels:.1f}v-5", class_="scale")
    clip = tag("clipPath", tag("rect", x=16, y=8, width=WIDTH - 24, height=_PLANE), id=f"{name}-clip")
    return picture(
        name,
        title,
        f"Images: {', '.join(told)}. North is up, east is left; the middle is at right ascension "
        f"{field.ra:.4f} degrees, declination {field.dec:.4f} degrees; the bar is {label} long.",
        tag("defs", clip),
        tag("rect", x=16, y=8, width=WIDTH - 24, height=_PLANE, class_="ground"),
        tag("g", view.grid(), *drawn, clip_path=f"url(#{name}-clip)"),
        bar,
        tag("text", label, x=f"{right - pixels / 2:.1f}", y=bar_y - 8, text_anchor="middle", class_="label"),
        tag("g", view.labels(), class_="axis"),
        height=_HEIGHT,
    )


class _View:
    """The gnomonic projection about a field (Calabretta & Greisen 2002, section 5.1.3), fitted to the map."""

    def __init__(self, field: Field, corners: list[Corners]) -> None:
        self.field = field
        middle = vectors(np.array([field.ra]), np.array([field.dec]))[0]
        farthest = [float(separation(vectors(c[:, 0], c[:, 1]), middle).max()) for c in corners]
        # Points alone get the width of a camera's field around them.
        # A few images far off must not make all others small.
        reach = float(np.quantile(farthest, 0.95)) if farthest else 0.0
        self.width = 2.4 * min(reach, 40.0) if reach else 2.2 * field.radius + 0.07
        self.degrees_a_pixel = self.width / _PLANE

    def pixels(self, ra: Floats, dec: Floats) -> tuple[Floats, Floats]:
        lon, lat = np.radians(np.asarray(ra) - self.field.ra), np.radians(dec)
        lat0 = np.radians(self.field.dec)
        depth = np.sin(lat0) * np.sin(lat) + np.cos(lat0) * np.cos(lat) * np.cos(lon)
        with np.errstate(divide="ignore", invalid="ignore"):
            x = np.cos(lat) * np.sin(lon) / depth
            y = (np.cos(lat0) * np.sin(lat) - np.sin(lat0) * np.cos(lat) * np.cos(lon)) / depth
        unit = np.degrees(1) / self.degrees_a_pixel
        x[depth <= 0.1] = y[depth <= 0.1] = np.nan
        return 4 + WIDTH / 2 - x * unit, 8 + _PLANE / 2 - y * unit

    def near(self, found: Footprints) -> NDArray[np.intp]:
        x, y = self.pixels(found.ra, found.dec)
        with np.errstate(invalid="ignore"):
            return np.flatnonzero((x > 0) & (x < WIDTH) & (y > 0) & (y < _HEIGHT - 30))

    def _ticks(self) -> tuple[list[float], list[float]]:
        half = self.width * 0.62
        dec = even(max(-90, self.field.dec - half), min(90, self.field.dec + half), 5)
        wide = half / max(np.cos(np.radians(min(89.0, abs(self.field.dec) + half))), 1e-3)
        ra = [] if wide >= 60 else even(self.field.ra - wide, self.field.ra + wide, 5)
        return ra or list(np.arange(0.0, 360, 30)), dec

    def grid(self) -> Markup:
        ra, dec = self._ticks()
        half = self.width
        along = np.linspace(max(-90, self.field.dec - half), min(90, self.field.dec + half), 41)
        span = min(180.0, half / max(np.cos(np.radians(self.field.dec)), 1e-3))
        across = np.linspace(self.field.ra - span, self.field.ra + span, 121)
        lines = [line(*self.pixels(np.full(41, value), along)) for value in ra]
        return tag("g", lines, [line(*self.pixels(across, np.full(121, v))) for v in dec], class_="grid")

    def labels(self) -> list[Markup]:
        ra, dec = self._ticks()
        bottom = _HEIGHT - 40
        low = self.field.dec - self.width * 0.5
        made = []
        if low > -89:
            for value in ra:
                x, _ = self.pixels(np.array([value]), np.array([low]))
                if 40 < x[0] < WIDTH - 40:
                    label = f"{round(value % 360, 8):g}°"
                    made.append(tag("text", label, x=f"{x[0]:.1f}", y=bottom + 16, text_anchor="middle"))
        for value in dec:
            _, y = self.pixels(np.array([self.field.ra]), np.array([value]))
            if 20 < y[0] < bottom - 6:
                label = f"{round(value, 8):+g}°".replace("-", "−")
                made.append(tag("text", label, x=20, y=f"{y[0] - 3:.1f}"))
        made.append(
            tag(
                "text",
                "right ascension and declination, J2000",
                x=WIDTH / 2,
                y=bottom + 34,
                text_anchor="middle",
                class_="label",
            )
        )
        return made


def _marks(x: Floats, y: Floats) -> list[Markup]:
    places = dict.fromkeys((f"{a:.1f}", f"{b:.1f}") for a, b in zip(x, y, strict=True))
    return [tag("circle", cx=a, cy=b, r=3) for a, b in places]
