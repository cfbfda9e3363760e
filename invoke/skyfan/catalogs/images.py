"""The table of images, or of other inputs, one row for each, from the header of its catalog or table.

And the sky that they cover, as a MOC (IVOA Multi-Order Coverage map), made by mocpy.
"""

import math
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyfan_contract import INPUT_COLUMNS

from .. import extras, files
from ..errors import UsageError
from ..sky import footprints
from . import chips, facts, kinds
from .fitstable import Catalog, DamagedCatalogError, Header, number, text
from .kinds import ROWS, SOURCES, Kind

_MOC_ORDER = 17
"""HEALPix order of the finest cells of a coverage: 1.6 arcsec, a hundredth of a detector of Hubble."""
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
_OF_ROWS = {
    "uri": "The input",
    "catalog": "Its table, below the run's results",
    "catalog_size": "Size of the table",
    "catalog_modified": "Unix time of the table",
    "catalog_etag": "ETag of the table",
    "sources": "Rows of its table",
    "source_id": "ROW_ID of its rows less their number from 1",
    "s_ra": "Mean position of its outline or of its rows; that of RA_TARG and DEC_TARG where there is none",
    "s_dec": "Mean position of its outline or of its rows; that of RA_TARG and DEC_TARG where there is none",
    "s_region": "STC-S outline that its table tells, or that of its rows",
    "doubts": "Reasons to doubt its table; empty if there are none",
    "skyfan": "Version of skyfan that made the table",
}
"""What columns of inputs mean that are no images."""


def _schema(kind: Kind) -> pa.Schema:
    fields = []
    for name, of, unit, meaning in _FIELDS:
        if kind is SOURCES or name in INPUT_COLUMNS:
            meaning = meaning if kind is SOURCES else _OF_ROWS.get(name, meaning)  # noqa: PLW2901
            about = {"description": meaning, **({"unit": unit} if unit else {})}
            fields.append(pa.field(name, of, metadata=about))
    return pa.schema(fields)


SCHEMA = _schema(SOURCES)
"""Of images and their sources."""
_SCHEMAS = {SOURCES: SCHEMA, ROWS: _schema(ROWS)}
Row = dict[str, Any]
_REGION_WORDS = {"POLYGON", "ICRS"}
_DIRECTIONS = np.linspace(0, 2 * np.pi, 16, endpoint=False)


def schema(kind: Kind, known: Iterable[pa.Field] = ()) -> pa.Schema:
    """The columns of a table of inputs: those of its kind, and facts."""
    return pa.schema([*_SCHEMAS[kind], *known])


def row(catalog: Catalog) -> Row:
    """The row of an input, without source_id and what the listing says. Unknown numbers are None.

    Raises DamagedCatalogError if the header does not name the input, or the catalog has no sources of
    SepExtract although its header says so.
    """
    header, rows = catalog.header, catalog.rows
    kind = kinds.of_header(header)
    uri = header.get("SRCURI")
    if not isinstance(uri, str):
        raise DamagedCatalogError(f"its header does not name an {kind.input} (SRCURI)")
    if kind is SOURCES:
        chips.check(catalog)
    has_position = np.zeros(len(rows), bool)
    s_ra = s_dec = math.nan
    region = ""
    if columns := catalog.layout.position:
        ra, dec = (rows[name].astype(np.float64) for name in columns)
        has_position = np.isfinite(ra) & np.isfinite(dec)
        s_ra, s_dec, region = _footprint(ra[has_position], dec[has_position])
    if outline := text(header, "S_REGION"):
        numbers = [word for word in outline.split() if word not in _REGION_WORDS]
        try:
            corners = np.array(numbers, np.float64).reshape(-1, 2)
        except ValueError as error:
            raise DamagedCatalogError(f"its outline (S_REGION) cannot be read: {outline[:80]}") from error
        (s_ra, s_dec, _), region = _footprint(*corners.T), outline
    elif kind is ROWS and not has_position.any():
        s_ra, s_dec = number(header, "RA_TARG"), number(header, "DEC_TARG")
    values: Row = {
        "uri": uri,
        "etag": text(header, "SRCVER"),
        "telescope": text(header, "TELESCOP"),
        "instrument": "/".join(filter(None, (text(header, "INSTRUME"), text(header, "DETECTOR")))),
        "filter": _filter(header),
        "target": text(header, "TARGNAME"),
        "proposal_id": text(header, "PROPOSID"),
        "rootname": text(header, "ROOTNAME"),
        "t_min": number(header, "EXPSTART"),
        "t_max": number(header, "EXPEND"),
        "sources": len(rows),
        "unplaced": len(rows) - int(has_position.sum()),
        "s_ra": s_ra,
        "s_dec": s_dec,
        "s_region": region,
        "doubts": text(header, "DOUBTS"),
        "config": text(header, "CONFHASH"),
        "skyfan": text(header, "V_SKYFAN"),
        "numpy": text(header, "V_NUMPY"),
        "astropy": text(header, "V_ASTRO"),
        "notes": "; ".join(filter(None, (note.strip() for note in catalog.history.split("note: ")))),
    }
    values |= chips.columns(header) if kind is SOURCES else facts.values(header)
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in values.items()
    }


def doubtful(table: pa.Table) -> tuple[int, dict[str, int]]:
    """The number of doubtful images, and that for each reason; an image can have several."""
    reasons = [(words or "").split() for words in table["doubts"].to_pylist()]
    return sum(map(bool, reasons)), dict(Counter(chain.from_iterable(reasons)).most_common())


def _filter(header: Header) -> str:
    """FILTER, or the filters in the wheels of ACS that are not clear, joined as in MAST."""
    names = [text(header, key) for key in ("FILTER", "FILTER1", "FILTER2")]
    return ";".join(name for name in names if name and not name.upper().startswith("CLEAR"))


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


def coverage(images: pa.Table) -> Any:
    """The coverage, a mocpy.MOC, of the outlines in `s_region` of a table of images.

    Raises UsageError if no image has an outline, MissingExtraError without mocpy.
    """
    MOC = _mocpy().MOC  # noqa: N806  (the class)
    outlines = [corners for region in images["s_region"].to_pylist() for corners in footprints.parse(region)]
    if not outlines:
        raise UsageError("no image has an outline on the sky, so there is no coverage to write")
    axes = [axis for corners in outlines for axis in (corners[:, 0] % 360, corners[:, 1])]
    parts = MOC.from_polygons(axes, max_depth=_MOC_ORDER)
    return parts[0].union(*parts[1:]) if len(parts) > 1 else parts[0]


def check_moc(path: Path) -> None:
    """Raises UsageError for a file that write_moc() cannot write, and without mocpy."""
    _mocpy()
    if path.suffix != ".fits":
        raise UsageError(f"{path}: a MOC is a FITS file, so its name must end in .fits")
    files.require_folder(path)


def write_moc(images: pa.Table, path: Path) -> None:
    """Writes the MOC as FITS. Raises UsageError as coverage() and check_moc()."""
    check_moc(path)
    with files.replace(path) as part:
        coverage(images).save(part, format="fits", overwrite=True)


def _mocpy() -> Any:
    with extras.needed("vo"):
        import mocpy
    return mocpy
