"""Aperture sums that neighbours and bad pixels do not spoil.

SExtractor's MASK_TYPE CORRECT: inside an aperture, a pixel that belongs to another source or must not be used
is replaced by the one opposite it about the source's centre, or by 0 where that one is no better
(SExtractor documentation, "MASK_TYPE"). sep can only leave such pixels out and scale the rest up, which in a
crowded field costs a tenth of a magnitude; so the plain sums are sep's, and what replacing changes is summed
here, of many sources at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .stamps import cut_outs

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Image = NDArray[np.float32]
Map = NDArray[np.int32]

# Rows of boxes, and pixels, looked at in one go: bounds the memory that a source as large as the image takes.
_ROWS, _PIXELS = 1 << 15, 1 << 16
# Circles up to this radius are summed over stamps, of so many pixels at once, where this share of the image
# is masked or in sources: there it is faster than pixel by pixel.
_LARGEST, _STAMPS, _CROWDED = 64.0, 1 << 17, 0.08


@dataclass(frozen=True)
class Ellipses:
    """Apertures cxx dx^2 + cyy dy^2 + cxy dx dy <= radius^2 about 0-based centres; arrays (n,), pixels."""

    x: Floats
    y: Floats
    cxx: Floats
    cyy: Floats
    cxy: Floats
    radius: Floats

    def reach(self) -> tuple[Floats, Floats]:
        """Half sides, along x and y, of the boxes that just hold the ellipses."""
        with np.errstate(divide="ignore", invalid="ignore"):
            shrink = self.radius / np.sqrt(np.maximum(self.cxx * self.cyy - self.cxy**2 / 4, 1e-30))
        return shrink * np.sqrt(self.cyy), shrink * np.sqrt(self.cxx)


def in_ellipses(
    data: Image, variance: Image, owner: Map, ellipses: Ellipses
) -> tuple[Floats, Floats, Floats, Floats]:
    """What replacing spoiled pixels adds to the sums of flux and variance; the spoiled area and its light.

    ``data`` and ``variance`` (ny, nx), background subtracted, 0 where masked; ``owner`` (ny, nx) the
    segmentation map, in which source i owns i + 1, with -1 where masked. Returns arrays (n,).

    A pixel is in an ellipse when its centre is, as in SExtractor.
    """
    e, n = ellipses, len(ellipses.x)
    flux, extra, area, light = np.zeros((4, n))
    for near in _spoiled(owner, e.x, e.y, *e.reach()):
        source = near.source
        dx, dy = near.column - e.x[source], near.row - e.y[source]
        square = e.cxx[source] * dx * dx + e.cyy[source] * dy * dy + e.cxy[source] * dx * dy
        spoiled = near.only(square <= e.radius[source] ** 2)
        source = spoiled.source
        more, more_variance = _replaced((data, variance), owner, spoiled, e.x, e.y)
        flux += np.bincount(source, more, n)
        extra += np.bincount(source, more_variance, n)
        area += np.bincount(source, minlength=n)
        light += np.bincount(source, data[spoiled.row, spoiled.column], n)
    return flux, extra, area, light


def in_circles(
    data: Image, variance: Image, owner: Map, x: Floats, y: Floats, radii: list[float]
) -> tuple[Floats, Floats]:
    """What replacing spoiled pixels adds to the sums of flux and variance in circles, (n, radii) each.

    As in_ellipses(); 0-based centres ``x`` and ``y``, (n,). A circle's edge is a ramp one pixel wide.
    """
    images, n = (data, variance), len(x)
    found = np.zeros((2, n, len(radii)))
    crowded = np.count_nonzero(owner) > _CROWDED * owner.size
    small = [k for k, radius in enumerate(radii) if crowded and radius <= _LARGEST]
    if small:
        found[:, :, small] = _over_stamps(images, owner, x, y, [radii[k] for k in small])
    others = sorted(set(range(len(radii))).difference(small))
    if others:
        found[:, :, others] = _by_pixel(images, owner, x, y, [radii[k] for k in others])
    return found[0], found[1]


def _by_pixel(images: tuple[Image, Image], owner: Map, x: Floats, y: Floats, radii: list[float]) -> Floats:
    """What in_circles() returns, (2, n, radii), from one spoiled pixel after another."""
    n = len(x)
    found = np.zeros((2, n, len(radii)))
    reach = np.full(n, max(radii) + 0.5)
    for near in _spoiled(owner, x, y, reach, reach):
        distance = np.hypot(near.column - x[near.source], near.row - y[near.source])
        inside = distance < reach[0]
        spoiled, distance = near.only(inside), distance[inside]
        added = _replaced(images, owner, spoiled, x, y)
        for k, radius in enumerate(radii):
            weight = _ramp(radius, distance)
            for i in (0, 1):
                found[i, :, k] += np.bincount(spoiled.source, weight * added[i], n)
    return found


def _over_stamps(images: tuple[Image, Image], owner: Map, x: Floats, y: Floats, radii: list[float]) -> Floats:
    """What in_circles() returns, (2, n, radii), from stamps about the centres of the opposites."""
    found = np.zeros((2, len(x), len(radii)))
    half = _half(max(radii))
    twice_x, twice_y = _twice(x), _twice(y)
    # About a point between two pixels such a stamp has an even side, about a pixel an odd one.
    parity = 2 * (twice_y & 1) + (twice_x & 1)
    for kind in range(4):
        group = np.flatnonzero(parity == kind)
        shape = 2 * half + 1 + kind // 2, 2 * half + 1 + kind % 2
        at_once = max(1, _STAMPS // (shape[0] * shape[1]))
        for start in range(0, len(group), at_once):
            some = group[start : start + at_once]
            top, left = (twice_y[some] >> 1) - half, (twice_x[some] >> 1) - half
            # Beyond the edge nothing is spoiled, and what is there instead of a spoiled pixel is 0.
            whose = cut_outs(owner, top, left, shape, 0)
            usable = (whose == 0) | (whose == (some + 1).astype(owner.dtype)[:, None, None])
            if usable.all():
                continue
            spoiled, added = ~usable, []
            for image in images:
                here = cut_outs(image, top, left, shape, 0)
                added.append(((here * usable)[:, ::-1, ::-1] - here) * spoiled)
            down, right = (
                ((first - centre)[:, None] + np.arange(side)) ** 2
                for first, centre, side in zip((top, left), (y[some], x[some]), shape, strict=True)
            )
            distance = down[:, :, None] + right[:, None, :]
            np.sqrt(distance, out=distance)
            for k, radius in enumerate(radii):
                rim = half - _half(radius)
                part = slice(None), slice(rim, shape[0] - rim), slice(rim, shape[1] - rim)
                weight = _ramp(radius, distance[part])
                for i in (0, 1):
                    found[i, some, k] = np.einsum("mij,mij->m", weight, added[i][part])
    return found


def _half(radius: float) -> int:
    """Half the side of the stamp that holds a circle, whose centre is a quarter pixel off at most."""
    return max(math.ceil(radius + 0.75) - 1, 0)


def _ramp(radius: float, distance: Floats) -> Floats:
    """The share of pixels at a ``distance`` from the centre that is in a circle."""
    share = radius + 0.5 - distance
    return np.clip(share, 0.0, 1.0, out=share)


@dataclass(frozen=True)
class _Spoiled:
    """Pixels that are not a source's, (m,): the source's index, and their place."""

    source: Ints
    row: Ints
    column: Ints

    def only(self, some: NDArray[np.bool_]) -> _Spoiled:
        return _Spoiled(self.source[some], self.row[some], self.column[some])


class _Marked:
    """Pixels that are marked in a flat map: ``at`` are their indices."""

    def __init__(self, marks: NDArray[np.bool_]) -> None:
        self.at = np.flatnonzero(marks)
        # One byte more: before() is asked for the pixel after the last, too.
        self._bytes = np.append(np.packbits(marks, bitorder="little"), np.uint8(0))
        counts = np.bitwise_count(self._bytes)
        self._before = np.cumsum(counts, dtype=np.int64) - counts

    def before(self, pixel: Ints) -> Ints:
        """How many there are before each pixel, (m,)."""
        byte, bit = pixel >> 3, (pixel & 7).astype(np.uint8)
        below = self._bytes[byte] & ((np.uint8(1) << bit) - np.uint8(1))
        found: Ints = self._before[byte] + np.bitwise_count(below)
        return found


def _spoiled(owner: Map, x: Floats, y: Floats, reach_x: Floats, reach_y: Floats) -> Iterator[_Spoiled]:
    """Pixels that are another source's or masked in boxes about sources, (n,), some at a time."""
    ny, nx = owner.shape
    flat = owner.ravel()
    taken = _Marked(flat != 0)
    left, right = _span(x, reach_x, nx)
    bottom, top = _span(y, reach_y, ny)
    for some in _parts(np.maximum(top - bottom, 0), _ROWS):
        source, row = _expanded(bottom[some], top[some])
        source += some.start
        first, last = taken.before(row * nx + left[source]), taken.before(row * nx + right[source])
        for part in _parts(last - first, _PIXELS):
            which, index = _expanded(first[part], last[part])
            pixel, of = taken.at[index], source[part][which]
            other = flat[pixel] != of + 1
            pixel, of, which = pixel[other], of[other], which[other]
            rows = row[part][which]
            yield _Spoiled(of, rows, pixel - rows * nx)


def _replaced(images: tuple[Image, ...], owner: Map, pixels: _Spoiled, x: Floats, y: Floats) -> list[Image]:
    """What replacing each pixel adds to the sum of each image, (m,)."""
    ny, nx = owner.shape
    row, column = _twice(y)[pixels.source] - pixels.row, _twice(x)[pixels.source] - pixels.column
    here = pixels.row * nx + pixels.column
    exists = (row >= 0) & (row < ny) & (column >= 0) & (column < nx)
    opposite = np.where(exists, row * nx + column, here)
    other = owner.ravel()[opposite]
    usable = (other == 0) | (other == pixels.source + 1)
    return [
        np.where(usable, flat[opposite], np.float32(0)) - flat[here]
        for flat in (image.ravel() for image in images)
    ]


def _twice(at: Floats) -> Ints:
    """Twice the place about which a pixel and its opposite lie, as SExtractor rounds it."""
    return (2 * at + 0.49999).astype(np.int64)


def _span(at: Floats, reach: Floats, side: int) -> tuple[Ints, Ints]:
    """The first pixel within ``reach`` of places (n,), and the first beyond, of ``side`` pixels."""
    first, last = np.ceil(at - reach), np.floor(at + reach) + 1
    return np.clip(first, 0, side).astype(np.int64), np.clip(last, 0, side).astype(np.int64)


def _parts(sizes: Ints, most: int) -> Iterator[slice]:
    """Slices of things of such ``sizes`` (n,), together at most ``most``, or one thing."""
    ends, start = np.cumsum(sizes), 0
    while start < len(sizes):
        before = ends[start] - sizes[start]
        stop = max(start + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield slice(start, stop)
        start = stop


def _expanded(first: Ints, last: Ints) -> tuple[Ints, Ints]:
    """Of ranges (n,), from ``first`` to before ``last``: which one each number is in, and the numbers."""
    size = last - first
    which = np.repeat(np.arange(len(size)), size)
    return which, np.arange(len(which)) + (first - (np.cumsum(size) - size))[which]
