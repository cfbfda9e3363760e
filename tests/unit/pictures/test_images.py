"""What is read of an image and its catalog, and what is refused."""

import re
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from skyfan.errors import InputError
from skyfan.pictures import images

from .conftest import STARS, catalog, image


def test_titles() -> None:
    header = fits.Header({"TARGNAME": "M-31", "INSTRUME": "WFC3", "DETECTOR": "IR", "FILTER": "F160W"})
    nothing = fits.Header()
    assert images.title(header, nothing) == images.title(nothing, header) == "M-31  ·  WFC3/IR F160W"
    assert images.title(fits.Header({"EXPTIME": 0.0}), nothing) == ""
    lamp = fits.Header({"FILTER1": "CLEAR1L", "FILTER2": "F814W", "EXPTIME": 1100.0})
    assert images.title(lamp, nothing) == "F814W  ·  1,100 s"


def test_a_file_without_cards_is_named_by_its_file(tmp_path: Path) -> None:
    fits.PrimaryHDU(np.ones((5, 5), "f4")).writeto(tmp_path / "bare.fits.gz")
    assert images.load(str(tmp_path / "bare.fits.gz")).title == "bare"


def test_sources_belong_to_their_chip(tmp_path: Path) -> None:
    path = image(tmp_path / "i.fits", chips=2)
    exposure = images.load(path, catalog(tmp_path / "c.fits", ext=4))
    first, second = exposure.chips
    assert (first.version, second.version) == (1, 2)
    assert first.sources is not None
    assert len(first.sources) == 0
    assert second.sources is not None
    assert second.sources.x == pytest.approx([star[0] for star in STARS])
    assert exposure.sources == (1, 1)
    assert images.load(path).sources is None
    assert [chip.version for chip in images.load(path, chip=2).chips] == [2]


def test_an_empty_catalog_has_no_sources(tmp_path: Path) -> None:
    exposure = images.load(image(tmp_path / "i.fits"), catalog(tmp_path / "c.fits", stars=[]))
    assert exposure.sources == (0, 0)


def test_pixels_without_weight_have_no_data(tmp_path: Path) -> None:
    weight = np.ones((20, 20), "f4")
    weight[:5] = 0
    science = fits.ImageHDU(np.zeros((20, 20), "f4"), name="SCI")
    fits.HDUList([fits.PrimaryHDU(), science, fits.ImageHDU(weight, name="WHT")]).writeto(tmp_path / "i.fits")
    (chip,) = images.load(str(tmp_path / "i.fits")).chips
    assert np.array_equal(np.isnan(chip.data), weight == 0)


@pytest.mark.parametrize("shape", [(6, 9), (7, 10), (1, 7), (2, 2)])
def test_blocks_average_the_pixels_that_have_data(shape: tuple[int, int]) -> None:
    data = np.random.default_rng(3).normal(5, 1, shape).astype("f4")
    data[0, 0] = np.nan
    small = images.reduced(data, 3)
    assert small.shape == (-(-shape[0] // 3), -(-shape[1] // 3))
    assert small[0, 0] == pytest.approx(np.nanmean(data[:3, :3]))
    assert small[-1, -1] == pytest.approx(
        np.nanmean(data[(small.shape[0] - 1) * 3 :, (small.shape[1] - 1) * 3 :])
    )


def test_a_block_without_data_has_none() -> None:
    assert np.isnan(images.reduced(np.full((4, 4), np.nan, "f4"), 2)).all()


def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    path = image(tmp_path / "i.fits")
    words, table = tmp_path / "words.txt", tmp_path / "t.fits"
    words.write_text("no stars")
    fits.BinTableHDU.from_columns([fits.Column("A", "D", array=[1.0])]).writeto(table)
    for bad in (tmp_path / "absent.fits", words, table):
        with pytest.raises(InputError, match=re.escape(str(bad))):
            images.load(str(bad))
    with pytest.raises(InputError, match=r"chip 3.* 1$"):
        images.load(path, chip=3)
    with pytest.raises(InputError, match="X_IMAGE"):
        images.load(path, str(table))
    with pytest.raises(InputError, match="HDU 9"):
        images.load(path, catalog(tmp_path / "other.fits", ext=9))
