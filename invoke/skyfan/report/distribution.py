"""Histograms with quantiles: all that a chart and its table need, however many values there were."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
_BINS = 30
# Positive values that span more than this factor get a logarithmic axis: a linear one would show one bar.
_WIDE = 100.0
# Of this many values, the outermost thousandth on either side must not squeeze all others into one bar.
_MANY, _RARE = 2000, 0.001


@dataclass(frozen=True)
class Distribution:
    """A histogram of the finite ones among some values, with their quantiles."""

    label: str
    unit: str
    edges: Floats
    """(n + 1,)"""
    counts: NDArray[np.int64]
    """(n,)"""
    marked: NDArray[np.int64]
    """(n,) those of `counts` whose values were marked."""
    quantiles: tuple[float, float, float, float, float]
    """Minimum, 5 %, median, 95 %, maximum."""
    finite: int
    """Number of values in the histogram."""
    sampled: int
    """Number of values looked at."""
    total: int
    """Number of values in the data: more than `sampled` if those are a sample."""
    clipped: bool
    """True if the first and the last bin also hold the values beyond them."""
    log: bool
    """True for bins of equal ratio instead of equal width."""


def distribution(
    values: ArrayLike,
    label: str,
    unit: str,
    *,
    total: int | None = None,
    marked: ArrayLike | None = None,
    integers: bool = False,
    span: tuple[float, float] | None = None,
) -> Distribution | None:
    """The distribution of the finite values among `values` (n,); None if there are none.

    `total` is the number of values in the data if `values` are a sample. `marked` (n,) bool are values to be
    counted apart, too. `integers` makes no bin narrower than one. The bins cover at least `span`.
    """
    sample = np.asarray(values, np.float64)
    is_finite = np.isfinite(sample)
    finite = sample[is_finite]
    if not len(finite):
        return None
    minimum, some, median, most, maximum = map(float, np.quantile(finite, (0, 0.05, 0.5, 0.95, 1)))
    low, high = minimum, maximum
    if len(finite) >= _MANY:
        low, high = map(float, np.quantile(finite, (_RARE, 1 - _RARE)))
    if span:
        low, high = min(low, span[0]), max(high, span[1])
    log = low > 0 and high / low > _WIDE
    bins = min(_BINS, max(5, round(2 * float(len(finite)) ** 0.5)))
    edges = np.geomspace(low, high, bins + 1) if log else _even(low, high, bins, integers)
    inside = np.clip(finite, edges[0], edges[-1])
    chosen = np.zeros(len(sample), np.bool_) if marked is None else np.asarray(marked, np.bool_)
    return Distribution(
        label=label,
        unit=unit,
        edges=edges,
        counts=np.histogram(inside, edges)[0],
        marked=np.histogram(inside[chosen[is_finite]], edges)[0],
        quantiles=(minimum, some, median, most, maximum),
        finite=len(finite),
        sampled=len(sample),
        total=total or len(sample),
        clipped=bool(minimum < edges[0] or maximum > edges[-1]),
        log=log,
    )


def _even(low: float, high: float, bins: int, integers: bool) -> Floats:
    if integers:
        low, high = np.floor(low), np.ceil(high)
        step = max(1, -(-(high - low + 1) // bins))
        steps: Floats = low - 0.5 + step * np.arange(int((high - low) // step) + 2, dtype=np.float64)
        return steps
    if high == low:
        half = abs(low) * 0.05 or 0.5
        return np.linspace(low - half, high + half, 6)
    return np.linspace(low, high, bins + 1)


@dataclass(frozen=True)
class Grid:
    """How many pairs of values lie in each cell."""

    x_edges: Floats
    """(nx + 1,)"""
    y_edges: Floats
    """(ny + 1,)"""
    counts: NDArray[np.int64]
    """(nx, ny)"""
    outside: int
    """Pairs beyond the edges, which hold all but the outermost."""


def grid(x: Floats, y: Floats, size: tuple[int, int], *, from_zero: bool = True) -> Grid | None:
    """A grid of `size` over the pairs of finite values; None if there are fewer than two different ones.

    With `from_zero`, the vertical axis begins at 0 or below, and ends below the largest values.
    """
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = x[finite], y[finite]
    if len(x) < 2 or x.min() == x.max() or y.min() == y.max():
        return None
    x_low, x_high = np.quantile(x, (_RARE, 1 - _RARE)) if len(x) >= _MANY else (x.min(), x.max())
    y_low, y_high = min(0.0, y.min()), np.quantile(y, 0.98) if len(y) >= 50 else y.max()
    if not from_zero:
        y_low, y_high = np.quantile(y, (_RARE, 1 - _RARE)) if len(y) >= _MANY else (y.min(), y.max())
    if x_low == x_high or y_low == y_high:
        return None
    edges = np.linspace(x_low, x_high, size[0] + 1), np.linspace(y_low, y_high, size[1] + 1)
    counts = np.histogram2d(x, y, edges)[0].astype(np.int64)
    return Grid(*edges, counts, len(x) - int(counts.sum()))
