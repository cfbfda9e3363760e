"""One row an image: what its catalog's header says of it."""

import math
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .fitstable import Catalog, DamagedCatalogError, Header

_FIELDS: tuple[tuple[str, pa.DataType, str, str], ...] = (
    ("uri", pa.string(), "", "The image"),
    ("etag", pa.string(), "", "Its version when it was read: the ETag, or size and mtime of a file"),
    ("catalog", pa.string(), "", "Its catalog, below the run's catalogs"),
    ("catalog_size", pa.int64(), "byte", "Size of the catalog"),
    ("catalog_modified", pa.float64(), "s", "Unix time of the catalog"),
    ("telescope", pa.string(), "", "TELESCOP"),
    ("instrument", pa.string(), "", "INSTRUME and DETECTOR"),
    ("filter", pa.string(), "", "Filters other than clear ones"),
    ("target", pa.string(), "", "TARGNAME"),
    ("proposal_id", pa.string(), "", "PROPOSID"),
    ("rootname", pa.string(), "", "ROOTNAME"),
    ("t_min", pa.float64(), "d", "Start of the exposure, MJD"),
    ("t_max", pa.float64(), "d", "End of the exposure, MJD"),
    ("t_exptime", pa.float64(), "s", "Exposure time, the shortest of its chips"),
    ("sources", pa.int64(), "", "Sources in its catalog"),
    ("unplaced", pa.int64(), "", "Those of them that have no position on the sky"),
    ("chips", pa.int32(), "", "Science planes measured"),
    ("background", pa.float64(), "", "Background level a pixel in flux_unit, mean of its chips"),
    ("rms", pa.float64(), "", "Noise a pixel in flux_unit, the largest of its chips"),
    ("flux_unit", pa.string(), "", "Unit of its fluxes; none where the image has none"),
    ("zeropoint", pa.float64(), "mag", "AB zero point of its first chip"),
    ("scale", pa.float64(), "arcsec", "Side of a pixel, of its first chip"),
    ("depth", pa.float64(), "mag", "5 sigma in depth_aperture, the shallowest of its chips"),
    ("depth_aperture", pa.float64(), "arcsec", "Diameter of that aperture"),
    ("step", pa.int16(), "", "EXTRACT_STEP, the largest of its chips"),
    ("s_ra", pa.float64(), "deg", "Mean position of its sources"),
    ("s_dec", pa.float64(), "deg", "Mean position of its sources"),
    ("s_region", pa.string(), "", "STC-S outline of its chips; of its sources, where the catalog tells none"),
    ("config", pa.string(), "", "Digest of the settings"),
    ("skyfan", pa.string(), "", "Version of skyfan that made the catalog"),
    ("sep", pa.string(), "", "Version of sep"),
    ("numpy", pa.string(), "", "Version of numpy"),
    ("astropy", pa.string(), "", "Version of astropy"),
    ("notes", pa.string(), "", "What was left out or guessed"),
)
SCHEMA = pa.schema(
    [
        pa.field(name, kind, metadata={"description": meaning, **({"unit": unit} if unit else {})})
        for name, kind, unit, meaning in _FIELDS
    ]
)
Row = dict[str, Any]
_WORDS = {"POLYGON", "ICRS"}
_DIRECTIONS = np.linspace(0, 2 * np.pi, 16, endpoint=False)


def row(catalog: Catalog) -> Row:
    """The image's row of SCHEMA without what only the listing knows. Numbers that are not known are NaN.

    Raises DamagedCatalogError where the header names no image.
    """
    header, rows = catalog.header, catalog.rows
    uri = header.get("SRCURI")
    if not isinstance(uri, str):
        raise DamagedCatalogError("its header names no image (SRCURI)")
    ra, dec = (rows[name].astype(np.float64) for name in ("ALPHA_J2000", "DELTA_J2000"))
    placed = np.isfinite(ra) & np.isfinite(dec)
    s_ra, s_dec, region = _footprint(ra[placed], dec[placed])
    if told := _text(header, "S_REGION"):
        corners = np.array([word for word in told.split() if word not in _WORDS], np.float64).reshape(-1, 2)
        (s_ra, s_dec, _), region = _footprint(*corners.T), told
    chips = int(_number(header, "NCHIPS", 0))
    return {
        "uri": uri,
        "etag": _text(header, "SRCVER"),
        "telescope": _text(header, "TELESCOP"),
        "instrument": "/".join(filter(None, (_text(header, "INSTRUME"), _text(header, "DETECTOR")))),
        "filter": _filter(header),
        "target": _text(header, "TARGNAME"),
        "proposal_id": _text(header, "PROPOSID"),
        "rootname": _text(header, "ROOTNAME"),
        "t_min": _number(header, "EXPSTART"),
        "t_max": _number(header, "EXPEND"),
        "t_exptime": _least(_chips(header, "EXPTIM", chips)),
        "sources": len(rows),
        "unplaced": len(rows) - int(placed.sum()),
        "chips": chips,
        "background": _mean(_chips(header, "BACK", chips)),
        "rms": -_least([-value for value in _chips(header, "RMS", chips)]),
        "flux_unit": _text(header, "FLUXUNIT"),
        "zeropoint": _number(header, "ZEROPT1"),
        "scale": _number(header, "SCALE1"),
        "depth": _least(_chips(header, "DEPTH", chips)),
        "depth_aperture": _depth_aperture(header),
        "step": max((int(step) for step in _chips(header, "STEP", chips)), default=0),
        "s_ra": s_ra,
        "s_dec": s_dec,
        "s_region": region,
        "config": _text(header, "CONFHASH"),
        "skyfan": _text(header, "V_SKYFAN"),
        "sep": _text(header, "V_SEP"),
        "numpy": _text(header, "V_NUMPY"),
        "astropy": _text(header, "V_ASTRO"),
        "notes": "; ".join(filter(None, (note.strip() for note in catalog.history.split("note: ")))),
    }


def _text(header: Header, key: str) -> str:
    return str(header.get(key, "")).strip()


def _number(header: Header, key: str, missing: float = math.nan) -> float:
    value = header.get(key)
    return float(value) if isinstance(value, int | float) else missing


def _chips(header: Header, key: str, chips: int) -> list[float]:
    """The values of a numbered card, of those chips that have it."""
    values = (_number(header, f"{key}{i}") for i in range(1, chips + 1))
    return [value for value in values if math.isfinite(value)]


def _least(values: list[float]) -> float:
    return min(values, default=math.nan)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _filter(header: Header) -> str:
    """FILTER, else the wheels of ACS that are not clear, joined as MAST does."""
    names = [_text(header, key) for key in ("FILTER", "FILTER1", "FILTER2")]
    return ";".join(name for name in names if name and not name.upper().startswith("CLEAR"))


def _depth_aperture(header: Header) -> float:
    """The middle one of the apertures, which depths are of."""
    count = 0
    while f"PHOTAP{count + 1}" in header:
        count += 1
    return _number(header, f"PHOTAP{count // 2 + 1}")


def _footprint(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> tuple[float, float, str]:
    """Mean position (degrees) and polygon of sources, drawn in the plane that touches there."""
    if not len(ra):
        return math.nan, math.nan, ""
    lon, lat = np.radians(ra), np.radians(dec)
    xyz = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    x, y, z = xyz.mean(axis=1)
    lon0, lat0 = math.atan2(y, x), math.atan2(z, math.hypot(x, y))
    east = np.array([-math.sin(lon0), math.cos(lon0), 0.0])
    north = np.array([-math.sin(lat0) * math.cos(lon0), -math.sin(lat0) * math.sin(lon0), math.cos(lat0)])
    towards = np.array([np.cos(_DIRECTIONS), np.sin(_DIRECTIONS)])
    outermost = np.argmax(towards.T @ np.array([east @ xyz, north @ xyz]), axis=1)
    corners = list(dict.fromkeys(outermost.tolist()))
    region = " ".join(f"{ra[i]:.7f} {dec[i]:.7f}" for i in corners)
    mean = math.degrees(lon0) % 360, math.degrees(lat0)
    return *mean, f"POLYGON ICRS {region}" if len(corners) > 2 else ""
