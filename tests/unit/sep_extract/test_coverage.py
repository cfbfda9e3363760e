"""Gaps are known by the one value that they hold; photons that did not come are not gaps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sep_extract.brightness import Extremes
from sep_extract.coverage import _repeated, cut_off, is_constant, masked_share, outside, uncovered
from sep_extract.pixels import sample


def sky(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (200, 240)).astype("f4")


@given(st.floats(-(2.0**90), 2.0**90, width=32), st.integers(60, 190), st.integers(60, 200))
def test_a_solid_part_of_one_value_is_uncovered(value: float, height: int, width: int) -> None:
    image = sky()
    image[:height, :width] = value
    mask, values = uncovered(image, counting=False)
    assert mask[:height, :width].all()
    assert value in values
    assert mask.sum() <= height * width + 1


def test_a_small_part_of_the_highest_value_is_a_saturated_star() -> None:
    image = sky()
    image[50:70, 60:80] = 65535
    assert not uncovered(image, counting=False)[0].any()


def test_noise_has_no_gaps() -> None:
    mask, values = uncovered(sky(), counting=False)
    assert not mask.any()
    assert not values


@pytest.mark.parametrize(
    "fill", [-9999.0, -32768.0, -32767.0, -999.0, -99.0, 99999.0, 1e30, -1e30, 3.4028235e38, -3.4028235e38]
)
def test_fill_values_are_gaps_wherever_they_stand(fill: float) -> None:
    image = sky()
    image[::50, ::60] = fill
    mask, values = uncovered(image, counting=False)
    assert values == [pytest.approx(fill)]
    assert mask.sum() == 4 * 4


@given(st.floats(0.001, 0.5), st.booleans())
def test_no_photon_is_a_measurement(rate: float, known: bool) -> None:
    image = np.random.default_rng(2).poisson(rate, (128, 128)).astype("f4")
    mask, _ = uncovered(image, counting=known)
    assert not mask.any()


def test_a_fill_value_that_stands_alone_is_a_measurement() -> None:
    image = sky()
    image[100, 100] = -99
    assert not uncovered(image, counting=False)[0].any()
    image[20, 30] = -99
    mask, values = uncovered(image, counting=False)
    assert (mask.sum(), values) == (2, [-99.0])


@pytest.mark.parametrize(("squares", "gap"), [(7, False), (8, True)])
def test_a_gap_is_a_hundredth_of_the_image(squares: int, gap: bool) -> None:
    """Where other values repeat, too. 200 x 240 pixels are 750 squares of 8 pixels."""
    image = np.rint(9 * sky())
    image[:8, : 8 * squares] = -500
    assert uncovered(image, counting=False)[0].any() == gap


def test_two_squares_are_the_least_of_a_gap() -> None:
    for squares, gap in ((1, False), (2, True)):
        image = np.rint(9 * sky()[:40, :40])
        image[:8, : 8 * squares] = -500
        assert uncovered(image, counting=False)[0].any() == gap


@pytest.mark.parametrize(("rows", "gap"), [(8, False), (16, True)])
def test_the_highest_value_is_a_gap_where_it_fills_more_than_a_twentieth(rows: int, gap: bool) -> None:
    image = sky()
    image[:rows] = 65535  # 30 or 60 of 750 squares
    assert uncovered(image, counting=False)[0].any() == gap


@given(st.floats(0.01, 0.9), st.sampled_from([-50.0, -6.0, 0.5, 2.5]))
def test_a_value_that_fills_scattered_pixels_is_a_gap_among_values_that_hardly_repeat(
    share: float, value: float
) -> None:
    image = sky()
    there = np.random.default_rng(2).random(image.shape) < share
    image[there] = value
    gaps, values = uncovered(image, counting=False)
    assert values == [value]
    np.testing.assert_array_equal(gaps, there)
    assert not cut_off(image, gaps)
    assert not uncovered(image, counting=False, weighted=True)[1], "WHT tells of them"


@pytest.mark.parametrize(("share", "gap"), [(0.03, False), (0.08, True)])
def test_scattered_pixels_of_the_highest_value_are_saturated_stars(share: float, gap: bool) -> None:
    image = sky()
    there = np.random.default_rng(2).random(image.shape) < share
    image[there] = 65535
    assert uncovered(image, counting=False)[0].any() == gap
    assert not cut_off(image, ~np.isfinite(image))


@given(st.floats(-1.5, 0.5))
def test_values_cut_off_below_a_level_are_told(level: float) -> None:
    """In sigma from the mean: 7 to 69 % of the pixels are lower."""
    plain = sky()
    image = np.maximum(plain, np.float32(plain.mean() + level * plain.std()))
    gaps, values = uncovered(image, counting=False)
    assert not values
    assert not gaps.any()
    share = (image == image.min()).mean()
    assert f"{100 * share:.0f} % of the pixels are {image.min():g} and none is lower" in cut_off(image, gaps)


def test_counts_and_what_few_pixels_have_are_not_cut_off() -> None:
    none = np.zeros(sky().shape, bool)
    photons = np.random.default_rng(3).poisson(0.4, none.shape).astype("f4")
    assert not cut_off(photons, none)
    assert not cut_off(photons * np.float32(0.0123), none)
    image = sky()
    assert not cut_off(np.maximum(image, np.quantile(image, 0.03)), none)
    assert not cut_off(image, ~none)


@given(st.integers(1, 200), st.floats(60, 1e6))
def test_pixels_far_below_the_sky_are_dead(number: int, sigmas: float) -> None:
    assume(not 0 <= sigmas - 1e5 <= 60)  # in the bright corner these are below 0, and not far below
    image, none = sky(), np.zeros(sky().shape, bool)
    where = np.random.default_rng(4).choice(image.size, number, replace=False)
    image.ravel()[where] = -sigmas
    image[:50, :50] += 1e5
    assert set(np.flatnonzero(image < Extremes.of(image, none).deep)) == set(where[image.ravel()[where] < 0])
    assert Extremes.of(image, image < 0).deep < 0, "what is masked tells nothing of the level"
    assert Extremes.of(np.where(image < 0.5, 0, image).astype("f4"), none).deep < -1e8, (
        "most pixels are equal"
    )
    assert Extremes.of(image, ~none).deep == -np.inf


def test_pixels_far_above_the_sky_are_no_measurement_and_brighter_ones_tell_nothing_of_it() -> None:
    image, none = sky(), np.zeros(sky().shape, bool)
    extremes = Extremes.of(image, none)
    assert extremes.glaring == pytest.approx(1e5, rel=0.05)
    assert extremes.wild == pytest.approx(1e9, rel=0.05)
    assert Extremes.of(image * 0, none).wild == np.inf


def test_single_missing_pixels_are_covered_and_an_edge_is_not() -> None:
    missing = np.zeros((100, 200), bool)
    missing[:, :120] = True
    assert masked_share(missing, missing, scattered=True) == pytest.approx(1 / 81)
    assert masked_share(missing, missing, scattered=False) == 0
    dots = np.random.default_rng(5).random((100, 200)) < 0.1
    assert masked_share(dots, dots, scattered=True) == pytest.approx(0.1, rel=0.05)
    assert masked_share(dots, dots, scattered=False) == 0
    for scattered in (True, False):
        assert masked_share(dots | missing, missing, scattered=scattered) == pytest.approx(0.1, rel=0.2)


@pytest.mark.parametrize(("y", "x"), [(0, 0), (7, 7), (3, 20), (29, 39)])
def test_one_other_pixel_makes_an_image_of_more_than_one_value(y: int, x: int) -> None:
    image, mask = np.full((30, 40), 5, "f4"), np.zeros((30, 40), bool)
    assert is_constant(image, mask)
    image[y, x] = 6
    assert not is_constant(image, mask)
    mask[y, x] = True
    assert is_constant(image, mask)
    assert is_constant(image, np.ones_like(mask)), "no pixel is left to differ"


def test_where_nothing_is_beside_two_values_the_higher_one_is_measured() -> None:
    image = np.full((80, 80), -5.5, "f4")
    image[40:] = 5.5
    mask, values = uncovered(image, counting=False)
    assert values == [-5.5]
    assert mask[:40].all()
    assert not mask[40:].any()


@pytest.mark.parametrize(("rows", "gap"), [(8, False), (16, True)])
def test_the_highest_of_values_that_repeat_is_a_gap_where_it_fills_more_than_a_twentieth(
    rows: int, gap: bool
) -> None:
    image = np.rint(9 * sky())
    image[:rows] = 65535
    mask, values = uncovered(image, counting=False)
    assert values == [65535.0] * gap
    assert mask.sum() == gap * rows * 240


def test_outside_a_box_of_columns_and_rows_from_one() -> None:
    mask = outside((3, 5.0, 2, 4), np.arange(6), np.arange(8))
    inside = np.zeros((6, 8), bool)
    inside[1:4, 2:5] = True
    np.testing.assert_array_equal(mask, ~inside)


def test_a_twentieth_of_the_image_may_be_saturated() -> None:
    image = np.rint(9 * np.random.default_rng(1).normal(0, 1, (160, 320)).astype("f4"))
    image[:8] = 65535  # 40 of 800 squares
    assert not uncovered(image, counting=False)[1]
    image[8:16, :8] = 65535
    assert uncovered(image, counting=False)[1] == [65535.0]


def test_several_values_stand_for_no_measurement() -> None:
    image = np.rint(9 * sky())
    image[:16, :80], image[100, :4], image[120, :3] = -500, -9999, -99
    mask, values = uncovered(image, counting=False)
    assert sorted(values) == [-9999, -500, -99]
    assert mask.sum() == 16 * 80 + 4 + 3


@pytest.mark.parametrize(("levels", "value"), [(50, 7.0), (49, None)])
def test_values_hardly_repeat_where_two_pixels_share_one(levels: int, value: float | None) -> None:
    data = np.full((10, 20), 7, "f4")
    data[5:] = 100 + np.resize(np.arange(levels), (5, 20))
    assert _repeated(sample(data, np.zeros(data.shape, bool)), 0.05) == value
