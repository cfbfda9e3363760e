"""The catalog as a FITS file: one binary table with units, UCDs and provenance."""

from __future__ import annotations

import math
import string
from urllib.parse import quote

import astropy
import numpy as np
import sep
from astropy.io import fits
from numpy.typing import NDArray

from . import __version__
from .catalog import Plane, Table, columns_for
from .columns import Column
from .event import Request
from .storage import Source

# What of an observation a catalog is searched by; copied when the image has it.
_COPIED = (
    "TELESCOP", "INSTRUME", "DETECTOR", "FILTER", "FILTER1", "FILTER2", "TARGNAME", "PROPOSID", "ROOTNAME",
    "ASN_ID", "DATE-OBS", "TIME-OBS", "EXPSTART", "EXPEND", "RA_TARG", "DEC_TARG",
)  # fmt: skip
# All that is left of a URI in a header: quote escapes the rest, a name in Chinese for one.
_URI_ASCII = string.punctuation

_BLOCK = 2880
_LONG_STRINGS = ("LONGSTRN", "OGIP 1.0", "long strings go on in CONTINUE cards")


def to_fits(
    table: Table,
    planes: list[Plane],
    request: Request,
    source: Source,
    primary: fits.Header,
    notes: list[str],
) -> bytes:
    """The catalog file. The same input and configuration give the same bytes: it holds no date of writing.

    Header and table are put together here: astropy's BinTableHDU takes longer over fifty columns than sep
    over the image.
    """
    columns = columns_for(planes[0].unit)
    apertures = len(request.config.phot_apertures)
    kinds = {"J": ">i4", "I": ">i2", "D": ">f8", "E": ">f4"}
    dtype = np.dtype([(c.name, kinds[c.kind], (apertures,) if c.per_aperture else ()) for c in columns])
    rows = np.empty(len(table["NUMBER"]), dtype)
    with np.errstate(over="ignore"):
        for column in columns:
            rows[column.name] = table[column.name]
    body = _padded(rows.tobytes(), b"\0")

    top = fits.Header([("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", True), _LONG_STRINGS])
    _describe(top, planes, request, source, primary, notes)
    cards: list[tuple[str, str | int] | tuple[str, str, str]] = [
        ("XTENSION", "BINTABLE"),
        ("BITPIX", 8),
        ("NAXIS", 2),
        ("NAXIS1", dtype.itemsize),
        ("NAXIS2", len(rows)),
        ("PCOUNT", 0),
        ("GCOUNT", 1),
        ("TFIELDS", len(columns)),
        ("EXTNAME", "SOURCES"),
        _LONG_STRINGS,
        *(card for i, c in enumerate(columns, start=1) for card in _column_cards(i, c, apertures)),
        ("DATASUM", str(_datasum(body))),
    ]
    below = "".join(_image(*card) for card in cards) + f"{'END':80}"
    return _padded(top.tostring().encode(), b" ") + _padded(below.encode(), b" ") + body


def _image(key: str, value: str | int, comment: str = "") -> str:
    """The card as it stands in the file; long strings are left to astropy, which takes its time over each."""
    if isinstance(value, int):
        return f"{key:8}= {value:20}".ljust(80)
    if len(value) > 68 or "'" in value or comment:
        return str(fits.Card(key, value, comment).image)
    return f"{key:8}= '{value:8}'".ljust(80)


def _column_cards(i: int, column: Column, apertures: int) -> list[tuple[str, str]]:
    # The FITS standard has no electron, and astropy would warn of every column.
    unit = [(f"TUNIT{i}", column.unit.replace("electron", "ct"))] if column.unit else []
    return [
        (f"TTYPE{i}", column.name),
        (f"TFORM{i}", f"{apertures}{column.kind}" if column.per_aperture else column.kind),
        *unit,
        (f"TUCD{i}", column.ucd),
        (f"TCOMM{i}", column.meaning),
    ]


def _padded(body: bytes, fill: bytes) -> bytes:
    return body + fill * (-len(body) % _BLOCK)


def _datasum(body: bytes) -> int:
    """32-bit ones' complement sum of big-endian words (FITS standard 4.0, appendix J)."""
    total = int(np.frombuffer(body, dtype=">u4").sum(dtype=np.uint64))
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def _describe(
    header: fits.Header,
    planes: list[Plane],
    request: Request,
    source: Source,
    primary: fits.Header,
    notes: list[str],
) -> None:
    header["ORIGIN"] = ("skyfan", "catalog of sources made by skyfan")
    for key in _COPIED:
        try:
            value = primary.get(key)
            if value is not None and not isinstance(value, fits.card.Undefined):
                header[key] = value
        except (fits.VerifyError, ValueError):
            continue
    # No comments where the value can be long: the two must fit on one card.
    header["SRCURI"] = quote(source.uri, safe=_URI_ASCII)
    header["SRCVER"] = source.version
    header["RUN"] = request.run
    header["V_SKYFAN"] = (__version__, "version of skyfan")
    header["V_SEP"] = (sep.__version__, "version of sep")
    header["V_NUMPY"] = (np.__version__, "version of numpy")
    header["V_ASTRO"] = (astropy.__version__, "version of astropy")
    header["CONFHASH"] = (request.config.digest(), "SHA-256 of CONFIG, first 16 digits")
    header["CONFIG"] = request.config.json()
    for i, diameter in enumerate(request.config.phot_apertures, start=1):
        header[f"PHOTAP{i}"] = (diameter, "[arcsec] diameter of aperture in FLUX_APER")
    header["FLUXUNIT"] = (planes[0].unit or "", "unit of fluxes; a ct in a TUNIT is one of it")
    header["NSOURCES"] = (sum(p.sources for p in planes), "sources on all chips")
    header["NCHIPS"] = (len(planes), "science planes measured")
    # One card for all chips, as the archive writes it.
    if outlines := [_polygon(plane.corners) for plane in planes if np.isfinite(plane.corners).all()]:
        header["S_REGION"] = " ".join(outlines)
    for i, plane in enumerate(planes, start=1):
        unit = plane.unit or "image unit"
        _set(header, f"HDU{i}", plane.hdu, "index of the extension")
        _set(header, f"EXTVER{i}", plane.extver, "its version")
        _set(header, f"NSRC{i}", plane.sources, "sources found")
        _set(header, f"BACK{i}", plane.background, f"[{unit}] background level a pixel")
        _set(header, f"RMS{i}", plane.rms, f"[{unit}] noise a pixel, one sigma")
        _set(header, f"ZEROPT{i}", plane.zeropoint, "[mag] AB zero point")
        _set(header, f"EXPTIM{i}", plane.exptime, "[s] exposure time")
        _set(header, f"SCALE{i}", plane.scale, "[arcsec] side of a pixel at the centre")
        _set(header, f"DEPTH{i}", plane.depth, f"[mag] 5 sigma in {plane.depth_aperture:g} arcsec diameter")
        _set(header, f"STEP{i}", plane.step, "EXTRACT_STEP of all its sources")
    for note in notes:
        header.add_history(f"note: {_ascii(note)}")


def _polygon(corners: NDArray[np.float64]) -> str:
    """A chip's outline in STC-S, the IVOA's notation for regions."""
    return "POLYGON ICRS " + " ".join(f"{ra:.7f} {dec:.7f}" for ra, dec in corners)


def _set(header: fits.Header, key: str, value: float | int | None, comment: str) -> None:
    if value is not None and math.isfinite(value):
        header[key] = (value, comment)


def _ascii(text: str) -> str:
    return "".join(c if 32 <= ord(c) < 127 else "?" for c in text)
