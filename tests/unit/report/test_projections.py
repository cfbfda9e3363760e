"""Curves on maps: whole, without leaps, and cut exactly at the edge."""

from itertools import pairwise

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hypothesis import given
from hypothesis import strategies as st

from skyfan.report.projections import (
    STEP,
    Gnomonic,
    Hammer,
    cut,
    great_circle,
    meridian,
    parallel,
    refined,
)
from skyfan.sky.footprints import Floats, vectors

SKY = Hammer(270.0, 210, 112, 404)
# Hammer's map stretches one degree to at most this many pixels: next to the edge at a pole.
_DEGREE = 404 / 4 * np.radians(1) * 2.9

ra_, dec_ = st.floats(0, 360), st.floats(-90, 90)
poles = st.builds(lambda ra, dec: vectors(np.array([ra]), np.array([dec]))[0], ra_, dec_)
curves = (
    poles.map(great_circle)
    | dec_.map(parallel)
    | ra_.map(meridian)
    # On the seam, on the opposite meridian, and through a pole.
    | st.sampled_from([meridian(90.0), meridian(270.0), parallel(0.0, 90.0, 450.0), parallel(90.0)])
    | st.lists(st.tuples(ra_, st.floats(-80, 80)), min_size=2, max_size=8).map(
        lambda points: vectors(*np.array(points).T)
    )
)
views = st.builds(
    Gnomonic, ra_, dec_, st.just(16), st.just(8), st.just(396), st.just(332), st.floats(1e-6, 0.28)
)


def _length(curve: Floats) -> float:
    """Degrees along a curve of unit vectors."""
    return float(np.degrees(2 * np.arcsin(np.linalg.norm(np.diff(curve, axis=0), axis=1) / 2)).sum())


def _radius(pixels: Floats) -> Floats:
    """1 on the edge of the whole sky's map."""
    return np.hypot((pixels[:, 0] - SKY.x) / 202, (pixels[:, 1] - SKY.y) / 101)


@given(curves)
def test_no_piece_leaps_over_the_map_of_the_whole_sky(curve: Floats) -> None:
    fine = refined(curve)
    step = np.degrees(2 * np.arcsin(np.linalg.norm(np.diff(fine, axis=0), axis=1).max() / 2))
    assert step <= STEP + 1e-6
    for piece in SKY.pieces(curve):
        assert (_radius(piece) <= 1 + 1e-9).all()
        assert np.linalg.norm(np.diff(piece, axis=0), axis=1).max(initial=0) <= STEP * _DEGREE


@given(curves)
def test_pieces_end_at_the_edge_or_meet_in_the_middle(curve: Floats) -> None:
    pieces = SKY.pieces(curve)
    ends = SKY.pixels(curve[[0, -1]])
    for end in np.concatenate([piece[[0, -1]] for piece in pieces]):
        on_edge = _radius(end[None])[0] == pytest.approx(1, abs=1e-6)
        in_the_middle = abs(end[0] - SKY.x) < 1e-6
        assert on_edge or in_the_middle or np.abs(ends - end).max(axis=1).min() < 1e-6


@given(curves)
def test_nothing_of_a_curve_is_lost(curve: Floats) -> None:
    for edge in np.eye(3):
        pieces = cut(curve, edge[None]) + cut(curve, -edge[None])
        twice = np.abs(curve @ edge) < 1e-12  # on the edge itself, which belongs to both sides
        steps = [curve[n : n + 2] for n in np.flatnonzero(twice[1:] & twice[:-1])]
        kept = sum(map(_length, pieces)) - sum(map(_length, steps))
        assert kept == pytest.approx(_length(curve), rel=1e-6, abs=1e-6)


@given(views, curves)
def test_pieces_of_a_field_stay_inside_and_end_on_its_frame(view: Gnomonic, curve: Floats) -> None:
    curve = refined(curve)
    low, high = np.array([view.left, view.top]), np.array([view.left + view.width, view.top + view.height])
    ends = view.pixels(curve[[0, -1]][view.inside(curve[[0, -1]])])
    for piece in view.pieces(curve):
        assert (piece >= low - 1e-3).all()
        assert (piece <= high + 1e-3).all()
        for end in piece[[0, -1]]:
            from_frame = min(np.abs(end - low).min(), np.abs(end - high).min())
            assert from_frame < 1e-3 or np.abs(ends - end).max(axis=1).min(initial=1e9) < 1e-3


@given(views, st.floats(-0.4, 0.4), st.floats(-0.4, 0.4))
def test_a_line_through_a_field_crosses_it_whole(view: Gnomonic, across: float, up: float) -> None:
    east, north, middle = view._axes()
    size = np.radians(view.degrees_per_pixel)
    point = middle + across * view.width * size * east + up * view.height * size * north
    pole = np.cross(point, east + 0.3 * north)
    (piece,) = view.pieces(great_circle(pole))
    for end in piece[[0, -1]]:
        x, y = (end - [view.left, view.top]) / [view.width, view.height]
        assert min(abs(x), abs(1 - x), abs(y), abs(1 - y)) < 1e-6
    (dx, dy), (x, y) = piece[-1] - piece[0], (piece - piece[0]).T
    assert np.abs(x * dy - y * dx).max() < 1e-3 * np.hypot(dx, dy)


@pytest.mark.parametrize("dec", [-60.0, 0.0, 60.0])
def test_a_parallel_runs_from_edge_to_edge(dec: float) -> None:
    left, right = sorted(SKY.pieces(parallel(dec)), key=lambda piece: piece[:, 0].mean())
    assert left[:, 0].max() == pytest.approx(SKY.x)
    assert right[:, 0].min() == pytest.approx(SKY.x)
    for piece in (left, right):
        assert all((np.diff(piece[:, 0]) <= 0) | (np.diff(piece[:, 0]) >= 0))
        assert _radius(piece).max() == pytest.approx(1)


def test_the_meridian_at_the_edge_is_the_edge() -> None:
    first, second = SKY.pieces(meridian(90.0))
    for piece in (first, second):
        assert _radius(piece) == pytest.approx(1)
    assert first[45, 0] == pytest.approx(2 * SKY.x - second[45, 0])


def test_an_image_around_a_pole_has_its_whole_outline() -> None:
    corners = vectors(np.array([20.0, 110, 200, 290, 20]), np.array([88.0, 88, 88, 88, 88]))
    pieces = SKY.pieces(corners)
    edge = [end for piece in pieces for end in piece[[0, -1]] if _radius(end[None])[0] > 1 - 1e-9]
    assert len(edge) == 2
    assert edge[0][0] + edge[1][0] == pytest.approx(2 * SKY.x)
    assert edge[0][1] == pytest.approx(edge[1][1])


def test_great_circles_are_where_astropy_has_them() -> None:
    pole = SkyCoord(l=0, b=90, unit="deg", frame="galactic").icrs
    ours = great_circle(vectors(np.array([pole.ra.deg]), np.array([pole.dec.deg]))[0])
    assert SkyCoord(*ours.T, representation_type="cartesian").galactic.b.deg == pytest.approx(0, abs=1e-9)
    assert _length(ours) == pytest.approx(360)


@given(ra_, dec_)
def test_east_is_left_and_north_is_up(ra: float, dec: float) -> None:
    view = Gnomonic(ra, dec, 16, 8, 396, 332, 0.01)
    east, north, middle = view._axes()
    points = np.array([middle, middle + 1e-3 * east, middle + 1e-3 * north])
    centre, left, up = view.pixels(points)
    assert centre == pytest.approx([16 + 198, 8 + 166])
    assert (left - centre) == pytest.approx([-np.degrees(1e-3) / 0.01, 0], abs=1e-6)
    assert (up - centre) == pytest.approx([0, -np.degrees(1e-3) / 0.01], abs=1e-6)


def test_the_whole_sky_is_an_ellipse_with_east_on_the_left() -> None:
    x = SKY.pixels(vectors(np.array([270.0, 300, 240, 90]), np.zeros(4)))[:, 0]
    assert x[3] < x[1] < x[0] < x[2]
    rng = np.random.default_rng(4)
    everywhere = vectors(rng.uniform(0, 360, 1000), np.degrees(np.arcsin(rng.uniform(-1, 1, 1000))))
    radius = _radius(SKY.pixels(everywhere))
    assert radius.max() <= 1 + 1e-9
    # An equal-area map has a quarter of the sky within half of its radius.
    assert (radius < 0.5).mean() == pytest.approx(0.25, abs=0.05)


def test_the_extent_of_a_field_is_that_of_its_frame() -> None:
    view = Gnomonic(359.0, 60.0, 16, 8, 396, 332, 0.01)
    offset, dec = view.frame()
    points = view.pixels(vectors(view.ra + offset, dec))
    sides = np.column_stack([points - [16, 8], [412, 340] - points])
    assert np.abs(sides).min(axis=1) == pytest.approx(0, abs=1e-6)
    assert all(a <= b for a, b in pairwise(sorted(offset)))
