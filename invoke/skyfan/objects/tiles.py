"""Pieces of the sky that are matched one by one, each with a margin around it, and what keeps them
independent.

An object belongs to the tile that its position lies in, or, where an offset has moved it into one without
detections, to the tile of its earliest detection. A tile sees all detections in a ring of small HEALPix
pixels around it, so that it knows all of an object on its border.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import hpgeom
import numpy as np
from numpy.typing import NDArray

from ..catalogs import healpix
from ..catalogs.dataset import Partition
from .groups import Indices

Keys = NDArray[np.int64]
CountBelow = Callable[[Keys], Keys]

FINEST_RING = 20
_DEEPEST_BELOW_RING = 2
"""Orders between the pixels of the ring and the smallest tile, so that a tile is larger than its margin."""
_INNER = 3
"""Orders between the pixels of the ring and those that say what is near the tile."""


def ring_order(arcsec: float) -> int:
    """The order of pixels of a ring inside of which all within `arcsec` of a detection near the tile is
    known.

    Near means in a pixel beside the tile that is _INNER orders finer: at most a quarter of a pixel of the
    ring away, where the narrowest way through the ring is half of one, even where pixels are distorted.
    """
    for order in range(FINEST_RING, -1, -1):
        if hpgeom.nside_to_resolution(1 << order, units="arcseconds") / 4 >= arcsec:
            return order
    return 0


def split(count_below: CountBelow, limit: int, ring: int) -> list[Partition]:
    """Tiles that cover the sky, in the order of keys: pixels of up to `limit` detections, where they are not
    too small. Those without detections are among them: an offset can move an object there.
    """
    deepest = max(0, ring - _DEEPEST_BELOW_RING)
    return sorted(_split(count_below, limit, deepest, 0, np.arange(12)), key=lambda tile: tile.start)


def _split(
    count_below: CountBelow, limit: int, deepest: int, order: int, pixels: Keys
) -> Iterator[Partition]:
    counts = _counts(count_below, order, pixels)
    is_split = (counts > limit) & (order < deepest)
    if is_split.any():
        children = (4 * pixels[is_split][:, None] + np.arange(4)).ravel()
        yield from _split(count_below, limit, deepest, order + 1, children)
    for pixel, rows in zip(pixels[~is_split].tolist(), counts[~is_split].tolist(), strict=True):
        yield Partition(order, pixel, rows)


def _counts(count_below: CountBelow, order: int, pixels: Keys) -> Keys:
    edges = np.unique(np.concatenate([pixels, pixels + 1])).astype(np.int64)
    below = count_below(edges << (2 * (healpix.ORDER - order)))
    counts: Keys = below[np.searchsorted(edges, pixels + 1)] - below[np.searchsorted(edges, pixels)]
    return counts


def _neighbours(order: int, pixels: Keys) -> Keys:
    """(n, 8), -1 where there is none."""
    if not len(pixels):
        return np.empty((0, 8), np.int64)
    beside: Keys = hpgeom.neighbors(1 << order, pixels).reshape(-1, 8).astype(np.int64)
    return beside


def ranges(tile: Partition, ring: int) -> Keys:
    """Ranges (n, 2) of keys, ascending and disjoint, of the tile and of the pixels of order `ring` around
    it.
    """
    depth = ring - tile.order
    if depth <= 0:  # the ring is wider than the tile
        own = np.array([tile.pixel >> (-2 * depth)])
        pixels = np.unique(np.append(_neighbours(ring, own), own))
    else:
        side = np.arange(1 << depth, dtype=np.int64)
        low, high = np.zeros_like(side), np.full_like(side, (1 << depth) - 1)
        x, y = np.concatenate([side, side, low, high]), np.concatenate([low, high, side, side])
        border = (tile.pixel << (2 * depth)) + _interleaved(x) + 2 * _interleaved(y)
        pixels = np.unique(_neighbours(ring, np.unique(border)))
        pixels = pixels[(pixels >> (2 * depth)) != tile.pixel]
    pixels = pixels[pixels >= 0]
    shift = 2 * (healpix.ORDER - ring)
    starts = np.append(pixels << shift, tile.start)
    stops = np.append((pixels + 1) << shift, tile.stop)
    return merged(starts, stops)


def _interleaved(values: Keys) -> Keys:
    """The bits of numbers below 2**20 with a 0 between each."""
    spread = np.zeros_like(values)
    for bit in range(FINEST_RING + 1):
        spread |= ((values >> bit) & 1) << (2 * bit)
    return spread


def merged(starts: Keys, stops: Keys) -> Keys:
    """Ranges (n, 2), ascending and disjoint, of the same keys as ranges with these starts and stops."""
    order = np.argsort(starts)
    starts, stops = starts[order], np.maximum.accumulate(stops[order])
    begins = np.append(True, starts[1:] > stops[:-1])
    return np.column_stack([starts[begins], stops[np.append(begins[1:], True)]])


def is_near(tile: Partition, ring: int, keys: Keys) -> NDArray[np.bool_]:
    """Whether keys (n,) are in the tile, or in a pixel beside it that is _INNER orders finer than the
    ring.
    """
    inside = (keys >= tile.start) & (keys < tile.stop)
    order = max(ring + _INNER, tile.order)
    shift = 2 * (healpix.ORDER - order)
    pixels, inverse = np.unique(keys[~inside] >> shift, return_inverse=True)
    beside = _neighbours(order, pixels)
    touches = ((beside >> (2 * (order - tile.order))) == tile.pixel) & (beside >= 0)
    near = inside.copy()
    near[~inside] = touches.any(axis=1)[inverse.ravel()]
    return near


def rows_in(sorted_keys: Keys, key_ranges: Keys) -> Indices:
    """Rows of sorted keys that are in the ranges."""
    low, high = np.searchsorted(sorted_keys, key_ranges[:, 0]), np.searchsorted(sorted_keys, key_ranges[:, 1])
    some = high > low
    parts = [np.arange(a, b) for a, b in zip(low[some].tolist(), high[some].tolist(), strict=True)]
    return np.concatenate(parts) if parts else np.empty(0, np.intp)


@dataclass(frozen=True)
class Empty:
    """The tiles without detections."""

    start: Keys
    """(n,) their first keys, ascending."""
    stop: Keys
    """(n,) the ends of their keys."""

    @classmethod
    def of(cls, every: Iterable[Partition]) -> "Empty":
        """Those of all tiles."""
        ranges = [(tile.start, tile.stop) for tile in every if not tile.rows]
        return cls(*np.array(ranges, np.int64).reshape(-1, 2).T)

    def has(self, keys: Keys) -> NDArray[np.bool_]:
        """Whether keys (n,) are in one of them."""
        if not len(self.start):
            return np.zeros(len(keys), bool)
        at = np.maximum(np.searchsorted(self.start, keys, side="right") - 1, 0)
        inside: NDArray[np.bool_] = (self.start[at] <= keys) & (keys < self.stop[at])
        return inside
