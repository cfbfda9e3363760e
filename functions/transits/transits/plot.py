"""A preview: the light curve with its transits, and each candidate folded. No package but numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyfan_function.png import encode

from .fit import Transit
from .search import Search
from .series import Floats, Series

_WIDTH, _HEIGHT, _MARGIN = 960, 240, 10
_PAPER, _FRAME, _POINT, _MEAN = (255, 255, 255), (120, 120, 120), (185, 190, 200), (30, 30, 40)
_COLOURS = ((214, 39, 40), (31, 119, 180), (44, 160, 44), (148, 103, 189), (255, 127, 14))
# Durations on either side of the middle of a folded transit.
_AROUND = 3.0
_BINS = 60

Picture = NDArray[np.uint8]


def preview(found: Search) -> bytes:
    """PNG: the light curve without trend, a mark below each transit; below it each candidate, folded,
    from 3 durations before the middle to 3 behind, with means (dark) and its trapezoid.
    """
    panels = [_whole(found)]
    for number, each in enumerate(found.candidates):
        panels.append(_folded(found.curve, each.transit, _COLOURS[number % len(_COLOURS)]))
    return encode(np.concatenate(panels))


class _Panel:
    """Axes on a white ground: x and y of data to pixels."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.picture = np.full((_HEIGHT, _WIDTH, 3), _PAPER, np.uint8)
        self._x, self._y = x, y
        frame = (_MARGIN, _HEIGHT - _MARGIN - 1), (_MARGIN, _WIDTH - _MARGIN - 1)
        for row in frame[0]:
            self.picture[row, frame[1][0] : frame[1][1] + 1] = _FRAME
        for column in frame[1]:
            self.picture[frame[0][0] : frame[0][1] + 1, column] = _FRAME

    def mark(self, x: Floats, y: Floats, colour: tuple[int, int, int], size: int = 1) -> None:
        """Squares of ``size`` pixels; what is outside is left out."""
        column = _MARGIN + (x - self._x[0]) / (self._x[1] - self._x[0]) * (_WIDTH - 2 * _MARGIN)
        row = _HEIGHT - _MARGIN - (y - self._y[0]) / (self._y[1] - self._y[0]) * (_HEIGHT - 2 * _MARGIN)
        known = np.isfinite(column) & np.isfinite(row)
        at = np.rint(np.column_stack([row, column])[known]).astype(int)
        for down in range(size):
            for right in range(size):
                r, c = at[:, 0] + down - size // 2, at[:, 1] + right - size // 2
                inside = (
                    (r > _MARGIN) & (r < _HEIGHT - _MARGIN - 1) & (c > _MARGIN) & (c < _WIDTH - _MARGIN - 1)
                )
                self.picture[r[inside], c[inside]] = colour


def _whole(found: Search) -> Picture:
    curve = found.curve.binned(10 / 1440)
    low, high = _range(curve.flux, [each.transit.depth for each in found.candidates])
    panel = _Panel((curve.time[0], curve.time[-1]), (low, high))
    panel.mark(curve.time, curve.flux, _MEAN)
    for number, each in enumerate(found.candidates):
        transit = each.transit
        first, last = (transit.number(np.array([t])).item() for t in (curve.time[0], curve.time[-1]))
        middles = transit.epoch + np.arange(first, last + 1) * transit.period
        height = low + (high - low) * (0.06 + 0.05 * number)
        panel.mark(middles, np.full(len(middles), height), _COLOURS[number % len(_COLOURS)], 7)
    return panel.picture


def _folded(curve: Series, transit: Transit, colour: tuple[int, int, int]) -> Picture:
    reach = min(_AROUND * transit.total, transit.period / 2)
    phase = transit.phase(curve.time)
    near = np.abs(phase) < reach
    phase, flux = phase[near], curve.flux[near]
    panel = _Panel((-reach, reach), _range(flux, [transit.depth]))
    panel.mark(phase, flux, _POINT)
    x = np.linspace(-reach, reach, 4 * _WIDTH)
    shape = transit.shape(transit.epoch + x, curve.cadence)
    panel.mark(x, -transit.depth * shape, colour, 2)
    at = np.clip(((phase + reach) / (2 * reach) * _BINS).astype(int), 0, _BINS - 1)
    count = np.bincount(at, minlength=_BINS)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(at, flux, _BINS) / count
    panel.mark((np.arange(_BINS) + 0.5) / _BINS * 2 * reach - reach, mean, _MEAN, 5)
    return panel.picture


def _range(flux: Floats, depths: list[float]) -> tuple[float, float]:
    """From well below the deepest transit to well above the noise."""
    low, high = np.percentile(flux, [0.5, 99.5])
    low = min([float(low), *(-1.3 * depth for depth in depths)])
    return low, max(float(high), -0.2 * low) + 1e-9
