"""What is read of an image and its catalog, and what is refused."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from sep_extract import instruments
from skyfan.errors import InputError, UsageError
from skyfan.pictures import fits_file, images

from .conftest import STARS, catalog, image, sky


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


def test_a_cut_keeps_places_and_drops_what_is_far(tmp_path: Path) -> None:
    whole = images.load(image(tmp_path / "i.fits"), catalog(tmp_path / "c.fits"))
    (ra, dec), radius = sky().all_pix2world([[30, 70]], 0)[0], 1.0 / 3600
    (part,) = images.cut(whole, ra, dec, radius).chips
    assert part.corner == (20, 60)
    np.testing.assert_array_equal(part.data, whole.chips[0].data[60:81, 20:41])
    assert part.sources is not None
    assert part.sources.x.tolist() == [30], "the other is far away, and places count as in the whole"
    assert part.saturated is not None
    assert part.saturated.shape == part.data.shape


@pytest.mark.parametrize(("ra", "dec"), [(53.1, -27.9), (233.1, 27.8), (0.0, 90.0)])
def test_a_position_off_the_image_is_refused(tmp_path: Path, ra: float, dec: float) -> None:
    exposure = images.load(image(tmp_path / "i.fits", chips=2))
    with pytest.raises(UsageError, match="not on the image"):
        images.cut(exposure, ra, dec, 1 / 3600)


def test_around_needs_sky_coordinates(tmp_path: Path) -> None:
    fits.PrimaryHDU(np.ones((5, 5), "f4")).writeto(tmp_path / "i.fits")
    with pytest.raises(UsageError, match="sky coordinates"):
        images.cut(images.load(str(tmp_path / "i.fits")), 1, 1, 1)


@pytest.mark.parametrize("telescope", ["HST", None])
def test_masked_pixels_have_no_data_and_saturated_ones_are_known(
    tmp_path: Path, telescope: str | None
) -> None:
    path = image(tmp_path / "i.fits")
    with fits.open(path, mode="update") as hdus:
        if telescope:
            hdus[0].header["TELESCOP"] = telescope
        hdus[0].header["INSTRUME"], hdus[0].header["DETECTOR"] = "WFC3", "IR"
        for place, bit in enumerate((4, 16, 512, 256, 4 + 256)):
            hdus["DQ"].data[7, place] = bit
    (chip,) = images.load(path).chips
    assert np.isnan(chip.data[7, :6]).tolist() == [True, False, False, False, True, False]
    assert chip.saturated is not None
    assert chip.saturated[7, :6].tolist() == [False, False, False, True, True, False]


def test_every_row_of_the_table_of_instruments_is_found() -> None:
    for row in instruments.table():
        keys = zip(("TELESCOP", "INSTRUME", "DETECTOR"), row.name.split("/"), strict=False)
        header = fits.Header({key: value for key, value in keys if value})
        assert images._good_bits(header) == (row.good, row.saturated), row.name


def test_of_a_crowded_field_the_brightest_are_marked() -> None:
    number = 1000
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0, 100, (2, number))
    many = images.Ellipses(x, y, *np.full((2, number), 3.0), np.zeros(number), np.zeros(number, bool))
    chip = images.Chip(1, 1, np.zeros((100, 100), np.float32), None, many)
    assert chip.marked is not None
    assert chip.marked.x.tolist() == x[: len(chip.marked)].tolist()
    assert len(chip.marked) < 200
    wide = images.Chip(1, 1, np.zeros((1000, 1000), np.float32), None, many)
    assert len(wide.marked or ()) == number


def test_sources_come_brightest_first(tmp_path: Path) -> None:
    path = catalog(tmp_path / "c.fits")
    table = Table.read(path)
    table["FLUX_AUTO"] = [1.0, 2.0]
    table.write(path, overwrite=True)
    assert images.read_ellipses(path)[1].x.tolist() == [75, 30]


@pytest.mark.parametrize("value", [b"1E100", b"0.0"])
def test_coordinates_that_no_sky_has_are_not_drawn(tmp_path: Path, value: bytes) -> None:
    raw = Path(image(tmp_path / "i.fits")).read_bytes()
    at = raw.index(b"CDELT1  =")
    (tmp_path / "bad.fits").write_bytes(raw[:at] + b"CDELT1  = " + value.rjust(20) + raw[at + 30 :])
    assert images.load(str(tmp_path / "i.fits")).chips[0].wcs is not None
    assert images.load(str(tmp_path / "bad.fits")).chips[0].wcs is None


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (
            lambda raw: raw.replace(b"BITPIX  =                  -32", b"BITPIX  =             'GZIP_2'"),
            "damaged",
        ),
        (lambda raw: raw.replace(b"NAXIS1  =", b"NAXIS1  ?"), ""),
        (lambda raw: raw[:4000], ""),
        (lambda raw: gzip.compress(raw)[:-200], ""),
        (lambda raw: gzip.compress(raw)[:50] + b"\xff" * 9 + gzip.compress(raw)[59:], ""),
        (lambda raw: gzip.compress(gzip.compress(raw + bytes(90_000))), "unpacks to more than the 200 kB"),
        (
            lambda raw: raw.replace(b"NAXIS1  =                  120", b"NAXIS1  =               900000"),
            "pixels",
        ),
        (
            lambda raw: raw.replace(b"NAXIS1  =                  120", b"NAXIS1  =                 -120"),
            "negative",
        ),
    ],
)
def test_damage_is_refused_by_name_and_reading_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[bytes], bytes], says: str
) -> None:
    whole = Path(image(tmp_path / "i.fits")).read_bytes()
    monkeypatch.setattr(fits_file, "_MOST", 200_000)
    monkeypatch.setattr(images, "_PIXELS", 100_000)
    assert len(images.load(str(tmp_path / "i.fits")).chips) == 1
    (tmp_path / "bad.fits").write_bytes(damage(whole))
    assert damage(whole) != whole
    with pytest.raises(InputError, match=re.escape(str(tmp_path / "bad.fits")) + f".*{says}"):
        images.load(str(tmp_path / "bad.fits"))
