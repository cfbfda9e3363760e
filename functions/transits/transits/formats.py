"""The table of light-curve formats; formats.toml holds it, and says what each field means."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from .errors import NotALightCurveError, UnknownLightCurveError

_FILE = Path(__file__).with_name("formats.toml")
TIME, FLAGS = "TIME", "QUALITY"


@dataclass(frozen=True)
class Format:
    """One row of the table."""

    title: str
    cards: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    name: str = ""
    flux: str = ""
    error: str = ""
    bad: int = 0
    dump: int = 0
    source: str = ""

    def fits(self, header: Mapping[str, Any], columns: Collection[str]) -> bool:
        """Whether a file with this primary header and these columns has this format."""
        return all(
            text.lower() in str(header.get(card, "")).lower() for card, text in self.cards.items()
        ) and set(self.columns) <= set(columns)


@cache
def table() -> tuple[tuple[Format, ...], tuple[Format, ...]]:
    """The formats that are read, and those that are known and refused."""
    import tomllib

    document = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    known, refused = (
        tuple(Format(**{**row, "columns": tuple(row.get("columns", ()))}) for row in document[kind])
        for kind in ("format", "refused")
    )
    return known, refused


def format_of(name: str, header: Mapping[str, Any], columns: Collection[str]) -> Format:
    """The format of a file, from its primary header and the columns of its first table.

    Raises NotALightCurveError without a table, UnknownLightCurveError for what the table refuses or lacks.
    """
    known, refused = table()
    for row in known:
        if row.fits(header, columns):
            if TIME not in columns:
                raise UnknownLightCurveError(f"{name}: its light curve has no column {TIME}")
            return row
    titles = "; ".join(row.title for row in known)
    for row in refused:
        if row.fits(header, columns):
            raise UnknownLightCurveError(f"{name} is {row.title}; Transits reads {titles}")
    if TIME not in columns:
        raise NotALightCurveError(f"{name} is not a light curve: no table has a column {TIME}")
    origin = str(header.get("ORIGIN") or "unknown origin").strip()
    raise UnknownLightCurveError(
        f"{name} is a light curve of unknown format ({origin}; columns {', '.join(sorted(columns)[:8])}); "
        f"Transits reads {titles}"
    )
