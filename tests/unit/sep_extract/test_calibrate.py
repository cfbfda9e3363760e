"""Units and zero points: from the cards that real products have, and from those that are broken."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from sep_extract import calibrate
from sep_extract.calibrate import Calibration
from sep_extract.cards import Cards
from sep_extract.instruments import instrument
from sep_extract.quality import Quality

PHOT = {"PHOTFLAM": 1.4737e-20, "PHOTPLAM": 13922.907}
# -2.5 log10(1.4737e-20) - 5 log10(13922.907) - 2.408; STScI gives 26.4524 for F140W.
F140W = 26.4524


def cards(*headers: dict[str, Any]) -> Cards:
    return Cards(*(fits.Header(list(header.items())) for header in headers))


def calibration(cards: Cards, *, is_read: bool = False) -> Calibration:
    """By the row of the table that the cards name."""
    row = instrument(*(cards.text(key) for key in ("TELESCOP", "INSTRUME", "DETECTOR")))
    return calibrate.calibration(cards, row, is_read=is_read)


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
        "BUNIT is ELECTRONS and there is no exposure time: fluxes stay totals, without magnitudes",
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


@pytest.mark.parametrize("bunit", ["furlong", "10.0*furlong", "0*nJy", "10", "mag"])
def test_an_unknown_unit_stays_and_is_named(bunit: str) -> None:
    found = calibration(cards({"BUNIT": bunit, "EXPTIME": 10.0, **PHOT}))
    assert (found.factor, found.unit, found.gain, found.zeropoint) == (1.0, None, None, None)
    assert found.notes[0].startswith(f"BUNIT is {bunit}: fluxes are in the image's own unit")


def test_a_missing_unit_with_a_zero_point_is_assumed_and_said() -> None:
    found = calibration(cards({"EXPTIME": 10.0, **PHOT}))
    assert (found.unit, found.gain, found.factor) == ("electron/s", 10.0, 1.0)
    assert found.zeropoint == pytest.approx(F140W, abs=1e-3)
    assert found.quality & Quality.ASSUMED
    without = calibration(cards({"EXPTIME": 10.0}))
    assert (without.unit, without.zeropoint) == (None, None)
    assert without.quality & Quality.UNIT


SPELLINGS = {
    ("electrons", True): [
        "ELECTRONS/S",
        "electron s-1",
        "e-/sec",
        "electrons/second",
        "e/s",
        "Electrons per second",
        "electron/s/pixel",
        "electrons/pix/s",
        "electron s-1 pix-1",
    ],
    ("electrons", False): ["ELECTRONS", "e-", "electron", "electrons/pixel"],
    ("counts", True): [
        "counts/sec",
        "COUNTS/S",
        "count s-1",
        "DN/sec",
        "cps",
        "ADU/s",
        "ct s^-1",
        "DN/s/pix",
    ],
    ("counts", False): ["COUNTS", "DN", "adu", "ct", "counts/pixel"],
}


@given(
    st.sampled_from([(kind, text) for kind, texts in SPELLINGS.items() for text in texts]),
    st.floats(1, 1e4),
    st.floats(0.5, 8),
    st.sampled_from([str, str.upper, str.lower]),
)
def test_every_spelling_of_a_unit_gives_the_same_magnitudes(
    spelling: tuple[tuple[str, bool], str], exptime: float, gain: float, case: Callable[[str], str]
) -> None:
    """A star of so many electrons per second, in the unit's own number, has one magnitude."""
    (kind, rate), text = spelling
    header = {"TELESCOP": "HST", "INSTRUME": "WFC3", "DETECTOR": "UVIS", "CCDGAIN": gain, "EXPTIME": exptime}
    found = calibration(cards(header | {"BUNIT": case(text)} | PHOT))
    pixels = 1000.0 / (gain if kind == "counts" else 1.0) * (1.0 if rate else exptime)
    assert found.zeropoint is not None
    magnitude = found.zeropoint - 2.5 * math.log10(pixels * found.factor)
    assert magnitude == pytest.approx(F140W - 2.5 * math.log10(1000), abs=1e-3)
    assert found.gain == pytest.approx(exptime)


@pytest.mark.parametrize(
    ("bunit", "jansky"),
    [
        *[("Jy", 1), ("mJy", 1e-3), ("uJy", 1e-6), ("nJy", 1e-9), ("microJy", 1e-6), ("Jy/pixel", 1)],
        *[("10.0*nanoJansky", 1e-8), ("10 nJy", 1e-8), ("1e-2 uJy", 1e-8), ("10**-9 Jy", 1e-9)],
        *[("10^(-9) Jy/pix", 1e-9), (".5 mJy", 5e-4), ("1D-3 Jy", 1e-3)],
        *[("nanomaggy", 3.631e-6), ("nanomaggies", 3.631e-6), ("nmgy/pixel", 3.631e-6), ("maggies", 3631)],
    ],
)
def test_flux_densities_have_the_zero_point_of_the_jansky(bunit: str, jansky: float) -> None:
    found = calibration(cards({"BUNIT": bunit}))
    assert (found.unit, found.gain) == ("uJy", None)
    assert found.zeropoint == pytest.approx(23.9, abs=1e-3)
    assert found.zeropoint - 2.5 * math.log10(found.factor) == pytest.approx(
        8.9 - 2.5 * math.log10(jansky), abs=1e-3
    )


def test_a_surface_brightness_needs_the_area_of_a_pixel() -> None:
    """m_AB = -6.10 - 2.5 lg(flux x PIXAR_SR) (JDox, NIRCam absolute flux calibration)."""
    found = calibration(cards({"BUNIT": "MJy/sr", "PIXAR_SR": 2.3e-14}))
    assert found.zeropoint is not None
    magnitude = found.zeropoint - 2.5 * math.log10(5.0 * found.factor)
    assert magnitude == pytest.approx(-6.10 - 2.5 * math.log10(5.0 * 2.3e-14), abs=2e-3)
    without = calibration(cards({"BUNIT": "MJy/sr"}))
    assert without.zeropoint is None
    assert without.quality & Quality.NO_ZEROPOINT
    assert without.quality & Quality.UNIT
    assert any("PIXAR_SR" in note for note in without.notes)
    assert (without.unit, without.factor, without.gain) == ("MJy/sr", 1.0, None)
    assert calibration(cards({"BUNIT": "Jy/sr"})).unit is None, "of no name that is used here"


def test_tess_has_a_system_of_its_own() -> None:
    header = {"TELESCOP": "TESS", "BUNIT": "electrons/s", "EXPOSURE": 0.01644}
    found = calibration(cards(header))
    assert (found.zeropoint, found.system) == (20.44, "TESS")
    assert found.exptime == pytest.approx(0.01644 * 86400)
    frame = calibration(cards({"TELESCOP": "TESS", "BUNIT": "electrons/s", "INT_TIME": 2.3e-5}))
    assert frame.exptime is None, "INT_TIME is that of one of hundreds of frames"


def test_chip_2_of_uvis_has_a_sensitivity_of_its_own_unless_it_was_scaled() -> None:
    header = {"TELESCOP": "HST", "INSTRUME": "WFC3", "DETECTOR": "UVIS", "BUNIT": "ELECTRONS/S", "CCDCHIP": 2}
    sensitivity = {"PHTFLAM1": 1.8e-17, "PHTFLAM2": 1.45e-17, "PHOTFLAM": 1.8e-17, "PHOTPLAM": 2359.0}
    zero = {
        key: -2.5 * math.log10(value) - 5 * math.log10(2359.0) - 2.408 for key, value in sensitivity.items()
    }
    omitted = calibration(cards(header | sensitivity | {"FLUXCORR": "OMIT"}))
    assert omitted.zeropoint == pytest.approx(zero["PHTFLAM2"])
    complete = calibration(cards(header | sensitivity | {"FLUXCORR": "COMPLETE"}))
    assert complete.zeropoint == pytest.approx(zero["PHOTFLAM"])


def test_a_read_of_an_ima_has_its_own_exposure_time() -> None:
    header = {
        "TELESCOP": "HST",
        "INSTRUME": "WFC3",
        "DETECTOR": "IR",
        "BUNIT": "ELECTRONS",
        "SAMPTIME": 500.0,
    }
    assert calibration(cards(header, {"EXPTIME": 1000.0}), is_read=True).exptime == 500.0
    combined = calibrate.calibration(cards(header, {"EXPTIME": 1000.0}), instrument("HST", "WFC3", "IR"))
    assert combined.exptime == 1000.0, "left over in a combined image"


def test_an_exposure_of_1_beside_a_total_is_a_placeholder() -> None:
    found = calibration(cards({"BUNIT": "ELECTRONS/S", "EXPTIME": 1.0, "TEXPTIME": 1000.0}))
    assert found.gain == 1000.0
    assert found.quality & Quality.ASSUMED
    assert calibration(cards({"BUNIT": "ELECTRONS/S", "EXPTIME": 1.0, "TEXPTIME": 1.5})).gain == 1.5
    equal = calibration(cards({"BUNIT": "ELECTRONS/S", "EXPTIME": 1.0, "TEXPTIME": 1.0}))
    assert not equal.quality & Quality.ASSUMED


def test_a_detector_that_counts_photons_needs_no_gain_card() -> None:
    header = {"TELESCOP": "HST", "INSTRUME": "ACS", "DETECTOR": "SBC", "BUNIT": "COUNTS", "EXPTIME": 100.0}
    found = calibration(cards(header | PHOT))
    assert (found.unit, found.gain) == ("electron/s", 100.0)
    assert found.zeropoint == pytest.approx(F140W, abs=1e-3)
    assert found.quality & Quality.ASSUMED_GAIN


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


def test_a_spectrum_through_no_known_disperser_is_one_by_obstype() -> None:
    found = calibration(cards({"BUNIT": "COUNTS", "EXPTIME": 1.0}, {"OBSTYPE": "SPECTROSCOPIC"}))
    assert found.quality & Quality.DISPERSED
    assert found.notes[-1].startswith("OBSTYPE is SPECTROSCOPIC")


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


def test_a_flux_per_wavelength_has_the_zero_point_of_its_pivot() -> None:
    found = calibration(cards({"BUNIT": "erg/s/cm2/A", "PHOTPLAM": 5000.0}))
    # m_AB = -2.5 log10(f_lambda) - 5 log10(lambda) - 2.408
    assert found.zeropoint == pytest.approx(-5 * math.log10(5000) - 2.408)
    assert (found.factor, found.unit, found.gain) == (1.0, "erg/s/cm**2/Angstrom", None)
    for text in ("1e-20 erg/s/cm2/A", "10**(-20)*erg/s/cm**2/Angstrom"):
        scaled = calibration(cards({"BUNIT": text, "PHOTPLAM": 5000.0}))
        assert scaled.factor == pytest.approx(1e-20)
        assert scaled.zeropoint == found.zeropoint
    without = calibration(cards({"BUNIT": "erg/s/cm2/A"}))
    assert (without.zeropoint, without.unit) == (None, "erg/s/cm**2/Angstrom")
    assert "PHOTPLAM" in without.notes[0]


def test_a_zero_point_for_counts_counts_electrons_by_the_gain() -> None:
    header = {"TELESCOP": "HST", "INSTRUME": "WFPC2", "BUNIT": "ELECTRONS/S", "EXPTIME": 10.0, **PHOT}
    found = calibration(cards(header | {"ATODGAIN": 7.0}))
    # One count per second is 7 electrons per second, so one electron is 2.5 log10(7) fainter.
    assert found.zeropoint == pytest.approx(F140W + 2.5 * math.log10(7.0), abs=1e-3)
    without = calibration(cards(header))
    assert without.zeropoint is None
    assert any("there is no gain" in note for note in without.notes)


def test_the_exposure_of_tess_is_in_days() -> None:
    assert calibration(cards({"TELESCOP": "TESS", "EXPOSURE": 2.0, "EXPTIME": 5.0})).exptime == 2 * 86400


def test_a_stretched_image_is_of_counts() -> None:
    # BSOFTEN marks the asinh scale of Pan-STARRS; BUNIT is missing.
    assert calibrate.linearised(cards({"BSOFTEN": 3.0, "BOFFSET": 2.0})) == (2.0, 3.0)
    assert calibrate.linearised(cards({"BSOFTEN": 3.0})) == (0.0, 3.0)
    assert calibrate.linearised(cards({"BOFFSET": 2.0})) is None
    assert calibrate.linearised(cards({"BSOFTEN": 0.0, "BOFFSET": 2.0})) is None
    found = calibration(cards({"BSOFTEN": 3.0, "EXPTIME": 10.0, "CCDGAIN": 2.0}))
    assert found.unit == "ct/s"
    assert found.factor == pytest.approx(0.1)
    assert found.quality & Quality.ASSUMED


def test_zero_points_of_other_systems() -> None:
    """ST from PHOTFLAM; Vega's for one filter of a table, and none where no table has it."""
    hubble = {"TELESCOP": "HST", "INSTRUME": "WFC3", "DETECTOR": "IR", "BUNIT": "ELECTRONS/S", **PHOT}
    found = calibration(cards(hubble | {"FILTER": "F140W"}))
    assert found.zeropoint_st == pytest.approx(-2.5 * math.log10(1.4737e-20) - 21.10)
    assert found.zeropoint is not None
    assert found.zeropoint_vega == pytest.approx(found.zeropoint - 1.0763)
    assert found.wavelength == 13922.907
    clear = {"FILTER1": "CLEAR1S", "FILTER2": "F140W"}
    assert calibration(cards(hubble | clear)).zeropoint_vega == found.zeropoint_vega
    for filters in ({"FILTER": "F999W"}, {"FILTER1": "POL0V", "FILTER2": "F140W"}, {}):
        assert calibration(cards(hubble | filters)).zeropoint_vega is None
    janskys = calibration(cards({"BUNIT": "MJy/sr", "PIXAR_SR": 1e-13}))
    assert (janskys.zeropoint_st, janskys.zeropoint_vega) == (None, None)
