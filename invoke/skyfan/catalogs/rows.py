"""Rows of catalogs on their way to partitions: sorted by key in chunks on disk, read back in slices.

A key is a source's HEALPix pixel of order 29. One without position has its SOURCE_ID less 2^63, a negative
number, so that both sort in one sequence that does not depend on the order of reading.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import sphere
from .fitstable import Layout

CHUNK = 1 << 17
"""Rows that are held before they are sorted and written; some 270 bytes each, three times while sorting."""
_BLOCK = 4096
FIRST = -(1 << 63)
"""The least key: keys below 0 are of sources without a position."""

Ids = NDArray[np.int64]
Rows = NDArray[np.void]
Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Chunk:
    """Rows of one layout on disk, ascending by key."""

    layout: Layout
    path: Path
    keys: NDArray[np.int64]
    """(n,), mapped from its file."""

    def below(self, edges: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many rows have keys below each edge."""
        return np.searchsorted(self.keys, edges)

    def read(self, start: int, stop: int) -> tuple[Rows, NDArray[np.int32], NDArray[np.int64]]:
        """Rows, the numbers of their images, and keys."""
        dtype = self.layout.dtype
        count = stop - start
        rows = np.fromfile(self.path.with_suffix(".rows"), dtype, count, offset=start * dtype.itemsize)
        image = np.fromfile(self.path.with_suffix(".image"), np.int32, count, offset=start * 4)
        return rows, image, np.array(self.keys[start:stop])


@dataclass
class Spill:
    """Takes rows of catalogs, gives sorted chunks. Its memory is that of a chunk, however many rows come."""

    folder: Path
    ids: list[int] = field(default_factory=list)
    """What is added to NUMBER of an image's sources for their SOURCE_ID, by the image's number."""
    chunks: list[Chunk] = field(default_factory=list)
    _held: dict[Layout, list[tuple[int, Rows]]] = field(default_factory=dict)
    _count: int = 0

    def add(self, layout: Layout, rows: Rows, base: int) -> None:
        """Takes the sources of one image; `base` is its part of their SOURCE_IDs."""
        if self._count + len(rows) > CHUNK:
            self.flush()
        if len(rows):
            self._held.setdefault(layout, []).append((len(self.ids), rows))
        self.ids.append(base)
        self._count += len(rows)

    def flush(self) -> None:
        """Writes what is held, sorted, a chunk for each layout."""
        while self._held:
            self._write(*self._held.popitem())
        self._count = 0

    def _write(self, layout: Layout, held: list[tuple[int, Rows]]) -> None:
        rows = _joined([part for _, part in held], layout)
        image = np.repeat(np.array([i for i, _ in held], np.int32), [len(part) for _, part in held])
        held.clear()
        keys = sphere.keys(rows["ALPHA_J2000"].astype(np.float64), rows["DELTA_J2000"].astype(np.float64))
        lost = keys < 0
        keys[lost] = source_ids(rows[lost], image[lost], self.ids) + FIRST
        order = np.argsort(keys, kind="stable")
        path = self.folder / f"{len(self.chunks):06}"
        with path.with_suffix(".rows").open("wb") as file:
            for start in range(0, len(order), _BLOCK):
                file.write(_taken(rows, order[start : start + _BLOCK]).tobytes())
        image[order].tofile(path.with_suffix(".image"))
        keys[order].tofile(path.with_suffix(".keys"))
        self.chunks.append(Chunk(layout, path, np.memmap(path.with_suffix(".keys"), np.int64, "r")))


def _joined(parts: list[Rows], layout: Layout) -> Rows:
    """Rows one after another. As bytes: numpy would turn the numbers of each to the machine's byte order."""
    whole = np.concatenate([part.view(f"V{layout.dtype.itemsize}") for part in parts])
    joined: Rows = whole.view(layout.dtype)
    return joined


def _taken(rows: Rows, at: NDArray[np.intp]) -> Rows:
    """Some rows. As bytes: numpy would copy each number of a row by itself, ten times as slowly."""
    some: Rows = rows.view(f"V{rows.dtype.itemsize}").take(at).view(rows.dtype)
    return some


def source_ids(rows: Rows, image: NDArray[np.int32], bases: Iterable[int]) -> Ids:
    """SOURCE_ID (n,), 0 to 2^63: the image's digest plus the source's NUMBER, modulo 2^63."""
    base = np.array(list(bases), np.uint64)[image]
    return ((base + rows["NUMBER"].astype(np.uint64)) & np.uint64((1 << 63) - 1)).astype(np.int64)


def take(chunks: Iterable[Chunk], start: int, stop: int, ids: list[int]) -> Iterator[Columns]:
    """For each layout its rows with keys in [start, stop): columns by name, sorted by key and SOURCE_ID.

    `_healpix_29` (the key), `SOURCE_ID` and `image` (its number) stand among them.
    """
    parts: dict[Layout, list[tuple[Rows, NDArray[np.int32], NDArray[np.int64]]]] = {}
    for chunk in chunks:
        low, high = chunk.below(np.array([start, stop], np.int64)).tolist()
        if high > low:
            parts.setdefault(chunk.layout, []).append(chunk.read(low, high))
    for layout, found in parts.items():
        rows = _joined([part for part, _, _ in found], layout)
        image = np.concatenate([part for _, part, _ in found])
        keys = np.concatenate([part for _, _, part in found])
        found.clear()
        ident = source_ids(rows, image, ids)
        order = np.lexsort((ident, keys))
        columns: Columns = {"_healpix_29": keys[order], "SOURCE_ID": ident[order], "image": image[order]}
        for column in layout.columns:
            shape = (len(rows), column.length) if column.length else (len(rows),)
            columns[column.name] = np.empty(shape, column.kind)
        # Block by block, or each of the many columns would walk through all of the rows' memory.
        for at in range(0, len(rows), _BLOCK):
            block = _taken(rows, order[at : at + _BLOCK])
            for column in layout.columns:
                columns[column.name][at : at + _BLOCK] = block[column.name]
        yield columns
