"""The trend of a light curve: what varies slower than a transit.

At nodes along the light curve, a straight line is fitted to all fluxes within half a window, with Tukey's
biweight (Beaton & Tukey 1974), so that a transit pulls it less than the star does; cubic or straight pieces
join the nodes. benchmarks/transits compares it with medians and means of the same windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .series import Bools, Floats, Series

# Fluxes are averaged before the trend is sought: it is the same, in a tenth of the time.
GRID = 10 / 1440
# Days without a flux behind which a window does not reach: TESS turns to Earth, and its focus changes.
GAP = 0.5
# Nodes in a window.
_NODES = 24
# Scatters beyond which a flux counts nothing: Tukey's constant, 95 % efficient for normal noise, is 4.685.
_BIWEIGHT = 5.0
_ITERATIONS = 3
# Variance of times, in windows squared, below which they carry no slope.
_SPREAD = 1e-4


@dataclass(frozen=True)
class Trend:
    """The trend at each flux of a light curve, and its noise."""

    level: Floats
    """Relative flux."""
    scatter: Floats
    """One sigma of a flux about the trend, from all fluxes of the window."""
    segments: list[tuple[float, float]]
    """First and last time of each stretch without a gap, in days."""


def segments_of(time: Floats, gap: float = GAP) -> list[slice]:
    """Stretches without a gap of more than ``gap`` days."""
    edges = np.flatnonzero(np.diff(time) > gap) + 1
    bounds = [0, *edges.tolist(), len(time)]
    return [slice(a, b) for a, b in pairwise(bounds)]


def trend(curve: Series, window: float, ignored: Bools | None = None, degree: int = 1) -> Trend:
    """The trend over windows of ``window`` days; fluxes that are ``ignored`` do not count.

    ``degree`` 0 fits a level in each window, 1 a straight line.
    """
    level, scatter = np.empty(len(curve)), np.empty(len(curve))
    stretches = segments_of(curve.time)
    for stretch in stretches:
        times = curve.time[stretch]
        use = np.ones(len(times), bool) if ignored is None else ~ignored[stretch]
        if not use.any():
            use = np.ones(len(times), bool)
        part = curve.chosen(stretch).chosen(use)
        width = max(GRID, curve.cadence)
        part = part.binned(width)
        nodes, at_nodes, noise = _nodes(part, times[0], times[-1], window, degree)
        level[stretch] = np.interp(times, nodes, at_nodes)
        scatter[stretch] = np.interp(times, nodes, noise) * np.sqrt(part.cadence / curve.cadence)
    return Trend(level, scatter, [(curve.time[s][0], curve.time[s][-1]) for s in stretches])


def _nodes(
    part: Series, first: float, last: float, window: float, degree: int
) -> tuple[Floats, Floats, Floats]:
    """Nodes from ``first`` to ``last``, the trend and the scatter of one flux of ``part`` at each."""
    count = max(2, int(np.ceil((last - first) / (window / _NODES))) + 1)
    nodes = np.linspace(first, last, count)
    low = np.searchsorted(part.time, nodes - window / 2)
    high = np.searchsorted(part.time, nodes + window / 2, side="right")
    # A node in a hole takes what is nearest.
    nearest = np.clip(np.searchsorted(part.time, nodes), 1, len(part) - 1) if len(part) > 1 else 0
    low = np.where(high - low < 3, np.maximum(nearest - 2, 0), low)
    high = np.where(high - low < 3, np.minimum(low + 4, len(part)), high)
    index = low[:, None] + np.arange(int((high - low).max()))
    inside = index < high[:, None]
    index = np.minimum(index, len(part) - 1)
    x = (part.time[index] - nodes[:, None]) / window
    y = part.flux[index]
    fit = _medians(y, inside)[:, None] * np.ones_like(y)
    for _ in range(_ITERATIONS):
        away = np.abs(y - fit)
        noise = 1.4826 * _medians(away, inside)[:, None]
        weight = (
            np.where(inside, np.clip(1 - (away / np.maximum(_BIWEIGHT * noise, 1e-12)) ** 2, 0, 1), 0) ** 2
        )
        fit = _fitted(x, y, weight, degree)
    noise = 1.4826 * _medians(np.abs(y - fit), inside)
    at_node = _fitted(x, y, weight, degree, at_node=True)[:, 0]
    return nodes, at_node, np.maximum(noise, 1e-12)


def _fitted(x: Floats, y: Floats, weight: Floats, degree: int, at_node: bool = False) -> Floats:
    """The weighted level or line of each row, at its fluxes or at its node."""
    total = np.maximum(weight.sum(axis=1), 1e-12)
    mean_y: Floats = np.einsum("ij,ij->i", weight, y) / total
    mean_x: Floats = np.einsum("ij,ij->i", weight, x) / total
    slope = np.zeros(len(x))
    if degree:
        var = np.einsum("ij,ij,ij->i", weight, x, x) / total - mean_x**2
        cov = np.einsum("ij,ij,ij->i", weight, x, y) / total - mean_x * mean_y
        slope = np.where(var > _SPREAD, cov / np.maximum(var, _SPREAD), 0.0)
    at = np.zeros((len(x), 1)) if at_node else x
    return mean_y[:, None] + slope[:, None] * (at - mean_x[:, None])


def _medians(values: Floats, inside: Bools) -> Floats:
    """The median of each row's values that are ``inside``."""
    ordered = np.sort(np.where(inside, values, np.inf), axis=1)
    count = inside.sum(axis=1)
    rows = np.arange(len(values))
    medians: Floats = 0.5 * (ordered[rows, (count - 1) // 2] + ordered[rows, count // 2])
    return medians
