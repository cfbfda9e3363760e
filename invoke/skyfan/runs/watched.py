"""What a watch adds to its run: plans and receipts of single files, as JSON (see skyfan_watch)."""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
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


def confirm(place: Place, run: str, accepted: Iterable[pa.Table]) -> None:
    """Notes that files which a watch accepted were sent by a command, so that the watch does not send them.

    `accepted` are the receipts of the run, with the columns of receipts.SCHEMA.
    """
    prefixes = f"runs/{run}/plans/", f"runs/{run}/receipts/"
    listed = [{item.key.removeprefix(prefix) for item in place.tables(prefix)} for prefix in prefixes]
    sent = {name.removesuffix(SENT) for name in listed[1]}
    open_ = [name for name in sorted(listed[0]) if is_plan(name) and name.removesuffix(PLANNED) not in sent]
    if not open_:
        return
    rows = sorted((row for table in accepted for row in table.to_pylist()), key=lambda row: row["sent"])
    found = {row["uri"]: row for row in rows}  # the newest of each file
    for item, body in place.fetch(Object(prefixes[0] + name, 0, 0.0) for name in open_):
        plan = json.loads(body)
        row = found.get(plan["uri"])
        if row and row["sent"] >= datetime.fromisoformat(plan["accepted"]):
            receipt = {**row, "sent": int(row["sent"].timestamp() * 1000), "batch": 1}
            name = item.key.removeprefix(prefixes[0]).removesuffix(PLANNED)
            place.put(f"{prefixes[1]}{name}{SENT}", json.dumps(receipt).encode())


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
