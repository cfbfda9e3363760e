"""Windowed positions: against sep's own, and against the scatter that they quote."""

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
import sep
from planting import star

from sep_extract.noise import NoiseModel, SharedNoise
from sep_extract.windowed import _groups, _stamps, _sums, windowed_positions

Stars = Callable[..., np.ndarray]
SIGMA = 1.5


def grid(side: int, step: int = 30, seed: int = 1) -> list[tuple[float, float]]:
    rng = np.random.default_rng(seed)
    return [
        (x + rng.uniform(-0.5, 0.5), y + rng.uniform(-0.5, 0.5))
        for x in step * np.arange(1, side + 1)
        for y in step * np.arange(1, side + 1)
    ]


def flat(image: np.ndarray) -> NoiseModel:
    """Independent pixels of variance 1, and no Poisson noise."""
    return NoiseModel(np.ones_like(image), 0.0, SharedNoise())


def nobody(image: np.ndarray) -> np.ndarray:
    return np.zeros(image.shape, "i4")


def test_isolated_stars_are_where_sep_finds_them(stars: Stars) -> None:
    at = grid(6)
    x, y = np.transpose(at)
    image = stars((210, 210), at=at, sky=0.0, flux=5000.0)
    start_x, start_y = x + 0.3, y - 0.2
    sigma = np.full(len(x), SIGMA)
    found = windowed_positions(image, flat(image), nobody(image), start_x, start_y, sigma)
    sep_x, sep_y, _ = sep.winpos(image, start_x, start_y, SIGMA, subpix=11)
    assert not found.failed.any()
    assert np.hypot(found.x - sep_x, found.y - sep_y).max() < 0.003
    assert np.hypot(found.x - x, found.y - y).max() < 0.05


def test_without_noise_they_are_where_they_are(stars: Stars) -> None:
    at = grid(6)
    x, y = np.transpose(at)
    image = stars((210, 210), at=at, sky=0.0, noise=0.0)
    for sigma in (1.0, 1.5, 3.0):
        found = windowed_positions(image, flat(image), nobody(image), x + 0.2, y, np.full(len(x), sigma))
        assert np.hypot(found.x - x, found.y - y).max() < 1e-3


@pytest.mark.parametrize(("fwhm", "pixels"), [(1.2, 0.08), (1.4, 0.035), (1.8, 0.005)])
def test_errors_know_of_pixels_that_are_too_coarse(fwhm: float, pixels: float) -> None:
    """Without any noise, windowed positions of stars that are sharper than pixels show are off by so much."""
    x, y = np.transpose(grid(12, step=20))
    image = np.zeros((260, 260), "f4")
    for at in zip(x, y, strict=True):
        light, left, bottom = star(fwhm).stamp(*at)
        image[bottom : bottom + len(light), left : left + len(light)] += light
    none = NoiseModel(np.zeros_like(image), 0.0, SharedNoise())
    half, _ = sep.flux_radius(image, x, y, np.full(len(x), 8.0), 0.5, normflux=np.ones(len(x)), subpix=5)
    found = windowed_positions(image, none, nobody(image), x, y, 2 / 2.35 * half)
    off = np.sqrt(np.mean(np.square([found.x - x, found.y - y])))
    assert off == pytest.approx(pixels, rel=0.3)
    assert np.sqrt(np.mean([found.x2, found.y2])) == pytest.approx(off, rel=0.2)


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
    found = windowed_positions(image, flat(image), nobody(image), x, y, np.full(len(x), SIGMA))
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
    found = windowed_positions(
        image, NoiseModel(variance, 0.0, SharedNoise()), nobody(image), star, star, np.array([SIGMA])
    )
    assert found.x2[0] == pytest.approx(found.y2[0], rel=0.01)
    assert 0.3 * found.x2[0] < found.xy[0] < found.x2[0]
    flipped = windowed_positions(
        image, NoiseModel(variance[:, ::-1], 0.0, SharedNoise()), nobody(image), star, star, np.array([SIGMA])
    )
    assert flipped.xy[0] < 0


def test_neighbours_are_left_out(stars: Stars) -> None:
    at = [(30.0, 30.0), (37.0, 30.0)]
    image = stars((60, 60), at=at, sky=0.0, noise=0.0, flux=1000.0)
    image += stars((60, 60), at=at[1:], sky=0.0, noise=0.0, flux=20000.0)
    x, y = np.transpose(at)
    owner = nobody(image)
    owner[20:40, 20:33], owner[20:40, 33:50] = 1, 2
    found = windowed_positions(image, flat(image), owner, x, y, np.full(2, SIGMA))
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
    found = windowed_positions(image, flat(image), owner, star, star, np.array([SIGMA]))
    assert np.hypot(found.x[0] - 30, found.y[0] - 30) < 0.01


@pytest.mark.parametrize("image", [np.zeros((40, 40), "f4"), np.full((40, 40), -1, "f4")])
def test_where_there_is_no_light_the_start_stands_in(image: np.ndarray) -> None:
    star = np.array([20.3])
    found = windowed_positions(image, flat(image), nobody(image), star, star, np.array([SIGMA]))
    assert found.failed.all()
    assert (found.x[0], found.y[0]) == (20.3, 20.3)
    assert np.isnan(found.x2[0])


def test_a_source_that_walks_away_is_lost(stars: Stars) -> None:
    image = stars((60, 60), at=[(36.0, 30.0)], sky=0.0, noise=0.0, flux=20000.0, sigma=2.0)
    start = np.array([30.0])
    found = windowed_positions(image, flat(image), nobody(image), start, start, np.array([SIGMA]))
    assert found.failed.all()
    assert found.x[0] == 30


@pytest.mark.parametrize("x", [0.0, -0.4, 39.4])
def test_at_the_edge(stars: Stars, x: float) -> None:
    image = stars((40, 40), at=[(x, 20.0)], sky=0.0, noise=0.0)
    star, middle = np.array([x]), np.array([20.0])
    found = windowed_positions(image, flat(image), nobody(image), star, middle, np.array([SIGMA]))
    assert np.isfinite([found.x[0], found.y[0]]).all()
    assert abs(found.y[0] - 20) < 0.01


def test_sources_of_all_sizes_keep_their_order(stars: Stars) -> None:
    at = grid(6)
    x, y = np.transpose(at)
    image = stars((210, 210), at=at, sky=0.0, noise=0.0)
    sigma = np.geomspace(0.5, 6, len(x))
    one = windowed_positions(image, flat(image), nobody(image), x, y, sigma)
    order = np.random.default_rng(1).permutation(len(x))
    other = windowed_positions(image, flat(image), nobody(image), x[order], y[order], sigma[order])
    for name in ("x", "y", "x2", "y2", "xy"):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name)[order], rtol=1e-4, atol=1e-6)


def test_an_unknown_size_is_a_small_one(stars: Stars) -> None:
    image = stars((40, 40), at=[(20.2, 20.0)], sky=0.0, noise=0.0, sigma=0.6)
    star = np.array([20.0])
    found = windowed_positions(image, flat(image), nobody(image), star, star, np.array([np.nan]))
    assert not found.failed.any()
    assert 20 < found.x[0] < 20.3


def test_a_galaxy_larger_than_the_image_takes_no_more_memory_than_that(stars: Stars) -> None:
    image = stars((300, 300), at=[(150.0, 150.0)], sky=0.0, noise=0.0, flux=1e7, sigma=100.0)
    star = np.array([150.0])
    tracemalloc.start()
    found = windowed_positions(image, flat(image), nobody(image), star, star, np.array([2000.0]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 << 20
    assert abs(found.x[0] - 150) < 1


def test_no_sources(stars: Stars) -> None:
    image = stars()
    none = np.zeros(0)
    assert len(windowed_positions(image, flat(image), nobody(image), none, none, none).x) == 0


def test_noise_that_pixels_share_counts_over_0_7_of_the_windows_area(stars: Stars) -> None:
    image = stars((80, 80), at=[(40.0, 40.0)], sky=0.0, noise=0.0, flux=5000.0, sigma=3.0)
    shared = NoiseModel(np.ones_like(image), 0.0, SharedNoise((1.0, 100.0), (1.0, 10.0), True))  # sqrt(area)
    at, sigma = np.array([40.0]), np.array([3.0])
    alone, together = (
        windowed_positions(image, n, nobody(image), at, at, sigma) for n in (flat(image), shared)
    )
    area = 0.7 * np.pi * 3.0**2
    for name in ("x2", "y2"):
        assert getattr(together, name)[0] == pytest.approx(area * getattr(alone, name)[0], rel=1e-3)


@pytest.mark.parametrize("sigma", [1.2, 3.0, 12.0])
def test_the_error_of_a_star_under_a_window_of_its_own_width(stars: Stars, sigma: float) -> None:
    # 4 sum(w^2 dx^2) / sum(w I)^2, with integrals for sums: 2 pi (2 sigma^2)^2 / flux^2.
    image = stars((201, 201), at=[(100.2, 99.7)], sky=0.0, noise=0.0, flux=5000.0, sigma=sigma)
    found = windowed_positions(
        image, flat(image), nobody(image), np.array([100.0]), np.array([100.0]), np.array([sigma])
    )
    assert found.x2[0] == pytest.approx(2 * np.pi * (2 * sigma**2) ** 2 / 5000**2, rel=0.02)
    assert found.y2[0] == pytest.approx(found.x2[0], rel=0.02)
    assert (found.x[0], found.y[0]) == pytest.approx((100.2, 99.7), abs=2e-3)


def test_noise_in_one_row_moves_a_position_along_it(stars: Stars) -> None:
    image = stars((60, 60), at=[(30.0, 30.0)], sky=0.0, noise=0.0, flux=5000.0, sigma=2.0)
    variance = np.zeros_like(image)
    variance[30] = 1
    at = np.array([30.0])
    found = windowed_positions(
        image, NoiseModel(variance, 0.0, SharedNoise()), nobody(image), at, at, np.array([2.0])
    )
    assert found.x2[0] > 0
    assert found.y2[0] < 1e-6 * found.x2[0]


@pytest.mark.parametrize(
    ("asked", "used", "width"), [(np.nan, 1 / 2.35, 4.0), (0.01, 1 / 2.35, 4.0), (2000.0, 32.0, 30.0)]
)
def test_windows_have_bounds(stars: Stars, asked: float, used: float, width: float) -> None:
    image = stars((90, 90), at=[(44.8, 45.3)], sky=0.0, noise=0.0, sigma=width)
    at = np.array([45.0])
    one, other = (
        windowed_positions(image, flat(image), nobody(image), at, at, np.array([sigma]))
        for sigma in (asked, used)
    )
    assert not one.failed.any()
    for name in ("x", "y", "x2", "y2", "xy"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-6)


@pytest.mark.parametrize(("x", "y"), [(2.2, 20.0), (37.1, 20.0), (20.0, 1.8), (20.0, 37.3), (0.0, 39.0)])
def test_beyond_the_edge_is_as_masked(stars: Stars, x: float, y: float) -> None:
    image = stars((40, 40), at=[(x, y)], sky=0.0, noise=0.0, sigma=2.0)
    padded, owner = np.pad(image, 20), np.pad(nobody(image), 20, constant_values=-1)
    sigma = np.array([SIGMA])
    one = windowed_positions(image, flat(image), nobody(image), np.array([x]), np.array([y]), sigma)
    other = windowed_positions(padded, flat(padded), owner, np.array([x + 20]), np.array([y + 20]), sigma)
    assert (one.x[0], one.y[0]) == pytest.approx((other.x[0] - 20, other.y[0] - 20), abs=1e-4)
    assert (one.x2[0], one.y2[0]) == pytest.approx((other.x2[0], other.y2[0]), rel=1e-4, nan_ok=True)


def test_what_is_left_out_adds_no_noise(stars: Stars) -> None:
    image = stars((60, 60), at=[(30.0, 30.0)], sky=0.0, noise=0.0, flux=5000.0, sigma=2.0)
    owner, at = nobody(image), np.array([30.0])
    owner[28, 33], owner[31:33, 27] = -1, 7
    silent = NoiseModel(np.zeros_like(image), 0.0, SharedNoise())
    found = windowed_positions(image, silent, owner, at, at, np.array([2.0]))
    # What the pixels themselves do to so wide a star is nothing to speak of.
    assert (found.x2[0], found.y2[0], found.xy[0]) == pytest.approx((0, 0, 0), abs=1e-20)


@pytest.mark.parametrize(
    ("sigma", "groups"),
    [
        # Few are cut with the size of the largest: 5 sigma, rounded up to a power of 1.4.
        ([0.5, 2.0, 1.0], [([1, 2, 0], 11)]),
        # 61 stamps of 23 x 23 pixels are the last that cost no time: smaller sources fill the group.
        ([1.0] * 100 + [2.0] * 10, [([*range(100, 110), *range(51)], 11), ([*range(51, 100)], 6)]),
        ([2.0] * 100 + [1.0] * 50, [([*range(100)], 11), ([*range(100, 150)], 6)]),
        # 5 stamps of 437 x 437 pixels are 2^20 pixels at most.
        ([32.0] * 12, [([*range(5)], 218), ([*range(5, 10)], 218), ([10, 11], 218)]),
        ([], []),
    ],
)
def test_stamps_are_cut_in_groups_of_one_size(
    sigma: list[float], groups: list[tuple[list[int], int]]
) -> None:
    assert [(some.tolist(), half) for some, half in _groups(np.array(sigma))] == groups


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_sums_are_of_image_window_and_offsets(power: float) -> None:
    rng = np.random.default_rng(3)
    image = rng.normal(size=(2, 9, 9)).astype("f4")
    dx, dy = (np.arange(-4, 5) + rng.uniform(-0.5, 0.5, (2, 1)) for _ in range(2))
    position, sigma = rng.uniform(-0.5, 0.5, (2, 2)), np.array([1.2, 2.5])
    found = _sums(image, dx.astype("f4"), dy.astype("f4"), position, sigma, power, 2)
    for m in range(2):
        x, y = dx[m] - position[0, m], dy[m][:, None] - position[1, m]
        window = np.exp(-(x**2 + y**2) / (2 * sigma[m] ** 2)) ** power
        expected = [[(image[m] * window * y**i * x**j).sum() for j in range(3)] for i in range(3)]
        np.testing.assert_allclose(found[m], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("sigma", "variance"), [(1 / 2.35, 0.061548), (0.7, 2.0215e-3), (1.0, 4.187e-7)])
def test_the_variance_of_coarse_pixels(sigma: float, variance: float) -> None:
    """Of a star as wide as its window, without noise."""
    x = np.array([30.0])
    light = np.zeros((60, 60), "f4")
    light[30, 30] = 1
    none = NoiseModel(np.zeros_like(light), 0.0, SharedNoise())
    found = windowed_positions(light, none, nobody(light), x, x, np.array([sigma]))
    assert (found.x2[0], found.y2[0]) == pytest.approx((variance, variance), rel=0.01)
    assert abs(found.xy[0]) < 1e-9


def test_stamps_reach_as_far_on_either_side() -> None:
    """Of two sources, the second at the corner; offsets are those of the pixels from the sources."""
    image = np.arange(30 * 40, dtype="f4").reshape(30, 40)
    sources = np.array([[20.3, 38.8], [14.6, 28.9], [1.0, 1.0]])
    light, variance, dx, dy = _stamps(image, flat(image), nobody(image), np.arange(2), 3, sources)
    assert light.shape == variance.shape == (2, 7, 7)
    np.testing.assert_allclose(dx, [np.arange(-3, 4) - 0.3, np.arange(-3, 4) + 0.2], atol=1e-5)
    np.testing.assert_allclose(dy, [np.arange(-3, 4) + 0.4, np.arange(-3, 4) + 0.1], atol=1e-5)
    np.testing.assert_array_equal(light[0], image[12:19, 17:24])
    np.testing.assert_array_equal(light[1], np.pad(image[26:30, 36:40], ((0, 3), (0, 3))))
    np.testing.assert_array_equal(variance[1] > 0, np.pad(np.ones((4, 4), bool), ((0, 3), (0, 3))))


def test_a_lost_source_changes_no_other(stars: Stars) -> None:
    image = stars((60, 60), at=[(15.2, 20.1), (40.0, 41.3)], sky=0.0, noise=0.0)
    owner = nobody(image)
    x, y, sigma = np.array([15.0, 15.0, 40.0]), np.array([20.0, 50.0, 41.0]), np.full(3, SIGMA)
    found = windowed_positions(image, flat(image), owner, x, y, sigma)
    assert found.failed.tolist() == [False, True, False]
    alone = windowed_positions(image, flat(image), owner, x[2:], y[2:], sigma[2:])
    for name in ("x", "y", "x2", "y2", "xy"):
        np.testing.assert_allclose(getattr(found, name)[2:], getattr(alone, name), rtol=1e-5, atol=1e-9)
