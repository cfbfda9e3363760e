"""Box least squares (Kovács, Zucker & Mazeh 2002) by the compiled core of astropy's BoxLeastSquares.

`from astropy.timeseries import BoxLeastSquares` brings tables, times and readers with it, half a second of a
cold start and megabytes of the layer. Its power() hands arrays to one compiled function, which is all that is
needed here; a test compares both to the last bit.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from typing import Any

import astropy
import numpy as np

from .series import Floats, Series

_CORE = "astropy.timeseries.periodograms.bls._impl"
# Fluxes are averaged in this many bins per duration, and boxes tried in steps as fine.
PER_DURATION = 4
# Durations that the transits at both ends of a light curve drift apart from one trial period to the next.
_DRIFT = 1.0
# Days that a star like the sun's takes to be crossed in a day's orbit, and by how much other stars and
# orbits may differ: giants and chords.
_SUN, _SHORTEST, _LONGEST = 0.0757, 0.25, 2.5
# Of a period.
_MOST = 0.2


@cache
def core() -> Any:
    """The compiled module, imported without the packages around it, which would import all of themselves."""
    if _CORE not in sys.modules:
        folders = [str(Path(each) / "timeseries/periodograms/bls") for each in astropy.__path__]
        spec = PathFinder.find_spec(_CORE, folders)
        if spec is None or spec.loader is None:
            raise ImportError(f"there is no {_CORE}")
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[_CORE] = module
    return sys.modules[_CORE]


@dataclass(frozen=True)
class Spectrum:
    """The best box of one duration at each trial period."""

    period: Floats
    """Days."""
    snr: Floats
    """Of its depth, for white noise of the errors that the fluxes have."""
    depth: Floats
    epoch: Floats
    """Middle of a transit, in days."""
    duration: float
    """Days."""


def periods(duration: float, baseline: float, least: float, most: float) -> Floats:
    """Trial periods in days for boxes of ``duration``, equally spaced in their logarithm.

    From one to the next, the first and the last transit of ``baseline`` move apart by one duration, whatever
    the period (Ofir 2014, A&A 561, A138). Only periods for which the duration is plausible: 1/4 to 2.5 times
    that of the sun crossed along its diameter, and at most a fifth of the period.
    """
    low = max(least, (duration / (_LONGEST * _SUN)) ** 3, duration / _MOST)
    high = min(most, (duration / (_SHORTEST * _SUN)) ** 3)
    if high <= low:
        return np.empty(0)
    count = int(np.ceil(np.log(high / low) / (_DRIFT * duration / baseline))) + 1
    return np.geomspace(low, high, count)


def spectrum(curve: Series, duration: float, least: float, most: float) -> Spectrum:
    """The box least squares spectrum of a light curve without trend, for one duration in days.

    Periods go from ``least`` to ``most`` days. A call per duration: the compiled core cuts boxes off at the
    end of a period that are longer than the shortest of the call, and a long box needs neither short bins
    nor close periods.
    """
    trial = periods(duration, curve.baseline, least, most)
    part = curve.binned(duration / PER_DURATION)
    if not len(trial) or len(part) < 3:
        return Spectrum(*(np.empty(0),) * 4, duration)
    start = part.time[0]
    _, depth, _, _, phase, snr, _ = core().bls_impl(
        part.time - start, part.flux - np.median(part.flux), part.error**-2, trial, np.array([duration]),
        PER_DURATION, False,
    )  # fmt: skip
    return Spectrum(trial, snr, depth, start + phase, duration)
