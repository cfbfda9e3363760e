"""Positions and radii as people write them."""

import pytest
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st

from skyfan.catalogs import position
from skyfan.errors import UsageError


@pytest.mark.parametrize(
    "text",
    [
        "3h32m39s -27d46m48s",
        "03:32:39.05 -27:46:48.1",
        "03 32 39.05 -27 46 48.1",
        "0:0:0 -0:30:00",
        "23h59m59.99s +89d59m59.9s",
        "3h32.5m -27d46.5m",
    ],
)
def test_sexagesimal_is_read_as_astropy_does(text: str) -> None:
    expected = SkyCoord(text.replace("d", "d"), unit=("hourangle", "deg"))
    assert position.around(text) == pytest.approx((expected.ra.deg, expected.dec.deg), abs=1e-10)


@given(st.floats(0, 359.9), st.floats(-90, 90))
@settings(deadline=None)
def test_degrees_and_astropys_own_writing_come_back(ra: float, dec: float) -> None:
    sky = SkyCoord(ra, dec, unit="deg")
    assert position.around(f"{ra:.10f} {dec:.10f}") == pytest.approx((ra, dec), abs=1e-9)
    assert position.around(sky.to_string("hmsdms", precision=8)) == pytest.approx((ra, dec), abs=1e-9)


def test_a_comma_and_degree_signs_are_taken() -> None:
    assert position.around("53.16, -27.78") == (53.16, -27.78)
    assert position.around("53.16d -27.78d") == (53.16, -27.78)
    assert position.around("53d30m0s +1d0m0s") == (53.5, 1.0)
    assert position.around("360 0") == (0.0, 0.0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no position"),
        ("53.1", "no position"),
        ("M 31", "no position"),
        ("nan 5", "no position"),
        ("3h61m0s 5d0m0s", "no position"),
        ("10 3h32m39s", "no position"),
        ("1 2 3", "no position"),
        ("361 5", "not on the sky"),
        ("-1 5", "not on the sky"),
        ("25h0m0s 5", "not on the sky"),
        ("10 90.1", "not on the sky"),
    ],
)
def test_what_is_no_position_is_told(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        position.around(text)


@pytest.mark.parametrize(
    ("text", "degrees"), [("5s", 5 / 3600), ("2m", 2 / 60), ("1d", 1), ('5"', 5 / 3600), (" .5 d", 0.5)]
)
def test_a_radius_has_a_unit(text: str, degrees: float) -> None:
    assert position.radius(text) == pytest.approx(degrees)


@pytest.mark.parametrize("text", ["5", "0s", "-1s", "181d", "s", "1h", "nan d"])
def test_what_is_no_radius_is_told(text: str) -> None:
    with pytest.raises(UsageError, match="give 5s, 2m or 1d"):
        position.radius(text)
