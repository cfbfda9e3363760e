"""Outlines from regions of MAST and of catalogs, and directions on the sky."""

import numpy as np
import pytest

from skyfan.sky.footprints import angles, parse, separation, vectors

SQUARE = "POLYGON ICRS 10.0 -5.0 10.1 -5.0 10.1 -4.9 10.0 -4.9"


@pytest.mark.parametrize(
    ("region", "corners"),
    [
        (SQUARE, [4]),
        ("POLYGON GSC1  23.17474785  60.66012593  23.15424076  60.61702967  23.06645518  60.62703769", [3]),
        ("POLYGON ICRS 1 2 3 4 5 6 POLYGON ICRS 1 2 3 4 5 6 7 8", [3, 4]),
        ("CIRCLE ICRS 10 20 0.5", [33]),
        ("POLYGON 1 2 3 4 5 6", [3]),
        ("Polygon ICRS 1 2 3 4 5 6", [3]),
        ("polygon icrs 1 2 3 4 5 6", [3]),
        ("Circle ICRS 10 20 0.5", [33]),
        ("CIRCLE(ICRS 10 20 0.5)", [33]),
        ("Circle('ICRS', 10, 20, 0.5)", [33]),
        ("POLYGON ICRS ((1 2, 3 4, 5 6))", [3]),
        ("Polygon ICRS TOPOCENTER SPHERICAL2 1 2 3 4 5 6", [3]),
        ("Union ICRS (Polygon 1 2 3 4 5 6 Circle 10 20 0.5)", [3, 33]),
        ("UNION ICRS ( POLYGON ( 1 2 3 4 5 6 ) POLYGON ( 1 2 3 4 5 6 7 8 ) )", [3, 4]),
        ("Box ICRS 10 20 1 2", [4]),
        ("RANGE 10 11 20 21", [4]),
        ("POLYGON ICRS NaN NaN NaN NaN NaN NaN", []),
        ("not a region", []),
        ("", []),
        ("ELLIPSE 1 2 3", []),
        (None, []),
    ],
)
def test_regions(region: str | None, corners: list[int]) -> None:
    assert [len(outline) for outline in parse(region)] == corners


def test_a_box_has_its_width_on_the_sky() -> None:
    (outline,) = parse("Box ICRS 10 60 1 2")
    assert outline == pytest.approx(np.array([[9, 59], [11, 59], [11, 61], [9, 61]]))


def test_other_frames_become_icrs() -> None:
    (outline,) = parse("Circle GALACTIC 0 0 1")
    assert outline.mean(axis=0) == pytest.approx([266.405, -28.936], abs=0.1)


def test_the_name_of_the_frame_is_not_a_coordinate() -> None:
    (outline,) = parse("POLYGON J2000 1.5 2 3 4 5 -6e-1")
    assert outline.tolist() == [[1.5, 2], [3, 4], [5, -0.6]]


@pytest.mark.parametrize(("ra", "dec"), [(10.0, 0.0), (359.9, 60.0), (0.0, 89.9), (77.0, -90.0)])
def test_a_circle_has_its_radius_everywhere(ra: float, dec: float) -> None:
    (outline,) = parse(f"CIRCLE ICRS {ra} {dec} 0.5")
    centre = vectors(np.array([ra]), np.array([dec]))[0]
    assert separation(vectors(*outline.T), centre) == pytest.approx(0.5)


def test_angles_are_those_of_the_vectors() -> None:
    rng = np.random.default_rng(8)
    ra, dec = rng.uniform(0, 360, 50), rng.uniform(-90, 90, 50)
    assert np.array(angles(3 * vectors(ra, dec))) == pytest.approx(np.array([ra, dec]))
