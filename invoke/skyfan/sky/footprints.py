"""Footprints of images on the sky: positions, outlines from STC-S regions, and the fields that they form."""

import re
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Corners = NDArray[np.float64]
"""(n, 2): right ascension and declination in degrees, ICRS."""
_SHAPES = "POLYGON|CIRCLE|ELLIPSE|BOX|RANGE"
_SHAPE = re.compile(rf"\b({_SHAPES})((?:\s+(?!{_SHAPES})\S+)*)")
_PUNCTUATION = re.compile("[(),'\"]")
_FRAMES = {
    "GALACTIC": "galactic",
    "FK4": "fk4",
    "B1950": "fk4",
    "ECLIPTIC": "barycentricmeanecliptic",
}
"""Names in astropy of frames that are not ICRS to a fraction of a pixel."""
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_LARGEST_FIELD = 15.0
"""Degrees: if all images are within this radius, they form one field."""
_FIELD_RADIUS = 0.7
"""Degrees: typical radius of a field otherwise."""


@dataclass(frozen=True)
class Footprints:
    """Positions of images, and their regions where known."""

    ra: Floats
    """(n,) degrees, ICRS."""
    dec: Floats
    regions: list[str | None]
    """(n,) STC-S."""

    def __len__(self) -> int:
        return len(self.ra)

    def outlines(self, indices: NDArray[np.intp]) -> list[Corners]:
        """The outlines of the images with these indices."""
        return [corners for index in indices for corners in parse(self.regions[index])]


NO_FOOTPRINTS = Footprints(np.empty(0), np.empty(0), [])


@dataclass
class FootprintCollector:
    """Collects footprints from tables with s_ra, s_dec and s_region."""

    _ra: list[Floats] = field(default_factory=list)
    _dec: list[Floats] = field(default_factory=list)
    _regions: list[str | None] = field(default_factory=list)

    def add(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Adds the rows that have a position."""
        rows = rows.filter(pc.and_(pc.is_finite(rows["s_ra"]), pc.is_finite(rows["s_dec"])))
        self._ra.append(rows["s_ra"].to_numpy(zero_copy_only=False) % 360)
        self._dec.append(rows["s_dec"].to_numpy(zero_copy_only=False))
        self._regions += rows["s_region"].to_pylist()

    def finish(self) -> Footprints:
        """All footprints so far."""
        empty = [np.empty(0)]
        return Footprints(
            np.concatenate(self._ra or empty), np.concatenate(self._dec or empty), self._regions
        )


def parse(region: str | None) -> list[Corners]:
    """The outlines of the shapes in an STC-S region, in any of the spellings of ObsCore. Skips ellipses.

    Upper or lower case, with parentheses and commas or without, alone or in a Union; other frames than ICRS
    are converted.
    """
    outlines: list[Corners] = []
    text = _PUNCTUATION.sub(" ", region or "").upper()
    for shape, rest in _SHAPE.findall(text):
        values = np.array([float(word) for word in rest.split() if _NUMBER.fullmatch(word)])
        if shape == "POLYGON" and len(values) >= 6 and len(values) % 2 == 0:
            outlines.append(values.reshape(-1, 2))
        elif shape == "CIRCLE" and len(values) == 3:
            outlines.append(_circle(*values))
        elif shape == "BOX" and len(values) == 4:
            ra, dec, half = values[0], values[1], values[2:] / 2
            side = half[0] / max(np.cos(np.radians(dec)), 1e-9)
            outlines.append(_rectangle(ra - side, ra + side, dec - half[1], dec + half[1]))
        elif shape == "RANGE" and len(values) == 4:
            outlines.append(_rectangle(*values))
    frame = next((name for word, name in _FRAMES.items() if word in text.split()), None)
    return [_icrs(corners, frame) for corners in outlines] if frame else outlines


def _rectangle(west: float, east: float, south: float, north: float) -> Corners:
    return np.array([(west, south), (east, south), (east, north), (west, north)])


def _icrs(corners: Corners, frame: str) -> Corners:
    from astropy.coordinates import SkyCoord  # half a second, and regions in other frames are rare

    sky = SkyCoord(corners[:, 0], corners[:, 1], unit="deg", frame=frame).icrs
    return np.column_stack([sky.ra.deg, sky.dec.deg])


def _circle(ra: float, dec: float, radius: float) -> Corners:
    (centre,) = vectors(np.array([ra]), np.array([dec]))
    east = np.array([-np.sin(np.radians(ra)), np.cos(np.radians(ra)), 0.0])
    turn = np.linspace(0, 2 * np.pi, 33)[:, None]
    rim = np.cos(turn) * east + np.sin(turn) * np.cross(centre, east)
    size = np.radians(radius)
    return np.column_stack(angles(np.cos(size) * centre + np.sin(size) * rim))


@dataclass(frozen=True)
class Field:
    """A group of images that are close to each other."""

    ra: float
    """Centre, degrees."""
    dec: float
    radius: float
    """Degrees from the centre to the farthest image."""
    images: NDArray[np.intp]
    """Indices of its images."""


def fields(footprints: Footprints, maximum: int = 3) -> list[Field]:
    """The fields with the most images, up to `maximum`; a single one if all images are close together."""
    if not len(footprints):
        return []
    xyz = vectors(footprints.ra, footprints.dec)
    whole = _field(xyz, np.arange(len(xyz)))
    if whole.radius <= _LARGEST_FIELD and (whole.radius <= 2 * _FIELD_RADIUS or maximum == 1):
        return [whole]
    remaining = np.arange(len(xyz))
    chosen: list[Field] = []
    while len(remaining) and len(chosen) < maximum:
        # Cells of about the radius: the mean of the fullest cell is the centre, near images belong to it.
        cells = np.round(xyz[remaining] / np.radians(_FIELD_RADIUS)).astype(np.int64)
        _, cell, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
        centre = xyz[remaining[cell.ravel() == np.argmax(counts)]].mean(axis=0)
        is_near = separation(xyz[remaining], centre) <= 2 * _FIELD_RADIUS
        if not is_near.any():
            break
        chosen.append(_field(xyz, remaining[is_near]))
        remaining = remaining[~is_near]
    if not len(remaining) and whole.radius <= _LARGEST_FIELD and len(chosen) > 1:
        return [whole]
    return chosen


def _field(xyz: Floats, images: NDArray[np.intp]) -> Field:
    centre = xyz[images].mean(axis=0)
    radius = float(separation(xyz[images], centre).max())
    ra, dec = angles(centre[None])
    return Field(float(ra[0]), float(dec[0]), radius, images)


def vectors(ra: Floats, dec: Floats) -> Floats:
    """Unit vectors (n, 3) of positions in degrees."""
    lon, lat = np.radians(ra), np.radians(dec)
    return np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])


def angles(xyz: Floats) -> tuple[Floats, Floats]:
    """Right ascension (0 to 360) and declination in degrees of vectors (n, 3) of any length."""
    ra = np.degrees(np.arctan2(xyz[:, 1], xyz[:, 0])) % 360
    return ra, np.degrees(np.arctan2(xyz[:, 2], np.hypot(xyz[:, 0], xyz[:, 1])))


def separation(xyz: Floats, direction: Floats) -> Floats:
    """Degrees (n,) between unit vectors (n, 3) and a vector of any length except 0."""
    length = float(np.linalg.norm(direction))
    unit = direction / length if length else np.array([1.0, 0.0, 0.0])
    distance: Floats = np.degrees(2 * np.arcsin(np.clip(np.linalg.norm(xyz - unit, axis=1) / 2, 0, 1)))
    return distance
