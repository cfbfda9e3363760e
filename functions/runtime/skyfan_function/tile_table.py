"""The table of a tile-compressed image (FITS standard 4.0, section 10), checked before a decoder sees it.

Decoders take memory by what pointers into the heap, and packed tiles, say of themselves. A damaged one would
end as a lack of memory, which a larger function does not mend.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from .errors import UnreadableError

# Bytes that are read, or unpacked, at once.
_PIECE = 1 << 20
_GZIP = 16 + zlib.MAX_WBITS
# Deflate makes no more bytes of one.
_DEFLATE = 1032


@dataclass(frozen=True)
class Pointer:
    """A column of pointers into the heap: a number of values, and where they begin, in bytes.

    ``offset`` is that of the column in a row, ``wide`` whether its numbers have 64 bits, ``size`` the bytes
    of a value. ``packed``: the values are a gzip stream.
    """

    name: str
    offset: int
    wide: bool
    size: int
    packed: bool


@dataclass(frozen=True)
class TileTable:
    """Where the rows and the heap [first, last) of the table are in its file, and what they point with.

    ``unpacked``: bytes of a tile whose pixels have the largest type.
    """

    label: str
    start: int
    rows: int
    width: int
    heap: tuple[int, int]
    pointers: tuple[Pointer, ...]
    unpacked: int

    def check(self, name: str, file: BinaryIO) -> None:
        """Raise UnreadableError if a tile is not in the heap, or unpacks to more than its pixels take."""
        each = max(1, _PIECE // max(self.width, 1))
        for first in range(0, self.rows, each):
            number = min(each, self.rows - first)
            file.seek(self.start + first * self.width)
            body = file.read(number * self.width)
            if len(body) < number * self.width:
                raise self._damage(name, "its table ends early")
            rows = np.frombuffer(body, np.uint8).reshape(number, self.width)
            for pointer in self.pointers:
                self._check_rows(name, file, rows, first, pointer)

    def _check_rows(
        self, name: str, file: BinaryIO, rows: NDArray[np.uint8], first: int, pointer: Pointer
    ) -> None:
        size, kind = (16, ">i8") if pointer.wide else (8, ">i4")
        pairs = np.ascontiguousarray(rows[:, pointer.offset : pointer.offset + size]).view(kind)
        numbers, offsets = pairs.astype(np.int64).T
        begin, end = self.heap
        # Where there is no value, the offset says nothing. Divided, for products may exceed 64 bits.
        outside = (offsets < 0) | (numbers > np.maximum(end - begin - offsets, 0) // pointer.size)
        if (bad := np.flatnonzero((numbers < 0) | ((numbers > 0) & outside))).size:
            row = int(bad[0])
            raise self._damage(
                name,
                f"tile {first + row} would be {numbers[row]} values at byte {offsets[row]} of a heap of "
                f"{end - begin} bytes ({pointer.name})",
            )
        for row in map(int, np.flatnonzero(numbers * _DEFLATE > self.unpacked) if pointer.packed else ()):
            file.seek(begin + int(offsets[row]))
            if _unpacks_to_more(file.read(int(numbers[row]) * pointer.size), self.unpacked):
                raise self._damage(
                    name, f"tile {first + row} unpacks to more than {self.unpacked} bytes ({pointer.name})"
                )

    def _damage(self, name: str, what: str) -> UnreadableError:
        return UnreadableError(f"{name} is damaged: {self.label}: {what}; fetch it again")


def _unpacks_to_more(body: bytes, most: int) -> bool:
    """Whether gzip streams hold more bytes; damage behind fewer is for the decoder to name."""
    found = 0
    while body and found <= most:
        stream = zlib.decompressobj(_GZIP)
        while body and found <= most and not stream.eof:
            try:
                found += len(stream.decompress(body, _PIECE))
            except zlib.error:
                return False
            body = stream.unused_data if stream.eof else stream.unconsumed_tail
    return found > most
