"""The background: what sep measures, and what it says when it has measured nothing."""

from collections.abc import Callable

import numpy as np
import pytest
import sep

from sep_extract.background import measure_background
from sep_extract.event import Config

NO_MASK = np.zeros((200, 300), bool)


def noise(level: float = 10.0, sigma: float = 2.0, shape: tuple[int, int] = (200, 300)) -> np.ndarray:
    return np.random.default_rng(1).normal(level, sigma, shape).astype("f4")


def test_it_is_seps() -> None:
    image = noise() + np.linspace(0, 50, 300, dtype="f4")
    found = measure_background(image, NO_MASK, Config(back_size=50))
    expected = sep.Background(image, bw=50, bh=50, fw=3, fh=3)
    np.testing.assert_array_equal(found.image, expected.back())
    np.testing.assert_array_equal(found.local_rms(), expected.rms())
    assert (found.level, found.rms) == (expected.globalback, expected.globalrms)
    assert np.abs((image - found.image).mean()) < 0.1


def test_a_mesh_larger_than_the_image() -> None:
    found = measure_background(noise(shape=(30, 40)), np.zeros((30, 40), bool), Config(back_size=1000))
    assert found.level == pytest.approx(10, abs=0.3)
    assert found.rms == pytest.approx(2, rel=0.1)


def test_masked_pixels_do_not_count() -> None:
    image, mask = noise(), NO_MASK.copy()
    mask[:, ::3] = True
    image[mask] = 1e6
    found = measure_background(image, mask, Config())
    assert found.level == pytest.approx(10, abs=0.1)
    assert found.rms == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize("share", [0.6, 0.9, 0.99])
def test_where_no_mesh_is_half_usable_there_is_one_level(share: float) -> None:
    image, mask = noise(), np.random.default_rng(2).random(NO_MASK.shape) < share
    image[mask] = 0
    assert sep.Background(image, mask=mask).globalback == 0, "sep gives up"
    found = measure_background(image, mask, Config())
    assert found.model is None
    assert found.level == pytest.approx(10, abs=0.3)
    assert found.rms == pytest.approx(2, rel=0.15)
    assert set(np.unique(found.image)) == {np.float32(found.level)}
    assert set(np.unique(found.local_rms())) == {np.float32(found.rms)}


@pytest.mark.parametrize("value", [0.0, 1.0, -5.0])
def test_a_constant_has_no_noise(value: float) -> None:
    found = measure_background(np.full(NO_MASK.shape, value, "f4"), NO_MASK, Config())
    assert (found.level, found.rms) == (value, 0)
    assert not found.local_rms().any()


def test_a_noise_of_one_is_a_noise_of_one() -> None:
    """Not taken for sep's word for nothing, whether or not the level is 0."""
    for level in (0.0, 10.0):
        found = measure_background(noise(level, 1.0), NO_MASK, Config())
        assert found.rms == pytest.approx(1, rel=0.04)
        assert found.model is not None


def test_a_constant_mostly_masked() -> None:
    mask = np.ones(NO_MASK.shape, bool)
    mask[:20, :20] = False
    found = measure_background(np.full(NO_MASK.shape, 7, "f4"), mask, Config())
    assert (found.level, found.rms) == (7, 0)


def test_stars_hardly_move_it(stars: Callable[..., np.ndarray]) -> None:
    image = stars((200, 300), flux=5000.0)
    found = measure_background(image, NO_MASK, Config())
    assert found.level == pytest.approx(10, abs=0.3)
    assert found.rms == pytest.approx(1, rel=0.15)
