"""The catalog as a FITS file: one binary table with units, UCDs and provenance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache

import astropy
import numpy as np
import sep
from astropy.io import fits
from numpy.typing import NDArray

from skyfan_function.fits_table import (
    Column,
    Settings,
    add_notes,
    ascii_of,
    dtype_of,
    identify,
    primary,
    to_bytes,
)
from skyfan_function.storage import Source

from . import __version__
from .catalog import ChipSummary, Table, columns_for
from .event import Request
from .quality import Quality, doubts

_VERSIONS = {
    "skyfan": __version__,
    "sep": sep.__version__,
    "numpy": np.__version__,
    "astropy": astropy.__version__,
}


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
    """
    columns = _columns(chips[0].unit, len(request.config.phot_apertures))
    rows = np.empty(len(table["NUMBER"]), dtype_of(columns))
    with np.errstate(over="ignore"):
        for column in columns:
            rows[column.name] = table[column.name]
    top = primary()
    _describe(top, chips, request, source, observation, notes, quality)
    return to_bytes(top, "SOURCES", columns, rows)


@cache
def _columns(unit: str | None, apertures: int) -> tuple[Column, ...]:
    """The catalog's columns as they stand in the file."""
    return tuple(
        Column(c.name, f"{apertures}{c.kind}" if c.per_aperture else c.kind, c.unit, c.ucd, c.meaning)
        for c in columns_for(unit)
    )


def _describe(
    header: fits.Header,
    chips: list[ChipSummary],
    request: Request,
    source: Source,
    observation: Mapping[str, object],
    notes: list[str],
    quality: Quality,
) -> None:
    add_origin(header, "catalog of sources made by skyfan", request, source, observation)
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
            header[f"WCSNAM{i}"] = ascii_of(chip.exposure.wcsname)
            header[f"GAIA{i}"] = (bool(chip.exposure.gaia), "WCSNAME says that the WCS was fitted to Gaia")
        _set(header, f"QUAL{i}", int(chip.quality), "what is doubtful about it, as QUALITY")
    add_notes(header, notes)


def add_origin(
    header: fits.Header, what: str, request: Request, source: Source, observation: Mapping[str, object]
) -> None:
    """Add the cards that say what a file is, ``what``, and what it is made from."""
    config = request.config
    settings = Settings(config.digest(), config.json(), config.changed())
    identify(header, what, source, request.run, settings, _VERSIONS, observation)


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
