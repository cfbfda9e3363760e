"""Windowed positions: against sep's own, and against the scatter that they quote."""

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
import sep

from sep_extract.windowed import windowed_positions

Stars = Callable[..., np.ndarray]
SIGMA = 1.5


def grid(side: int, step: int = 30, seed: int = 1) -> list[tuple[float, float]]:
    rng = np.random.default_rng(seed)
    return [
        (x + rng.uniform(-0.5, 0.5), y + rng.uniform(-0.5, 0.5))
        for x in step * np.arange(1, side + 1)
        for y in step * np.arange(1, side + 1)
    ]


def nobody(image: np.ndarray) -> np.ndarray:
    return np.zeros(image.shape, "i4")


def test_isolated_stars_are_where_sep_finds_them(stars: Stars) -> None:
    at = grid(6)
    x, y = np.transpose(at)
    image = stars((210, 210), at=at, sky=0.0, flux=5000.0)
    start_x, start_y = x + 0.3, y - 0.2
    sigma = np.full(len(x), SIGMA)
    found = windowed_positions(image, np.ones_like(image), nobody(image), start_x, start_y, sigma)
    sep_x, sep_y, _ = sep.winpos(image, start_x, start_y, SIGMA, subpix=11)
    assert not found.failed.any()
    assert np.hypot(found.x - sep_x, found.y - sep_y).max() < 0.003
    assert np.hypot(found.x - x, found.y - y).max() < 0.05


def test_without_noise_they_are_where_they_are(stars: Stars) -> None:
    at = grid(6)
    x, y = np.transpose(at)
    image = stars((210, 210), at=at, sky=0.0, noise=0.0)
    for sigma in (1.0, 1.5, 3.0):
        found = windowed_positions(
            image, np.ones_like(image), nobody(image), x + 0.2, y, np.full(len(x), sigma)
        )
        assert np.hypot(found.x - x, found.y - y).max() < 1e-3


def test_the_errors_are_the_scatter(stars: Stars) -> None:
    """400 stars of one flux: positions scatter by what is quoted, along x, y and together.

    SExtractor's formula holds for a window as wide as the star, which is what 2 / 2.35 of the half-light
    radius gives.
    """
    at = grid(10)
    x, y = np.tile(np.transpose(at), 4)
    clean = stars((330, 330), at=at, sky=0.0, noise=0.0, flux=800.0)
    rng = np.random.default_rng(2)
    image = (np.vstack([clean] * 4) + rng.normal(0, 1, (1320, 330))).astype("f4")
    y += np.repeat(330 * np.arange(4), 100)
    found = windowed_positions(image, np.ones_like(image), nobody(image), x, y, np.full(len(x), SIGMA))
    dx, dy = found.x - x, found.y - y
    assert not found.failed.any()
    for pulls in (dx / np.sqrt(found.x2), dy / np.sqrt(found.y2)):
        assert abs(np.mean(pulls)) < 0.15
        assert np.std(pulls) == pytest.approx(1, abs=0.12)
    assert np.mean(dx * dy) == pytest.approx(np.mean(found.xy), abs=0.15 * np.mean(found.x2))


def test_the_covariance_of_noise_along_a_diagonal(stars: Stars) -> None:
    """Where the noise is, is where it pushes to: the sign of the covariance is that of the noise's own."""
    image = stars((60, 60), at=[(30.0, 30.0)], sky=0.0, noise=0.0)
    y, x = np.indices(image.shape)
    variance = np.where(np.abs(x - y) < 2, 100, 1).astype("f4")
    star = np.array([30.0])
    found = windowed_positions(image, variance, nobody(image), star, star, np.array([SIGMA]))
    assert found.x2[0] == pytest.approx(found.y2[0], rel=0.01)
    assert 0.3 * found.x2[0] < found.xy[0] < found.x2[0]
    flipped = windowed_positions(image, variance[:, ::-1], nobody(image), star, star, np.array([SIGMA]))
    assert flipped.xy[0] < 0


def test_neighbours_are_left_out(stars: Stars) -> None:
    at = [(30.0, 30.0), (37.0, 30.0)]
    image = stars((60, 60), at=at, sky=0.0, noise=0.0, flux=1000.0)
    image += stars((60, 60), at=at[1:], sky=0.0, noise=0.0, flux=20000.0)
    x, y = np.transpose(at)
    owner = nobody(image)
    owner[20:40, 20:33], owner[20:40, 33:50] = 1, 2
    found = windowed_positions(image, np.ones_like(image), owner, x, y, np.full(2, SIGMA))
    pulled, _, _ = sep.winpos(image, x[:1], y[:1], SIGMA)
    assert abs(pulled[0] - 30) > 1, "sep's own goes to the neighbour"
    assert not found.failed.any()
    assert abs(found.x[0] - 30) < 0.3
    assert np.hypot(found.x[1] - 37, found.y[1] - 30) < 0.05


def test_masked_pixels_are_left_out(stars: Stars) -> None:
    image = stars((60, 60), at=[(30.0, 30.0)], sky=0.0, noise=0.0)
    owner = nobody(image)
    image[26:35:4, 26:35:4], owner[26:35:4, 26:35:4] = 1e6, -1
    star = np.array([30.0])
    found = windowed_positions(image, np.ones_like(image), owner, star, star, np.array([SIGMA]))
    assert np.hypot(found.x[0] - 30, found.y[0] - 30) < 0.01


@pytest.mark.parametrize("image", [np.zeros((40, 40), "f4"), np.full((40, 40), -1, "f4")])
def test_where_there_is_no_light_the_start_stands_in(image: np.ndarray) -> None:
    star = np.array([20.3])
    found = windowed_positions(image, np.ones_like(image), nobody(image), star, star, np.array([SIGMA]))
    assert found.failed.all()
    assert (found.x[0], found.y[0]) == (20.3, 20.3)
    assert np.isnan(found.x2[0])


def test_a_source_that_walks_away_is_lost(stars: Stars) -> None:
    image = stars((60, 60), at=[(36.0, 30.0)], sky=0.0, noise=0.0, flux=20000.0, sigma=2.0)
    start = np.array([30.0])
    found = windowed_positions(image, np.ones_like(image), nobody(image), start, start, np.array([SIGMA]))
    assert found.failed.all()
    assert found.x[0] == 30


@pytest.mark.parametrize("x", [0.0, -0.4, 39.4])
def test_at_the_edge(stars: Stars, x: float) -> None:
    image = stars((40, 40), at=[(x, 20.0)], sky=0.0, noise=0.0)
    star, middle = np.array([x]), np.array([20.0])
    found = windowed_positions(image, np.ones_like(image), nobody(image), star, middle, np.array([SIGMA]))
    assert np.isfinite([found.x[0], found.y[0]]).all()
    assert abs(found.y[0] - 20) < 0.01


def test_sources_of_all_sizes_keep_their_order(stars: Stars) -> None:
    at = grid(6)
    x, y = np.transpose(at)
    image = stars((210, 210), at=at, sky=0.0, noise=0.0)
    sigma = np.geomspace(0.5, 6, len(x))
    one = windowed_positions(image, np.ones_like(image), nobody(image), x, y, sigma)
    order = np.random.default_rng(1).permutation(len(x))
    other = windowed_positions(image, np.ones_like(image), nobody(image), x[order], y[order], sigma[order])
    for name in ("x", "y", "x2", "y2", "xy"):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name)[order], rtol=1e-4, atol=1e-6)


def test_an_unknown_size_is_a_small_one(stars: Stars) -> None:
    image = stars((40, 40), at=[(20.2, 20.0)], sky=0.0, noise=0.0, sigma=0.6)
    star = np.array([20.0])
    found = windowed_positions(image, np.ones_like(image), nobody(image), star, star, np.array([np.nan]))
    assert not found.failed.any()
    assert 20 < found.x[0] < 20.3


def test_a_galaxy_larger_than_the_image_takes_no_more_memory_than_that(stars: Stars) -> None:
    image = stars((300, 300), at=[(150.0, 150.0)], sky=0.0, noise=0.0, flux=1e7, sigma=100.0)
    star = np.array([150.0])
    tracemalloc.start()
    found = windowed_positions(image, np.ones_like(image), nobody(image), star, star, np.array([2000.0]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 << 20
    assert abs(found.x[0] - 150) < 1


def test_no_sources(stars: Stars) -> None:
    image = stars()
    none = np.zeros(0)
    assert len(windowed_positions(image, np.ones_like(image), nobody(image), none, none, none).x) == 0
