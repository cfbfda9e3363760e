"""A preview: the stretched image with the ellipses of its sources, as PNG. No package but numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyfan_function.png import encode

from .extract import Measurement

# Longest side of a chip in the preview; several chips stand on one another.
_SIDE = 1024
_CLEAN, _FLAGGED = (90, 220, 120), (255, 150, 60)


def preview(pictures: list[NDArray[np.uint8]]) -> bytes:
    """PNG of the pictures of chips, the first at the bottom."""
    width = max(p.shape[1] for p in pictures)
    padded = [np.pad(p, ((0, 4), (0, width - p.shape[1]), (0, 0))) for p in pictures]
    return encode(np.concatenate(padded)[::-1])


def draw(found: Measurement) -> NDArray[np.uint8]:
    """One chip with its sources, (ny, nx, 3), of at most 1024 pixels a side; row 0 is at the bottom."""
    data, sources = found.image, found.sources
    step = found.binned
    small = data
    if step == 1:
        step = max(1, -(-max(data.shape) // _SIDE))
        ny, nx = (n // step * step for n in data.shape)
        small = data[:ny, :nx].reshape(ny // step, step, nx // step, step).mean(axis=(1, 3))
    noise = max(found.rms / found.unit / step, 1e-30)
    # From 2 sigma below the background up, so that the faintest sources show without the noise taking over.
    grey = np.arcsinh(np.clip(small / noise + 2, 0, None) / 3) / np.arcsinh(300 / 3)
    picture = np.repeat((np.clip(grey, 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=2)
    turn = np.linspace(0, 2 * np.pi, 180)
    for colour, chosen in ((_CLEAN, sources.flags == 0), (_FLAGGED, sources.flags != 0)):
        shape, kron = sources.isophotal, sources.photometry.kron_radius[chosen, None]
        x, y, a, b, theta = (
            values[chosen, None] for values in (shape.x, shape.y, shape.a, shape.b, shape.theta)
        )
        along, across = kron * a * np.cos(turn), kron * b * np.sin(turn)
        right, up = (
            along * np.cos(theta) - across * np.sin(theta),
            along * np.sin(theta) + across * np.cos(theta),
        )
        column, row = (np.rint((p + 0.5) / step - 0.5).astype(int) for p in (x + right, y + up))
        inside = (row >= 0) & (row < picture.shape[0]) & (column >= 0) & (column < picture.shape[1])
        picture[row[inside], column[inside]] = colour
    return picture
