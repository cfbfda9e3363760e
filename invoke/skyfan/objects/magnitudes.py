"""The light of objects in one filter: means, scatter, and how much it varies.

Means are of fluxes, weighted by their errors, and only then become magnitudes: the error of a magnitude grows
where noise makes a source fainter, so that a weighted mean of magnitudes would be too bright.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .groups import ARCSEC, Floats, Indices
from .libraries import chdtrc, cKDTree
from .overlaps import VOTE

PER_MAGNITUDE = 2.5 / np.log(10)
PAIR_DAYS = 1.0
"""Two epochs not further apart are a pair for Stetson's J."""
BRIGHT, FEWEST = 0.1, 5
"""Magnitude error below which a star counts for a zero point, and stars that it needs."""
_ZEROPOINT = 23.9
"""Of fluxes in microjansky. It cancels."""


@dataclass(frozen=True)
class Light:
    """Of each object, (n,); NaN where there are too few epochs."""

    epochs: Indices
    """Measurements."""
    mag: Floats
    """Magnitude of the weighted mean flux."""
    error: Floats
    """Its error, from the errors of the measurements."""
    scatter: Floats
    """Weighted standard deviation in magnitudes; of two epochs or more."""
    chi2: Floats
    """Sum of ((flux - mean) / error)**2."""
    chance: Floats
    """Probability that a constant source has at least this chi2, for epochs - 1 degrees of freedom."""
    eta: Floats
    """Von Neumann's ratio: mean square difference of successive fluxes by their variance; 2 without a
    trend.
    """
    stetson: Floats
    """Stetson's J (1996, PASP 108, 851), of one filter; about 0 for constant sources."""


def light(thing: Indices, mjd: Floats, mag: Floats, error: Floats, count: int) -> Light:
    """The light of `count` objects from measurements of object `thing` (n,), sorted by object and time.

    `mjd` is in days, `mag` and `error` in magnitudes. Sums run in the order of the measurements of an object,
    so that no other object changes them.
    """
    flux = 10 ** (-0.4 * (mag - _ZEROPOINT))
    sigma = flux * error / PER_MAGNITUDE
    weight = 1 / sigma**2

    def total(values: Floats) -> Floats:
        sums: Floats = np.bincount(thing, values, count).astype(np.float64)
        return sums

    epochs = np.bincount(thing, minlength=count)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = total(weight)
        mean = total(weight * flux) / weights
        delta = (flux - mean[thing]) / sigma
        chi2 = np.where(epochs > 1, total(delta**2), np.nan)
        several = np.where(epochs > 1, epochs / (epochs - 1.0), np.nan)
        variance = chi2 / weights * several
        spread = total((flux - (total(flux) / epochs)[thing]) ** 2) / (epochs - 1)
        step, later = _steps(thing)
        eta = np.bincount(thing[later], (flux[later] - flux[later - 1]) ** 2, count) / (epochs - 1) / spread
        return Light(
            epochs,
            _ZEROPOINT - 2.5 * np.log10(mean),
            PER_MAGNITUDE / np.sqrt(weights) / mean,
            PER_MAGNITUDE * np.sqrt(variance) / mean,
            chi2,
            np.where(epochs > 1, chdtrc(np.maximum(epochs - 1, 1), np.nan_to_num(chi2)), np.nan),
            np.where(epochs > 2, eta, np.nan),
            _stetson(thing, mjd, delta * np.sqrt(several[thing]), step, count),
        )


def zeropoint(
    xyz: Floats, mag: Floats, error: Floats, theirs: Floats, their_mag: Floats
) -> tuple[float, float, float, float]:
    """Number of stars, median, its error and the scatter of their magnitudes less ours, outliers left out.

    Stars are at unit vectors (n, 3) and (k, 3); the nearest within VOTE are the same. NaN for too few
    of them with errors below BRIGHT.
    """
    away, at = cKDTree(theirs).query(xyz, distance_upper_bound=VOTE * ARCSEC)
    order = np.argsort(away, kind="stable")
    order = order[np.isfinite(away[order])]
    rows = order[np.unique(at[order], return_index=True)[1]]  # the nearest star of each of theirs
    with np.errstate(invalid="ignore"):
        is_good = (error[rows] < BRIGHT) & (np.abs(their_mag[at[rows]]) < 50)  # -999 stands for unknown
    differences = (their_mag[at[rows]] - mag[rows])[is_good].astype(np.float64)
    differences = differences[np.isfinite(differences)]
    for _ in range(3):
        if len(differences) < FEWEST:
            return np.nan, np.nan, np.nan, np.nan
        middle, scatter = robust(differences)
        differences = differences[np.abs(differences - middle) <= max(3.5 * scatter, 1e-6)]
    middle, scatter = robust(differences)
    # The error of a median of normal deviates is that of a mean times the root of pi / 2.
    return len(differences), middle, 1.2533 * scatter / np.sqrt(len(differences)), scatter


def robust(values: Floats) -> tuple[float, float]:
    """Median, and 1.4826 times the median absolute deviation, which is sigma of normal deviates."""
    middle = float(np.median(values))
    return middle, 1.4826 * float(np.median(np.abs(values - middle)))


def _steps(thing: Indices) -> tuple[NDArray[np.bool_], Indices]:
    """Whether a row follows one of the same object (n,), and the rows that do."""
    step = np.zeros(len(thing), bool)
    step[1:] = thing[1:] == thing[:-1]
    return step, np.flatnonzero(step)


def _stetson(thing: Indices, mjd: Floats, delta: Floats, step: NDArray[np.bool_], count: int) -> Floats:
    """J: pairs of successive epochs count as products, single ones as delta**2 - 1; all with weight 1."""
    close = step.copy()
    close[1:] &= mjd[1:] - mjd[:-1] <= PAIR_DAYS
    # Within a chain of close epochs every second one completes a pair.
    chain = np.flatnonzero(~close)
    position = np.arange(len(thing)) - np.repeat(chain, np.diff(np.append(chain, len(thing))))
    second = close & (position % 2 == 1)
    first = np.append(second[1:], False) if len(second) else second
    product = delta**2 - 1
    at = np.flatnonzero(second)
    product[at] = delta[at] * delta[at - 1]
    counts = ~first
    value = np.where(counts, np.sign(product) * np.sqrt(np.abs(product)), 0.0)
    number = np.bincount(thing, counts, count)
    return np.bincount(thing, value, count) / number
