"""Square cut-outs about sources, as places in the image, so that one gather serves all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Stamps:
    """Of m sources, k x k pixels each: ``dx`` and ``dy`` (m, k), offsets of columns and rows from the source;
    ``pixel`` (m, k, k), places in the flat image; ``own`` (m, k, k), pixels of the source or of none.
    """

    dx: Floats
    dy: Floats
    pixel: NDArray[np.int64]
    own: NDArray[np.bool_]


def stamps(owner: NDArray[np.int32], number: NDArray[np.int64], x: Floats, y: Floats, half: int) -> Stamps:
    """Cut out ``half`` pixels on either side of 0-based ``x``, ``y`` (m,); beyond the edge none is own.

    ``owner`` (ny, nx) is the segmentation map, in which source i owns i + 1; ``number`` (m,) are these i.
    """
    ny, nx = owner.shape
    span = np.arange(-half, half + 1)
    column, row = (np.rint(p).astype(np.int64)[:, None] + span for p in (x, y))
    inside = ((row >= 0) & (row < ny))[:, :, None] & ((column >= 0) & (column < nx))[:, None, :]
    pixel = np.clip(row, 0, ny - 1)[:, :, None] * nx + np.clip(column, 0, nx - 1)[:, None, :]
    whose = owner.ravel()[pixel]
    own = inside & ((whose == 0) | (whose == (number + 1)[:, None, None]))
    return Stamps(column - x[:, None], row - y[:, None], pixel, own)
