"""What the name of a product says: its type, who made it, and which instrument took it."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

_SUFFIX = re.compile(r"_([a-z0-9]+(?:-[a-z0-9]+)*)\.fits(?:\.gz|\.fz)?$", re.IGNORECASE)
_HAP = re.compile(r"(?:.*/)?hst_(?:(skycell)|\d+_)", re.IGNORECASE)
"""Names of Hubble Advanced Products: hst_skycell-p1234x05y06_…, hst_12345_01_…."""
_TABLE = Path(__file__).with_name("names.toml")


def product_type(name: str | None) -> str | None:
    """The product type at the end of a file's name, in capitals: DRZ of jbeveo010_drz.fits."""
    match = _SUFFIX.search(name or "")
    return match[1].upper() if match else None


def provenance_of_name(name: str | None) -> str | None:
    """hap or mvm, if the name of a file or an observation is one of a Hubble Advanced Product."""
    if not name or "hst_" not in name.lower() or not (match := _HAP.match(name)):
        return None
    return "mvm" if match[1] else "hap"


def instrument_of_name(mission: str, name: str) -> str | None:
    """The instrument that took a product, WFC3 or NIRCAM, by the file's name; None if it does not say."""
    name = name.rpartition("/")[2].lower()
    for pattern, instrument in _patterns(mission):
        if pattern.match(name):
            return instrument
    return None


def public_prefix(mission: str) -> str:
    """The folder of the archive's bucket with the public products of a mission: hst/public/."""
    return str(_tables()[mission]["prefix"])


@cache
def _tables() -> dict[str, dict[str, object]]:
    return tomllib.loads(_TABLE.read_text(encoding="utf-8"))


@cache
def _patterns(mission: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    rows = _tables()[mission]["instruments"]
    assert isinstance(rows, dict)
    return tuple((re.compile(pattern), name) for name, pattern in rows.items())
