"""The kinds of data sets: sources of SepExtract, rows of the tables of any other function, and objects.

Of a function, skyfan knows what its tables say: columns, the position by its UCDs, and which columns people
see first.
"""

from typing import Any, NamedTuple

import pyarrow as pa

from .fitstable import DEC, RA, Header

_MOST_SHOWN = 8


class Kind(NamedTuple):
    """How rows and inputs are called, and the columns that skyfan adds for them."""

    row: str
    input: str
    result: str
    """What an input gives."""
    id_column: str
    """Ids of rows."""
    uri_column: str
    """URIs of inputs."""

    def __reduce__(self) -> Any:
        """In another process it is the same constant, too: kinds are compared by identity."""
        return _of_row, (self.row,)


SOURCES = Kind("source", "image", "catalog", "SOURCE_ID", "IMAGE")
ROWS = Kind("row", "input", "table", "ROW_ID", "INPUT")
OBJECTS = Kind("object", "image", "match", "OBJECT_ID", "IMAGE")
"""What skyfan match makes of sources; their URIs are in the links to detections."""


def _of_row(row: str) -> Kind:
    return {kind.row: kind for kind in (SOURCES, ROWS, OBJECTS)}[row]


SHORT = (
    "ALPHAWIN_J2000", "DELTAWIN_J2000", "MAG_AUTO", "MAGERR_AUTO", "SNR_AUTO", "FWHM_IMAGE", "FLAGS",
    "FILTER", "IMAGE",
)  # fmt: skip
"""Columns of sources for people. Passed to search() as this very tuple, it stands for those of any kind."""


def of_header(header: Header) -> Kind:
    """The kind of a table: SepExtract alone measures chips, and no other function may write that card."""
    return SOURCES if "NCHIPS" in header else ROWS


def of_schema(schema: pa.Schema) -> Kind:
    """The kind of a data set."""
    return next((kind for kind in (ROWS, OBJECTS) if kind.id_column in schema.names), SOURCES)


def position(schema: pa.Schema) -> tuple[str, str] | None:
    """The columns of the position; None if the table has none."""
    found = {ucd: field.name for field in schema if (ucd := _about(field, b"ucd")) in (RA, DEC)}
    return (found[RA], found[DEC]) if len(found) == 2 else None


def shown(schema: pa.Schema) -> list[str]:
    """The columns for people: those that the function has marked, or the first ones."""
    if of_schema(schema) is SOURCES:
        return [name for name in SHORT if name in schema.names]
    if of_schema(schema) is OBJECTS:
        light = [name for name in schema.names if name.startswith("MAG_")]
        return [OBJECTS.id_column, *(position(schema) or ()), "N_DET", "FLAGS", *light]
    marked = [field.name for field in schema if _about(field, b"shown")]
    own = marked or [field.name for field in schema if field.name not in _ADDED][:_MOST_SHOWN]
    first = position(schema) or ()
    return list(dict.fromkeys([*first, *own, *(n for n in ("FILTER", ROWS.uri_column) if n in schema.names)]))


def numbers(schema: pa.Schema) -> list[pa.Field]:
    """Of the columns for people those with a quantity in each row, other than positions and skyfan's own."""
    names = [name for name in shown(schema) if name not in (*(position(schema) or ()), *_ADDED)]
    fields = [schema.field(name) for name in names]
    return [field for field in fields if is_quantity(field)]


def is_quantity(field: pa.Field) -> bool:
    """Whether a column has numbers that measure something: those of identifiers (UCD meta.id) do not."""
    is_number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
    return bool(is_number) and not _about(field, b"ucd").startswith("meta.id")


_ADDED = ("_healpix_29", "ROW_ID", "INPUT", "INSTRUMENT", "FILTER", "MJD")


def _about(field: pa.Field, key: bytes) -> str:
    return str((field.metadata or {}).get(key, b"").decode())
