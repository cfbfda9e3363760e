"""Stars, galaxies, hot pixels and cosmic rays planted in one picture: what CLASS makes of each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from fields import CORE_AND_HALO, Rows, one_sigma, places, rows_of
from planting import Floats, Shape

from sep_extract.chip import Chip
from sep_extract.classes import Class
from sep_extract.event import Config
from sep_extract.extract import measure

FINE = 5
HALF = 40
KINDS = ("star", "galaxy", "hit")
BITS = {"star": Class.STAR, "galaxy": Class.EXTENDED, "hit": Class.SHARP}
RANGES = ((10, 20), (20, 50), (50, 200), (200, 1000))
# Half-light radii of galaxies before they are blurred, in those of the star.
SIZES = (1.5, 6.0)
Stamp = tuple[Floats, int, int]


def _half_light(shape: Shape) -> float:
    light, left, bottom = shape.stamp(0.0, 0.0)
    across = np.arange(len(light))
    radius = np.hypot(across[None, :] + left, across[:, None] + bottom).ravel()
    order = np.argsort(radius)
    return float(np.interp(0.5 * light.sum(), light.ravel()[order].cumsum(), radius[order]))


class Galaxy(Shape):
    """A Sersic profile of index 1 or 4 seen through the star CORE_AND_HALO; ``a``, ``b`` half-light axes."""

    index = 1

    def stamp(self, x: float, y: float) -> Stamp:
        left, bottom = round(x) - HALF, round(y) - HALF
        side = 2 * HALF + 1
        fine = (np.arange(side * FINE) + 0.5) / FINE - 0.5
        inverse = np.linalg.inv(self.matrix)
        dx, dy = fine[None, :] + left - x, fine[:, None] + bottom - y
        r2 = inverse[0, 0] * dx * dx + 2 * inverse[0, 1] * dx * dy + inverse[1, 1] * dy * dy
        rate = 1.678 if self.index == 1 else 7.669
        light = np.exp(-rate * r2 ** (0.5 / self.index))
        sharp = light.reshape(side, FINE, side, FINE).sum(axis=(1, 3))
        star, star_left, star_bottom = CORE_AND_HALO.stamp(0.0, 0.0)
        middle = slice(-star_left - HALF, -star_left + HALF + 1)
        assert star_left == star_bottom
        size = 2 * side
        blurred = np.fft.irfft2(
            np.fft.rfft2(sharp, (size, size)) * np.fft.rfft2(star[middle, middle], (size, size)), (size, size)
        )[HALF : HALF + side, HALF : HALF + side]
        return blurred / light.sum(), left, bottom


class DeVaucouleurs(Galaxy):
    index = 4


def _hit(rng: np.random.Generator, x: float, y: float) -> Stamp:
    """A hot pixel, or a cosmic ray: two to six pixels in a row, or a small spot."""
    stamp = np.zeros((9, 9))
    kind = rng.integers(3)
    stamp[4, 4] = 1.0
    if kind == 1:
        angle, length = rng.uniform(0, math.pi), rng.integers(2, 7)
        for step in range(length):
            at = 4 + np.rint((step - length / 2) * np.array([math.sin(angle), math.cos(angle)])).astype(int)
            stamp[tuple(at)] = rng.uniform(0.3, 1.0)
    elif kind == 2:
        stamp[4, 5], stamp[5, 4] = rng.uniform(0, 0.5, 2)
    return stamp / stamp.sum(), round(x) - 4, round(y) - 4


def measured(chip: Chip, rng: np.random.Generator, config: Config, spacing: int) -> Mapping[str, Any]:
    """Planted kinds (n,), their S/N in a circle of 3 pixels, and CLASS found there, -1 if nothing was."""
    unit, gain = one_sigma(measure(chip.pixels, config).rms), chip.calibration.gain or 1.0
    empty: Rows = rows_of(chip, config)
    x, y = places(~chip.mask, rng, spacing, edge=HALF + 1 + spacing // 4)
    distance = np.hypot(x[:, None] - empty["X_IMAGE"] + 1, y[:, None] - empty["Y_IMAGE"] + 1)
    x, y = (v[distance.min(axis=1) > 5] for v in (x, y))
    kind = rng.choice(len(KINDS), len(x), p=(0.45, 0.45, 0.1))
    signal_to_noise = np.exp(rng.uniform(*np.log((RANGES[0][0], RANGES[-1][1])), len(x)))
    model, hits, radius = np.zeros(chip.data.shape), np.zeros(chip.data.shape), _half_light(CORE_AND_HALO)
    across = np.arange(-HALF, HALF + 1)
    inside = np.hypot(across[:, None], across[None, :]) < 3
    for k in range(len(x)):
        if kind[k] == 2:
            light, left, bottom = _hit(rng, x[k], y[k])
            hits[bottom : bottom + 9, left : left + 9] += signal_to_noise[k] * unit * light
            continue
        shape: Shape = CORE_AND_HALO
        if kind[k] == 1:
            size = radius * math.exp(rng.uniform(*np.log(SIZES)))
            profile = (Galaxy, DeVaucouleurs)[rng.integers(2)]
            shape = profile("exponential", size, size * rng.uniform(0.3, 1), rng.uniform(0, math.pi))
        light, left, bottom = shape.stamp(x[k], y[k])
        cut = (len(light) - 2 * HALF - 1) // 2
        light = light[cut : len(light) - cut, cut : len(light) - cut]
        rows, columns = (slice(at + cut, at + cut + 2 * HALF + 1) for at in (bottom, left))
        model[rows, columns] += signal_to_noise[k] * unit * light / light[inside].sum()
    drawn = rng.poisson(np.maximum(model, 0) * gain) / gain + hits
    data = (chip.data + drawn).astype(np.float32)
    data[chip.mask] = 0
    error = None if chip.error is None else np.sqrt(chip.error**2 + model / gain).astype(np.float32)
    found = rows_of(replace(chip, data=data, error=error), config)
    distance = np.hypot(x[:, None] - found["X_IMAGE"] + 1, y[:, None] - found["Y_IMAGE"] + 1)
    row = distance.argmin(axis=1)
    classes = np.where(distance.min(axis=1) < 2, found["CLASS"][row], -1)
    return {"kind": kind, "S/N": signal_to_noise, "CLASS": classes}


def figures(sample: Mapping[str, Any]) -> list[dict[str, float]]:
    """Completeness and purity of detected ones by S/N; purity as if there were as many stars as galaxies."""
    rows = []
    for least, most in RANGES:
        here = (sample["S/N"] >= least) & (sample["S/N"] < most) & (sample["CLASS"] >= 0)
        row: dict[str, float] = {"S/N over": least, "detected": int(here.sum())}
        said = {
            name: [
                float(((sample["CLASS"][here & (sample["kind"] == k)] & BITS[name]) != 0).mean())
                for k in range(len(KINDS))
            ]
            for name in KINDS
        }
        for k, name in enumerate(KINDS):
            row[f"{name} complete"] = said[name][k]
        row["star pure"] = said["star"][0] / max(said["star"][0] + said["star"][1], 1e-9)
        row["galaxy pure"] = said["galaxy"][1] / max(said["galaxy"][0] + said["galaxy"][1], 1e-9)
        row["hits called stars"] = said["star"][2]
        row["hits called galaxies"] = said["galaxy"][2]
        rows.append(row)
    return rows
