"""WCS cards in their many spellings: the same sky, or none with a note; never another sky in silence."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from sep_extract.sky import Sky

SHAPE = (128, 128)
X, Y = (grid.ravel() for grid in np.meshgrid([0.0, 60.0, 127.0], [0.0, 70.0, 127.0]))
Cards = dict[str, Any]


def base(ra: float = 53.1, dec: float = -27.8) -> Cards:
    return {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRPIX1": 64.5,
        "CRPIX2": 64.5,
        "CRVAL1": ra,
        "CRVAL2": dec,
        "CUNIT1": "deg",
        "CUNIT2": "deg",
    }


def matrix(scale: float, turn: float) -> np.ndarray:
    """Degrees per pixel, north turned by an angle, east to the left."""
    c, s = math.cos(turn), math.sin(turn)
    return scale * np.array([[-c, s], [s, c]])


def as_cd(m: np.ndarray) -> Cards:
    return {f"CD{i + 1}_{j + 1}": float(m[i, j]) for i in (0, 1) for j in (0, 1)}


def as_pc(m: np.ndarray, names: str = "PC{i}_{j}") -> Cards:
    step = float(np.sqrt(abs(np.linalg.det(m))))
    cards: Cards = {"CDELT1": -step, "CDELT2": step}
    pc = m / np.array([[-step], [step]])
    return cards | {names.format(i=i + 1, j=j + 1): float(pc[i, j]) for i in (0, 1) for j in (0, 1)}


def with_d(cards: Cards) -> Cards:
    """Cards whose numbers have a D before the exponent, which FITS allows as well as E."""
    return {key: f"{key:8}= {f'{value:.14E}'.replace('E', 'D'):>20} / D1" for key, value in cards.items()}


SPELLINGS: dict[str, Callable[[np.ndarray], Cards]] = {
    "CD": as_cd,
    "PC and CDELT": as_pc,
    "PC001001": lambda m: as_pc(m, "PC00{i}00{j}"),
    "CD beside PC and CDELT of 1": lambda m: as_cd(m) | as_pc(m) | {"CDELT1": 1.0, "CDELT2": 1.0},
    "PC without CDELT": lambda m: (
        {key.replace("CD", "PC"): value for key, value in as_cd(m).items()} | {"CDELT1": 1.0, "CDELT2": 1.0}
    ),
    "D exponents": lambda m: with_d(as_cd(m)),
    "D exponents as text": lambda m: {
        key: f"{value:.14E}".replace("E", "D") for key, value in as_cd(m).items()
    },
    "numbers as text": lambda m: {key: str(value) for key, value in as_cd(m).items()},
    "units in words": lambda m: as_cd(m) | {"CUNIT1": "Degrees", "CUNIT2": "degree"},
    "no units": lambda m: as_cd(m) | {"CUNIT1": None, "CUNIT2": None},
    "frame in words": lambda m: as_cd(m) | {"RADESYS": "FK5 J2000", "EQUINOX": "J2000"},
    "frame in small letters": lambda m: as_cd(m) | {"RADESYS": "icrs"},
    "left-over SIP": lambda m: as_cd(m) | {"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-4, "B_0_2": 1e-4},
    "left-over PV": lambda m: as_cd(m) | {"PV1_5": 0.1, "PV2_7": 0.2},
    "lookup tables that are not there": lambda m: as_cd(m) | {"CPDIS1": "LOOKUP"},
}


def header(cards: Cards) -> fits.Header:
    given = {key: value for key, value in cards.items() if value is not None}
    return fits.Header(
        [
            fits.Card.fromstring(value) if str(value).startswith(f"{key:8}= ") else fits.Card(key, value)
            for key, value in given.items()
        ]
    )


def separation(found: np.ndarray, truth: np.ndarray) -> float:
    """Largest distance in arcsec."""
    ours, theirs = (SkyCoord(*place.T, unit="deg") for place in (found, truth))
    return float(ours.separation(theirs).arcsec.max())


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(list(SPELLINGS)),
    st.floats(0, 359.9),
    st.floats(-88, 88),
    st.floats(0.005, 20).map(lambda arcsec: arcsec / 3600),
    st.floats(0, 2 * math.pi),
)
def test_every_spelling_gives_the_same_sky(
    spelling: str, ra: float, dec: float, scale: float, turn: float
) -> None:
    m = matrix(scale, turn)
    truth = np.column_stack(WCS(header(base(ra, dec) | as_cd(m))).all_pix2world(X, Y, 0))
    sky = Sky.read(header(base(ra, dec) | SPELLINGS[spelling](m)), fits.HDUList(), SHAPE)
    assert sky.wcs is not None, sky.notes
    # FK5 and ICRS are taken for the same; they differ by 0.03 arcsec at most.
    assert separation(sky.world(X, Y), truth) < 0.001
    assert sky.scale == pytest.approx(scale * 3600, rel=0.01)


@pytest.mark.parametrize(
    "name", [name for name in SPELLINGS if name.startswith(("left-over", "lookup", "units in", "numbers"))]
)
def test_what_was_read_otherwise_than_it_stands_is_said(name: str) -> None:
    sky = Sky.read(header(base() | SPELLINGS[name](matrix(1e-5, 0.3))), fits.HDUList(), SHAPE)
    assert sky.fallback
    assert sky.notes


@pytest.mark.parametrize(
    ("cards", "named"),
    [
        ({"CRVAL1": None}, "CRVAL1"),
        ({"CRPIX2": None}, "CRPIX2"),
        ({"CD1_1": None, "CD1_2": None, "CD2_1": None, "CD2_2": None}, "CDELT"),
        ({"CD1_1": None, "CD2_1": None}, ""),
        ({"CTYPE1": "RA", "CTYPE2": "DEC"}, "CTYPE"),
        ({"CTYPE1": "RA---TNX", "CTYPE2": "DEC--TNX"}, "TNX"),
        ({"CTYPE1": "RA---TAN", "CTYPE2": "GLAT-TAN"}, "CTYPE"),
        ({"CRVAL1": "east"}, "CRVAL1"),
        ({"CUNIT1": "pixel"}, "CUNIT1"),
        ({"RADESYS": "GAPPT"}, "RADESYS"),
        ({"CD1_1": -10.0, "CD2_2": 10.0}, "arcsec large"),
        ({"CD1_1": -1.0}, "arcsec large"),
        ({"CD1_1": -1e-12, "CD1_2": 0.0}, "arcsec large"),
        ({"CD1_1": -1e-12, "CD2_2": 1e-12, "CD1_2": 0.0, "CD2_1": 0.0}, "arcsec large"),
    ],
)
def test_what_would_have_to_be_guessed_is_no_sky_with_a_note(cards: Cards, named: str) -> None:
    sky = Sky.read(header(base() | as_cd(matrix(1e-5, 0.3)) | cards), fits.HDUList(), SHAPE)
    assert sky.wcs is None
    assert sky.lost
    assert named in sky.notes[-1]


def test_a_card_that_stands_twice_with_two_values_is_no_sky() -> None:
    cards = header(base() | as_cd(matrix(1e-5, 0.3)))
    cards.append(("CRVAL1", 99.0))
    assert Sky.read(cards, fits.HDUList(), SHAPE).lost
    same = header(base() | as_cd(matrix(1e-5, 0.3)))
    same.append(("CRVAL1", 53.1))
    assert Sky.read(same, fits.HDUList(), SHAPE).wcs is not None


def test_an_image_without_celestial_axes_has_lost_nothing() -> None:
    sky = Sky.read(fits.Header({"CTYPE1": "LINEAR", "CRVAL1": 1.0}), fits.HDUList(), SHAPE)
    assert (sky.wcs, sky.lost) == (None, False)


@pytest.mark.parametrize(
    ("longitude", "latitude", "frame"),
    [
        ("GLON", "GLAT", "galactic"),
        ("ELON", "ELAT", "barycentricmeanecliptic"),
        ("SLON", "SLAT", "supergalactic"),
    ],
)
def test_other_frames_become_icrs(longitude: str, latitude: str, frame: str) -> None:
    kinds = {"CTYPE1": f"{longitude}-TAN", "CTYPE2": f"{latitude}-TAN"}
    m = matrix(1e-5, 0.7)
    native = np.column_stack(WCS(header(base() | as_cd(m))).all_pix2world(X, Y, 0))
    truth = SkyCoord(*native.T, unit="deg", frame=frame).icrs
    sky = Sky.read(header(base() | as_cd(m) | kinds), fits.HDUList(), SHAPE)
    found = SkyCoord(*sky.world(X, Y).T, unit="deg")
    assert found.separation(truth).arcsec.max() < 0.001


def test_sip_is_applied_where_ctype_says_so() -> None:
    cards = base() | as_cd(matrix(1e-5, 0.3)) | {"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-4, "B_0_2": 1e-4}
    cards |= {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"}
    truth = np.column_stack(WCS(header(cards)).all_pix2world(X, Y, 0))
    sky = Sky.read(header(cards), fits.HDUList(), SHAPE)
    assert separation(sky.world(X, Y), truth) < 1e-6
    assert not sky.fallback
