"""Sources planted anywhere in a real image, blank or not, and the rows that SepExtract makes of it.

Images are planes as SepExtract has read them, so that every unit, mask and weight is its own, and SExtractor
can be given the same.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import sep
from numpy.typing import NDArray
from planting import Floats, Planted, Shape, star

from sep_extract.catalog import table_of
from sep_extract.chip import Chip, chips
from sep_extract.event import Config
from sep_extract.extract import measure
from sep_extract.image import open_image
from skyfan_function.storage import open_input

Rows = dict[str, NDArray[Any]]
# S/N is that of a background-limited star in a circle of this radius, in pixels.
RADIUS = 3.0


class CoreAndHalo(Shape):
    """A star much as Hubble's: 80 % in a Gaussian of FWHM 2 pixels, 20 % in a Moffat, alpha 3, beta 2."""

    def stamp(self, x: float, y: float) -> tuple[Floats, int, int]:
        half = 60
        left, bottom = round(x) - half, round(y) - half
        across = np.arange(2 * half + 1)
        r2 = ((across + left - x)[None, :] ** 2 + (across + bottom - y)[:, None] ** 2) / 9
        light = 0.2 / (9 * np.pi) * (1 + r2) ** -2.0
        core, core_left, core_bottom = star(2.0).stamp(x, y)
        rows, columns = (slice(n, n + len(core)) for n in (core_bottom - bottom, core_left - left))
        light[rows, columns] += 0.8 * core
        return light, left, bottom


CORE_AND_HALO = CoreAndHalo("gaussian", 1.0, 1.0)


def shares_within(sources: Planted, radius: float) -> Floats:
    """Share of the light of each source that a perfect circle of this radius would hold, (n,)."""
    shares = []
    for x, y, shape in zip(sources.x, sources.y, sources.shapes, strict=True):
        light, left, bottom = shape.stamp(x, y)
        total, _, _ = sep.sum_circle(light, [x - left], [y - bottom], radius, subpix=5)
        shares.append(float(total[0]))
    return np.array(shares)


def read(path: Path) -> Chip:
    """The first science plane of a file."""
    with open_input(path.resolve().as_uri()) as source, open_image(source) as image:
        chip = next(chips(image))
    if isinstance(chip, str):
        raise ValueError(chip)
    return chip


def rows_of(chip: Chip, config: Config) -> Rows:
    """The columns of its catalog."""
    return table_of(chip, measure(chip.pixels, config))


def planted(chip: Chip, sources: Planted, rng: np.random.Generator) -> Chip:
    """The plane with the sources in it, each electron drawn; ERR knows of them."""
    model, gain = sources.model(chip.data.shape), chip.calibration.gain or 1.0
    data = (chip.data + rng.poisson(model * gain) / gain).astype(np.float32)
    data[chip.mask] = 0
    error = None if chip.error is None else np.sqrt(chip.error**2 + model / gain).astype(np.float32)
    return replace(chip, data=data, error=error)


def negative(chip: Chip) -> Chip:
    """The plane mirrored about its median: what is found in it is noise, or what bad pixels leave."""
    middle = np.median(chip.data[~chip.mask])
    return replace(chip, data=np.where(chip.mask, np.float32(0), 2 * middle - chip.data))


def places(
    where: NDArray[np.bool_], rng: np.random.Generator, spacing: int, edge: int = 20
) -> tuple[Floats, Floats]:
    """0-based positions on a shaken grid (by up to a quarter), those in ``where`` (ny, nx)."""
    ny, nx = where.shape
    y, x = np.mgrid[edge : ny - edge : spacing, edge : nx - edge : spacing].astype(float).reshape(2, -1)
    x, y = (v + rng.uniform(-spacing / 4, spacing / 4, len(v)) for v in (x, y))
    inside = where[np.rint(y).astype(int), np.rint(x).astype(int)]
    return x[inside], y[inside]


def stars(
    where: NDArray[np.bool_],
    shape: Shape,
    fluxes: tuple[float, float],
    rng: np.random.Generator,
    spacing: int,
) -> Planted:
    """Stars at `places`, their fluxes spread evenly in the logarithm."""
    x, y = places(where, rng, spacing)
    flux = np.exp(rng.uniform(*np.log(fluxes), len(x)))
    return Planted(x, y, flux, (shape,) * len(x))


def one_sigma(rms: float) -> float:
    """The flux of S/N 1 where the noise of a pixel is ``rms``."""
    return rms * float(np.sqrt(np.pi)) * RADIUS
