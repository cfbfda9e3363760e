"""From a light curve to candidates: trend, spectra, the strongest box, its fit; and again without it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from .boxes import Spectrum, spectrum
from .checks import Checks, check, depths, same_period
from .detrend import Trend, trend
from .fit import Transit, first_fit, fit
from .noise import red_factors
from .quality import Flag
from .series import Bools, Floats, Series

# Scatters above the trend of a flux that is left out, and below it of one that stands alone: a transit is no
# single cadence of two minutes.
_ABOVE, _BELOW = 4.0, 5.0
_BRIEF = 5 / 1440
# Peaks of the spectra that are looked at, one after the other, until one is of several transits.
_PEAKS = 8
# The second strongest transit has at least that part of the signal to noise of the strongest.
_SECOND = 0.5
# Dips that came once, at most: each costs another search.
_DIPS = 2


@dataclass(frozen=True)
class Candidate:
    """A periodic dip that is above the threshold."""

    transit: Transit
    """With errors for red noise."""
    checks: Checks
    red: float
    """Noise of a mean over the transit relative to that of independent fluxes."""


@dataclass(frozen=True)
class Dip:
    """A dip that is above the threshold, and came once."""

    time: float
    """Middle, days."""
    depth: float
    duration: float
    """Days, of the box that found it."""
    snr: float


@dataclass(frozen=True)
class Search:
    """What was found in a light curve."""

    candidates: list[Candidate]
    curve: Series
    """Without trend and outliers."""
    best: float
    """Signal to noise of the strongest box that is no candidate; NaN without any."""
    best_period: float
    noise: float
    """One sigma of a mean over an hour, relative flux."""
    red: float
    """Factor of red noise over an hour."""
    dropped: int
    """Outliers."""
    swing: float
    """Scatter of the trend, in units of ``noise``."""
    dips: list[Dip] = field(default_factory=list)


@dataclass(frozen=True)
class Limits:
    """What is searched for. Times are in days."""

    shortest: float
    """Period."""
    longest: float
    durations: tuple[float, ...]
    window: float
    """Of the trend."""
    threshold: float
    """Least signal to noise of a candidate."""
    most: int
    """Candidates."""


def search(curve: Series, dumps: Floats, limits: Limits) -> Search:
    """Candidates in a light curve of relative fluxes about 1, the strongest first."""
    first = trend(curve, limits.window)
    keep = ~_outliers(curve, first)
    curve = curve.chosen(keep)
    inside = np.zeros(len(curve), bool)
    lengths = np.array([d for d in limits.durations if d >= 2 * curve.cadence])
    found: list[Candidate] = []
    dips: list[Dip] = []
    _, flat = _flat(curve, limits.window, inside)
    hour = red_factors(flat, np.array([1 / 24]))[0]
    best = best_period = float("nan")
    while len(found) < limits.most:
        peak, strength, dip = _strongest(flat.chosen(~inside), lengths, limits)
        if dip is not None and len(dips) < _DIPS:
            dips.append(dip)
            hidden: Bools = np.abs(curve.time - dip.time) < dip.duration
        elif peak is None:
            break
        else:
            candidate, hidden = _measured(curve, flat, inside, peak, dumps, limits, found)
            if candidate is None:
                best, best_period = strength, peak.period
                break
            found.append(candidate)
        inside |= hidden
        _, flat = _flat(curve, limits.window, inside)
    white = float(np.median(flat.error)) * np.sqrt(curve.cadence * 24)
    return Search(
        candidates=found,
        curve=flat,
        best=best,
        best_period=best_period,
        noise=white * (hour if np.isfinite(hour) else 1.0),
        red=float(hour),
        dropped=int((~keep).sum()),
        swing=float(np.std(first.level)) / white,
        dips=sorted(dips, key=lambda dip: -dip.snr),
    )


def _flat(curve: Series, window: float, inside: Bools) -> tuple[Trend, Series]:
    """The trend, and the light curve without it; it passes over the cadences ``inside`` transits."""
    found = trend(curve, window, inside if inside.any() else None)
    error = found.scatter / found.level
    return found, replace(curve, flux=curve.flux / found.level - 1, error=error)


def _outliers(curve: Series, found: Trend) -> Bools:
    away: Floats = (curve.flux - found.level) / found.scatter
    high: Bools = away > _ABOVE
    if curve.cadence > _BRIEF:
        return high
    before, behind = np.concatenate([[0.0], away[:-1]]), np.concatenate([away[1:], [0.0]])
    alone: Bools = (away < -_BELOW) & (np.minimum(before, behind) > -_BELOW / 2)
    return high | alone


def _strongest(flat: Series, lengths: Floats, limits: Limits) -> tuple[Transit | None, float, Dip | None]:
    """The strongest box of at least two transits, and its signal to noise with red noise.

    Instead, a dip that came once, if it is stronger and above the threshold.
    """
    red = red_factors(flat, lengths)
    spectra = [
        spectrum(flat, length, limits.shortest, limits.longest)
        for length, factor in zip(lengths, red, strict=True)
        if np.isfinite(factor)
    ]
    red = red[np.isfinite(red)]
    for peak, factor, strength in _peaks(spectra, red):
        each = depths(flat, peak, factor)
        order = np.argsort(each.snr)
        if len(order) > 1 and each.snr[order[-2]] > _SECOND * each.snr[order[-1]]:
            return peak, strength, None
        if len(order) and each.snr[order[-1]] >= limits.threshold:
            at = order[-1]
            middle = peak.epoch + each.number[at] * peak.period
            dip = Dip(float(middle), float(each.depth[at]), peak.duration, float(each.snr[at]))
            return None, strength, dip
    return None, float("nan"), None


def _peaks(spectra: list[Spectrum], red: Floats) -> list[tuple[Transit, float, float]]:
    """The strongest boxes of different periods, each as a transit with factor and strength."""
    if not spectra or not sum(len(each.period) for each in spectra):
        return []
    snr = np.concatenate([each.snr / factor for each, factor in zip(spectra, red, strict=True)])
    of = np.repeat(np.arange(len(spectra)), [len(each.period) for each in spectra])
    at = np.concatenate([np.arange(len(each.period)) for each in spectra])
    period = np.concatenate([each.period for each in spectra])
    peaks = []
    snr = np.where(np.isfinite(snr), snr, 0.0)
    for _ in range(_PEAKS):
        best = int(np.argmax(snr))
        if snr[best] <= 0:
            break
        each, i = spectra[of[best]], at[best]
        box = Transit(
            float(each.period[i]), float(each.epoch[i]), float(each.depth[i]), each.duration, 0.05,
            (np.nan,) * 4,
        )  # fmt: skip
        peaks.append((box, float(red[of[best]]), float(snr[best])))
        snr = np.where(np.abs(period / period[best] - 1) < 0.01, 0.0, snr)
    return peaks


def _measured(
    curve: Series,
    flat: Series,
    inside: Bools,
    peak: Transit,
    dumps: Floats,
    limits: Limits,
    found: list[Candidate],
) -> tuple[Candidate | None, Bools]:
    """The candidate of a peak, and its cadences; None if it is below the threshold.

    Its trend passes over its own transits, so that it takes none of their depth.
    """
    rest = flat.chosen(~inside)
    transit = first_fit(rest, peak)
    hidden = np.abs(transit.phase(curve.time)) < 0.75 * transit.total
    smooth, clean = _flat(curve, limits.window, inside | hidden)
    red = float(red_factors(clean, np.array([transit.duration]), inside | hidden)[0])
    red = red if np.isfinite(red) else 1.0
    rest = clean.chosen(~inside)
    transit = fit(rest, transit, red)
    if not transit.snr >= limits.threshold:
        return None, hidden
    result = check(rest, transit, red, smooth.segments, dumps, (limits.shortest, limits.longest))
    if any(
        same_period(transit.period, other.transit.period, curve.baseline, transit.duration) for other in found
    ):
        result = replace(result, flags=result.flags | Flag.HARMONIC)
    return Candidate(transit, result, red), np.abs(transit.phase(curve.time)) < 0.6 * transit.total + 1e-9
