"""The table of instruments: what the pixels, flags and cards of each mean. instruments.toml holds it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .pixels import PAIR

_FILE = Path(__file__).with_name("instruments.toml")
_KEYS = ("TELESCOP", "INSTRUME", "DETECTOR")


@dataclass(frozen=True)
class Instrument:
    """One row of the table; instruments.toml says what each field means."""

    name: str
    """TELESCOP, INSTRUME and DETECTOR as far as the row has them; empty for the default."""
    good: int
    flags_known: bool
    saturated: int
    per: str
    gain_cards: tuple[tuple[str, ...], ...]
    exposure: tuple[str, ...]
    second: float
    counting: bool
    cosmic_rays: bool
    source: str
    gain: float | None = None
    read_time: str = ""
    photflam: tuple[str, ...] = ()
    level: float | None = None
    box: tuple[str, ...] = ()
    zeropoint: float | None = None
    system: str = "AB"
    apertures: tuple[float, ...] = ()
    pair: tuple[float, ...] = ()
    stars: tuple[float, ...] = ()
    bad_frames: int | None = None
    science: tuple[int, ...] = ()

    def circles(self, scale: float | None) -> tuple[float, float]:
        """Radii in pixels of the circles of the concentration index; ``scale`` in arcsec per pixel."""
        if len(self.pair) != 2 or scale is None:
            return PAIR
        return self.pair[0] / scale, self.pair[1] / scale


@cache
def table() -> tuple[Instrument, ...]:
    """All rows, the default one last."""
    import tomllib

    document = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return tuple(_row(document["default"], row) for row in [*document["instrument"], {}])


@cache
def instrument(telescope: str, name: str, detector: str) -> Instrument:
    """The row for the values of TELESCOP, INSTRUME and DETECTOR in a header, in any case; else the default.

    A header without TELESCOP is taken for one of the telescope whose instrument it names.
    """
    values = tuple(value.strip().upper() for value in (telescope, name, detector))
    found = [row for row in table() if row.name and _matches(row.name.split("/"), values)]
    return max(found, key=lambda row: row.name.count("/"), default=table()[-1])


def _matches(row: list[str], values: tuple[str, ...]) -> bool:
    if len(row) == 1 and not values[0]:
        return False
    telescope = not values[0] or row[0] == values[0]
    return telescope and row[1:] == list(values[1 : len(row)])


def _row(default: dict[str, Any], row: dict[str, Any]) -> Instrument:
    values = {key: _tuple(value) for key, value in {**default, **row}.items() if key not in _KEYS}
    if not row:
        return Instrument(name="", **values)
    values["flags_known"] = "good" in row
    return Instrument(name="/".join(row[key] for key in _KEYS if key in row), **values)


def _tuple(value: Any) -> Any:
    return tuple(map(_tuple, value)) if isinstance(value, list) else value
