"""Brightness: nuclei keep their shape, faint sources show, and hot pixels do not set the scale."""

import numpy as np
import pytest

from skyfan.pictures.plain import STRETCHES, stretch


def _galaxy() -> np.ndarray:
    """A bright nucleus with a halo in noise of 1."""
    y, x = np.mgrid[:200, :200] - 100
    noise = np.random.default_rng(5).normal(0, 1, (200, 200))
    return (noise + 5000 * np.exp(-np.hypot(x, y) / 6)).astype("f4")


def test_a_nucleus_is_not_flat_and_the_sky_is_dark() -> None:
    data = _galaxy()
    brightness = stretch(data, "asinh")(data)
    assert (brightness >= 0.999).sum() <= 9
    assert brightness[100, 100] > brightness[100, 103] > brightness[100, 110] > 0.5
    assert 0 < np.median(brightness[:40]) < 0.2


@pytest.mark.parametrize("name", ["asinh", "log", "zscale"])
def test_a_hot_pixel_does_not_change_the_scale(name: str) -> None:
    data = _galaxy()
    before = stretch(data, name)
    data[20, 20] = 1e9
    after = stretch(data, name)
    assert (after.low, after.high) == pytest.approx((before.low, before.high), rel=0.02)


@pytest.mark.parametrize("name", STRETCHES)
@pytest.mark.parametrize(
    "data",
    [
        np.zeros((5, 5)),
        np.full((5, 5), np.nan),
        np.arange(25.0).reshape(5, 5),
        np.array([[1e30, -1e30]]),
        np.ones((1, 1)),
        np.diag([1.0, np.nan, 2.0]),
        np.where(np.eye(4) > 0, np.nan, 1.0),
    ],
)
def test_any_pixels_get_a_brightness(data: np.ndarray, name: str) -> None:
    pixels = data.astype("f4")
    brightness = stretch(pixels, name)(pixels)
    assert np.array_equal(np.isnan(brightness), np.isnan(pixels))
    assert ((brightness >= 0) & (brightness <= 1))[np.isfinite(pixels)].all()


@pytest.mark.parametrize("name", STRETCHES)
def test_brightness_rises_with_the_pixel(name: str) -> None:
    data = _galaxy()
    chosen = stretch(data, name)
    values = np.linspace(chosen.low, chosen.high, 200, dtype="f4")
    assert (np.diff(chosen(values)) >= 0).all()
    assert chosen(values)[[0, -1]] == pytest.approx([0, 1], abs=1e-3)
