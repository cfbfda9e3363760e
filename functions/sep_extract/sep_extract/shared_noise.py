"""Noise that neighbouring pixels share, and what it adds to the errors of fluxes.

Drizzling and resampling spread the noise of one detector pixel over several; flat-field errors, persistence
and sources too faint to detect do the same on any image. Errors that take pixels for independent are then too
small, by a factor that grows with the area. Here the image itself says how much: by the scatter of sums over
blocks of blank pixels (the method of empty apertures: Labbe et al. 2003, AJ 125, 1107).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_BLOCKS = (2, 4, 8, 16)
_LEAST_BLOCKS = 64
# With less blank sky than this the blocks measure the wings of sources.
_LEAST_BLANK = 0.2
# How far from a source's segment its wings are taken to reach, in pixels.
_WINGS = 4
_ENOUGH = 50_000


@dataclass(frozen=True)
class SharedNoise:
    """Noise of a sum over blank pixels over that of as many independent ones, by area in pixels."""

    areas: tuple[float, ...] = (1.0,)
    factors: tuple[float, ...] = (1.0,)
    measured: bool = False

    def factor(self, area: Floats | float) -> Floats:
        """At least 1; interpolated between measured areas in logarithms, beyond them that of the nearest."""
        with np.errstate(divide="ignore", invalid="ignore"):
            log_area = np.log(np.maximum(area, 1e-3))
        found: Floats = np.exp(np.interp(log_area, np.log(self.areas), np.log(self.factors)))
        return found


def measure_shared_noise(
    data: NDArray[np.float32], variance: NDArray[np.float32], owner: NDArray[np.int32]
) -> SharedNoise:
    """Measure it on the pixels of nobody.

    ``data``, background subtracted, ``variance``, and ``owner``, which is 0 where a pixel is usable and no
    source's: all (ny, nx). An image without enough blank sky gives a factor of 1, not ``measured``.
    """
    blank = (owner == 0) & (variance > 0) & ~_grown(owner > 0)
    if np.count_nonzero(blank) < _LEAST_BLANK * np.count_nonzero(owner >= 0):
        return SharedNoise()
    with np.errstate(divide="ignore", invalid="ignore"):
        sums = np.where(blank, data / np.sqrt(variance), 0)
    areas, factors = [1.0], [max(1.0, _scatter(sums[blank]))]
    for block in _BLOCKS:
        blank = np.logical_and.reduce(_quarters(blank))
        sums = np.add.reduce(_quarters(sums))
        if np.count_nonzero(blank) < _LEAST_BLOCKS:
            break
        areas.append(float(block * block))
        factors.append(max(factors[-1], _scatter(sums[blank]) / block))
    return SharedNoise(tuple(areas), tuple(factors), len(areas) > 1)


def _quarters(image: NDArray[Any]) -> list[NDArray[Any]]:
    """The four pixels of each block of 2 x 2, as four images of half the size."""
    ny, nx = (n // 2 * 2 for n in image.shape)
    return [image[row:ny:2, column:nx:2] for row in (0, 1) for column in (0, 1)]


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    grown = mask.copy()
    for _ in range(_WINGS):
        grown[1:] |= grown[:-1].copy()
        grown[:-1] |= grown[1:].copy()
        grown[:, 1:] |= grown[:, :-1].copy()
        grown[:, :-1] |= grown[:, 1:].copy()
    return grown


def widen(columns: dict[str, NDArray[Any]], shared: SharedNoise, radii: list[float]) -> None:
    """Add shared noise to the errors of fluxes, in place; ``radii`` of the circles in pixels."""
    noise = columns["rms"]
    areas = {
        "fluxerr_iso": columns["isoareaf"],
        "fluxerr_auto": np.pi * columns["a"] * columns["b"] * columns["kron_radius"] ** 2,
    }
    for name, area in areas.items():
        columns[name] = _widened(columns[name], noise, area, shared)
    for k, radius in enumerate(radii):
        error = columns["fluxerr_aper"][:, k]
        columns["fluxerr_aper"][:, k] = _widened(error, noise, np.pi * radius**2, shared)


def _widened(error: Floats, noise: Floats, area: Floats | float, shared: SharedNoise) -> Floats:
    more = (shared.factor(area) ** 2 - 1) * area * noise**2
    root: Floats = np.sqrt(error**2 + more)
    return root


def _scatter(values: NDArray[np.float32]) -> float:
    """Robust standard deviation about the median, of no more values than it takes to know it to a percent."""
    values = values[:: max(1, len(values) // _ENOUGH)]
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))
