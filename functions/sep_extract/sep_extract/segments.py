"""What the pixels of each source's own segment say of it."""

from __future__ import annotations

import numpy as np
import sep
from numpy.typing import NDArray

from .event import Config
from .flags import Flag
from .isophote import moved_isophote
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
    with np.errstate(divide="ignore", invalid="ignore"):
        x2, y2, xy, whole = (
            np.bincount(source, variance * w, n) / flux**2 for w in (dx * dx, dy * dy, dx * dy, 1 / 12)
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
    ny, nx = owner.shape
    reached = np.zeros((ny + 2, nx + 2), dtype=np.int32)
    reached[1:-1, 1:-1] = owner
    flat, steps = reached.ravel(), np.array([-nx - 2, nx + 2, -1, 1])
    touched = (reached[:-2, 1:-1] > 0) | (reached[2:, 1:-1] > 0)
    touched |= (reached[1:-1, :-2] > 0) | (reached[1:-1, 2:] > 0)
    row, column = np.nonzero(touched & (owner == -1))
    waiting = (row + 1) * (nx + 2) + column + 1
    found = []
    for _ in range(_REACH):
        neighbours = flat[waiting[:, None] + steps].max(axis=1)
        new = waiting[neighbours > 0]
        if not len(new):
            break
        flat[new] = neighbours[neighbours > 0]
        found.append(new)
        near = (new[:, None] + steps).ravel()
        waiting = np.unique(near[flat[near] == -1])
    every = np.concatenate(found) if found else np.zeros(0, dtype=np.int64)
    row, column = np.divmod(every, nx + 2)
    return (row - 1) * nx + column - 1, flat[every].astype(np.int64) - 1
