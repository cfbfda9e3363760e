"""What a watch adds to its run: plans and receipts of single files, as JSON (see skyfan_watch)."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pyarrow as pa

from skyfan_watch.definition import PLANNED, SENT

from ..errors import InputError
from ..plans import plan as plans
from ..storage.listing import Object
from ..storage.place import Place

_CHUNK = 1 << 12


def is_plan(key: str) -> bool:
    """Whether an object is the plan of one file."""
    return key.endswith(PLANNED)


def is_receipt(key: str) -> bool:
    """Whether an object is the receipt of one file."""
    return key.endswith(SENT)


def plan_tables(place: Place, keys: Iterable[str]) -> Iterator[pa.Table]:
    """The rows of such plans in the order of `keys`, with the columns of plan.SCHEMA, many files at a time.

    Raises InputError for one that is damaged or was removed.
    """
    objects = [Object(key, 0, 0.0) for key in keys]
    for rows in _chunks(
        place, objects, lambda row: {**row, "uri": str(row["uri"]), "size": int(row["size"])}
    ):
        names = [name for name in plans.SCHEMA.names if any(name in row for row in rows)]
        schema = pa.schema([plans.SCHEMA.field(name) for name in names])
        yield plans.complete([pa.Table.from_pylist(rows, schema)])


def receipt_tables(place: Place, objects: Iterable[Object], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of such receipts, with the columns of `schema`. Raises InputError for one that is damaged."""
    for rows in _chunks(place, objects, lambda row: {name: row[name] for name in schema.names}):
        yield pa.Table.from_pylist(rows, schema)


def _chunks(
    place: Place, objects: Iterable[Object], row_of: Callable[[dict[str, Any]], dict[str, Any]]
) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    for item, body in place.fetch(objects):
        try:
            rows.append(row_of(json.loads(body)))
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise InputError(f"{place.uri(item.key)} is damaged: {error!r}") from error
        if len(rows) == _CHUNK:
            yield rows
            rows = []
    if rows:
        yield rows
