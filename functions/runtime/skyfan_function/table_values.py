"""The columns and facts of a table, checked: what does not fit is refused by name, and nothing is cut."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skyfan_contract import ADDED_COLUMNS, quoted

from .errors import TableError
from .fits_table import Column

RA, DEC = "pos.eq.ra;meta.main", "pos.eq.dec;meta.main"
"""UCDs of the two columns that are the position of a row."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_PRINTABLE = re.compile(r"[ -~]*")


class Fact(NamedTuple):
    """One fact about the input: a card of the header, and a column of the table of inputs.

    ``name`` has up to 8 capitals, digits and _. ``value`` is a bool, a whole number, a float, an ASCII text,
    or None or NaN if it is not known.
    """

    name: str
    value: Any
    unit: str
    ucd: str
    meaning: str


def check_columns(columns: Iterable[Column]) -> None:
    """Raise TableError for columns that no table can have."""
    taken = {name.upper() for name in ADDED_COLUMNS}
    seen: set[str] = set()
    for column in columns:
        name = column.name
        if not _NAME.fullmatch(name):
            raise TableError(f"a column must be named by letters, digits and _, not {quoted(name)}")
        if name.upper() in taken:
            raise TableError(f"skyfan adds a column {name.upper()} itself: choose another name for {name}")
        if name.upper() in seen:
            raise TableError(f"two columns are named {name}, in capitals or not")
        seen.add(name.upper())
        try:
            _ = column.type
        except ValueError as error:
            raise TableError(
                f"{error}: one of L, B, I, J, K, E, D, or 16A, with a number for arrays"
            ) from None
        check_text(f"column {name}", column.unit, column.ucd, column.meaning)
    _check_position(columns)


def _check_position(columns: Iterable[Column]) -> None:
    for_ra, for_dec = ([c for c in columns if c.ucd == ucd] for ucd in (RA, DEC))
    if len(for_ra) != len(for_dec) or len(for_ra) > 1:
        raise TableError(f"a position is one column with the UCD {RA} and one with {DEC}, or there is none")
    for column in (*for_ra, *for_dec):
        if (column.kind, column.unit) != ("D", "deg"):
            raise TableError(f"{column.name} is of the position: its kind must be D and its unit deg")


def check_text(where: str, *texts: str) -> None:
    for text in texts:
        if not isinstance(text, str) or not _PRINTABLE.fullmatch(text):
            raise TableError(
                f"{where}: {quoted(text)} must be printable ASCII, for a FITS header holds no more"
            )


def values_of(column: Column, given: ArrayLike) -> NDArray[Any]:
    """The values of a column in the type of the file. Raises TableError if one does not fit."""
    kind, shape = column.type
    convert = _strings if column.kind.endswith("A") else _numbers
    try:
        with np.errstate(all="ignore"):
            values = convert(column, given, np.dtype(kind))
    except (ValueError, TypeError, OverflowError) as error:
        raise TableError(f"the column {column.name}, of kind {column.kind}: {error}") from None
    if values.size == 0 and values.ndim == 1:
        values = values.reshape((0, *shape))
    if values.shape[1:] != shape or values.ndim == 0:
        raise TableError(
            f"the column {column.name}, of kind {column.kind}, must have the shape {_shape(shape)}, "
            f"not {values.shape}"
        )
    return values


def _shape(cell: tuple[int, ...]) -> str:
    return f"(rows, {cell[0]})" if cell else "(rows,)"


def _numbers(column: Column, given: ArrayLike, kind: np.dtype[Any]) -> NDArray[Any]:
    is_float = kind.kind == "f"
    if isinstance(given, np.ma.MaskedArray) and np.ma.is_masked(given):
        if not is_float:
            raise ValueError("a masked value needs a float, which can be NaN")
        given = np.ma.filled(given.astype(float), np.nan)
    array = np.asarray(given)
    if is_float and array.dtype == object and not any(isinstance(value, str) for value in array.flat):
        array = array.astype(float)  # None is NaN
    if not array.size:
        return array.astype(kind)
    if kind.kind == "S":
        return np.where(_of_type(array, "b", "bools"), b"T", b"F")
    array = _of_type(array, "iuf", "numbers")
    cast = array.astype(kind)
    if is_float:
        bad = np.isinf(cast) & np.isfinite(array)
    else:
        bad = cast != array
        if array.dtype.kind == "u" and kind.kind == "i":  # compared as floats, which are not exact
            bad |= array > np.iinfo(kind).max
        elif array.dtype.kind == "f":  # 2**63 is a float that no K holds, and a cast says anything
            bad |= ~((array >= np.iinfo(kind).min) & (array < float(np.iinfo(kind).max) + 1))
    if bad.any():
        raise ValueError(f"it cannot hold {array[bad].flat[0]}")
    return cast


def _of_type(array: NDArray[Any], kinds: str, names: str) -> NDArray[Any]:
    if array.dtype.kind not in kinds:
        raise ValueError(f"{names} are needed, not values such as {quoted(array.flat[0])}")
    return array


def _strings(column: Column, given: ArrayLike, kind: np.dtype[Any]) -> NDArray[Any]:
    texts = np.asarray(given, dtype=object)
    if texts.ndim != 1:
        raise ValueError(f"a text per row is needed, not the shape {texts.shape}")
    encoded = [_encoded(text, kind.itemsize) for text in texts]
    return np.array(encoded, kind) if encoded else np.empty(0, kind)


def _encoded(text: object, most: int) -> bytes:
    if isinstance(text, bytes):
        text = text.decode("ascii", "backslashreplace")
    if not isinstance(text, str) or not _PRINTABLE.fullmatch(text):
        raise ValueError(f"{quoted(text)} is no text of printable ASCII, which is all that FITS holds")
    text = text.rstrip()  # as FITS has it: blanks at the end do not count
    if len(text) > most:
        raise ValueError(f"{quoted(text)} has {len(text)} characters")
    return text.encode()


def odd_words(columns: Iterable[Column], facts: Iterable[Fact] = ()) -> list[str]:
    """What is wrong with units and UCDs, a sentence for each; for tests, as it takes time."""
    from astropy import units
    from astropy.io.votable import ucd

    said = []
    described: list[Column | Fact] = [*columns, *facts]
    for one in described:
        try:
            units.Unit(one.unit, format="fits")
        except ValueError:
            said.append(f"{one.name}: {one.unit!r} is no unit of FITS")
        if not ucd.check_ucd(one.ucd, check_controlled_vocabulary=True):
            said.append(f"{one.name}: {one.ucd!r} is no UCD of the IVOA")
    return said
