"""Writes tables of sources as CSV, ECSV, FITS, Parquet or VOTable, and converts them for astropy and JSON.

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

if TYPE_CHECKING:
    from astropy.table import Table

SUFFIXES = (".csv", ".ecsv", ".fits", ".parquet", ".vot")


def check(path: Path) -> None:
    """Raises UsageError for a file that write() cannot write."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path} must end in one of {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise UsageError(f"cannot write {path}: the folder {path.parent} does not exist")


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


def flat(table: pa.Table) -> pa.Table:
    """The table with one column per element of an array column: FLUX_APER_1, FLUX_APER_2…"""
    columns, names = [], []
    for field in table.schema:
        column = table[field.name]
        if pa.types.is_fixed_size_list(field.type):
            arrays = column.combine_chunks()
            for i in range(field.type.list_size):
                columns.append(pa.compute.list_element(arrays, i))
                names.append(f"{field.name}_{i + 1}")
        else:
            columns.append(column)
            names.append(field.name)
    return pa.table(columns, names=names)


def to_astropy(table: pa.Table) -> "Table":
    """An astropy table with units and descriptions; UCDs are in the meta of the columns.

    Unknown values are NaN, and masked in columns of integers.
    """
    import numpy as np
    from astropy.table import Column, MaskedColumn, Table

    columns = []
    for field in table.schema:
        about = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        array = table[field.name].combine_chunks()
        mask: Any = None
        if pa.types.is_fixed_size_list(field.type):
            values = array.flatten().to_numpy(zero_copy_only=False).reshape(-1, field.type.list_size)
        elif field.type == pa.string():
            values = np.array(array.fill_null("").to_pylist(), str)
        elif pa.types.is_integer(field.type) and array.null_count:
            mask = array.is_null().to_numpy(zero_copy_only=False)
            values = array.fill_null(0).to_numpy()
        else:
            values = array.to_numpy(zero_copy_only=False)
        described = {
            "name": field.name,
            "unit": about.get("unit"),
            "description": about.get("description"),
            "meta": {"ucd": about["ucd"]} if "ucd" in about else None,
        }
        columns.append(
            Column(values, **described) if mask is None else MaskedColumn(values, mask=mask, **described)
        )
    return Table(columns)


def to_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Rows for JSON, with NaN and infinity as null."""
    return [{name: _plain(value) for name, value in row.items()} for row in table.to_pylist()]


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
