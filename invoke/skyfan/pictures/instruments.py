"""The table of instruments of the function that masks pixels: what it holds is data for pictures, too."""

import tomllib
from functools import cache
from typing import Any

from astropy.io import fits

from .. import template

_KEYS = ("TELESCOP", "INSTRUME", "DETECTOR")
_FILE = template.OWN / "functions/sep_extract/sep_extract/instruments.toml"


def row_of(primary: fits.Header) -> dict[str, Any]:
    """The most specific row for a primary header; empty if there is none."""
    values = {name: str(primary.get(name) or "").strip().upper() for name in _KEYS}
    best: tuple[int, dict[str, Any]] = (0, {})
    for row in _rows():
        keys = [name for name in _KEYS if name in row]
        # A header without TELESCOP is taken for one of the telescope whose instrument it names.
        is_match = all(
            values[name] == row[name] or (name == "TELESCOP" and not values[name] and len(keys) > 1)
            for name in keys
        )
        if is_match and len(keys) > best[0]:
            best = len(keys), row
    return best[1]


@cache
def _rows() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = tomllib.loads(_FILE.read_text(encoding="utf-8"))["instrument"]
    return rows
