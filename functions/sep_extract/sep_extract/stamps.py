"""Cut-outs about sources, of all of them at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def cut_outs(image: NDArray[Any], top: Ints, left: Ints, shape: tuple[int, int], beyond: int) -> NDArray[Any]:
    """Parts (m, *shape) of an ``image`` (ny, nx), of which ``beyond`` stands for pixels beyond the edges.

    Their first pixels are at the rows ``top`` and columns ``left``, (m,).
    """
    (ny, nx), (rows, columns) = image.shape, shape
    inside = (top >= 0) & (top <= ny - rows) & (left >= 0) & (left <= nx - columns)
    if inside.all() and len(top):
        return np.lib.stride_tricks.sliding_window_view(image, shape)[top, left]
    found = np.full((len(top), rows, columns), beyond, image.dtype)
    if inside.any():
        found[inside] = np.lib.stride_tricks.sliding_window_view(image, shape)[top[inside], left[inside]]
    for i in np.flatnonzero(~inside):
        y, x = int(top[i]), int(left[i])
        part = image[max(y, 0) : max(y + rows, 0), max(x, 0) : max(x + columns, 0)]
        found[i, max(-y, 0) :, max(-x, 0) :][: part.shape[0], : part.shape[1]] = part
    return found


@dataclass(frozen=True)
class Stamps:
    """Square cut-outs of m sources, k x k pixels each: ``dx`` and ``dy`` (m, k), offsets of columns and rows
    from the source; ``own`` (m, k, k), pixels of the source or of none.
    """

    dx: Floats
    dy: Floats
    own: NDArray[np.bool_]
    top: Ints
    left: Ints

    def of(self, image: NDArray[Any]) -> NDArray[Any]:
        """The stamps (m, k, k) of an image (ny, nx), 0 beyond its edges."""
        return cut_outs(image, self.top, self.left, (self.dy.shape[1], self.dx.shape[1]), 0)


def stamps(owner: NDArray[np.int32], number: Ints, x: Floats, y: Floats, half: int) -> Stamps:
    """Cut out ``half`` pixels on either side of 0-based ``x``, ``y`` (m,); beyond the edge none is own.

    ``owner`` (ny, nx) is the segmentation map, in which source i owns i + 1; ``number`` (m,) are these i.
    """
    span = np.arange(2 * half + 1)
    left, top = (np.rint(p).astype(np.int64) - half for p in (x, y))
    whose = cut_outs(owner, top, left, (len(span), len(span)), -1)
    own = (whose == 0) | (whose == (number + 1).astype(owner.dtype)[:, None, None])
    return Stamps(left[:, None] + span - x[:, None], top[:, None] + span - y[:, None], own, top, left)
