"""skyfan search: the rows within a circle, read from the partitions and row groups that overlap it."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from .. import files, plots
from ..errors import UsageError
from ..formatting import count
from ..tables import Tabular
from . import dataset, export, healpix, kinds, regions
from .dataset import DataSet
from .fitstable import DEC, RA
from .kinds import SHORT, SOURCES, Kind
from .schema import HEALPIX, described, string_lengths

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DISTANCE = pa.field(
    "DISTANCE",
    pa.float64(),
    metadata={
        "unit": "arcsec",
        "ucd": "pos.angDistance",
        "description": "Great-circle distance from the centre",
    },
)


@dataclass(frozen=True, repr=False)
class SearchResult(Tabular):
    """Rows within a circle, nearest first, or all rows, and how much was read to find them."""

    folder: Path
    """Of the data set."""
    table: pa.Table
    """DISTANCE (of a circle) and the selected columns, with units and UCDs in the metadata of the fields."""
    partitions: int
    """Partitions opened."""
    row_groups: int
    """Row groups read in them."""
    rows: int
    """Rows whose distance was computed."""
    kind: Kind = SOURCES
    """What the rows are."""
    position: tuple[str, str] | None = None
    """Columns of the position that all rows of the data set have."""

    def _table(self) -> pa.Table:
        return self.table

    def _summary(self) -> str:
        return count(len(self.table), self.kind.row)

    def write(self, path: str | Path) -> None:
        """Writes the rows to a file in the format of its suffix: export.SUFFIXES, or regions.SUFFIXES.

        Raises UsageError for another suffix, and for regions if a column is missing.
        """
        path = Path(path)
        export.check(path)
        if path.suffix not in regions.SUFFIXES:
            export.write(self.table, path)
            return
        if self.kind is not SOURCES:
            regions.write_points(self.table, path)
            return
        images = pq.read_table(self.folder / "images.parquet", columns=["uri", "scale"])
        scales = dict(zip(images["uri"].to_pylist(), images["scale"].to_pylist(), strict=True))
        regions.write(self.table, scales, path)

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """The positions of the rows, brighter ones larger. Raises UsageError without positions."""
        existing = self.table.column_names
        other = ("ALPHA_J2000", "DELTA_J2000")
        names = kinds.position(self.table.schema) or (other if set(other) <= set(existing) else None)
        if names is None:
            wanted = self.position or ("of a position",)
            raise UsageError(f"nothing to plot: search with the columns {' and '.join(wanted)}")
        magnitude = self.table["MAG_AUTO"].to_numpy() if "MAG_AUTO" in existing else None
        ra, dec = (self.table[name].to_numpy() for name in names)
        return plots.sky(axes, ra, dec, magnitude, title=self._summary())


def search(
    data: str | Path | DataSet, ra: float, dec: float, radius: float, columns: Iterable[str] | None = None
) -> SearchResult:
    """Finds the rows of a data set, or of that in a folder, within `radius` of a position; all in degrees.

    `columns` are names of columns (default: all), or SHORT. The position of a source is its windowed one.
    Raises UsageError if the data set or a column does not exist, the rows have no positions, or the data set
    has an older format.
    """
    existing = _existing(data)
    schema = existing.schema
    names = _selected(schema, columns)
    position = list(kinds.position(schema) or ())
    if not position:
        raise UsageError(
            f"the rows in {existing.folder} have no position: no columns of the table have the UCDs {RA} "
            f"and {DEC}; search without a circle for all of them"
        )
    ranges = healpix.circle(ra, dec, radius)
    tables, partitions, row_groups, rows = [], 0, 0, 0
    for partition in existing.partitions:
        if not overlap(ranges, partition.start, partition.stop - 1):
            continue
        partitions += 1
        with pq.ParquetFile(existing.folder / partition.path) as file:
            groups = [i for i in range(file.num_row_groups) if overlap(ranges, *key_range(file, i))]
            row_groups += len(groups)
            for group in groups:
                positions = file.read_row_group(group, columns=position)
                rows += len(positions)
                distance = healpix.separation(ra, dec, *(positions[name].to_numpy() for name in position))
                inside = np.flatnonzero(distance <= radius)
                if len(inside):
                    found = pa.array(distance[inside] * 3600)
                    table = file.read_row_group(group, columns=names or position).take(pa.array(inside))
                    tables.append(table.add_column(0, DISTANCE, found).select([DISTANCE.name, *names]))
    selected = pa.schema([DISTANCE, *(schema.field(name) for name in names)])
    table = pa.concat_tables([selected.empty_table(), *(part.cast(selected) for part in tables)])
    ids = existing.kind.id_column
    order = [("DISTANCE", "ascending"), *([(ids, "ascending")] if ids in names else [])]
    table = table.sort_by(order).replace_schema_metadata(described(selected, string_lengths(schema)).metadata)
    where = (position[0], position[1])
    return SearchResult(existing.folder, table, partitions, row_groups, rows, existing.kind, where)


def all_rows(
    data: str | Path | DataSet, columns: Iterable[str] | None = None, limit: int | None = None
) -> SearchResult:
    """All rows of a data set, or of that in a folder, or the first `limit`; memory is that of them.

    Those without a position come last.

    Raises UsageError as search() does.
    """
    existing = _existing(data)
    names = _selected(existing.schema, columns)
    lengths = string_lengths(existing.schema)
    selected = pa.schema([existing.schema.field(name) for name in names])
    table = existing.read(limit, names).replace_schema_metadata(described(selected, lengths).metadata)
    partitions, where = len(existing.partitions), kinds.position(existing.schema)
    return SearchResult(existing.folder, table, partitions, 0, 0, existing.kind, where)


def _existing(data: str | Path | DataSet) -> DataSet:
    if isinstance(data, DataSet):
        return data
    folder = Path(data)
    files.recover_folder(folder)
    existing = dataset.find(folder)
    if existing is None:
        raise UsageError(f"{folder} is not a data set: skyfan collect makes one")
    if existing.about["format"] != dataset.FORMAT:
        raise UsageError(f"{folder} has the format of another version of skyfan: collect its run again")
    return existing


def _selected(schema: pa.Schema, columns: Iterable[str] | None) -> list[str]:
    existing = [name for name in schema.names if name != HEALPIX]
    if columns is None:
        return existing
    if columns is SHORT:
        return kinds.shown(schema)
    selected = list(dict.fromkeys(name for name in columns if name != DISTANCE.name))
    if unknown := [name for name in selected if name not in schema.names]:
        folded = {name.upper(): name for name in existing}
        close = [folded[n] for name in unknown for n in get_close_matches(name.upper(), folded, 1)]
        hint = f": is {', '.join(close)} meant?" if close else f"; choose from {', '.join(existing)}"
        raise UsageError(f"unknown column {', '.join(unknown)}{hint}")
    return selected


def overlap(ranges: NDArray[np.int64], first: int, last: int) -> bool:
    """Whether any of the ranges (n, 2) contains a key from `first` to `last`, both inclusive."""
    at = int(np.searchsorted(ranges[:, 1], first, side="right"))
    return at < len(ranges) and bool(ranges[at, 0] <= last)


def key_range(file: pq.ParquetFile, group: int) -> tuple[int, int]:
    """First and last key of a row group."""
    statistics = file.metadata.row_group(group).column(0).statistics
    return statistics.min, statistics.max
