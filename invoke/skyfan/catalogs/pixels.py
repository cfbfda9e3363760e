"""Which HEALPix pixels become partitions: as large as can be with no more than so many rows."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .sphere import ORDER

FINEST = 18
"""No partition is smaller than a pixel of this order, 0.8 arcsec: there it may exceed the limit."""

Below = Callable[[NDArray[np.int64]], NDArray[np.int64]]
"""How many rows have keys below each edge."""


class Pixel(NamedTuple):
    """A partition: a nested HEALPix pixel, and how many rows lie in it."""

    order: int
    number: int
    rows: int

    @property
    def start(self) -> int:
        """Its first key."""
        return self.number << (2 * (ORDER - self.order))

    @property
    def stop(self) -> int:
        """The key behind its last."""
        return (self.number + 1) << (2 * (ORDER - self.order))

    @property
    def path(self) -> str:
        """Its file below the data set, as HATS names it."""
        folder = self.number // 10_000 * 10_000
        return f"dataset/Norder={self.order}/Dir={folder}/Npix={self.number}.parquet"


def partitions(below: Below, limit: int) -> Iterator[Pixel]:
    """The partitions in the order of keys. A pixel with more than `limit` rows is split into four."""
    yield from _partitions(below, limit, 0, np.arange(13))


def _partitions(below: Below, limit: int, order: int, numbers: NDArray[np.int64]) -> Iterator[Pixel]:
    counts = np.diff(below(numbers.astype(np.int64) << (2 * (ORDER - order))))
    for number, rows in zip(numbers[:-1].tolist(), counts.tolist(), strict=True):
        if rows > limit and order < FINEST:
            yield from _partitions(below, limit, order + 1, 4 * number + np.arange(5))
        elif rows:
            yield Pixel(order, number, rows)


def ranges(below: Below, start: int, stop: int, limit: int) -> Iterator[tuple[int, int]]:
    """Ranges of keys that part [start, stop) into pieces of at most `limit` rows."""
    low, high = below(np.array([start, stop])).tolist()
    if high - low <= limit or stop - start == 1:
        if high > low:
            yield start, stop
        return
    middle = (start + stop) // 2
    yield from ranges(below, start, middle, limit)
    yield from ranges(below, middle, stop, limit)
