"""A table as the result of process(): columns with units, UCDs and meanings, and facts about the input.

``skyfan collect`` merges the tables of a run into one data set, ``search`` and ``report`` read it: all they
know of a function is what its tables say.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, Self

import astropy
import numpy as np
from astropy.io import fits
from numpy.typing import ArrayLike, NDArray

from skyfan_contract import INPUT_COLUMNS, TABLE, VERSION, quoted

from .errors import ConfigurationError, TableError
from .event import Request
from .fits_table import OBSERVATION, Column, Settings, add_notes, dtype_of, identify, primary, to_bytes
from .handler import Job, Result
from .table_values import Fact, check_columns, check_text, odd_words, values_of

__all__ = ["OBSERVATION", "Column", "Fact", "Table", "observed", "odd_words"]

_KEY = re.compile(r"[A-Z][A-Z0-9_]{0,7}")
_DOUBT = re.compile(r"[A-Z][A-Z0-9_]*")
_SUFFIX = re.compile(r"\.[a-z0-9]+(\.[a-z0-9]+)*")
# Cards of a primary header that have a meaning already, and those that the runtime writes.
_OWN_CARDS = re.compile(
    r"SIMPLE|BITPIX|NAXIS\d*|EXTEND|END|COMMENT|HISTORY|CONTINUE|HIERARCH|XTENSION|LONGSTRN|DATE|CHECKSUM|"
    r"DATASUM|ORIGIN|SRCURI|SRCVER|RUN|V_.*|CONF(HASH|IG|SET)|DOUBTS|QUALITY|NCHIPS|S_REGION|F(ACT|UNIT|UCD|COMM)\d+"
)


@dataclass(frozen=True)
class Table:
    """The rows that a function makes of one input; process() returns it.

    Raises TableError where it is written if a value does not fit its column: nothing is cut or rounded but
    floats to the precision of their kind.
    """

    columns: Sequence[Column]
    """The same for every input of a run, for a table without rows, too."""
    rows: Mapping[str, ArrayLike]
    """By name of column: (n,), or (n, length) for an array in each row. None is NaN, in floats only."""
    facts: Sequence[Fact] = ()
    observation: Mapping[str, object] = field(default_factory=dict)
    """Cards of OBSERVATION, see observed(): skyfan adds INSTRUMENT, FILTER and MJD (of EXPSTART and EXPEND,
    MJD) to each row. S_REGION may be the outline of the input in STC-S: ``POLYGON ICRS ra dec …``."""
    notes: Sequence[str] = ()
    """For people: what was left out or guessed."""
    doubts: str = ""
    """Reasons to doubt the result, words in capitals separated by blanks."""
    name: str = "TABLE"
    """EXTNAME of the table: in capitals, what its rows are, such as CANDIDATES."""
    beside: Mapping[str, bytes] = field(default_factory=dict)
    """Further files by suffix, such as ".preview.png", which skyfan report shows."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions of further packages by name."""

    @classmethod
    def of_rows(cls, columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], **more: Any) -> Self:
        """A table of rows that are dicts, with a value for each column; ``more`` are the other fields."""
        names = [column.name for column in columns]
        for row in rows:
            if set(row) != set(names):
                odd = sorted(set(row) ^ set(names))
                raise TableError(
                    f"a row and the columns must have the same names; they differ in {', '.join(odd)}"
                )
        return cls(columns, {name: [row[name] for row in rows] for name in names}, **more)

    def to_result(self, job: Job[Any]) -> Result:
        """The FITS file. Raises TableError, and ConfigurationError if SKYFAN_OUTPUT does not end in TABLE."""
        if not job.output.endswith(TABLE):
            raise ConfigurationError(
                f"a table is a FITS file: SKYFAN_OUTPUT (Results in template.yaml) must end in {TABLE}; "
                f"it gives {job.output}"
            )
        rows = self._rows()
        stem = job.output.removesuffix(TABLE)
        outputs = {self._kind(suffix): f"{stem}{suffix}" for suffix in self.beside}
        summary = {
            "rows": len(rows),
            "doubts": self._doubts(),
            "notes": list(self.notes),
            "outputs": outputs,
        }
        body = to_bytes(self._header(job), self.name, tuple(self.columns), rows)
        return Result(body, summary, {f"{stem}{suffix}": content for suffix, content in self.beside.items()})

    def _rows(self) -> NDArray[np.void]:
        check_columns(self.columns)
        names = [column.name for column in self.columns]
        if odd := sorted(set(names) ^ set(self.rows)):
            where = "has no values" if odd[0] in names else "is not among the columns"
            raise TableError(f"{odd[0]} {where}: rows and columns must have the same names")
        values = {column.name: values_of(column, self.rows[column.name]) for column in self.columns}
        lengths = {name: len(array) for name, array in values.items()}
        if len(set(lengths.values())) > 1:
            said = ", ".join(f"{name} has {length}" for name, length in lengths.items())
            raise TableError(f"columns must have equally many rows: {said}")
        rows = np.empty(next(iter(lengths.values()), 0), dtype_of(self.columns))
        for name, array in values.items():
            rows[name] = array
        return rows

    def _header(self, job: Job[Any]) -> fits.Header:
        header = primary()
        allowed = {*OBSERVATION, "S_REGION"}
        if odd := sorted(set(self.observation) - allowed):
            raise TableError(f"observation: {odd[0]} is none of {', '.join(sorted(allowed))}: make it a fact")
        cards = {key: _card(key, value) for key, value in self.observation.items()}
        cards = {key: value for key, value in cards.items() if value is not None}
        versions = {"skyfan": VERSION, "numpy": np.__version__, "astropy": astropy.__version__}
        settings, what = settings_of(job.request), "table made by a function of skyfan"
        identify(header, what, job.source, job.request.run, settings, {**versions, **self.versions}, cards)
        header["DOUBTS"] = self._doubts()
        _add_facts(header, self.facts)
        add_notes(header, self.notes)
        return header

    def _doubts(self) -> str:
        words = self.doubts.split()
        if odd := next((word for word in words if not _DOUBT.fullmatch(word)), None):
            raise TableError(f"doubts must be words of capitals, digits and _, not {quoted(odd)}")
        return " ".join(words)

    @staticmethod
    def _kind(suffix: str) -> str:
        if not _SUFFIX.fullmatch(suffix) or suffix == TABLE:
            raise TableError(
                f"beside: {quoted(suffix)} is no suffix such as .preview.png, or that of the table"
            )
        return suffix.split(".")[1]


def observed(*headers: Mapping[str, Any]) -> dict[str, object]:
    """The cards of OBSERVATION that headers have; the first header that has one counts."""
    found: dict[str, object] = {}
    for name in OBSERVATION:
        for header in headers:
            value = header.get(name)
            if value is not None and not isinstance(value, fits.card.Undefined):
                found[name] = value
                break
    return found


def settings_of(request: Request) -> Settings:
    """What a request sets beyond input and output: the keys of its class, and the settings in `config`."""
    given: dict[str, Any] = {}
    default: dict[str, Any] = {}
    common = {f.name for f in fields(Request)} | {"outputs"}
    for one in fields(request):
        if one.name not in common:
            given |= _settings(one.name, getattr(request, one.name))
            unset = one.default_factory() if callable(one.default_factory) else one.default
            default |= _settings(one.name, unset)
    text = _json(given)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    changed = {key: value for key, value in given.items() if key not in default or value != default[key]}
    return Settings(digest, text, _json(changed))


def _settings(name: str, value: Any) -> dict[str, Any]:
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    return dict(value) if name == "config" and isinstance(value, Mapping) else {name: value}


def _json(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True, separators=(",", ":"), default=str)


def _add_facts(header: fits.Header, facts: Iterable[Fact]) -> None:
    """Write each fact as FACTn, FUNITn, FUCDn and FCOMMn, and as a card of its name if it is known."""
    seen: set[str] = set()
    for i, fact in enumerate(facts, start=1):
        where = f"fact {fact.name}"
        if not isinstance(fact.name, str) or not _KEY.fullmatch(fact.name):
            raise TableError(
                f"a fact must be named by up to 8 capitals, digits and _, not {quoted(fact.name)}"
            )
        if _OWN_CARDS.fullmatch(fact.name) or fact.name in OBSERVATION or fact.name.lower() in INPUT_COLUMNS:
            raise TableError(f"{fact.name} is a name of FITS or of skyfan: choose another for the fact")
        if fact.name in seen:
            raise TableError(f"two facts are named {fact.name}")
        seen.add(fact.name)
        check_text(where, fact.unit, fact.ucd, fact.meaning)
        if (value := _card(fact.name, fact.value)) is not None:
            header.append(_exact(fact.name, value) if isinstance(value, float) else (fact.name, value))
        header[f"FACT{i}"] = fact.name
        for key, text in (("FUNIT", fact.unit), ("FUCD", fact.ucd), ("FCOMM", fact.meaning)):
            if text:
                header[f"{key}{i}"] = text


def _exact(name: str, value: float) -> fits.Card:
    """The card of a float with all its digits, where astropy keeps to twenty characters."""
    digits, exponent, power = repr(value).upper().partition("E")
    text = f"{digits if '.' in digits else digits + '.0'}{exponent}{power}"
    return fits.Card.fromstring(f"{name:8}= {text:>20}".ljust(80))


def _card(name: str, value: Any) -> str | bool | int | float | None:
    """The value of a card. Raises TableError for one that a header cannot hold."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, str):
        check_text(name, value)
        return value.rstrip()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 1 << 63:
        return value
    if isinstance(value, float):
        if np.isinf(value):
            raise TableError(
                f"{name} is infinite: a header holds numbers only; None says that it is not known"
            )
        return None if np.isnan(value) else value
    raise TableError(f"{name} is {quoted(value)}: a header holds bools, numbers and texts")
