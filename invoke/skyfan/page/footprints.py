"""Where images lie on the sky, as much of it as a map can show."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..plans import footprints

Floats = NDArray[np.float64]
Corners = footprints.Corners


@dataclass(frozen=True)
class Footprints:
    """Positions of images, and the outlines of those for which they are known."""

    ra: Floats
    """(n,) degrees, ICRS."""
    dec: Floats
    regions: list[str | None]
    """(n,) STC-S; taken apart only where they are drawn."""

    def __len__(self) -> int:
        return len(self.ra)

    def outlines(self, which: NDArray[np.intp]) -> list[Corners]:
        """The corners of some of them."""
        return [corners for number in which for corners in footprints.parse(self.regions[number])]


NOWHERE = Footprints(np.empty(0), np.empty(0), [])


@dataclass
class Gatherer:
    """Takes tables with s_ra, s_dec and s_region, a batch at a time."""

    _ra: list[Floats] = field(default_factory=list)
    _dec: list[Floats] = field(default_factory=list)
    _regions: list[str | None] = field(default_factory=list)

    def add(self, batch: pa.RecordBatch | pa.Table) -> None:
        """The rows that have a position."""
        placed = batch.filter(pc.and_(pc.is_finite(batch["s_ra"]), pc.is_finite(batch["s_dec"])))
        self._ra.append(placed["s_ra"].to_numpy(zero_copy_only=False) % 360)
        self._dec.append(placed["s_dec"].to_numpy(zero_copy_only=False))
        self._regions += placed["s_region"].to_pylist()

    def finish(self) -> Footprints:
        """All that were taken."""
        empty = [np.empty(0)]
        return Footprints(
            np.concatenate(self._ra or empty), np.concatenate(self._dec or empty), self._regions
        )


@dataclass(frozen=True)
class Field:
    """A part of the sky to look at closely."""

    ra: float
    """Its middle, degrees."""
    dec: float
    radius: float
    """Degrees from there to the farthest image."""
    images: NDArray[np.intp]
    """Which of the footprints lie in it."""


_WHOLE = 15.0
_RADIUS = 0.7


def fields(found: Footprints, most: int = 3) -> list[Field]:
    """One field with all images where they lie within some degrees, else those with the most images."""
    if not len(found):
        return []
    xyz = vectors(found.ra, found.dec)
    whole = _field(xyz, np.arange(len(xyz)))
    if whole.radius <= _WHOLE and (whole.radius <= 2 * _RADIUS or most == 1):
        return [whole]
    left = np.arange(len(xyz))
    chosen: list[Field] = []
    while len(left) and len(chosen) < most:
        # Cells of about the radius; the fullest one says where to look, all images around it belong to it.
        cells = np.round(xyz[left] / np.radians(_RADIUS)).astype(np.int64)
        _, cell, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
        middle = xyz[left[cell.ravel() == np.argmax(counts)]].mean(axis=0)
        near = separation(xyz[left], middle) <= 2 * _RADIUS
        if not near.any():
            break
        chosen.append(_field(xyz, left[near]))
        left = left[~near]
    if not len(left) and whole.radius <= _WHOLE and len(chosen) > 1:
        return [whole]
    return chosen


def vectors(ra: Floats, dec: Floats) -> Floats:
    """Unit vectors (n, 3) of positions in degrees."""
    lon, lat = np.radians(ra), np.radians(dec)
    return np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])


def separation(xyz: Floats, other: Floats) -> Floats:
    """Degrees between unit vectors (n, 3) and a vector of any length that is not nought."""
    length = float(np.linalg.norm(other))
    towards = other / length if length else np.array([1.0, 0.0, 0.0])
    found: Floats = np.degrees(2 * np.arcsin(np.clip(np.linalg.norm(xyz - towards, axis=1) / 2, 0, 1)))
    return found


def _field(xyz: Floats, which: NDArray[np.intp]) -> Field:
    middle = xyz[which].mean(axis=0)
    radius = float(separation(xyz[which], middle).max())
    ra, dec = (
        np.degrees(np.arctan2(middle[1], middle[0])) % 360,
        np.degrees(np.arctan2(middle[2], np.hypot(*middle[:2]))),
    )
    return Field(float(ra), float(dec), radius, which)
