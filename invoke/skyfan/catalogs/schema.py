"""The columns of a data set of sources: the catalogs' own, and where each source comes from."""

import json
from collections.abc import Iterable
from typing import Any
from xml.sax.saxutils import quoteattr

import pyarrow as pa

from .fitstable import Column, Layout

HEALPIX = "_healpix_29"
_LENGTH = "table::len::"
_KINDS = {
    "i1": pa.int8(), "i2": pa.int16(), "i4": pa.int32(), "i8": pa.int64(), "u1": pa.uint8(), "?": pa.bool_(),
    "f4": pa.float32(), "f8": pa.float64(),
}  # fmt: skip
_VOTABLE = {
    pa.int16(): "short", pa.int32(): "int", pa.int64(): "long", pa.uint8(): "unsignedByte",
    pa.bool_(): "boolean", pa.float32(): "float", pa.float64(): "double", pa.string(): "char",
}  # fmt: skip


def _field(name: str, kind: pa.DataType, unit: str, ucd: str, meaning: str) -> pa.Field:
    about = {"unit": unit, "ucd": ucd, "description": meaning}
    return pa.field(name, kind, metadata={key: value for key, value in about.items() if value})


_BEFORE = (
    _field(HEALPIX, pa.int64(), "", "pos.healpix", "Nested HEALPix pixel of order 29 of the position"),
    _field(
        "SOURCE_ID", pa.int64(), "", "meta.id", "Digest of the image's URI plus NUMBER: the same in every run"
    ),
)
FROM_IMAGE = (
    _field("IMAGE", pa.string(), "", "meta.ref.url", "URI of the image"),
    _field("INSTRUMENT", pa.string(), "", "meta.id;instr", "Instrument and detector"),
    _field("FILTER", pa.string(), "", "meta.id;instr.filter", "Filters other than clear ones"),
    _field("MJD", pa.float64(), "d", "time.epoch", "Middle between start and end of the exposure"),
    _field(
        "FLUX_UNIT",
        pa.string(),
        "",
        "meta.unit",
        "Unit of fluxes and backgrounds; none where the image has none",
    ),
)


def of_layout(layout: Layout, flux_unit: str) -> pa.Schema:
    """The columns of the sources of such a catalog. A TUNIT's ct stands for the electron of FLUXUNIT."""
    return pa.schema([*_BEFORE, *(_of_column(column, flux_unit) for column in layout.columns), *FROM_IMAGE])


def _of_column(column: Column, flux_unit: str) -> pa.Field:
    kind = _KINDS[column.kind]
    in_flux = bool(flux_unit) and column.unit == flux_unit.replace("electron", "ct")
    unit = flux_unit if in_flux else column.unit
    return _field(
        column.name,
        pa.list_(kind, column.length) if column.length else kind,
        unit,
        column.ucd,
        column.meaning,
    )


def conflict(a: pa.Schema, b: pa.Schema) -> str | None:
    """The name of a column that has two types."""
    types = {field.name: field.type for field in a}
    return next((f.name for f in b if types.get(f.name, f.type) != f.type), None)


def merged(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """All columns of all, in the order of the first; a unit that differs between them is left out."""
    fields: dict[str, pa.Field] = {}
    for schema in schemas:
        for field in schema:
            fields[field.name] = _merged(fields[field.name], field) if field.name in fields else field
    last = {field.name for field in FROM_IMAGE}
    return pa.schema(sorted(fields.values(), key=lambda field: field.name in last))


def without_healpix(schema: pa.Schema) -> pa.Schema:
    """The columns of sources without a position."""
    lengths = {
        key.decode().removeprefix(_LENGTH): int(value)
        for key, value in (schema.metadata or {}).items()
        if key.decode().startswith(_LENGTH)
    }
    return described(schema.remove(schema.get_field_index(HEALPIX)), lengths)


def _merged(a: pa.Field, b: pa.Field) -> pa.Field:
    about = dict(a.metadata or {})
    if about.get(b"unit") != (b.metadata or {}).get(b"unit"):
        about.pop(b"unit", None)
    return a.with_metadata(about)


def described(schema: pa.Schema, lengths: dict[str, int] | None = None) -> pa.Schema:
    """The schema with units and meanings as astropy's reader and as VOTable in Parquet want them.

    `lengths` are those of the longest strings by column; without, astropy looks for them and warns.
    """
    columns, fields = [], []
    for field in schema:
        about = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        column: dict[str, Any] = {"name": field.name, "datatype": "string", **about}
        if ucd := column.pop("ucd", None):
            column["meta"] = {"ucd": ucd}
        columns.append(column)
        fields.append(_votable(field, about))
    table = f'<TABLE name="sources">{"".join(fields)}</TABLE>'
    votable = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        f"<RESOURCE>{table}</RESOURCE></VOTABLE>"
    )
    return schema.with_metadata(
        {
            "table_meta_yaml": json.dumps({"datatype": columns}),  # JSON is YAML
            **{f"{_LENGTH}{name}": str(length) for name, length in (lengths or {}).items()},
            "IVOA.VOTable-Parquet.version": "1.0",
            "IVOA.VOTable-Parquet.content": votable,
        }
    )


def _votable(field: pa.Field, about: dict[str, str]) -> str:
    kind, size = field.type, ""
    if pa.types.is_fixed_size_list(kind):
        kind, size = kind.value_type, f' arraysize="{kind.list_size}"'
    elif kind == pa.string():
        size = ' arraysize="*"'
    words = "".join(f" {key}={quoteattr(about[key])}" for key in ("unit", "ucd") if key in about)
    meaning = about.get("description", "").replace("&", "&amp;").replace("<", "&lt;")
    return (
        f'<FIELD name={quoteattr(field.name)} datatype="{_VOTABLE[kind]}"{size}{words}>'
        f"<DESCRIPTION>{meaning}</DESCRIPTION></FIELD>"
    )
