"""The stars of each image that find its offset: those with the best positions.

Those of a partition lie in a file of their own, sorted by image. Only where those of an image lie is kept in
memory: a survey has more stars than fit there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import files
from ..catalogs import healpix
from ..sky import footprints
from . import detections as detecting
from . import overlaps, tiles
from .detections import CROWDED
from .groups import Floats, Indices
from .images import Images
from .overlaps import Overlaps, Stars
from .references import Reference

MOST = 300
"""Stars per image."""
ROW = np.dtype(
    [
        ("image", "<i4"),
        ("ident", "<i8"),
        ("xyz", "<f8", 3),
        ("sigma", "<f4"),
        ("mag", "<f4"),
        ("error", "<f4"),
    ]
)
"""Image, SOURCE_ID, unit vector, error of the position, magnitude and its error of a star; NaN if unknown."""


@dataclass(frozen=True)
class Places:
    """Where stars lie: rows of files, sorted by image."""

    image: Indices
    """(n,); an image that lies on several partitions has several."""
    file: Indices
    """(n,) number of the file."""
    start: Indices
    """(n,) first row."""
    stop: Indices
    """(n,) end of the rows."""

    @classmethod
    def joined(cls, parts: Sequence[tuple[Indices, Indices, Indices]]) -> "Places":
        """From the images, starts and stops of each file, in the order of files."""
        file = np.repeat(np.arange(len(parts)), [len(image) for image, _, _ in parts])
        image, start, stop = (
            np.concatenate([np.empty(0, np.intp), *(part[n] for part in parts)]) for n in range(3)
        )
        order = np.lexsort((file, image))
        return cls(image[order], file[order], start[order], stop[order])

    def of(self, images: Indices) -> "Places":
        """Those of some images (m,), ascending, which are numbered from 0 in the result."""
        low, high = np.searchsorted(self.image, images), np.searchsorted(self.image, images, side="right")
        rows = np.concatenate([np.empty(0, np.intp), *map(np.arange, low, high)])
        number = np.repeat(np.arange(len(images)), high - low)
        return Places(number, self.file[rows], self.start[rows], self.stop[rows])


def of_partition(
    folder: Path, number: int, start: int, stop: int, images: Images, magnitude: str | None = None
) -> NDArray[np.void]:
    """Rows (n,) of ROW: the stars of data set `number` with keys from `start` to `stop`."""
    key_range = np.array([[start, stop]], np.int64)
    found = detecting.read({number: folder}, key_range, images, magnitude)
    found = found.take(np.flatnonzero(found.is_fit & ((found.flags & CROWDED) == 0)))
    rows = np.empty(len(found), ROW)
    for name in ROW.fields or ():
        rows[name] = getattr(found, name)
    return rows


def write(rows: NDArray[np.void], path: Path) -> tuple[Indices, Indices, Indices]:
    """Writes the best of the rows (n,) of ROW, up to MOST per image.

    Returns the images, and where the stars of each begin and end in the file.
    """
    table = rows[_best(rows)]
    with files.replace(path) as part:
        table.tofile(part)
    own, first, count = np.unique(table["image"], return_index=True, return_counts=True)
    return own.astype(np.intp), first, first + count


def rows_of(paths: Mapping[int, Path], places: Places) -> NDArray[np.void]:
    """Rows (n,) of ROW by image, with the numbers of `places`, up to MOST of each; files are by number."""
    parts = [np.empty(0, ROW)]
    for number, file, start, stop in zip(
        *(each.tolist() for each in (places.image, places.file, places.start, places.stop)), strict=True
    ):
        parts.append(np.fromfile(paths[file], ROW, stop - start, offset=start * ROW.itemsize))
        parts[-1]["image"] = number
    table = np.concatenate(parts)
    return table[_best(table)]


def of_rows(rows: NDArray[np.void], count: int) -> Stars:
    """The stars of `count` images from rows (n,) by image."""
    first: Indices = np.searchsorted(rows["image"], np.arange(count + 1))
    return Stars(first, rows["xyz"].copy(), rows["sigma"].astype(np.float64))


def around(images: Images, numbers: Indices) -> NDArray[np.int64]:
    """Ranges (n, 2) of keys of all stars that can be on images (m,), ascending and disjoint."""
    ra, dec = footprints.angles(images.centre[numbers])
    radius = np.degrees(images.radius[numbers]) + overlaps.SEARCH / 3600
    circles = [healpix.circle(*each) for each in zip(ra.tolist(), dec.tolist(), radius.tolist(), strict=True)]
    whole = np.concatenate([np.empty((0, 2), np.int64), *circles])
    return tiles.merged(whole[:, 0], whole[:, 1]) if len(whole) else whole


def ties(own: Stars, others: Sequence[tuple[Floats, Floats]]) -> Overlaps:
    """The overlaps of images (m,) with others: unit vectors (k, 3) and errors in arcseconds (k,) for each."""
    count = len(others)
    start = np.append(own.start, own.start[-1] + np.cumsum([len(sigma) for _, sigma in others]))
    xyz = np.concatenate([own.xyz, *(xyz for xyz, _ in others)])
    sigma = np.concatenate([own.sigma, *(sigma for _, sigma in others)])
    pairs = np.column_stack([np.arange(count), np.arange(count) + count])
    return overlaps.solve(Stars(start.astype(np.intp), xyz, sigma), pairs)


def near(reference: Reference, images: Images, numbers: Indices) -> list[Indices]:
    """The stars of the reference near each of some images (m,)."""
    ra, dec = footprints.angles(images.centre[numbers])
    radius = np.degrees(images.radius[numbers]) + overlaps.SEARCH / 3600
    return [reference.near(*place) for place in zip(ra.tolist(), dec.tolist(), radius.tolist(), strict=True)]


def _best(rows: NDArray[np.void]) -> Indices:
    """Those of the MOST smallest errors of each image, by image."""
    order = np.lexsort((rows["ident"], rows["sigma"], rows["image"]))
    image = rows["image"][order]
    begin = np.searchsorted(image, image)
    best: Indices = order[np.arange(len(order)) - begin < MOST]
    return best
