"""Fluxes of detected sources: Kron ellipse, circles, half-light radius; and windowed positions."""

from __future__ import annotations

from typing import Any

import numpy as np
import sep
from numpy.typing import NDArray

from .apertures import Ellipses, Floats, corrections
from .event import Config
from .flags import Flag
from .windowed import windowed_positions

# SExtractor calls a source crowded when neighbours and bad pixels take this share of its Kron aperture.
_CROWDED = 0.1
# SExtractor looks for the Kron radius within 6 isophotal radii, so no light there can have a larger one.
_KRON_LIMIT = 6.0


def photometry(
    found: dict[str, NDArray[Any]],
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    owner: NDArray[np.int32],
    config: Config,
    radii: list[float],
) -> dict[str, NDArray[Any]]:
    """Measure sources given by their isophotal columns ``found``, each (n,).

    ``data`` and ``variance`` (ny, nx), background subtracted, 0 where masked; ``owner`` (ny, nx) the
    segmentation map, in which source i owns i + 1, with -1 where masked; ``radii`` of the circles in pixels,
    none where the image has no scale: FLUX_APER is NaN then. Returns more columns, ``flags`` among them with
    bits added.
    """
    x, y, a, b, theta = (found[k] for k in ("x", "y", "a", "b", "theta"))
    n = len(x)
    own = {"segmap": owner, "seg_id": np.arange(1, n + 1, dtype=np.int32)}
    factor, least = config.phot_autoparams
    kron, _ = sep.kron_radius(data, x, y, a, b, theta, _KRON_LIMIT, **own)
    kron = np.maximum(factor * np.clip(np.nan_to_num(kron), 0, _KRON_LIMIT), least)

    ellipses = Ellipses(x, y, found["cxx"], found["cyy"], found["cxy"], kron)
    more, more_variance, spoiled = corrections(data, variance, owner, ellipses, radii)
    total, error, edge = sep.sum_ellipse(data, x, y, a, b, theta, kron, var=variance, subpix=1)
    flux, fluxerr = total + more[:, 0], _error(error, more_variance[:, 0])
    flags = found["flags"].copy()
    flags[spoiled > _CROWDED * np.pi * a * b * kron**2] |= Flag.CROWDED
    flags[(edge & sep.APER_TRUNC) != 0] |= Flag.APERTURE

    in_circles = np.full((2, n, len(config.phot_apertures)), np.nan)
    for k, radius in enumerate(radii):
        total, error, _ = sep.sum_circle(data, x, y, radius, var=variance, subpix=5)
        in_circles[:, :, k] = total + more[:, k + 1], _error(error, more_variance[:, k + 1])

    half = _half_light_radius(data, x, y, kron * a, flux, own)
    windowed = windowed_positions(data, variance, owner, x, y, 2 / 2.35 * half)
    return {
        "kron_radius": kron,
        "flux_auto": flux,
        "fluxerr_auto": fluxerr,
        "flags": flags,
        "flux_aper": in_circles[0],
        "fluxerr_aper": in_circles[1],
        "flux_radius": half,
        "xwin": windowed.x,
        "ywin": windowed.y,
        "x2win": np.where(windowed.failed, found["x2"], windowed.x2),
        "y2win": np.where(windowed.failed, found["y2"], windowed.y2),
        "xywin": np.where(windowed.failed, found["xy"], windowed.xy),
    }


def _error(error: Floats, more_variance: Floats) -> Floats:
    root: Floats = np.sqrt(np.maximum(error**2 + more_variance, 0))
    return root


def _half_light_radius(
    data: NDArray[np.float32], x: Floats, y: Floats, limit: Floats, flux: Floats, own: dict[str, Any]
) -> Floats:
    """Radius of the circle with half of ``flux``, at most ``limit`` pixels; NaN where there is none.

    The cost goes with the area searched, and half the light nearly always lies well within the limit: look
    there first.
    """
    near = 0.6 * limit
    half, _ = sep.flux_radius(data, x, y, near, 0.5, normflux=flux, subpix=5, **own)
    far = np.flatnonzero((half >= 0.999 * near) & (flux > 0))
    if len(far):
        again = own | {"seg_id": own["seg_id"][far]}
        half[far], _ = sep.flux_radius(
            data, x[far], y[far], limit[far], 0.5, normflux=flux[far], subpix=5, **again
        )
    return np.where(np.isfinite(half) & (half > 0) & (flux > 0), half, np.nan)
