"""The planned files of a run: the union of its plans."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..errors import InputError
from ..plans.plan import ITEM_COLUMNS, Item
from ..storage.place import Place
from . import digests, watched

# Plans of earlier versions lack these columns.
_LATER = ("pixels", "detect", "detect_size")
_SIZED = ("uri", "size", "detect", "detect_size")


@dataclass(frozen=True)
class Planned:
    """The planned files, without duplicates: (n,) arrays sorted by digest."""

    digests: digests.Digests
    size: NDArray[np.int64]
    """Bytes of all images that are read for the file; -1 if unknown."""
    row: NDArray[np.int64]
    """Number of the file's first row, counted over the kept rows of all plans."""

    def __len__(self) -> int:
        return len(self.digests)


def keys(place: Place, run: str) -> list[str]:
    """The keys of a run's plans, sorted, those of single files after all others."""
    found = (item.key for item in place.tables(f"runs/{run}/plans/"))
    return sorted(found, key=lambda key: (watched.is_plan(key), key))


class Plans:
    """Reads the plans of a run repeatedly. Those of single files never change, and are read only once."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._at: dict[str, int] = {}
        """Where the file of a plan that was read is in the arrays, by the plan's key."""
        self._files = _of_batches(())

    def read(self, plans: list[str]) -> Planned:
        """The union of the plans with these keys. Holds 24 bytes per file, and one plan at a time; of plans
        of single files also their keys. Raises InputError.
        """
        tables = [key for key in plans if not watched.is_plan(key)]
        single = [key for key in plans if watched.is_plan(key)]
        if new := [key for key in single if key not in self._at]:
            more = _of_batches(_batches(self._place, new, _SIZED))
            if len(more[0]) != len(new):
                raise InputError(f"a plan of {self._place.uri(new[0])} and others was removed: try again")
            self._at |= {key: number for number, key in enumerate(new, len(self._files[0]))}
            self._files = _joined(self._files, more)
        at = np.fromiter((self._at[key] for key in single), np.int64, len(single))
        of_tables = _of_batches(_batches(self._place, tables, _SIZED))
        names, sizes = _joined(of_tables, (self._files[0][at], self._files[1][at]))
        unique, first = np.unique(names.astype(np.uint64), return_index=True)
        return Planned(unique, sizes[first], first)


_Files = tuple[NDArray[Any], NDArray[np.int64]]
"""Digests and sizes, in the order of rows."""


def read(place: Place, plans: list[str]) -> Planned:
    """The union of the plans with these keys."""
    return Plans(place).read(plans)


def _joined(first: _Files, second: _Files) -> _Files:
    return np.concatenate([first[0], second[0]]), np.concatenate([first[1], second[1]])


def _of_batches(batches: Iterable[pa.RecordBatch]) -> _Files:
    names, sizes = [np.empty(0, "<u8")], [np.empty(0, np.int64)]
    for batch in batches:
        names.append(digests.of_uris(batch["uri"].to_pylist()))
        size = batch["size"]
        if "detect" in batch.schema.names:
            size = pc.add(size, pc.if_else(pc.is_valid(batch["detect"]), batch["detect_size"], 0))
        sizes.append(pc.fill_null(size, -1).to_numpy(zero_copy_only=False))
    return np.concatenate(names), np.concatenate(sizes)


def items(place: Place, plans: list[str], rows: NDArray[np.int64]) -> Iterator[Item]:
    """The files of the given rows (see Planned.row), which must be sorted; in the same order."""
    start = 0
    for batch in _batches(place, plans, ITEM_COLUMNS):
        low, high = np.searchsorted(rows, [start, start + len(batch)])
        if high > low:
            some = batch.take(pa.array(rows[low:high] - start))
            columns = [some[name].to_pylist() for name in some.schema.names if name != "dropped"]
            yield from map(Item, *columns)
        start += len(batch)


def _batches(place: Place, plans: list[str], columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    single = [key for key in plans if watched.is_plan(key)]
    for key in plans[: len(plans) - len(single)]:
        yield from _kept_rows(place, key, columns)
    for table in watched.plan_tables(place, single):
        names = _existing(columns, table.column_names)
        yield from table.select([*names, "dropped"]).combine_chunks().to_batches()


def _existing(columns: Sequence[str], names: Sequence[str]) -> list[str]:
    return [name for name in columns if name in names or name not in _LATER]


def _kept_rows(place: Place, key: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    body = place.get(key)
    if body is None:
        raise InputError(f"{place.uri(key)} was removed while the run was being read")
    try:
        with pq.ParquetFile(pa.BufferReader(body)) as file:
            names = _existing(columns, file.schema_arrow.names)
            for batch in file.iter_batches(columns=[*names, "dropped"]):
                yield batch.filter(pc.is_null(batch["dropped"]))
    except (pa.ArrowException, OSError, KeyError) as error:  # OSError: of a damaged page
        raise InputError(
            f"{place.uri(key)} is not a plan: {str(error).splitlines()[0]}; the "
            "`skyfan run` command that added it writes it again"
        ) from error
