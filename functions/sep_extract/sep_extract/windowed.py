"""Windowed positions with their errors, neighbours left out.

The iteration of SExtractor's XWIN_IMAGE (SExtractor documentation, "Windowed positional parameters"): the
centroid under a Gaussian window moves by twice its offset until it rests. sep.winpos does the same, without
errors and without leaving neighbours out. A Gaussian is the product of one along x and one along y, so stamps
of one size are weighted together by two small matrix products, which is what makes this several times faster.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .apertures import Floats
from .noise import NoiseModel
from .stamps import stamps

_ITERATIONS = 16
_RESTS_BELOW = 2e-4
# A position that still moves by more than this after the last iteration, in pixels, is unknown.
_LOST_ABOVE = 0.02
# SExtractor's window ends at 4 sigma; the stamp leaves it 1 sigma to wander before the source is called lost.
_REACH = 5.0
_LEAST_SIGMA = 2.0 / 2.35 * 0.5
# Wider, the window says nothing that the barycentre does not, and its stamp would fill the memory.
_LARGEST_SIGMA = 32.0
# Stamps come in sizes that grow by this, so that a dozen groups serve all sources, and in groups of at most
# so many pixels. The sums over so few take no longer than numpy's calls.
_GROWTH = 1.4
_CHUNK, _CHEAP = 1 << 20, 1 << 15
_SHARED_AREA = 0.7 * np.pi


@dataclass(frozen=True)
class Windowed:
    """0-based positions and covariances in pixels^2, each (n,); ``failed`` where the start stands in."""

    x: Floats
    y: Floats
    x2: Floats
    y2: Floats
    xy: Floats
    failed: NDArray[np.bool_]


def windowed_positions(
    data: NDArray[np.float32],
    noise: NoiseModel,
    owner: NDArray[np.int32],
    x: Floats,
    y: Floats,
    sigma: Floats,
) -> Windowed:
    """Positions under Gaussian windows of ``sigma`` pixels, (n,), from ``x``, ``y``, 0-based, (n,).

    ``data`` (ny, nx) float32, background subtracted; source i owns i + 1 in the map ``owner``, where -1 is a
    pixel not to be used. NaN in ``sigma`` means unknown.
    """
    sigma = np.clip(np.nan_to_num(sigma, nan=_LEAST_SIGMA), _LEAST_SIGMA, _LARGEST_SIGMA)
    sources = np.stack((x, y, sigma))
    out = np.full((5, len(x)), np.nan)
    for some, half in _groups(sigma):
        light, variance, dx, dy = _stamps(data, noise, owner, some, half, sources)
        out[:, some] = _iterate(light, variance, dx, dy, sigma[some])
    out[2:4] += _sampling(sigma)
    failed = np.isnan(out[0])
    out[:2, failed] = 0
    return Windowed(x + out[0], y + out[1], out[2], out[3], out[4], failed)


def _groups(sigma: Floats) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Sources whose stamps are cut with one size, and half that size.

    The largest first; the next smaller ones join as long as that costs less than to go through once more.
    """
    size = np.ceil(np.log(_REACH * sigma) / np.log(_GROWTH)).astype(int)
    order = np.argsort(-size, kind="stable")
    start = 0
    while start < len(order):
        half = int(np.ceil(_GROWTH ** size[order[start]]))
        pixels = (2 * half + 1) ** 2
        same = int(np.searchsorted(-size[order], -size[order[start]], side="right"))
        stop = min(max(same, start + _CHEAP // pixels), start + max(1, _CHUNK // pixels))
        yield order[start:stop], half
        start = min(stop, len(order))


def _sampling(sigma: Floats) -> Floats:
    """Variance of a position along an axis, (n,), from pixels too coarse for the product of light and window.

    It moves as a sine of the place within a pixel: the first harmonic of Poisson's sum, of Gaussian light.
    """
    # The window is as wide as a star in pixels, seen through one pixel more by the half-light radius.
    # The least window is wider than that pixel.
    light = sigma**2 - 1 / 12
    both = light * sigma**2 / (light + sigma**2)
    variance: Floats = (4 * np.pi * light * np.exp(-2 * np.pi**2 * both)) ** 2 / 2
    return variance


def _stamps(
    data: NDArray[np.float32],
    noise: NoiseModel,
    owner: NDArray[np.int32],
    some: NDArray[np.int64],
    half: int,
    sources: Floats,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Cut-outs (m, k, k) of data and variance, 0 outside the source, and their pixels' offsets (m, k)."""
    x, y, sigma = sources[:, some]
    cut = stamps(owner, some, x, y, half)
    light = np.where(cut.own, cut.of(data), np.float32(0))
    background = cut.of(noise.background)
    # Noise that pixels share moves a position as it moves the sum over the middle of the window; what the
    # whole window shares moves nothing. This share of its area was right on noise of known correlation.
    background *= noise.shared.factor(_SHARED_AREA * sigma**2)[:, None, None].astype(np.float32) ** 2
    variance = np.where(cut.own, noise.of_pixels(light, background), np.float32(0))
    return light, variance, cut.dx.astype(np.float32), cut.dy.astype(np.float32)


def _iterate(
    light: NDArray[np.float32],
    variance: NDArray[np.float32],
    dx: NDArray[np.float32],
    dy: NDArray[np.float32],
    sigma: Floats,
) -> Floats:
    """Offsets from the start and their covariance, (5, m); NaN where the window lost the source."""
    out = np.full((5, len(sigma)), np.nan)
    position = np.zeros((2, len(sigma)))
    active = np.arange(len(sigma))
    now_light, now_dx, now_dy = light, dx, dy
    for limit in [np.inf] * (_ITERATIONS - 1) + [_LOST_ABOVE]:
        sums = _sums(now_light, now_dx, now_dy, position[:, active], sigma[active], 1.0, 1)
        total = sums[:, 0, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            step = 2.0 * np.stack([sums[:, 0, 1], sums[:, 1, 0]]) / total
        position[:, active] += step
        lost = ~(total > 0) | ~(np.hypot(*position[:, active]) <= sigma[active])
        lost |= np.hypot(*step) > limit
        position[:, active[lost]] = np.nan
        moves = ~lost & (np.hypot(*step) > _RESTS_BELOW)
        if not moves.any():
            break
        if moves.mean() < 0.8:
            active, now_light, now_dx, now_dy = active[moves], now_light[moves], now_dx[moves], now_dy[moves]
    found = np.flatnonzero(np.isfinite(position[0]))
    if len(found) < len(sigma):
        light, variance, dx, dy = light[found], variance[found], dx[found], dy[found]
    at = dx, dy, position[:, found], sigma[found]
    total = _sums(light, *at, 1.0, 0)[:, 0, 0]
    sums = _sums(variance, *at, 2.0, 2)
    squares = sums[:, 0, 2], sums[:, 2, 0], sums[:, 1, 1]
    out[:2, found] = position[:, found]
    # Var = 4 sum w^2 s^2 d^2 / (sum w I)^2: the factor 2 of the step, squared (SExtractor documentation,
    # ERRX2WIN_IMAGE).
    out[2:, found] = 4.0 * np.stack(squares) / total**2
    return out


def _sums(
    image: NDArray[np.float32],
    dx: NDArray[np.float32],
    dy: NDArray[np.float32],
    position: Floats,
    sigma: Floats,
    power: float,
    order: int,
) -> Floats:
    """Sums of image x window^power x py^i px^j over each of m stamps, (m, i, j), up to ``order``."""
    scale = (-0.5 * power / sigma**2).astype(np.float32)[:, None]
    along = []
    for d, p in zip((dx, dy), position.astype(np.float32), strict=True):
        offset = d - p[:, None]
        weights = [np.exp(offset * offset * scale)]
        for _ in range(order):
            weights.append(weights[-1] * offset)
        along.append(np.stack(weights, axis=-1))
    sums: Floats = (along[1].transpose(0, 2, 1) @ (image @ along[0])).astype(np.float64)
    return sums
