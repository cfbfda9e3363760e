"""The table of instruments: complete for what must work, and free of contradictions."""

import pytest

from sep_extract.instruments import Instrument, instrument, table

HUBBLE = [("WFC3", "IR"), ("WFC3", "UVIS"), ("ACS", "WFC"), ("ACS", "HRC"), ("ACS", "SBC"), ("STIS", "CCD")]


@pytest.mark.parametrize("name", HUBBLE)
def test_every_camera_has_its_bits_and_says_where_they_stand(name: tuple[str, str]) -> None:
    row = instrument("HST", *name)
    assert row.flags_known
    assert "Handbook" in row.source


@pytest.mark.parametrize("row", table(), ids=lambda row: row.name or "default")
def test_rows_do_not_contradict_themselves(row: Instrument) -> None:
    assert row.saturated == 0 or row.good & row.saturated != row.saturated or row.name == "JWST"
    assert 0 <= row.good <= 0xFFFFFFFF
    assert row.per in {"electron", "count", "pixel"}
    assert row.source
    assert not row.box or len(row.box) == 4


def test_saturation_is_that_of_the_handbooks() -> None:
    assert instrument("HST", "WFC3", "IR").saturated == 256
    for camera in (("WFC3", "UVIS"), ("ACS", "WFC"), ("ACS", "HRC")):
        assert instrument("HST", *camera).saturated == 256 | 2048, "full well, and the converter's limit"


def test_headers_may_be_in_small_letters_or_without_a_telescope() -> None:
    assert instrument("hst", "wfc3", "ir") is instrument("HST", "WFC3", "IR")
    assert instrument("", "WFC3", "IR").name == "HST/WFC3/IR"


def test_an_instrument_without_detectors_has_one_row() -> None:
    assert instrument("HST", "WFPC2", "4").name == "HST/WFPC2"
    assert instrument("JWST", "NIRCAM", "NRCA1").name == "JWST"
    assert instrument("TESS", "TESS Photometer", "").name == "TESS"


def test_the_pixel_contains_source_bit_of_nicmos_condemns_nothing() -> None:
    assert instrument("HST", "NICMOS", "").good & 1024


def test_of_jwst_only_do_not_use_is_bad() -> None:
    assert ~instrument("JWST", "MIRI", "").good & 0xFFFFFFFF == 1


@pytest.mark.parametrize(
    "name", [("", "", ""), ("GALEX", "NUV", ""), ("HST", "WFC3", ""), ("SDSS", "ACS", "WFC")]
)
def test_an_unknown_instrument_has_no_good_bit(name: tuple[str, str, str]) -> None:
    row = instrument(*name)
    assert not row.flags_known
    assert row.good == 0
