"""Units and zero points from header cards."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from astropy.io import fits

_RATES = {"ELECTRONS/S", "ELECTRON/S", "ELECTRONS/SEC", "E-/S", "E/S"}
_ELECTRONS = {"ELECTRONS", "ELECTRON", "E-", "E"}
_COUNT_RATES = {"COUNTS/S", "COUNT/S", "CPS", "DN/S", "ADU/S", "CT/S"}
_COUNTS = {"COUNTS", "COUNT", "DN", "ADU", "CT"}
# Where PHOTFLAM is per electron, so that counts must be multiplied by the gain before it applies.
_PHOTFLAM_PER_ELECTRON = {"WFC3", "ACS"}
_DISPERSERS = ("G102", "G141", "G280", "G800L", "PR110L", "PR130L", "PR200L")


@dataclass(frozen=True)
class Calibration:
    """How to bring pixels to rates and rates to magnitudes.

    ``factor`` multiplies the pixels; the result is in ``unit`` (a FITS unit, or None where the header does
    not say). ``gain`` is the number of detected electrons per unit of the result, for Poisson noise; None if
    unknown. ``zeropoint`` is the AB magnitude of one unit of the result; None if the header does not give
    one.
    """

    factor: float
    unit: str | None
    gain: float | None
    zeropoint: float | None
    exptime: float | None
    notes: tuple[str, ...]


class Cards:
    """Cards of an extension's header, then of the primary one, that never raise: a malformed one is noted."""

    def __init__(self, *headers: fits.Header) -> None:
        self._headers = headers
        self.notes: list[str] = []

    def text(self, key: str) -> str:
        """The card as stripped text; empty if absent."""
        return next((str(value).strip() for value in self._values(key)), "")

    def number(self, key: str) -> float | None:
        """The card as a finite float; None if absent or not a number."""
        for value in self._values(key):
            try:
                number = math.nan if isinstance(value, bool) else float(value)
            except (TypeError, ValueError):
                number = math.nan
            if math.isfinite(number):
                return number
            self._note(f"{key} is {str(value)!r}, not a number: ignored")
        return None

    def positive(self, key: str) -> float | None:
        """The card as a finite float above 0; None if it is not that."""
        number = self.number(key)
        return number if number is not None and number > 0 else None

    def _values(self, key: str) -> Iterator[Any]:
        for header in self._headers:
            try:
                value = header.get(key)
            except (fits.VerifyError, ValueError):
                self._note(f"{key} is a malformed header card: ignored")
                continue
            if value is not None and not isinstance(value, fits.card.Undefined) and str(value).strip():
                yield value

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def calibration(cards: Cards) -> Calibration:
    """Read units, exposure time and zero point from the cards of one chip, its SCI header's first."""
    notes: list[str] = []
    bunit = cards.text("BUNIT").upper().replace(" ", "")
    exptime = cards.positive("EXPTIME") or cards.positive("TEXPTIME")
    electrons = _electrons_per_count(cards)
    per_electron = cards.text("INSTRUME").upper() in _PHOTFLAM_PER_ELECTRON
    factor, unit, gain = 1.0, None, None
    if bunit in _RATES:
        unit, gain = "electron/s", exptime
    elif bunit in _ELECTRONS | _COUNTS | _COUNT_RATES:
        counts = bunit not in _ELECTRONS
        if counts and per_electron and electrons:
            factor, counts = electrons, False
        unit = "ct/s" if counts else "electron/s"
        per_unit = electrons if counts else 1.0
        gain = exptime * per_unit if exptime and per_unit else None
        if bunit not in _COUNT_RATES:
            if exptime:
                factor /= exptime
            else:
                notes.append(
                    f"BUNIT is {cards.text('BUNIT')} and there is no EXPTIME: "
                    "fluxes stay totals, without magnitudes"
                )
                unit, gain = unit.removesuffix("/s"), per_unit
    else:
        notes.append(
            f"BUNIT is {cards.text('BUNIT') or 'missing'}: fluxes are in the image's own unit, "
            "without magnitudes"
        )
    zeropoint = None
    if unit == "ct/s" and per_electron:
        notes.append("the zero point is for electrons and there is no gain: fluxes without magnitudes")
    elif unit in ("ct/s", "electron/s"):
        zeropoint = _zeropoint(cards)
        if zeropoint is None:
            notes.append("no PHOTFLAM with PHOTPLAM and no PHOTFNU: fluxes without magnitudes")
    disperser = next(
        (f for k in ("FILTER", "FILTER1", "FILTER2") if (f := cards.text(k)) in _DISPERSERS), None
    )
    if disperser:
        notes.append(
            f"{disperser} is a grism or prism: sources are dispersed spectra, not stars and galaxies"
        )
    return Calibration(factor, unit, gain, zeropoint, exptime, tuple(notes))


def _electrons_per_count(cards: Cards) -> float | None:
    amplifiers = [g for k in ("ATODGNA", "ATODGNB", "ATODGNC", "ATODGND") if (g := cards.positive(k))]
    if amplifiers:
        return sum(amplifiers) / len(amplifiers)
    return cards.positive("ATODGAIN") or cards.positive("CCDGAIN")


def _zeropoint(cards: Cards) -> float | None:
    """AB magnitude of one unit per second.

    -2.5 log10(PHOTFLAM) - 5 log10(PHOTPLAM) - 2.408 (ACS Data Handbook, section 5.1; PHOTFLAM in erg/s/cm2/A
    per e/s, PHOTPLAM in A), else PHOTFNU (Jy per e/s) against 3631 Jy (Oke & Gunn 1983).
    """
    photflam, photplam, photfnu = (cards.positive(k) for k in ("PHOTFLAM", "PHOTPLAM", "PHOTFNU"))
    if photflam and photplam:
        return -2.5 * math.log10(photflam) - 5.0 * math.log10(photplam) - 2.408
    if photfnu:
        return -2.5 * math.log10(photfnu / 3631.0)
    return None
