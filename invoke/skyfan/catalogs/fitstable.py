"""Reads the table of a function: its primary header, and its rows as they are in the file.

The table headers of a run's catalogs differ in two cards only, so that the rest is parsed once. astropy takes
some 25 ms per file; this takes a fraction of one.
"""

import math
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SkyfanError

Header = dict[str, str | int | float | bool]

_END = b"END".ljust(80)
_BLOCK = 2880
# The cards that differ between catalogs of one configuration.
_VARIABLE = (b"NAXIS2  =", b"DATASUM =")
_KINDS = {"J": "i4", "I": "i2", "K": "i8", "D": "f8", "E": "f4", "B": "u1", "L": "?", "A": "S"}
_FORM = re.compile(r"(\d*)([A-Z])")
_ABOUT = ("TTYPE", "TUNIT", "TUCD", "TCOMM")
_TRUE = ord("T")
RA, DEC = "pos.eq.ra;meta.main", "pos.eq.dec;meta.main"
"""UCDs of the columns of the position."""


class DamagedCatalogError(SkyfanError):
    """A table is truncated or corrupted, or was not made by skyfan."""


@dataclass(frozen=True)
class Column:
    """One column, from the cards of the header."""

    name: str
    kind: str
    """numpy's type code without byte order: f4, i2, S16…"""
    length: int
    """Elements per cell; 0 for a scalar."""
    unit: str
    ucd: str
    meaning: str
    shown: bool = False
    """Whether people see it first."""

    def values(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Values as the file has them, of `kind`: FITS has letters for bools."""
        return stored == _TRUE if self.kind == "?" else stored


@dataclass(frozen=True)
class Layout:
    """The columns of a table, in the order of the file, big-endian."""

    columns: tuple[Column, ...]

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash(self.columns)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """The structured type of a row in the file."""
        kinds = (("u1" if c.kind == "?" else f">{c.kind}") for c in self.columns)
        cells = ((c.length,) if c.length else () for c in self.columns)
        return np.dtype(
            [(c.name, kind, cell) for c, kind, cell in zip(self.columns, kinds, cells, strict=True)]
        )

    @cached_property
    def position(self) -> tuple[str, str] | None:
        """The columns of the position in degrees; None if the table has none."""
        found = {c.ucd: c.name for c in self.columns if c.ucd in (RA, DEC)}
        return (found[RA], found[DEC]) if len(found) == 2 else None


@dataclass(frozen=True)
class Catalog:
    """The contents of a file."""

    header: Header
    """The primary header."""
    history: str
    """The HISTORY cards of the primary header, joined."""
    layout: Layout
    rows: NDArray[np.void]
    """(n,) of layout.dtype, a read-only view of the file's bytes."""


def read(body: bytes) -> Catalog:
    """Parses the bytes of a file. Raises DamagedCatalogError if no function of skyfan wrote it."""
    text, at = _header(body, 0)
    primary, history = cards(text)
    table, at = _header(body, at)
    count, checksum, common = _variable_cards(table)
    layout = _layout(common)
    dtype = layout.dtype
    size = count * dtype.itemsize
    padded = at + size + -size % _BLOCK
    if len(body) < padded:
        raise DamagedCatalogError(f"it is truncated after {len(body)} of {padded} bytes")
    if checksum is not None and checksum != _sum(body[at:padded]):
        raise DamagedCatalogError("its bytes have changed since it was written: DATASUM differs")
    return Catalog(primary, history, layout, np.frombuffer(body, dtype, count, at))


def _header(body: bytes, start: int) -> tuple[bytes, int]:
    """The cards of the header at `start`, and the offset of its data."""
    end = body.find(_END, start)
    while end >= 0 and (end - start) % 80:
        end = body.find(_END, end + 1)
    if end < 0:
        raise DamagedCatalogError(
            "it is truncated inside a header" if body[:6] == b"SIMPLE" else "it is not a FITS file"
        )
    length = end + 80 - start
    return body[start:end], start + length + -length % _BLOCK


def cards(text: bytes) -> tuple[Header, str]:
    """The values of a header by keyword, with long strings joined, and the text of the HISTORY cards."""
    values: Header = {}
    history = []
    last = ""
    decoded = text.decode("ascii", "replace")
    for at in range(0, len(decoded), 80):
        card = decoded[at : at + 80]
        key = card[:8].rstrip()
        if key == "CONTINUE" and last:
            values[last] = str(values[last]).removesuffix("&") + _string(card[8:].lstrip())
        elif key == "HISTORY":
            history.append(card[8:])
        elif card[8:10] == "= ":
            value = _value(card[10:].strip())
            if value is not None:
                values[key] = value
            last = key if isinstance(value, str) else ""
    return values, "".join(history)


def text(header: Header, key: str) -> str:
    """The card as text; empty if it is missing."""
    return str(header.get(key, "")).strip()


def number(header: Header, key: str, missing: float = math.nan) -> float:
    """The card as a number; `missing` if it is missing, or not a number."""
    value = header.get(key)
    return float(value) if isinstance(value, int | float) else missing


def _value(text: str) -> str | int | float | bool | None:
    if text.startswith("'"):
        return _string(text)
    word = text.partition("/")[0].strip()
    if word in ("T", "F"):
        return word == "T"
    for number in (int, float):
        try:
            return number(word)
        except ValueError:
            continue
    return None


def _string(text: str) -> str:
    """The string at the start of a card's value; quotes are doubled, trailing blanks are not significant."""
    at = 1
    while (end := text.find("'", at)) >= 0 and text[end + 1 : end + 2] == "'":
        at = end + 2
    return text[1 : end if end >= 0 else None].replace("''", "'").rstrip()


def _variable_cards(text: bytes) -> tuple[int, int | None, bytes]:
    """NAXIS2, DATASUM if present, and the header without these two cards."""
    cut = b""
    for key in _VARIABLE:
        at = text.find(key)
        if at >= 0 and at % 80 == 0:
            cut += text[at : at + 80]
            text = text[:at] + text[at + 80 :]
    values, _ = cards(cut)
    rows, checksum = values.get("NAXIS2"), values.get("DATASUM")
    if not isinstance(rows, int):
        raise DamagedCatalogError("its second HDU is not a table")
    return rows, int(checksum) if isinstance(checksum, str) and checksum.isdigit() else None, text


@lru_cache(maxsize=64)
def _layout(text: bytes) -> Layout:
    values, _ = cards(text)
    if values.get("XTENSION") != "BINTABLE":
        raise DamagedCatalogError("its second HDU is not a table")
    columns = []
    for i in range(1, int(values.get("TFIELDS", 0)) + 1):
        form = _FORM.fullmatch(str(values.get(f"TFORM{i}")))
        if form is None or form[2] not in _KINDS:
            raise DamagedCatalogError(f"its column {i} has the unknown type {values.get(f'TFORM{i}')}")
        count, kind = int(form[1]) if form[1] else 0, _KINDS[form[2]]
        if kind == "S":
            kind, count = f"S{count or 1}", 0
        name, unit, ucd, meaning = (str(values.get(f"{key}{i}", "")) for key in _ABOUT)
        columns.append(Column(name, kind, count, unit, ucd, meaning, values.get(f"TSHOW{i}") is True))
    if len({c.name for c in columns}) < len(columns) or not all(c.name for c in columns):
        raise DamagedCatalogError("its columns are not all named, each differently")
    layout = Layout(tuple(columns))
    if layout.dtype.itemsize != values.get("NAXIS1"):
        raise DamagedCatalogError(
            f"its rows have {values.get('NAXIS1')} bytes, its columns {layout.dtype.itemsize}"
        )
    return layout


def _sum(body: bytes) -> int:
    """32-bit ones' complement sum of big-endian words (FITS standard 4.0, appendix J)."""
    total = int(np.frombuffer(body, ">u4").sum(dtype=np.uint64))
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total
