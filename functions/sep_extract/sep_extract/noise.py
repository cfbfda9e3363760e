"""The noise of an image: of single pixels, and of sums over many, in which neighbours share noise.

Drizzling and resampling spread the noise of one detector pixel over several; flat-field errors, persistence
and sources too faint to detect do the same on any image. Errors that take pixels for independent are then too
small, by a factor that grows with the area. The image itself says how much: by the scatter of sums over
blocks of blank pixels (the method of empty apertures: Labbe et al. 2003, AJ 125, 1107).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .pixels import strips

Floats = NDArray[np.float64]
Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

# Sides of the blocks in pixels; a circle of 25 pixels' radius has the area of one of 44.
_BLOCKS = (2, 4, 8, 16, 32, 64)
# A block counts where this share of it is blank, for its sum stands for that of all its pixels.
_LEAST_COVER = 0.7
# Blocks of one size, as few as give their scatter to about 10 %; the largest overlap by half.
_LEAST_BLOCKS = 120
# With less blank sky than this the blocks measure the wings of sources.
_LEAST_BLANK = 0.2
# How far from a source's segment its wings are taken to reach, in pixels.
_WINGS = 4
_ENOUGH = 50_000
# A quarter of the side of the meshes in which the variance of blank sky is taken to be the same, in pixels.
_MESH = 16
# Sums grow as the square root of the area where pixels are independent, and as the area where they are one.
_STEEPEST, _POSSIBLE = 0.5, 3.0
# A source shows the Poisson noise that an error plane holds where that is this share of the sky's variance.
_BRIGHT = 0.3


@dataclass(frozen=True)
class SharedNoise:
    """Noise of a sum over blank pixels, divided by that of as many independent ones, by area in pixels."""

    areas: tuple[float, ...] = (1.0,)
    factors: tuple[float, ...] = (1.0,)
    measured: bool = False

    @property
    def is_possible(self) -> bool:
        """Whether no factor is far above the root of its area, which pixels that are all one have."""
        limits = _POSSIBLE * np.sqrt(self.areas)
        return bool((np.array(self.factors) <= limits).all())

    def factor(self, area: NDArray[Any] | float) -> Floats:
        """At least 1. Interpolated in logarithms; beyond the largest measured area by the last slope."""
        with np.errstate(divide="ignore", invalid="ignore"):
            log_area = np.log(np.maximum(area, 1.0))
        logs, factors = np.log(self.areas), np.log(self.factors)
        found: Floats = np.interp(log_area, logs, factors)
        if len(logs) > 1:
            slope = min((factors[-1] - factors[-2]) / (logs[-1] - logs[-2]), _STEEPEST)
            found = found + slope * np.maximum(log_area - logs[-1], 0)
        return np.exp(found)


@dataclass(frozen=True)
class NoiseModel:
    """The only source of variance in measuring. All in the unit of the pixels, squared.

    ``background``: variance of each pixel without sources, (ny, nx), 0 where masked. ``poisson``: variance
    that a source adds per unit of its flux, 0 where unknown. ``shared``: what sums over several pixels have
    beyond that. ``scale``: the noise that blank pixels show, in what was known of it. ``emptied``: the noise
    of sources was taken out of an error plane.
    """

    background: Image
    poisson: float
    shared: SharedNoise
    scale: float = 1.0
    emptied: bool = False

    def error(self, variance: NDArray[Any], area: NDArray[Any] | float, flux: Floats) -> Floats:
        """One-sigma errors (n,) of fluxes: ``variance`` is the sum of background over ``area`` pixels."""
        square: Floats = np.maximum(variance, 0) * self.shared.factor(area) ** 2
        return np.sqrt(square + self.poisson * np.maximum(flux, 0))

    def of_pixels(self, light: Image, background: Image) -> Image:
        """Variance of pixels with ``light`` in them. Linear, so that noise peaks and dips cancel in sums, as
        far as a variance can fall.
        """
        variance: Image = background + np.float32(self.poisson) * light
        return np.maximum(variance, 0, out=variance)


def noise_of(
    data: Image, owner: NDArray[np.int32], noise: float | Image, error: Image | None, gain: float | None
) -> NoiseModel:
    """The noise of an image from its blank pixels.

    ``data`` (ny, nx), background subtracted; ``owner`` (ny, nx) the segmentation map, 0 where a pixel is
    usable and no source's, -1 where masked. ``noise``, one sigma, is the level that detection used; an
    ``error`` plane takes its place as the map of what varies from pixel to pixel, its Poisson noise of
    sources taken out. The blank pixels set the scale of either. ``gain`` is in electrons per unit of
    ``data``; without it the Poisson noise is the error plane's, on the same scale.
    """
    near, blank = _near_and_blank(owner)
    variance, slope = _variance(data, owner, near, blank, noise, error, _LEAST_BLANK)
    emptied = slope is not None
    poisson = 1 / gain if gain else slope or 0.0
    blank &= variance > 0
    if (number := np.count_nonzero(blank)) < _LEAST_BLANK * np.count_nonzero(owner >= 0):
        return NoiseModel(variance, poisson, SharedNoise(), emptied=emptied)
    # Where most pixels hold the same value, as on a detector that counts photons, quantiles say nothing.
    scale = _scatter(_some(data, variance, blank, int(number))) or _all_scatter(data, variance, blank)
    if not scale > 0:
        return NoiseModel(variance, poisson, SharedNoise(), emptied=emptied)
    shared = _shared(data, variance, blank, scale)
    variance *= np.float32(scale**2)
    if not gain:
        # What drizzling took from single pixels is in the sums of a few; an error plane is meant for those.
        poisson *= (scale * float(shared.factor(16.0))) ** 2
    return NoiseModel(variance, poisson, shared, scale, emptied)


def noise_like(
    known: NoiseModel, data: Image, owner: NDArray[np.int32], noise: float | Image, error: Image | None
) -> NoiseModel:
    """The noise of a part of an image, of which a sample is ``known``; the rest as in noise_of()."""
    least = 0.0 if known.emptied else np.inf
    variance, _ = _variance(data, owner, *_near_and_blank(owner), noise, error, least)
    variance *= np.float32(known.scale**2)
    return replace(known, background=variance)


def _near_and_blank(owner: NDArray[np.int32]) -> tuple[Mask, Mask]:
    """Pixels on and near sources, and those of the sky."""
    near = grown(owner > 0)
    blank = owner == 0
    blank &= ~near
    return near, blank


def _variance(
    data: Image,
    owner: NDArray[np.int32],
    near: Mask,
    blank: Mask,
    noise: float | Image,
    error: Image | None,
    least: float,
) -> tuple[Image, float | None]:
    """That of the background, 0 where masked, as detection or an error plane says; and what a source adds to
    that plane, None if that was left in it.
    """
    slope = None
    if error is None:
        variance = np.broadcast_to(np.square(noise, dtype=np.float32), data.shape).copy()
    else:
        variance, slope = _without_poisson(data, owner, near, blank, error, least)
    variance[owner < 0] = 0
    return variance, slope


def _deviations(data: Image, variance: Image, blank: Mask) -> Image:
    """In sigma, 0 where not blank."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.sqrt(variance)
        np.divide(data, found, out=found)
    found[~blank] = 0
    return found


def _some(data: Image, variance: Image, blank: Mask, number: int) -> Image:
    """Deviations of every k-th of a ``number`` of blank pixels, as many as _scatter() asks for."""
    every, seen, found = max(1, number // _ENOUGH), 0, []
    for rows in strips(slice(0, len(data))):
        where = np.flatnonzero(blank[rows])
        chosen = where[-seen % every :: every]
        seen += len(where)
        found.append(data[rows].ravel()[chosen] / np.sqrt(variance[rows].ravel()[chosen]))
    return np.concatenate(found)


def _all_scatter(data: Image, variance: Image, blank: Mask) -> float:
    return float(_deviations(data, variance, blank)[blank].std(dtype=np.float64))


def _without_poisson(
    data: Image, owner: NDArray[np.int32], near: Mask, blank: Mask, error: Image, least: float
) -> tuple[Image, float | None]:
    """An error plane's variance without the Poisson noise of sources, and that noise per unit of flux.

    On and ``near`` sources it is that of the ``blank`` sky around, unless the plane says less. With less than
    the share ``least`` of blank sky it is left as it is.
    """
    variance, number = np.square(error), int(owner.max(initial=0))
    sky_pixels = np.count_nonzero(blank)
    if number < 1 or not sky_pixels or sky_pixels < least * near.size:
        return variance, None
    side, nx = 4 * _MESH, owner.shape[1]
    excess, light, expected = np.zeros((3, number + 1))
    medians = _medians(variance, blank)
    for rows in strips(slice(0, len(owner)), side):
        level = medians[rows.start // side].repeat(side)[:nx]
        row, column = np.nonzero(owner[rows] > 0)
        source, sky = owner[rows][row, column], level[column]
        excess += np.bincount(source, variance[rows][row, column] - sky, number + 1)
        light += np.bincount(source, data[rows][row, column], number + 1)
        expected += np.bincount(source, sky, number + 1)
        np.minimum(variance[rows], level, out=variance[rows], where=near[rows])
    bright = (light > 0) & (excess > _BRIGHT * expected)
    slope = float(np.median(excess[bright] / light[bright])) if bright.any() else 0.0
    return variance, slope


def _medians(image: Image, blank: Mask) -> Image:
    """The median of the blank pixels, at least one, of each mesh; of all where a mesh has none."""
    # Every fourth pixel of every fourth row tells it as well.
    some = np.where(blank[::4, ::4], image[::4, ::4], np.float32(np.nan))
    ny, nx = (-(-n // _MESH) for n in some.shape)
    meshes = np.full((ny * _MESH, nx * _MESH), np.float32(np.nan))
    meshes[: some.shape[0], : some.shape[1]] = some
    ranked = np.sort(meshes.reshape(ny, _MESH, nx, _MESH).swapaxes(1, 2).reshape(ny * nx, -1), axis=1)
    number = np.count_nonzero(~np.isnan(ranked), axis=1)
    middle = ranked[np.arange(ny * nx), np.maximum(number - 1, 0) // 2]
    if not number.all():
        everywhere = np.nanmedian(some) if number.any() else np.median(image[blank])
        middle = np.where(number > 0, middle, everywhere)
    grid: Image = middle.reshape(ny, nx)
    return grid


def _shared(data: Image, variance: Image, blank: Mask, scale: float) -> SharedNoise:
    """The factor by area, of deviations in units of ``scale`` sigma."""
    areas, squares, weights = [1.0], [1.0], [float(_ENOUGH)]
    for block, sums, counts in _blocks(data, variance, blank, scale):
        usable = np.flatnonzero(counts >= _LEAST_COVER * block * block)
        number = len(usable)
        if number < _LEAST_BLOCKS:
            break
        areas.append(float(block * block))
        some = usable[:: max(1, number // _ENOUGH)]
        sigma = _scatter(sums.ravel()[some] / np.sqrt(counts.ravel()[some]))
        if not sigma:
            sigma = float((sums.ravel()[usable] / np.sqrt(counts.ravel()[usable])).std(dtype=np.float64))
        squares.append(sigma**2)
        weights.append(float(number))
    factors = np.sqrt(np.maximum(_rising(np.array(squares), np.array(weights)), 1.0))
    return SharedNoise(tuple(areas), tuple(map(float, factors)), len(areas) > 1)


def _blocks(data: Image, variance: Image, blank: Mask, scale: float) -> Iterator[tuple[int, Image, Image]]:
    """The sides of blocks, and for each block the sum of the deviations in it and its blank pixels."""
    sums, counts = np.empty((2, data.shape[0] // 2, data.shape[1] // 2), np.float32)
    whole = data.size < _ENOUGH
    for rows in [slice(0, len(data))] if whole else strips(slice(0, len(data) // 2 * 2)):
        pixels = _deviations(data[rows], variance[rows], blank[rows]) / np.float32(scale)
        number = blank[rows].astype(np.float32)
        if whole:
            sums, counts = pixels, number
        else:
            half = slice(rows.start // 2, rows.stop // 2)
            sums[half], counts[half] = _quads(pixels, 2), _quads(number, 2)
    step = 2
    for block in _BLOCKS:
        if block > _BLOCKS[0] or whole:
            # Where blocks are few, those that overlap tell the scatter better than those side by side alone.
            step = 1 if sums.size < _ENOUGH else 2
            sums, counts = _quads(sums, step), _quads(counts, step)
        yield block, sums, counts
        sums, counts = (np.ascontiguousarray(p[:: 3 - step, :: 3 - step]) for p in (sums, counts))


def _quads(image: Image, step: int) -> Image:
    """Sums over 2 x 2 pixels, at every place or at every second one along both axes."""
    ny, nx = (n - 1 for n in image.shape)
    sums: Image = (
        image[:ny:step, :nx:step]
        + image[1 : ny + 1 : step, :nx:step]
        + image[:ny:step, 1 : nx + 1 : step]
        + image[1 : ny + 1 : step, 1 : nx + 1 : step]
    )
    return sums


def _rising(values: Floats, weights: Floats) -> Floats:
    """The nearest sequence that never falls (pool adjacent violators): noise of the values averages out."""
    pools: list[list[float]] = []
    for value, weight in zip(values, weights, strict=True):
        pools.append([float(value), float(weight), 1.0])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, wa, na), (b, wb, nb) = pools[-2:]
            pools[-2:] = [[(a * wa + b * wb) / (wa + wb), wa + wb, na + nb]]
    return np.concatenate([np.full(int(n), value) for value, _, n in pools])


def grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    wider = mask.copy()
    for _ in range(_WINGS):
        wider[1:] |= wider[:-1].copy()
        wider[:-1] |= wider[1:].copy()
        wider[:, 1:] |= wider[:, :-1].copy()
        wider[:, :-1] |= wider[:, 1:].copy()
    return wider


def _scatter(values: NDArray[Any]) -> float:
    """The distance of the 16 % quantile from the median, of as many values as it takes to know it well.

    The lower side: above, faint light adds to the noise, and detection takes peaks of noise away for sources.
    """
    values = values[:: max(1, len(values) // _ENOUGH)]
    low, middle = np.quantile(values, [0.158655, 0.5])
    return float(middle - low)
