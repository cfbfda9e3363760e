"""From pixels to rates and magnitudes: units, exposure time, gain and zero point from header cards."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .cards import Cards
from .encircled import vega
from .instruments import Instrument
from .quality import Quality
from .units import Unit, parse

_DISPERSERS = (
    *("G102", "G141", "G280", "G800L", "PR110L", "PR130L", "PR200L", "G750L", "G430L", "PRISM"),
    *("GR150C", "GR150R", "GRISMC", "GRISMR", "GRISM0", "GRISM90", "P750L"),
)
# AB magnitude of 1 jansky (Oke & Gunn 1983) and of 1 erg/s/cm2/A at 1 A.
_AB_JANSKY = 2.5 * math.log10(3631.0)
_AB_FLAM = -2.408
# ST magnitude of 1 erg/s/cm2/A.
_ST_FLAM = -21.10
# What cards may hold, with room on both sides: seconds, electrons per count, erg/s/cm2/A and jansky per unit,
# angstrom, steradians of a pixel.
_SECONDS, _GAIN = (1e-6, 1e9), (1e-6, 1e6)
_PHOTFLAM, _PHOTFNU, _PHOTPLAM, _PIXAR_SR = (1e-30, 1e-5), (1e-15, 1e6), (1.0, 1e9), (1e-18, 1e-3)
_MICRO, _FLAM = 1e-6, "erg/s/cm**2/Angstrom"

_Scale = tuple[float, str | None, float | None, float | None]
"""Factor, unit, gain and zero point of a Calibration."""


@dataclass(frozen=True)
class Calibration:
    """How to bring pixels to rates and rates to magnitudes.

    ``factor`` multiplies the pixels; the result is in ``unit`` (a FITS unit, or None where the header does
    not say). ``gain`` is the number of detected electrons per unit of the result, for Poisson noise; None if
    unknown. ``zeropoint`` is the magnitude of one unit of the result in ``system``; None if the header does
    not give one.
    """

    factor: float
    unit: str | None
    gain: float | None
    zeropoint: float | None
    exptime: float | None
    notes: tuple[str, ...]
    system: str
    quality: Quality
    surface: bool
    """Pixels are surface brightnesses, so that the flux of each goes with its own area."""
    wavelength: float | None = None
    """PHOTPLAM, the pivot in angstrom."""
    zeropoint_st: float | None = None
    zeropoint_vega: float | None = None


def calibration(cards: Cards, row: Instrument, *, is_read: bool = False) -> Calibration:
    """Read units, exposure time and zero point from the cards of one chip, its SCI header's first.

    ``is_read``: the chip may be one read of several in its file, with an exposure time of its own.
    """
    return _Reader(cards, row, is_read=is_read).read()


class _Reader:
    """Gathers notes and quality bits on the way."""

    def __init__(self, cards: Cards, row: Instrument, *, is_read: bool) -> None:
        self._cards, self._row = cards, row
        self._is_read = is_read and bool(row.read_time)
        self._notes: list[str] = []
        self._quality = Quality.NONE

    def read(self) -> Calibration:
        exptime = self._exposure()
        unit = self._unit()
        if unit is None:
            named = self._cards.text("BUNIT") or "missing"
            self._say(
                f"BUNIT is {named}: fluxes are in the image's own unit, without magnitudes", Quality.UNIT
            )
            made: _Scale = (1.0, None, None, None)
        elif unit.kind in ("electrons", "counts"):
            made = self._counted(unit, exptime)
        else:
            made = self._physical(unit)
        filters = [self._cards.text(key).upper() for key in ("FILTER", "FILTER1", "FILTER2", "PUPIL")]
        disperser = next((f"{name} is a grism or prism" for name in filters if name in _DISPERSERS), None)
        if not disperser and self._cards.text("OBSTYPE").upper() == "SPECTROSCOPIC":
            disperser = "OBSTYPE is SPECTROSCOPIC"
        if disperser:
            self._say(
                f"{disperser}: sources are dispersed spectra, not stars and galaxies", Quality.DISPERSED
            )
        if made[3] is None:
            self._quality |= Quality.NO_ZEROPOINT
        system = self._row.system if made[3] is not None else "AB"
        surface = unit is not None and unit.kind == "surface"
        wavelength, st, of_vega = self._cards.within("PHOTPLAM", _PHOTPLAM), None, None
        if made[3] is not None and system == "AB":
            if wavelength:
                st = made[3] + 5.0 * math.log10(wavelength) - _AB_FLAM + _ST_FLAM
            used = [name for name in filters if name and not name.startswith("CLEAR")]
            # Of two filters one behind the other no table tells.
            magnitude = vega(self._row.name, used[0]) if len(used) == 1 else None
            of_vega = None if magnitude is None else made[3] - magnitude
        return Calibration(
            *made, exptime, tuple(self._notes), system, self._quality, surface, wavelength, st, of_vega
        )

    def _unit(self) -> Unit | None:
        text = self._cards.text("BUNIT")
        if not text and linearised(self._cards):
            self._say("BUNIT is missing: asinh-scaled pixels are taken for counts", Quality.ASSUMED)
            return Unit("counts", False)
        if text or self._cards.within("PHOTFLAM", _PHOTFLAM) is None:
            return parse(text)
        kind = "counts" if self._row.per == "count" else "electrons"
        self._say(
            f"BUNIT is missing: pixels are taken for {kind} per second, which PHOTFLAM is for",
            Quality.ASSUMED,
        )
        return Unit(kind, True)  # type: ignore[arg-type]

    def _exposure(self) -> float | None:
        """Seconds of the exposure, of the one read where a file has several."""
        cards = self._cards
        if self._is_read and (time := cards.within(self._row.read_time, _SECONDS)) is not None:
            return time
        bounds = _SECONDS[0] / self._row.second, _SECONDS[1] / self._row.second
        found = {key: cards.within(key, bounds) for key in self._row.exposure}
        times = {key: value for key, value in found.items() if value is not None}
        if not times:
            return None
        key = next(iter(times))
        if key == "EXPTIME" and times[key] == 1.0 and times.get("TEXPTIME", 0.0) > 1.0:
            self._say(f"EXPTIME is 1 and TEXPTIME {times['TEXPTIME']:g}: TEXPTIME is used", Quality.ASSUMED)
            key = "TEXPTIME"
        return times[key] * self._row.second

    def _electrons_per_count(self) -> float | None:
        for group in self._row.gain_cards:
            values = [value for key in group if (value := self._cards.within(key, _GAIN)) is not None]
            if values:
                return sum(values) / len(values)
        if self._row.gain is not None:
            self._say(
                f"no gain in the header: {self._row.gain:g} electron per count, as {self._row.name} has",
                Quality.ASSUMED_GAIN,
            )
        return self._row.gain

    def _counted(self, unit: Unit, exptime: float | None) -> _Scale:
        electrons = unit.kind == "electrons"
        per_count = None if electrons else self._electrons_per_count()
        factor = unit.factor
        if not electrons and per_count and self._row.per == "electron":
            factor, electrons = factor * per_count, True
        name = "electron/s" if electrons else "ct/s"
        per_unit = 1.0 if electrons else per_count
        gain = exptime * per_unit if exptime and per_unit else None
        if not unit.rate:
            if not exptime:
                self._say(
                    f"BUNIT is {self._cards.text('BUNIT')} and there is no exposure time: "
                    "fluxes stay totals, without magnitudes",
                    Quality.UNIT,
                )
                return factor, name.removesuffix("/s"), per_unit, None
            factor /= exptime
        return factor, name, gain, self._zeropoint(electrons=electrons)

    def _zeropoint(self, *, electrons: bool) -> float | None:
        """Magnitude of one electron or count per second.

        -2.5 log10(PHOTFLAM) - 5 log10(PHOTPLAM) - 2.408 (ACS Data Handbook, section 5.1; PHOTFLAM in
        erg/s/cm2/A per e/s, PHOTPLAM in A), else PHOTFNU (Jy per e/s) against 3631 Jy (Oke & Gunn 1983).
        """
        cards = self._cards
        if self._row.zeropoint is not None:
            return self._row.zeropoint
        if not electrons and self._row.per == "electron":
            self._say("the zero point is for electrons and there is no gain: fluxes without magnitudes")
            return None
        if electrons and self._row.per == "count":
            per_count = self._electrons_per_count()
            if per_count is None:
                self._say("the zero point is for counts and there is no gain: fluxes without magnitudes")
                return None
            offset = 2.5 * math.log10(per_count)
        else:
            offset = 0.0
        photflam, photplam = self._sensitivity(), cards.within("PHOTPLAM", _PHOTPLAM)
        photfnu = cards.within("PHOTFNU", _PHOTFNU)
        if photflam and photplam:
            return -2.5 * math.log10(photflam) - 5.0 * math.log10(photplam) + _AB_FLAM + offset
        if photfnu:
            return _AB_JANSKY - 2.5 * math.log10(photfnu) + offset
        self._say("no PHOTFLAM with PHOTPLAM and no PHOTFNU: fluxes without magnitudes")
        return None

    def _sensitivity(self) -> float | None:
        """PHOTFLAM, of this chip where the pixels were not scaled to the sensitivity of another."""
        cards = self._cards
        if cards.text("FLUXCORR").upper() != "COMPLETE":
            chip = cards.number("CCDCHIP")
            for pattern in self._row.photflam:
                if (
                    chip is not None
                    and (value := cards.within(pattern.format(chip=round(chip)), _PHOTFLAM)) is not None
                ):
                    return value
        return cards.within("PHOTFLAM", _PHOTFLAM)

    def _physical(self, unit: Unit) -> _Scale:
        """Flux densities to microjansky per pixel, whose AB zero point is 23.9."""
        cards = self._cards
        if unit.kind == "flam":
            if (photplam := cards.within("PHOTPLAM", _PHOTPLAM)) is None:
                self._say(
                    "BUNIT is a flux per wavelength and there is no PHOTPLAM: fluxes without magnitudes"
                )
                return unit.factor, _FLAM, None, None
            return unit.factor, _FLAM, None, _AB_FLAM - 5.0 * math.log10(photplam)
        factor = unit.factor / _MICRO
        if unit.kind == "surface":
            if (area := cards.within("PIXAR_SR", _PIXAR_SR)) is None:
                self._say(
                    "BUNIT is per steradian and there is no PIXAR_SR: fluxes without magnitudes", Quality.UNIT
                )
                return 1.0, "MJy/sr" if unit.factor == 1e6 else None, None, None
            factor *= area
        return factor, "uJy", None, _AB_JANSKY - 2.5 * math.log10(_MICRO)

    def _say(self, note: str, bit: Quality = Quality.NONE) -> None:
        self._notes.append(note)
        self._quality |= bit


def linearised(cards: Cards) -> tuple[float, float] | None:
    """BOFFSET and BSOFTEN of an image with asinh-scaled pixels (Pan-STARRS stacks); None for any other.

    A pixel v stands for BOFFSET + 2 BSOFTEN sinh(v ln 10 / 2.5) counts.
    """
    softening, offset = cards.number("BSOFTEN"), cards.number("BOFFSET")
    if not softening:
        return None
    return (0.0 if offset is None else offset), softening
