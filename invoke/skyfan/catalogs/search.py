"""skyfan search: the sources within a circle, from the partitions and row groups that it touches."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..errors import UsageError
from . import sphere, store, swap
from .schema import described

DISTANCE = pa.field(
    "DISTANCE",
    pa.float64(),
    metadata={
        "unit": "arcsec",
        "ucd": "pos.angDistance",
        "description": "Great-circle distance from the centre",
    },
)
_POSITION = ["ALPHA_J2000", "DELTA_J2000"]


@dataclass(frozen=True)
class Found:
    """Sources within a circle, the nearest first, and what was read to find them."""

    table: pa.Table
    """DISTANCE, then the columns that were asked for, with units and UCDs in the fields' metadata."""
    partitions: int
    """Partitions opened."""
    row_groups: int
    """Row groups read in them."""
    rows: int
    """Rows whose position was looked at."""


def search(
    folder: str | Path, ra: float, dec: float, radius: float, columns: Iterable[str] | None = None
) -> Found:
    """Finds the sources of a data set within `radius` of a position; all in degrees.

    `columns` are names of columns, all of them if not given. Sources are as far as their ALPHA_J2000 and
    DELTA_J2000 say, by the great circle. Raises UsageError where there is no data set or no such column.
    """
    folder = Path(folder)
    swap.recover(folder)
    there = store.find(folder)
    if there is None:
        raise UsageError(f"there is no data set {folder}: skyfan collect makes one")
    schema = there.schema
    names = _chosen(schema, columns)
    ranges = sphere.circle(ra, dec, radius)
    found, partitions, row_groups, rows = [], 0, 0, 0
    for pixel in there.pixels:
        if not _touches(ranges, pixel.start, pixel.stop - 1):
            continue
        partitions += 1
        with pq.ParquetFile(there.folder / pixel.path) as file:
            groups = [i for i in range(file.num_row_groups) if _touches(ranges, *_keys(file, i))]
            row_groups += len(groups)
            for group in groups:
                positions = file.read_row_group(group, columns=_POSITION)
                rows += len(positions)
                distance = sphere.separation(ra, dec, *(positions[name].to_numpy() for name in _POSITION))
                at = np.flatnonzero(distance <= radius)
                if len(at):
                    table = file.read_row_group(group, columns=names).select(names).take(pa.array(at))
                    found.append(table.add_column(0, DISTANCE, pa.array(distance[at] * 3600)))
    wanted = pa.schema([DISTANCE, *(schema.field(name) for name in names)])
    table = pa.concat_tables([wanted.empty_table(), *(part.cast(wanted) for part in found)])
    order = [("DISTANCE", "ascending"), *([("SOURCE_ID", "ascending")] if "SOURCE_ID" in names else [])]
    table = table.sort_by(order).replace_schema_metadata(described(wanted).metadata)
    return Found(table, partitions, row_groups, rows)


def _chosen(schema: pa.Schema, columns: Iterable[str] | None) -> list[str]:
    there = [name for name in schema.names if name != "_healpix_29"]
    if columns is None:
        return there
    chosen = list(dict.fromkeys(name for name in columns if name != DISTANCE.name))
    if unknown := [name for name in chosen if name not in schema.names]:
        raise UsageError(f"there is no column {', '.join(unknown)}; there are: {', '.join(there)}")
    return chosen


def _touches(ranges: NDArray[np.int64], first: int, last: int) -> bool:
    """Whether any range holds a key from first to last, both included."""
    at = int(np.searchsorted(ranges[:, 1], first, side="right"))
    return at < len(ranges) and bool(ranges[at, 0] <= last)


def _keys(file: pq.ParquetFile, group: int) -> tuple[int, int]:
    statistics = file.metadata.row_group(group).column(0).statistics
    return statistics.min, statistics.max
