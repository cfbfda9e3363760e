"""Truth of Transits: planets that are found, false alarms, bias and errors; its time beside astropy's.

    python benchmarks/transits [N] [--real FILE...] [--only PART...]

N light curves (1000) without a transit, of one sector at 2 minutes, made by benchmarks/lightcurves.py, and as
many with a planet of S/N 5 to 60. The S/N of a planet is that of its mean depth over the noise of all good
cadences in transit, with the red noise that the light curve has over its duration before it is planted.

--real adds files of SPOC: each is searched as it is; then its own candidates and dips are taken out, and N/4
copies of which the days are dealt out anew, some upside down, are searched, and as many with a planet. Two
such files, of TIC 55652896 (sector 1) and TIC 160148385 (sector 2), lie in the folder notebooks of the source
distribution of the package eleanor 2.0.5.

Parts: alarms, planets, real, detrending, speed, peer (transitleastsquares, if it is installed).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from multiprocessing import Pool
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / name) for name in ("functions/runtime", "functions/transits", "benchmarks")]
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import lightcurves  # noqa: E402
import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from skyfan_function.storage import open_input  # noqa: E402
from transits import lightcurve as reader  # noqa: E402
from transits import search as searching  # noqa: E402
from transits.detrend import trend  # noqa: E402
from transits.event import Config  # noqa: E402
from transits.formats import table  # noqa: E402
from transits.handler import limits  # noqa: E402
from transits.noise import red_factors  # noqa: E402
from transits.series import Series  # noqa: E402

BINS = (5, 6, 7, 8, 9, 10, 12, 15, 20, 30, 40)
THRESHOLDS = (7.1, 8.0, 10.0)
LOWEST = 6.0
WINDOWS = (0.75, 1.0, 1.5)
BAD = table()[0][0].bad


@dataclass(frozen=True)
class Outcome:
    """What became of one light curve."""

    snr: float
    """Of the strongest candidate; 0 without one."""
    seconds: float
    flags: int = 0
    wanted: float = 0.0
    """S/N that the planet has."""
    found: bool = False
    multiple: bool = False
    """Found with half or twice its period."""
    pulls: tuple[float, ...] = ()
    """Of period, epoch, mean depth and duration, in errors."""
    depth: float = 0.0
    """Mean depth relative to the planet's."""


def series(curve: lightcurves.LightCurve) -> tuple[Series, NDArray[np.float64]]:
    """The good cadences of a made light curve, and its momentum dumps."""
    good = np.isfinite(curve.flux) & ((curve.quality & BAD) == 0)
    level = np.median(curve.flux[good])
    made = Series(curve.time[good], curve.flux[good] / level, curve.error[good] / level, curve.cadence)
    return made, curve.time[(curve.quality & lightcurves.DUMP_BIT) > 0]


def searched(
    curve: Series, dumps: NDArray[np.float64], window: float | None = None
) -> tuple[searching.Search, float]:
    """The result with a low threshold, and seconds of CPU."""
    config = Config(min_snr=LOWEST, max_candidates=1, window=window)
    holder: Any = type("Holder", (), {"series": curve})
    start = time.process_time()
    result = searching.search(curve, dumps, limits(holder, config))
    return result, time.process_time() - start


def judged(
    curve: lightcurves.LightCurve, planet: lightcurves.Planet | None, window: float | None = None
) -> Outcome:
    """Search a light curve into which ``planet`` is planted."""
    before, _ = series(curve)
    wanted = 0.0
    if planet is not None:
        level = trend(before, 1.0)
        flat = replace(before, flux=before.flux - level.level, error=level.scatter)
        red = float(red_factors(flat, np.array([planet.duration]))[0])
        inside = (before.time - planet.epoch + planet.period / 2) % planet.period - planet.period / 2
        weight = flat.error[np.abs(inside) < planet.duration / 2] ** -2.0
        wanted = planet.depth * float(np.sqrt(weight.sum())) / red
        curve = lightcurves.planted(curve, planet)
    result, seconds = searched(*series(curve), window)
    if not result.candidates:
        return Outcome(0.0, seconds, wanted=wanted)
    (candidate,) = result.candidates
    got = candidate.transit
    plain = Outcome(got.snr, seconds, int(candidate.checks.flags), wanted)
    if planet is None:
        return plain
    away = (got.epoch - planet.epoch + planet.period / 2) % planet.period - planet.period / 2
    close = abs(away) < planet.duration
    drift = max(planet.duration / before.baseline, 1e-3)
    found = close and abs(got.period / planet.period - 1) < drift
    multiple = any(abs(got.period / planet.period / times - 1) < drift for times in (0.5, 2.0))
    mean = got.depth * (1 - got.ingress / 4)
    values = (got.period - planet.period, away, mean - planet.depth, got.duration - planet.width)
    pulls = tuple(value / error for value, error in zip(values, got.errors, strict=True))
    return replace(plain, found=found, multiple=multiple, pulls=pulls, depth=mean / planet.depth)


def empty(seed: int) -> Outcome:
    """A made light curve without a planet."""
    return judged(lightcurves.make(np.random.default_rng([1, seed])), None)


def full(seed: int) -> Outcome:
    """A made light curve with one."""
    rng = np.random.default_rng([2, seed])
    curve = lightcurves.make(rng)
    return judged(curve, lightcurves.planet(rng, curve, float(np.exp(rng.uniform(np.log(5), np.log(60))))))


def print_alarms(what: str, found: list[Outcome]) -> None:
    """False alarms per thousand, at several thresholds, with their errors."""
    for threshold in THRESHOLDS:
        alarms = [one for one in found if one.snr >= threshold]
        clean = sum(one.flags == 0 for one in alarms)
        per, scale = len(alarms) / len(found) * 1000, 1000 / len(found)
        print(
            f"{what}: S/N {threshold:g}: {per:.1f} +- {scale * max(len(alarms), 1) ** 0.5:.1f} per thousand "
            f"of {len(found)}; without flags {clean * scale:.1f}",
            flush=True,
        )


def print_planets(what: str, found: list[Outcome]) -> None:
    """Share found at the default threshold by S/N; bias and width of pulls of those of S/N above 10."""
    least = Config().min_snr
    for low, high in pairwise(BINS):
        of = [one for one in found if low <= one.wanted < high]
        if of:
            hits = np.mean([one.found and one.snr >= least for one in of])
            others = np.mean([one.multiple and one.snr >= least for one in of])
            print(
                f"{what}: S/N {low} to {high}: found {hits:.2f}, half or twice {others:.2f}, of {len(of)}",
                flush=True,
            )
    good = [one for one in found if one.found and one.wanted > 10]
    pulls = np.array([one.pulls for one in good])
    for name, column in zip(("period", "epoch", "mean depth", "duration"), pulls.T, strict=True):
        low, middle, high = np.nanpercentile(column, [15.87, 50, 84.13])
        print(f"{what}: pull of {name}: median {middle:.2f}, width {(high - low) / 2:.2f}", flush=True)
    depth = np.median([one.depth for one in good])
    snr = np.median([one.snr / one.wanted for one in good])
    print(f"{what}: relative to the planet's: median mean depth {depth:.3f}, S/N {snr:.2f}", flush=True)


def cleaned(path: Path) -> lightcurves.LightCurve:
    """A real light curve, printed and without what was found in it."""
    with open_input(path.absolute().as_uri(), "anonymous") as source:
        read = reader.read(source)
    config = Config()
    found = searching.search(read.series, read.dumps, limits(read, config))
    print(f"{path.name}: noise of an hour {found.noise * 1e6:.0f} ppm, red {found.red:.2f}")
    curve, flux = found.curve, found.curve.flux.copy()
    rng = np.random.default_rng(1)
    for candidate in found.candidates:
        got = candidate.transit
        print(
            f"  period {got.period:.5f} +- {got.errors[0]:.5f} d, S/N {got.snr:.1f}, "
            f"depth {got.depth * 1e6:.0f} ppm, {got.duration * 24:.2f} h, {candidate.checks.flags!r}"
        )
        inside = np.abs(got.phase(curve.time)) < 0.6 * got.total
        flux[inside] = rng.choice(flux[~inside], int(inside.sum()))
    for dip in found.dips:
        print(f"  one dip at {dip.time:.3f}: {dip.depth * 1e6:.0f} ppm, S/N {dip.snr:.1f}")
        inside = np.abs(curve.time - dip.time) < dip.duration
        flux[inside] = rng.choice(flux[~inside], int(inside.sum()))
    none = np.zeros(len(flux), np.int32)
    return lightcurves.LightCurve(curve.time, 1 + flux, curve.error, none, curve.cadence, found.noise, 0.0)


def dealt(curve: lightcurves.LightCurve, rng: np.random.Generator) -> lightcurves.LightCurve:
    """A copy of which the days come in another order, some upside down."""
    day = (curve.time - curve.time[0]).astype(int)
    parts = [curve.flux[day == each] for each in rng.permutation(np.unique(day))]
    parts = [2 - part if rng.random() < 0.5 else part for part in parts]
    return replace(curve, flux=np.concatenate(parts))


def real(curve: lightcurves.LightCurve, plant: bool, seed: int) -> Outcome:
    """A copy of a real light curve, with a planet or without."""
    rng = np.random.default_rng([3, seed])
    copy = dealt(curve, rng)
    snr = float(np.exp(rng.uniform(np.log(5), np.log(60))))
    return judged(copy, lightcurves.planet(rng, copy, snr) if plant else None)


def by_way(degree: int, window: float, plant: bool, seed: int) -> Outcome:
    """A made light curve whose trend is taken out in another way."""
    searching.trend = partial(trend, degree=degree)  # type: ignore[attr-defined]
    rng = np.random.default_rng([4, seed])
    curve = lightcurves.make(rng)
    return judged(curve, lightcurves.planet(rng, curve, 15.0) if plant else None, window)


def print_ways(pool: Any, n: int) -> None:
    """Levels or lines in windows of several widths: planets of S/N 15 found, their depth, false alarms."""
    least = Config().min_snr
    for degree in (0, 1):
        for window in WINDOWS:
            full, empty = (
                pool.map(partial(by_way, degree, window, plant), range(n), chunksize=2)
                for plant in (True, False)
            )
            hits = [one for one in full if one.found and one.snr >= least]
            alarms = sum(one.snr >= least for one in empty)
            print(
                f"{('levels', 'lines')[degree]} in windows of {window:g} d: found {len(hits) / n:.2f}, "
                f"mean depth {np.median([one.depth for one in hits]):.3f}, false alarms {alarms} of {n}",
                flush=True,
            )


def main() -> None:
    """Run the parts and print their figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("n", nargs="?", type=int, default=1000)
    parser.add_argument("--real", nargs="+", type=Path, default=[])
    parser.add_argument(
        "--only", nargs="+", default=["alarms", "planets", "detrending", "speed", "real", "peer"]
    )
    options = parser.parse_args()
    with Pool() as pool:
        if "alarms" in options.only:
            print_alarms("no planet", pool.map(empty, range(options.n), chunksize=2))
        if "planets" in options.only:
            print_planets("planets", pool.map(full, range(options.n), chunksize=2))
        if "real" in options.only:
            for path in options.real:
                curve, count = cleaned(path), range(options.n // 4)
                print_alarms(path.name, pool.map(partial(real, curve, False), count, chunksize=2))
                print_planets(path.name, pool.map(partial(real, curve, True), count, chunksize=2))
        if "detrending" in options.only:
            print_ways(pool, options.n // 4)
    if {"speed", "peer"} & {*options.only}:
        import beside

        beside.compare(speed="speed" in options.only, peer="peer" in options.only)


if __name__ == "__main__":
    main()
