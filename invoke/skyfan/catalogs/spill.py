"""Sorts the rows of many tables on disk: written in sorted chunks, read back by ranges of keys.

The key of a row is the HEALPix pixel of order 29 of its position. The key of a row without a position is its
id minus 2^63, a negative number, so that all rows have one order, which does not depend on the order of
reading.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import healpix
from .fitstable import Layout
from .ids import row_ids

CHUNK = 1 << 17
"""Maximum rows in memory before they are sorted and written; 270 bytes each, three times while sorting."""
FIRST = -(1 << 63)
"""The smallest key. Keys below 0 are of rows without a position."""
_BLOCK = 4096

Rows = NDArray[np.void]
Columns = dict[str, NDArray[Any]]


class Block(NamedTuple):
    """Rows of one layout, sorted by key and id."""

    keys: NDArray[np.int64]
    ids: NDArray[np.int64]
    inputs: NDArray[np.int32]
    """The number of the input of each row."""
    columns: Columns


@dataclass(frozen=True)
class Chunk:
    """Rows of one layout on disk, sorted by key."""

    layout: Layout
    path: Path
    keys: NDArray[np.int64]
    """(n,), memory-mapped."""

    @classmethod
    def open(cls, layout: Layout, path: Path) -> "Chunk":
        """The chunk with these files."""
        return cls(layout, path, np.memmap(path.with_suffix(".keys"), np.int64, "r"))

    def __reduce__(self) -> Any:
        """Of a chunk that is sent to another process only the names of its files are."""
        # A hash that another process has computed is none here: the layout goes without it.
        return Chunk.open, (Layout(self.layout.columns), self.path)

    def count_below(self, edges: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of rows with keys below each edge."""
        return np.searchsorted(self.keys, edges)

    def read(self, start: int, stop: int) -> tuple[Rows, NDArray[np.int32], NDArray[np.int64]]:
        """Rows `start` to `stop` (exclusive), the numbers (n, 2) of inputs and within them, and the keys."""
        dtype = self.layout.dtype
        count = stop - start
        rows = np.fromfile(self.path.with_suffix(".rows"), dtype, count, offset=start * dtype.itemsize)
        numbers = np.fromfile(self.path.with_suffix(".numbers"), np.int32, 2 * count, offset=start * 8)
        return rows, numbers.reshape(-1, 2), np.array(self.keys[start:stop])


@dataclass
class Spill:
    """Takes the rows of tables and writes sorted chunks to `folder`, with the memory of one chunk."""

    folder: Path
    ids: list[int] = field(default_factory=list)
    """Added to the number of a row, from 1, for its id, by the number of the input."""
    chunks: list[Chunk] = field(default_factory=list)
    _held: dict[Layout, list[tuple[int, Rows]]] = field(default_factory=dict)
    _count: int = 0

    def add(self, layout: Layout, rows: Rows, base: int) -> None:
        """Takes the rows of one input; `base` is the input's share of their ids."""
        if self._count + len(rows) > CHUNK:
            self.flush()
        if len(rows):
            self._held.setdefault(layout, []).append((len(self.ids), rows))
        self.ids.append(base)
        self._count += len(rows)

    def flush(self) -> None:
        """Writes the rows in memory, one chunk per layout."""
        while self._held:
            self._write(*self._held.popitem())
        self._count = 0

    def _write(self, layout: Layout, held: list[tuple[int, Rows]]) -> None:
        rows = _concatenate([part for _, part in held], layout)
        numbers = np.empty((len(rows), 2), np.int32)
        numbers[:, 0] = np.repeat([i for i, _ in held], [len(part) for _, part in held])
        numbers[:, 1] = np.concatenate([np.arange(1, len(part) + 1) for _, part in held])
        held.clear()
        keys = np.full(len(rows), -1, np.int64)
        if layout.position:
            keys = healpix.keys(*(rows[name].astype(np.float64) for name in layout.position))
        unplaced = keys < 0
        keys[unplaced] = row_ids(numbers[unplaced], self.ids) + FIRST
        order = np.argsort(keys, kind="stable")
        path = self.folder / f"{len(self.chunks):06}"
        with path.with_suffix(".rows").open("wb") as file:
            for start in range(0, len(order), _BLOCK):
                file.write(_take(rows, order[start : start + _BLOCK]).tobytes())
        numbers[order].tofile(path.with_suffix(".numbers"))
        keys[order].tofile(path.with_suffix(".keys"))
        self.chunks.append(Chunk.open(layout, path))


def take(chunks: Iterable[Chunk], start: int, stop: int, ids: list[int]) -> Iterator[Block]:
    """The rows with keys in [start, stop), one block per layout."""
    by_layout: dict[Layout, list[tuple[Rows, NDArray[np.int32], NDArray[np.int64]]]] = {}
    for chunk in chunks:
        low, high = chunk.count_below(np.array([start, stop], np.int64)).tolist()
        if high > low:
            by_layout.setdefault(chunk.layout, []).append(chunk.read(low, high))
    for layout, parts in by_layout.items():
        rows = _concatenate([part for part, _, _ in parts], layout)
        numbers = np.concatenate([part for _, part, _ in parts])
        keys = np.concatenate([part for _, _, part in parts])
        parts.clear()
        ident = row_ids(numbers, ids)
        order = np.lexsort((ident, keys))
        columns: Columns = {}
        for column in layout.columns:
            shape = (len(rows), column.length) if column.length else (len(rows),)
            columns[column.name] = np.empty(shape, column.kind)
        # In blocks, because each of the many columns would otherwise pass through the memory of all rows.
        for at in range(0, len(rows), _BLOCK):
            block = _take(rows, order[at : at + _BLOCK])
            for column in layout.columns:
                columns[column.name][at : at + _BLOCK] = column.values(block[column.name])
        yield Block(keys[order], ident[order], numbers[order, 0], columns)


def _concatenate(parts: list[Rows], layout: Layout) -> Rows:
    """Rows as bytes, because numpy would convert every number to the byte order of the machine."""
    whole = np.concatenate([part.view(f"V{layout.dtype.itemsize}") for part in parts])
    rows: Rows = whole.view(layout.dtype)
    return rows


def _take(rows: Rows, at: NDArray[np.intp]) -> Rows:
    """Selected rows as bytes, which is ten times faster than numpy's copy of single fields."""
    selected: Rows = rows.view(f"V{rows.dtype.itemsize}").take(at).view(rows.dtype)
    return selected
