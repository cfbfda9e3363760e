"""Sources from wherever they lie to the table of one partition."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from . import rows
from .parts import Part
from .rows import Chunk, Columns
from .schema import FROM_IMAGE, HEALPIX


@dataclass(frozen=True)
class Gatherer:
    """All sources of a new data set: those read now, and those of the old one."""

    chunks: list[Chunk]
    ids: list[int]
    """The part of SOURCE_ID that is the image's, by the image's number."""
    images: pa.Table
    """Of the images read now, in the order of their numbers, the columns of FROM_IMAGE."""
    parts: list[Part]

    def below(self, edges: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many sources have keys below each edge."""
        total = np.zeros(len(edges), np.int64)
        for chunk in self.chunks:
            total += chunk.below(edges)
        for part in self.parts:
            total += part.below(edges)
        return total

    def table(self, start: int, stop: int, schema: pa.Schema) -> pa.Table:
        """The sources with keys in [start, stop), in the order of keys and SOURCE_ID."""
        found = list(self._tables(start, stop, schema))
        if len(found) == 1:
            return found[0]
        table = pa.concat_tables(found)
        found.clear()
        order = [name for name in (HEALPIX, "SOURCE_ID") if name in schema.names]
        return table.sort_by([(name, "ascending") for name in order])

    def _tables(self, start: int, stop: int, schema: pa.Schema) -> Iterator[pa.Table]:
        for columns in rows.take(self.chunks, start, stop, self.ids):
            yield pa.table(list(self._arrays(columns, schema)), schema=schema)
        for part in self.parts:
            table = part.table(start, stop, schema)
            if table is not None:
                yield table

    def _arrays(self, columns: Columns, schema: pa.Schema) -> Iterable[pa.Array]:
        image = pa.array(columns["image"])
        of_image = {field.name for field in FROM_IMAGE}
        for field in schema:
            if field.name in of_image:
                yield self.images[field.name].take(image)
            elif field.name not in columns:
                yield pa.nulls(len(image), field.type)
            elif pa.types.is_fixed_size_list(field.type):
                # pop: what has become Arrow's is not held twice
                yield pa.FixedSizeListArray.from_arrays(
                    pa.array(columns.pop(field.name).ravel()), type=field.type
                )
            else:
                yield pa.array(columns.pop(field.name))
