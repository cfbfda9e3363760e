"""The stars of each image that find its offset: those with the best positions, from all partitions of a data
set.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import detections as detecting
from .detections import CROWDED, Detections
from .groups import Floats, Indices
from .images import Images
from .overlaps import Stars

MOST = 300
"""Stars per image."""
Chosen = tuple[Indices, NDArray[np.int64], Floats, Floats]
"""Of stars: image, SOURCE_ID, unit vector and error."""


def of_partition(folder: Path, number: int, start: int, stop: int, images: Images) -> Chosen:
    """The best stars with keys from `start` to `stop`, up to MOST per image, of data set `number`."""
    key_range = np.array([[start, stop]], np.int64)
    found = detecting.read({number: folder}, key_range, images, None)
    is_good = found.is_fit & ((found.flags & CROWDED) == 0)
    return _best(found.take(np.flatnonzero(is_good)))


def _best(found: Detections) -> Chosen:
    rows = _first(found.image, found.sigma, found.ident)
    return (
        found.image[rows].astype(np.int32),
        found.ident[rows],
        found.xyz[rows],
        found.sigma[rows].astype(np.float32),
    )


def _first(image: Indices, sigma: Floats, ident: NDArray[np.int64]) -> Indices:
    """Rows of the MOST smallest errors of each image, by image."""
    order = np.lexsort((ident, sigma, image))
    sorted_image = image[order]
    begin = np.searchsorted(sorted_image, sorted_image)
    rows: Indices = order[np.arange(len(order)) - begin < MOST]
    return rows


def merged(parts: list[Chosen], count: int) -> Stars:
    """The stars of `count` images, from all partitions in any order."""
    image, ident, xyz, sigma = (np.concatenate(each) for each in zip(*parts, strict=True))
    rows = _first(image, sigma, ident)
    start = np.searchsorted(image[rows], np.arange(count + 1))
    return Stars(start, xyz[rows], sigma[rows].astype(np.float64))
