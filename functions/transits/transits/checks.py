"""Is a candidate a planet? Odd and even transits, a second eclipse, and what the spacecraft did meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .fit import Transit, trapezoid
from .quality import Flag
from .series import Bools, Floats, Series

# A transit counts as observed if that much of it was.
_OBSERVED = 0.5
_DIFFERENT, _SECOND, _UNEQUAL = 3.0, 5.0, 3.0
_DEEP = 0.1
# Days of TESS around the Earth (Ricker et al. 2015).
ORBIT = 13.7
_FRACTIONS = (0.25, 1 / 3, 0.5, 1.0, 2.0, 3.0, 4.0)


@dataclass(frozen=True)
class Depths:
    """The depth of each transit that was observed."""

    number: Floats
    """Of the transit, 0 that of the epoch."""
    depth: Floats
    error: Floats
    """One sigma, with red noise."""

    def of(self, which: slice | Bools) -> tuple[float, float]:
        """Weighted mean depth of some of them, and its error; NaN of none."""
        depth, weight = self.depth[which], self.error[which] ** -2.0
        if not len(depth):
            return float("nan"), float("nan")
        return float(np.average(depth, weights=weight)), float(weight.sum() ** -0.5)

    @property
    def snr(self) -> Floats:
        """Signal to noise of each."""
        return self.depth / self.error


def depths(curve: Series, transit: Transit, red: float) -> Depths:
    """Depths of single transits, each with the shape of all; ``red`` is the factor of red noise."""
    shape = transit.shape(curve.time, curve.cadence)
    inside = shape > 0
    time, flux, weight, shape = (each[inside] for each in (curve.time, curve.flux, curve.error**-2, shape))
    number = transit.number(time)
    kinds, at = np.unique(number, return_inverse=True)
    norm = np.bincount(at, weight * shape**2)
    depth = -np.bincount(at, weight * shape * flux) / norm
    seen = np.bincount(at, shape) * curve.cadence / transit.duration > _OBSERVED
    return Depths(kinds[seen], depth[seen], (red / np.sqrt(norm))[seen])


@dataclass(frozen=True)
class Checks:
    """What speaks for or against a planet."""

    transits: int
    """Observed."""
    expected: int
    """Between the first and the last flux."""
    odd: tuple[float, float]
    """Depth and error."""
    even: tuple[float, float]
    odd_even: float
    """Their difference in sigma."""
    second: tuple[float, float]
    """Depth and error of the deepest eclipse at another phase."""
    second_phase: float
    """0 to 1."""
    flags: Flag


def check(
    curve: Series,
    transit: Transit,
    red: float,
    segments: list[tuple[float, float]],
    dumps: Floats,
    limits: tuple[float, float],
) -> Checks:
    """All checks of one candidate in a light curve without trend.

    ``segments`` are the first and last times of stretches without a gap, ``dumps`` the times of momentum
    dumps, ``limits`` the shortest and longest period of the search, in days.
    """
    each = depths(curve, transit, red)
    odd, even = each.of(each.number % 2 == 1), each.of(each.number % 2 == 0)
    apart = abs(odd[0] - even[0]) / np.hypot(odd[1], even[1])
    second, error, phase = _second(curve, transit, red)
    flags = Flag.NONE
    first, last = (transit.number(np.array([t])).item() for t in (curve.time[0], curve.time[-1]))
    for flag, holds in (
        (Flag.FEW_TRANSITS, len(each.depth) < 3),
        (Flag.NEAR_GAP, _share(each, _near_edge(each, transit, segments)) >= 0.5),
        (Flag.DUMPS, _share(each, _near(each, transit, dumps)) >= 0.5),
        (Flag.ODD_EVEN, apart > _DIFFERENT),
        (Flag.SECONDARY, second > _SECOND * error),
        (Flag.ALIAS, _is_alias(transit, curve.baseline, dumps)),
        (Flag.UNEQUAL, _unequal(each)),
        (Flag.SINE, _is_sine(curve, transit)),
        (Flag.DEEP, transit.depth > _DEEP),
        (Flag.V_SHAPE, transit.ingress > 0.5),
        (Flag.LIMIT, transit.period < limits[0] * 1.01 or transit.period > limits[1] * 0.99),
    ):
        flags |= flag if holds else Flag.NONE
    return Checks(
        transits=len(each.depth),
        expected=int(last - first) + 1,
        odd=odd,
        even=even,
        odd_even=float(apart),
        second=(second, error),
        second_phase=phase,
        flags=flags,
    )


def same_period(one: float, other: float, baseline: float, duration: float) -> bool:
    """Whether one period is a simple multiple of the other, or equal, as far as ``baseline`` tells."""
    far = duration * one / baseline
    return any(abs(one - other * fraction) < max(far, 0.002 * one) for fraction in _FRACTIONS)


def _second(curve: Series, transit: Transit, red: float) -> tuple[float, float, float]:
    """Depth, error and phase of the most significant other eclipse, as long as the transit."""
    part = curve.binned(max(transit.duration / 8, curve.cadence))
    phase = transit.phase(part.time)
    away = np.abs(phase) > transit.total
    steps = np.arange(transit.total * 1.5, transit.period - transit.total * 1.5, transit.duration / 4)
    if not len(steps) or not away.any():
        return 0.0, float("nan"), float("nan")
    phase, flux, weight = (phase[away] % transit.period, part.flux[away], part.error[away] ** -2.0)
    order = np.argsort(phase)
    phase, flux, weight = phase[order], flux[order], weight[order]
    flux = flux - np.median(flux)
    low, high = (np.searchsorted(phase, steps + side * transit.duration / 2) for side in (-1, 1))
    total, sums = (np.concatenate([[0.0], np.cumsum(each)]) for each in (weight, weight * flux))
    inside = total[high] - total[low]
    filled = inside > 0.25 * np.median(inside)
    if not filled.any():
        return 0.0, float("nan"), float("nan")
    depth = -(sums[high] - sums[low])[filled] / inside[filled]
    error = red * inside[filled] ** -0.5
    best = int(np.argmax(depth / error))
    return float(depth[best]), float(error[best]), float(steps[filled][best] / transit.period)


def _near_edge(each: Depths, transit: Transit, segments: list[tuple[float, float]]) -> Bools:
    """Whether a transit, with as much again before and behind it, leaves its stretch of fluxes."""
    middle = transit.epoch + each.number * transit.period
    first, last = (np.array(side) for side in zip(*segments, strict=True))
    at = np.clip(np.searchsorted(first, middle, side="right") - 1, 0, len(first) - 1)
    margin = 0.5 * transit.total + transit.duration
    near: Bools = (middle - margin < first[at]) | (middle + margin > last[at])
    return near


def _near(each: Depths, transit: Transit, moments: Floats) -> Bools:
    """Whether one of these moments falls into a transit, or just before it."""
    if not len(moments):
        return np.zeros(len(each.depth), bool)
    middle = transit.epoch + each.number * transit.period
    away = np.abs(middle[:, None] - moments).min(axis=1)
    near: Bools = away < 0.5 * transit.total
    return near


def _share(each: Depths, which: Bools) -> float:
    """Share of these transits in the square of the signal to noise."""
    power = np.maximum(each.snr, 0) ** 2
    return float((power * which).sum() / power.sum()) if power.sum() > 0 else 0.0


def _is_alias(transit: Transit, baseline: float, dumps: Floats) -> bool:
    known = [ORBIT, ORBIT / 2]
    if len(dumps) > 2:
        # A dump takes minutes, and its flags stand at several cadences.
        single = dumps[np.concatenate([[True], np.diff(dumps) > 0.25])]
        known += [float(np.median(np.diff(single))) * times for times in (1, 2)] if len(single) > 2 else []
    far = max(transit.duration * transit.period / baseline, 0.002 * transit.period)
    return any(abs(transit.period - other) < far for other in known)


def _unequal(each: Depths) -> bool:
    """Whether chi squared of the depths about their mean is beyond 3 sigma of a normal value.

    Wilson & Hilferty's cube root makes it nearly normal.
    """
    free = len(each.depth) - 1
    if free < 1:
        return False
    chi = (((each.depth - each.of(slice(None))[0]) / each.error) ** 2).sum() / free
    return bool((chi ** (1 / 3) - (1 - 2 / (9 * free))) / np.sqrt(2 / (9 * free)) > _UNEQUAL)


def _is_sine(curve: Series, transit: Transit) -> bool:
    """Whether waves of the period, or of twice that, explain as much of chi squared as the transit."""
    part = curve.binned(max(transit.duration / 4, curve.cadence))
    flux, error = part.flux / part.error, part.error
    box = trapezoid(transit.phase(part.time), transit.duration, transit.ingress, part.cadence)

    def explained(*columns: Floats) -> float:
        design = np.column_stack([*columns, np.ones(len(part))]) / error[:, None]
        solved = np.linalg.lstsq(design, flux, rcond=None)[0]
        return -float(((flux - design @ solved) ** 2).sum())

    angle = 2 * np.pi * (part.time - transit.epoch) / transit.period
    by_box = explained(box)
    return any(explained(np.cos(a), np.sin(a)) >= by_box for a in (angle, angle / 2))
