"""Receipts: which files Lambda accepted, when, and with which request ID."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..errors import InputError
from ..storage.listing import Object
from ..storage.place import Place
from . import digests, watched

SCHEMA = pa.schema(
    [
        ("uri", pa.string()),
        ("request_id", pa.string()),
        ("sent", pa.timestamp("ms", "UTC")),
        ("function", pa.string()),  # its deployed name
        ("batch", pa.int32()),  # files in that invocation
    ]
)


@dataclass(frozen=True)
class Receipts:
    """One row per file and invocation, in no particular order: (n,) arrays, 24 bytes per row."""

    file: NDArray[np.uint64]
    """Digest of the input's key."""
    sent: NDArray[np.int64]
    """Unix time in milliseconds, by the sender's clock."""
    request: NDArray[np.uint64]
    """Digest of Lambda's request ID."""
    functions: frozenset[str]
    """Deployed names of all functions in these receipts."""

    def __add__(self, other: "Receipts") -> "Receipts":
        return Receipts(
            np.concatenate([self.file, other.file]),
            np.concatenate([self.sent, other.sent]),
            np.concatenate([self.request, other.request]),
            self.functions | other.functions,
        )


NONE = Receipts(np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.uint64), frozenset())


def chunks(place: Place, run: str) -> list[Object]:
    """The objects with a run's receipts, one chunk of receipts in each."""
    return list(place.tables(f"runs/{run}/receipts/"))


def read(place: Place, objects: Iterable[Object]) -> Receipts:
    """The receipts in some chunks. Raises InputError if a chunk is damaged."""
    parts = [NONE, *map(rows, tables(place, objects))]
    return Receipts(
        np.concatenate([part.file for part in parts]),
        np.concatenate([part.sent for part in parts]),
        np.concatenate([part.request for part in parts]),
        frozenset().union(*(part.functions for part in parts)),
    )


def tables(place: Place, objects: Iterable[Object]) -> Iterator[pa.Table]:
    """The receipts in some chunks. Raises InputError if a chunk is damaged."""
    listed = list(objects)
    gone = {one.key for one in listed if not watched.is_receipt(one.key)}
    columns = pa.schema(list(SCHEMA)[:4])
    yield from watched.receipt_tables(place, (one for one in listed if watched.is_receipt(one.key)), columns)
    for item, body in place.fetch(one for one in listed if not watched.is_receipt(one.key)):
        gone.remove(item.key)
        try:
            table = pq.read_table(pa.BufferReader(body), columns=SCHEMA.names[:4])
            if any(column.null_count for column in table.columns):
                raise ValueError("it has rows without a value")
            yield table.cast(columns)
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:  # OSError: of a damaged page
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise InputError(
                f"{place.uri(item.key)} is not a chunk of receipts: {reason}. Results are safe; restore the "
                "version before it, or remove it: of its files, those without a result are sent again"
            ) from error
    if gone:  # without it, its files would seem to be unsent
        raise InputError(
            f"{place.uri(min(gone))} is listed, but reading it finds nothing: repeat the command"
        )


def rows(table: pa.Table) -> Receipts:
    """The receipts in a table."""
    return Receipts(
        digests.of_uris(table["uri"].to_pylist()).astype(np.uint64),
        table["sent"].cast(pa.timestamp("ms", "UTC")).cast(pa.int64()).to_numpy(),
        digests.each(table["request_id"].to_pylist()).astype(np.uint64),
        frozenset(pc.unique(table["function"]).to_pylist()),
    )
