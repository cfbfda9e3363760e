"""Values of columns of a data set, or of a sample in which each row is as likely as any other."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..catalogs import dataset
from ..catalogs.dataset import DataSet
from .distribution import Floats

ROW_GROUPS = 64
"""Row groups of rows (16,384 each) whose values are read, at most."""
_PER_GROUP = 1 << 12
"""Rows of each of them that count, if not all are read."""


def of_columns(found: DataSet, columns: Sequence[str], *, unplaced: bool) -> Floats:
    """Values (columns, n), those of rows without a position too if `unplaced`.

    A row group holds the rows of one place on the sky. So groups are chosen at equal steps through all rows,
    which makes large ones likelier, and as many rows of each count.
    """
    parts = [(found.folder / part.path, part.rows) for part in found.partitions]
    if unplaced and (number := int(found.about["unplaced"])):
        parts.append((found.folder / dataset.UNPLACED, number))
    rows = np.array([number for _, number in parts], np.int64)
    groups = -(-rows // dataset.ROW_GROUP)
    is_sample = int(groups.sum()) > ROW_GROUPS
    ends = np.cumsum(rows)
    chosen: dict[int, list[int]] = {
        number: list(range(count)) for number, count in enumerate(groups.tolist())
    }
    if is_sample:
        chosen = {}
        for row in ((np.arange(ROW_GROUPS) + 0.5) / ROW_GROUPS * ends[-1]).astype(int).tolist():
            part = int(np.searchsorted(ends, row, side="right"))
            within = row - int(ends[part] - rows[part])
            chosen.setdefault(part, []).append(within // dataset.ROW_GROUP)
    each = max(1, min(_PER_GROUP, dataset.ROW_GROUP, int(rows.sum()) // ROW_GROUPS))
    values = [np.empty((len(columns), 0))]
    for group in _groups({parts[part][0]: numbers for part, numbers in chosen.items()}, columns):
        spread = np.linspace(0, group.shape[1] - 1, each).astype(int)
        values.append(group[:, spread] if is_sample else group)
    return np.concatenate(values, axis=1)


def _groups(chosen: dict[Path, list[int]], columns: Sequence[str]) -> Iterator[Floats]:
    for path, numbers in chosen.items():
        with pq.ParquetFile(path) as file:
            for number in numbers:
                read = file.read_row_group(number, columns=list(columns))
                yield np.stack([_floats(read[name]) for name in columns])


def _floats(column: pa.ChunkedArray) -> Floats:
    """Null is NaN."""
    values: Floats = column.cast(pa.float64(), safe=False).to_numpy()
    return values
