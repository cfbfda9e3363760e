"""From the sky to pixels of a map: curves on the sphere become pieces that end exactly at the map's edge.

Curves are (n, 3) unit vectors; north is up and east to the left.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..sky.footprints import Floats, angles, vectors

STEP = 2.0
"""Degrees between two points of a curve on a map that bends great circles."""
# Below this a point lies on the edge.
_TINY = 1e-12


def meridian(ra: float, low: float = -90.0, high: float = 90.0) -> Floats:
    """The curve of one right ascension between two declinations (degrees)."""
    dec = np.linspace(low, high, max(2, int((high - low) / STEP) + 1))
    return vectors(np.full(len(dec), ra), dec)


def parallel(dec: float, low: float = 0.0, high: float = 360.0) -> Floats:
    """The curve of one declination between two right ascensions (degrees); closed by default."""
    ra = np.linspace(low, high, 361)
    return vectors(ra, np.full(len(ra), dec))


def great_circle(pole: Floats) -> Floats:
    """The closed curve 90 degrees from `pole` (3,)."""
    first = np.cross(pole, np.eye(3)[np.argmin(np.abs(pole))])
    first /= np.linalg.norm(first)
    angle = np.linspace(0.0, 2 * np.pi, 361)[:, None]
    circle: Floats = np.cos(angle) * first + np.sin(angle) * np.cross(pole / np.linalg.norm(pole), first)
    return circle


def refined(curve: Floats) -> Floats:
    """The same curve with further points on its great circles, so that none are more than STEP apart."""
    dots = np.clip((curve[:-1] * curve[1:]).sum(axis=1), -1, 1)
    angles = np.arccos(dots)
    pieces = []
    for start, end, angle in zip(curve[:-1], curve[1:], angles, strict=True):
        number = max(1, int(np.ceil(np.degrees(angle) / STEP - 1e-9)))
        share = np.arange(number)[:, None] / number
        if number == 1:
            pieces.append(start[None])
        else:
            pieces.append((np.sin((1 - share) * angle) * start + np.sin(share * angle) * end) / np.sin(angle))
    return np.concatenate([*pieces, curve[-1:]])


def cut(curve: Floats, edges: Floats) -> list[Floats]:
    """The pieces of a curve where edge · v >= 0 for each of the `edges` (m, 3).

    An edge is the pole of a great circle. A piece that was cut ends exactly on that circle.
    """
    sides = curve @ edges.T
    sides[np.abs(sides) < _TINY] = 0.0
    if (sides >= 0).all():
        return [curve]
    before, after = sides[:-1], sides[1:]
    # Where a segment enters and leaves, as shares of its length.
    with np.errstate(divide="ignore", invalid="ignore"):
        share = before / (before - after)
    first = np.where((before < 0) & (after >= 0), share, 0.0).max(axis=1)
    last = np.where((before >= 0) & (after < 0), share, 1.0).min(axis=1)
    seen = np.flatnonzero((first < last) & ~((before < 0) & (after < 0)).any(axis=1))
    broken = (np.diff(seen) > 1) | (first[seen[1:]] > 0) | (last[seen[:-1]] < 1)
    pieces = []
    for run in np.split(seen, np.flatnonzero(broken) + 1):
        if len(run):
            start, end = _between(curve, run[0], first), _between(curve, run[-1], last)
            pieces.append(np.concatenate([start, curve[run[1:]], end]))
    if len(pieces) > 1 and np.allclose([pieces[0][0], pieces[-1][-1], curve[-1]], curve[0], atol=_TINY):
        pieces[0] = np.concatenate([pieces.pop(), pieces[0][1:]])  # a closed curve that begins inside
    return pieces


def _between(curve: Floats, segment: int, shares: Floats) -> Floats:
    share = shares[segment]
    point = (1 - share) * curve[segment] + share * curve[segment + 1]
    return np.atleast_2d(point / np.linalg.norm(point))


@dataclass(frozen=True)
class Hammer:
    """The whole sky in an equal-area ellipse (Snyder 1987, p. 184), twice as wide as high."""

    ra: float
    """Degrees, of the middle."""
    x: float
    """Pixels of the middle."""
    y: float
    width: float

    def pixels(self, points: Floats) -> Floats:
        """(n, 2) pixels of unit vectors (n, 3); those on the meridian at the edge lie on the left."""
        turned = self._turned(points)
        return self._half(turned, np.where(turned[:, 1] > -_TINY, 1.0, -1.0))

    def pieces(self, curve: Floats) -> list[Floats]:
        """(n, 2) pixels of each piece: cut at the edge, and in the middle, where it does not show."""
        fine = self._turned(refined(curve))
        return [
            self._half(piece, side)
            for side in (1.0, -1.0)
            for piece in cut(fine, np.array([[0.0, side, 0.0]]))
        ]

    def _turned(self, curve: Floats) -> Floats:
        """The same about a middle at right ascension 0."""
        cos, sin = np.cos(np.radians(self.ra)), np.sin(np.radians(self.ra))
        turned: Floats = curve @ np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        return turned

    def _half(self, curve: Floats, side: Floats | float) -> Floats:
        """Pixels of points of the eastern (side 1) or the western half (-1), which tells both edges apart."""
        lon = side * np.arctan2(np.abs(curve[:, 1]), curve[:, 0])
        z = np.clip(curve[:, 2], -1, 1)
        cos = np.sqrt(1 - z**2)
        scale = self.width / 4 / np.sqrt(1 + cos * np.cos(lon / 2))
        return np.column_stack([self.x - 2 * cos * np.sin(lon / 2) * scale, self.y - z * scale])


@dataclass(frozen=True)
class Gnomonic:
    """The plane that touches the sky at a point (Calabretta & Greisen 2002, section 5.1.3), in a rectangle.

    Great circles are straight lines. The rectangle spans less than the half of the sky around the point.
    """

    ra: float
    """Degrees, of the middle."""
    dec: float
    left: float
    """Pixels."""
    top: float
    width: float
    height: float
    degrees_per_pixel: float
    """In the middle."""

    def pixels(self, curve: Floats) -> Floats:
        """(n, 2) pixels; NaN for points of the other half of the sky."""
        east, north, middle = self._axes()
        depth = curve @ middle
        depth[depth <= 0] = np.nan
        x, y = curve @ east / depth, curve @ north / depth
        return np.column_stack(
            [
                self.left + self.width / 2 - x / self._unit,
                self.top + self.height / 2 - y / self._unit,
            ]
        )

    def pieces(self, curve: Floats) -> list[Floats]:
        """(n, 2) pixels of each piece inside the rectangle."""
        return [self.pixels(piece) for piece in cut(curve, self._edges())]

    def inside(self, points: Floats) -> NDArray[np.bool_]:
        """(n,) True for unit vectors (n, 3) inside the rectangle."""
        sides: Floats = (points @ self._edges().T).min(axis=1)
        return sides >= 0

    def frame(self) -> tuple[Floats, Floats]:
        """Right ascension less that of the middle (-180 to 180), and declination, along the rectangle."""
        east, north, middle = self._axes()
        along = np.linspace(-1, 1, 41)[:, None]
        right, up = self.width / 2 * self._unit * east, self.height / 2 * self._unit * north
        rim = middle + np.concatenate(
            [along * right + up, along * right - up, right + along * up, along * up - right]
        )
        ra, dec = angles(rim)
        return (ra - self.ra + 180) % 360 - 180, dec

    @property
    def _unit(self) -> float:
        return float(np.radians(self.degrees_per_pixel))

    def _axes(self) -> Floats:
        """Unit vectors to the east, to the north and to the middle."""
        lon, lat = np.radians([self.ra, self.dec])
        return np.array(
            [
                [-np.sin(lon), np.cos(lon), 0.0],
                [-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)],
                [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)],
            ]
        )

    def _edges(self) -> Floats:
        east, north, middle = self._axes()
        right, up = self.width / 2 * self._unit * middle, self.height / 2 * self._unit * middle
        return np.array([right - east, right + east, up - north, up + north])
