"""What in an image is bright, or deep below the sky, against the scatter of its pixels."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .pixels import Image, Mask

# The sigma of a normal distribution in median deviations.
MEDIANS = 1.4826
# In sigma from the median: neither noise nor sky reaches up to one, nor any light down to the other.
_BRIGHT, _DEEP = 20.0, -50.0
# A few pixels of more, of quite different heights, hide the sky from a mesh's histogram of 4,096 levels; and
# beside still more float32 does not hold the sky, and no detector or stack of exposures has both.
_GLARING, _WILD = 1e5, 1e9
_SIDE = 3
# Pixels looked at: every _STEP-th along both axes, or about _ENOUGH in all if that is fewer.
_STEP, _ENOUGH = 5, 50_000


def bright_level(data: Image, missing: Mask) -> float:
    """What only sources and hot pixels of an image (ny, nx) exceed; NaN if there are too few pixels to tell.

    ``missing`` is True where a pixel has no value.
    """
    middle, sigma = _scatter(_some(data, missing))
    return middle + _BRIGHT * sigma


class Extremes(NamedTuple):
    """Levels that pixels are beyond which are not to be taken for sky or light.

    What is below ``deep`` is dead. What is above ``glaring`` tells nothing of the sky, and what is above
    ``wild`` is no measurement.
    """

    deep: float = -math.inf
    glaring: float = math.inf
    wild: float = math.inf

    @classmethod
    def of(cls, data: Image, mask: Mask) -> Extremes:
        """Those of an image (ny, nx). Where most pixels are equal, as counts are, the scatter is that of the
        others about them, and only what is wild against it is beyond; nothing is if all are equal.
        """
        some = _some(data, mask)
        middle, sigma = _scatter(some)
        if sigma > 0:
            return cls(*(middle + factor * sigma for factor in (_DEEP, _GLARING, _WILD)))
        others = np.abs(some - np.float32(middle))
        if (others := others[others > 0]).size:
            wild = _WILD * MEDIANS * float(np.median(others))
            return cls(middle - wild, math.inf, middle + wild)
        return cls()


NONE = Extremes()


def _some(data: Image, missing: Mask) -> NDArray[np.float32]:
    """Some of the pixels that have a value, (n,)."""
    step = max(_STEP, math.isqrt(data.size // _ENOUGH))
    some: NDArray[np.float32] = data[::step, ::step][~missing[::step, ::step]]
    return some


def _scatter(some: NDArray[np.float32]) -> tuple[float, float]:
    """Median and sigma of pixels (n,); NaN without any."""
    if not len(some):
        return float("nan"), float("nan")
    middle = np.median(some)
    return float(middle), float(MEDIANS * np.median(np.abs(some - middle)))


def masked_light(data: Image, mask: Mask, missing: Mask) -> float:
    """The masked share of squares of 3 x 3 pixels that are bright all over, which hot pixels are not."""
    ny, nx = (n // _SIDE * _SIDE for n in data.shape)
    with np.errstate(invalid="ignore"):
        bright = (data > bright_level(data, missing)) & ~missing
    whole = _squares(np.logical_and, bright[:ny, :nx])
    lost = _squares(np.logical_or, mask[:ny, :nx]) & whole
    number = np.count_nonzero(whole)
    return np.count_nonzero(lost) / number if number >= 3 else 0.0


def _squares(join: np.ufunc, of: Mask) -> Mask:
    """All pixels of each square joined, along whole columns first: numpy is slow along axes of three."""
    rows = join(join(of[::_SIDE], of[1::_SIDE]), of[2::_SIDE])
    squares: Mask = join(join(rows[:, ::_SIDE], rows[:, 1::_SIDE]), rows[:, 2::_SIDE])
    return squares
