"""Facts about inputs, from the headers of their tables: columns of the table of inputs."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from ..errors import InputError
from .fitstable import DamagedCatalogError, Header, text

_TYPES: Mapping[type, pa.DataType] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    type(None): pa.null(),
}
_WORDS = {pa.bool_(): "true or false", pa.string(): "a text"}
Fields = dict[str, pa.Field]


def values(header: Header) -> dict[str, Any]:
    """Facts by the names of their columns, those of FACTn in lower case; None if one is not known."""
    return {name.lower(): header.get(name) for name in _names(header)}


def fields(header: Header) -> Fields:
    """The columns of the facts; the type of one that is not known is null."""
    found = {}
    for i, name in enumerate(_names(header), start=1):
        said = {"unit": text(header, f"FUNIT{i}"), "ucd": text(header, f"FUCD{i}")}
        said["description"] = text(header, f"FCOMM{i}")
        about = {key: word for key, word in said.items() if word}
        found[name.lower()] = pa.field(name.lower(), _TYPES[type(header.get(name))], metadata=about)
    return found


def merged(known: Fields, new: Fields) -> Fields:
    """The columns of both. Raises DamagedCatalogError if a fact is a text in one, in the other a number."""
    found = dict(known)
    for name, field in new.items():
        old = found.setdefault(name, field)
        kind = _common(old.type, field.type)
        if kind is None:
            raise DamagedCatalogError(
                f"its fact {name.upper()} is {_word(field.type)}, and {_word(old.type)} in other tables"
            )
        found[name] = old.with_type(kind)
    return found


def of_table(table: pa.Table, schema: pa.Schema) -> Fields:
    """The columns of an existing table of inputs beyond `schema`; the type of one without values is null."""
    return {
        field.name: field if table[field.name].null_count < len(table) else field.with_type(pa.null())
        for field in table.schema
        if field.name not in schema.names
    }


def known(fields: Fields) -> list[pa.Field]:
    """The columns as they are written: one without any value has the type of numbers."""
    return [f.with_type(pa.float64()) if f.type == pa.null() else f for f in fields.values()]


def fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with all columns of `schema`, in its types."""
    columns = []
    for field in schema:
        if field.name in table.column_names:
            column = table[field.name]
            try:
                columns.append(column.cast(field.type))
            except pa.ArrowInvalid as error:
                raise InputError(
                    f"the fact {field.name.upper()} is a float in some tables, and in others a whole number "
                    f"that floats do not hold ({error}): let the function give one type"
                ) from error
        else:
            columns.append(pa.nulls(len(table), field.type))
    return pa.table(columns, schema=schema)


def _names(header: Header) -> list[str]:
    names: list[str] = []
    while name := text(header, f"FACT{len(names) + 1}"):
        names.append(name)
    return names


def _common(a: pa.DataType, b: pa.DataType) -> pa.DataType | None:
    if a == b or b == pa.null():
        return a
    if a == pa.null():
        return b
    return pa.float64() if {a, b} == {pa.int64(), pa.float64()} else None


def _word(kind: pa.DataType) -> str:
    return _WORDS.get(kind, "a number")
