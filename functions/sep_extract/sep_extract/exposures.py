"""Which exposure a science plane is of, when it was taken, and how many exposures cover a source."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from skyfan_function.fits_input import readable

from .cards import Cards
from .image import Image
from .planes import COUNTS, shape_of
from .sky import Sky

Floats = NDArray[np.float64]

_TIMES = (("EXPSTART", "EXPEND"), ("MJD-BEG", "MJD-END"))
# Chips of one exposure lie side by side, repeats of a field on each other: this share of a side tells which.
_SAME_FIELD = 0.25
_SAME_TIME = 1e-6
_ROWS = 256
# What is beyond is no count, nor an integer.
_COUNTED = 2.0**63


@dataclass(frozen=True)
class Exposure:
    """``number`` counts the exposures of a file from 1; ``start`` and ``end`` are MJD, NaN if unknown."""

    number: int = 1
    start: float = math.nan
    end: float = math.nan
    wcsname: str = ""

    @property
    def gaia(self) -> bool | None:
        """Whether WCSNAME says that the WCS was fitted to Gaia; None without a WCSNAME."""
        return "GAIA" in self.wcsname.upper() if self.wcsname else None


@dataclass(frozen=True)
class _Seen:
    number: int
    start: float | None
    direction: Floats | None
    reach: float


@dataclass
class Exposures:
    """The exposures of one file. Planes come one after another; planes of one exposure are its chips.

    Planes with start times in headers of their own are of one exposure if these are equal. A field that is
    seen again is in another exposure.
    """

    _seen: list[_Seen] = field(default_factory=list)

    def of(self, own: Cards, primary: Cards, sky: Sky, shape: tuple[int, ...]) -> Exposure:
        """The exposure of the next plane, from the cards of its own header and of the file's primary one."""
        started, ended = _times(own)
        direction, reach = _place(sky, shape)
        repeated = [
            seen.number
            for seen in self._seen
            if direction is not None
            and seen.direction is not None
            and np.linalg.norm(direction - seen.direction) < min(reach, seen.reach)
        ]
        number = 1 + max(repeated, default=0)
        if started is not None:
            timed = [seen for seen in self._seen if seen.start is not None]
            same = [s.number for s in timed if abs((s.start or 0.0) - started) < _SAME_TIME]
            if same and same[0] not in repeated:
                number = same[0]
            elif timed and not same:
                number = 1 + max(seen.number for seen in timed)
        self._seen.append(_Seen(number, started, direction, reach))
        if started is None:
            started, ended = _times(primary)
        name = own.text("WCSNAME") or primary.text("WCSNAME")
        start, end = (math.nan if time is None else time for time in (started, ended))
        return Exposure(number, start, end, name)


def _times(cards: Cards) -> tuple[float | None, float | None]:
    """MJD of start and end, both from the same pair of cards."""
    for start, end in _TIMES:
        if (started := cards.positive(start)) is not None:
            return started, cards.positive(end)
    return None, None


def _place(sky: Sky, shape: tuple[int, ...]) -> tuple[Floats | None, float]:
    """The direction of the centre, and how near another one must be to show the same field, in radians."""
    if sky.scale is None:
        return None, 0.0
    ny, nx = shape
    alpha, delta = np.radians(sky.world(np.array([(nx - 1) / 2]), np.array([(ny - 1) / 2]))[0])
    direction = np.array([np.cos(delta) * np.cos(alpha), np.cos(delta) * np.sin(alpha), np.sin(delta)])
    return direction, _SAME_FIELD * min(shape) * math.radians(sky.scale / 3600)


def counts_at(image: Image, science: int, x: Floats, y: Floats) -> tuple[dict[str, Floats], list[str]]:
    """What CTX and SAMP count at 0-based positions (n,), NaN where the file has no such plane; and notes.

    ``context``: bits set, one for each exposure that was combined there. ``samples``: reads of a pixel in one
    exposure of an infrared detector. Read once everything is measured, so that it adds no memory.
    """
    plane = next(plane for plane in image.planes if plane.science == science)
    found, notes = {}, []
    shape = shape_of(image.hdus[science])
    # A position can lie a little outside of the image.
    row, column = (
        np.clip(np.rint(p), 0, side - 1).astype(int) for p, side in zip((y, x), shape, strict=True)
    )
    for kind in COUNTS:
        found[kind] = np.full(len(x), np.nan)
        index = getattr(plane, kind)
        if index is None or not len(x):
            continue
        hdu = image.hdus[index]
        theirs = tuple(hdu.shape)
        if theirs[-2:] != shape:
            notes.append(f"HDU {index} {hdu.name} has not the shape of its image: not used")
            continue
        total = np.zeros(len(x))
        with readable(image.name):
            for before in np.ndindex(theirs[:-2]):
                for start in range(0, shape[0], _ROWS):
                    here = np.flatnonzero((row >= start) & (row < start + _ROWS))
                    if len(here):
                        part = np.asarray(hdu.section[(*before, slice(start, start + _ROWS), slice(None))])
                        total[here] += _counted(kind, part[row[here] - start, column[here]])
        found[kind] = total
    return found, notes


def _counted(kind: str, values: NDArray[np.generic]) -> Floats:
    known = np.abs(values) < _COUNTED  # not of NaN
    if kind == "context":
        whole = np.ascontiguousarray(np.where(known, values, 0).astype(np.int64)) & 0xFFFFFFFF
        values = np.unpackbits(whole.view(np.uint8).reshape(len(whole), 8), axis=1).sum(axis=1)
    return np.where(known, values, np.nan).astype(np.float64)
