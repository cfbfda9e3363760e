"""The table of images, one row per image, from the header of its catalog; and the ids of its sources.

SOURCE_ID is equal for a source in every run, and distinct in a data set even as a double: JavaScript, jq,
spreadsheets, and pandas where a row is missing turn ids into doubles, which hold whole numbers up to 2^53.
"""

import itertools
import math
from collections import Counter
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..runs import digests
from .fitstable import POSITION, Catalog, DamagedCatalogError, Header

_FIELDS: tuple[tuple[str, pa.DataType, str, str], ...] = (
    ("uri", pa.string(), "", "The image"),
    ("etag", pa.string(), "", "Its version when it was read: the ETag, or size and mtime of a file"),
    ("catalog", pa.string(), "", "Its catalog, below the run's catalogs"),
    ("catalog_size", pa.int64(), "byte", "Size of the catalog"),
    ("catalog_modified", pa.float64(), "s", "Unix time of the catalog"),
    ("catalog_etag", pa.string(), "", "ETag of the catalog"),
    ("telescope", pa.string(), "", "TELESCOP"),
    ("instrument", pa.string(), "", "INSTRUME and DETECTOR"),
    ("filter", pa.string(), "", "Filters other than clear ones"),
    ("target", pa.string(), "", "TARGNAME"),
    ("proposal_id", pa.string(), "", "PROPOSID"),
    ("rootname", pa.string(), "", "ROOTNAME"),
    ("t_min", pa.float64(), "d", "Start of the exposure, MJD; of the first of several"),
    ("t_max", pa.float64(), "d", "End of the exposure, MJD; of the last of several"),
    ("t_exptime", pa.float64(), "s", "Exposure time, the shortest of its chips"),
    ("sources", pa.int64(), "", "Sources in its catalog"),
    ("source_id", pa.int64(), "", "SOURCE_ID of its sources less their NUMBER"),
    ("unplaced", pa.int64(), "", "Those of them that have no position on the sky"),
    ("chips", pa.int32(), "", "Science planes measured"),
    ("exposures", pa.int32(), "", "Exposures that they are of; none for catalogs of older versions"),
    ("wcsname", pa.string(), "", "WCSNAME of its first chip that has one"),
    ("gaia", pa.string(), "", "Whether WCSNAME says that all chips were fitted to Gaia: yes, no, or empty"),
    ("background", pa.float64(), "", "Background level a pixel in flux_unit, mean of its chips"),
    ("rms", pa.float64(), "", "Noise a pixel in flux_unit, the largest of its chips"),
    ("flux_unit", pa.string(), "", "Unit of its fluxes; none where the image has none"),
    ("zeropoint", pa.float64(), "mag", "AB zero point of its first chip"),
    ("scale", pa.float64(), "arcsec", "Side of a pixel, of its first chip"),
    ("depth", pa.float64(), "mag", "5 sigma in depth_aperture, the shallowest of its chips"),
    ("depth_aperture", pa.float64(), "arcsec", "Diameter of that aperture"),
    ("shared_noise", pa.float64(), "", "Factor of shared noise in that aperture, the largest of its chips"),
    ("chip_depth", pa.string(), "", "Depth of each chip in magnitudes, separated by blanks"),
    ("chip_shared_noise", pa.string(), "", "Factor of shared noise of each chip, separated by blanks"),
    ("step", pa.int16(), "", "EXTRACT_STEP, the largest of its chips"),
    ("s_ra", pa.float64(), "deg", "Mean position of its sources"),
    ("s_dec", pa.float64(), "deg", "Mean position of its sources"),
    ("s_region", pa.string(), "", "STC-S outline of its chips; of its sources, where the catalog tells none"),
    ("quality", pa.int64(), "", "QUALITY, bits of what is doubtful; none for catalogs of older versions"),
    ("doubts", pa.string(), "", "Names of those bits; empty for an image that is not doubtful"),
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
_REGION_WORDS = {"POLYGON", "ICRS"}
_DIRECTIONS = np.linspace(0, 2 * np.pi, 16, endpoint=False)


def row(catalog: Catalog) -> Row:
    """The row of an image, without source_id and what the listing says. Unknown numbers are None.

    Raises DamagedCatalogError if the header does not name the image, or NUMBER does not count from 1.
    """
    header, rows = catalog.header, catalog.rows
    uri = header.get("SRCURI")
    if not isinstance(uri, str):
        raise DamagedCatalogError("its header does not name an image (SRCURI)")
    if not np.array_equal(rows["NUMBER"], np.arange(1, len(rows) + 1)):
        raise DamagedCatalogError("its column NUMBER does not count from 1")
    ra, dec = (rows[name].astype(np.float64) for name in POSITION)
    has_position = np.isfinite(ra) & np.isfinite(dec)
    s_ra, s_dec, region = _footprint(ra[has_position], dec[has_position])
    if outline := _text(header, "S_REGION"):
        numbers = [word for word in outline.split() if word not in _REGION_WORDS]
        corners = np.array(numbers, np.float64).reshape(-1, 2)
        (s_ra, s_dec, _), region = _footprint(*corners.T), outline
    chips = int(_number(header, "NCHIPS", 0))
    values: Row = {
        "uri": uri,
        "etag": _text(header, "SRCVER"),
        "telescope": _text(header, "TELESCOP"),
        "instrument": "/".join(filter(None, (_text(header, "INSTRUME"), _text(header, "DETECTOR")))),
        "filter": _filter(header),
        "target": _text(header, "TARGNAME"),
        "proposal_id": _text(header, "PROPOSID"),
        "rootname": _text(header, "ROOTNAME"),
        "t_min": _least(_chips(header, "TBEG", chips) or [_number(header, "EXPSTART")]),
        "t_max": -_least([-t for t in _chips(header, "TEND", chips) or [_number(header, "EXPEND")]]),
        "t_exptime": _least(_chips(header, "EXPTIM", chips)),
        "sources": len(rows),
        "unplaced": len(rows) - int(has_position.sum()),
        "chips": chips,
        "exposures": header.get("NEXPOS"),
        "wcsname": next((name for i in range(1, chips + 1) if (name := _text(header, f"WCSNAM{i}"))), ""),
        "gaia": _gaia([bool(header[key]) for i in range(1, chips + 1) if (key := f"GAIA{i}") in header]),
        "background": _mean(_chips(header, "BACK", chips)),
        "rms": -_least([-value for value in _chips(header, "RMS", chips)]),
        "flux_unit": _text(header, "FLUXUNIT"),
        "zeropoint": _number(header, "ZEROPT1"),
        "scale": _number(header, "SCALE1"),
        "depth": _least(_chips(header, "DEPTH", chips)),
        "depth_aperture": _depth_aperture(header),
        "shared_noise": -_least([-value for value in _chips(header, "SHARE", chips)]),
        "chip_depth": _each(header, "DEPTH", chips),
        "chip_shared_noise": _each(header, "SHARE", chips),
        "step": max((int(step) for step in _chips(header, "STEP", chips)), default=0),
        "s_ra": s_ra,
        "s_dec": s_dec,
        "s_region": region,
        "quality": header.get("QUALITY"),
        "doubts": _text(header, "DOUBTS"),
        "config": _text(header, "CONFHASH"),
        "skyfan": _text(header, "V_SKYFAN"),
        "sep": _text(header, "V_SEP"),
        "numpy": _text(header, "V_NUMPY"),
        "astropy": _text(header, "V_ASTRO"),
        "notes": "; ".join(filter(None, (note.strip() for note in catalog.history.split("note: ")))),
    }
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in values.items()
    }


def doubtful(table: pa.Table) -> tuple[int, dict[str, int]]:
    """The number of doubtful images, and that for each reason; an image can have several."""
    reasons = [(words or "").split() for words in table["doubts"].to_pylist()]
    return sum(map(bool, reasons)), dict(Counter(chain.from_iterable(reasons)).most_common())


def _text(header: Header, key: str) -> str:
    return str(header.get(key, "")).strip()


def _number(header: Header, key: str, missing: float = math.nan) -> float:
    value = header.get(key)
    return float(value) if isinstance(value, int | float) else missing


def _chips(header: Header, key: str, chips: int) -> list[float]:
    """The finite values of a numbered card, from all chips that have it."""
    values = (_number(header, f"{key}{i}") for i in range(1, chips + 1))
    return [value for value in values if math.isfinite(value)]


def _each(header: Header, key: str, chips: int) -> str:
    """The value of a numbered card for each chip, nan where it has none."""
    return " ".join(f"{_number(header, f'{key}{i}'):.4f}" for i in range(1, chips + 1))


def _gaia(fitted: list[bool]) -> str:
    return ("yes" if all(fitted) else "no") if fitted else ""


def _least(values: list[float]) -> float:
    return min(values, default=math.nan)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _filter(header: Header) -> str:
    """FILTER, or the filters in the wheels of ACS that are not clear, joined as in MAST."""
    names = [_text(header, key) for key in ("FILTER", "FILTER1", "FILTER2")]
    return ";".join(name for name in names if name and not name.upper().startswith("CLEAR"))


def _depth_aperture(header: Header) -> float:
    """Diameter of the middle aperture, in which depths are measured."""
    count = 0
    while f"PHOTAP{count + 1}" in header:
        count += 1
    return _number(header, f"PHOTAP{count // 2 + 1}")


def _footprint(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> tuple[float, float, str]:
    """Mean position in degrees and enclosing polygon (STC-S), by projection to the tangent plane."""
    if not len(ra):
        return math.nan, math.nan, ""
    lon, lat = np.radians(ra), np.radians(dec)
    xyz = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    x, y, z = xyz.mean(axis=1)
    lon0, lat0 = math.atan2(y, x), math.atan2(z, math.hypot(x, y))
    east = np.array([-math.sin(lon0), math.cos(lon0), 0.0])
    north = np.array([-math.sin(lat0) * math.cos(lon0), -math.sin(lat0) * math.sin(lon0), math.cos(lat0)])
    directions = np.array([np.cos(_DIRECTIONS), np.sin(_DIRECTIONS)])
    outermost = np.argmax(directions.T @ np.array([east @ xyz, north @ xyz]), axis=1)
    corners = list(dict.fromkeys(outermost.tolist()))
    region = " ".join(f"{ra[i]:.7f} {dec[i]:.7f}" for i in corners)
    mean = math.degrees(lon0) % 360, math.degrees(lat0)
    return *mean, f"POLYGON ICRS {region}" if len(corners) > 2 else ""


BASES = (1 << 53) - (1 << 31)
"""Bases are below this number, so that base plus NUMBER, an int32, is below 2^53."""
_CELL = 24
"""Bits of a cell. Most images have ids in one cell, and most cells those of one image."""


@dataclass
class Ids:
    """Ranges of ids in use. An image's ids are its base plus NUMBER, which counts from 1."""

    _taken: dict[int, list[range]] = field(default_factory=dict)
    """By cell."""

    def keep(self, base: int, sources: int) -> bool:
        """Takes the range of an image; False, and nothing is taken, where it overlaps another's."""
        wanted = range(base + 1, base + 1 + sources)
        cells = range(wanted.start >> _CELL, (wanted.stop >> _CELL) + 1)
        for cell in cells:
            for other in self._taken.get(cell, ()):
                if wanted.start < other.stop and other.start < wanted.stop:
                    return False
        for cell in cells:
            self._taken.setdefault(cell, []).append(wanted)
        return True

    def assign(self, uri: str, sources: int) -> int:
        """The base of a new image: the digest of its URI, or of URI and attempt where ranges overlap.

        That happens in 2 of 100,000 data sets of 10,000 images with 2,000 sources each.
        """
        for attempt in itertools.count():
            base = digests.digest(f"{uri}\n{attempt}" if attempt else uri) % BASES
            if self.keep(base, sources):
                return base
        raise AssertionError


def source_ids(number: NDArray[np.int32], image: NDArray[np.int32], bases: list[int]) -> NDArray[np.int64]:
    """SOURCE_ID (n,): NUMBER plus the base of the image, by the image's number."""
    ids: NDArray[np.int64] = np.array(bases, np.int64)[image] + number
    return ids
