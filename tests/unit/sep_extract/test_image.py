"""FITS files to chips: pairing of extensions, masks, error models, and every way a file is packed."""

import gzip
import io
import math
import shutil
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from sep_extract.chip import Chip, chips
from sep_extract.errors import (
    ImageTooLargeError,
    ImageTooSmallError,
    NoScienceDataError,
    NoValidPixelsError,
    ShapeMismatchError,
)
from sep_extract.image import open_image
from sep_extract.quality import Quality
from skyfan_function.storage import open_input

Read = Callable[..., list[Chip | str]]
Make = Callable[..., Any]


@pytest.fixture
def read(save: Make) -> Read:
    """All chips of an HDUList, bytes or a path; good_bits as in the event."""

    def go(image: Any, name: str = "image.fits", good_bits: int | None = None) -> list[Chip | str]:
        path = image if isinstance(image, Path) else save(image, name)
        with open_input(path.as_uri()) as source, open_image(source) as opened:
            return list(chips(opened, good_bits))

    return go


@pytest.fixture
def plane(stars: Make) -> np.ndarray:
    return stars()


def body(hdus: fits.HDUList) -> bytes:
    written = io.BytesIO()
    hdus.writeto(written)
    return written.getvalue()


def test_an_flt_gives_its_arrays_as_sep_wants_them(read: Read, flt: Make, plane: np.ndarray) -> None:
    err = np.full(plane.shape, 2.0, "f4")
    dq = np.zeros(plane.shape, "i2")
    dq[3, 4] = 512
    (chip,) = read(flt(plane, err=err, dq=dq))
    np.testing.assert_array_equal(chip.data, plane)
    np.testing.assert_array_equal(chip.error, err)
    np.testing.assert_array_equal(chip.dq, dq)
    assert chip.weight is None
    assert not chip.mask.any(), "512 is a good bit of WFC3/IR"
    assert (chip.hdu, chip.extver, chip.notes) == (1, 1, [])
    for array, kind in ((chip.data, "f4"), (chip.error, "f4"), (chip.dq, "u2"), (chip.mask, "?")):
        assert array.dtype == np.dtype(kind), "in this machine's byte order"
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert array.flags.aligned


def test_pixels_keep_their_place(read: Read, flt: Make) -> None:
    """First axis is y: a transposed image would have another shape, a flipped one other values."""
    ramp = np.arange(20 * 30, dtype="f4").reshape(20, 30) + 1
    (chip,) = read(flt(ramp))
    assert chip.data.shape == (20, 30)
    np.testing.assert_array_equal(chip.data, ramp)


def test_two_chips_have_their_own_companions(read: Read, flt: Make, stars: Make) -> None:
    first, second = (
        flt(stars(seed=1), err=1.0),
        flt(stars((96, 80), seed=2), err=2.0, science={"BUNIT": "ELECTRONS"}),
    )
    for hdu in second[1:]:
        hdu.ver = 2
    second["DQ"].data[5, 5] = 4
    one, two = read(fits.HDUList([*first, *second[:0:-1]]))  # in another order, as real files may be
    assert (one.hdu, one.extver, two.extver) == (1, 1, 2)
    assert (one.data.shape, two.data.shape) == ((96, 96), (96, 80))
    assert set(np.unique(one.error)) == {1.0}
    assert set(np.unique(two.error)) == {np.float32(0.02)}, "electrons of 100 s"
    assert (one.mask.sum(), two.mask.sum()) == (0, 1)
    np.testing.assert_allclose(two.data[~two.mask], second["SCI"].data[~two.mask] / 100, rtol=1e-6)


def test_a_real_two_chip_file(read: Read, demo_data: Path) -> None:
    one, two = read(demo_data / "ib4606c6q_flc.fits")
    assert [one.extver, two.extver] == [1, 2]
    with fits.open(demo_data / "ib4606c6q_flc.fits") as hdus:
        exptime = hdus[0].header["EXPTIME"]
        for chip in (one, two):
            good = ~chip.mask
            sci, err, dq = (hdus[name, chip.extver].data for name in ("SCI", "ERR", "DQ"))
            np.testing.assert_allclose(chip.data[good], sci[good] / exptime, rtol=1e-6)
            np.testing.assert_allclose(chip.error[good], err[good] / exptime, rtol=1e-6)
            np.testing.assert_array_equal(chip.dq, dq)
            assert chip.calibration.unit == "electron/s"
    assert np.count_nonzero(two.mask) >= 30, "three in ten of its pixels have bit 512, not good on UVIS"
    assert abs(one.sky.scale - 0.04) < 0.001


def test_a_chip_that_cannot_be_used_is_passed_over(read: Read, flt: Make, stars: Make) -> None:
    first, second = flt(np.full((96, 96), np.nan, "f4")), flt(stars())
    for hdu in second[1:]:
        hdu.ver = 2
    note, chip = read(fits.HDUList([*first, *second[1:]]))
    assert note == ("HDU 1 skipped: image.fits HDU 1: every pixel is NaN, uncovered, saturated or flagged")
    assert chip.extver == 2
    second["DQ"].data[:] = 4
    with pytest.raises(NoValidPixelsError, match=r"image\.fits HDU 1"):
        read(fits.HDUList([*first, *second[1:]]))


def test_a_null_chip_is_passed_over(read: Read, flt: Make, plane: np.ndarray) -> None:
    hdus = flt(plane)
    (chip,) = read(fits.HDUList([*hdus, fits.ImageHDU(name="SCI", ver=2)]))
    assert chip.extver == 1
    with pytest.raises(NoScienceDataError, match="holds no pixels"):
        read(fits.HDUList([hdus[0], fits.ImageHDU(name="SCI", ver=1)]))


@pytest.mark.parametrize("missing", ["ERR", "DQ"])
@pytest.mark.parametrize("how", ["absent", "null"])
def test_err_and_dq_may_be_missing(read: Read, flt: Make, plane: np.ndarray, missing: str, how: str) -> None:
    hdus = flt(plane)
    if how == "null":
        hdus[missing].data = None
    else:
        del hdus[missing]
    (chip,) = read(hdus)
    assert (chip.error is None) == (missing == "ERR")
    assert (chip.dq is None) == (missing == "DQ")
    np.testing.assert_array_equal(chip.data, plane)


@pytest.mark.parametrize("missing", ["ERR", "DQ", "WHT"])
def test_a_companion_of_another_shape_is_refused(
    read: Read, flt: Make, plane: np.ndarray, missing: str
) -> None:
    other = np.ones((96, 95), "f4")
    hdus = flt(plane, err=None, dq=None) if missing == "WHT" else flt(plane)
    if missing in hdus:
        hdus[missing].data = other
    else:
        hdus.append(fits.ImageHDU(other, name=missing, ver=1))
    with pytest.raises(
        ShapeMismatchError, match=rf"image\.fits HDU 1: {missing} is 95 x 96 pixels but the image is 96 x 96"
    ):
        read(hdus)


def test_bad_pixels_are_masked_and_zero(read: Read, flt: Make, plane: np.ndarray) -> None:
    plane[1, 1], plane[2, 2], plane[3, 3] = np.nan, np.inf, -np.inf
    err = np.ones_like(plane)
    err[4, 4], err[5, 5], err[6, 6] = 0, np.nan, -1
    dq = np.zeros(plane.shape, "i2")
    dq[7, 7], dq[8, 8], dq[9, 9], dq[10, 10] = 4, 16, 16 | 32, -32768
    (chip,) = read(flt(plane, err=err, dq=dq))
    assert sorted(map(tuple, np.argwhere(chip.mask))) == [(i, i) for i in (1, 2, 3, 4, 5, 6, 7, 9, 10)]
    assert not chip.data[chip.mask].any()
    assert chip.dq[10, 10] & 0xFFFF == 0x8000


@pytest.mark.parametrize(("good_bits", "masked"), [(None, {4}), (0, {4, 16}), (4, {16}), (0xFFFF, set())])
def test_good_bits_can_be_overridden(
    read: Read, flt: Make, plane: np.ndarray, good_bits: int | None, masked: set[int]
) -> None:
    dq = np.zeros(plane.shape, "i2")
    dq[1], dq[2], dq[3] = 4, 16, 256
    (chip,) = read(flt(plane, dq=dq), good_bits=good_bits)
    assert {int(bit) for bit in np.unique(chip.dq[chip.mask])} == masked
    assert chip.saturated.any() == (good_bits != 0xFFFF), "who calls saturated pixels good wants no flag"


def test_flags_of_an_unknown_instrument_all_mask(read: Read, flt: Make, plane: np.ndarray) -> None:
    dq = np.zeros(plane.shape, "i2")
    dq[1, 1] = 512
    (chip,) = read(flt(plane, dq=dq, primary={"INSTRUME": "NEWCAM"}))
    assert chip.mask[1, 1]
    assert any("every flagged one is masked" in note for note in chip.notes)
    assert not any("good DQ bits" in n for n in read(flt(plane, primary={"INSTRUME": "NEWCAM"}))[0].notes)


def test_saturated_pixels_are_known_as_such(read: Read, flt: Make, plane: np.ndarray) -> None:
    dq = np.zeros(plane.shape, "i2")
    dq[1, 1], dq[2, 2] = 256, 4
    (chip,) = read(flt(plane, dq=dq))
    assert list(map(tuple, np.argwhere(chip.saturated))) == [(1, 1)]
    assert not chip.mask[1, 1], "a saturated pixel belongs to its star"
    assert chip.mask[2, 2]


@pytest.mark.parametrize("bits", [2, 3])
def test_a_flag_for_saturation_goes_before_one_that_forbids_use(
    read: Read, flt: Make, plane: np.ndarray, bits: int
) -> None:
    """JWST flags saturated pixels SATURATED, often with DO_NOT_USE."""
    dq = np.zeros(plane.shape, "u4")
    dq[5:8, 5:8] = bits
    dq[20, 20] = 1
    primary = {"TELESCOP": "JWST", "INSTRUME": "NIRCAM", "DETECTOR": "NRCALONG"}
    (chip,) = read(flt(plane, dq=dq, primary=primary))
    assert chip.saturated[5:8, 5:8].all()
    assert not chip.mask[5:8, 5:8].any()
    assert chip.mask[20, 20]


def test_saturated_pixels_without_a_value_get_that_of_their_brightest_neighbour(
    read: Read, flt: Make, plane: np.ndarray
) -> None:
    dq = np.zeros(plane.shape, "i2")
    dq[40:47, 40:47] = 256
    plane[39:48, 39:48] = 500.0
    plane[39, 43] = 800.0
    plane[40:47, 40:47] = np.nan
    (chip,) = read(flt(plane, dq=dq))
    assert not chip.mask[40:47, 40:47].any()
    assert chip.saturated[40:47, 40:47].all()
    rate = chip.data[40:47, 40:47] / chip.data[39, 39]
    assert rate.max() == pytest.approx(1.6)
    assert rate.min() == pytest.approx(1.0)
    assert any("49 saturated pixels hold no value" in note for note in chip.notes)


def test_a_plateau_is_saturation_where_no_flags_tell_it(read: Read, flt: Make, plane: np.ndarray) -> None:
    plane[40:46, 40:46] = 60000.0
    (chip,) = read(flt(plane, dq=None))
    assert chip.saturated[40:46, 40:46].all()
    assert np.count_nonzero(chip.saturated) == 36
    assert chip.quality & Quality.ASSUMED
    (flagged,) = read(flt(plane))  # where there are flags they tell it
    assert not flagged.saturated.any()


@pytest.mark.parametrize("telescope", ["PS1", None])
def test_asinh_scaled_pixels_are_made_linear(read: Read, plane: np.ndarray, telescope: str | None) -> None:
    """A Pan-STARRS stack: BOFFSET + 2 BSOFTEN sinh(v ln 10 / 2.5) counts, 25 mag for one count per second."""
    softening, offset = 3.0, 2.0
    scaled = 2.5 / math.log(10) * np.arcsinh((plane - offset) / (2 * softening))
    cards = {"BSOFTEN": softening, "BOFFSET": offset, "EXPTIME": 40.0, "TELESCOP": telescope}
    header = fits.Header([(key, value) for key, value in cards.items() if value is not None])
    (chip,) = read(fits.HDUList([fits.PrimaryHDU(scaled.astype("f4"), header)]))
    np.testing.assert_allclose(chip.data, plane / 40, rtol=1e-4, atol=1e-4)
    assert (chip.calibration.unit, chip.calibration.zeropoint) == ("ct/s", 25.0)
    assert chip.quality & Quality.ASSUMED


def test_an_image_beside_those_named_sci_is_noted(read: Read, flt: Make, plane: np.ndarray) -> None:
    hdus = flt(plane)
    hdus[0].data = plane
    note, chip = read(hdus)
    assert isinstance(note, str)
    assert "HDU 0 skipped" in note
    assert chip.hdu == 1


def test_the_saturate_card_is_in_the_files_own_unit(read: Read, flt: Make, plane: np.ndarray) -> None:
    plane[1, 1], plane[2, 2] = 60000.0, 59999.0
    (chip,) = read(flt(plane, science={"BUNIT": "ELECTRONS", "SATURATE": 60000.0}))
    assert list(map(tuple, np.argwhere(chip.saturated))) == [(1, 1)]
    assert not chip.mask.any()
    for level in ("none", 0.0, -1.0):
        (chip,) = read(flt(plane, science={"SATURATE": level}))
        assert not chip.saturated.any()


def test_drizzled_weight_is_coverage(read: Read, flt: Make, plane: np.ndarray) -> None:
    wht = np.full(plane.shape, 50.0, "f4")
    wht[0], wht[1], wht[2], wht[3] = 0, -1, np.nan, np.inf
    (chip,) = read(flt(plane, err=None, dq=None, wht=wht))
    assert chip.error is None
    assert chip.mask[:4].all()
    assert not chip.mask[4:].any()
    assert chip.weight[5, 5] == 50


@pytest.mark.parametrize(
    ("planes", "per_pixel"),
    [("", 44), ("ERR", 50), ("ERR DQ", 54), ("WHT", 54), ("ERR WHT", 60), ("ERR DQ AREA VAR_FLAT", 54)],
)
def test_memory_goes_with_the_planes_that_are_read(
    save: Make, plane: np.ndarray, planes: str, per_pixel: int
) -> None:
    """96 x 96 pixels, so many bytes each, and 200 MiB; one byte less is refused before a pixel is read."""
    images = [fits.ImageHDU(plane, name=name) for name in ("SCI " + planes).split()]
    path = save(fits.HDUList([fits.PrimaryHDU(), *images]))
    need = 96 * 96 * per_pixel + 200 * 1_048_576
    with open_input(path.as_uri()) as source, open_image(source, need) as opened:
        assert len(opened.planes) == 1
    refused = pytest.raises(ImageTooLargeError)
    with open_input(path.as_uri()) as source, refused, open_image(source, need - 1):
        pass


def test_wht_beside_err_is_depth_and_coverage(read: Read, flt: Make, plane: np.ndarray) -> None:
    wht = np.full(plane.shape, 3.0, "f4")
    wht[:10] = 0
    (chip,) = read(flt(plane, wht=wht))
    assert chip.error is not None
    assert chip.weight is not None
    assert chip.mask[:10].all()
    assert not chip.mask[10:].any()


JWST = {"TELESCOP": "JWST", "INSTRUME": "NIRCAM", "DETECTOR": "NRCB1", "PHOTFLAM": None, "EXPTIME": None}
SURFACE = {"BUNIT": "MJy/sr", "PIXAR_SR": 2.0e-14}


def test_flux_in_a_pixel_of_jwst_goes_with_its_own_area(read: Read, flt: Make, plane: np.ndarray) -> None:
    """1 MJy/sr x 2e-14 sr x 1e12 is 0.02 microjansky, half as much in a pixel of half the area."""
    hdus = flt(plane, err=2.0, primary=JWST, science=SURFACE)
    area = np.ones(plane.shape, "f4")
    area[:, 50:], area[0, 0] = 0.5, np.nan
    hdus.append(fits.ImageHDU(area, name="AREA"))
    (chip,) = read(hdus)
    np.testing.assert_allclose(chip.data[:, :50], 0.02 * plane[:, :50], rtol=1e-5)
    np.testing.assert_allclose(chip.data[:, 50:], 0.01 * plane[:, 50:], rtol=1e-5)
    np.testing.assert_allclose(chip.error[:, 50:], 0.02, rtol=1e-5)
    assert not chip.mask.any()
    hdus[1].header["BUNIT"] = "ELECTRONS/S"
    (rate,) = read(hdus)
    np.testing.assert_array_equal(rate.data, plane)


def test_areas_that_no_pixel_has_are_not_used_and_said(read: Read, flt: Make, plane: np.ndarray) -> None:
    hdus = flt(plane, err=2.0, primary=JWST, science=SURFACE)
    area = np.ones(plane.shape, "f4")
    area[7, :4] = 1e28, 1e-28, -1, np.inf
    hdus.append(fits.ImageHDU(area, name="AREA"))
    (chip,) = read(hdus)
    np.testing.assert_allclose(chip.data, 0.02 * plane, rtol=1e-5)
    assert chip.quality & Quality.ASSUMED
    assert "4 pixels have an AREA that is not within a factor of 2 of PIXAR_SR: 1 taken" in chip.notes


def test_one_value_is_no_image_whatever_the_areas(read: Read, flt: Make, plane: np.ndarray) -> None:
    hdus = flt(np.full_like(plane, 7), primary=JWST, science=SURFACE)
    area = np.linspace(0.9, 1.1, plane.size, dtype="f4").reshape(plane.shape)
    hdus.append(fits.ImageHDU(area, name="AREA"))
    with pytest.raises(NoValidPixelsError, match="the same value"):
        read(hdus)


@pytest.mark.parametrize("value", [2.3e-14, 0.0, np.nan])
def test_areas_that_are_not_relative_are_not_used(
    read: Read, flt: Make, plane: np.ndarray, value: float
) -> None:
    hdus = flt(plane, primary=JWST, science=SURFACE)
    hdus.append(fits.ImageHDU(np.full(plane.shape, value, "f4"), name="AREA"))
    (chip,) = read(hdus)
    np.testing.assert_allclose(chip.data, 0.02 * plane, rtol=1e-5)
    assert chip.quality & Quality.ASSUMED
    assert any("AREA" in note for note in chip.notes)


@pytest.mark.parametrize("err", [0.0, np.nan, -1.0])
def test_an_err_without_a_value_is_noted(read: Read, flt: Make, plane: np.ndarray, err: float) -> None:
    (chip,) = read(flt(plane, err=err))
    assert chip.error is None
    assert not chip.mask.any()
    assert "ERR holds no positive value: errors come from the measured background" in chip.notes


def test_uncovered_corners_of_a_drizzled_image_without_wht(read: Read, flt: Make, plane: np.ndarray) -> None:
    plane[:10] = 0
    (chip,) = read(flt(plane, err=None, dq=None, primary={"DRIZCORR": "COMPLETE"}))
    assert chip.mask[:10].all()
    assert not chip.mask[10:].any()
    plane[20] = 0
    (chip,) = read(flt(plane, err=None, dq=None))
    assert chip.mask[:10].all(), "a solid part of one value"
    assert chip.quality & Quality.UNCOVERED
    counts = np.where(plane > 0, 1.0, 0.0).astype("f4")
    (chip,) = read(flt(counts, err=None, dq=None, primary={"INSTRUME": "ACS", "DETECTOR": "SBC"}))
    assert not chip.mask.any(), "no photon is a measurement"


def test_missing_poisson_noise_is_noted(read: Read, flt: Make, plane: np.ndarray) -> None:
    note = "no ERR, and no electrons to count: errors leave out the Poisson noise of sources"
    assert note in read(flt(plane, err=None, science={"BUNIT": "Jy"}))[0].notes
    assert note in read(flt(plane, err=None, primary={"EXPTIME": None}))[0].notes
    assert note not in read(flt(plane, err=None))[0].notes
    assert note not in read(flt(plane, science={"BUNIT": "Jy"}))[0].notes, "ERR has it"


def test_a_plain_single_hdu_image(read: Read, plane: np.ndarray) -> None:
    (chip,) = read(fits.HDUList([fits.PrimaryHDU(plane)]))
    assert (chip.hdu, chip.error, chip.weight, chip.dq) == (0, None, None, None)
    np.testing.assert_array_equal(chip.data, plane)


def test_the_first_image_stands_in_for_sci(read: Read, plane: np.ndarray) -> None:
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(name="EMPTY"), fits.ImageHDU(plane, name="CUTOUT")])
    (chip,) = read(hdus)
    assert chip.hdu == 2


def test_a_cube_of_one_plane_is_an_image(read: Read, flt: Make, plane: np.ndarray) -> None:
    hdus = flt(plane, err=None, dq=None)
    hdus["SCI"].data = plane[None, None]
    (chip,) = read(hdus)
    np.testing.assert_array_equal(chip.data, plane)


@pytest.mark.parametrize("side", [1, 3, 7])
def test_too_small(read: Read, flt: Make, side: int) -> None:
    with pytest.raises(ImageTooSmallError, match=f"HDU 1: {side} x 20 pixels; at least 8 x 8 are needed"):
        read(flt(np.ones((20, side), "f4")))


@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4", "i8", "f4", "f8"])
def test_every_pixel_type(read: Read, flt: Make, plane: np.ndarray, kind: str) -> None:
    given = np.clip(plane, 0, 250).astype(kind)
    (chip,) = read(flt(given))
    np.testing.assert_array_equal(chip.data, given.astype("f4"))


def test_scaled_integers(read: Read, flt: Make, plane: np.ndarray) -> None:
    hdus = flt(plane.copy())
    hdus["SCI"].scale("int16", bscale=0.01, bzero=100.0)
    hdus["SCI"].header["BLANK"] = -32768
    raw = body(hdus)
    (chip,) = read(raw)
    np.testing.assert_allclose(chip.data, plane, atol=0.006)


def test_blank_integers_are_masked(read: Read) -> None:
    given = np.arange(7, 407, dtype="i2").reshape(20, 20)
    given[3, 3] = -1
    hdu = fits.PrimaryHDU(given)
    hdu.header["BLANK"] = -1
    (chip,) = read(fits.HDUList([hdu]))
    assert list(map(tuple, np.argwhere(chip.mask))) == [(3, 3)]


def same(found: list[Any], expected: list[Any], tolerance: float = 0.0) -> None:
    assert len(found) == len(expected) > 0
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.data, two.data, atol=tolerance)
        np.testing.assert_array_equal(one.mask, two.mask)
        assert (one.error is None) == (two.error is None)
        if one.error is not None:
            np.testing.assert_allclose(one.error, two.error, atol=tolerance)
            np.testing.assert_array_equal(one.dq, two.dq)
        assert one.calibration == two.calibration
        assert one.notes == two.notes
        np.testing.assert_array_equal(
            one.sky.world(np.array([5.0]), np.array([6.0])), two.sky.world(np.array([5.0]), np.array([6.0]))
        )


@pytest.mark.parametrize("name", ["image.fits.gz", "image.fits"])
def test_gzip_is_told_by_its_bytes_not_by_its_name(read: Read, flt: Make, name: str) -> None:
    raw = body(flt())
    same(read(gzip.compress(raw), name), read(raw))
    same(read(gzip.compress(raw[:9000]) + gzip.compress(raw[9000:]), name), read(raw))


def test_a_gzip_in_a_gzip(read: Read, flt: Make) -> None:
    raw = body(flt())
    same(read(gzip.compress(gzip.compress(raw))), read(raw))


@pytest.mark.parametrize("kind", ["GZIP_1", "GZIP_2", "RICE_1", "HCOMPRESS_1"])
def test_tile_compression_by_astropy(read: Read, flt: Make, plane: np.ndarray, kind: str) -> None:
    """Lossless for integers, and for floats where it is not asked to quantize."""
    level = {} if kind.startswith("GZIP") else {"quantize_level": 64}
    plain = flt(plane)
    packed = fits.HDUList([plain[0]])
    for hdu in plain[1:]:
        packed.append(
            fits.CompImageHDU(hdu.data, hdu.header, compression_type=kind, **(level or {"quantize_level": 0}))
        )
    same(read(packed, "image.fits.fz"), read(flt(plane)), tolerance=0.1 if level else 0)


@pytest.mark.skipif(not shutil.which("fpack"), reason="fpack is not installed")
@pytest.mark.parametrize("name", ["ib6o23rsq_flt.fits", "ib4606c6q_flc.fits", "abell2744_f105w_drz.fits"])
def test_fpacked_real_files(read: Read, demo_data: Path, tmp_path: Path, name: str) -> None:
    packed = tmp_path / f"{name}.fz"
    # -g -q 0: lossless, for comparison to the bit
    subprocess.run(["fpack", "-g", "-q", "0", "-O", packed, demo_data / name], check=True)
    expected = read(demo_data / name)
    found = read(packed)
    for chip in found:
        chip.hdu = 0
    same(found, expected)


def test_what_is_odd_but_harmless_passes(read: Read, flt: Make) -> None:
    raw = body(flt())
    expected = read(raw)
    same(read(raw + bytes(2880 * 5)), expected)
    same(read(raw + b" " * 100), expected)
    last = 96 * 96 * 2 % 2880
    assert last
    same(read(raw[: -(2880 - last)]), expected), "a last block that is not filled up"


def test_a_file_cut_between_two_extensions_is_noted(save: Make, flt: Make) -> None:
    whole = flt(primary={"NEXTEND": 3})
    cut = save(body(fits.HDUList(whole[:2])))
    with open_input(cut.as_uri()) as source, open_image(source) as image:
        assert image.notes == ["NEXTEND announces 3 extensions and there are 1: the file may be cut short"]
    with open_input(save(whole).as_uri()) as source, open_image(source) as image:
        assert image.notes == []


def test_what_the_caller_does_wrong_is_not_called_damage(save: Make, flt: Make) -> None:
    with (
        pytest.raises(ValueError, match="mine"),
        open_input(save(flt()).as_uri()) as source,
        open_image(source),
    ):
        raise ValueError("mine")


@pytest.mark.parametrize(
    "name",
    [
        *("ib6o23rsq_flt.fits.gz", "ib6o23rtq_sci1_blt.fits.gz", "abell_2744_cd_galaxy_f105w.fits.gz"),
        *(
            "j8bt06nyq_sip_flt.fits.gz",
            "j8bt06nyq_square_drz.fits.gz",
            "ib4606cpq_10x10_flt.fits",
            "sep_image.fits",
        ),
    ],
)
def test_whole_real_files(read: Read, shared_data: Path, name: str) -> None:
    found = read(shared_data / name)
    with warnings.catch_warnings(action="ignore"), fits.open(shared_data / name) as hdus:
        planes = [hdu for hdu in hdus if hdu.name == "SCI"] or hdus[:1]
        assert len(found) == len(planes)
        for chip, hdu in zip(found, planes, strict=True):
            assert chip.data.shape == hdu.shape
            np.testing.assert_allclose(
                chip.data[~chip.mask], hdu.data[~chip.mask] * chip.calibration.factor, rtol=1e-6
            )
            assert np.isfinite(chip.data).all()
            assert chip.mask.mean() < 0.2
