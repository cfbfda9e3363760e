"""One image plane as plain arrays: what measuring starts from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .encircled import Encircled

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
Flags = NDArray[np.unsignedinteger[Any]]

PAIR = (1.0, 3.0)
_SAMPLE = 20_000
# An even number of rows that are gone through at once: what is made of them stays in the processor's cache.
_ROWS = 64


@dataclass(frozen=True)
class Pixels:
    """An image of shape (ny, nx). Nothing here is written to.

    ``data`` float32, 0 where masked; ``mask`` True where a pixel must not be used. The noise is the measured
    background noise, unless ``error`` (one sigma, the Poisson noise of sources included) or ``weight``
    (proportional to the inverse background variance) says how it varies from pixel to pixel. ``gain`` is in
    electrons per unit of the data. ``dq`` flags, unsigned integers, and ``saturated`` pixels, which are used
    like any other, are reported with the sources.
    ``scale`` is in arcsec per pixel; without it there are no circular apertures.
    """

    data: Image
    mask: Mask
    error: Image | None = None
    weight: Image | None = None
    gain: float | None = None
    dq: Flags | None = None
    saturated: Mask | None = None
    scale: float | None = None
    pair: tuple[float, float] = PAIR
    """Radii in pixels of the circles of the concentration index."""
    expected: tuple[float, ...] = ()
    """Range of that index for stars, if one is published."""
    table: Encircled | None = None
    """The light of a point source in circles, if it is published."""
    dispersed: bool = False
    """Sources are spectra, among which there is no point source."""
    glaring: float = math.inf
    """What is brighter is used like any other pixel, but tells nothing of the sky."""

    def hidden(self) -> Mask:
        """Pixels that say nothing of the sky: masked, saturated, which belong to their star, or glaring."""
        hidden: Mask = self.data > self.glaring
        hidden |= self.mask
        if self.saturated is not None:
            hidden |= self.saturated
        return hidden


def sample(data: Image, mask: Mask) -> NDArray[np.float32]:
    """Some 20,000 of the pixels of an image (ny, nx) that are finite and not masked, or all of fewer."""
    # An odd step goes through all columns.
    every = max(1, data.size // _SAMPLE) | 1
    values = data.ravel()[::every][~mask.ravel()[::every]]
    return values[np.isfinite(values)]


def strips(rows: slice, most: int = _ROWS) -> Iterator[slice]:
    """Successive slices of rows, or columns, of ``most`` each but for the last."""
    return (slice(at, min(at + most, rows.stop)) for at in range(rows.start, rows.stop, most))
