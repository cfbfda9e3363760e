"""What the header of a SepExtract catalog says of its chips, summed up for its image."""

import math
from typing import Any

import numpy as np

from .fitstable import Catalog, DamagedCatalogError, Header, number, text

POSITION = ("ALPHAWIN_J2000", "DELTAWIN_J2000")
"""The main position of a source: windowed, and the barycentre where the window fails."""
REQUIRED = ("NUMBER", *POSITION)


def check(catalog: Catalog) -> None:
    """Raises DamagedCatalogError if a column is missing, or NUMBER does not count from 1."""
    if missing := set(REQUIRED) - {column.name for column in catalog.layout.columns}:
        raise DamagedCatalogError(f"it has no column {', '.join(sorted(missing))}")
    rows = catalog.rows
    if not np.array_equal(rows["NUMBER"], np.arange(1, len(rows) + 1)):
        raise DamagedCatalogError("its column NUMBER does not count from 1")


def columns(header: Header) -> dict[str, Any]:
    """Columns of the table of images; unknown numbers are NaN or None."""
    chips = int(number(header, "NCHIPS", 0))
    return {
        "t_min": _least(_chips(header, "TBEG", chips) or [number(header, "EXPSTART")]),
        "t_max": -_least([-t for t in _chips(header, "TEND", chips) or [number(header, "EXPEND")]]),
        "t_exptime": _least(_chips(header, "EXPTIM", chips)),
        "chips": chips,
        "exposures": header.get("NEXPOS"),
        "wcsname": next((name for i in range(1, chips + 1) if (name := text(header, f"WCSNAM{i}"))), ""),
        "gaia": _gaia([bool(header[key]) for i in range(1, chips + 1) if (key := f"GAIA{i}") in header]),
        "background": _mean(_chips(header, "BACK", chips)),
        "rms": -_least([-value for value in _chips(header, "RMS", chips)]),
        "flux_unit": text(header, "FLUXUNIT"),
        "zeropoint": number(header, "ZEROPT1"),
        "scale": number(header, "SCALE1"),
        "depth": _least(_chips(header, "DEPTH", chips)),
        "depth_aperture": _depth_aperture(header),
        "shared_noise": -_least([-value for value in _chips(header, "SHARE", chips)]),
        "chip_depth": _each(header, "DEPTH", chips),
        "chip_shared_noise": _each(header, "SHARE", chips),
        "step": max((int(step) for step in _chips(header, "STEP", chips)), default=0),
        "quality": header.get("QUALITY"),
        "sep": text(header, "V_SEP"),
    }


def _chips(header: Header, key: str, chips: int) -> list[float]:
    """The finite values of a numbered card, from all chips that have it."""
    values = (number(header, f"{key}{i}") for i in range(1, chips + 1))
    return [value for value in values if math.isfinite(value)]


def _each(header: Header, key: str, chips: int) -> str:
    """The value of a numbered card for each chip, nan where it has none."""
    return " ".join(f"{number(header, f'{key}{i}'):.4f}" for i in range(1, chips + 1))


def _gaia(fitted: list[bool]) -> str:
    return ("yes" if all(fitted) else "no") if fitted else ""


def _least(values: list[float]) -> float:
    return min(values, default=math.nan)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _depth_aperture(header: Header) -> float:
    """Diameter of the middle aperture, in which depths are measured."""
    count = 0
    while f"PHOTAP{count + 1}" in header:
        count += 1
    return number(header, f"PHOTAP{count // 2 + 1}")
