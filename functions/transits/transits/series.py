"""A time series: arrays of equal length, and its means in bins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Series:
    """Relative fluxes in order of time."""

    time: Floats
    """Days, ascending."""
    flux: Floats
    """Relative to the star's: about 1 as it is read, about 0 once the trend is taken out."""
    error: Floats
    """One sigma of each flux."""
    cadence: float
    """Days from one flux to the next."""

    @property
    def baseline(self) -> float:
        """Days from the first flux to the last."""
        return float(self.time[-1] - self.time[0])

    def __len__(self) -> int:
        return len(self.time)

    def chosen(self, which: NDArray[Any] | slice) -> Series:
        """Some of its fluxes, by a mask or by their indices."""
        return Series(self.time[which], self.flux[which], self.error[which], self.cadence)

    def binned(self, width: float) -> Series:
        """Weighted means in bins of ``width`` days, empty ones left out; itself if it is no finer."""
        if width < 1.5 * self.cadence:
            return self
        # From half a cadence before the first: no flux is at an edge, where rounding decides.
        bins = ((self.time - self.time[0] + 0.5 * self.cadence) / width).astype(np.int64)
        weight = self.error**-2
        sums = [np.bincount(bins, values) for values in (weight, weight * self.time, weight * self.flux)]
        filled = sums[0] > 0
        total, time, flux = (each[filled] for each in sums)
        return Series(time / total, flux / total, 1 / np.sqrt(total), width)


def median_error(values: Floats) -> float:
    """One sigma of normal values, by their median absolute deviation from their median."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))
