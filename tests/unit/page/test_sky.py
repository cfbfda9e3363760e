"""Positions on the maps."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hypothesis import given
from hypothesis import strategies as st

from skyfan.page import field as field_map
from skyfan.page import sky
from skyfan.page.footprints import NOWHERE, Footprints, fields, separation, vectors

_RA, _DEC = st.floats(0, 360, exclude_max=True), st.floats(-90, 90)


def _prints(ra: object, dec: object, half: float = 0.02) -> Footprints:
    a, d = np.asarray(ra, float), np.asarray(dec, float)
    wide = half / np.cos(np.radians(d))
    regions = [
        f"POLYGON ICRS {x - w} {y - half} {x + w} {y - half} {x + w} {y + half} {x - w} {y + half}"
        for x, y, w in zip(a, d, wide, strict=True)
    ]
    return Footprints(a, d, regions)


@given(_RA, _DEC)
def test_the_whole_sky_lies_inside_its_ellipse(ra: float, dec: float) -> None:
    x, y = sky.hammer(np.array([ra]), np.array([dec]))
    half = (sky.WIDTH - 16) / 2
    assert ((x[0] - sky.WIDTH / 2) / half) ** 2 + ((y[0] - 112) / (half / 2)) ** 2 <= 1 + 1e-9


def test_east_is_left_and_north_is_up() -> None:
    x, y = sky.hammer(np.array([0.0, 10.0, 350.0, 0.0]), np.array([0.0, 0, 0, 10]))
    assert x[1] < x[0] < x[2]
    assert y[3] < y[0]


def test_the_galactic_equator_is_where_astropy_has_it() -> None:
    drawn = ET.fromstring(sky.whole("m", NOWHERE, NOWHERE))
    path = next(e.get("d", "") for e in drawn.iter("path") if e.get("class") == "galaxy")
    ours = np.array(
        [[float(v) for v in p.split()] for piece in path.split("M")[1:] for p in piece.split("L")]
    )
    there = SkyCoord(l=np.arange(0, 360, 10), b=np.zeros(36), unit="deg", frame="galactic").icrs
    x, y = sky.hammer(there.ra.deg, there.dec.deg)
    for point in zip(x, y, strict=True):
        assert np.hypot(*(ours - point).T).min() < 3.0


def test_discs_have_a_limit_however_many_images() -> None:
    rng = np.random.default_rng(1)
    many = Footprints(
        rng.uniform(0, 360, 200_000), np.degrees(np.arcsin(rng.uniform(-1, 1, 200_000))), [None] * 200_000
    )
    assert len(sky.whole("m", NOWHERE, many)) < 800_000


def test_separation_is_astropys() -> None:
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(0, 360, 500), np.degrees(np.arcsin(rng.uniform(-1, 1, 500)))
    theirs = SkyCoord(ra, dec, unit="deg").separation(SkyCoord(77, -88, unit="deg")).deg
    ours = separation(vectors(ra, dec), vectors(np.array([77.0]), np.array([-88.0]))[0])
    assert ours == pytest.approx(theirs, abs=1e-5)


def test_images_within_some_degrees_are_one_field() -> None:
    # across the meridian of 0 h
    (one,) = fields(_prints([359.9, 0.1, 0.0], [10, 10, 10.1]))
    assert len(one.images) == 3
    assert min(one.ra, 360 - one.ra) < 0.1
    assert fields(NOWHERE) == []


def test_of_many_places_those_with_the_most_images_are_looked_at() -> None:
    ra = [10.0] * 5 + [120.0] * 3 + [200.0] * 2 + [300.0]
    found = fields(_prints(ra, [5.0] * len(ra)))
    assert [len(field.images) for field in found] == [5, 3, 2]
    assert [round(field.ra) for field in found] == [10, 120, 200]


@pytest.mark.parametrize("dec", [-89.9, -60.0, 0.0, 45.0, 89.9])
def test_a_field_shows_its_images(dec: float) -> None:
    planned = _prints([0.01, 359.99, 0.0], [dec, dec, dec], 0.01)
    (field,) = fields(planned)
    drawn = ET.fromstring(field_map.draw("f", field, planned, NOWHERE, "All images"))
    outlines = [path.get("d", "") for path in drawn.iterfind("g/g[@class='planned']/path")]
    assert len(outlines) == 3
    for outline in outlines:
        points = np.array([[float(v) for v in p.split()] for p in outline.strip("MZ").split("L")])
        assert ((points > -5) & (points < 425)).all()


def test_a_crowded_field_is_sampled_and_says_so() -> None:
    rng = np.random.default_rng(2)
    many = _prints(rng.normal(50, 0.1, 5000), rng.normal(0, 0.1, 5000))
    (field,) = fields(many)
    drawn = field_map.draw("f", field, NOWHERE, many, "All")
    assert "1,500 of them drawn" in drawn
    assert len(drawn) < 200_000
