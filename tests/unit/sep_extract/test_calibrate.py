"""Units and zero points: from the cards that real products have, and from those that are broken."""

import math
from pathlib import Path
from typing import Any

import pytest
from astropy.io import fits

from sep_extract.calibrate import Cards, calibration

PHOT = {"PHOTFLAM": 1.4737e-20, "PHOTPLAM": 13922.907}
# -2.5 log10(1.4737e-20) - 5 log10(13922.907) - 2.408; STScI gives 26.4524 for F140W.
F140W = 26.4524


def cards(*headers: dict[str, Any]) -> Cards:
    return Cards(*(fits.Header(list(header.items())) for header in headers))


def raw(*lines: bytes) -> fits.Header:
    """A header as it stands in a file, valid or not."""
    return fits.Header.fromstring(b"".join(line.ljust(80) for line in (*lines, b"END")))


@pytest.mark.parametrize(
    "bunit", ["ELECTRONS/S", "electrons/s", "ELECTRONS / S", "electron/s", "e-/s", "E/S"]
)
def test_a_rate_stays_and_its_gain_is_the_exposure_time(bunit: str) -> None:
    found = calibration(cards({"BUNIT": bunit, "EXPTIME": 200.0, **PHOT}))
    assert (found.factor, found.unit, found.gain, found.exptime) == (1.0, "electron/s", 200.0, 200.0)
    assert found.zeropoint == pytest.approx(F140W, abs=1e-3)
    assert found.notes == ()


def test_electrons_become_a_rate() -> None:
    found = calibration(cards({"BUNIT": "ELECTRONS", "EXPTIME": 50.0, **PHOT}))
    assert (found.factor, found.unit, found.gain) == (1 / 50, "electron/s", 50.0)
    assert found.zeropoint == pytest.approx(F140W, abs=1e-3)


@pytest.mark.parametrize(
    ("gain", "electrons"),
    [
        ({"ATODGNA": 1.5, "ATODGNB": 1.5, "ATODGNC": 1.6, "ATODGND": 1.6}, 1.55),
        ({"ATODGNA": 2.0, "CCDGAIN": 7.0}, 2.0),
        ({"ATODGAIN": 2.5, "CCDGAIN": 7.0}, 2.5),
        ({"CCDGAIN": 4.0}, 4.0),
    ],
)
def test_counts_of_wfc3_and_acs_become_electrons(gain: dict[str, float], electrons: float) -> None:
    """PHOTFLAM of these two is per electron."""
    header = {"BUNIT": "COUNTS", "INSTRUME": "ACS", "EXPTIME": 10.0, **gain, **PHOT}
    found = calibration(cards(header))
    assert found.factor == pytest.approx(electrons / 10)
    assert (found.unit, found.gain) == ("electron/s", 10.0)
    rate = calibration(cards(header | {"BUNIT": "COUNTS/S"}))
    assert rate.factor == pytest.approx(electrons)
    assert (rate.unit, rate.gain) == ("electron/s", 10.0)


def test_counts_of_others_stay_counts() -> None:
    """PHOTFLAM of WFPC2 is per count; the gain is needed for the noise only."""
    header = {"BUNIT": "COUNTS", "INSTRUME": "WFPC2", "EXPTIME": 10.0, "ATODGAIN": 7.0, **PHOT}
    found = calibration(cards(header))
    assert (found.factor, found.unit, found.gain) == (1 / 10, "ct/s", 70.0)
    assert found.zeropoint == pytest.approx(F140W, abs=1e-3)
    rate = calibration(cards(header | {"BUNIT": "COUNTS/S"}))
    assert (rate.factor, rate.unit, rate.gain) == (1.0, "ct/s", 70.0)


@pytest.mark.parametrize("gain", [{}, {"CCDGAIN": 0.0}, {"CCDGAIN": -1.0}])
def test_counts_without_a_gain(gain: dict[str, float]) -> None:
    found = calibration(cards({"BUNIT": "COUNTS", "INSTRUME": "ACS", "EXPTIME": 10.0, **gain, **PHOT}))
    assert (found.factor, found.unit, found.gain) == (0.1, "ct/s", None)


def test_counts_of_an_electron_instrument_without_a_gain_have_no_magnitudes() -> None:
    """PHOTFLAM per electron, applied to counts, would be wrong by the gain."""
    found = calibration(cards({"BUNIT": "COUNTS", "INSTRUME": "WFC3", "EXPTIME": 10.0, **PHOT}))
    assert found.zeropoint is None
    assert found.notes == ("the zero point is for electrons and there is no gain: fluxes without magnitudes",)


@pytest.mark.parametrize("exptime", [{}, {"EXPTIME": 0.0}, {"EXPTIME": -5.0}, {"EXPTIME": ""}])
def test_totals_without_an_exposure_time(exptime: dict[str, Any]) -> None:
    found = calibration(cards({"BUNIT": "ELECTRONS", **exptime, **PHOT}))
    assert (found.factor, found.unit, found.gain, found.exptime) == (1.0, "electron", 1.0, None)
    assert found.zeropoint is None
    assert found.notes == (
        "BUNIT is ELECTRONS and there is no EXPTIME: fluxes stay totals, without magnitudes",
    )
    found = calibration(cards({"BUNIT": "COUNTS", "CCDGAIN": 2.0, **exptime, **PHOT}))
    assert (found.unit, found.gain, found.zeropoint) == ("ct", 2.0, None)


def test_a_rate_without_an_exposure_time_keeps_its_magnitudes() -> None:
    found = calibration(cards({"BUNIT": "ELECTRONS/S", **PHOT}))
    assert found.gain is None
    assert found.zeropoint == pytest.approx(F140W, abs=1e-3)
    assert found.notes == ()


def test_the_exposure_time_of_a_stack() -> None:
    assert calibration(cards({"BUNIT": "ELECTRONS/S", "TEXPTIME": 900.0})).gain == 900.0
    assert calibration(cards({"BUNIT": "ELECTRONS/S", "TEXPTIME": 900.0, "EXPTIME": 300.0})).gain == 300.0


@pytest.mark.parametrize("bunit", [None, "", "Jy", "MJy/sr", "furlong"])
def test_an_unknown_unit_stays_and_is_named(bunit: str | None) -> None:
    found = calibration(cards({"BUNIT": bunit, "EXPTIME": 10.0, **PHOT}))
    assert (found.factor, found.unit, found.gain, found.zeropoint) == (1.0, None, None, None)
    assert found.notes[0].startswith(f"BUNIT is {bunit or 'missing'}: fluxes are in the image's own unit")


def test_the_zero_point_stands_in_either_header_and_the_chips_own_wins() -> None:
    rate = {"BUNIT": "ELECTRONS/S", "EXPTIME": 1.0}
    assert calibration(cards(rate, PHOT)).zeropoint == pytest.approx(F140W, abs=1e-3)
    assert calibration(cards(rate | PHOT, {})).zeropoint == pytest.approx(F140W, abs=1e-3)
    brighter = {"PHOTFLAM": 1e-19, "PHOTPLAM": 5000.0}
    own = -2.5 * math.log10(1e-19) - 5 * math.log10(5000) - 2.408
    assert calibration(cards(rate | brighter, PHOT)).zeropoint == pytest.approx(own)


@pytest.mark.parametrize(
    "phot",
    [
        {},
        {"PHOTFLAM": 0.0, "PHOTPLAM": 5000.0},
        {"PHOTFLAM": -1e-19, "PHOTPLAM": 5000.0},
        {"PHOTFLAM": 1e-19},
    ],
)
def test_without_photflam_photfnu_counts(phot: dict[str, float]) -> None:
    """A PHOTFLAM of zero is what calibration without a photometry table writes."""
    rate = {"BUNIT": "ELECTRONS/S", "EXPTIME": 1.0, **phot}
    without = calibration(cards(rate))
    assert without.zeropoint is None
    assert without.notes == ("no PHOTFLAM with PHOTPLAM and no PHOTFNU: fluxes without magnitudes",)
    found = calibration(cards(rate, {"PHOTFNU": 3631e-10}))
    assert found.zeropoint == pytest.approx(25.0)
    assert found.notes == ()
    assert calibration(cards(rate, {"PHOTFNU": 0.0})).zeropoint is None


def test_photflam_and_photfnu_of_a_real_image_agree(shared_data: Path) -> None:
    header = fits.getheader(shared_data / "ib6o23rtq_sci1_blt.fits.gz")
    rate = {key: header[key] for key in ("BUNIT", "EXPTIME")}
    flam = calibration(cards(rate, {key: header[key] for key in ("PHOTFLAM", "PHOTPLAM")}))
    fnu = calibration(cards(rate, {"PHOTFNU": header["PHOTFNU"]}))
    assert flam.zeropoint == pytest.approx(fnu.zeropoint, abs=0.01)


@pytest.mark.parametrize("key", ["FILTER", "FILTER1", "FILTER2"])
def test_a_grism_is_named(key: str) -> None:
    found = calibration(cards({"BUNIT": "ELECTRONS/S", "EXPTIME": 1.0, **PHOT}, {key: "G141"}))
    assert found.notes == ("G141 is a grism or prism: sources are dispersed spectra, not stars and galaxies",)


@pytest.mark.parametrize(
    "line",
    [
        b"EXPTIME = 1.2.3.4",
        b"EXPTIME = 'unclosed",
        b"EXPTIME = \x01\x02",
        b"EXPTIME = 1e",
        b"EXPTIME = 5 5",
        b"EXPTIME = 'abc     '",
        b"EXPTIME =                    T",
        b"EXPTIME = 'nan     '",
        b"EXPTIME = 'inf     '",
        b"EXPTIME = (1.0, 2.0)",
    ],
)
def test_a_malformed_card_is_noted_and_the_other_header_asked(line: bytes) -> None:
    broken = Cards(raw(b"BUNIT   = 'ELECTRONS'", line))
    assert calibration(broken).exptime is None
    assert len(broken.notes) == 1
    assert broken.notes[0].startswith("EXPTIME is ")
    assert broken.notes[0].endswith(": ignored")
    both = Cards(raw(b"BUNIT   = 'ELECTRONS'", line), fits.Header({"EXPTIME": 5.0}))
    assert calibration(both).exptime == 5.0
    assert len(both.notes) == 1


@pytest.mark.parametrize("line", [b"EXPTIME =", b"EXPTIME = '        '", b"EXPTIME = / no value"])
def test_an_empty_card_is_as_good_as_none(line: bytes) -> None:
    empty = Cards(raw(b"BUNIT   = 'ELECTRONS'", line), fits.Header({"EXPTIME": 5.0}))
    assert calibration(empty).exptime == 5.0
    assert empty.notes == []


def test_a_number_in_quotes_is_a_number() -> None:
    assert cards({"EXPTIME": " 5.0 "}).number("EXPTIME") == 5.0


def test_text_is_stripped_and_never_none() -> None:
    some = cards({"BUNIT": " ELECTRONS  ", "N": 5})
    assert (some.text("BUNIT"), some.text("N"), some.text("NIL")) == ("ELECTRONS", "5", "")
