"""Random tables of functions, for properties: any columns, any values that fit, facts and positions."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from skyfan_contract import ADDED_COLUMNS
from skyfan_function.table import Column, Fact, Table
from skyfan_function.table_values import DEC, RA

_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8)
_TAKEN = {*ADDED_COLUMNS, "RA_ROW", "DEC_ROW"}
_NAMES = st.from_regex(r"[A-Z][A-Z0-9_]{0,12}", fullmatch=True).filter(lambda name: name not in _TAKEN)
_TYPES = {"L": "?", "B": "u1", "I": "i2", "J": "i4", "K": "i8", "E": "f4", "D": "f8"}
_VALUES: Any = st.one_of(
    st.booleans(),
    st.integers(-(2**62), 2**62),
    st.floats(allow_infinity=False, allow_nan=False),
    _TEXT.map(str.rstrip),
)


@dataclass(frozen=True)
class Made:
    """A table, and the values that readers must find, by column."""

    table: Table
    expected: dict[str, Any]


@st.composite
def schemas(draw: st.DrawFn, most: int = 6) -> tuple[Column, ...]:
    """Columns, half the time with a position."""
    names = draw(st.lists(_NAMES, min_size=1, max_size=most, unique=True))
    columns = []
    for name in names:
        code = draw(st.sampled_from([*_TYPES, "A"]))
        count = draw(st.sampled_from(["1", "8"] if code == "A" else ["", "1", "3"]))
        meaning, unit = draw(_TEXT), draw(st.sampled_from(["", "d", "mag", "electron/s"]))
        ucd = draw(st.sampled_from(["", "time.period", "phot.mag"]))
        columns.append(Column(name, f"{count}{code}", unit, ucd, meaning.strip(), draw(st.booleans())))
    if draw(st.booleans()):
        columns += [Column("RA_ROW", "D", "deg", RA, "ra"), Column("DEC_ROW", "D", "deg", DEC, "dec")]
    return tuple(columns)


@st.composite
def tables(draw: st.DrawFn, columns: tuple[Column, ...] | None = None) -> Made:
    """A table of up to 8 rows, of these or of any columns."""
    columns = draw(schemas()) if columns is None else columns
    number = draw(st.integers(0, 8))
    values = {column.name: draw(_cells(column, number)) for column in columns}
    names = draw(st.lists(st.sampled_from([f"FACT_{c}" for c in "ABC"]), unique=True))
    facts = [Fact(name, draw(_VALUES), "", "", draw(_TEXT).strip()) for name in names]
    return Made(Table(columns, values, facts), {name: np.array(array) for name, array in values.items()})


def _cells(column: Column, number: int) -> Any:
    if column.name in ("RA_ROW", "DEC_ROW"):
        most = 360 if column.name == "RA_ROW" else 90
        degrees = st.floats(0, most, exclude_max=True) | st.just(np.nan)
        return st.lists(degrees, min_size=number, max_size=number)
    if column.kind.endswith("A"):
        texts = _TEXT.map(lambda text: text[: int(column.kind[:-1])].rstrip())
        return st.lists(texts, min_size=number, max_size=number)
    count = column.kind[:-1]
    shape = (number, int(count)) if count else (number,)
    return npst.arrays(_TYPES[column.kind[-1]], shape, elements=_elements(column.kind[-1]))


def _elements(code: str) -> Any:
    if code not in "ED":
        return None
    return st.floats(width=32 if code == "E" else 64, allow_infinity=False)
