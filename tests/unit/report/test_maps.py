"""Positions on the maps."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from skyfan.report import maps
from skyfan.sky.footprints import NO_FOOTPRINTS, Floats, Footprints, fields, separation, vectors


def _pieces(path: str) -> list[Floats]:
    """The points of each piece of a path's data."""
    return [
        np.array([[float(v) for v in point.split()] for point in piece.split("L")])
        for piece in path.split("M")[1:]
    ]


def _prints(ra: object, dec: object, half: float = 0.02) -> Footprints:
    a, d = np.asarray(ra, float), np.asarray(dec, float)
    wide = half / np.cos(np.radians(d))
    regions = [
        f"POLYGON ICRS {x - w} {y - half} {x + w} {y - half} {x + w} {y + half} {x - w} {y + half}"
        for x, y, w in zip(a, d, wide, strict=True)
    ]
    return Footprints(a, d, regions)


def test_the_galactic_equator_is_where_astropy_has_it() -> None:
    drawn = ET.fromstring(maps.whole_sky("m", NO_FOOTPRINTS, NO_FOOTPRINTS).svg)
    path = next(e.get("d", "") for e in drawn.iter("path") if e.get("class") == "galaxy")
    ours = np.concatenate(_pieces(path))
    theirs = SkyCoord(l=np.arange(0, 360, 10), b=np.zeros(36), unit="deg", frame="galactic").icrs
    for point in maps._SKY.pixels(vectors(theirs.ra.deg, theirs.dec.deg)):
        assert np.hypot(*(ours - point).T).min() < 3.0


def test_no_line_leaps_over_the_map() -> None:
    large = _prints([90.0, 89.0, 10, 200], [10.0, -40, 85, -88], 6)
    drawn = ET.fromstring(maps.whole_sky("m", large, large).svg)
    paths = [element.get("d", "") for element in drawn.iter("path")]
    assert len(paths) > 20
    for piece in (piece for path in paths for piece in _pieces(path)):
        assert np.hypot(*np.diff(piece, axis=0).T).max(initial=0) < 11


def test_only_large_images_have_an_outline_on_the_whole_sky() -> None:
    drawn = ET.fromstring(maps.whole_sky("m", _prints([10], [20], 6), _prints([10], [20], 0.05)).svg)
    assert len(drawn.findall("g[@class='planned many']/path")) == 1
    assert not drawn.findall("g[@class='measured many']/path")
    assert len(drawn.findall("g[@class='measured many']/circle")) == 1


def test_discs_have_a_limit_however_many_images() -> None:
    rng = np.random.default_rng(1)
    many = Footprints(
        rng.uniform(0, 360, 200_000), np.degrees(np.arcsin(rng.uniform(-1, 1, 200_000))), [None] * 200_000
    )
    assert len(maps.whole_sky("m", NO_FOOTPRINTS, many).svg) < 800_000


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
    assert fields(NO_FOOTPRINTS) == []


def test_of_many_places_those_with_the_most_images_are_looked_at() -> None:
    ra = [10.0] * 5 + [120.0] * 3 + [200.0] * 2 + [300.0]
    found = fields(_prints(ra, [5.0] * len(ra)))
    assert [len(field.images) for field in found] == [5, 3, 2]
    assert [round(field.ra) for field in found] == [10, 120, 200]


@pytest.mark.parametrize("dec", [-89.9, -60.0, 0.0, 45.0, 89.9])
def test_a_field_shows_its_images(dec: float) -> None:
    planned = _prints([0.01, 359.99, 0.0], [dec, dec, dec], 0.01)
    (field,) = fields(planned)
    drawn = ET.fromstring(maps.field_map("f", "All images", field, planned, NO_FOOTPRINTS).svg)
    outlines = [path.get("d", "") for path in drawn.iterfind("g[@class='planned']/path")]
    assert len(outlines) == 3
    for outline in outlines:
        (piece,) = _pieces(outline)
        assert len(piece) == 5
        assert ((piece > 8) & (piece < 412)).all()


@pytest.mark.parametrize("dec", [-89.9, -60.0, 0.0, 45.0, 89.9])
def test_a_field_has_labelled_lines_on_both_axes(dec: float) -> None:
    planned = _prints([0.01, 359.99, 0.0], [dec, dec, dec], 0.01)
    (field,) = fields(planned)
    drawn = ET.fromstring(maps.field_map("f", "All images", field, planned, NO_FOOTPRINTS).svg)
    labels = [text.text or "" for text in drawn.iterfind("g[@class='axis halo']/text")]
    signed = [label for label in labels if label[0] in "+−" or (label == "0°" and not dec)]
    assert len(signed) >= 2
    assert len(labels) - len(signed) >= 2
    assert all(abs(float(label[:-1].replace("−", "-")) - dec) < 0.2 for label in signed)


def test_a_crowded_field_is_sampled_and_says_so() -> None:
    rng = np.random.default_rng(2)
    many = _prints(rng.normal(50, 0.1, 5000), rng.normal(0, 0.1, 5000))
    (field,) = fields(many)
    drawn = maps.field_map("f", "All", field, NO_FOOTPRINTS, many).svg
    assert f"{maps.MAX_OUTLINES:,}" in drawn
    assert len(drawn) < 200_000
