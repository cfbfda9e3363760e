"""Aperture sums that neighbours and bad pixels do not spoil.

SExtractor's MASK_TYPE CORRECT: inside an aperture, a pixel that belongs to another source or must not be used
is replaced by the one opposite it about the source's centre, or by 0 where that one is no better (Bertin &
Arnouts 1996, section 7.4). sep can only leave such pixels out and scale the rest up, which in a crowded field
costs a tenth of a magnitude; so the plain sums are sep's and the replacement is done here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Pixels looked at in one go: bounds the memory, and keeps the arrays within the processor's cache as far as
# that goes.
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Spoiled:
    """The unusable pixels around sources, flat: whose, where from its centre, and what replacing them adds.

    ``source`` (m,) int64; ``dx``, ``dy`` (m,) float64 in pixels; ``flux``, ``variance`` (m,) float64,
    replacement less what is there.
    """

    source: NDArray[np.int64]
    dx: Floats
    dy: Floats
    flux: Floats
    variance: Floats

    def corrections(self, weight: Floats, count: int) -> tuple[Floats, Floats, Floats]:
        """Sums over each of ``count`` sources of flux, variance and area; ``weight`` (m,) is each pixel's."""
        inside = np.flatnonzero(weight)
        source, weight = self.source[inside], weight[inside]
        values = (weight * self.flux[inside], weight * self.variance[inside], weight)
        flux, variance, area = (np.bincount(source, v, count).astype(np.float64) for v in values)
        return flux, variance, area


def find_spoiled(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    mask: NDArray[np.bool_],
    segmentation: NDArray[np.int32],
    x: Floats,
    y: Floats,
    reach_x: Floats,
    reach_y: Floats,
) -> Spoiled:
    """Look at the box of half sides ``reach_x``, ``reach_y`` pixels around each source at ``x``, ``y``.

    All four (n,), positions 0-based; source i owns i + 1 in the map.

    ``data`` and ``variance`` (ny, nx) hold 0 where masked.
    """
    ny, nx = data.shape
    flat_data, flat_variance, flat_mask, flat_map = (a.ravel() for a in (data, variance, mask, segmentation))
    parts = []
    for box in boxes(x, y, reach_x, reach_y, (ny, nx)):
        source, column, row = box
        pixel = row * nx + column
        owner = flat_map[pixel]
        bad = np.flatnonzero((owner != 0) & (owner != source + 1) | flat_mask[pixel])
        source, column, row, pixel = source[bad], column[bad], row[bad], pixel[bad]
        # The pixel opposite the centre, as SExtractor rounds it.
        column2 = (2 * x[source] + 0.49999).astype(np.int64) - column
        row2 = (2 * y[source] + 0.49999).astype(np.int64) - row
        exists = (column2 >= 0) & (column2 < nx) & (row2 >= 0) & (row2 < ny)
        pixel2 = np.where(exists, row2 * nx + column2, pixel)
        owner2 = flat_map[pixel2]
        usable = exists & ((owner2 == 0) | (owner2 == source + 1)) & ~flat_mask[pixel2]
        parts.append(
            (
                source,
                column - x[source],
                row - y[source],
                np.where(usable, flat_data[pixel2], 0.0) - flat_data[pixel],
                np.where(usable, flat_variance[pixel2], 0.0) - flat_variance[pixel],
            )
        )
    if not parts:
        none = np.zeros(0)
        return Spoiled(np.zeros(0, np.int64), none, none, none, none)
    return Spoiled(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def boxes(
    x: Floats, y: Floats, reach_x: Floats, reach_y: Floats, shape: tuple[int, int]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """All pixels of the boxes around sources, as flat arrays (source, column, row), some at a time."""
    ny, nx = shape
    left = np.clip(np.floor(x - reach_x), 0, nx - 1).astype(np.int64)
    right = np.clip(np.ceil(x + reach_x), 0, nx - 1).astype(np.int64)
    bottom = np.clip(np.floor(y - reach_y), 0, ny - 1).astype(np.int64)
    top = np.clip(np.ceil(y + reach_y), 0, ny - 1).astype(np.int64)
    width = right - left + 1
    area = width * (top - bottom + 1)
    ends = np.cumsum(area)
    first = 0
    while first < len(x):
        done = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, done + _CHUNK, side="right")))
        some = slice(first, last)
        source = np.repeat(np.arange(first, last), area[some])
        starts = np.cumsum(area[some]) - area[some]
        within = np.arange(len(source)) - np.repeat(starts, area[some])
        row, column = np.divmod(within, width[source])
        yield source, column + left[source], row + bottom[source]
        first = last


def disc_weight(distance: Floats, radius: float) -> Floats:
    """Share of a pixel at this distance from the centre that lies in a circle: its edge is a pixel wide."""
    return np.clip(radius + 0.5 - distance, 0.0, 1.0)


def ellipse_weight(dx: Floats, dy: Floats, cxx: Floats, cyy: Floats, cxy: Floats, radius: Floats) -> Floats:
    """1 for a pixel with cxx dx^2 + cyy dy^2 + cxy dx dy <= radius^2, else 0; all arrays (m,)."""
    return (cxx * dx * dx + cyy * dy * dy + cxy * dx * dy <= radius * radius).astype(np.float64)
