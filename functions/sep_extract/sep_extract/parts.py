"""Parts of an image: which rows and columns, and how they are read without the rest of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyfan_function.fits_input import readable

from .image import Image
from .pixels import strips
from .planes import shape_of

# Bytes of a plane that are read at once.
_BLOCK = 32 << 20


@dataclass(frozen=True)
class Part:
    """Bands of rows, one after another, and columns of an image."""

    rows: tuple[slice, ...]
    columns: slice

    @property
    def shape(self) -> tuple[int, int]:
        return sum(band.stop - band.start for band in self.rows), self.columns.stop - self.columns.start

    def where(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The numbers of its rows and columns in the image."""
        rows = np.concatenate([np.arange(band.start, band.stop) for band in self.rows])
        return rows, np.arange(self.columns.start, self.columns.stop)


class PartReader:
    """Reads parts of a file's extensions, and keeps the strip of rows that several parts are cut from."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._strip = slice(0, 0)
        self._planes: dict[int, NDArray[Any]] = {}
        self._types: dict[int, np.dtype[Any]] = {}

    def keep(self, rows: slice) -> None:
        """Let go of the strip that is kept, and keep these rows of the extensions that are read from now."""
        self._strip, self._planes = rows, {}

    def read(self, index: int, kind: Any, part: Part) -> NDArray[Any]:
        """A contiguous native copy of a part of an extension, of its own type where ``kind`` is None."""
        whole = tuple(self._image.hdus[index].shape)
        width = shape_of(self._image.hdus[index])[1]
        if kind is None and index not in self._types:
            # Numbers that are scaled as they are read have another type than the header's.
            self._types[index] = self._rows(index, whole, 0, 1).dtype.newbyteorder("=")
        found = np.empty(part.shape, kind or self._types[index])
        start = 0
        for band in part.rows:
            stop = start + band.stop - band.start
            if self._strip.start <= band.start and band.stop <= self._strip.stop:
                kept = self._planes.get(index)
                if kept is None:
                    kept = np.empty((self._strip.stop - self._strip.start, width), found.dtype)
                    self._fill(kept, index, whole, self._strip, slice(0, width))
                    self._planes[index] = kept
                inside = slice(band.start - self._strip.start, band.stop - self._strip.start)
                found[start:stop] = kept[inside, part.columns]
            else:
                self._fill(found[start:stop], index, whole, band, part.columns)
            start = stop
        return found

    def _fill(
        self, found: NDArray[Any], index: int, whole: tuple[int, ...], rows: slice, columns: slice
    ) -> None:
        """Whole rows are read, for they lie one after another."""
        self._image.prefetch_rows(index, rows)
        for some in strips(rows, max(1, _BLOCK // (4 * whole[-1]))):
            with np.errstate(over="ignore", invalid="ignore"):
                block = self._rows(index, whole, some.start, some.stop)
                found[some.start - rows.start : some.stop - rows.start] = block[:, columns]

    def _rows(self, index: int, whole: tuple[int, ...], start: int, stop: int) -> NDArray[Any]:
        before = (0,) * (len(whole) - 2)
        with readable(self._image.name):
            rows = np.asarray(self._image.hdus[index].section[(*before, slice(start, stop), slice(None))])
        return rows.reshape(stop - start, whole[-1])
