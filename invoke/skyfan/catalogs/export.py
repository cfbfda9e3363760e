"""Tables of sources as files that other programs read."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from ..errors import UsageError

if TYPE_CHECKING:
    from astropy.table import Table

SUFFIXES = (".csv", ".fits", ".parquet")


def check(path: Path) -> None:
    """Raises UsageError for a file that `write` would not write."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path} is none of {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}")


def write(table: pa.Table, path: Path) -> None:
    """Writes a CSV, FITS or Parquet file, by its suffix, whole or not at all."""
    check(path)
    part = path.with_name(f".{path.name}.part")
    try:
        if path.suffix == ".csv":
            pyarrow.csv.write_csv(flat(table), part)
        elif path.suffix == ".parquet":
            pq.write_table(table, part, compression="zstd")
        else:
            made = to_astropy(table)
            for column in made.columns.values():  # the FITS standard has no electron
                column.unit = str(column.unit).replace("electron", "ct") if column.unit else None
                column.meta.clear()
            made.write(part, format="fits", overwrite=True)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def flat(table: pa.Table) -> pa.Table:
    """The table with a column for each number of an array column: FLUX_APER_1, FLUX_APER_2…"""
    columns, names = [], []
    for field in table.schema:
        column = table[field.name]
        if pa.types.is_fixed_size_list(field.type):
            whole = column.combine_chunks()
            for i in range(field.type.list_size):
                columns.append(pa.compute.list_element(whole, i))
                names.append(f"{field.name}_{i + 1}")
        else:
            columns.append(column)
            names.append(field.name)
    return pa.table(columns, names=names)


def to_astropy(table: pa.Table) -> "Table":
    """An astropy table with units, descriptions and, in the columns' meta, UCDs."""
    import numpy as np
    from astropy.table import Column, Table

    columns = []
    for field in table.schema:
        about = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        array = table[field.name].combine_chunks()
        if pa.types.is_fixed_size_list(field.type):
            values = array.flatten().to_numpy(zero_copy_only=False).reshape(-1, field.type.list_size)
        elif field.type == pa.string():
            values = np.array(array.to_pylist(), str)
        else:
            values = array.to_numpy(zero_copy_only=False)
        columns.append(
            Column(
                values,
                field.name,
                unit=about.get("unit"),
                description=about.get("description"),
                meta={"ucd": about["ucd"]} if "ucd" in about else None,
            )
        )
    return Table(columns)


def to_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Rows that JSON can hold: what is not a number becomes null."""
    return [{name: _plain(value) for name, value in row.items()} for row in table.to_pylist()]


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
