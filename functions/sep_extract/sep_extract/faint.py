"""A second, fainter detection on the light of the first one's sources: small ones in the halo of a large one.

A running median that is wider than a star but narrower than a halo takes the halo away. What stands out of
the rest inside the segments of the first detection, and is not one of its sources, is a source of the second.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sep
from numpy.typing import NDArray

from .event import Config
from .ladder import Step, detect
from .noise import grown
from .pixels import Image, Mask

# A source: connected pixels above the one, with a peak above the other, in sigma of the smoothed residual.
_THRESHOLD, _PEAK = 2.0, 4.0
# The mesh in pixels in which that sigma is measured; it is never less than this share of a pixel's.
_MESH, _LEAST_NOISE = 32, 0.3
# Where the halo is steep the median misses it: an error of this share of its slope per pixel.
_SLOPE = 0.4
_ROWS = 64
# Successive over-relaxation, for holes some ten pixels wide.
_ROUNDS, _OVERSHOOT = 20, 1.5


@dataclass(frozen=True)
class Fainter:
    """The second detection. ``image`` (ny, nx): the residual, the first image without ``halo``.

    ``owner`` (ny, nx): object i owns i + 1; -1 where masked and on the sources that ``image`` shows besides.
    """

    objects: NDArray[Any]
    owner: NDArray[np.int32]
    image: Image
    halo: Image
    step: Step


def detect_fainter(
    image: Image,
    sigma: float | Image,
    mask: Mask,
    objects: NDArray[Any],
    segmentation: NDArray[np.int32],
    config: Config,
) -> Fainter:
    """Detect what the first detection, whose ``objects`` and ``segmentation`` these are, took for its own.

    ``image`` (ny, nx), background subtracted, 0 where masked; ``sigma``, its noise, a number or (ny, nx).
    ``config.faint_size`` is the side of the median. Raises ExtractionError and OutOfMemoryError.
    """
    assert config.faint_size is not None
    halo = _medians(image, config.faint_size)
    rest = image - halo
    rest[mask] = 0
    noise = _noise(_smoothed(rest) if config.filter else rest, halo, sigma, mask)
    found, owner, step = detect(rest, noise, mask, replace(config, detect_thresh=_THRESHOLD))
    keep = segmentation[found["ypeak"], found["xpeak"]] > 0
    keep &= found["cpeak"] > _PEAK * noise[found["ycpeak"], found["xcpeak"]]
    keep &= np.isfinite(found["flux"]) & (found["flux"] > 0) & (found["b"] > 0)
    centres = np.rint(objects["y"]).astype(int), np.rint(objects["x"]).astype(int)
    for at in (centres, (objects["ypeak"], objects["xpeak"])):
        known = owner[at]
        keep[known[known > 0] - 1] = False
    number = np.full(len(found) + 1, -1, dtype=np.int32)
    number[0] = 0
    number[1:][keep] = np.arange(1, np.count_nonzero(keep) + 1)
    found, owner = found[keep], number[owner]
    # The median has light of the sources in it: below them the halo is continued from around.
    _fill(halo, grown(owner > 0))
    rest = image - halo
    rest[mask] = 0
    found["flux"] = np.bincount(owner.ravel() + 1, rest.ravel(), len(found) + 2)[2:]
    return Fainter(found, owner, rest, halo, step)


def _noise(rest: Image, halo: Image, sigma: float | Image, mask: Mask) -> Image:
    """One sigma (ny, nx) of the residual as detection compares it: what it scatters by, and what is left."""
    ny, nx = rest.shape
    scaled = np.divide(rest, sigma, dtype=np.float32)
    model = sep.Background(scaled, mask=mask if mask.any() else None, bw=min(_MESH, nx), bh=min(_MESH, ny))
    scatter = np.maximum(model.rms(), np.float32(_LEAST_NOISE)) * np.asarray(sigma, np.float32)
    noise: Image = np.hypot(scatter, np.float32(_SLOPE) * np.hypot(*np.gradient(halo)))
    return noise


def _medians(image: Image, size: int) -> Image:
    """The median of ``size`` medians of ``size`` pixels about each pixel; the image goes on in its mirror."""
    for axis in (1, 0):
        padded = np.pad(image, [(size // 2,) * 2 if i == axis else (0, 0) for i in (0, 1)], mode="reflect")
        windows = np.lib.stride_tricks.sliding_window_view(padded, size, axis=axis)
        image = np.empty_like(image)
        for row in range(0, len(image), _ROWS):
            part = slice(row, row + _ROWS)
            image[part] = np.partition(windows[part], size // 2, axis=-1)[..., size // 2]
    return image


def _fill(image: Image, hole: Mask) -> None:
    """Continue the image into ``hole`` by the smoothest surface: each pixel is the mean of its neighbours."""
    wide = np.pad(image, 1, mode="edge")
    flat, nx = wide.ravel(), wide.shape[1]
    row, column = np.nonzero(hole)
    pixel = (row + 1) * nx + column + 1
    halves = [pixel[(row + column) % 2 == colour] for colour in (0, 1)]
    for _ in range(_ROUNDS):
        for half in halves:
            mean = sum(flat[half + step] for step in (-nx, -1, 1, nx)) / np.float32(4)
            flat[half] += np.float32(_OVERSHOOT) * (mean - flat[half])
    image[hole] = flat[pixel]


def _smoothed(image: Image) -> Image:
    """As detection smooths: with SExtractor's 3 x 3 pyramid."""
    wide = np.pad(image, 1)
    rows = wide[:-2] + 2 * wide[1:-1] + wide[2:]
    smooth: Image = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / np.float32(16)
    return smooth
