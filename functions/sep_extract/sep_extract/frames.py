"""Tables of frames, as target pixel files and cut-outs of full-frame images are, stacked into images.

A stack is the mean of its good frames, pixel by pixel: neither clipped nor weighted, so that its fluxes and
errors are those of the frames together. Frames are good if QUALITY has none of the instrument's bits against
them and TIME is a number; of these a pixel counts where it is one. Rows are read in strips, so that memory is
that of the stacks.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from skyfan_contract import BYTES_BASE
from skyfan_function.errors import UnreadableError
from skyfan_function.fits_input import data_range
from skyfan_function.storage import Source

from . import frame_cards
from .cards import Cards
from .errors import ImageTooLargeError, NotAnImageError, NoValidPixelsError
from .event import Config
from .instruments import Instrument, instrument

MOST_STACKS = 99
"""Stacks of one catalog: cards of a chip are numbered with two digits."""
_STRIP = 8 << 20
# Sums of values, variances and their numbers, float64 and int32, and what becomes of them.
_BYTES_PER_PIXEL = 40


@dataclass(frozen=True)
class Selection:
    """Which frames are stacked: rows [start, stop) of the table, a number per stack; None for all.

    ``mesh`` is the side of the background's meshes in pixels.
    """

    start: int = 0
    stop: int | None = None
    stack: int | None = None
    mesh: int = Config.back_size

    @classmethod
    def of(cls, config: Config) -> Selection:
        """From the settings."""
        start, stop = map(int, config.frames.split(":")) if config.frames else (0, None)
        return cls(start, stop, config.stack, config.back_size)

    @property
    def is_all(self) -> bool:
        """Whether all frames go into one stack."""
        return (self.start, self.stop, self.stack) == (0, None, None)


@dataclass
class Stack:
    """The sums of the good frames of some rows [start, stop)."""

    start: int
    stop: int
    shape: tuple[int, int]
    used: int = 0
    first: float = math.inf
    """TIME of the first and last good frame."""
    last: float = -math.inf
    sums: NDArray[np.float64] = field(init=False)
    variances: NDArray[np.float64] = field(init=False)
    counts: NDArray[np.int32] = field(init=False)

    def __post_init__(self) -> None:
        self.sums, self.variances = np.zeros((2, *self.shape))
        self.counts = np.zeros(self.shape, np.int32)

    def add(self, time: NDArray[Any], flux: NDArray[Any], error: NDArray[Any] | None) -> None:
        """Good frames: (n,), (n, ny, nx) and the same."""
        if not len(time):
            return
        valid = np.isfinite(flux)
        self.used += len(time)
        self.first, self.last = min(self.first, float(time.min())), max(self.last, float(time.max()))
        self.counts += valid.sum(axis=0, dtype=np.int32)
        self.sums += np.where(valid, flux, 0).sum(axis=0, dtype=np.float64)
        if error is not None:
            # A pixel without an error in one of its frames has none in the stack.
            self.variances += np.where(valid, np.square(error, dtype=np.float64), 0).sum(axis=0)

    def mean(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and its error; NaN where no frame has a value."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            mean, error = self.sums / self.counts, np.sqrt(self.variances) / self.counts
        return mean.astype(np.float32), error.astype(np.float32)


def table_of(hdus: fits.HDUList) -> int | None:
    """The index of the first table of frames: TIME, QUALITY, and FLUX of two axes; None without one."""
    for index, hdu in enumerate(hdus):
        if isinstance(hdu, fits.BinTableHDU) and not isinstance(hdu, fits.CompImageHDU):
            names = {name.upper(): i for i, name in enumerate(hdu.columns.names)}
            if {"TIME", "QUALITY", "FLUX"} <= set(names) and _sides(hdu, names["FLUX"]):
                return index
    return None


def stacked(
    source: Source, hdus: fits.HDUList, index: int, chosen: Selection, memory: int | None
) -> tuple[Source, list[str]]:
    """A FITS file, in memory, with a stack in each SCI extension and its error in an ERR one; and notes.

    Raises an InputError for a table that cannot be stacked.
    """
    reader = _Reader(source, hdus, index)
    stacks = reader.stacks(chosen, memory)
    notes = reader.read(stacks)
    made = fits.HDUList([fits.PrimaryHDU(header=frame_cards.primary(hdus[0].header))])
    if max(reader.shape) < chosen.mesh:
        notes.append(
            f"a background mesh of {chosen.mesh} pixels is larger than the image: one level is all of it"
        )
    cards, said = frame_cards.of(hdus, index, reader.flux, reader.row, reader.shape)
    errors = []
    for number, stack in enumerate(stacks, start=1):
        header = frame_cards.of_stack(cards, reader.cards, stack)
        mean, error = stack.mean()
        made.append(fits.ImageHDU(mean, header, name="SCI", ver=number))
        errors.append(fits.ImageHDU(error, name="ERR", ver=number))
    if reader.has_errors:
        made.extend(errors)
    body = io.BytesIO()
    made.writeto(body, output_verify="silentfix")
    size = body.seek(0, io.SEEK_END)
    body.seek(0)
    return replace(source, file=body, size=size), [*notes, *said]


def _sides(hdu: Any, column: int) -> tuple[int, int] | None:
    """The (ny, nx) of the cells of a column; None if they have not two axes."""
    shape: tuple[int, ...] = hdu.columns.dtype[column].shape if column < len(hdu.columns) else ()
    return (int(shape[0]), int(shape[1])) if len(shape) == 2 and 0 not in shape else None


class _Reader:
    """Reads the rows of a table of frames."""

    def __init__(self, source: Source, hdus: fits.HDUList, index: int) -> None:
        self._source, self._hdu = source, hdus[index]
        self._label = f"{source.name} HDU {index}"
        for key in ("PCOUNT", "GCOUNT"):
            if key not in self._hdu.header:
                raise UnreadableError(f"{self._label} is damaged: a table without {key}; fetch it again")
        columns: Any = self._hdu.columns
        self._names = {name.upper(): i for i, name in enumerate(columns.names)}
        self._type: np.dtype[Any] = columns.dtype.newbyteorder(">")
        if self._type.itemsize != self._hdu.header["NAXIS1"]:
            raise UnreadableError(
                f"{self._label} is damaged: its rows have {self._hdu.header['NAXIS1']} bytes, its columns "
                f"{self._type.itemsize}"
            )
        self.flux = self._names["FLUX"]
        shape = _sides(self._hdu, self.flux)
        assert shape is not None
        self.shape = shape
        for name in ("FLUX", "FLUX_ERR", "TIME", "QUALITY"):
            number = self._names.get(name, -1) + 1
            kind = str(columns.dtype[int(number) - 1].base.kind) if number else "f"
            if kind not in "iuf" or {f"TSCAL{number}", f"TZERO{number}"} & set(self._hdu.header):
                raise NotAnImageError(f"{self._label}: its column {name} holds no plain numbers")
        error = self._names.get("FLUX_ERR")
        self._error = error if error is not None and _sides(self._hdu, error) == shape else None
        self.cards = Cards(self._hdu.header, hdus[0].header)
        keys = ("TELESCOP", "INSTRUME", "DETECTOR")
        self.row: Instrument = instrument(*(self.cards.text(key) for key in keys))
        self.has_errors = False

    def stacks(self, chosen: Selection, memory: int | None) -> list[Stack]:
        """Empty stacks of the chosen frames."""
        rows = int(self._hdu.header["NAXIS2"])
        start, stop = chosen.start, rows if chosen.stop is None else chosen.stop
        if stop > rows or start >= stop:
            raise NoValidPixelsError(
                f"{self._label} has {rows} frames, so that there is no {start}:{stop} of them"
                if rows
                else f"{self._label} has no frames"
            )
        each = chosen.stack or stop - start
        number = -(-(stop - start) // each)
        if number > MOST_STACKS:
            raise ImageTooLargeError(
                f"{self._label}: {stop - start} frames, {each} to a stack, are {number} stacks; at most "
                f"{MOST_STACKS} are in one catalog: choose a larger 'stack', or a range with 'frames'"
            )
        need = (
            BYTES_BASE
            + number * math.prod(self.shape) * _BYTES_PER_PIXEL
            + 4 * self._rows_at_once() * max(1, self._type.itemsize)
        )
        if memory is not None and need > memory:
            raise ImageTooLargeError(
                f"{self._label}: {number} stacks of {self.shape[1]} x {self.shape[0]} pixels need about "
                f"{need >> 20} MB of memory and there are {memory >> 20} MB; send it to a function with more"
            )
        return [Stack(at, min(at + each, stop), self.shape) for at in range(start, stop, each)]

    def read(self, stacks: list[Stack]) -> list[str]:
        """Add all good frames to the stacks; returns notes. Raises NoValidPixelsError if there are none."""
        subtracted, flagged, untimed = False, 0, 0
        bad = self.row.bad_frames
        for first, rows in self._strips(stacks[0].start, stacks[-1].stop):
            time, quality = rows["TIME"], rows["QUALITY"].astype(np.int64)
            marked = (quality & (0xFFFFFFFF if bad is None else bad)) != 0
            timed = np.isfinite(time)
            flagged, untimed = flagged + int(marked.sum()), untimed + int((~timed & ~marked).sum())
            if "FLUX_BKG" in self._names:
                taken = rows["FLUX_BKG"]
                subtracted |= bool(np.any(np.isfinite(taken) & (taken != 0)))
            error = None if self._error is None else rows["FLUX_ERR"]
            self.has_errors |= error is not None and bool(np.any(error > 0))
            for stack in stacks:
                low, high = (min(max(edge - first, 0), len(rows)) for edge in (stack.start, stack.stop))
                good = np.flatnonzero((timed & ~marked)[low:high]) + low
                with np.errstate(over="ignore", invalid="ignore"):
                    stack.add(time[good], rows["FLUX"][good], None if error is None else error[good])
        used, total = sum(stack.used for stack in stacks), stacks[-1].stop - stacks[0].start
        if not used:
            raise NoValidPixelsError(
                f"{self._label}: none of {total} frames is good: {flagged} have QUALITY bits against them, "
                f"{untimed} no TIME"
            )
        what = "one stack" if len(stacks) == 1 else f"{len(stacks)} stacks, HDU 1 to {len(stacks)}"
        selected = (
            f"{what}: means of {used} of the frames {stacks[0].start} to {stacks[-1].stop - 1} of "
            f"{self._hdu.name or 'the table'}; {flagged} have QUALITY bits against them, {untimed} no TIME"
        )
        notes = [
            selected,
            "FLUX is what the pipeline left after it subtracted the background of FLUX_BKG"
            if subtracted
            else "FLUX holds the background of the sky: FLUX_BKG is empty",
        ]
        if self.cards.number("BJDREFI"):
            notes.append("times are TDB at the barycentre of the solar system, as TIME is")
        if bad is None:
            notes.append("no table of QUALITY bits for this instrument: every flagged frame is left out")
        return notes

    def _rows_at_once(self) -> int:
        return max(1, _STRIP // max(1, int(self._type.itemsize)))

    def _strips(self, start: int, stop: int) -> Iterator[tuple[int, NDArray[np.void]]]:
        """Number of the first row, and rows with the names of their columns in capitals."""
        offset, end = data_range(self._hdu)
        each = self._type.itemsize
        type_ = np.dtype([(name, self._type[i]) for name, i in self._names.items()])
        file = self._source.file
        self._source.prefetch([(offset + start * each, min(offset + stop * each, end))])
        for first in range(start, stop, self._rows_at_once()):
            number = min(self._rows_at_once(), stop - first)
            file.seek(offset + first * each)
            body = file.read(number * each)
            if len(body) < number * each:
                raise UnreadableError(f"{self._label} is cut short after {first} frames; fetch it again")
            yield first, np.frombuffer(body, type_)
