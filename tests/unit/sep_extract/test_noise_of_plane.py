"""The noise that an error plane, a gain and blank pixels say: planes made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sep_extract.noise import NoiseModel, _rising, noise_of

SHAPE = 256, 384  # four by six meshes of 64 pixels
ROWS, COLUMNS = np.indices(SHAPE)
SKY = np.where(COLUMNS < 192, 1.0, 4.0)  # variance


def white(shape: tuple[int, int] = SHAPE, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 1, shape).astype("f4")


def sources(step: int = 48, half: int = 2) -> NDArray[np.int32]:
    """Numbered squares of 2 half + 1 pixels."""
    owner = np.zeros(SHAPE, "i4")
    places = [(y, x) for y in range(step // 2, SHAPE[0], step) for x in range(step // 2, SHAPE[1], step)]
    for number, (y, x) in enumerate(places, start=1):
        owner[y - half : y + half + 1, x - half : x + half + 1] = number
    return owner


def with_light(
    per_flux: float, light: float = 400.0, scale: float = 1.0
) -> tuple[NoiseModel, NDArray[np.int32]]:
    """The noise of squares with ``light`` in each pixel, whose error plane adds ``per_flux`` of it."""
    owner = sources()
    lit = np.where(owner > 0, light, 0)
    data = (white() * np.sqrt(SKY) + lit).astype("f4")
    error = (scale * np.sqrt(SKY + per_flux * lit)).astype("f4")
    return noise_of(data, owner, 1.0, error, None), owner


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("per_flux", [0.02, 0.5])
def test_the_poisson_noise_of_an_error_plane_is_found_and_taken_out(per_flux: float, scale: float) -> None:
    noise, owner = with_light(per_flux, scale=scale)
    assert noise.poisson == pytest.approx(per_flux, rel=0.08)
    for side, variance in ((COLUMNS < 180, 1.0), (COLUMNS > 204, 4.0)):
        np.testing.assert_allclose(noise.background[side], variance, rtol=0.06)
    assert (owner > 0).any()


def test_light_too_faint_to_show_its_poisson_noise_says_none() -> None:
    # It has to be 0.3 of the sky's variance: 0.25 and 1.25 of 1.
    for per_flux, found in ((0.0002, False), (0.02, True)):
        noise, _ = with_light(per_flux, light=60.0)
        assert (noise.poisson > 0) == found


def test_wings_reach_4_pixels() -> None:
    owner = np.zeros(SHAPE, "i4")
    owner[100, 100], owner[30, 300] = 1, 2
    distance = np.maximum(np.abs(ROWS - 100), np.abs(COLUMNS - 100))
    error = np.where((distance > 0) & (distance < 9), 3.0, 1.0).astype("f4")
    error[27:34, 297:304] = 0.5  # the plane says less
    noise = noise_of(white(), owner, 1.0, error, None)
    sky = np.median(noise.background)
    row = noise.background[100, 100:112] / sky
    np.testing.assert_allclose(row, [1] * 5 + [9] * 4 + [1] * 3, rtol=1e-3)
    assert noise.background[30, 302] / sky == pytest.approx(0.25, rel=1e-3)


def test_a_mesh_without_blank_sky_has_that_of_the_image() -> None:
    owner = np.zeros(SHAPE, "i4")
    owner[64:128, 128:192] = 1
    error = np.where(owner > 0, 5.0, np.where(COLUMNS < 250, 2.0, 3.0)).astype("f4")
    noise = noise_of(white() * 2, owner, 1.0, error, None)
    outside = noise.background[0, 0]
    np.testing.assert_allclose(noise.background[64:128, 128:192], outside, rtol=1e-3)


def test_the_sky_below_a_source_is_that_of_its_mesh() -> None:
    # Each mesh has a variance of its own.
    sky = 1.0 + (ROWS // 64) * 6 + COLUMNS // 64
    owner = np.zeros(SHAPE, "i4")
    number = 0
    for y in range(32, SHAPE[0], 64):
        for x in range(32, SHAPE[1], 64):
            number += 1
            owner[y - 2 : y + 3, x - 2 : x + 3] = number
    lit = np.where(owner > 0, 3000.0, 0)
    noise = noise_of(
        (white() * np.sqrt(sky) + lit).astype("f4"), owner, 1.0, np.sqrt(sky + lit).astype("f4"), None
    )
    np.testing.assert_allclose(noise.background / noise.background[0, 0], sky, rtol=1e-3)
    assert noise.poisson == pytest.approx(1.0, rel=0.08)


@pytest.mark.parametrize(("gain", "poisson"), [(None, 0.0), (4.0, 0.25)])
def test_too_little_blank_sky_leaves_everything_as_it_is_said(gain: float | None, poisson: float) -> None:
    owner = np.ones(SHAPE, "i4")
    owner[:30] = 0  # 0.12 of the image, of which the wings take some
    error = np.full(SHAPE, 3.0, "f4")
    noise = noise_of(white(), owner, 2.0, error, gain)
    assert not noise.shared.measured
    assert noise.poisson == poisson
    np.testing.assert_allclose(noise.background, 9.0)
    np.testing.assert_allclose(noise_of(white(), owner, 2.0, None, gain).background, 4.0)


def test_masked_pixels_are_no_part_of_what_has_to_be_blank() -> None:
    owner = np.full(SHAPE, -1, "i4")
    owner[:80, :80] = 0  # all that may be used
    noise = noise_of(white(), owner, 2.0, None, None)
    assert noise.shared.measured
    assert noise.background[0, 0] == pytest.approx(1.0, rel=0.2)
    assert not noise.background[owner < 0].any()


def test_the_gain_counts_before_the_error_plane() -> None:
    owner = sources()
    lit = np.where(owner > 0, 400.0, 0)
    error = np.sqrt(1 + 0.5 * lit).astype("f4")
    data = (white() + lit).astype("f4")
    assert noise_of(data, owner, 1.0, error, 5.0).poisson == 0.2
    assert noise_of(data, owner, 1.0, error, None).poisson == pytest.approx(0.5, rel=0.08)


def test_where_most_pixels_are_equal_the_scatter_of_all_is_the_noise() -> None:
    data = (np.random.default_rng(3).random(SHAPE) < 0.02).astype("f4")
    noise = noise_of(data, np.zeros(SHAPE, "i4"), 1.0, None, None)
    assert noise.background[0, 0] == pytest.approx(0.02 * 0.98, rel=0.05)


@pytest.mark.parametrize(("gain", "poisson"), [(None, 0.0), (2.0, 0.5)])
def test_without_any_scatter_the_level_stays(gain: float | None, poisson: float) -> None:
    noise = noise_of(np.zeros(SHAPE, "f4"), np.zeros(SHAPE, "i4"), 3.0, None, gain)
    assert (noise.background[0, 0], noise.poisson, noise.shared.measured) == (9.0, poisson, False)


def test_faint_light_above_and_holes_of_detection_do_not_widen_the_noise() -> None:
    data = white()
    data[np.random.default_rng(4).random(SHAPE) < 0.03] += 20
    noise = noise_of(data, np.zeros(SHAPE, "i4"), 1.0, None, None)
    assert noise.background[0, 0] == pytest.approx(1.0, rel=0.1)


def test_blocks_are_as_large_as_there_are_enough_of_them() -> None:
    areas = [1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0]
    for shape, number in (((512, 512), 7), ((14, 14), 2), ((11, 11), 1)):
        shared = noise_of(white(shape), np.zeros(shape, "i4"), 1.0, None, None).shared
        assert list(shared.areas) == areas[:number]
        assert len(shared.factors) == number
        assert shared.measured == (number > 1)
        assert shared.factors[0] == 1.0
        assert list(shared.factors) == sorted(shared.factors)


def test_a_block_counts_where_seven_tenths_of_it_are_blank() -> None:
    # Of every 2 x 2 pixels one is masked, which leaves 0.75; or two, which leaves 0.5.
    for masked, measured in ((ROWS % 2 & COLUMNS % 2, True), (ROWS % 2, False)):
        owner = np.where(masked, -1, 0).astype("i4")
        shared = noise_of(np.where(masked, 0, white()).astype("f4"), owner, 1.0, None, None).shared
        assert shared.measured == measured
        if measured:
            assert shared.factor(256.0) == pytest.approx(1.0, abs=0.06)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0.1, 10), st.floats(1, 100)), min_size=1, max_size=7))
def test_pooled_values_never_fall_and_keep_their_weighted_mean(pairs: list[tuple[float, float]]) -> None:
    values, weights = np.array(pairs).T
    pooled = _rising(values, weights)
    assert len(pooled) == len(values)
    assert np.all(np.diff(pooled) >= -1e-12)
    assert np.average(pooled, weights=weights) == pytest.approx(np.average(values, weights=weights))
    if np.all(np.diff(values) >= 0):
        np.testing.assert_array_equal(pooled, values)


def test_two_values_that_fall_are_their_mean() -> None:
    np.testing.assert_allclose(_rising(np.array([3.0, 1.0, 5.0]), np.array([1.0, 3.0, 1.0])), [1.5, 1.5, 5.0])
