"""Published shares of a point source's light in circles, and Vega's magnitudes. encircled.toml holds them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_FILE = Path(__file__).with_name("encircled.toml")


@dataclass(frozen=True)
class Encircled:
    """``shares`` (k,) of a point source's light within ``radii`` (k,) in pixels; ``error`` is relative."""

    radii: Floats
    shares: Floats
    error: float

    def share(self, radius: Floats | float) -> Floats:
        """The share within circles; NaN within less than the smallest radius, beyond the largest its own."""
        return np.asarray(np.interp(radius, self.radii, self.shares, left=np.nan), np.float64)


@cache
def tables() -> dict[str, dict[str, Any]]:
    """All tables by the name of their instrument."""
    import tomllib

    document = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return {table["name"]: table for table in document["table"]}


def encircled(instrument: str, wavelength: float | None, scale: float | None) -> Encircled | None:
    """The shares for a row of the table of instruments at a pivot ``wavelength`` in angstrom.

    ``scale`` in arcsec per pixel. None without a table, or outside of its wavelengths.
    """
    table = tables().get(instrument)
    if table is None or wavelength is None or scale is None:
        return None
    known, shares = np.array(table["wavelengths"], float), np.array(table["shares"])
    # Pivots of one filter differ by chip and version.
    if not 0.97 * known[0] <= wavelength <= 1.03 * known[-1]:
        return None
    at = [float(np.interp(wavelength, known, column)) for column in shares.T]
    return Encircled(np.array(table["radii"]) / scale, np.array(at), table["error"])


def vega(instrument: str, filter_name: str) -> float | None:
    """The AB magnitude of Vega in a filter; None if no table has it."""
    magnitude: float | None = tables().get(instrument, {}).get("vega", {}).get(filter_name.upper())
    return magnitude
