"""Distances and circles, against astropy."""

import math

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy_healpix import HEALPix
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skyfan.catalogs import sphere

RA = st.floats(0, 360, exclude_max=True)
DEC = st.floats(-90, 90)
RADIUS = st.floats(-5, math.log10(180)).map(lambda power: 10**power)


@given(RA, DEC, RA, DEC)
@example(0.0, 90.0, 180.0, 90.0)
@example(359.9999, 0.0, 0.0001, 0.0)
@example(10.0, 20.0, 190.0, -20.0)
@settings(deadline=None)
def test_distances_are_astropys(ra: float, dec: float, other_ra: float, other_dec: float) -> None:
    expected = SkyCoord(ra, dec, unit="deg").separation(SkyCoord(other_ra, other_dec, unit="deg")).deg
    found = sphere.separation(ra, dec, np.array([other_ra]), np.array([other_dec]))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


def test_keys_are_the_pixels_of_order_29_and_none_where_there_is_no_position() -> None:
    ra = np.array([10.0, -10.0, 350.0, 0.0, np.nan, 5.0, np.inf, 5.0])
    dec = np.array([20.0, -30.0, -30.0, 90.0, 1.0, np.nan, 1.0, 90.5])
    keys = sphere.keys(ra, dec)
    expected = HEALPix(1 << 29, order="nested").lonlat_to_healpix(ra[:4] * u.deg, dec[:4] * u.deg)
    assert keys[:4].tolist() == expected.tolist()
    assert keys[1] == keys[2]
    assert keys[4:].tolist() == [-1] * 4


@given(RA, DEC, RADIUS, st.integers(0, 2**32))
@example(0.0, 90.0, 0.001, 1)
@example(0.0, -90.0, 5.0, 1)
@example(45.0, math.degrees(math.asin(2 / 3)), 0.01, 1)
@example(359.99999, 0.0, 0.001, 1)
@example(0.0, 0.0, 180.0, 1)
@settings(deadline=None, max_examples=60)
def test_a_circles_ranges_hold_all_of_it_and_little_more(
    ra: float, dec: float, radius: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    centre = SkyCoord(ra, dec, unit="deg")
    distance = radius * np.append(np.sqrt(rng.random(200)), [0.0, 0.9999999])
    points = centre.directional_offset_by(rng.uniform(0, 360, 202) * u.deg, distance * u.deg)
    ranges = sphere.circle(ra, dec, radius)
    assert np.all(ranges[:, 0] < ranges[:, 1])
    assert np.all(ranges[1:, 0] > ranges[:-1, 1])
    keys = sphere.keys(points.ra.deg, points.dec.deg)
    at = np.searchsorted(ranges[:, 1], keys, side="right")
    assert np.all(ranges[np.minimum(at, len(ranges) - 1), 0] <= keys)
    assert np.all(at < len(ranges))
    share = float((ranges[:, 1] - ranges[:, 0]).sum()) / (12 << 58)
    assert share <= min(1.0, 12 * (1 - math.cos(math.radians(radius))) / 2 + 1e-15)


@pytest.mark.parametrize("order", [0, 1, 2, 5])
def test_no_pixel_reaches_farther_than_its_radius(order: int) -> None:
    grid = HEALPix(1 << order, order="nested")
    pixels = np.arange(12 << (2 * order))
    lon, lat = grid.healpix_to_lonlat(pixels)
    edges = grid.boundaries_lonlat(pixels, step=4)
    away = SkyCoord(lon[:, None], lat[:, None]).separation(SkyCoord(*edges)).rad
    assert away.max() == pytest.approx(sphere.pixel_radius(order), rel=1e-9)
