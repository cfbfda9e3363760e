"""Positions and radii as users write them, and as astropy objects."""

from typing import Any

import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st

from skyfan.errors import UsageError
from skyfan.sky import angles


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
def test_sexagesimal_positions_are_read_as_by_astropy(text: str) -> None:
    expected = SkyCoord(text, unit=("hourangle", "deg"))
    assert angles.position(text) == pytest.approx((expected.ra.deg, expected.dec.deg), abs=1e-10)


@given(st.floats(0, 359.9), st.floats(-90, 90))
@settings(deadline=None)
def test_degrees_and_the_format_of_astropy_are_read(ra: float, dec: float) -> None:
    sky = SkyCoord(ra, dec, unit="deg")
    assert angles.position(f"{ra:.10f} {dec:.10f}") == pytest.approx((ra, dec), abs=1e-9)
    assert angles.position(sky.to_string("hmsdms", precision=8)) == pytest.approx((ra, dec), abs=1e-9)


def test_a_comma_and_degree_units_are_accepted() -> None:
    assert angles.position("53.16, -27.78") == (53.16, -27.78)
    assert angles.position("53.16d -27.78d") == (53.16, -27.78)
    assert angles.position("53d30m0s +1d0m0s") == (53.5, 1.0)
    assert angles.position("360 0") == (0.0, 0.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a position"),
        ("53.1", "not a position"),
        ("3h61m0s 5d0m0s", "not a position"),
        ("10 3h32m39s", "not a position"),
        ("1 2 3", "not a position"),
        ("361 5", "not on the sky"),
        ("-1 5", "not on the sky"),
        ("25h0m0s 5", "not on the sky"),
        ("10 90.1", "not on the sky"),
    ],
)
def test_an_invalid_position_is_named(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        angles.position(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "degrees"), [("5s", 5 / 3600), ("2m", 2 / 60), ("1d", 1), ('5"', 5 / 3600), (" .5 d", 0.5)]
)
def test_a_radius_has_a_unit(text: str, degrees: float) -> None:
    assert angles.radius(text) == pytest.approx(degrees)


def test_units_quantities_and_coordinates_of_astropy_are_accepted() -> None:
    assert angles.radius("3 arcmin") == pytest.approx(0.05)
    assert angles.radius(30 * units.arcsec) == pytest.approx(30 / 3600)
    centre = SkyCoord(l=0, b=0, unit="deg", frame="galactic")
    assert angles.position(centre) == pytest.approx((266.405, -28.936), abs=1e-3)
    assert angles.position((10.5, -3)) == (10.5, -3.0)
    with pytest.raises(UsageError):
        angles.position(SkyCoord([1, 2], [3, 4], unit="deg"))


def test_a_name_goes_to_the_resolver() -> None:
    names: list[str] = []

    def resolve(name: str) -> tuple[float, float]:
        names.append(name)
        return 6.02, -72.08

    assert [angles.position(name, resolve) for name in (" 47 Tuc", "M31")] == [(6.02, -72.08)] * 2
    assert names == ["47 Tuc", "M31"]


@pytest.mark.parametrize(
    "text", ["5", 5, 5.0, 5 * units.s, "3 parsec", "0s", "-1s", "181d", "s", "1h", "nan d"]
)
def test_an_invalid_radius_is_named(text: Any) -> None:
    with pytest.raises(UsageError) as caught:
        angles.radius(text)
    assert repr(str(text)) in str(caught.value)


@pytest.mark.parametrize(
    ("arcsec", "expected"),
    [(0.07, "0.05″"), (1.0, "1″"), (9.9, "5″"), (59, "50″"), (130, "2′"), (3500, "50′"), (4000, "1°")],
)
def test_round_lengths_are_the_largest_that_fit(arcsec: float, expected: str) -> None:
    length, label = angles.round_length(arcsec)
    assert label == expected
    assert arcsec / 2.5 <= length <= arcsec
