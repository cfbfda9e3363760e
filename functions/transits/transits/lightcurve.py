"""A light curve of TESS: from its FITS file to relative fluxes in order of time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from skyfan_function.errors import UnreadableError
from skyfan_function.fits_input import open_fits
from skyfan_function.storage import Source

from .errors import NoValidCadencesError, NoVariationError, UnknownTimeError
from .formats import FLAGS, TIME, Format, format_of
from .quality import Quality
from .series import Floats, Series, median_error

# Of BTJD, the time of TESS.
ZERO = 2457000
# Cadences of less are averaged: a transit takes half an hour at least, and its search a sixth of the time.
_FINE, _AVERAGED = 100.0, 120.0
# Below these nothing is searched for; below the last, results are doubtful.
_CADENCES, _DAYS, _SHORT = 100, 2.0, 10.0
_MASKED = 1 / 3
_CARDS = ("TICID", "SECTOR", "CAMERA", "CCD", "RA_OBJ", "DEC_OBJ", "TESSMAG", "TEFF", "RADIUS", "LOGG")


@dataclass(frozen=True)
class LightCurve:
    """What a file says of a star."""

    series: Series
    """Fluxes relative to their median; times are days of BJD - 2457000 (TDB)."""
    dumps: Floats
    """Times of momentum dumps."""
    format: str
    cards: dict[str, Any]
    """Values of the headers, as far as they have them."""
    cadences: int
    """In the file, also those that are left out."""
    level: float
    """Median flux, in the unit of the file."""
    exposure: float
    """Seconds of one cadence of the file."""
    quality: Quality = Quality.NONE
    notes: list[str] = field(default_factory=list)


def read(source: Source) -> LightCurve:
    """Read a light curve, without the cadences that are missing or bad.

    Raises NotALightCurveError, UnknownLightCurveError, UnknownTimeError, NoValidCadencesError or
    NoVariationError, and the errors of the FITS reader.
    """
    with open_fits(source, _has_time) as hdus:
        header = hdus[0].header
        hdu = next((each for each in hdus if _has_time(each)), None)
        hdu = hdu or next((each for each in hdus if isinstance(each, fits.BinTableHDU)), None)
        columns = [] if hdu is None else [str(name).upper() for name in hdu.columns.names]
        kind = format_of(source.name, header, columns)
        assert hdu is not None
        with _columns(source.name):
            time, flux = _column(hdu, TIME), _column(hdu, kind.flux)
            error = _column(hdu, kind.error) if kind.error in columns else np.full(len(time), np.nan)
            flags = _flags(hdu) if FLAGS in columns else None
        cards = {
            key: _value(each.header[key])
            for each in (hdu, hdus[0])
            for key in _CARDS
            if key in each.header and _value(each.header[key]) is not None
        }
        zero, quality = _zero(source.name, hdu.header, kind)
    return _cleaned(source.name, kind, (time + zero, flux, error, flags), cards, quality)


def _has_time(hdu: Any) -> bool:
    return isinstance(hdu, fits.BinTableHDU) and TIME in [str(name).upper() for name in hdu.columns.names]


@contextmanager
def _columns(name: str) -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError, KeyError) as exc:
        raise UnreadableError(f"{name}: a column of its light curve is no column of numbers ({exc})") from exc


def _column(hdu: Any, name: str) -> Floats:
    values = np.asarray(hdu.data[name])
    if values.ndim != 1:
        raise ValueError(f"{name} has {values.ndim} axes")
    return values.astype(np.float64)


def _flags(hdu: Any) -> NDArray[np.int64]:
    values = np.asarray(hdu.data[FLAGS])
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise ValueError(f"{FLAGS} is no column of integers")
    return values.astype(np.int64)


def _value(value: Any) -> Any:
    """The value of a card; None if it has none."""
    if isinstance(value, fits.card.Undefined) or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value


def _zero(name: str, header: fits.Header, kind: Format) -> tuple[float, Quality]:
    """What is added to the times of a file to make them BTJD. Raises UnknownTimeError."""
    unit, scale = (str(header.get(key) or "").strip() for key in ("TIMEUNIT", "TIMESYS"))
    if unit.lower() not in ("", "d", "day", "days"):
        raise UnknownTimeError(f"{name}: its times are in {unit!r} (TIMEUNIT), not in days")
    if scale.upper() not in ("", "TDB"):
        raise UnknownTimeError(f"{name}: its times are on the scale {scale!r} (TIMESYS), not TDB")
    try:
        whole, part = header.get("BJDREFI"), float(header.get("BJDREFF") or 0.0)
        zero = 0.0 if whole is None else float(whole) + part - ZERO
    except (TypeError, ValueError):
        raise UnknownTimeError(f"{name}: BJDREFI or BJDREFF is no number") from None
    return zero, Quality.TIME_ASSUMED if whole is None or not unit or not scale else Quality.NONE


def _cleaned(
    name: str,
    kind: Format,
    arrays: tuple[Floats, Floats, Floats, NDArray[np.int64] | None],
    cards: dict[str, Any],
    quality: Quality,
) -> LightCurve:
    time, flux, error, flags = arrays
    notes: list[str] = []
    if flags is None:
        quality |= Quality.NO_FLAGS
        flags = np.zeros(len(time), np.int64)
    timed = np.isfinite(time)
    dumps = np.sort(time[timed & ((flags & kind.dump) != 0)])
    good = timed & np.isfinite(flux) & ((flags & kind.bad) == 0)
    times, order = np.unique(time[good], return_index=True)
    if len(times) < _CADENCES or times[-1] - times[0] < _DAYS:
        days = times[-1] - times[0] if len(times) else 0.0
        raise NoValidCadencesError(
            f"{name}: {len(times)} of {len(time)} cadences are valid, over {days:.1f} days; "
            f"a search needs {_CADENCES} over {_DAYS:g} days"
        )
    if len(times) < good.sum() or (np.diff(time[good]) < 0).any():
        quality |= Quality.TIME_ORDER
        notes.append(
            "times were not in ascending order, or some stood twice: sorted, of equal ones the first kept"
        )
    values, errors = flux[good][order], error[good][order]
    level = float(np.median(values))
    noise = median_error(np.diff(values)) / math.sqrt(2)
    if not level > 0:
        raise NoVariationError(f"{name}: the median of its fluxes is {level:g}, not above zero")
    if not noise > 0:
        raise NoVariationError(f"{name}: most of its fluxes are the same: there is no noise to compare with")
    known = np.isfinite(errors) & (errors > 0)
    errors = np.where(known, errors, np.median(errors[known]) if known.any() else noise)
    cadence = float(np.median(np.diff(times)))
    series = Series(times, values / level, errors / level, cadence)
    if cadence * 86400 < _FINE:
        series = series.binned(_AVERAGED / 86400)
        notes.append(f"cadences of {cadence * 86400:.0f} s were averaged to {_AVERAGED:.0f} s")
    if len(times) < (1 - _MASKED) * (times[-1] - times[0]) / cadence:
        quality |= Quality.MASKED
    if times[-1] - times[0] < _SHORT:
        quality |= Quality.SHORT
    if not {"TICID", "RA_OBJ", "DEC_OBJ"} <= set(cards):
        quality |= Quality.NO_TARGET
    return LightCurve(series, dumps, kind.name, cards, len(time), level, cadence * 86400, quality, notes)
