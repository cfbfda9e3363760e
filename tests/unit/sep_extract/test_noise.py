"""The noise model on noise of known size and correlation, and errors against the truth of planted stars."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sep_extract.event import Config
from sep_extract.extract import Measurement, measure
from sep_extract.noise import NoiseModel, SharedNoise, noise_of
from sep_extract.pixels import Pixels

Image = NDArray[np.float32]
SIDE = 512
WIDTH = 1.3  # of the stars, one sigma in pixels


def white(width: int = 1, seed: int = 5, side: int = SIDE) -> Image:
    """White noise of sigma 1, or the same summed over width x width pixels."""
    noise = np.fft.rfft2(np.random.default_rng(seed).normal(0, 1, (side, side)))
    box = np.zeros((side, side))
    box[:width, :width] = 1 / width
    return np.fft.irfft2(noise * np.fft.rfft2(box), s=(side, side)).astype(np.float32)


def nobody() -> NDArray[np.int32]:
    return np.zeros((SIDE, SIDE), np.int32)


def expected_factor(width: int, block: int) -> float:
    """Of noise summed over a square of `width` pixels: its correlation is a triangle along both axes."""
    lags = np.abs(np.subtract.outer(np.arange(block), np.arange(block)))
    return float(np.clip(1 - lags / width, 0, None).sum() / block)


@pytest.mark.parametrize("width", [1, 3, 8])
@pytest.mark.parametrize("block", [2, 4, 8, 16])
def test_shared_noise_has_the_factor_of_its_correlation(width: int, block: int) -> None:
    shared = noise_of(white(width), nobody(), 1.0, None, None).shared
    assert shared.measured
    assert shared.factor(block**2) == pytest.approx(expected_factor(width, block), rel=0.12)


def test_beyond_the_largest_block_the_last_slope_goes_on_and_never_beyond_full_correlation() -> None:
    shared = SharedNoise((1.0, 4.0, 16.0), (1.0, 1.5, 2.0), True)
    assert shared.factor(64.0) == pytest.approx(2.0 * 2.0 / 1.5)
    steep = SharedNoise((1.0, 4.0), (1.0, 3.0), True)
    assert steep.factor(400.0) == pytest.approx(30.0)
    assert SharedNoise().factor(1e4) == 1.0


@settings(deadline=None, max_examples=20)
@given(st.floats(0.01, 100), st.floats(0.01, 100))
def test_the_scale_of_a_noise_level_and_of_an_error_plane_does_not_matter(level: float, scale: float) -> None:
    image = white()
    of_level = noise_of(image, nobody(), level, None, None)
    of_plane = noise_of(image, nobody(), 1.0, np.full_like(image, scale), None)
    assert np.median(of_level.background) == pytest.approx(1.0, rel=0.05)
    assert np.median(of_plane.background) == pytest.approx(1.0, rel=0.05)
    assert of_plane.shared.factors == pytest.approx(of_level.shared.factors, rel=1e-3)


def test_an_error_plane_says_how_noise_varies() -> None:
    error = np.ones((SIDE, SIDE), np.float32)
    error[:, SIDE // 2 :] = 3
    noise = noise_of(white() * error, nobody(), 2.0, error, None)
    left, right = noise.background[:, : SIDE // 2], noise.background[:, SIDE // 2 :]
    assert np.median(left) == pytest.approx(1.0, rel=0.05)
    assert np.median(right) == pytest.approx(9.0, rel=0.05)


def test_sources_and_their_wings_do_not_count() -> None:
    data, owner = white(), nobody()
    for y in range(20, SIDE, 40):
        data[y - 5 : y + 6] += 50
        owner[y - 2 : y + 3] = 1
    shared = noise_of(data, owner, 1.0, None, None).shared
    assert shared.measured
    assert shared.factor(16.0) == pytest.approx(1.0, abs=0.1)


def test_a_crowded_image_is_not_measured() -> None:
    owner = np.ones((SIDE, SIDE), np.int32)
    owner[:50] = 0
    shared = noise_of(white(3), owner, 1.0, None, None).shared
    assert not shared.measured
    assert shared.factor(100.0) == 1.0


def test_errors_hold_the_factor_for_the_background_alone_and_poisson_noise_of_light_alone() -> None:
    noise = NoiseModel(np.ones((2, 2), np.float32), 0.25, SharedNoise((1.0, 16.0), (1.0, 3.0), True))
    flux = np.array([100.0, 0.0, -100.0])
    assert noise.error(np.full(3, 16.0), 16.0, flux) == pytest.approx([13.0, 12.0, 12.0])


def planted(
    seed: int, width: int = 1, electrons: float | None = None
) -> tuple[Image, Image, NDArray[np.float64]]:
    """An image of sigma 1 with stars, its true error plane, and (n, 3) x, y and flux of the stars.

    `electrons` is how many electrons one sigma is; without it the stars have no Poisson noise.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[40 : SIDE - 40 : 72, 40 : SIDE - 40 : 72].astype(float).reshape(2, -1)
    x, y = x + rng.uniform(-4, 4, len(x)), y + rng.uniform(-4, 4, len(y))
    flux = 10 ** rng.uniform(1.9, 2.7, len(x)) * width
    rows, columns = np.mgrid[:SIDE, :SIDE]
    model = np.zeros((SIDE, SIDE))
    for x0, y0, f in zip(x, y, flux, strict=True):
        near = np.s_[int(y0) - 12 : int(y0) + 13, int(x0) - 12 : int(x0) + 13]
        light = np.exp(-((columns[near] - x0) ** 2 + (rows[near] - y0) ** 2) / 2 / WIDTH**2)
        model[near] += f * light / light.sum()
    drawn = rng.poisson(model * electrons) / electrons if electrons else model
    error = np.sqrt(1 + (model / electrons if electrons else 0)).astype(np.float32) * np.ones_like(model)
    image = (white(width, seed) + drawn).astype(np.float32)
    return image, error.astype(np.float32), np.column_stack([x, y, flux])


RADII = np.array([3.0, 8.0, 25.0])
CONFIG = Config(phot_apertures=tuple(2 * RADII), detect_thresh=2.0)


def found(image: Image, **planes: object) -> Measurement:
    return measure(Pixels(image, np.zeros(image.shape, bool), scale=1.0, **planes), CONFIG)  # type: ignore[arg-type]


def pulls(result: Measurement, stars: NDArray[np.float64]) -> NDArray[np.float64]:
    """(measured - true) / error of the circles' fluxes, (stars found, radii)."""
    shape, apertures = result.sources.isophotal, result.sources.photometry
    truth = 1 - np.exp(-(RADII**2) / 2 / WIDTH**2)
    rows = []
    for x, y, flux in stars:
        distance = np.hypot(shape.x - x, shape.y - y)
        if distance.min() < 1.5:
            at = distance.argmin()
            error = apertures.flux_error_aper[at]
            rows.append((apertures.flux_aper[at] - flux * truth / result.unit) / error)
    return np.array(rows)


def width_of(values: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = np.quantile(values, [0.158655, 0.841345], axis=0)
    return (high - low) / 2


@pytest.mark.parametrize(
    ("width", "electrons"), [(1, None), (3, None), (8, None), (1, 0.1), (1, 1.0), (1, 10.0), (1, 100.0)]
)
def test_errors_in_circles_are_the_scatter(width: int, electrons: float | None) -> None:
    rows = []
    for seed in range(8):
        image, _, stars = planted(seed, width, electrons)
        rows.append(pulls(found(image, gain=electrons), stars))
    together = np.concatenate(rows)
    assert len(together) > 200
    assert width_of(together) == pytest.approx(1.0, abs=0.16)  # 200 stars tell it to 0.06


@pytest.mark.parametrize("gain", [None, 10.0])
def test_an_error_plane_on_any_scale_gives_the_same_errors(gain: float | None) -> None:
    image, error, _ = planted(3, electrons=10.0)
    results = [found(image, error=error * np.float32(scale), gain=gain) for scale in (0.5, 1, 2)]
    for name in ("flux_error_aper", "flux_error_auto"):
        one, two, three = (getattr(result.sources.photometry, name) for result in results)
        np.testing.assert_allclose(one, two, rtol=0.02)
        np.testing.assert_allclose(three, two, rtol=0.02)
    shapes = [result.sources.isophotal for result in results]
    np.testing.assert_allclose(shapes[0].x2, shapes[1].x2, rtol=0.02)
    assert len({result.rms for result in results}) == 1


@settings(deadline=None, max_examples=8)
@given(st.sampled_from([1e-25, 1e-19, 1e-6, 1.0, 1e9, 1e18]))
def test_the_unit_of_an_image_changes_no_flux_beside_its_own_factor(unit: float) -> None:
    image, _, _ = planted(4, electrons=10.0)
    one = found(image, gain=10.0)
    other = found(image * np.float32(unit), gain=10.0 / unit)
    for name in ("flux_auto", "flux_error_auto", "flux_aper", "xwin", "x2win"):
        ours, theirs = (getattr(result.sources.photometry, name) for result in (one, other))
        factor = other.unit / one.unit / unit if name.startswith("flux") else 1.0
        np.testing.assert_allclose(theirs * factor, ours, rtol=2e-4, atol=1e-4)


def test_nothing_that_is_given_is_written_to() -> None:
    image, error, _ = planted(5)
    mask = np.zeros(image.shape, bool)
    mask[100:110, 100:110] = True
    image[mask] = 0
    before = [plane.copy() for plane in (image, error, mask)]
    measure(Pixels(image, mask, error=error, scale=1.0), CONFIG)
    for plane, copy in zip((image, error, mask), before, strict=True):
        np.testing.assert_array_equal(plane, copy)
