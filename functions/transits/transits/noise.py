"""Red noise: how much larger the noise of a mean over a transit is than that of as many independent fluxes.

The depth of a transit is a mean over its duration. If the noise of neighbouring fluxes is shared, such means
scatter more than the errors of single fluxes say (Pont, Zucker & Queloz 2006, MNRAS 373, 231). Here that is
measured: all means over windows as long as a transit, out of transit, divided by their white errors.
"""

from __future__ import annotations

import numpy as np

from .detrend import GRID
from .series import Bools, Floats, Series, median_error

# Windows, independent ones, below which their scatter says little.
_FEWEST = 20


def red_factors(curve: Series, durations: Floats, ignored: Bools | None = None) -> Floats:
    """The factor (n,), at least 1, for each of ``durations`` in days, from fluxes that are not ``ignored``.

    NaN where too few windows are filled.
    """
    part = (curve if ignored is None else curve.chosen(~ignored)).binned(GRID)
    width = part.cadence
    if len(part) < 2:
        return np.full(len(durations), np.nan)
    at = np.rint((part.time - part.time[0]) / width).astype(np.int64)
    weight = np.bincount(at, part.error**-2)
    sums = np.bincount(at, part.flux * part.error**-2)
    weights, totals, counts = (
        np.concatenate([[0.0], np.cumsum(each)]) for each in (weight, sums, weight > 0)
    )
    return np.array([_factor(weights, totals, counts, max(1, round(d / width))) for d in durations])


def _factor(weights: Floats, totals: Floats, counts: Floats, steps: int) -> float:
    """From cumulative sums on a grid: windows of ``steps`` bins of which at least half are filled."""
    if steps >= len(weights):
        return float("nan")
    weight, total, count = (each[steps:] - each[:-steps] for each in (weights, totals, counts))
    full = count >= max(1, steps / 2)
    if full.sum() < _FEWEST * steps:
        return float("nan")
    return max(1.0, median_error(total[full] / np.sqrt(weight[full])))
