"""What the pixels of each source's own segment say of it."""

from __future__ import annotations

import numpy as np
import sep
from numpy.typing import NDArray

from .event import Config
from .flags import Flag
from .isophote import light_of, moved_isophote
from .noise import NoiseModel
from .pixels import Image, Pixels
from .sources import Isophotal

# How many pixels a source's segment is continued over those that may not be used, such as a saturated core.
_REACH = 8


def isophotal_of(
    objects: NDArray[np.void],
    owner: NDArray[np.int32],
    image: Image,
    noise: NoiseModel,
    pixels: Pixels,
    config: Config,
) -> Isophotal:
    """What comes from the pixels of each source's own segment; ``owner`` is -1 where masked."""
    n, nx = len(objects), image.shape[1]
    x, y = objects["x"].astype(np.float64), objects["y"].astype(np.float64)
    pixel = np.flatnonzero(owner > 0)
    source = owner.ravel()[pixel] - 1
    row, column = np.divmod(pixel, nx)
    dx, dy = column - x[source], row - y[source]
    light, background = image.ravel()[pixel], noise.background.ravel()[pixel]
    variance = noise.of_pixels(light, background).astype(np.float64)
    flux, area = objects["flux"].astype(np.float64), objects["npix"].astype(np.int32)
    light2 = light_of(objects) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        x2, y2, xy, whole = (
            np.bincount(source, variance * w, n) / light2 for w in (dx * dx, dy * dy, dx * dy, 1 / 12)
        )
        # As SExtractor does: across a line of pixels, the place within a pixel is not known.
        thin = ((objects["flag"] & sep.OBJ_SINGU) != 0) & (x2 * y2 - xy**2 < whole**2)
    x2[thin] += whole[thin]
    y2[thin] += whole[thin]
    sky = np.bincount(source, background, n)
    x2, y2, xy = np.array([x2, y2, xy]) + moved_isophote(objects, sky / np.maximum(area, 1), noise, config)
    flags, dq = _flags(objects, owner, pixel, pixels)
    return Isophotal(
        x=x,
        y=y,
        x_peak=objects["xpeak"].astype(np.int32),
        y_peak=objects["ypeak"].astype(np.int32),
        x2=x2,
        y2=y2,
        xy=xy,
        a=objects["a"].astype(np.float64),
        b=objects["b"].astype(np.float64),
        # Rounding takes theta just past pi/2, which sep's own apertures then refuse.
        theta=np.clip(objects["theta"].astype(np.float64), -np.pi / 2, np.pi / 2),
        cxx=objects["cxx"].astype(np.float64),
        cyy=objects["cyy"].astype(np.float64),
        cxy=objects["cxy"].astype(np.float64),
        area=objects["tnpix"].astype(np.int32),
        area_filtered=area,
        flux=flux,
        flux_error=noise.error(sky, area, flux),
        peak=objects["peak"].astype(np.float64),
        flags=flags,
        dq=dq,
    )


def _flags(
    objects: NDArray[np.void], owner: NDArray[np.int32], pixel: NDArray[np.int64], pixels: Pixels
) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
    """FLAGS and or-ed DQ bits (n,) of sources, of the pixels inside them that may not be used as well.

    ``pixel`` are the flat indices of the sources' own pixels.
    """
    n = len(objects)
    flags, dq = np.zeros(n, dtype=np.int16), np.zeros(n, dtype=np.uint32)
    for bit, flag in (
        (sep.OBJ_MERGED, Flag.BLENDED),
        (sep.OBJ_TRUNC, Flag.TRUNCATED),
        (sep.OBJ_DOVERFLOW, Flag.OVERFLOW),
    ):
        flags[(objects["flag"] & bit) != 0] |= flag
    masked, source = _masked_pixels_of(owner)
    inside = _within(masked, source, objects, owner.shape[1])
    flags[source[inside]] |= Flag.CROWDED
    every = np.concatenate([pixel, masked])
    whose = np.concatenate([owner.ravel()[pixel] - 1, source])
    if pixels.saturated is not None:
        flags[whose[pixels.saturated.ravel()[every]]] |= Flag.SATURATED
    if pixels.dq is not None:
        bits = pixels.dq.ravel()[every]
        np.bitwise_or.at(dq, whose[bits != 0], bits[bits != 0])
    return flags, dq.view(np.int32)


def _within(
    pixel: NDArray[np.int64], source: NDArray[np.int64], objects: NDArray[np.void], nx: int
) -> NDArray[np.bool_]:
    """Whether flat indices lie in the ellipse of the same shape and area as their source's isophote."""
    row, column = np.divmod(pixel, nx)
    found = objects[source]
    dx, dy = column - found["x"], row - found["y"]
    distance = found["cxx"] * dx * dx + found["cyy"] * dy * dy + found["cxy"] * dx * dy
    within: NDArray[np.bool_] = distance <= found["npix"] / (np.pi * found["a"] * found["b"])
    return within


def _masked_pixels_of(owner: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Flat indices of masked pixels that touch a source, through others at most, and the sources' indices.

    A bad pixel or a saturated core is no part of a segment, whatever the filter made of it, but it is inside
    the source all the same.
    """
    source = owner > 0
    touched = np.zeros_like(source)
    touched[1:] = source[:-1]
    touched[:-1] |= source[1:]
    touched[:, 1:] |= source[:, :-1]
    touched[:, :-1] |= source[:, 1:]
    touched &= owner == -1
    waiting, flat = np.flatnonzero(touched), owner.reshape(-1)
    found = []
    try:
        for _ in range(_REACH):
            near = _neighbours(waiting, owner.shape)
            labels = flat[near].max(axis=1)
            new = labels > 0
            if not new.any():
                break
            # Marked while this goes on, for those that touch them.
            flat[waiting[new]] = labels[new]
            found.append(waiting[new])
            near = near[new].ravel()
            waiting = np.unique(near[flat[near] == -1])
        every = np.concatenate(found) if found else waiting[:0]
        return every, flat[every].astype(np.int64) - 1
    finally:
        for pixels in found:
            flat[pixels] = -1


def _neighbours(pixel: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Flat indices (m, 4) of the pixels beside flat indices; beyond the edge the pixel's own."""
    ny, nx = shape
    row, column = np.divmod(pixel, nx)
    return np.stack(
        [
            pixel - nx * (row > 0),
            pixel + nx * (row < ny - 1),
            pixel - (column > 0),
            pixel + (column < nx - 1),
        ],
        axis=1,
    )
