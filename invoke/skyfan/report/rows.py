"""The tables of any function in numbers: columns that people see first, and facts over time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..catalogs import dataset, kinds
from ..catalogs.dataset import DataSet
from .distribution import Distribution, Floats, Grid, distribution, grid
from .images import fact_fields

MAX_NUMBERS, MAX_FACTS = 6, 6
"""Columns and facts that are drawn."""
ROW_GROUPS = 64
"""Row groups of rows (16,384 each) whose values are read, at most."""
_PER_GROUP = 1 << 12
"""Rows of each of them that count, if not all are read."""
_GRID = (70, 45)


@dataclass(frozen=True)
class Pair:
    """Two columns against each other, or a fact over time."""

    name: str
    """Of the column or fact on the vertical axis."""
    x: str
    y: str
    """Labels with units."""
    cells: Grid


@dataclass(frozen=True)
class RowCharts:
    """What the page draws of rows and their inputs."""

    numbers: list[Distribution]
    """Of the columns that people see first."""
    pair: Pair | None
    """The second of them against the first."""
    facts: list[Distribution]
    over_time: list[Pair]
    """Facts against the start of the exposure, MJD."""


def read(found: DataSet, table: pa.Table) -> RowCharts:
    """Reads rows of the data set; `table` is its table of inputs."""
    fields = kinds.numbers(found.schema)[:MAX_NUMBERS]
    total = int(found.about["sources"]) + int(found.about["unplaced"])
    values = of_columns(found, [field.name for field in fields], unplaced=True)
    numbers = [
        made
        for field, column in zip(fields, values, strict=True)
        if (made := _distribution(field, column, max(total, len(column))))
    ]
    pair = None
    if len(fields) > 1 and (cells := grid(values[0], values[1], _GRID, from_zero=False)):
        pair = Pair(fields[1].name, _label(fields[0]), _label(fields[1]), cells)
    facts = [field for field in fact_fields(table.schema) if kinds.is_quantity(field)][:MAX_FACTS]
    began = _floats(table["t_min"])
    known = [
        made for field in facts if (made := _distribution(field, _floats(table[field.name]), len(table)))
    ]
    over_time = [
        Pair(field.name.upper(), "start of the exposure (MJD)", _label(field), cells)
        for field in facts
        if (cells := grid(began, _floats(table[field.name]), _GRID, from_zero=False))
    ]
    return RowCharts(numbers, pair, known, over_time)


def _distribution(field: pa.Field, values: Floats, total: int) -> Distribution | None:
    return distribution(
        values, field.name.upper(), _unit(field), total=total, integers=pa.types.is_integer(field.type)
    )


def _unit(field: pa.Field) -> str:
    return str((field.metadata or {}).get(b"unit", b"").decode())


def _label(field: pa.Field) -> str:
    unit = _unit(field)
    return f"{field.name.upper()} ({unit})" if unit else field.name.upper()


def _floats(column: pa.ChunkedArray) -> Floats:
    values: Floats = np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), np.float64)
    return values


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
