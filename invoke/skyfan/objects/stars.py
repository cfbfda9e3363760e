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
from . import overlaps, references, tiles
from .detections import CROWDED
from .groups import Floats, Indices
from .images import Images
from .overlaps import Overlaps, Stars
from .references import Reference

MOST = 300
"""Stars per image."""
_ROW = np.dtype([("ident", "<i8"), ("xyz", "<f8", 3), ("sigma", "<f4")])


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


def write(
    folder: Path, number: int, start: int, stop: int, images: Images, path: Path
) -> tuple[Indices, Indices, Indices]:
    """Writes the best stars with keys from `start` to `stop`, up to MOST per image, of data set `number`.

    Returns the images, and where the stars of each begin and end in the file.
    """
    key_range = np.array([[start, stop]], np.int64)
    found = detecting.read({number: folder}, key_range, images, None)
    found = found.take(np.flatnonzero(found.is_fit & ((found.flags & CROWDED) == 0)))
    rows = _best(found.image, found.sigma.astype(np.float32), found.ident)
    table = np.empty(len(rows), _ROW)
    table["ident"], table["xyz"], table["sigma"] = found.ident[rows], found.xyz[rows], found.sigma[rows]
    with files.replace(path) as part:
        table.tofile(part)
    own, first, count = np.unique(found.image[rows], return_index=True, return_counts=True)
    return own.astype(np.intp), first, first + count


def read(paths: Mapping[int, Path], places: Places, count: int) -> Stars:
    """The stars of `count` images, up to MOST each, from where they lie in files by number."""
    parts = [np.empty(0, _ROW)]
    for file, start, stop in zip(
        places.file.tolist(), places.start.tolist(), places.stop.tolist(), strict=True
    ):
        offset = start * _ROW.itemsize
        parts.append(np.fromfile(paths[file], _ROW, stop - start, offset=offset))
    table = np.concatenate(parts)
    image = np.repeat(places.image, places.stop - places.start)
    rows = _best(image, table["sigma"], table["ident"])
    first: Indices = np.searchsorted(image[rows], np.arange(count + 1))
    return Stars(first, table["xyz"][rows], table["sigma"][rows].astype(np.float64))


def around(images: Images, numbers: Indices) -> NDArray[np.int64]:
    """Ranges (n, 2) of keys of all stars that can be on images (m,), ascending and disjoint."""
    ra, dec = footprints.angles(images.centre[numbers])
    radius = np.degrees(images.radius[numbers]) + overlaps.SEARCH / 3600
    circles = [healpix.circle(*each) for each in zip(ra.tolist(), dec.tolist(), radius.tolist(), strict=True)]
    whole = np.concatenate([np.empty((0, 2), np.int64), *circles])
    return tiles.merged(whole[:, 0], whole[:, 1]) if len(whole) else whole


def ties(own: Stars, reference: Reference, images: Images, numbers: Indices) -> Overlaps:
    """The overlaps of images (m,) with the stars of a reference, at the epoch of each image."""
    count = len(numbers)
    ra, dec = footprints.angles(images.centre[numbers])
    radius = np.degrees(images.radius[numbers]) + overlaps.SEARCH / 3600
    year = references.years(images.mjd[numbers])
    found = [
        reference.at(reference.near(*place), float(when))
        for *place, when in zip(ra.tolist(), dec.tolist(), radius.tolist(), year, strict=True)
    ]
    sizes = [len(sigma) for _, sigma in found]
    start = np.append(own.start, own.start[-1] + np.cumsum(sizes))
    xyz = np.concatenate([own.xyz, *(xyz for xyz, _ in found)])
    sigma = np.concatenate([own.sigma, *(sigma for _, sigma in found)])
    pairs = np.column_stack([np.arange(count), np.arange(count) + count])
    return overlaps.solve(Stars(start.astype(np.intp), xyz, sigma), pairs)


def _best(image: Indices, sigma: Floats, ident: NDArray[np.int64]) -> Indices:
    """Rows of the MOST smallest errors of each image, by image."""
    order = np.lexsort((ident, sigma, image))
    sorted_image = image[order]
    begin = np.searchsorted(sorted_image, sorted_image)
    rows: Indices = order[np.arange(len(order)) - begin < MOST]
    return rows
