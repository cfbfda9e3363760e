"""All sources to the partitions of a new data set."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from . import pixels, schema, store
from .gather import Gatherer
from .parts import Part
from .pixels import Pixel
from .rows import FIRST


def partitions(
    gatherer: Gatherer, columns: pa.Schema, folder: Path, limit: int, *, link: bool
) -> Iterator[tuple[Pixel, int]]:
    """Writes the partitions; gives each, and how many there will be. `link` takes over equal ones."""
    there = {part.pixel: part for part in gatherer.parts if part.pixel and link and not part.gone}
    leaves = list(pixels.partitions(gatherer.below, limit))
    for pixel in leaves:
        # The same pixel with as many rows: none was added, none taken away.
        if pixel in there:
            _take_over(there[pixel], folder / pixel.path)
        else:
            store.write(gatherer.table(pixel.start, pixel.stop, columns), folder / pixel.path)
        yield pixel, len(leaves)


def unplaced(gatherer: Gatherer, columns: pa.Schema, folder: Path, limit: int) -> int:
    """Writes the sources without position, if there are any, `limit` at a time; gives their number."""
    found = list(pixels.ranges(gatherer.below, FIRST, 0, limit))
    if not found:
        return 0
    columns = schema.without_healpix(columns)
    path = folder / store.UNPLACED
    with store.writer(path, columns) as file:
        for start, stop in found:
            file.write_table(gatherer.table(start, stop, columns), row_group_size=store.ROW_GROUP)
    return int(pq.read_metadata(path).num_rows)


def _take_over(part: Part, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(part.path, path)
    except OSError:  # a file system without hard links
        shutil.copyfile(part.path, path)
