"""The background of an image and its noise, told apart from what sep says when it has seen neither."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import sep
from numpy.typing import NDArray

from .event import Config
from .pixels import Pixels, sample

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

# Pixels this many sigma from the median stand out; a few rounds settle it.
_CLIP, _CLIPS = 3.0, 50
# Pixels that are whole numbers, or multiples of some other step, have more than _FEW levels; the step
# matters while the noise is below _FINE steps, and float32 rounds multiples by up to _ROUNDING of one.
_FEW, _FINE, _ROUNDING = 2, 50, 0.05
# The scatter of all pixels in the noise of one: an error plane, or a count of photons, that says less is not
# that of this image, and float32 holds no squares of its pixels in such units.
_WIDEST = 1e9

# In sigma of the meshes: with pixels farther from the sky, these are not of one image with it.
FARTHEST = 1e12
# In the unit of the pixels: float32 holds no smaller differences to all its digits.
LEAST_NOISE = 1e-37


@dataclass(frozen=True)
class Background:
    """``image`` (ny, nx), to be subtracted; its typical ``level`` and noise ``rms``, one sigma a pixel.

    ``rms`` is 0 where most pixels are the same. ``model`` is sep's of the part of the image that ``box`` has,
    None where there is one level for all.
    """

    image: Image
    level: float
    rms: float
    model: sep.Background | None
    box: tuple[slice, slice]

    def local_rms(self) -> Image:
        """The noise at each pixel, (ny, nx)."""
        if self.model is None:
            return np.full_like(self.image, self.rms)
        noise = self.model.rms()
        if noise.min() <= 0:  # between meshes of very different noise, sep's spline swings below 0
            noise[noise <= 0] = self.rms
        return _framed(noise, self.box, self.image.shape, self.rms)


def measure_background(data: Image, mask: Mask, config: Config) -> Background:
    """Measure the background of ``data`` (ny, nx) over meshes, without the pixels in ``mask``.

    Meshes begin where usable pixels do: one that reaches over an edge is more than half masked and tells
    nothing, and what its neighbour tells is wrong where the sky has a gradient.
    """
    box = usable_box(mask)
    inside, hidden = np.ascontiguousarray(data[box]), np.ascontiguousarray(mask[box])
    ny, nx = inside.shape
    size, filtered = config.back_size, config.back_filtersize
    settings = {
        "mask": hidden if hidden.any() else None,
        "bw": min(size, nx),
        "bh": min(size, ny),
        "fw": filtered,
        "fh": filtered,
    }
    model = levels = sep.Background(inside, **settings)
    rms = float(model.globalrms)
    # sep says 1 where it has measured 0, and a level of 0 with it where no mesh is half usable.
    flat = rms == 1.0 and not model.rms().any()
    if not flat and (step := step_of(inside, hidden, rms)):
        # The mode of whole numbers is off by up to 0.7 of their step; spread over it, they have a true one.
        spread = np.random.default_rng(0).random(inside.shape, np.float32) - np.float32(0.5)
        inside = inside + np.float32(step) * spread
        levels = sep.Background(inside, **settings)
    level = float(levels.globalback)
    image = _framed(levels.back(), box, data.shape, level)
    if flat:
        return Background(image, level, 0.0, model, box)
    if rms == 1.0 and not image[box].any():
        level, rms = _of_pixels(inside[~hidden])
        image[:] = level
        return Background(image, level, rms, None, box)
    return Background(image, level, rms, model, box)


def _framed(part: Image, box: tuple[slice, slice], shape: tuple[int, ...], beyond: float) -> Image:
    """An image (ny, nx) that is ``part`` in the box, and ``beyond`` around it."""
    if part.shape == shape:
        return part
    image = np.full(shape, np.float32(beyond))
    image[box] = part
    return image


def step_of(data: Image, mask: Mask, rms: float) -> float:
    """What pixels (ny, nx) differ by, where all do by multiples of it and the noise is not far above it.

    0 for others, and where most hold the same value.
    """
    values = sample(data, mask)
    levels = np.unique(values)
    if not _FEW < len(levels) < len(values) / 2:
        return 0.0
    gaps = np.diff(levels)
    step = float(gaps.min())
    with np.errstate(over="ignore", invalid="ignore"):  # of the smallest numbers there are
        multiples = gaps / step
        near = np.abs(multiples - np.rint(multiples)) < _ROUNDING * multiples
    return step if rms < _FINE * step and near.all() else 0.0


def usable_box(mask: Mask) -> tuple[slice, slice]:
    """The rows and columns from the first to the last with a usable pixel; all without any."""
    rows, columns = (np.flatnonzero(~mask.all(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return slice(None), slice(None)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def sparse_noise(image: Image, pixels: Pixels) -> tuple[float, str]:
    """One sigma of a pixel where most hold the same value, and how it was found; 0 where nothing tells it.

    ``image`` is the plane without its background. Tried in order: the scatter of the pixels without those
    that stand out, the error plane where it is low, the Poisson noise of the mean of such pixels; the scatter
    of all pixels if that is 1e9 times as much.
    """
    raw = pixels.data[~pixels.mask]
    values = image[~pixels.mask].astype(np.float64)
    everything = values
    if np.count_nonzero(raw == np.median(raw)) < len(raw) / 2:
        for _ in range(_CLIPS):
            kept = np.abs(values - np.median(values)) <= _CLIP * values.std()
            if kept.all():
                break
            values = values[kept]
        if (scatter := float(values.std())) > 0:
            return scatter, "the scatter of the pixels that do not stand out"
    widest = float(everything.std())
    if pixels.error is not None:
        low = float(np.quantile(pixels.error[~pixels.mask], 0.16))
        if low * _WIDEST > widest:
            return low, "the lower values of ERR"
    mean = float(everything[everything <= np.quantile(everything, 0.99)].mean())
    if pixels.gain and mean > 0:
        # Less than one photon cannot be seen in a pixel.
        noise = max(1.0, math.sqrt(mean * pixels.gain)) / pixels.gain
        if noise * _WIDEST > widest:
            return noise, "the Poisson noise of nearly all pixels, at least one photon"
    return widest, "the scatter of all pixels"


def _of_pixels(pixels: NDArray[np.float32]) -> tuple[float, float]:
    """Level and noise of pixels (n,), wherever they stand, as of a single mesh."""
    side = math.isqrt(len(pixels))
    model = sep.Background(pixels[: side * side].reshape(side, side), bw=side, bh=side)
    return float(model.globalback), float(model.globalrms) if model.rms().any() else 0.0
