"""The compiled core alone gives what astropy.wcs.WCS gives, to the last bit; what is not plain is left."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from sep_extract import plain_wcs, wcs_cards

Cards = dict[str, Any]

BASE: Cards = {"NAXIS": 2, "NAXIS1": 1014, "NAXIS2": 1014, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"}
BASE |= {"CRPIX1": 507.0, "CRPIX2": 507.0, "CRVAL1": 53.1, "CRVAL2": -27.8, "CUNIT1": "deg", "CUNIT2": "deg"}
BASE |= {"CD1_1": -3.5e-5, "CD1_2": 1e-6, "CD2_1": 1e-6, "CD2_2": 3.1e-5}
SIP: Cards = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 3}
SIP |= {"A_2_0": 1e-6, "A_0_2": 2e-6, "A_1_1": 3e-7, "B_2_0": 1e-7, "B_0_2": -2e-6, "B_3_0": 1e-10}
X, Y = (grid.ravel() for grid in np.meshgrid(np.linspace(-50, 1100, 24), np.linspace(-50.3, 1100.7, 23)))


def assert_equal(header: fits.Header) -> None:
    """To the last bit, and in all that wcslib knows of the header."""
    ours = plain_wcs.read(header)
    assert ours is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = WCS(header, naxis=2)
    np.testing.assert_array_equal(
        np.stack(ours.all_pix2world(X, Y, 0)), np.stack(theirs.all_pix2world(X, Y, 0))
    )
    assert theirs.has_celestial
    assert ours.wcs.compare(theirs.wcs)
    for name in ("radesys", "lngtyp", "lng", "lat", "naxis"):
        assert getattr(ours.wcs, name) == getattr(theirs.wcs, name)
    assert str(ours.wcs.equinox) == str(theirs.wcs.equinox)  # NaN, too


def headers_of(path: Path) -> list[fits.Header]:
    """The WCS cards of all HDUs that have celestial ones."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(path) as hdus:
            for hdu in hdus:
                cards = wcs_cards.read(hdu.header)
                found += [cards.header, cards.without_lookup_tables()] if cards else []
    return found


def check_file(path: Path) -> int:
    """Compare all plain headers of a file; returns how many they are."""
    plain = [header for header in headers_of(path) if plain_wcs.is_plain(header)]
    for header in plain:
        assert_equal(header)
    return len(plain)


def test_every_image_of_the_demo(demo_data: Path) -> None:
    assert sum(check_file(path) for path in sorted(demo_data.glob("*.fits"))) > 10


def test_every_real_image(shared_data: Path) -> None:
    assert sum(check_file(path) for path in sorted(shared_data.glob("*.fits*"))) > 30


@settings(deadline=None, max_examples=60)
@given(
    st.floats(-180, 360),
    st.floats(-90, 90),
    st.floats(0.005, 20).map(lambda arcsec: arcsec / 3600),
    st.floats(0, 2 * math.pi),
    st.sampled_from(["CD", "PC", "CROTA"]),
    st.sampled_from([{}, SIP, SIP | {"AP_ORDER": 2, "BP_ORDER": 2, "AP_2_0": 1e-6}]),
    st.sampled_from(
        [
            {},
            {"RADESYS": "ICRS", "WCSAXES": 2, "WCSNAME": "IDC_w3m18525i"},
            {"RADESYS": "FK5", "EQUINOX": 2000.0, "LONPOLE": 180.0, "LATPOLE": -27.8},
            {"RADESYS": "FK5", "EQUINOX": 2000.0, "LONPOLE": 150.0},
            {"EQUINOX": 2000.0, "DATE-OBS": "2009-10-03"},
            {"DATE-OBS": "2009-10-03T10:00:00", "MJD-OBS": 55107.4166},
            {"DATE-OBS": "03/10/99", "CUNIT1": "arcsec", "CUNIT2": "arcsec"},
        ]
    ),
)
def test_made_headers(
    ra: float, dec: float, scale: float, turn: float, linear: str, sip: Cards, frame: Cards
) -> None:
    cards = {key: value for key, value in BASE.items() if not key.startswith("CD")}
    cards |= {"CRVAL1": ra, "CRVAL2": dec} | sip | frame
    c, s = math.cos(turn), math.sin(turn)
    if linear == "CROTA":
        cards |= {"CDELT1": -scale, "CDELT2": scale, "CROTA2": math.degrees(turn)}
    else:
        step = 1.0 if linear == "PC" else scale
        cards |= {"CDELT1": -scale, "CDELT2": scale} if linear == "PC" else {}
        cards |= {
            f"{linear}{i}_{j}": step * value
            for (i, j), value in {(1, 1): -c, (1, 2): s, (2, 1): s, (2, 2): c}.items()
        }
    assert_equal(fits.Header(cards))


@pytest.mark.parametrize(
    "cards",
    [
        {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN"},
        {"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV"},
        {"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN"},
        {"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN"},
        {"CTYPE1": "RA---TAN-SIP"},
        {"PV2_1": 0.1},
        {"PV1_5": 0.1},
        {"PS1_0": "TABLE"},
        {"CPDIS1": "LOOKUP"},
        {"D2IMDIS1": "LOOKUP"},
        {"NAXIS": 3, "NAXIS3": 5},
        {"WCSAXES": 3, "CTYPE3": "WAVE"},
        {"RADESYS": "FK4", "EQUINOX": 1950.0},
        {"RADESYS": "FK5", "EQUINOX": 1950.0},
        SIP | {"A_ORDER": 1},
        SIP | {"A_ORDER": 12},
        SIP | {"A_DMAX": 1.0},
        SIP | {"AP_ORDER": 2, "AP_2_0": 1e-6},
        {"A_ORDER": 2, "B_ORDER": 2},
        {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"},
    ],
)
def test_what_is_not_plain_is_left_to_the_public_class(cards: Cards) -> None:
    header = fits.Header(BASE | cards)
    assert not plain_wcs.is_plain(header)
    assert plain_wcs.read(header) is None


def test_what_wcslib_refuses_is_left_to_the_public_class() -> None:
    header = fits.Header(BASE | {"CD1_1": 0.0, "CD1_2": 0.0})
    assert plain_wcs.is_plain(header)
    assert plain_wcs.read(header) is None


def test_without_the_core_every_header_is_for_the_public_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_wcs, "_CORE", "astropy.wcs.none")
    assert plain_wcs.read(fits.Header(BASE)) is None
