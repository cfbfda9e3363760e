"""Period, epoch, depth and duration of a transit: a trapezoid is fitted to all fluxes near transits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .boxes import PER_DURATION
from .series import Floats, Series

# Ingress relative to the duration: from a box to a V.
SHAPES = (0.05, 0.15, 0.3, 0.5, 0.7, 0.95)
# Durations around the middle of a transit whose fluxes count.
_AROUND = 1.5
_STEPS = 12
# Durations that a first fit begins with, relative to that of the box.
_TIMES = (0.7, 1.0, 2.0)
# Free parameters: period, epoch, depth, duration and the level.
_FREE = 5
# Of chi squared: a step that gains less is the last.
_ENOUGH = 1e-2
# A flux of a longer exposure than this part of the ingress is a mean over it.
_SHORT = 0.5
_PARTS = 5


@dataclass(frozen=True)
class Transit:
    """A periodic trapezoid."""

    period: float
    """Days."""
    epoch: float
    """Middle of the transit nearest to that of the light curve: it depends least on the period. Days."""
    depth: float
    """Of the floor, relative to the star's flux."""
    duration: float
    """Days of the width at half depth: from the middle of ingress to the middle of egress."""
    ingress: float
    """Duration of ingress relative to ``duration``: from 0, a box, to 1, a V."""
    errors: tuple[float, float, float, float]
    """Of period, epoch, depth and duration; NaN where the fluxes do not constrain them."""
    snr: float = float("nan")
    """Depth over the error that it has if all else is known: how sure it is that there is a transit."""

    @property
    def total(self) -> float:
        """Days from first to last contact."""
        return self.duration * (1 + self.ingress)

    def phase(self, time: Floats) -> Floats:
        """Days from the middle of the nearest transit."""
        return (time - self.epoch + self.period / 2) % self.period - self.period / 2

    def number(self, time: Floats) -> Floats:
        """Number of the nearest transit, 0 that of the epoch."""
        counted: Floats = np.round((time - self.epoch) / self.period)
        return counted

    def shape(self, time: Floats, exposure: float) -> Floats:
        """Depth at each time, relative to that of the floor, averaged over an exposure in days."""
        return trapezoid(self.phase(time), self.duration, self.ingress, exposure)


def trapezoid(phase: Floats, duration: float, ingress: float, exposure: float) -> Floats:
    """1 on the floor, 0 outside; ``phase`` is in days from the middle. A long exposure blurs it."""
    shape, _, _ = _blurred(phase, duration, ingress, exposure)
    return shape


def _blurred(
    phase: Floats, duration: float, ingress: float, exposure: float
) -> tuple[Floats, Floats, Floats]:
    """The trapezoid, and its derivatives by phase and duration, averaged over an exposure."""
    ramp = max(ingress * duration, 1e-6)
    parts = _PARTS if exposure > _SHORT * ramp else 1
    steps = (np.arange(parts) + 0.5) / parts - 0.5
    x = phase + exposure * steps[:, None]
    away = np.abs(x)
    height = (duration / 2 + ramp / 2 - away) / ramp
    sloped = (height > 0) & (height < 1)
    by_phase = np.where(sloped, -np.sign(x) / ramp, 0.0)
    by_duration = np.where(sloped, away / (ramp * duration), 0.0)
    return np.clip(height, 0, 1).mean(axis=0), by_phase.mean(axis=0), by_duration.mean(axis=0)


def first_fit(curve: Series, box: Transit) -> Transit:
    """The trapezoid near a box, which may be half or twice as long as the transit, on coarse means."""
    starts = [replace(box, duration=box.duration * times, ingress=SHAPES[2]) for times in _TIMES]
    part = curve.binned(box.duration / PER_DURATION)
    return _best(part, starts, max(_TIMES) * _AROUND * box.duration)


def fit(curve: Series, guess: Transit, red: float = 1.0) -> Transit:
    """The trapezoid that fits a light curve without trend best, near a good guess.

    Gauss and Newton's steps, damped, for each of several ingresses. The errors are those of the covariances
    of all, and of their differences: the best one alone may owe its sharp edges to noise. Each has as weight
    its evidence, the likelihood times the volume of its covariance (Laplace's approximation): of edges that
    are as likely, the blunt ones stand for more. They are for fluxes whose errors are ``red`` times as large,
    the factor of red noise.
    """
    starts = [replace(guess, ingress=shape) for shape in SHAPES]
    return _best(curve, starts, _AROUND * guess.duration, red)


def _best(curve: Series, starts: Sequence[Transit], reach: float, red: float = 1.0) -> Transit:
    """The best of the fits from all ``starts``, to fluxes within ``reach`` days of a transit."""
    first, middle = starts[0], 0.5 * (curve.time[0] + curve.time[-1])
    epoch = first.epoch + round((middle - first.epoch) / first.period) * first.period
    near = np.abs(first.phase(curve.time)) < reach
    if near.sum() <= _FREE:
        return replace(first, epoch=epoch)
    part = curve.chosen(near)
    fits = [_descend(part, replace(start, epoch=epoch)) for start in starts]
    _, best, _ = min(fits, key=lambda found: found[0])
    evidence = np.array([volume - 0.5 * chi / red**2 for chi, _, volume in fits])
    weights = np.exp(evidence - evidence.max())
    values = np.array([[each.period, each.epoch, each.depth, each.duration] for _, each, _ in fits])
    apart = values - [best.period, best.epoch, best.depth, best.duration]
    variance = np.array([each.errors for _, each, _ in fits]) ** 2 * red**2 + apart**2
    a, b, c, d = np.sqrt(np.average(variance, axis=0, weights=weights)).tolist()
    power = np.sum((best.shape(part.time, part.cadence) / part.error) ** 2)
    return replace(best, errors=(a, b, c, d), snr=float(best.depth * np.sqrt(power) / red))


def _descend(part: Series, start: Transit) -> tuple[float, Transit, float]:
    """Chi squared, the transit at its minimum, and the logarithm of the volume of the covariance there, for
    one ingress.
    """
    number, phase = start.number(part.time), start.phase(part.time)

    def at(now: Transit) -> tuple[float, Floats, Floats]:
        return _slopes(
            part, now, phase - (now.epoch - start.epoch) - number * (now.period - start.period), number
        )

    now, damping = start, 1e-3
    chi, residual, slopes = at(now)
    curvature = slopes.T @ slopes
    for _ in range(_STEPS):
        try:
            step = np.linalg.solve(curvature + np.diag(np.diag(curvature) * damping), slopes.T @ residual)
        except np.linalg.LinAlgError:
            break
        tried = _moved(now, step, start)
        new, new_residual, new_slopes = at(tried)
        if new < chi:
            gain = chi - new
            now, chi, residual, slopes, damping = tried, new, new_residual, new_slopes, damping / 5
            curvature = slopes.T @ slopes
            if gain < _ENOUGH:
                break
        else:
            damping *= 8
            if damping > 1e4:
                break
    sign, volume = np.linalg.slogdet(curvature)
    return chi, replace(now, errors=_errors(curvature)), float(-0.5 * volume if sign > 0 else 0.0)


def _moved(now: Transit, step: NDArray[Any], start: Transit) -> Transit:
    """A step away, but never further than the guess can be wrong."""
    period, epoch, depth, duration = (float(each) for each in step[:4])
    return replace(
        now,
        period=min(max(now.period + period, start.period * 0.98), start.period * 1.02),
        epoch=min(max(now.epoch + epoch, start.epoch - start.duration), start.epoch + start.duration),
        depth=now.depth + depth,
        duration=min(max(now.duration + duration, 0.3 * start.duration), 3 * start.duration),
    )


def _slopes(part: Series, now: Transit, phase: Floats, number: Floats) -> tuple[float, Floats, Floats]:
    """Chi squared, residuals and derivatives (n, 5) in units of the errors; the fifth is a level."""
    shape, by_phase, by_duration = _blurred(phase, now.duration, now.ingress, part.cadence)
    weight = part.error**-2
    away = part.flux + now.depth * shape
    residual = (away - (weight @ away) / weight.sum()) / part.error
    slopes = np.empty((len(part), _FREE))
    slopes[:, 1] = now.depth * by_phase
    slopes[:, 0] = slopes[:, 1] * number
    slopes[:, 2] = -shape
    slopes[:, 3] = -now.depth * by_duration
    slopes[:, 4] = 1
    return float(residual @ residual), residual, slopes / part.error[:, None]


def _errors(curvature: Floats) -> tuple[float, float, float, float]:
    try:
        variance = np.diag(np.linalg.inv(curvature))
    except np.linalg.LinAlgError:
        variance = np.full(_FREE, np.nan)
    a, b, c, d = (float(v) ** 0.5 if v > 0 else float("nan") for v in variance[:4])
    return a, b, c, d
