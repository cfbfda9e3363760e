"""Reads a catalog of sep_extract: its primary header, and its rows as they are in the file.

The table headers of a run's catalogs differ in two cards only, so that the rest is parsed once. astropy takes
some 25 ms per file; this takes a fraction of one.
"""

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
_KINDS = {"J": "i4", "I": "i2", "K": "i8", "D": "f8", "E": "f4", "B": "u1", "L": "?"}
_FORM = re.compile(r"(\d*)([A-Z])")
# The main position of a source: windowed, and the barycentre where the window fails.
POSITION = ("ALPHAWIN_J2000", "DELTAWIN_J2000")
REQUIRED = ("NUMBER", *POSITION)


class DamagedCatalogError(SkyfanError):
    """A catalog is truncated or corrupted, or was not made by skyfan."""


@dataclass(frozen=True)
class Column:
    """One column, from the cards of the header."""

    name: str
    kind: str
    """numpy's type code without byte order: f4, i2…"""
    length: int
    """Elements per cell; 0 for a scalar."""
    unit: str
    ucd: str
    meaning: str


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
        return np.dtype([(c.name, f">{c.kind}", (c.length,) if c.length else ()) for c in self.columns])


@dataclass(frozen=True)
class Catalog:
    """The contents of a catalog file."""

    header: Header
    """The primary header."""
    history: str
    """The HISTORY cards of the primary header, joined."""
    layout: Layout
    rows: NDArray[np.void]
    """(n,) of layout.dtype, a read-only view of the file's bytes."""


def read(body: bytes) -> Catalog:
    """Parses the bytes of a catalog file. Raises DamagedCatalogError if sep_extract did not write it."""
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
        columns.append(
            Column(
                str(values.get(f"TTYPE{i}", "")),
                _KINDS[form[2]],
                int(form[1]) if form[1] else 0,
                *(str(values.get(f"{key}{i}", "")) for key in ("TUNIT", "TUCD", "TCOMM")),
            )
        )
    layout = Layout(tuple(columns))
    if missing := set(REQUIRED) - {c.name for c in columns}:
        raise DamagedCatalogError(f"it has no column {', '.join(sorted(missing))}")
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
