"""The tables of any function in numbers: columns that people see first, and facts over time."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..catalogs import kinds
from ..catalogs.dataset import DataSet
from . import sample
from .distribution import Distribution, Floats, Grid, distribution, grid
from .images import fact_fields

MAX_NUMBERS, MAX_FACTS = 6, 6
"""Columns and facts that are drawn."""
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
    values = sample.of_columns(found, [field.name for field in fields], unplaced=True)
    numbers = [
        made
        for field, column in zip(fields, values, strict=True)
        if (made := _distribution(field, column, max(total, len(column))))
    ]
    pair = None
    if len(fields) > 1 and (cells := grid(values[0], values[1], _GRID, from_zero=False)):
        pair = Pair(fields[1].name, _label(fields[0]), _label(fields[1]), cells)
    facts = [field for field in fact_fields(table.schema) if _is_number(field)][:MAX_FACTS]
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


def _is_number(field: pa.Field) -> bool:
    return bool(pa.types.is_integer(field.type) or pa.types.is_floating(field.type))


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
