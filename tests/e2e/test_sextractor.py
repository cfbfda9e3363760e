"""Against SExtractor 2.25 on every real image that both read: same pixels, mask and settings."""

from __future__ import annotations

from pathlib import Path

import pytest
import sextractor

from sep_extract.event import Config

pytestmark = pytest.mark.skipif(
    sextractor.PROGRAM is None, reason="SExtractor (Debian: source-extractor) is not installed"
)

# No DQ mask, so that both see the same stars whole: all bits are good.
_ALL_BITS = 0xFFFF

_DEMO = ("abell2744_f105w_drz.fits", "j8bt06nyq_drz.fits", "j8bt06nyq_flt.fits")
_SHARED = (
    "abell_2744_cd_galaxy_f105w.fits.gz",
    "ib6o23rtq_sci1_blt.fits.gz",
    "j8bt06nyq_sip_flt.fits.gz",
    "j8bt06nyq_square_drz.fits.gz",
    "sep_image.fits",
)


@pytest.mark.parametrize("name", _DEMO)
def test_demo_images_agree(demo_data: Path, name: str) -> None:
    _check(sextractor.agreement(demo_data / name, Config(good_bits=_ALL_BITS)))


@pytest.mark.slow
@pytest.mark.parametrize("name", _SHARED)
def test_whole_images_agree(shared_data: Path, name: str) -> None:
    _check(sextractor.agreement(shared_data / name, Config(good_bits=_ALL_BITS)))


@pytest.mark.parametrize("name", _DEMO)
def test_check_images_agree(demo_data: Path, name: str) -> None:
    """Deblending deals pixels between neighbours by random numbers: without it segments are the same."""
    found = sextractor.checks_agreement(
        demo_data / name, Config(good_bits=_ALL_BITS, deblend_mincont=1.0, clean=False)
    )
    assert found["detected"] > 0.998
    assert found["pixels"] > 0.995
    assert found["segments"] > 0.85
    assert found["BACKGROUND 99 %"] < 1 / 128
    assert found["-BACKGROUND 99 %"] < 1 / 16


@pytest.mark.parametrize("name", _DEMO)
def test_dual_image_mode_agrees(demo_data: Path, name: str) -> None:
    found = sextractor.dual_agreement(
        demo_data / name, Config(good_bits=_ALL_BITS, deblend_mincont=1.0, clean=False)
    )
    assert found["alike"] > 40
    assert found["ISO median"] < 1e-3
    assert found["AUTO median"] < 1e-3
    assert found["AUTO 90 %"] < 0.02


@pytest.mark.slow
def test_grism_traces_agree_but_for_the_order_of_cleaning(shared_data: Path) -> None:
    """97.9 % are matched with CLEAN, 98.6 % without it.

    Long traces touch many faint detections; SExtractor cleans while it scans, sep at the end. Dead
    pixels, which are masked, cut traces, and the two programs divide these otherwise.
    """
    path = shared_data / "ib6o23rsq_flt.fits.gz"
    cleaned = sextractor.agreement(path, Config(good_bits=_ALL_BITS))
    assert cleaned["matched"] >= 0.975
    assert cleaned["median_dmag"] < 0.01
    _check(sextractor.agreement(path, Config(good_bits=_ALL_BITS, clean=False)), matched=0.985)


def _check(result: dict[str, float], matched: float = 0.99) -> None:
    assert result["reference"] >= 25
    assert result["matched"] >= matched
    assert result["median_dmag"] < 0.01
    assert result["median_shift"] < 0.02
