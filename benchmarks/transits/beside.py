"""The time of a light curve, from file to candidate, beside astropy's box least squares and other tools."""

from __future__ import annotations

import importlib.util
import tempfile
import time
from pathlib import Path
from typing import Any

import lightcurves
import numpy as np
from astropy.timeseries import BoxLeastSquares

from skyfan_function.storage import open_input
from transits import lightcurve as reader
from transits import search as searching
from transits.detrend import trend
from transits.event import Config
from transits.handler import limits
from transits.series import Series

_SPEED, _PEER = 2, 8


def _planted(
    seed: int, snr: float, cadence: float = 120.0
) -> tuple[lightcurves.LightCurve, lightcurves.Planet]:
    rng = np.random.default_rng([5, seed])
    curve = lightcurves.make(rng, cadence, spots=3e-4)
    planet = lightcurves.planet(rng, curve, snr, longest=8.0)
    return lightcurves.planted(curve, planet), planet


def _ours(path: Path) -> tuple[float, Series, float]:
    """Period of the strongest candidate, the light curve without trend, and seconds of CPU with reading."""
    config = Config(max_candidates=1)
    start = time.process_time()
    with open_input(path.as_uri(), "anonymous") as source:
        read = reader.read(source)
    found = searching.search(read.series, read.dumps, limits(read, config))
    seconds = time.process_time() - start
    level = trend(read.series, config.trend_window)
    flat = Series(read.series.time, read.series.flux / level.level, level.scatter, read.series.cadence)
    return found.candidates[0].transit.period if found.candidates else 0.0, flat, seconds


def _astropy(flat: Series) -> tuple[float, float]:
    config = Config()
    start = time.process_time()
    result = BoxLeastSquares(flat.time, flat.flux, flat.error).autopower(
        np.array(config.durations) / 24, objective="snr",
        minimum_period=config.min_period, maximum_period=flat.baseline / 2,
    )  # fmt: skip
    return float(result.period[np.argmax(result.depth_snr)]), time.process_time() - start


def _least_squares(flat: Series) -> tuple[float, float, float]:
    """Period, signal detection efficiency and seconds of transitleastsquares, on one thread."""
    from transitleastsquares import transitleastsquares

    part = flat.binned(10 / 1440)
    start = time.process_time()
    model: Any = transitleastsquares(part.time, part.flux, part.error, verbose=False)
    result = model.power(
        period_min=0.5, period_max=flat.baseline / 2, use_threads=1, show_progress_bar=False, verbose=False
    )
    return float(result.period), float(result.SDE), time.process_time() - start


def compare(*, speed: bool, peer: bool) -> None:
    """Print times as ratios, and who finds the planets that are planted."""
    with tempfile.TemporaryDirectory() as folder:
        if speed:
            _speed(Path(folder))
        if peer and importlib.util.find_spec("transitleastsquares"):
            _peer(Path(folder))
        elif peer:
            print("transitleastsquares is not installed: no comparison")


def _speed(folder: Path) -> None:
    rows = []
    for seed in range(_SPEED):
        curve, planet = _planted(seed, 25.0)
        period, flat, ours = _ours(lightcurves.write(folder / "lc.fits", curve))
        other, theirs = _astropy(flat)
        equal = all(abs(each / planet.period - 1) < 3e-3 for each in (period, other))
        rows.append((ours, theirs, equal))
        print(
            f"2 minutes: {ours:.2f} s of CPU, autopower {theirs:.2f} s; both find the planet: {equal}",
            flush=True,
        )
    ours, theirs = np.median([row[:2] for row in rows], axis=0)
    print(f"2 minutes: autopower of astropy takes {theirs / ours:.0f} times as long")
    curve, _ = _planted(1, 25.0, 20.0)
    print(f"20 seconds: {_ours(lightcurves.write(folder / 'fast.fits', curve))[2]:.2f} s of CPU")
    curve, _ = _planted(1, 25.0, 1800.0)
    print(f"30 minutes: {_ours(lightcurves.write(folder / 'ffi.fits', curve))[2]:.2f} s of CPU")


def _peer(folder: Path) -> None:
    hits, ratios = [], []
    for seed in range(_PEER + 1):
        curve, planet = _planted(100 + seed, 10.0)
        period, flat, ours = _ours(lightcurves.write(folder / "lc.fits", curve))
        other, sde, theirs = _least_squares(flat)
        if seed:  # the first compiles
            hits.append([abs(each / planet.period - 1) < 3e-3 for each in (period, other)])
            ratios.append(theirs / ours)
            print(
                f"S/N 10: ours {period:.3f}, theirs {other:.3f} (SDE {sde:.1f}), true {planet.period:.3f} d",
                flush=True,
            )
    found = np.sum(hits, axis=0)
    print(
        f"S/N 10: Transits finds {found[0]} of {_PEER}, transitleastsquares on its light curves without "
        f"trend {found[1]}, in {np.median(ratios):.0f} times the CPU time"
    )
