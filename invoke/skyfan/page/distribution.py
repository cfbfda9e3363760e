"""How many values are where: all that a chart and its table need, however many values there were."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
_BINS = 30
# From here on a linear axis would show one bar.
_WIDE = 100.0
# Of so many values, one in a thousand on either side must not squeeze all others into one bar.
_MANY, _RARE = 2000, 0.001


@dataclass(frozen=True)
class Distribution:
    """A histogram with its quantiles."""

    label: str
    unit: str
    edges: Floats
    """(n + 1,)"""
    counts: NDArray[np.int64]
    """(n,)"""
    quantiles: tuple[float, float, float, float, float]
    """Least, 5 %, median, 95 %, most."""
    number: int
    """Values that were counted: those that are finite."""
    looked: int
    """Values that were looked at."""
    of: int
    """Values that there are: more than that, where a sample was taken."""
    clipped: bool
    """Whether the bars at the ends hold what lies beyond them, too."""
    log: bool


def distribution(
    values: ArrayLike, label: str, unit: str, *, of: int | None = None, whole: bool = False
) -> Distribution | None:
    """The distribution of those values that are finite; None where there are none.

    `whole` says that they are whole numbers, so that no bin is narrower than one; `of` how many there are
    where `values` are a sample. The axis is logarithmic where the values are positive and span more than two
    decades.
    """
    given = np.asarray(values, np.float64)
    found = given[np.isfinite(given)]
    if not len(found):
        return None
    least, some, middle, many, most = map(float, np.quantile(found, (0, 0.05, 0.5, 0.95, 1)))
    low, high = map(float, np.quantile(found, (_RARE, 1 - _RARE))) if len(found) >= _MANY else (least, most)
    is_log = low > 0 and high / low > _WIDE
    bins = min(_BINS, max(5, round(2 * float(len(found)) ** 0.5)))
    edges = np.geomspace(low, high, bins + 1) if is_log else _even(low, high, bins, whole)
    counts, _ = np.histogram(np.clip(found, edges[0], edges[-1]), edges)
    return Distribution(
        label=label,
        unit=unit,
        edges=edges,
        counts=counts,
        quantiles=(least, some, middle, many, most),
        number=len(found),
        looked=len(given),
        of=of or len(given),
        clipped=bool(least < edges[0] or most > edges[-1]),
        log=is_log,
    )


def _even(low: float, high: float, bins: int, whole: bool) -> Floats:
    if whole:
        low, high = np.floor(low), np.ceil(high)
        step = max(1, -(-(high - low + 1) // bins))
        whole_edges: Floats = low - 0.5 + step * np.arange(int((high - low) // step) + 2, dtype=np.float64)
        return whole_edges
    if high == low:
        half = abs(low) * 0.05 or 0.5
        return np.linspace(low - half, high + half, 6)
    return np.linspace(low, high, bins + 1)
