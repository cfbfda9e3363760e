"""Fluxes of detected sources: Kron ellipse, circles, half-light radius; and windowed positions."""

from __future__ import annotations

from typing import Any

import numpy as np
import sep
from numpy.typing import NDArray

from .apertures import Ellipses, Floats, in_circles, in_ellipses
from .event import Config
from .flags import Flag
from .noise import NoiseModel
from .pixels import PAIR
from .sources import Isophotal, Photometry
from .windowed import Windowed, windowed_positions

# SExtractor calls a source crowded when neighbours and bad pixels take this share of its Kron aperture.
_CROWDED = 0.1
# SExtractor looks for the Kron radius within 6 isophotal radii, so no light there can have a larger one.
_KRON_LIMIT = 6.0
# The annulus of the local sky, in units of the larger circle of the concentration index.
SKY = (2.25, 4.5)


def photometry(  # noqa: PLR0913
    found: Isophotal,
    data: NDArray[np.float32],
    owner: NDArray[np.int32],
    noise: NoiseModel,
    config: Config,
    radii: list[float],
    pair: tuple[float, float] = PAIR,
    like: Photometry | None = None,
) -> Photometry:
    """Measure sources given by their isophotal quantities.

    ``data`` (ny, nx), background subtracted, 0 where masked; ``owner`` (ny, nx) the segmentation map, in
    which source i owns i + 1, with -1 where masked; ``radii`` of the circles in pixels, none where the image
    has no scale: their fluxes are NaN then, as is that of a circle without a pixel. ``pair``: those of the
    concentration index, in pixels. ``like``: what another image says of the same sources, whose Kron radii
    and windowed positions define the apertures.
    """
    x, y, a, b, theta = found.x, found.y, found.a, found.b, found.theta
    n = len(x)
    own = {"segmap": owner, "seg_id": np.arange(1, n + 1, dtype=np.int32)}
    if like is None:
        factor, least = config.phot_autoparams
        kron, _ = sep.kron_radius(data, x, y, a, b, theta, _KRON_LIMIT, **own)
        kron = np.maximum(factor * np.clip(np.nan_to_num(kron), 0, _KRON_LIMIT), least)
    else:
        kron = like.kron_radius

    plain, error, edge = sep.sum_ellipse(data, x, y, a, b, theta, kron, var=noise.background, subpix=1)
    planes = data, noise.background, owner
    ellipses = Ellipses(x, y, found.cxx, found.cyy, found.cxy, kron)
    more, more_variance, spoiled, theirs = in_ellipses(*planes, ellipses)
    flux = plain + more
    # Of the light without neighbours: wide enough for a window, and known before the apertures' centres are.
    alone, _, _ = sep.sum_ellipse(data, x, y, a, b, theta, kron, subpix=1, **own)
    # Where nothing is spoiled both are the same but for rounding.
    both = np.stack([alone, np.where(spoiled > 0, flux, alone)])
    half_alone, half = _half_light_radii(data, x, y, kron * a, both, own)
    if like is None:
        windowed = windowed_positions(data, noise, owner, x, y, 2 / 2.35 * half_alone)
    else:
        failed = (like.flags & Flag.UNWINDOWED) != 0
        windowed = Windowed(like.xwin, like.ywin, like.x2win, like.y2win, like.xywin, failed)
    # Circles are about the windowed position, for which the barycentre stands in where the window fails.
    centre = windowed.x, windowed.y
    circles = [*radii, *pair]
    light_in_circles, noise_in_circles = in_circles(*planes, *centre, circles)
    area = np.pi * a * b * kron**2
    flags = np.zeros(n, dtype=np.int16)
    flags[spoiled > _CROWDED * area] |= Flag.CROWDED
    flags[(edge & sep.APER_TRUNC) != 0] |= Flag.APERTURE

    fluxes = np.full((2, n, len(circles)), np.nan)
    for k, radius in enumerate(circles):
        total, circle_error, edge = sep.sum_circle(data, *centre, radius, var=noise.background, subpix=5)
        total, variance = total + light_in_circles[:, k], circle_error**2 + noise_in_circles[:, k]
        fluxes[:, :, k] = total, noise.error(variance, np.pi * radius**2, total)
        flags[(edge & sep.APER_TRUNC) != 0] |= Flag.APERTURE
        # No pixel that may be used, or a circle smaller than a pixel.
        nothing = ~(variance > 0) | (radius < 0.5)
        fluxes[:, nothing, k] = np.nan
        if k < len(radii):
            flags[nothing] |= Flag.APERTURE
    in_apertures, in_pair = fluxes[:, :, : len(radii)], fluxes[:, :, len(radii) :]
    if not radii:
        in_apertures = np.full((2, n, len(config.phot_apertures)), np.nan)

    sky, sky_error = _local_sky(data, noise, *centre, pair[1], own)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(plain > 0, np.clip(theirs / plain, 0.0, 1.0), np.nan)
    flags[windowed.failed] |= Flag.UNWINDOWED
    return Photometry(
        kron_radius=kron,
        blended_share=share,
        flux_auto=flux,
        flux_error_auto=noise.error(error**2 + more_variance, area, flux),
        flux_aper=in_apertures[0],
        flux_error_aper=in_apertures[1],
        flux_pair=in_pair[0],
        flux_error_pair=in_pair[1],
        sky=sky,
        sky_error=sky_error,
        half_light_radius=half,
        xwin=windowed.x,
        ywin=windowed.y,
        x2win=np.where(windowed.failed, found.x2, windowed.x2),
        y2win=np.where(windowed.failed, found.y2, windowed.y2),
        xywin=np.where(windowed.failed, found.xy, windowed.xy),
        flags=flags,
    )


def _local_sky(
    data: NDArray[np.float32], noise: NoiseModel, x: Floats, y: Floats, radius: float, own: dict[str, Any]
) -> tuple[Floats, Floats]:
    """The mean of the pixels around each source that are no other's, and its error."""
    inner, outer = (radius * r for r in SKY)
    area = np.pi * (outer**2 - inner**2)
    # Pixels left out are made up for by the mean of the others, which sep does only if given a mask.
    unusable = own["segmap"] < 0
    total, _, _ = sep.sum_circann(data, x, y, inner, outer, mask=unusable, subpix=1, **own)
    row, column = (np.clip(np.rint(p).astype(int), 0, n - 1) for p, n in zip((y, x), data.shape, strict=True))
    error = np.sqrt(noise.background[row, column] / area)
    return total / area, error * noise.shared.factor(area)


def _half_light_radii(
    data: NDArray[np.float32], x: Floats, y: Floats, limit: Floats, flux: Floats, own: dict[str, Any]
) -> Floats:
    """Radii (k, n) of circles with half of each ``flux`` (k, n), at most ``limit`` pixels; NaN without any.

    The cost goes with the area searched, and half the light nearly always lies well within the limit: look
    there first.
    """
    near = 0.6 * limit
    half = _radii(data, x, y, near, flux / 2, own)
    beyond = (half >= 0.999 * near) & (flux > 0)
    far = np.flatnonzero(beyond.any(axis=0))
    if len(far):
        theirs = own | {"seg_id": own["seg_id"][far]}
        wide = _radii(data, x[far], y[far], limit[far], flux[:, far] / 2, theirs)
        half[:, far] = np.where(beyond[:, far], wide, half[:, far])
    return np.where(np.isfinite(half) & (half > 0) & (flux > 0), half, np.nan)


def _radii(
    data: NDArray[np.float32], x: Floats, y: Floats, limit: Floats, light: Floats, own: dict[str, Any]
) -> Floats:
    """Radii (k, n) of circles with each ``light`` (k, n).

    sep searches for several of one source in as much time as for one, but for the same shares of all sources.
    """
    unit, found = np.ones_like(x), np.empty_like(light)
    equal = (light == light[0]).all(axis=0)
    for some in (np.flatnonzero(equal), *np.flatnonzero(~equal)[:, None]):
        share, norm = (1.0, light[0, some]) if equal[some].all() else (light[:, some[0]], unit[some])
        radii, _ = sep.flux_radius(
            data,
            x[some],
            y[some],
            limit[some],
            share,
            normflux=norm,
            subpix=5,
            segmap=own["segmap"],
            seg_id=own["seg_id"][some],
        )
        found[:, some] = radii.T
    return found
