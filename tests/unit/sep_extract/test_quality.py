"""The table of good bits: complete for what must work, and free of contradictions."""

import pytest

from sep_extract.quality import TABLE, UNKNOWN, bits_for


@pytest.mark.parametrize(
    "instrument", [("WFC3", "IR"), ("WFC3", "UVIS"), ("ACS", "WFC"), ("ACS", "HRC"), ("ACS", "SBC")]
)
def test_every_camera_has_its_bits_and_says_where_they_stand(instrument: tuple[str, str]) -> None:
    bits = bits_for(*instrument)
    assert bits is not UNKNOWN
    assert "drizzlepac" in bits.source
    assert "Data Handbook" in bits.source


@pytest.mark.parametrize("bits", TABLE.values(), ids=map(str, TABLE))
def test_a_saturated_pixel_is_never_a_good_one(bits: tuple[int, int, str]) -> None:
    good, saturated, _ = bits
    assert good & saturated == 0
    assert 0 <= good <= 0xFFFF


def test_saturation_is_that_of_the_handbooks() -> None:
    assert bits_for("WFC3", "IR").saturated == 256
    for camera in (("WFC3", "UVIS"), ("ACS", "WFC"), ("ACS", "HRC")):
        assert bits_for(*camera).saturated == 256 | 2048, "full well, and the converter's limit"


def test_headers_may_be_in_small_letters() -> None:
    assert bits_for("wfc3", "ir") is bits_for("WFC3", "IR")


def test_an_instrument_without_detectors_has_one_line() -> None:
    assert bits_for("WFPC2", "4") is TABLE["WFPC2", ""]


@pytest.mark.parametrize("instrument", [("", ""), ("NIRCAM", "NRCA1"), ("WFC3", ""), ("ACS", "UVIS")])
def test_an_unknown_instrument_has_no_good_bit(instrument: tuple[str, str]) -> None:
    assert bits_for(*instrument) is UNKNOWN
    assert UNKNOWN.good == 0
