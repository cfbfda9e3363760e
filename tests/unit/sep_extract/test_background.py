"""The background: what sep measures, and what it says when it has measured nothing."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import sep

from sep_extract.background import measure_background, sparse_noise, step_of
from sep_extract.event import Config
from sep_extract.pixels import Pixels

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


def test_meshes_begin_where_usable_pixels_do() -> None:
    """As beside TESS's collateral columns: sep would continue the next mesh's level over the edge."""
    sky = np.linspace(10, 40, 300, dtype="f4")
    image, mask = noise(0.0, 0.1) + sky, NO_MASK.copy()
    mask[:, :44] = True
    beside = slice(44, 64)
    model = sep.Background(image, mask=mask)
    assert np.abs(model.back()[:, beside] - sky[beside]).max() > 2
    found = measure_background(image, mask, Config())
    assert np.abs(found.image[:, 44:] - sky[44:]).max() < 1.5
    assert found.image.shape == found.local_rms().shape == image.shape


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


@pytest.mark.parametrize("step", [1.0, 0.037])
@pytest.mark.parametrize(("level", "sigma"), [(10.3, 1.0), (1000.6, 2.0), (-3.5, 5.0), (7.2, 20.0)])
def test_whole_numbers_have_the_level_of_their_mean(level: float, sigma: float, step: float) -> None:
    """sep alone is off by up to 0.7 of their step, whatever that is."""
    whole = np.rint(noise(level, sigma)) * np.float32(step)
    found = measure_background(whole, NO_MASK, Config())
    assert found.level == pytest.approx(whole.mean(dtype=float), abs=(0.03 + 0.02 * sigma) * step)
    assert found.rms == pytest.approx(whole.std(), rel=0.06)
    assert found.image.mean() == pytest.approx(found.level, abs=0.03 * sigma * step)
    again = measure_background(whole, NO_MASK, Config())
    np.testing.assert_array_equal(again.image, found.image, "equal input gives equal bytes")


@pytest.mark.parametrize("share", [0.6, 0.55])
def test_whole_numbers_without_a_mesh_that_is_half_usable(share: float) -> None:
    image, mask = np.rint(noise(10.4, 1.0)), np.random.default_rng(2).random(NO_MASK.shape) < share
    image[mask] = 0
    found = measure_background(image, mask, Config())
    assert found.model is None
    assert found.level == pytest.approx(image[~mask].mean(dtype=float), abs=0.06)


def test_levels_of_other_images_are_sep_s_own() -> None:
    for image in (noise(), np.round(noise(), 4)):
        assert measure_background(image, NO_MASK, Config()).level == sep.Background(image).globalback


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


def sparse(image: np.ndarray, **planes: object) -> tuple[float, str]:
    pixels = Pixels(image.astype("f4"), np.zeros(image.shape, bool), **planes)  # type: ignore[arg-type]
    return sparse_noise(image.astype("f4"), pixels)


def test_the_noise_of_few_pixels_among_many_that_are_equal() -> None:
    rng = np.random.default_rng(4)
    grainy = np.round(rng.normal(0, 0.8, (200, 200)))  # half of the pixels are 0
    grainy[rng.random((200, 200)) < 0.001] = 500
    grainy[rng.random((200, 200)) < 0.02] = 4
    assert np.mean(grainy == 0) < 0.5
    sigma, how = sparse(grainy)
    assert sigma == pytest.approx(math.sqrt(0.8**2 + 1 / 12), rel=0.05)
    assert "do not stand out" in how


def test_where_most_pixels_are_equal_the_error_plane_tells_the_noise() -> None:
    image = np.zeros((100, 100))
    image[:10, :10] = 7
    error = np.full((100, 100), 0.3, "f4")
    error[:30] = 9
    sigma, how = sparse(image, error=error, gain=2.0)
    assert sigma == pytest.approx(0.3)
    assert "ERR" in how


@pytest.mark.parametrize(("share", "photons"), [(0.3, 1.0), (0.04, 1.0), (1.0, 2.0)])
def test_without_it_the_photons_do_and_at_least_one(share: float, photons: float) -> None:
    # Of most pixels the same: 0, or 8 photons of 0.5 with a few others.
    rng = np.random.default_rng(5)
    image = np.where(rng.random((200, 200)) < share, 1.0, 0.0) * (photons**2 if share == 1 else 1) / 2
    sigma, how = sparse(image, gain=2.0)
    assert sigma == pytest.approx(photons / 2, rel=0.02)
    assert "Poisson" in how


def test_without_a_gain_the_scatter_of_all_does() -> None:
    image = np.zeros((100, 100))
    image[:20] = 5
    sigma, how = sparse(image)
    assert sigma == pytest.approx(2.0, rel=1e-3)  # of a fifth at 5 and the others at 0
    assert "all pixels" in how


@pytest.mark.parametrize(
    ("levels", "rms", "step"),
    [
        ([0, 2, 6], 1.0, 2.0),
        ([0, 2], 1.0, 0.0),  # two levels have no step that could be told
        ([0, 2, 6], 98.0, 2.0),
        ([0, 2, 6], 100.0, 0.0),  # as fine as noise of 50 steps
        ([0, 2, 6.1], 1.0, 2.0),  # 2.05 steps: as float32 rounds
        ([0, 2, 6.3], 1.0, 0.0),  # 2.15 steps
    ],
)
def test_the_step_of_levels(levels: list[float], rms: float, step: float) -> None:
    data = np.resize(np.array(levels, "f4"), (10, 12))
    assert step_of(data, np.zeros(data.shape, bool), rms) == pytest.approx(step)


def test_the_step_is_that_of_every_pixel_that_is_not_masked() -> None:
    data = np.resize(np.arange(7, dtype="f4"), (10, 12))
    data[:, 1::2] += 0.5
    mask = np.zeros(data.shape, bool)
    assert step_of(data, mask, 1.0) == 0.5
    mask[:, 1::2] = True
    assert step_of(data, mask, 1.0) == 1.0


@pytest.mark.parametrize(("number", "step"), [(59, 1.0), (60, 0.0)])
def test_values_that_hardly_repeat_have_nostep_of(number: int, step: float) -> None:
    """Levels of half the 120 pixels are too many."""
    data = np.resize(np.arange(number, dtype="f4"), (10, 12))
    assert step_of(data, np.zeros(data.shape, bool), 1.0) == step


def test_the_scatter_is_about_the_median_wherever_that_is() -> None:
    image = noise(500.0, 2.0)
    image[::10, ::10] = 1e4
    sigma, how = sparse(image)
    assert sigma == pytest.approx(2, rel=0.05)
    assert "do not stand out" in how


def test_a_scatter_of_nothing_is_no_noise() -> None:
    """Round by round all but the 46 zeros of 100 pixels stand out."""
    far = 10.0 ** np.arange(27)
    image = np.concatenate([np.zeros(46), far, -far]).reshape(10, 10)
    assert sparse(image, error=np.full((10, 10), 2**60, "f4")) == (2.0**60, "the lower values of ERR")


def test_an_error_plane_or_photons_of_nothing_beside_the_scatter_are_not_taken_for_it() -> None:
    image = np.zeros((10, 10))
    image[:4] = -1e20
    for known in ({"error": np.ones((10, 10), "f4")}, {"gain": 1.0}, {}):
        sigma, how = sparse(image + (1 if "gain" in known else 0), **known)
        assert (sigma, how) == (pytest.approx(1e20 * math.sqrt(0.24)), "the scatter of all pixels")
