"""What Lambda accepted, as the receipts of a run tell it."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..errors import InputError
from . import digests
from .fetch import fetch
from .place import Place

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
    """One row a file and invocation, in no order: (n,) arrays of 24 bytes a row."""

    file: NDArray[np.uint64]
    """Digest of the input's key."""
    sent: NDArray[np.int64]
    """Unix time in milliseconds, by the sender's clock."""
    request: NDArray[np.uint64]
    """Digest of Lambda's request ID."""
    functions: frozenset[str]
    """Deployed names that any of them was sent to."""

    def __add__(self, other: "Receipts") -> "Receipts":
        return Receipts(
            np.concatenate([self.file, other.file]),
            np.concatenate([self.sent, other.sent]),
            np.concatenate([self.request, other.request]),
            self.functions | other.functions,
        )


NONE = Receipts(np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.uint64), frozenset())


def keys(place: Place, run: str) -> list[str]:
    """The chunks of a run's receipts."""
    found = place.list(f"runs/{run}/receipts/")
    return [item.key for item in found if item.key.endswith(".parquet")]


def read(place: Place, chunks: Iterable[str]) -> Receipts:
    """The rows of some chunks. Raises InputError for a chunk that is damaged."""
    parts = [NONE]
    for key, body in fetch(place, chunks):
        try:
            parts.append(_rows(pq.read_table(pa.BufferReader(body), columns=SCHEMA.names[:4])))
        except (pa.ArrowException, KeyError) as error:
            told = str(error).splitlines()[0]
            raise InputError(f"{place.uri(key)} is no chunk of receipts: {told}") from error
    return Receipts(
        np.concatenate([part.file for part in parts]),
        np.concatenate([part.sent for part in parts]),
        np.concatenate([part.request for part in parts]),
        frozenset().union(*(part.functions for part in parts)),
    )


def _rows(table: pa.Table) -> Receipts:
    return Receipts(
        digests.of_uris(table["uri"].to_pylist()).astype(np.uint64),
        table["sent"].cast(pa.timestamp("ms", "UTC")).cast(pa.int64()).to_numpy(),
        digests.each(table["request_id"].to_pylist()).astype(np.uint64),
        frozenset(pc.unique(table["function"]).to_pylist()),
    )
