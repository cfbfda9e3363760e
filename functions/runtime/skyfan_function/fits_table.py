"""A FITS file with one binary table: units, UCDs and meanings of its columns, and what it was made from.

Header and table are put together here: astropy's BinTableHDU takes longer over fifty columns than sep over
an image. The file holds no date of writing: equal contents give equal bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits

from skyfan_contract import header_uri

from .storage import Source

OBSERVATION = (
    "TELESCOP", "INSTRUME", "DETECTOR", "FILTER", "FILTER1", "FILTER2", "PUPIL", "TARGNAME", "PROPOSID",
    "ROOTNAME", "ASN_ID", "DATE-OBS", "TIME-OBS", "EXPSTART", "EXPEND", "RA_TARG", "DEC_TARG",
)  # fmt: skip
"""Cards of an observation by which its rows are searched; copied when the input has them."""

KINDS = {"L": "S1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}
"""numpy's types of the codes of FITS, other than A."""
_FORM = re.compile(r"([1-9]\d*)?([LBIJKEDA])")
_BLOCK = 2880
_LONG_STRINGS = ("LONGSTRN", "OGIP 1.0", "long strings go on in CONTINUE cards")
_VERSION_CARDS = {"astropy": "V_ASTRO"}


class Column(NamedTuple):
    """One column of a table.

    ``kind`` is a code of FITS binary tables: L (bool), B, I, J, K (integers of 1 byte without sign, and of 2,
    4, 8), E, D (floats of 4 and 8), 16A (a string of up to 16 ASCII characters); 3E is an array of three.
    ``unit`` is one of FITS (``d``, ``deg``, ``mag``), ``ucd`` the IVOA's word for the quantity. The position
    of a row are the columns with the UCDs pos.eq.ra;meta.main and pos.eq.dec;meta.main, in degrees. Columns
    that are ``shown`` are those that people see first.
    """

    name: str
    kind: str
    unit: str
    ucd: str
    meaning: str
    shown: bool = False

    @property
    def type(self) -> tuple[str, tuple[int, ...]]:
        """numpy's type, and the shape of a cell. Raises ValueError for an unknown kind."""
        match = _FORM.fullmatch(self.kind)
        if match is None:
            raise ValueError(f"the column {self.name} has the unknown kind {self.kind!r}")
        count, code = match.groups()
        if code == "A":
            return f"S{count or 1}", ()
        return KINDS[code], (int(count),) if count else ()


def dtype_of(columns: Iterable[Column]) -> np.dtype[Any]:
    """The structured type of a row in the file."""
    return np.dtype([(c.name, *c.type) for c in columns])


class Settings(NamedTuple):
    """The settings that a file was made with: digest, all of them, those that differ from their defaults."""

    digest: str
    json: str
    changed: str


def primary() -> fits.Header:
    """The primary header of a file, still empty."""
    return fits.Header([("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", True), _LONG_STRINGS])


def identify(
    header: fits.Header,
    what: str,
    source: Source,
    run: str,
    settings: Settings,
    versions: Mapping[str, str],
    observation: Mapping[str, object],
) -> None:
    """Say in a primary header what the file is, and what it was made from.

    ``versions`` are those of packages by name, ``observation`` holds cards of the input.
    """
    header["ORIGIN"] = ("skyfan", what)
    for key, value in observation.items():
        header[key] = value
    # No comments where the value can be long: the two must fit on one card.
    header["SRCURI"] = header_uri(source.uri)
    header["SRCVER"] = source.version
    header["RUN"] = run
    for name, version in versions.items():
        header[_VERSION_CARDS.get(name, f"V_{name.upper()[:6]}")] = (version, f"version of {name}")
    header["CONFHASH"] = (settings.digest, "SHA-256 of CONFIG, first 16 digits")
    header["CONFIG"] = settings.json
    header["CONFSET"] = settings.changed


def add_notes(header: fits.Header, notes: Iterable[str]) -> None:
    """Add each note as HISTORY."""
    for note in notes:
        header.add_history(f"note: {ascii_of(note)}")


def ascii_of(text: str) -> str:
    """The text with a ? for each character that a header cannot hold."""
    return "".join(c if 32 <= ord(c) < 127 else "?" for c in text)


def to_bytes(
    header: fits.Header, name: str, columns: tuple[Column, ...], rows: np.ndarray[Any, Any]
) -> bytes:
    """The file: ``header``, and the table ``name`` of ``rows`` (n,), whose type is dtype_of(columns)."""
    body = padded(rows.tobytes(), b"\0")
    cards: list[tuple[str, str | int] | tuple[str, str, str]] = [
        ("XTENSION", "BINTABLE"),
        ("BITPIX", 8),
        ("NAXIS", 2),
        ("NAXIS1", rows.dtype.itemsize),
        ("NAXIS2", len(rows)),
        ("PCOUNT", 0),
        ("GCOUNT", 1),
        ("TFIELDS", len(columns)),
        ("EXTNAME", name),
        _LONG_STRINGS,
    ]
    below = "".join(_image(*card) for card in cards) + _column_images(columns)
    below += _image("DATASUM", str(datasum(body))) + f"{'END':80}"
    return padded(header.tostring().encode(), b" ") + padded(below.encode(), b" ") + body


def _image(key: str, value: str | int, comment: str = "") -> str:
    """The card as it stands in the file; long strings are left to astropy, which takes its time over each."""
    if isinstance(value, bool):
        return f"{key:8}= {'T' if value else 'F':>20}".ljust(80)
    if isinstance(value, int):
        return f"{key:8}= {value:20}".ljust(80)
    if len(value) > 68 or "'" in value or comment:
        return str(fits.Card(key, value, comment).image)
    return f"{key:8}= '{value:8}'".ljust(80)


@cache
def _column_images(columns: tuple[Column, ...]) -> str:
    """The cards of all columns as they stand in the file."""
    cards = (card for i, c in enumerate(columns, start=1) for card in _column_cards(i, c))
    return "".join(_image(*card) for card in cards)


def _column_cards(i: int, column: Column) -> Iterable[tuple[str, str | bool]]:
    yield f"TTYPE{i}", column.name
    yield f"TFORM{i}", column.kind
    if column.type[1] == (1,):  # an array of one, as readers of many files expect
        yield f"TDIM{i}", "(1)"
    if column.unit:  # the FITS standard has no electron, and astropy would warn of every column
        yield f"TUNIT{i}", column.unit.replace("electron", "ct")
    yield f"TUCD{i}", column.ucd
    yield f"TCOMM{i}", column.meaning
    if column.shown:
        yield f"TSHOW{i}", True


def padded(body: bytes, fill: bytes) -> bytes:
    """Filled up to whole FITS blocks."""
    return body + fill * (-len(body) % _BLOCK)


def datasum(body: bytes) -> int:
    """32-bit ones' complement sum of big-endian words (FITS standard 4.0, appendix J)."""
    total = int(np.frombuffer(body, dtype=">u4").sum(dtype=np.uint64))
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total
