"""The columns of a data set: those of the tables, and those about the input of each row."""

import json
from collections.abc import Iterable
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import pyarrow as pa
from numpy.typing import NDArray

from skyfan_contract import ADDED_COLUMNS

from . import kinds
from .fitstable import Column, DamagedCatalogError, Layout
from .kinds import ROWS, SOURCES, Kind

HEALPIX = "_healpix_29"
_LENGTH = "table::len::"
_MOST = b"arraysize"
"""Metadata of a text column: the length of the longest text that it can hold."""
_KINDS = {
    "i1": pa.int8(), "i2": pa.int16(), "i4": pa.int32(), "i8": pa.int64(), "u1": pa.uint8(), "?": pa.bool_(),
    "f4": pa.float32(), "f8": pa.float64(),
}  # fmt: skip
_ABOUT = (b"unit", b"ucd", b"description")
_VOTABLE = {
    pa.int16(): "short", pa.int32(): "int", pa.int64(): "long", pa.uint8(): "unsignedByte",
    pa.bool_(): "boolean", pa.float32(): "float", pa.float64(): "double", pa.string(): "unicodeChar",
}  # fmt: skip


def new_field(name: str, kind: pa.DataType, unit: str, ucd: str, meaning: str) -> pa.Field:
    """A column with unit, UCD and description, each unless it is empty."""
    about = {"unit": unit, "ucd": ucd, "description": meaning}
    return pa.field(name, kind, metadata={key: value for key, value in about.items() if value})


_KEY = new_field(HEALPIX, pa.int64(), "", "pos.healpix", "Nested HEALPix pixel of order 29 of the position")
_IDS = {
    SOURCES: new_field(
        "SOURCE_ID", pa.int64(), "", "meta.id", "Digest of the image's URI plus NUMBER: the same in every run"
    ),
    ROWS: new_field(
        "ROW_ID",
        pa.int64(),
        "",
        "meta.id",
        "Digest of the input's URI plus the number of the row: the same in every run",
    ),
}
_URIS = {
    SOURCES: new_field("IMAGE", pa.string(), "", "meta.ref.url", "URI of the image"),
    ROWS: new_field("INPUT", pa.string(), "", "meta.ref.url", "URI of the input"),
}
_OBSERVED = (
    new_field("INSTRUMENT", pa.string(), "", "meta.id;instr", "Instrument and detector"),
    new_field("FILTER", pa.string(), "", "meta.id;instr.filter", "Filters other than clear ones"),
    new_field("MJD", pa.float64(), "d", "time.epoch", "Middle between start and end of the exposure"),
)
_FLUX_UNIT = new_field(
    "FLUX_UNIT", pa.string(), "", "meta.unit", "Unit of fluxes and backgrounds; none where the image has none"
)
_ADDED = {name.upper() for name in ADDED_COLUMNS}


def from_input(kind: Kind) -> tuple[pa.Field, ...]:
    """The columns of a row that are those of its input."""
    return (_URIS[kind], *_OBSERVED, *([_FLUX_UNIT] if kind is SOURCES else []))


def of_layout(layout: Layout, kind: Kind, flux_unit: str, observed: frozenset[str]) -> pa.Schema:
    """The columns of rows from a table of this layout. In FITS, TUNIT has ct instead of electron.

    `observed` are those of from_input() that the input has; sources have all of them. Raises
    DamagedCatalogError if the table itself has a column that skyfan adds.
    """
    if kind is ROWS and (odd := next((c.name for c in layout.columns if c.name.upper() in _ADDED), None)):
        raise DamagedCatalogError(f"its column {odd} has a name that skyfan adds itself")
    last = [field for field in from_input(kind) if kind is SOURCES or field.name in observed]
    own = [_of_column(column, flux_unit) for column in layout.columns]
    return pa.schema([_KEY, _IDS[kind], *own, *last])


def _of_column(column: Column, flux_unit: str) -> pa.Field:
    if column.kind.startswith("S"):
        field = new_field(column.name, pa.string(), column.unit, column.ucd, column.meaning)
        return _marked(field, shown=column.shown, length=int(column.kind[1:]))
    kind = _KINDS[column.kind]
    in_flux = bool(flux_unit) and column.unit == flux_unit.replace("electron", "ct")
    unit = flux_unit if in_flux else column.unit
    kind = pa.list_(kind, column.length) if column.length else kind
    return _marked(new_field(column.name, kind, unit, column.ucd, column.meaning), shown=column.shown)


def _marked(field: pa.Field, *, shown: bool, length: int | None = None) -> pa.Field:
    marks = ({b"shown": b"yes"} if shown else {}) | ({_MOST: str(length).encode()} if length else {})
    return field.with_metadata({**(field.metadata or {}), **marks}) if marks else field


def array(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """Values (n,), or (n, length) for a fixed-size list, as a column with null instead of NaN.

    Only null means unknown to every reader. DuckDB and polars sort NaN above all numbers, and DuckDB skips a
    condition if the statistics of the file fulfil it, which do not count NaN.
    """
    if values.dtype.kind == "S":
        return pa.array(values.astype(str), pa.string())
    flat = pa.array(values.ravel(), from_pandas=True)
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(flat, type=kind)
    return flat


def unknown(number: int, kind: pa.DataType) -> pa.Array:
    """A column of nulls. In a fixed-size list the elements are null, not the list."""
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(
            pa.nulls(number * kind.list_size, kind.value_type), type=kind
        )
    return pa.nulls(number, kind)


def conflict(a: pa.Schema, b: pa.Schema) -> str | None:
    """The name of the first column that has different types; None if there is none."""
    types = {field.name: field.type for field in a}
    return next((f.name for f in b if types.get(f.name, f.type) != f.type), None)


def merged(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """The columns of all schemas, without units that differ. The columns of from_input() come last."""
    fields: dict[str, pa.Field] = {}
    for schema in schemas:
        for field in schema:
            fields[field.name] = _merged(fields[field.name], field) if field.name in fields else field
    made = pa.schema(fields.values())
    last = [field.name for field in from_input(kinds.of_schema(made))]
    places = {name: place for place, name in enumerate(last)}
    return pa.schema(sorted(made, key=lambda field: places.get(field.name, -1)))


def _merged(a: pa.Field, b: pa.Field) -> pa.Field:
    about = dict(a.metadata or {})
    if about.get(b"unit") != (b.metadata or {}).get(b"unit"):
        about.pop(b"unit", None)
    if _MOST in about:
        about[_MOST] = max(about[_MOST], b.metadata[_MOST], key=int)
    return a.with_metadata(about)


def string_lengths(schema: pa.Schema) -> dict[str, int]:
    """Maximum lengths of strings by column, from the metadata that described() wrote."""
    return {
        key.decode().removeprefix(_LENGTH): int(value)
        for key, value in (schema.metadata or {}).items()
        if key.decode().startswith(_LENGTH)
    }


def described(schema: pa.Schema, lengths: dict[str, int]) -> pa.Schema:
    """The schema with units, UCDs and descriptions as metadata for astropy and as VOTable in Parquet.

    `lengths` are the maximum lengths of strings, in characters, at least of all string columns whose fields
    do not say it. astropy's parquet.votable reader fails where strings have no length,
    and its parquet reader measures all and warns.
    """
    columns, fields = [], []
    lengths = {f.name: int(f.metadata[_MOST]) for f in schema if _MOST in (f.metadata or {})} | lengths
    for field in schema:
        about = {k.decode(): v.decode() for k, v in (field.metadata or {}).items() if k in _ABOUT}
        column: dict[str, Any] = {"name": field.name, "datatype": "string", **about}
        if ucd := column.pop("ucd", None):
            column["meta"] = {"ucd": ucd}
        columns.append(column)
        fields.append(_votable(field, about, lengths))
    table = f'<TABLE name="{kinds.of_schema(schema).row}s">{"".join(fields)}</TABLE>'
    votable = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        f"<RESOURCE>{table}</RESOURCE></VOTABLE>"
    )
    return schema.with_metadata(
        {
            "table_meta_yaml": json.dumps({"datatype": columns}),  # JSON is YAML
            **{f"{_LENGTH}{name}": str(lengths[name]) for name in lengths if name in schema.names},
            "IVOA.VOTable-Parquet.version": "1.0",
            "IVOA.VOTable-Parquet.content": votable,
        }
    )


def without_healpix(schema: pa.Schema) -> pa.Schema:
    """The schema without the key, for sources without a position."""
    return described(schema.remove(schema.get_field_index(HEALPIX)), string_lengths(schema))


def _votable(field: pa.Field, about: dict[str, str], lengths: dict[str, int]) -> str:
    kind, size = field.type, ""
    if pa.types.is_fixed_size_list(kind):
        kind, size = kind.value_type, f' arraysize="{kind.list_size}"'
    elif kind == pa.string():
        size = f' arraysize="{lengths[field.name]}"'
    if "electron" in about.get("unit", ""):  # VOUnits does not have it; the column FLUX_UNIT does
        about = {key: value for key, value in about.items() if key != "unit"}
    words = "".join(f" {key}={quoteattr(about[key])}" for key in ("unit", "ucd") if key in about)
    return (
        f'<FIELD name={quoteattr(field.name)} datatype="{_VOTABLE[kind]}"{size}{words}>'
        f"<DESCRIPTION>{escape(about.get('description', ''))}</DESCRIPTION></FIELD>"
    )
