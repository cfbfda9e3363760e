"""Rows of the data set that is there, on their way into the next one."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from .pixels import Pixel
from .rows import FIRST
from .schema import HEALPIX
from .store import UNPLACED, Store


@dataclass(frozen=True)
class Part:
    """A partition of the old data set, or its sources without position, less those of images that changed."""

    path: Path
    start: int
    stop: int
    """The keys that it can hold: from, and up to."""
    rows: int
    """Those that are kept."""
    gone: frozenset[str]
    """Images whose sources are not kept; empty where all are."""
    pixel: Pixel | None
    """None for sources without position."""

    def below(self, edges: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many of its rows have keys below each edge. Keys are read only for edges inside it."""
        counts = np.where(edges >= self.stop, self.rows, 0)
        inside = (edges > self.start) & (edges < self.stop)
        if inside.any():
            columns = [self._key, "IMAGE"] if self.gone else [self._key]
            counts[inside] = np.searchsorted(self._keys(self._read(columns)), edges[inside])
        return counts

    def table(self, start: int, stop: int, schema: pa.Schema) -> pa.Table | None:
        """Its rows with keys in [start, stop), with the columns of `schema`; None where there are none."""
        if stop <= self.start or start >= self.stop:
            return None
        table = self._read(None)
        low, high = np.searchsorted(self._keys(table), [start, stop])
        table = table.slice(low, high - low)
        for field in schema:
            if field.name not in table.column_names:
                table = table.append_column(field, pa.nulls(len(table), field.type))
        return table.select(schema.names).cast(schema) if len(table) else None

    @property
    def _key(self) -> str:
        return HEALPIX if self.pixel else "SOURCE_ID"

    def _keys(self, table: pa.Table) -> NDArray[np.int64]:
        keys: NDArray[np.int64] = table[self._key].to_numpy()
        return keys if self.pixel else keys + FIRST

    def _read(self, columns: list[str] | None) -> pa.Table:
        table = pq.read_table(self.path, columns=columns, partitioning=None)
        return table.filter(_kept(table["IMAGE"], self.gone)) if self.gone else table


def parts(store: Store, gone: frozenset[str]) -> Iterator[Part]:
    """All parts of a data set. `gone` are the images whose sources are to be left out."""
    for pixel in store.pixels:
        yield _part(store.folder / pixel.path, pixel.start, pixel.stop, pixel.rows, gone, pixel)
    path = store.folder / UNPLACED
    if path.exists():
        yield _part(path, FIRST, 0, pq.read_metadata(path).num_rows, gone, None)


def _part(path: Path, start: int, stop: int, rows: int, gone: frozenset[str], pixel: Pixel | None) -> Part:
    if gone:
        image = pq.read_table(path, columns=["IMAGE"], read_dictionary=["IMAGE"], partitioning=None)["IMAGE"]
        kept = pc.sum(_kept(image, gone)).as_py() or 0
        if kept < rows:
            return Part(path, start, stop, kept, gone, pixel)
    return Part(path, start, stop, rows, frozenset(), pixel)


def _kept(image: pa.ChunkedArray, gone: frozenset[str]) -> pa.ChunkedArray:
    return pc.invert(pc.is_in(image.cast(pa.string()), value_set=pa.array(sorted(gone), pa.string())))
