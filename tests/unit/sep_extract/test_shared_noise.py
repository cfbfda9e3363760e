"""By how much an aperture exceeds the noise of independent pixels, on noise of known correlation."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sep_extract.shared_noise import measure_shared_noise, widen

SIDE = 512


def noise(smoothed: bool) -> NDArray[np.float32]:
    """White noise, or the same summed over 3 x 3 pixels; one sigma is 1."""
    white = np.random.default_rng(5).normal(0, 1, (SIDE, SIDE))
    if smoothed:
        white = sum(np.roll(white, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)) / 3
    return white.astype(np.float32)


def test_independent_pixels_have_a_factor_of_one() -> None:
    shared = measure_shared_noise(
        noise(False), np.ones((SIDE, SIDE), np.float32), np.zeros((SIDE, SIDE), np.int32)
    )
    assert shared.measured
    assert shared.factor(np.array([1.0, 30.0, 200.0])) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("block", [2, 4, 8, 16])
def test_smoothed_noise_has_the_factor_of_its_correlation(block: int) -> None:
    """From the triangular correlation of a 3-pixel boxcar, along both axes."""
    shared = measure_shared_noise(
        noise(True), np.ones((SIDE, SIDE), np.float32), np.zeros((SIDE, SIDE), np.int32)
    )
    lags = np.abs(np.subtract.outer(np.arange(block), np.arange(block)))
    expected = np.clip(1 - lags / 3, 0, None).sum() / block
    assert shared.factor(block**2) == pytest.approx(expected, rel=0.1)


def test_sources_and_their_wings_do_not_count() -> None:
    data, owner = noise(False), np.zeros((SIDE, SIDE), np.int32)
    for y in range(20, SIDE, 40):
        data[y - 5 : y + 6] += 50
        owner[y - 2 : y + 3] = 1
    shared = measure_shared_noise(data, np.ones_like(data), owner)
    assert shared.measured
    assert shared.factor(16.0) == pytest.approx(1.0, abs=0.1)


def test_a_crowded_image_is_not_measured() -> None:
    owner = np.ones((SIDE, SIDE), np.int32)
    owner[:50] = 0
    shared = measure_shared_noise(noise(True), np.ones((SIDE, SIDE), np.float32), owner)
    assert not shared.measured
    assert shared.factor(100.0) == 1.0


def test_the_factor_goes_to_the_background_part_of_errors_only() -> None:
    shared = measure_shared_noise(
        noise(True), np.ones((SIDE, SIDE), np.float32), np.zeros((SIDE, SIDE), np.int32)
    )
    one = np.ones(1)
    columns = {
        "rms": one,
        "a": one * 2,
        "b": one,
        "kron_radius": one * 3.5,
        "isoareaf": np.array([16]),
        "fluxerr_iso": np.array([5.0]),  # 4 of the background, 3 of the source
        "fluxerr_auto": np.array([100.0]),
        "fluxerr_aper": np.array([[2.0]]),
    }
    widen(columns, shared, [2.0])
    factor = float(shared.factor(16.0))
    assert columns["fluxerr_iso"][0] == pytest.approx(np.hypot(4 * factor, 3))
    assert 100 < columns["fluxerr_auto"][0] < 103
    assert columns["fluxerr_aper"][0, 0] > 3
