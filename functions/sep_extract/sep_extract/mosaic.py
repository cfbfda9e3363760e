"""A science plane that is too large to be read whole: its levels by a sample of rows, its pixels in parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .calibrate import Calibration
from .parts import Part
from .pixels import Pixels, strips
from .readout import PixelReader
from .whole import Tiling, height

# Rows of a band of the sample, whose squares must not be torn apart; and pixels of all.
_BAND, _SAMPLE = 16, 8 << 20


class Mosaic:
    """The parts of one plane, which have all that ``like`` has but its planes.

    Raises NoValidPixelsError if the image holds nothing to measure.
    """

    def __init__(self, reader: PixelReader, calibrated: Calibration, like: Pixels, tiling: Tiling) -> None:
        self._reader, self._calibrated, self._like = reader, calibrated, like
        self.tiling = tiling
        self.shape = ny, nx = reader.shape[0], reader.shape[1]
        self._rows, self._columns = slice(0, ny), slice(0, nx)
        self._levels = reader.read(calibrated, Part(tuple(self._bands()), self._columns)).levels
        if reader.seeks_plateau:
            level = reader.plateau(
                (Part((s,), self._columns) for s in self._overlapping()), self._levels.gaps
            )
            self._levels = replace(self._levels, saturated=level)
        self.has_error = self._levels.error is not None
        self.box, self.usable = self._survey()

    def keep(self, rows: slice) -> None:
        """Keep rows in memory, of which several parts will be read."""
        self._reader.parts.keep(rows)

    def read(self, rows: slice, columns: slice) -> Pixels:
        """The pixels of a part."""
        found = self._reader.read(self._calibrated, Part((rows,), columns), self._levels)
        return replace(
            self._like,
            data=found.data,
            mask=found.mask,
            saturated=found.saturated,
            error=found.error,
            weight=found.weight,
            dq=found.dq,
            glaring=found.levels.extremes.glaring,
        )

    def _bands(self) -> Iterator[slice]:
        """A sample of the rows."""
        ny, nx = self.shape
        number = max(1, min(_SAMPLE // (_BAND * nx), ny // _BAND))
        starts = np.linspace(0, max(ny - _BAND, 0), number).astype(int) // _BAND * _BAND
        return (slice(start, min(start + _BAND, ny)) for start in np.unique(starts))

    def _overlapping(self) -> Iterator[slice]:
        """All rows, in strips that share two with their neighbours."""
        return (slice(max(s.start - 2, 0), s.stop) for s in strips(self._rows, height(self.shape[1])))

    def _survey(self) -> tuple[tuple[slice, slice], NDArray[np.int64]]:
        """Where the first and last usable pixels are, and how many each block has; refuses what has none."""
        side, (ny, nx) = self.tiling.block, self.shape
        usable = np.zeros([-(-n // side) for n in self.shape], np.int64)
        rows, columns = np.zeros(ny, dtype=bool), np.zeros(nx, dtype=bool)
        highest, lowest = -np.inf, np.inf
        for strip in strips(self._rows, height(nx)):
            pixels = self.read(strip, self._columns)
            used = ~pixels.mask
            highest = max(highest, float(np.max(pixels.data, where=used, initial=-np.inf)))
            lowest = min(lowest, float(np.min(pixels.data, where=used, initial=np.inf)))
            if pixels.saturated is not None:
                used &= ~pixels.saturated
            rows[strip] = used.any(axis=1)
            columns |= used.any(axis=0)
            across = np.add.reduceat(used, np.arange(0, nx, side), axis=1, dtype=np.int64)
            np.add.at(usable, np.arange(strip.start, strip.stop) // side, across)
        self._reader.refuse_masked(int(usable.sum()))
        self._reader.refuse_useless(highest, varies=lowest < highest)
        for what, number in self._reader.counted.items():
            self._reader.say(f"{number} {what}")
        first, last = zip(*((at[0], at[-1] + 1) for at in map(np.flatnonzero, (rows, columns))), strict=True)
        return (slice(first[0], last[0]), slice(first[1], last[1])), usable
