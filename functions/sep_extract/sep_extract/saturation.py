"""Saturated pixels that no flag names, or that hold no value."""

from __future__ import annotations

import numpy as np

from .brightness import bright_level
from .pixels import Image, Mask

_SIDE = 3


def plateau(data: Image, missing: Mask) -> float | None:
    """The highest value of an image (ny, nx) if bright squares of 3 x 3 pixels hold nothing else; else None.

    ``missing`` is True where a pixel has no value.
    """
    highest = np.max(data, where=~missing, initial=-np.inf)
    if not highest > bright_level(data, missing):
        return None
    full = (data == highest) & ~missing
    if np.count_nonzero(full) < _SIDE**2:
        return None
    wide = full[:, :-2] & full[:, 1:-1] & full[:, 2:]
    return float(highest) if (wide[:-2] & wide[1:-1] & wide[2:]).any() else None


def fill(data: Image, holes: Mask) -> None:
    """Give pixels without a value, True in ``holes``, that of their brightest neighbour, inwards."""
    ny, nx = data.shape
    rows, columns = np.nonzero(holes)
    steps = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
    while len(rows):
        around = np.stack(
            [data[np.clip(rows + dy, 0, ny - 1), np.clip(columns + dx, 0, nx - 1)] for dy, dx in steps]
        )
        brightest = np.max(around, axis=0, where=np.isfinite(around), initial=-np.inf)
        known = np.isfinite(brightest)
        if not known.any():
            return
        data[rows[known], columns[known]] = brightest[known]
        rows, columns = rows[~known], columns[~known]
