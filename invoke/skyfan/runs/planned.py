"""The files of a run: the union of the plans that were given to it."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..errors import InputError
from ..plans.plan import Item
from . import digests
from .place import Place


@dataclass(frozen=True)
class Planned:
    """What was to be processed, each file once: (n,) arrays in the order of the digests."""

    digests: digests.Digests
    size: NDArray[np.int64]
    """Bytes, -1 where unknown."""
    row: NDArray[np.int64]
    """The number of the file's first row among the kept rows of all plans."""

    def __len__(self) -> int:
        return len(self.digests)


def keys(place: Place, run: str) -> list[str]:
    """The plans of a run, in one order."""
    return sorted(item.key for item in place.list(f"runs/{run}/plans/") if item.key.endswith(".parquet"))


def read(place: Place, plans: list[str]) -> Planned:
    """The union of plans. 24 bytes a file, and one plan's file at a time."""
    names, sizes = [np.empty(0, "<u8")], [np.empty(0, np.int64)]
    for batch in _batches(place, plans, ["uri", "size"]):
        names.append(digests.of_uris(batch["uri"].to_pylist()))
        sizes.append(pc.fill_null(batch["size"], -1).to_numpy(zero_copy_only=False))
    unique, first = np.unique(np.concatenate(names).astype(np.uint64), return_index=True)
    return Planned(unique, np.concatenate(sizes)[first], first)


def items(place: Place, plans: list[str], rows: NDArray[np.int64]) -> Iterator[Item]:
    """The files of some rows; `rows` are sorted and their files come in that order."""
    start = 0
    for batch in _batches(place, plans, ["uri", "size", "tier"]):
        low, high = np.searchsorted(rows, [start, start + len(batch)])
        if high > low:
            some = batch.take(pa.array(rows[low:high] - start))
            columns = [some[name].to_pylist() for name in ("uri", "size", "tier")]
            for uri, size, tier in zip(*columns, strict=True):
                yield Item(uri, size, tier)
        start += len(batch)


def _batches(place: Place, plans: list[str], columns: list[str]) -> Iterator[pa.RecordBatch]:
    return chain.from_iterable(_kept(place, key, columns) for key in plans)


def _kept(place: Place, key: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    body = place.get(key)
    if body is None:
        raise InputError(f"{place.uri(key)} was taken away while it was needed")
    try:
        with pq.ParquetFile(pa.BufferReader(body)) as file:
            for batch in file.iter_batches(columns=[*columns, "dropped"]):
                yield batch.filter(pc.is_null(batch["dropped"]))
    except pa.ArrowException as error:
        raise InputError(f"{place.uri(key)} is no plan: {str(error).splitlines()[0]}") from error
