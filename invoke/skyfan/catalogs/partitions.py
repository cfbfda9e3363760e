"""Writes the partitions of a data set from new sources and from the partitions of the existing data set."""

import os
import pickle
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from .. import files
from ..workers import Workers
from . import dataset, healpix, kinds, spill
from .dataset import UNPLACED, DataSet, Partition
from .healpix import FINEST
from .kinds import Kind
from .schema import HEALPIX, array, from_input, unknown, without_healpix
from .spill import FIRST, Block, Chunk

CountBelow = Callable[[NDArray[np.int64]], NDArray[np.int64]]
"""Number of rows with keys below each of several edges."""


@dataclass(frozen=True)
class ExistingPart:
    """A partition of the existing data set, or its unplaced sources, without the sources of some images."""

    path: Path
    start: int
    stop: int
    """Range of possible keys; `stop` is exclusive."""
    rows: int
    """Number of rows that are kept."""
    removed: frozenset[str]
    """Images whose sources are not kept; empty if all rows are."""
    partition: Partition | None
    """None for unplaced sources."""
    kind: Kind

    def count_below(self, edges: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of kept rows with keys below each edge. Reads keys only for edges inside its range."""
        counts = np.where(edges >= self.stop, self.rows, 0)
        is_inside = (edges > self.start) & (edges < self.stop)
        if is_inside.any():
            columns = [self._key, self.kind.uri_column] if self.removed else [self._key]
            counts[is_inside] = np.searchsorted(self._keys(self._read(columns)), edges[is_inside])
        return counts

    def table(self, start: int, stop: int, schema: pa.Schema) -> pa.Table | None:
        """Kept rows with keys in [start, stop), with the columns of `schema`; None if there are none."""
        if stop <= self.start or start >= self.stop:
            return None
        table = self._read(None)
        low, high = np.searchsorted(self._keys(table), [start, stop])
        table = table.slice(low, high - low)
        for field in schema:
            if field.name not in table.column_names:
                table = table.append_column(field, unknown(len(table), field.type))
        return table.select(schema.names).cast(schema) if len(table) else None

    @property
    def _key(self) -> str:
        return HEALPIX if self.partition else self.kind.id_column

    def _keys(self, table: pa.Table) -> NDArray[np.int64]:
        keys: NDArray[np.int64] = table[self._key].to_numpy()
        return keys if self.partition else keys + FIRST

    def _read(self, columns: list[str] | None) -> pa.Table:
        table = pq.read_table(self.path, columns=columns, partitioning=None)
        return table.filter(_is_kept(table[self.kind.uri_column], self.removed)) if self.removed else table


def existing_parts(existing: DataSet, removed: frozenset[str]) -> Iterator[ExistingPart]:
    """All parts of a data set. `removed` are the inputs whose rows are not kept."""
    kind = kinds.of_schema(existing.schema)
    for partition in existing.partitions:
        path = existing.folder / partition.path
        yield _existing_part(path, partition.start, partition.stop, partition.rows, removed, partition, kind)
    path = existing.folder / UNPLACED
    if path.exists():
        yield _existing_part(path, FIRST, 0, pq.read_metadata(path).num_rows, removed, None, kind)


def _existing_part(
    path: Path,
    start: int,
    stop: int,
    rows: int,
    removed: frozenset[str],
    partition: Partition | None,
    kind: Kind,
) -> ExistingPart:
    if removed:
        name = kind.uri_column
        uris = pq.read_table(path, columns=[name], read_dictionary=[name], partitioning=None)[name]
        kept = pc.sum(_is_kept(uris, removed)).as_py() or 0
        if kept < rows:
            return ExistingPart(path, start, stop, kept, removed, partition, kind)
    return ExistingPart(path, start, stop, rows, frozenset(), partition, kind)


def _is_kept(images: pa.ChunkedArray, removed: frozenset[str]) -> pa.ChunkedArray:
    return pc.invert(pc.is_in(images.cast(pa.string()), value_set=pa.array(sorted(removed), pa.string())))


@dataclass(frozen=True)
class Sources:
    """All sources of the new data set: those of catalogs read now, and those of the existing data set."""

    chunks: list[Chunk]
    ids: list[int]
    """The input's share of the ids of its rows, by the number of the input."""
    inputs: pa.Table
    """The columns of from_input() of the inputs read now, in the order of their numbers."""
    existing: list[ExistingPart]
    kind: Kind

    def count_below(self, edges: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of sources with keys below each edge."""
        total = np.zeros(len(edges), np.int64)
        for chunk in self.chunks:
            total += chunk.count_below(edges)
        for part in self.existing:
            total += part.count_below(edges)
        return total

    def table(self, start: int, stop: int, schema: pa.Schema) -> pa.Table:
        """The rows with keys in [start, stop), sorted by key and id."""
        tables = list(self._tables(start, stop, schema))
        if len(tables) == 1:
            return tables[0]
        table = pa.concat_tables(tables)
        tables.clear()
        order = [name for name in (HEALPIX, self.kind.id_column) if name in schema.names]
        return table.sort_by([(name, "ascending") for name in order])

    def _tables(self, start: int, stop: int, schema: pa.Schema) -> Iterator[pa.Table]:
        for block in spill.take(self.chunks, start, stop, self.ids):
            yield pa.table(list(self._arrays(block, schema)), schema=schema)
        for part in self.existing:
            table = part.table(start, stop, schema)
            if table is not None:
                yield table

    def _arrays(self, block: Block, schema: pa.Schema) -> Iterable[pa.Array]:
        number = pa.array(block.inputs)
        from_inputs = {field.name for field in from_input(self.kind)}
        added = {HEALPIX: block.keys, self.kind.id_column: block.ids}
        for field in schema:
            if field.name in from_inputs:
                yield self.inputs[field.name].take(number)
            elif field.name in added:
                yield pa.array(added[field.name])
            elif field.name not in block.columns:
                yield unknown(len(number), field.type)
            else:
                # pop, so that no column is in memory twice
                yield array(block.columns.pop(field.name), field.type)


@dataclass(frozen=True)
class Job:
    """All that decides about the rows of a partition."""

    sources: Sources
    columns: pa.Schema
    folder: Path

    def __reduce__(self) -> Any:
        # A pickled schema may have its metadata in another order, and files would have other bytes.
        return Job._made, (self.sources, self.columns.serialize().to_pybytes(), self.folder)

    @staticmethod
    def _made(sources: Sources, columns: bytes, folder: Path) -> "Job":
        return Job(sources, pa.ipc.read_schema(pa.BufferReader(columns)), folder)

    def write(self, partition: Partition) -> None:
        """Writes one partition, whole or not at all."""
        table = self.sources.table(partition.start, partition.stop, self.columns)
        path = self.folder / partition.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.replace(path) as part:
            dataset.write_partition(table, part)


@lru_cache(maxsize=1)
def _job(path: Path) -> Job:
    job: Job = pickle.loads(path.read_bytes())
    return job


def write_piece(path: Path, partition: Partition) -> None:
    """A piece for a worker: writes one partition of the job in a file, which no other job ever has."""
    _job(path).write(partition)


def write_partitions(
    job: Job, limit: int, workers: Workers | None, *, reuse: bool
) -> Iterator[tuple[Partition, int]]:
    """Writes all partitions; yields each with their total number, in any order if `workers` write them.

    `reuse` links partitions whose rows have not changed instead of writing them; the columns must be equal.
    """
    sources, folder = job.sources, job.folder
    unchanged = {
        part.partition: part for part in sources.existing if part.partition and reuse and not part.removed
    }
    partitions = list(split(sources.count_below, limit))
    waiting = []
    for partition in partitions:
        # The same pixel with the same number of rows, none of them removed: nothing was added either.
        if partition in unchanged:
            _link(unchanged[partition].path, folder / partition.path)
        elif workers:
            waiting.append(partition)
            continue
        else:
            job.write(partition)
        yield partition, len(partitions)
    if workers and waiting:
        path = folder.with_name(f"job-{uuid4().hex}.pickle")
        path.write_bytes(pickle.dumps(job, pickle.HIGHEST_PROTOCOL))
        for number, _ in workers.map(write_piece, [(path, partition) for partition in waiting]):
            yield waiting[number], len(partitions)
        path.unlink()


def write_unplaced(sources: Sources, columns: pa.Schema, folder: Path, limit: int) -> int:
    """Writes the sources without a position, if any, `limit` at a time; returns their number."""
    ranges = list(split_range(sources.count_below, FIRST, 0, limit))
    if not ranges:
        return 0
    columns = without_healpix(columns)
    path = folder / UNPLACED
    with dataset.writer(path, columns) as file:
        for start, stop in ranges:
            file.write_table(sources.table(start, stop, columns), row_group_size=dataset.ROW_GROUP)
    return int(pq.read_metadata(path).num_rows)


def _link(existing: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(existing, path)
    except OSError:  # a file system without hard links
        shutil.copyfile(existing, path)


def split(count_below: CountBelow, limit: int) -> Iterator[Partition]:
    """The partitions, in the order of keys. A pixel with more than `limit` rows is split into four."""
    yield from _split(count_below, limit, 0, np.arange(13))


def _split(count_below: CountBelow, limit: int, order: int, pixels: NDArray[np.int64]) -> Iterator[Partition]:
    edges = pixels.astype(np.int64) << (2 * (healpix.ORDER - order))
    counts = np.diff(count_below(edges))
    for pixel, rows in zip(pixels[:-1].tolist(), counts.tolist(), strict=True):
        if rows > limit and order < FINEST:
            yield from _split(count_below, limit, order + 1, 4 * pixel + np.arange(5))
        elif rows:
            yield Partition(order, pixel, rows)


def split_range(count_below: CountBelow, start: int, stop: int, limit: int) -> Iterator[tuple[int, int]]:
    """Ranges of keys within [start, stop) with up to `limit` rows each; ranges without rows are left out."""
    low, high = count_below(np.array([start, stop])).tolist()
    if high - low <= limit or stop - start == 1:
        if high > low:
            yield start, stop
        return
    middle = (start + stop) // 2
    yield from split_range(count_below, start, middle, limit)
    yield from split_range(count_below, middle, stop, limit)
