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
from . import detections as detecting
from .detections import CROWDED
from .groups import Floats, Indices
from .images import Images
from .overlaps import Stars

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


def _best(image: Indices, sigma: Floats, ident: NDArray[np.int64]) -> Indices:
    """Rows of the MOST smallest errors of each image, by image."""
    order = np.lexsort((ident, sigma, image))
    sorted_image = image[order]
    begin = np.searchsorted(sorted_image, sorted_image)
    rows: Indices = order[np.arange(len(order)) - begin < MOST]
    return rows
