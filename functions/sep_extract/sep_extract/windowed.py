"""Windowed positions with their errors, neighbours left out.

The iteration of SExtractor's XWIN_IMAGE (SExtractor documentation, "Windowed positional parameters"): the
centroid under a Gaussian window moves by twice its offset until it rests. sep.winpos does the same, without
errors and without leaving neighbours out. A Gaussian is the product of one along x and one along y, so stamps
of one size are weighted together by two small matrix products, which is what makes this several times faster.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .apertures import Floats

_ITERATIONS = 16
_RESTS_BELOW = 2e-4
# SExtractor's window ends at 4 sigma; the stamp leaves it 1 sigma to wander before the source is called lost.
_REACH = 5.0
_LEAST_SIGMA = 2.0 / 2.35 * 0.5
# Wider, the window says nothing that the barycentre does not, and its stamp would fill the memory.
_LARGEST_SIGMA = 32.0
# Stamps come in sizes that grow by this, so that a dozen groups serve all sources.
_GROWTH = 1.4
_CHUNK = 1 << 20


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
    variance: NDArray[np.float32],
    owner: NDArray[np.int32],
    x: Floats,
    y: Floats,
    sigma: Floats,
) -> Windowed:
    """Positions under Gaussian windows of ``sigma`` pixels, (n,), from ``x``, ``y``, 0-based, (n,).

    ``data`` and ``variance`` (ny, nx) float32, background subtracted; source i owns i + 1 in the map
    ``owner``, where -1 is a pixel not to be used. NaN in ``sigma`` means unknown.
    """
    sigma = np.clip(np.nan_to_num(sigma, nan=_LEAST_SIGMA), _LEAST_SIGMA, _LARGEST_SIGMA)
    group = np.ceil(np.log(_REACH * sigma) / np.log(_GROWTH)).astype(int)
    out = np.full((5, len(x)), np.nan)
    for size in np.unique(group):
        members = np.flatnonzero(group == size)
        half = int(np.ceil(_GROWTH**size))
        each = max(1, _CHUNK // (2 * half + 1) ** 2)
        for some in (members[i : i + each] for i in range(0, len(members), each)):
            light, noise, dx, dy = _stamps(data, variance, owner, x, y, some, half)
            out[:, some] = _iterate(light, noise, dx, dy, sigma[some])
    failed = np.isnan(out[0])
    out[:2, failed] = 0
    return Windowed(x + out[0], y + out[1], out[2], out[3], out[4], failed)


def _stamps(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    owner: NDArray[np.int32],
    x: Floats,
    y: Floats,
    some: NDArray[np.int64],
    half: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Cut-outs (m, k, k) of data and variance, 0 outside the source, and their pixels' offsets (m, k)."""
    ny, nx = data.shape
    span = np.arange(-half, half + 1)
    column = np.rint(x[some]).astype(np.int64)[:, None] + span
    row = np.rint(y[some]).astype(np.int64)[:, None] + span
    inside = ((row >= 0) & (row < ny))[:, :, None] & ((column >= 0) & (column < nx))[:, None, :]
    pixel = np.clip(row, 0, ny - 1)[:, :, None] * nx + np.clip(column, 0, nx - 1)[:, None, :]
    whose = owner.ravel()[pixel]
    own = inside & ((whose == 0) | (whose == (some + 1)[:, None, None]))
    light = np.where(own, data.ravel()[pixel], np.float32(0))
    noise = np.where(own, variance.ravel()[pixel], np.float32(0))
    return light, noise, (column - x[some, None]).astype(np.float32), (row - y[some, None]).astype(np.float32)


def _iterate(
    light: NDArray[np.float32],
    noise: NDArray[np.float32],
    dx: NDArray[np.float32],
    dy: NDArray[np.float32],
    sigma: Floats,
) -> Floats:
    """Offsets from the start and their covariance, (5, m); NaN where the window lost the source."""
    out = np.full((5, len(sigma)), np.nan)
    position = np.zeros((2, len(sigma)))
    active = np.arange(len(sigma))
    now_light, now_dx, now_dy = light, dx, dy
    for _ in range(_ITERATIONS):
        moments = _moments(now_light, now_dx, now_dy, position[:, active], sigma[active], 1.0)
        total, mean_x, mean_y = moments[:3]
        with np.errstate(divide="ignore", invalid="ignore"):
            step = 2.0 * np.stack([mean_x, mean_y]) / total
        position[:, active] += step
        lost = ~(total > 0) | ~(np.hypot(*position[:, active]) <= sigma[active])
        position[:, active[lost]] = np.nan
        moves = ~lost & (np.hypot(*step) > _RESTS_BELOW)
        if not moves.any():
            break
        if moves.mean() < 0.8:
            active, now_light, now_dx, now_dy = active[moves], now_light[moves], now_dx[moves], now_dy[moves]
    found = np.flatnonzero(np.isfinite(position[0]))
    total = _moments(light[found], dx[found], dy[found], position[:, found], sigma[found], 1.0)[0]
    squares = _moments(noise[found], dx[found], dy[found], position[:, found], sigma[found], 2.0)[3:]
    out[:2, found] = position[:, found]
    # Var = 4 sum w^2 s^2 d^2 / (sum w I)^2: the factor 2 of the step, squared (SExtractor documentation,
    # ERRX2WIN_IMAGE).
    out[2:, found] = 4.0 * np.stack(squares) / total**2
    return out


def _moments(
    image: NDArray[np.float32],
    dx: NDArray[np.float32],
    dy: NDArray[np.float32],
    position: Floats,
    sigma: Floats,
    power: float,
) -> tuple[Floats, Floats, Floats, Floats, Floats, Floats]:
    """Sums of image x window^power x (1, px, py, px^2, py^2, px py) over each stamp."""
    px, py = (d - p[:, None].astype(np.float32) for d, p in zip((dx, dy), position, strict=True))
    scale = np.float32(-0.5 * power) / np.square(sigma, dtype=np.float64).astype(np.float32)[:, None]
    wx, wy = np.exp(px * px * scale), np.exp(py * py * scale)
    along_x = image @ np.stack([wx, wx * px, wx * px * px], axis=-1)
    along_y = np.stack([wy, wy * py, wy * py * py], axis=1)
    table = (along_y @ along_x).astype(np.float64)
    return table[:, 0, 0], table[:, 0, 1], table[:, 1, 0], table[:, 0, 2], table[:, 2, 0], table[:, 1, 1]
