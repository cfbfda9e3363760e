"""The structure of a FITS file, checked header by header before astropy reads them.

Each step goes forward, and what a header promises is bounded by the standard, by the limits here and by the
size of the file: no card makes a reader loop, wait or take memory.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from .errors import TruncatedError, UnreadableError
from .tile_table import Pointer, TileTable

BLOCK = 2880
_CARD = 80
# The standard's limit of axes, and of columns of a table.
_MOST = 999
_HDUS = 4096
# Bytes of a header, and of blanks behind the last HDU: 200,000 cards.
_LONGEST = 16 << 20
_PIECE = 1 << 20
# Cards that one string goes on in: astropy joins them in a time that grows with the square of their number.
_CONTINUED = 10_000
# Also behind HIERARCH and its words.
_STRING = re.compile(rb"=\s*'")
# Bytes of data that no header means: 64 TB.
_PROMISED = 1 << 46
# Pixels of a compressed tile that is larger than its image.
_TILE = 1 << 24
_BITPIX = (8, 16, 32, 64, -32, -64)
# Settings of Rice's algorithm (FITS standard 4.0, table 37): pixels of a block, bytes of a pixel. The decoder
# takes memory by them.
_RICE: dict[bytes, tuple[int, ...]] = {b"BLOCKSIZE": (16, 32), b"BYTEPIX": (1, 2, 4, 8)}
# Bytes of a value by its letter in TFORM (FITS standard 4.0, table 18); P and Q point into the heap.
_BYTES = dict(zip(b"LBAIJEKDCPMQ", (1, 1, 1, 2, 4, 4, 8, 8, 8, 8, 16, 16), strict=True))
_WIDEST = 8
_FORMAT = re.compile(rb" *'([0-9]{0,18})([LXBIJKAEDCMPQ])([A-Z]?)")
# Columns of a compressed image that hold tiles, and those of them that are gzip streams whatever ZCMPTYPE is.
_TILES = (b"COMPRESSED_DATA", b"GZIP_COMPRESSED_DATA", b"UNCOMPRESSED_DATA")
_GZIPPED = (b"GZIP_COMPRESSED_DATA",)
_END = re.compile(rb"END *(?![ A-Z0-9_-])|END {77}")
_INTEGER = re.compile(rb" *([+-]?[0-9]{1,18}) *(?:/.*)?", re.DOTALL)
_TEXT = re.compile(rb" *'([^']*)'")
_TRUE = re.compile(rb" *T\b")


@dataclass(frozen=True)
class Span:
    """Where the data of an HDU begin and end, and where the next HDU begins."""

    start: int
    end: int
    stop: int
    extends: bool
    """Whether EXTEND is true. Without it, astropy reads the header behind the first one at once."""
    tiles: TileTable | None = None
    """Of a compressed image."""


def spans(name: str, file: BinaryIO, size: int | None = None) -> Iterator[Span]:
    """Check one header after another, up to the end of the file.

    Without the ``size`` of the file, to seek tells whether it is whole: no further than its end. Raises
    TruncatedError or UnreadableError.
    """
    at = 0
    for index in range(_HDUS + 1):
        file.seek(at)
        first = file.read(BLOCK)
        # What fills up the last block of a tape is not an extension that was cut off.
        if not first.strip(b"\0 ") and index:
            _refuse_tail(name, file, at, size)
            return
        if index == _HDUS:
            raise UnreadableError(f"{name} holds more than {_HDUS} HDUs, too many to be read")
        header = _Header(name, index, file, first)
        end = at + header.length + header.promised()
        start = at + header.length
        span = Span(start, end, end + -end % BLOCK, header.extends, header.tile_table(start))
        if size is not None and end > size:
            raise header.cut(end, size)
        yield span
        at = span.stop
        # Now the caller has read the header too, and need not go back.
        if size is None and (reached := file.seek(at)) < end:
            raise header.cut(end, reached)


def _refuse_tail(name: str, file: BinaryIO, at: int, size: int | None) -> None:
    """Refuse what is long, or no filling: astropy would look for headers in it."""
    tail = 0 if size is None else size - at
    file.seek(at)
    while tail <= _LONGEST and (part := file.read(_PIECE)):
        if part.strip(b"\0 "):
            raise UnreadableError(f"{name} is damaged: a header is empty, and more follows; fetch it again")
        tail += len(part) if size is None else 0
    if tail > _LONGEST:
        raise UnreadableError(f"{name} goes on for more than {_LONGEST >> 20} MB after its last HDU")


class _Header:
    """The cards of one header that say how many bytes of data follow."""

    def __init__(self, name: str, index: int, file: BinaryIO, block: bytes) -> None:
        self._name, self._index = name, index
        self._cards: dict[bytes, bytes] = {}
        """Values, with what follows them, of each keyword's first card."""
        self._doubled: set[bytes] = set()
        """Keywords that stand twice, with two values: astropy may take the other one."""
        self.length = 0
        """Bytes."""
        continued, before = 0, b""
        while self.length <= _LONGEST:
            if len(block) < BLOCK:
                after = f"no complete header after HDU {index - 1}" if index else "a header has no end"
                raise TruncatedError(f"{name} is truncated or damaged: {after}; fetch it again")
            self.length += BLOCK
            for start in range(0, BLOCK, _CARD):
                card = block[start : start + _CARD]
                if _END.match(card):
                    return
                key, value = card[:8].rstrip(), card[10:]
                first = self._cards.setdefault(key, value)
                if first is not value and _before_comment(first) != _before_comment(value):
                    self._doubled.add(key)
                if key == b"CONTINUE" and not continued and not _STRING.search(before):
                    raise self._damage("CONTINUE stands behind a card that holds no string")
                continued, before = continued + 1 if key == b"CONTINUE" else 0, card
                if continued > _CONTINUED:
                    raise self._damage(f"a string goes on in more than {_CONTINUED} cards")
            block = file.read(BLOCK)
        raise self._damage(f"its header is longer than {_LONGEST >> 20} MB")

    @property
    def extends(self) -> bool:
        return b"EXTEND" not in self._doubled and bool(_TRUE.match(self._cards.get(b"EXTEND", b"")))

    def promised(self) -> int:
        """Bytes of data. Raises UnreadableError for what no file can have."""
        for key in (b"SIMPLE", b"XTENSION", b"GROUPS", b"ZIMAGE"):
            self._refuse_doubled(key)
        if (b"XTENSION" if self._index else b"SIMPLE") not in self._cards:
            raise UnreadableError(
                f"{self._name} is damaged: the header of HDU {self._index} is not FITS; fetch it again"
            )
        sides = self._sides(b"NAXIS")
        if b"TFIELDS" in self._cards:
            self._integer(b"TFIELDS", 0, _MOST)
        if self._is_compressed:
            self._check_tiles(sides)
        if not sides:
            return 0
        if self._text(b"XTENSION") == b"BINTABLE":
            self._check_table(sides)
        bits = self._bits(b"BITPIX")
        groups = not self._index and sides[0] == 0 and _TRUE.match(self._cards.get(b"GROUPS", b""))
        values = math.prod(sides[1:] if groups else sides)
        extra, count = self._integer(b"PCOUNT", default=0), self._integer(b"GCOUNT", default=1)
        promised = bits // 8 * count * (extra + values)
        if promised > _PROMISED:
            raise self._damage(f"{promised} bytes of data, to judge by its NAXIS, PCOUNT and GCOUNT")
        return promised

    @property
    def _is_compressed(self) -> bool:
        return bool(_TRUE.match(self._cards.get(b"ZIMAGE", b"")))

    def _check_table(self, sides: list[int]) -> None:
        """Refuse a binary table with rows of another length than its columns, or a heap outside of it."""
        rows, extra = math.prod(sides), self._integer(b"PCOUNT", default=0)
        if b"THEAP" in self._cards:
            # Without a heap it says nothing, and writers leave it as it was.
            self._integer(b"THEAP", *((rows, rows + extra) if extra else ()))
        self._integer(b"GCOUNT", 1, 1, default=1)
        formats = self._formats()
        width = None if None in formats else sum(size for size, *_ in filter(None, formats))
        if width is None and self._is_compressed:
            at = formats.index(None) + 1
            raise self._damage(f"TFORM{at} is no format of a column")
        if width not in {None, sides[0]}:
            raise self._damage(f"its rows have {sides[0]} bytes, its columns {width}")

    def _formats(self) -> list[tuple[int, bytes, bytes] | None]:
        """Of each column the bytes of a cell, its letter, and that of what it points to; None if unknown."""
        found: list[tuple[int, bytes, bytes] | None] = []
        for i in range(1, self._integer(b"TFIELDS", 0, _MOST, default=0) + 1):
            self._refuse_doubled(key := b"TFORM%d" % i)
            match = _FORMAT.match(self._cards.get(key, b"").upper())
            if match is None:
                found.append(None)
                continue
            number, letter, of = int(match[1] or 1), match[2], match[3]
            found.append((-(-number // 8) if letter == b"X" else number * _BYTES[letter[0]], letter, of))
        return found

    def tile_table(self, start: int) -> TileTable | None:
        """The table of a compressed image, whose data begin at ``start``; None of anything else."""
        if not self._is_compressed:
            return None
        sides, pointers, offset = self._sides(b"NAXIS"), list[Pointer](), 0
        gzipped = self._text(b"ZCMPTYPE").startswith(b"GZIP")
        for i, (size, letter, of) in enumerate(filter(None, self._formats()), start=1):
            if letter in b"PQ" and size and (name := self._text(b"TTYPE%d" % i).upper()) in _TILES:
                packed = name in _GZIPPED or (gzipped and name == _TILES[0])
                each = _BYTES.get(of[0] if of else 0, 1)
                pointers.append(Pointer(name.decode(), offset, letter == b"Q", each, packed))
            offset += size
        rows, extra = math.prod(sides), self._integer(b"PCOUNT", default=0)
        heap = start + self._integer(b"THEAP", default=rows), start + rows + extra
        unpacked = _WIDEST * math.prod(self._tile())
        return TileTable(self._label, start, sides[1], sides[0], heap, tuple(pointers), unpacked)

    def _tile(self) -> list[int]:
        """The sides of a tile."""
        return [
            self._integer(b"ZTILE%d" % i, 1, default=side if i == 1 else 1)
            for i, side in enumerate(self._sides(b"ZNAXIS"), start=1)
        ]

    def _check_tiles(self, table: list[int]) -> None:
        """Refuse a compressed image whose tiles are larger than it, or more than the rows of its table."""
        if len(table) != 2:
            raise self._damage(f"NAXIS is {len(table)}, and a table has 2 axes")
        self._bits(b"ZBITPIX")
        sides, tile = self._sides(b"ZNAXIS"), self._tile()
        if math.prod(tile) > max(_TILE, math.prod(sides)):
            raise self._damage(f"its tiles are of {_shape(tile)} pixels, the image of {_shape(sides)}")
        for key in [key for key in self._cards if key.startswith(b"ZNAME")]:
            self._check_setting(key)
        tiles = math.prod(-(-side // step) for side, step in zip(sides, tile, strict=True))
        if tiles > table[1]:
            raise self._damage(f"{_shape(sides)} pixels would be {tiles} tiles, more than its table has")

    def _check_setting(self, key: bytes) -> None:
        self._refuse_doubled(key)
        match = _TEXT.match(self._cards[key])
        known = _RICE.get(match[1].strip().upper()) if match else None
        value = key.replace(b"ZNAME", b"ZVAL")
        if known and self._integer(value) not in known:
            raise self._damage(f"{value.decode()} is none of {', '.join(map(str, known))}")

    def _sides(self, key: bytes) -> list[int]:
        axes = self._integer(key, 0, _MOST)
        return [self._integer(b"%s%d" % (key, i)) for i in range(1, axes + 1)]

    def _bits(self, key: bytes) -> int:
        bits = self._integer(key, -64)
        if bits not in _BITPIX:
            raise self._damage(f"{key.decode()} is {bits}, which no type of pixels has")
        return abs(bits)

    def _integer(
        self, key: bytes, least: int = 0, most: int | None = None, default: int | None = None
    ) -> int:
        self._refuse_doubled(key)
        value = self._cards.get(key)
        if value is None:
            if default is None:
                raise self._damage(f"{key.decode()} is missing")
            return default
        if (match := _INTEGER.fullmatch(value)) is None:
            text = _before_comment(value)[:30].decode("ascii", "backslashreplace")
            raise self._damage(f"{key.decode()} is {text}, not an integer of up to 18 digits")
        number = int(match[1])
        if number < least or (most is not None and number > most):
            bounds = f"at least {least}" if most is None else f"from {least} to {most}"
            raise self._damage(f"{key.decode()} is {number}, not {bounds}")
        return number

    def _refuse_doubled(self, key: bytes) -> None:
        if key in self._doubled:
            raise self._damage(f"{key.decode()} stands twice, with two values")

    def _text(self, key: bytes) -> bytes:
        """What a card holds between its quotes; empty without."""
        match = _TEXT.match(self._cards.get(key, b""))
        return match[1].strip() if match else b""

    @property
    def _label(self) -> str:
        text = self._text(b"EXTNAME").decode("ascii", "backslashreplace")
        return f"HDU {self._index} {text}".rstrip()

    def _damage(self, what: str) -> UnreadableError:
        return UnreadableError(f"{self._name} is damaged: {self._label}: {what}; fetch it again")

    def cut(self, end: int, size: int) -> TruncatedError:
        """The error of a file that ends before the data do."""
        return TruncatedError(
            f"{self._name} is truncated: {self._label} should end at byte {end}, "
            f"the file ends at {size}; fetch it again"
        )


def _before_comment(value: bytes) -> bytes:
    return value.partition(b"/")[0].strip()


def _shape(sides: list[int]) -> str:
    return " x ".join(map(str, sides))
