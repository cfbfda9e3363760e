"""The background of an image that is read strip by strip: the meshes of all, the surface of any part.

Each mesh is measured by sep. The median filter over the meshes and the bicubic spline between them are those
of SExtractor (Bertin & Arnouts 1996), which sep has for whole images alone: a part has the background that
the whole image would have there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import sep
from numpy.typing import NDArray

from .pixels import Image, Mask

Floats = NDArray[np.float64]

# What a mesh says at a distance of so many others is below the precision of float32: 0.268 to this power.
_FAR = 14


@dataclass(frozen=True)
class Meshes:
    """``levels`` and ``noise`` (ny, nx) of meshes of ``size`` pixels, NaN where less than half is usable.

    The first begins at the row ``top`` and the column ``left`` of the image.
    """

    levels: Image
    noise: Image
    size: int
    top: int
    left: int

    @property
    def known(self) -> bool:
        """Whether any mesh tells something."""
        return bool(np.isfinite(self.levels).any())

    @property
    def level(self) -> float:
        """The typical level."""
        return float(np.median(self.levels))

    @property
    def rms(self) -> float:
        """The typical noise of a pixel; 0 where none is measured."""
        middle = float(np.median(self.noise))
        return middle if middle > 0 or not self.noise.any() else float(np.median(self.noise[self.noise > 0]))

    def level_at(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Image:
        """The background at rows and columns of the image, (rows, columns)."""
        return self._surface(self.levels, rows, columns)

    def noise_at(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Image:
        """One sigma of a pixel there, (rows, columns)."""
        noise = self._surface(self.noise, rows, columns)
        # Between meshes of very different noise the spline swings below 0.
        noise[noise <= 0] = self.rms
        return noise

    def filtered(self, size: int) -> Meshes:
        """Unknown ones as their nearest; then each the median of ``size`` x ``size`` around it."""
        filled = _filled(self.levels, self.noise)
        return Meshes(_medians(filled[0], size), _medians(filled[1], size), self.size, self.top, self.left)

    def _surface(self, nodes: Image, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Image:
        # sep takes the middle of a mesh of 64 for its 33rd row, but for what is between 32nd and 33rd column.
        along = _spline(nodes.shape[0], (rows - self.top) / self.size - 0.5)
        across = _spline(nodes.shape[1], (columns - self.left + 0.5) / self.size - 0.5)
        (first, weights_y), (start, weights_x) = along, across
        some = nodes[first : first + weights_y.shape[1], start : start + weights_x.shape[1]]
        return (weights_y @ some.astype(np.float64) @ weights_x.T).astype(np.float32)


def mesh_row(data: Image, mask: Mask, size: int, spread: Image | None = None) -> tuple[Image, Image]:
    """Levels and noise (n,) of one row of meshes, whose pixels are ``data`` (ny, nx), ny at most ``size``.

    NaN where more than half of a mesh is masked. ``spread`` (ny, nx) is added where levels are measured.
    """
    starts = range(0, data.shape[1], size)
    levels, noise = np.full((2, len(starts)), np.float32(np.nan))
    hidden = mask.any()
    for i, start in enumerate(starts):
        part = slice(None), slice(start, start + size)
        pixels, masked = (
            np.ascontiguousarray(data[part]),
            np.ascontiguousarray(mask[part]) if hidden else None,
        )
        if masked is not None and 2 * np.count_nonzero(~masked) < masked.size:
            continue
        levels[i], noise[i] = _mesh(pixels, masked)
        if spread is not None and noise[i] > 0:
            levels[i], _ = _mesh(pixels + spread[part], masked)
    return levels, noise


def _mesh(pixels: Image, mask: Mask | None) -> tuple[float, float]:
    ny, nx = pixels.shape
    model = sep.Background(pixels, mask=mask, bw=nx, bh=ny, fw=1, fh=1)
    rms = float(model.globalrms)
    # sep says 1 where it has measured 0.
    return float(model.globalback), 0.0 if rms == 1.0 and not model.rms().any() else rms


def _filled(*maps: Image) -> list[Image]:
    """Maps (ny, nx) in which the mean of the nearest known meshes stands for each unknown one."""
    known = np.isfinite(maps[0])
    filled = [m.copy() for m in maps]
    row, column = np.nonzero(known)
    for y, x in np.argwhere(~known):
        distance = (row - y) ** 2 + (column - x) ** 2
        nearest = distance == distance.min()
        for new, old in zip(filled, maps, strict=True):
            new[y, x] = old[row[nearest], column[nearest]].mean(dtype=np.float64)
    return filled


def _medians(values: Image, size: int) -> Image:
    """Medians over squares of ``size``, less where an edge is near: as far on one side as on the other."""
    half, (ny, nx) = size // 2, values.shape
    reach_y, reach_x = (np.minimum(half, np.minimum(np.arange(n), n - 1 - np.arange(n))) for n in (ny, nx))
    found = np.empty_like(values)
    for ry in np.unique(reach_y):
        for rx in np.unique(reach_x):
            windows = np.lib.stride_tricks.sliding_window_view(values, (2 * ry + 1, 2 * rx + 1))
            rows, columns = np.flatnonzero(reach_y == ry), np.flatnonzero(reach_x == rx)
            some = windows[np.ix_(rows - ry, columns - rx)]
            found[np.ix_(rows, columns)] = np.median(some.reshape(*some.shape[:2], -1), axis=2)
    return found


def _spline(number: int, places: Floats) -> tuple[int, Floats]:
    """Weights of nodes in a natural cubic spline at ``places`` (n,), and the first node that has one.

    Nodes are at 0 to ``number`` - 1; before the first and after the last their cubics go on.
    """
    if number == 1:
        return 0, np.ones((len(places), 1))
    before = np.clip(np.floor(places).astype(int), 0, number - 2)
    first, last = max(before.min() - _FAR, 0), min(before.max() + 1 + _FAR, number - 1)
    curves = _curves(last - first + 1)
    before -= first
    share = places - first - before
    row, weights = np.arange(len(places)), np.zeros((len(places), len(curves)))
    weights[row, before] = 1 - share
    weights[row, before + 1] += share
    weights += ((1 - share) ** 3 - (1 - share))[:, None] * curves[before]
    weights += (share**3 - share)[:, None] * curves[before + 1]
    return first, weights


def _curves(number: int) -> Floats:
    """What each node adds to the sixth of the second derivative at each, (number, number).

    By elimination as SExtractor and sep do it, which divide by 6 once more than a natural spline does.
    """
    factors, sums, curves = np.zeros(number), np.zeros((number, number)), np.zeros((number, number))
    for i in range(1, number - 1):
        factors[i] = -1 / (factors[i - 1] + 4)
        sums[i] = factors[i] * sums[i - 1]
        sums[i, i - 1 : i + 2] -= 6 * factors[i] * np.array([1.0, -2.0, 1.0])
    for i in range(number - 2, 0, -1):
        curves[i] = (factors[i] * curves[i + 1] + sums[i]) / 6
    return curves
