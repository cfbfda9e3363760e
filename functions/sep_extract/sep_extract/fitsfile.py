"""The catalog as a FITS file: one binary table with units, UCDs and provenance."""

from __future__ import annotations

import math
import string
from collections.abc import Mapping
from functools import cache
from urllib.parse import quote

import astropy
import numpy as np
import sep
from astropy.io import fits
from numpy.typing import NDArray

from skyfan_function.storage import Source

from . import __version__
from .catalog import ChipSummary, Table, columns_for
from .columns import Column
from .event import Request
from .quality import Quality, doubts

# What of an observation a catalog is searched by; copied when the image has it.
OBSERVATION = (
    "TELESCOP", "INSTRUME", "DETECTOR", "FILTER", "FILTER1", "FILTER2", "PUPIL", "TARGNAME", "PROPOSID",
    "ROOTNAME", "ASN_ID", "DATE-OBS", "TIME-OBS", "EXPSTART", "EXPEND", "RA_TARG", "DEC_TARG",
)  # fmt: skip
# All that is left of a URI in a header: quote escapes the rest, a name in Chinese for one.
_URI_ASCII = string.punctuation

_BLOCK = 2880
_LONG_STRINGS = ("LONGSTRN", "OGIP 1.0", "long strings go on in CONTINUE cards")


def to_fits(
    table: Table,
    chips: list[ChipSummary],
    request: Request,
    source: Source,
    observation: Mapping[str, object],
    notes: list[str],
    quality: Quality,
) -> bytes:
    """The catalog file. The same input and configuration give the same bytes: it holds no date of writing.

    ``observation`` holds the image's cards of OBSERVATION, as far as it has them.

    Header and table are put together here: astropy's BinTableHDU takes longer over fifty columns than sep
    over the image.
    """
    columns = columns_for(chips[0].unit)
    apertures = len(request.config.phot_apertures)
    kinds = {"J": ">i4", "I": ">i2", "D": ">f8", "E": ">f4"}
    dtype = np.dtype([(c.name, kinds[c.kind], (apertures,) if c.per_aperture else ()) for c in columns])
    rows = np.empty(len(table["NUMBER"]), dtype)
    with np.errstate(over="ignore"):
        for column in columns:
            rows[column.name] = table[column.name]
    body = _padded(rows.tobytes(), b"\0")

    top = fits.Header([("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", True), _LONG_STRINGS])
    _describe(top, chips, request, source, observation, notes, quality)
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
    ]
    below = "".join(_image(*card) for card in cards) + _column_images(columns, apertures)
    below += _image("DATASUM", str(_datasum(body))) + f"{'END':80}"
    return _padded(top.tostring().encode(), b" ") + _padded(below.encode(), b" ") + body


def _image(key: str, value: str | int, comment: str = "") -> str:
    """The card as it stands in the file; long strings are left to astropy, which takes its time over each."""
    if isinstance(value, int):
        return f"{key:8}= {value:20}".ljust(80)
    if len(value) > 68 or "'" in value or comment:
        return str(fits.Card(key, value, comment).image)
    return f"{key:8}= '{value:8}'".ljust(80)


@cache
def _column_images(columns: tuple[Column, ...], apertures: int) -> str:
    """The cards of all columns as they stand in the file."""
    cards = (card for i, c in enumerate(columns, start=1) for card in _column_cards(i, c, apertures))
    return "".join(_image(*card) for card in cards)


def _column_cards(i: int, column: Column, apertures: int) -> list[tuple[str, str]]:
    # The FITS standard has no electron, and astropy would warn of every column.
    unit = [(f"TUNIT{i}", column.unit.replace("electron", "ct"))] if column.unit else []
    return [
        (f"TTYPE{i}", column.name),
        (f"TFORM{i}", f"{apertures}{column.kind}" if column.per_aperture else column.kind),
        # One aperture is an array of one, as readers of many files expect.
        *([(f"TDIM{i}", "(1)")] if column.per_aperture and apertures == 1 else []),
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
    chips: list[ChipSummary],
    request: Request,
    source: Source,
    observation: Mapping[str, object],
    notes: list[str],
    quality: Quality,
) -> None:
    header["ORIGIN"] = ("skyfan", "catalog of sources made by skyfan")
    for key, value in observation.items():
        header[key] = value
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
    header["CONFSET"] = request.config.changed()
    for i, diameter in enumerate(chips[0].apertures, start=1):
        header[f"PHOTAP{i}"] = (diameter, "[arcsec] diameter of aperture in FLUX_APER")
    header["MINCONT"] = (chips[0].contrast, "least contrast of a deblended component")
    header["FLUXUNIT"] = (chips[0].unit or "", "unit of fluxes; a ct in a TUNIT is one of it")
    header["NSOURCES"] = (sum(p.sources for p in chips), "sources on all chips")
    header["NCHIPS"] = (len(chips), "science planes measured")
    header["NEXPOS"] = (len({p.exposure.number for p in chips}), "exposures that they are of")
    header["MAGSYS"] = (chips[0].system, "system of the magnitudes")
    header["QUALITY"] = (int(quality), "what is doubtful: bits, see the documentation")
    # Without a comment: the names can be long, and the two must fit on one card.
    header["DOUBTS"] = doubts(quality)
    # One card for all chips, as the archive writes it.
    if outlines := [_polygon(chip.corners) for chip in chips if np.isfinite(chip.corners).all()]:
        header["S_REGION"] = " ".join(outlines)
    for i, chip in enumerate(chips, start=1):
        unit = chip.unit or "image unit"
        _set(header, f"HDU{i}", chip.hdu, "index of the extension")
        _set(header, f"EXTVER{i}", chip.extver, "its version")
        _set(header, f"NSRC{i}", chip.sources, "sources found")
        _set(header, f"BACK{i}", chip.background, f"[{unit}] background level a pixel")
        _set(header, f"RMS{i}", chip.rms, f"[{unit}] noise a pixel, one sigma")
        _set(header, f"ZEROPT{i}", chip.zeropoint, f"[mag] {chip.system} zero point")
        _set(header, f"ZPST{i}", chip.zeropoint_st, "[mag] ST zero point")
        _set(header, f"ZPVEG{i}", chip.zeropoint_vega, "[mag] Vega zero point")
        _set(header, f"EXPTIM{i}", chip.exptime, "[s] exposure time")
        _set(header, f"SCALE{i}", chip.scale, "[arcsec] side of a pixel at the centre")
        _set(header, f"DEPTH{i}", chip.depth, f"[mag] 5 sigma in {chip.depth_aperture:g} arcsec diameter")
        _set(header, f"STEP{i}", chip.step, "EXTRACT_STEP of all its sources")
        _set(header, f"EXPOS{i}", chip.exposure.number, "number of its exposure")
        _set(header, f"TBEG{i}", chip.exposure.start, "[d] start of that exposure, MJD")
        _set(header, f"TEND{i}", chip.exposure.end, "[d] end of that exposure, MJD")
        _set(header, f"SHARE{i}", chip.shared_factor, "factor of shared noise in that aperture")
        _describe_stars(header, i, chip)
        _set(header, f"POISS{i}", chip.poisson or None, f"[{unit}] variance per unit of a source's flux")
        if chip.shared.measured:
            pairs = zip(chip.shared.areas, chip.shared.factors, strict=True)
            header[f"SHCUR{i}"] = " ".join(f"{area:g}:{factor:.4g}" for area, factor in pairs)
        if chip.exposure.wcsname:
            header[f"WCSNAM{i}"] = _ascii(chip.exposure.wcsname)
            header[f"GAIA{i}"] = (bool(chip.exposure.gaia), "WCSNAME says that the WCS was fitted to Gaia")
        _set(header, f"QUAL{i}", int(chip.quality), "what is doubtful about it, as QUALITY")
    for note in notes:
        header.add_history(f"note: {_ascii(note)}")


def _describe_stars(header: fits.Header, i: int, chip: ChipSummary) -> None:
    """What a point source looks like on a chip, and who says so."""
    point, scale = chip.point, chip.scale or 1.0
    unit = "arcsec" if chip.scale else "pixel"
    _set(header, f"RADA{i}", round(chip.pair[0] * scale, 4), f"[{unit}] radius of MAG_APER1")
    _set(header, f"RADB{i}", round(chip.pair[1] * scale, 4), f"[{unit}] radius of MAG_APER2")
    _set(header, f"CISTAR{i}", point.index, "[mag] concentration index of stars")
    _set(header, f"CIWID{i}", point.width, "[mag] one sigma of that index")
    _set(header, f"CINUM{i}", point.locus_stars, "stars that say so; 0: the instrument's range")
    if point.light is not None:
        share = float(point.light.share(point.radius))
        _set(header, f"APCOR{i}", 2.5 * math.log10(share), "[mag] from MAG_APER2 to a point source's total")
        _set(header, f"APERR{i}", 2.5 / math.log(10) * point.light.error, "[mag] one-sigma error of it")
        _set(header, f"APNUM{i}", point.stars, "stars that say so; 0: the instrument's table")
        _set(header, f"APEXT{i}", point.extrapolated, "share of light that is extrapolated from them")


def _polygon(corners: NDArray[np.float64]) -> str:
    """A chip's outline in STC-S, the IVOA's notation for regions."""
    return "POLYGON ICRS " + " ".join(f"{ra:.7f} {dec:.7f}" for ra, dec in corners)


def _set(header: fits.Header, key: str, value: float | int | None, comment: str) -> None:
    if value is not None and math.isfinite(value):
        header[key] = (value, comment)


def _ascii(text: str) -> str:
    return "".join(c if 32 <= ord(c) < 127 else "?" for c in text)
