"""Results as tables: Arrow tables for astropy, pandas and notebooks, with units, UCDs and descriptions."""

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from .errors import UsageError
from .formatting import count, number, printable, shorten

if TYPE_CHECKING:
    import pandas
    from astropy.table import QTable, Table

SHOWN_ROWS = 10
"""Rows of a table in a notebook."""
_SHOWN_COLUMNS = 12
"""Columns likewise; those without any value in these rows are not shown."""
_LONGEST = 48
"""Characters of a text in a notebook."""


class Tabular:
    """A result that is a table as well: notebooks show its first rows, and it converts to others' tables."""

    def _table(self) -> pa.Table:
        """The rows; fields have `unit`, `ucd` and `description` in their metadata."""
        raise NotImplementedError

    def _head(self) -> tuple[pa.Table, int]:
        """At least SHOWN_ROWS of the rows, if there are as many, and the number of all."""
        table = self._table()
        return table, len(table)

    def _summary(self) -> str:
        """One line about the result."""
        raise NotImplementedError

    def to_table(self) -> "QTable":
        """The rows as an astropy QTable: columns with units are quantities, with UCDs in info.meta.

        Unknown values are NaN, and masked in columns of integers.
        """
        from astropy.table import QTable

        return QTable(to_astropy(self._table()), copy=False)

    def to_pandas(self) -> "pandas.DataFrame":
        """The rows as a pandas DataFrame; each element of an array column is a column: FLUX_APER_1…

        Raises UsageError if pandas is not installed.
        """
        try:
            import pandas  # noqa: F401
        except ModuleNotFoundError as error:
            raise UsageError("to_pandas() needs pandas: pip install pandas") from error
        return flat(self._table()).to_pandas()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {printable(self._summary())}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: one line, and the first rows."""
        return "".join([f"<p>{escape(printable(self._summary()))}</p>", *_html(*self._head())])


def _html(table: pa.Table, rows: int) -> Iterator[str]:
    shown = table.slice(0, SHOWN_ROWS)
    known = [name for name in shown.column_names if not len(shown) or shown[name].null_count < len(shown)]
    shown = shown.select(known[:_SHOWN_COLUMNS])
    yield "<table><thead><tr>"
    for field in shown.schema:
        about = field.metadata or {}
        title, unit = (about.get(key, b"").decode() for key in (b"description", b"unit"))
        name, below = escape(printable(field.name)), escape(printable(unit))
        yield f'<th title="{escape(printable(title))}">{name}<br><small>{below}</small></th>'
    yield "</tr></thead><tbody>"
    for row in zip(*(shown[name].to_pylist() for name in shown.column_names), strict=True):
        yield f"<tr>{''.join(f'<td>{escape(_text(value))}</td>' for value in row)}</tr>"
    yield "</tbody></table>"
    hidden = [count(rows - len(shown), "row")] if rows > len(shown) else []
    if columns := len(table.column_names) - len(shown.column_names):
        hidden.append(count(columns, "column"))
    if hidden:
        yield f"<p><small>and {' and '.join(hidden)} more</small></p>"


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return number(value) if abs(value) < 1 or abs(value) >= 1000 else f"{value:.6g}"
    if isinstance(value, list):
        return " ".join(map(_text, value))
    return shorten(printable(str(value)), _LONGEST)


def flat(table: pa.Table) -> pa.Table:
    """The table with one column per element of an array column: FLUX_APER_1, FLUX_APER_2…"""
    columns, names = [], []
    for field in table.schema:
        column = table[field.name]
        if pa.types.is_fixed_size_list(field.type):
            arrays = column.combine_chunks()
            for i in range(field.type.list_size):
                columns.append(pc.list_element(arrays, i))
                names.append(f"{field.name}_{i + 1}")
        else:
            columns.append(column)
            names.append(field.name)
    return pa.table(columns, names=names)


def to_astropy(table: pa.Table) -> "Table":
    """An astropy table with units and descriptions; UCDs are in the meta of the columns.

    Unknown values are NaN, and masked in columns of integers and truth values.
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
        elif (pa.types.is_integer(field.type) or pa.types.is_boolean(field.type)) and array.null_count:
            mask = array.is_null().to_numpy(zero_copy_only=False)
            values = array.fill_null(False if pa.types.is_boolean(field.type) else 0).to_numpy(
                zero_copy_only=False
            )
        else:
            values = array.to_numpy(zero_copy_only=False)
        described = {
            "name": field.name,
            "unit": about.get("unit") or None,
            "description": about.get("description"),
            "meta": {"ucd": about["ucd"]} if "ucd" in about else None,
        }
        columns.append(
            Column(values, **described) if mask is None else MaskedColumn(values, mask=mask, **described)
        )
    return Table(columns)
