"""Errors of barycentres: honest for faint stars and bright ones, and turned with the source."""

import numpy as np
import pytest

from sep_extract.event import Config
from sep_extract.extract import measure
from sep_extract.isophote import moved_isophote
from sep_extract.noise import NoiseModel, SharedNoise
from sep_extract.pixels import Pixels

SIDE, STEP = 400, 25


@pytest.mark.parametrize("peak", [12.0, 100.0])
def test_pulls_of_barycentres_are_one_for_faint_stars_and_bright_ones(peak: float) -> None:
    rng = np.random.default_rng(4)
    image = rng.normal(size=(SIDE, SIDE))
    x, y = np.mgrid[12:SIDE:STEP, 12:SIDE:STEP].reshape(2, -1) + rng.uniform(-0.5, 0.5, (2, 256))
    around = np.arange(-8, 9)
    for at_x, at_y in zip(x, y, strict=True):
        columns, rows = round(at_x) + around, round(at_y) + around
        across, up = (np.exp(-((p - at) ** 2) / 2 / 1.5**2) for p, at in ((columns, at_x), (rows, at_y)))
        image[np.ix_(rows, columns)] += peak * np.outer(up, across)
    found = measure(Pixels(image.astype("f4"), np.zeros(image.shape, bool)), Config()).sources.isophotal
    distance = np.hypot(*(np.subtract.outer(true, at) for true, at in ((x, found.x), (y, found.y))))
    star = distance.argmin(axis=1)[distance.min(axis=1) < 1.5]
    true = distance.min(axis=1) < 1.5
    assert len(star) > 240
    pulls = np.concatenate(
        [(found.x[star] - x[true]) / found.x2[star] ** 0.5, (found.y[star] - y[true]) / found.y2[star] ** 0.5]
    )
    low, high = np.quantile(pulls, [0.1587, 0.8413])
    assert 0.85 < (high - low) / 2 < 1.15


def test_a_long_source_is_uncertain_along_itself() -> None:
    kinds = [(name, "f8") for name in ("npix", "cpeak", "flux", "cflux", "a", "b", "theta")]
    objects = np.array(
        [
            (100, 50.0, 900.0, 900.0, 4.0, 1.0, 0.0),
            (100, 50.0, 900.0, 900.0, 4.0, 1.0, np.pi / 4),
            (0, 0.0, 0.0, 0.0, 1, 1, 0),
        ],
        dtype=kinds,
    )
    model = NoiseModel(np.ones((2, 2), "f4"), 0.0, SharedNoise())
    x2, y2, xy = moved_isophote(objects, np.array([1.0, 1.0, 0.0]), model, Config())
    assert x2[0] == pytest.approx(16 * y2[0])
    assert xy[0] == pytest.approx(0, abs=1e-12)
    assert x2[1] == pytest.approx(y2[1])
    assert x2[1] + y2[1] == pytest.approx(x2[0] + y2[0])
    assert xy[1] == pytest.approx((x2[0] - y2[0]) / 2)
    # By hand: R^2 = 100 / pi, level 1.5, ln(50 / 1.5) = 3.5066.
    r2 = 100 / np.pi
    r, g = r2**0.5, r2 / (2 * 3.50656)
    expected = np.pi * g * r * (0.375 * g + r) + np.pi * r**3 * 2.25 / 12
    assert (x2[0] * y2[0]) ** 0.5 == pytest.approx(expected / 900**2, rel=1e-4)


def test_pixels_that_cancel_give_a_large_error_and_never_an_infinite_one() -> None:
    kinds = [(name, "f8") for name in ("npix", "cpeak", "flux", "cflux", "a", "b", "theta")]
    objects = np.array([(9, 5.0, flux, 30.0, 1, 1, 0) for flux in (0.0, 1e-30, -7.0, 3.0, 30.0)], dtype=kinds)
    model = NoiseModel(np.ones((2, 2), "f4"), 0.0, SharedNoise())
    x2, _, _ = moved_isophote(objects, np.ones(5), model, Config())
    np.testing.assert_allclose(x2, x2[4] * np.array([100, 100, 100, 100, 1]))
