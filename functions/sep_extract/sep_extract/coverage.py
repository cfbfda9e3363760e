"""Pixels that no exposure covers, where nothing but one value, the same for all of them, tells it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .pixels import sample

# Values that stand for "no measurement" wherever they appear more than once.
_FILLS = (-9999.0, -32768.0, -32767.0, -999.0, -99.0, 99999.0, 1e30, -1e30, 3.4028235e38, -3.4028235e38)
# An uncovered part is solid: squares of this side hold nothing else.
_SIDE = 8
# The share of the image that must lie in such squares.
_SHARE = 0.01
_LEAST_SQUARES = 2
# The highest value of all is that of saturated stars, unless it fills more of the image than stars do.
_MOST_SATURATED = 0.05
# Where values hardly repeat, one that this share and number of pixels have is no measurement; where others
# end at it, they were cut off. Single pixels beyond the end do not count.
_MOST_OF_ONE, _MOST_CUT_OFF, _LEAST_PIXELS = 0.005, 0.05, 20
_SINGLE = 0.005

# As much or more is no measurement in any unit, and sums of it are no float32.
WILDEST = 1e30
# What is all below is no measurement either, and float32 hardly holds it.
FAINTEST = 1e-33


def wild(data: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pixels (ny, nx) that hold a number too large to be a measurement; infinities are not counted."""
    far = (data >= np.float32(WILDEST)) | (data <= np.float32(-WILDEST))
    return far & np.isfinite(data) if far.any() else far


def uncovered(
    data: NDArray[np.float32], *, counting: bool, weighted: bool = False
) -> tuple[NDArray[np.bool_], list[float]]:
    """Which pixels (ny, nx) hold a value that stands for no measurement, and those values.

    ``counting``: 0 photons is a measurement, however many pixels have it. So it is where all are whole.
    ``weighted``: a weight tells of scattered ones.
    """
    some = data[::7, ::7]
    counting = counting or bool((np.trunc(some) == some).all())
    values = [value for value in _solid(data) if not (counting and value == 0)]
    fills = np.array(_FILLS, np.float32)
    # All are far from what most pixels hold.
    far = data[(data <= fills[fills < 0].max()) | (data >= fills[fills > 0].min())]
    for fill in fills:
        if float(fill) not in values and np.count_nonzero(far == fill) > 1:
            values.append(float(fill))
    mask = equal(data, values)
    if counting or weighted:
        return mask, values
    seen = sample(data, mask)
    value = _repeated(seen, _MOST_OF_ONE)
    if value is not None and not _is_end(seen, value) and not _is_full(seen, value):
        values.append(value)
        mask |= data == np.float32(value)
    return mask, values


def cut_off(data: NDArray[np.float32], missing: NDArray[np.bool_]) -> str:
    """What to say of an image (ny, nx) whose lowest value fills much of it; empty else, and for counts."""
    seen = sample(data, missing)
    value = _repeated(seen, _MOST_CUT_OFF)
    if value is None or not _is_end(seen, value):
        return ""
    share = np.count_nonzero(data == np.float32(value)) / np.count_nonzero(~missing)
    return (
        f"{100 * share:.0f} % of the pixels are {value:g} and none is lower: what was lower was cut off, and "
        "background, noise and fluxes are not those of the sky"
    )


def equal(data: NDArray[np.float32], values: Sequence[float]) -> NDArray[np.bool_]:
    """Pixels (ny, nx) that hold one of the values."""
    mask = np.zeros(data.shape, dtype=bool)
    for value in values:
        mask |= data == np.float32(value)
    return mask


def _repeated(values: NDArray[np.float32], share: float) -> float | None:
    """The one of ``values`` (n,) that such a ``share`` of them have, if others hardly repeat; or None."""
    levels, counts = np.unique(values, return_counts=True)
    if not len(levels) or counts.max() < max(share * len(values), _LEAST_PIXELS):
        return None
    most = int(counts.argmax())
    others = len(values) - int(counts[most])
    if others < _LEAST_PIXELS or len(levels) - 1 < others / 2:
        return None
    return float(levels[most])


def _is_end(values: NDArray[np.float32], value: float) -> bool:
    """Whether the other values end at this one, and do not go on below it or far above it."""
    others = values[values != np.float32(value)]
    lowest, low, middle = np.quantile(others, (_SINGLE, 0.16, 0.5))
    return bool((others < value).mean() < _SINGLE and lowest - value < middle - low)


def _is_full(values: NDArray[np.float32], value: float) -> bool:
    """Whether saturated stars may have this value: it is the highest, and has not more pixels than they."""
    return bool((values > value).mean() < _SINGLE / 10 and (values == value).mean() <= _MOST_SATURATED)


def _solid(data: NDArray[np.float32]) -> list[float]:
    """Values that fill whole squares, together at least a hundredth of the image."""
    ny, nx = (n // _SIDE * _SIDE for n in data.shape)
    # One row and one column of each square first: few squares have even those of one value.
    squares = data[:ny, :nx].reshape(ny // _SIDE, _SIDE, nx // _SIDE, _SIDE)
    corner = squares[:, :1, :, :1]
    row, column = np.nonzero((squares[:, :1] == corner).all(axis=(1, 3)))
    if not len(row):
        return []
    inside = squares[row, :, column, :]
    flat = (inside == inside[:, :1, :1]).all(axis=(1, 2))
    values, counts = np.unique(inside[flat, 0, 0], return_counts=True)
    least = max(_LEAST_SQUARES, _SHARE * data.size / _SIDE**2)
    solid = {
        float(value): count
        for value, count in zip(values, counts, strict=True)
        if np.isfinite(value) and count >= least
    }
    highest = float(np.nanmax(data))
    if highest in solid:
        rest = np.isfinite(data) & ~np.isin(data, np.array(list(solid), np.float32))
        if solid[highest] <= _MOST_SATURATED * data.size / _SIDE**2 or not rest.any():
            del solid[highest]
    return list(solid)


def outside(
    box: Sequence[float | None], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """True outside the first and last column and row, from 1, of the pixels of ``rows`` and ``columns``."""
    left, right, bottom, top = (round(value) for value in box if value is not None)
    across, along = (columns >= left - 1) & (columns < right), (rows >= bottom - 1) & (rows < top)
    mask: NDArray[np.bool_] = ~(along[:, None] & across)
    return mask


def masked_share(mask: NDArray[np.bool_], missing: NDArray[np.bool_], *, scattered: bool) -> float:
    """The masked share of the covered pixels (ny, nx). ``scattered``: so are gaps beside a value."""
    covered = ~missing
    if scattered:
        covered[:, 1:] |= ~missing[:, :-1]
        covered[:, :-1] |= ~missing[:, 1:]
    return float(np.count_nonzero(mask & covered) / np.count_nonzero(covered))


def is_constant(data: NDArray[np.float32], mask: NDArray[np.bool_]) -> bool:
    """Whether all pixels (ny, nx) that are not masked hold one value."""
    for step in (7, 1):  # a few pixels tell it of nearly every image
        some = data[::step, ::step][~mask[::step, ::step]]
        if some.size and some.min() < some.max():
            return False
    return True
