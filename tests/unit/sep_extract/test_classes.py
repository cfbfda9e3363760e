"""CLASS: each bit where it must be set, and where it must not."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from sep_extract.classes import MEANING, Class, classify
from sep_extract.event import Config
from sep_extract.extract import measure
from sep_extract.pixels import Pixels


class Stub(SimpleNamespace):
    def __len__(self) -> int:
        return len(self.photometry.flux_auto)


def sources(auto: list[float], iso: list[float]) -> Any:
    """With errors of 10."""
    flux, inner = np.array(auto), np.array(iso)
    return Stub(
        photometry=SimpleNamespace(flux_auto=flux, flux_error_auto=np.full_like(flux, 10)),
        isophotal=SimpleNamespace(flux=inner, flux_error=np.full_like(inner, 10)),
    )


def test_a_source_is_faint_below_both_limits_and_where_its_fluxes_are_unknown() -> None:
    found = classify(
        sources([40.0, 39.0, 39.0, -90.0, np.nan, np.nan], [1.0, 64.0, 65.0, 64.0, 65.0, np.nan])
    )
    assert found.dtype == np.int16
    assert (found & Class.FAINT != 0).tolist() == [False, True, False, True, False, True]


def test_noise_that_pixels_share_is_faint_and_stars_are_not() -> None:
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(241, 241))
    image = noise[1:, 1:] + noise[:-1, 1:] + noise[1:, :-1] + noise[:-1, :-1]
    rows, columns = np.indices(image.shape)
    for at in range(40, 240, 40):
        image += 40 * np.exp(-((columns - at) ** 2 + (rows - at) ** 2) / 2 / 1.3**2)
    found = measure(Pixels(image.astype("f4"), np.zeros(image.shape, bool)), Config())
    shape = found.sources.isophotal
    is_star = (np.abs(shape.x - shape.y) < 1) & (np.abs(shape.x % 40 - 20) > 19)
    faint = classify(found.sources) & Class.FAINT != 0
    assert (is_star.sum(), faint[is_star].sum()) == (5, 0)
    assert len(found) > 20
    assert faint[~is_star].mean() > 0.97


def test_each_bit_has_one_meaning_and_fits_the_column() -> None:
    assert set(MEANING) == set(Class)
    for bit in Class:
        assert bit == 1 << (int(bit).bit_length() - 1) < 1 << 15
