"""Sources planted anywhere in a real image: what benchmarks/science and benchmarks/dense judge by."""

from pathlib import Path

import numpy as np
import pytest
from fields import CORE_AND_HALO, negative, planted, read, shares_within, stars
from planting import Planted, star


def test_a_star_with_a_halo_holds_all_its_light() -> None:
    sources = Planted(np.array([100.3]), np.array([99.6]), np.array([1.0]), (CORE_AND_HALO,))
    light = sources.model((201, 201))
    assert light.sum() == pytest.approx(1, abs=0.002)
    # A Moffat of beta 2 holds r^2 / (r^2 + alpha^2) within r.
    for radius in (6.0, 12.0):
        expected = 0.8 + 0.2 * radius**2 / (radius**2 + 9)
        assert shares_within(sources, radius)[0] == pytest.approx(expected, abs=0.003)


def test_planted_light_is_all_that_is_added(demo_data: Path) -> None:
    chip = read(demo_data / "abell2744_f105w_drz.fits")
    rng = np.random.default_rng(3)
    sources = stars(~chip.mask, star(3.0), (50.0, 100.0), rng, 60)
    added = planted(chip, sources, rng).data.astype(float) - chip.data
    assert len(sources.x) > 20
    assert added.sum() == pytest.approx(sources.flux.sum(), rel=0.01)
    x, y = np.rint(sources.x).astype(int), np.rint(sources.y).astype(int)
    assert (added[y, x] > 0.05 * sources.flux).all()


def test_the_negative_mirrors_the_image_about_its_median(demo_data: Path) -> None:
    chip = read(demo_data / "j8bt06nyq_flt.fits")
    used, mirrored = chip.data[~chip.mask], negative(chip).data[~chip.mask]
    assert np.median(mirrored) == pytest.approx(np.median(used), rel=1e-3)
    assert mirrored + used == pytest.approx(2 * np.median(used), rel=1e-2, abs=0.1)
