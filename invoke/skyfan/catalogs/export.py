"""Writes tables of sources as CSV, ECSV, FITS, Parquet or VOTable, and converts them for JSON.

Every format has units, UCDs and descriptions but CSV, which has a header line only. Unknown values are empty
fields in text, null in Parquet, and NaN in FITS and VOTable.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from .. import files
from ..errors import UsageError
from ..tables import flat, to_astropy
from . import regions

if TYPE_CHECKING:
    from astropy.table import Table

SUFFIXES = (".csv", ".ecsv", ".fits", ".parquet", ".vot")


def check(path: Path) -> None:
    """Raises UsageError for a file that neither write() nor regions.write() can write."""
    if path.suffix not in (*SUFFIXES, *regions.SUFFIXES):
        raise UsageError(f"{path} must end in one of {', '.join((*SUFFIXES, *regions.SUFFIXES))}")
    files.require_folder(path)


def write(table: pa.Table, path: Path) -> None:
    """Writes a file in the format of its suffix, in one step. Raises UsageError."""
    check(path)
    with files.replace(path) as part:
        if path.suffix == ".csv":
            files.write_csv(flat(table), part)
        elif path.suffix == ".parquet":
            pq.write_table(table, part, compression="zstd")
        elif path.suffix == ".fits":
            _write_fits(_without_electrons(to_astropy(table)), part)
        elif path.suffix == ".vot":
            _without_electrons(to_astropy(table)).write(part, format="votable", tabledata_format="binary2")
        else:
            _without_nan(to_astropy(table)).write(part, format="ascii.ecsv", delimiter=",")


def _write_fits(table: "Table", path: Path) -> None:
    """Writes a binary table with a TUCD and a TCOMM card for each column, as those of the catalogs."""
    from astropy.io import fits

    for name in table.colnames:
        if table[name].dtype.kind == "U" and not all(map(str.isascii, table[name])):
            raise UsageError(f"{name} has characters beyond ASCII, which FITS cannot hold: write a .vot file")
    hdu = fits.table_to_hdu(table)
    for i, column in enumerate(table.columns.values(), start=1):
        for key, value in (("TCOMM", column.description), ("TUCD", column.meta.get("ucd"))):
            if value:
                hdu.header.insert(f"TTYPE{i}", (f"{key}{i}", value), after=True)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, checksum=True)


def _without_electrons(table: "Table") -> "Table":
    """Replaces electron, which FITS and VOUnits do not have, by ct, as in the catalogs; FLUX_UNIT has it."""
    for column in table.columns.values():
        if column.unit:
            column.unit = str(column.unit).replace("electron", "ct")
    return table


def _without_nan(table: "Table") -> "Table":
    import numpy as np
    from astropy.table import MaskedColumn

    for name in table.colnames:
        if table[name].dtype.kind == "f":
            table[name] = MaskedColumn(table[name], mask=np.isnan(table[name]))
    return table


def to_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Rows for JSON, with NaN and infinity as null."""
    return [{name: plain(value) for name, value in row.items()} for row in table.to_pylist()]


def plain(value: Any) -> Any:
    """A value for JSON, with NaN and infinity as null."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
