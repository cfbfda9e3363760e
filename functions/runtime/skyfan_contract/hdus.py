"""The HDUs of a FITS file, read forward from ranges of bytes: where each header is, and its data."""

from __future__ import annotations

import math
import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from . import quoted

Cards = dict[str, Any]

BLOCK, CARD = 2880, 80
MOST_HDUS = 1000
PIECE = 10 * BLOCK
"""Bytes that are read at once: most primary headers."""
_LONGEST_HEADER = 1000 * BLOCK
_MOST_AXES = 999
"""The standard's limit."""
_VALUE = re.compile(r"\s*(?:'((?:[^']|'')*)'|([^/]*))")


@dataclass(frozen=True)
class Hdu:
    """One HDU of a file; offsets are in bytes."""

    start: int
    header: bytes
    """As it stands in the file, up to the end of its last block."""
    cards: Cards
    end: int
    """Of its data, whole blocks."""

    @property
    def data(self) -> int:
        """Where its data begin."""
        return self.start + len(self.header)

    @property
    def name(self) -> str:
        """EXTNAME in upper case; PRIMARY for the first HDU without one."""
        return str(self.cards.get("EXTNAME") or ("" if self.start else "PRIMARY")).strip().upper()

    @property
    def version(self) -> int:
        """EXTVER."""
        return integer(self.cards, "EXTVER", 1)


def walk() -> Generator[tuple[int, int], bytes, list[Hdu]]:
    """All HDUs. Yields (offset, length) of the bytes that it needs, and is sent them, or fewer at the end of
    the file. Raises ValueError if the file does not begin with a FITS header, or has sizes that are none.
    """
    found: list[Hdu] = []
    offset = 0
    while len(found) < MOST_HDUS:
        cards, raw = yield from header(offset)
        if cards is None or ("XTENSION" if found else "SIMPLE") not in cards:
            break
        end = offset + len(raw) + data_bytes(cards)
        found.append(Hdu(offset, raw, cards, end))
        offset = end
    if not found:
        raise ValueError("it does not begin with a whole FITS header")
    return found


def header(offset: int) -> Generator[tuple[int, int], bytes, tuple[Cards | None, bytes]]:
    """The cards of the header at `offset`, and its bytes; None if there is no whole header."""
    cards: Cards = {}
    raw = b""
    while (length := len(raw)) < _LONGEST_HEADER:
        piece = yield offset + length, PIECE
        for at in range(0, len(piece) - CARD + 1, CARD):
            card = piece[at : at + CARD].decode("latin-1")
            name = card[:8].rstrip()
            if name == "END":
                end = length + at + CARD
                return cards, (raw + piece)[: -(-end // BLOCK) * BLOCK]
            if card[8:10] == "= ":
                cards.setdefault(name, value(card[10:]))
        if len(piece) < PIECE:
            break
        raw += piece
    return None, b""


def value(text: str) -> Any:
    """The value of a card: str, float, bool, or None if it is undefined."""
    match = _VALUE.match(text)
    if match is None:
        return None
    if match[1] is not None:
        return match[1].replace("''", "'").rstrip()
    word = (match[2] or "").strip()
    if word in {"T", "F"}:
        return word == "T"
    try:
        return float(word.upper().replace("D", "E"))
    except ValueError:
        return None


def integer(cards: Cards, name: str, default: int = 0) -> int:
    """The value of a card that is a number, as an integer."""
    number = cards.get(name)
    return int(number) if isinstance(number, float) and math.isfinite(number) else default


def data_bytes(cards: Cards) -> int:
    """Bytes of the data of an HDU, whole blocks.

    Raises ValueError for sizes that are none: they would lead backwards.
    """
    naxis = cards.get("NAXIS")
    if not isinstance(naxis, float) or not 0 <= naxis <= _MOST_AXES:
        raise ValueError(f"NAXIS is {quoted(naxis)}, and must be a number from 0 to {_MOST_AXES}")
    axes = [integer(cards, f"NAXIS{axis}") for axis in range(1, int(naxis) + 1)]
    groups, more = integer(cards, "GCOUNT", 1), integer(cards, "PCOUNT")
    if min(*axes, groups, more, 0) < 0:
        raise ValueError("a header has a negative NAXISn, GCOUNT or PCOUNT")
    elements = math.prod(axes) if axes else 0
    size = abs(integer(cards, "BITPIX")) // 8
    return -(-size * groups * (more + elements) // BLOCK) * BLOCK
