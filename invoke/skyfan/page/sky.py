"""The whole sky as SVG; north is up and east to the left."""

import numpy as np

from .. import words
from .charts import WIDTH, picture
from .footprints import Floats, Footprints
from .markup import Markup, tag

_CELL = 3.0
_HEIGHT = 226
_FEW = 200
_POLE_RA, _POLE_DEC, _NODE = np.radians([192.85948, 27.12825, 122.93192])


def hammer(ra: Floats, dec: Floats) -> tuple[Floats, Floats]:
    """Pixels of positions (degrees) in Hammer's equal-area projection (Snyder 1987, p. 184) about 0h."""
    lon, lat = np.radians((np.asarray(ra) + 180) % 360 - 180), np.radians(dec)
    scale = 1 / np.sqrt(1 + np.cos(lat) * np.cos(lon / 2))
    x, y = 2 * np.cos(lat) * np.sin(lon / 2) * scale, np.sin(lat) * scale
    return WIDTH / 2 - x * (WIDTH - 16) / 4, 112 - y * (WIDTH - 16) / 4


def whole(name: str, planned: Footprints, measured: Footprints) -> Markup:
    """All the sky, with a disc wherever images are; the more images, the larger."""
    meridians = [
        line(*hammer(np.full(61, ra), np.linspace(-90, 90, 61))) for ra in range(30, 360, 30) if ra != 180
    ]
    parallels = [
        line(*hammer(np.linspace(-179.99, 180, 121), np.full(121, dec))) for dec in (-60, -30, 0, 30, 60)
    ]
    edge = [line(*hammer(np.full(61, side), np.linspace(-90, 90, 61))) for side in (-179.999, 179.999)]
    hours = [_label(f"{hour}h", hour * 15.0, 0.0, "middle") for hour in (2, 6, 10, 14, 18, 22)]
    signed = {dec: f"{dec:+}°".replace("-", "−") for dec in (-60, -30, 30, 60)}
    degrees = [_label(signed[dec], 179.999, dec, "end") for dec in signed]
    found = f"{words.files(len(measured), 'measured image')} and {len(planned):,} planned ones"
    return picture(
        name,
        "All the sky",
        f"Equal-area map in equatorial coordinates with {found} whose position is known. "
        "The dashed line is the plane of the Milky Way.",
        tag("g", *edge, *meridians, *parallels, class_="grid"),
        _galaxy(),
        tag("g", _discs(planned), class_="planned"),
        tag("g", _discs(measured), class_="measured"),
        tag("g", *hours, *degrees, class_="axis halo"),
        height=_HEIGHT,
    )


def _discs(found: Footprints) -> list[Markup]:
    """One disc a cell of the map, so that their number has a limit."""
    if not len(found):
        return []
    cells = np.round(np.column_stack(hammer(found.ra, found.dec)) / _CELL).astype(np.int64)
    places, counts = np.unique(cells, axis=0, return_counts=True)
    least = 1.5 if len(places) > _FEW else 2.6
    return [
        tag("circle", cx=f"{x * _CELL:g}", cy=f"{y * _CELL:g}", r=f"{least + 0.8 * np.log10(count):.1f}")
        for (x, y), count in zip(places, counts, strict=True)
    ]


def _galaxy() -> Markup:
    """The galactic equator (ESA 1997, The Hipparcos Catalogue, volume 1, section 1.5.3)."""
    lon = np.linspace(0, 2 * np.pi, 361) - _NODE
    dec = np.arcsin(np.cos(_POLE_DEC) * np.cos(lon))
    ra = _POLE_RA + np.arctan2(-np.sin(lon), -np.sin(_POLE_DEC) * np.cos(lon))
    x, y = hammer(np.degrees(ra), np.degrees(dec))
    # Where the line leaves the map it comes in again on the other side.
    cuts = np.flatnonzero(np.hypot(np.diff(x), np.diff(y)) > 40) + 1
    pieces = zip(np.split(x, cuts), np.split(y, cuts), strict=True)
    return tag("path", d="".join(points(*piece) for piece in pieces), class_="galaxy")


def _label(label: str, ra: float, dec: float, anchor: str) -> Markup:
    x, y = hammer(np.array([ra]), np.array([dec]))
    return tag(
        "text", label, x=f"{x[0] - 3 * (anchor == 'end'):.1f}", y=f"{y[0] - 3:.1f}", text_anchor=anchor
    )


def line(x: Floats, y: Floats) -> Markup:
    """A path through pixels."""
    return tag("path", d=points(x, y))


def points(x: Floats, y: Floats) -> str:
    """The same as a path's data; what is NaN is passed over."""
    fine = np.isfinite(x) & np.isfinite(y)
    return (
        "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x[fine], y[fine], strict=True))
        if fine.any()
        else ""
    )
