"""Aperture sums that neighbours and bad pixels do not spoil.

SExtractor's MASK_TYPE CORRECT: inside an aperture, a pixel that belongs to another source or must not be used
is replaced by the one opposite it about the source's centre, or by 0 where that one is no better
(SExtractor documentation, "MASK_TYPE"). sep can only leave such pixels out and scale the rest up, which in a
crowded field costs a tenth of a magnitude; so the plain sums are sep's, and what replacing changes is summed
here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Pixels looked at in one go: bounds the memory that a source as large as the image takes.
_STRIP = 1 << 16


@dataclass(frozen=True)
class Ellipses:
    """Apertures cxx dx^2 + cyy dy^2 + cxy dx dy <= radius^2 about 0-based centres; arrays (n,), pixels."""

    x: Floats
    y: Floats
    cxx: Floats
    cyy: Floats
    cxy: Floats
    radius: Floats

    def reach(self) -> tuple[Floats, Floats]:
        """Half sides, along x and y, of the boxes that just hold the ellipses."""
        with np.errstate(divide="ignore", invalid="ignore"):
            shrink = self.radius / np.sqrt(np.maximum(self.cxx * self.cyy - self.cxy**2 / 4, 1e-30))
        return shrink * np.sqrt(self.cyy), shrink * np.sqrt(self.cxx)


def corrections(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    owner: NDArray[np.int32],
    ellipses: Ellipses,
    circles: tuple[Floats, Floats],
    radii: list[float],
) -> tuple[Floats, Floats, Floats, Floats]:
    """What replacing spoiled pixels adds to the sum over each source's ellipse and circles.

    ``data`` and ``variance`` (ny, nx), background subtracted, 0 where masked; ``owner`` (ny, nx) the
    segmentation map, in which source i owns i + 1, with -1 where masked. ``circles``: their 0-based
    centres x and y, (n,), at most a pixel or so from the ellipses'; ``radii`` in pixels.
    Returns the sums of flux and of variance, (n, 1 + circles) with the ellipse first, the spoiled area of
    the ellipse, and the light in it that is replaced, (n,).

    A pixel is in an ellipse when its centre is, as in SExtractor; a circle's edge is a ramp one pixel wide.
    """
    n, sizes = len(ellipses.x), np.array(radii)[:, None]
    ny, nx = data.shape
    flux, extra = np.zeros((2, n, 1 + len(radii)))
    area, light = np.zeros((2, n))
    reach_x, reach_y = (
        np.maximum(reach, max(radii, default=0.0) + np.abs(at - centre)) + 1
        for reach, at, centre in zip(ellipses.reach(), circles, (ellipses.x, ellipses.y), strict=True)
    )
    widest = (max(radii, default=0.0) + 0.5) ** 2
    for i in range(n):
        x, y, limit = ellipses.x[i], ellipses.y[i], ellipses.radius[i] ** 2
        centre_x, centre_y = circles[0][i], circles[1][i]
        left, right = max(0, int(x - reach_x[i])), min(nx, int(x + reach_x[i]) + 2)
        bottom, top = max(0, int(y - reach_y[i])), min(ny, int(y + reach_y[i]) + 2)
        strip = max(1, _STRIP // (right - left))
        for start in range(bottom, top, strip):
            box = owner[start : min(start + strip, top), left:right]
            row, column = np.nonzero((box != 0) & (box != i + 1))
            if not len(row):
                continue
            dx, dy = column + (left - x), row + (start - y)
            in_ellipse = (
                ellipses.cxx[i] * dx * dx + ellipses.cyy[i] * dy * dy + ellipses.cxy[i] * dx * dy <= limit
            )
            distance = (column + (left - centre_x)) ** 2 + (row + (start - centre_y)) ** 2
            inside = np.flatnonzero(in_ellipse | (distance < widest))
            if not len(inside):
                continue
            weights = np.empty((1 + len(radii), len(inside)))
            weights[0] = in_ellipse[inside]
            np.clip(sizes + 0.5 - np.sqrt(distance[inside]), 0.0, 1.0, out=weights[1:])
            row, column = row[inside] + start, column[inside] + left
            here, noise = data[row, column], variance[row, column]
            # The pixel opposite the centre, as SExtractor rounds it; the same for both centres or not.
            opposites = [
                (int(2 * v + 0.49999), int(2 * u + 0.49999)) for u, v in ((x, y), (centre_x, centre_y))
            ]
            for k, (twice_y, twice_x) in enumerate(dict.fromkeys(opposites)):
                part = slice(None) if opposites[0] == opposites[1] else (slice(1), slice(1, None))[k]
                row2, column2 = twice_y - row, twice_x - column
                exists = (row2 >= 0) & (row2 < ny) & (column2 >= 0) & (column2 < nx)
                row2[~exists], column2[~exists] = row[~exists], column[~exists]
                other = owner[row2, column2]
                usable = (other == 0) | (other == i + 1)
                flux[i, part] += weights[part] @ (np.where(usable, data[row2, column2], 0.0) - here)
                extra[i, part] += weights[part] @ (np.where(usable, variance[row2, column2], 0.0) - noise)
            area[i] += weights[0].sum()
            light[i] += weights[0] @ here
    return flux, extra, area, light
