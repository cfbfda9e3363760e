"""The background of an image and its noise, told apart from what sep says when it has seen neither."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import sep
from numpy.typing import NDArray

from .event import Config

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Background:
    """``image`` (ny, nx), to be subtracted; its typical ``level`` and noise ``rms``, one sigma a pixel.

    ``rms`` is 0 where most pixels are the same. ``model`` is sep's, None where there is one level for all.
    """

    image: Image
    level: float
    rms: float
    model: sep.Background | None

    def local_rms(self) -> Image:
        """The noise at each pixel, (ny, nx)."""
        if self.model is None:
            return np.full_like(self.image, self.rms)
        noise: Image = self.model.rms()
        return noise


def measure_background(data: Image, mask: Mask, config: Config) -> Background:
    """Measure the background of ``data`` (ny, nx) over meshes, without the pixels in ``mask``."""
    ny, nx = data.shape
    size, filtered = config.back_size, config.back_filtersize
    model = sep.Background(
        data, mask=mask if mask.any() else None, bw=min(size, nx), bh=min(size, ny), fw=filtered, fh=filtered
    )
    image, level, rms = model.back(), float(model.globalback), float(model.globalrms)
    if rms == 1.0:
        # sep says 1 where it has measured 0, and a level of 0 with it where no mesh is half usable.
        if not model.rms().any():
            return Background(image, level, 0.0, model)
        if not image.any():
            level, rms = _of_pixels(data[~mask])
            image[:] = level
            return Background(image, level, rms, None)
    return Background(image, level, rms, model)


def _of_pixels(pixels: NDArray[np.float32]) -> tuple[float, float]:
    """Level and noise of pixels (n,), wherever they stand, as of a single mesh."""
    side = math.isqrt(len(pixels))
    model = sep.Background(pixels[: side * side].reshape(side, side), bw=side, bh=side)
    return float(model.globalback), float(model.globalrms) if model.rms().any() else 0.0
