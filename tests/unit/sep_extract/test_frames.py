"""Target pixel files and cut-outs: what is stacked, where it is, what it holds, and what is refused."""

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pixel_files
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from pixel_files import STARS, START, Star

from sep_extract import frames
from sep_extract.chip import Chip, chips
from sep_extract.errors import ImageTooLargeError, ImageTooSmallError, NotAnImageError, NoValidPixelsError
from sep_extract.event import Config, Request
from sep_extract.extract import measure
from sep_extract.frames import Selection
from sep_extract.image import open_image
from sep_extract.quality import Quality
from skyfan_function.errors import EventError, TruncatedError, UnreadableError
from skyfan_function.storage import open_input

Read = Callable[..., tuple[list[Chip], list[str]]]
GOOD = [number for number in range(90) if number not in (3, 7, 40)]


@pytest.fixture
def read(save: Callable[..., Path]) -> Read:
    """The chips of a file of frames, and its notes."""

    def go(hdus: Any, *, memory: int | None = None, **config: Any) -> tuple[list[Chip], list[str]]:
        path = hdus if isinstance(hdus, Path) else save(hdus, "frames.fits")
        chosen = Selection.of(Config(**config))
        with open_input(path.as_uri()) as source, open_image(source, memory, (), chosen) as image:
            found = list(chips(image))
            assert all(isinstance(chip, Chip) for chip in found), found
            return [chip for chip in found if isinstance(chip, Chip)], image.notes

    return go


def test_a_stack_is_the_mean_of_the_good_frames_and_its_error_that_of_the_mean(read: Read) -> None:
    hdus = pixel_files.make()
    flux, error = (hdus[1].data[name][GOOD].astype(float) for name in ("FLUX", "FLUX_ERR"))
    ((chip,), notes) = read(hdus)
    assert np.array_equal(np.argwhere(chip.mask), [[0, 0]]), "a pixel without any value"
    used = ~chip.mask
    np.testing.assert_allclose(chip.data[used], flux.mean(axis=0)[used], rtol=1e-6)
    assert chip.error is not None
    expected = np.sqrt((error**2).sum(axis=0)) / len(GOOD)
    np.testing.assert_allclose(chip.error[used], expected[used], rtol=1e-6)
    assert any("means of 87 of the frames 0 to 89 of PIXELS; 2 have QUALITY bits" in note for note in notes)
    assert any("subtracted the background" in note for note in notes)
    assert any("mesh of 64 pixels is larger" in note for note in notes)
    # 2 of 10 exposures of 1.98 s go for cosmic rays: 87 frames of 60 x 1.98 x 0.8 s.
    assert chip.calibration.exptime == pytest.approx(87 * 60 * 1.98 * 0.8)
    assert (chip.calibration.zeropoint, chip.calibration.system) == (20.44, "TESS")
    assert chip.calibration.unit == "electron/s"
    start = START + 2457000 - 2400000.5
    assert (chip.exposure.start, chip.exposure.end) == pytest.approx((start, start + 0.125), abs=1e-9)


def test_planted_stars_are_measured_and_a_cut_out_holds_its_background(read: Read) -> None:
    ((chip,), notes) = read(pixel_files.make(sky=120.0))
    assert any("holds the background" in note for note in notes)
    measured = measure(chip.pixels, chip.configured(Config()))
    found = measured.sources
    for star in STARS:
        expected = star.flux * (1 + (star.brightening - 1) * sum(n >= 60 for n in GOOD) / len(GOOD))
        nearest = np.argmin(np.hypot(found.photometry.xwin - star.x, found.photometry.ywin - star.y))
        where = found.photometry.xwin[nearest], found.photometry.ywin[nearest]
        assert where == pytest.approx((star.x, star.y), abs=0.03)
        assert found.photometry.flux_auto[nearest] * measured.unit == pytest.approx(expected, rel=0.02)


def test_stacks_are_chips_with_their_own_frames_and_times(read: Read) -> None:
    hdus = pixel_files.make()
    found, notes = read(hdus, frames="10:85", stack=30)
    assert [chip.extver for chip in found] == [1, 2, 3]
    assert [chip.exposure.number for chip in found] == [1, 2, 3]
    for chip, rows in zip(found, (range(10, 40), range(40, 70), range(70, 85)), strict=True):
        good = [row for row in rows if row in GOOD]
        mean = hdus[1].data["FLUX"][good].astype(float).mean(axis=0)
        np.testing.assert_allclose(chip.data[~chip.mask], mean[~chip.mask], rtol=1e-6)
        step, first = 120 / 86400, START + 2457000 - 2400000.5
        expected = first + good[0] * step, first + (good[-1] + 1) * step
        assert (chip.exposure.start, chip.exposure.end) == pytest.approx(expected, abs=1e-6)
    assert any("3 stacks, HDU 1 to 3: means of 74 of the frames 10 to 84" in note for note in notes)


@pytest.mark.parametrize("strip", [1, 5000, 100_000])
def test_strips_of_any_length_give_the_same_stacks(
    read: Read, monkeypatch: pytest.MonkeyPatch, strip: int
) -> None:
    hdus = pixel_files.make(frames=41)
    whole, _ = read(hdus, stack=15)
    monkeypatch.setattr(frames, "_STRIP", strip)
    parts, _ = read(hdus, stack=15)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one.data, other.data, rtol=1e-6)
        assert np.array_equal(one.mask, other.mask)


@pytest.mark.parametrize("columns_wcs", [True, False])
def test_the_wcs_is_that_of_the_column_or_else_of_the_aperture(read: Read, *, columns_wcs: bool) -> None:
    hdus = pixel_files.make(columns_wcs=columns_wcs)
    ((chip,), _) = read(hdus)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        place = WCS(hdus[1].header, keysel=["binary"], colsel=[5]) if columns_wcs else WCS(hdus[2].header)
        aperture = WCS(hdus[2].header)
    x, y = np.array([0.0, 17, 4.3]), np.array([0.0, 19, 5.1])
    for reference in (place, aperture):
        expected = np.transpose(reference.all_pix2world(x, y, 0))
        np.testing.assert_allclose(chip.sky.world(x, y), expected, atol=1e-9)
    # The columns say which pixels see the sky.
    assert bool(chip.quality & Quality.ASSUMED) == (not columns_wcs)


def test_a_wcs_that_puts_the_target_elsewhere_is_not_used(read: Read) -> None:
    hdus = pixel_files.make(columns_wcs=False)
    hdus[2].header["CRPIX2"] = 977.1  # as early versions of astrocut wrote it
    ((chip,), notes) = read(hdus)
    assert any("the WCS puts RA_OBJ, DEC_OBJ 964 pixels from the centre" in note for note in notes)
    assert chip.quality & Quality.NO_SKY


def test_kepler_has_the_same_layout_and_bits_of_its_own(read: Read) -> None:
    hdus = pixel_files.make(mission="Kepler", bad=())
    hdus[1].data["QUALITY"][5] = 1 << 19  # a possible firing of thrusters, which harms nothing
    hdus[1].data["QUALITY"][6] = 1 << 20  # a firing
    ((chip,), notes) = read(hdus)
    assert any("means of 88 of the frames 0 to 89 of TARGETTABLES" in note for note in notes)
    assert chip.calibration.zeropoint is None
    assert chip.calibration.exptime == pytest.approx(88 * 6.02 * 270)


def test_an_instrument_without_a_table_uses_no_flagged_frame(read: Read) -> None:
    hdus = pixel_files.make(mission="Other")
    hdus[1].data["QUALITY"][5] = 1 << 6
    (_, notes) = read(hdus)
    assert any("means of 86 " in note for note in notes)
    assert any("no table of QUALITY bits" in note for note in notes)


def test_small_stamps_are_measured_down_to_the_least_side(read: Read) -> None:
    star = (Star(4.2, 3.9, 9000.0),)
    ((chip,), _) = read(pixel_files.make((9, 9), stars=star, sky=100.0))
    found = measure(chip.pixels, chip.configured(Config()))
    assert found.sources.photometry.flux_auto * found.unit == pytest.approx([9000], rel=0.02)
    with pytest.raises(ImageTooSmallError, match="5 x 5 pixels; at least 8 x 8"):
        read(pixel_files.make((5, 5), stars=(), bad=()))


def _no_rows() -> fits.HDUList:
    hdus = pixel_files.make()
    hdus[1] = fits.BinTableHDU(hdus[1].data[:0], hdus[1].header)
    return hdus


def _flagged() -> fits.HDUList:
    hdus = pixel_files.make()
    hdus[1].data["QUALITY"] = 8
    return hdus


@pytest.mark.parametrize(
    ("make", "config", "error", "words"),
    [
        (pixel_files.make, {"frames": "80:91"}, NoValidPixelsError, "90 frames, so that there is no 80:91"),
        (_no_rows, {}, NoValidPixelsError, "has no frames"),
        (_flagged, {}, NoValidPixelsError, "none of 90 frames is good: 90 have QUALITY bits"),
        (lambda: pixel_files.make(frames=200), {"stack": 2}, ImageTooLargeError, "100 stacks; at most 99"),
    ],
)
def test_what_cannot_be_stacked_is_refused_by_name(
    read: Read, make: Any, config: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        read(make(), **config)


def test_columns_that_are_scaled_are_refused(read: Read, save: Callable[..., Path]) -> None:
    body = io.BytesIO()
    pixel_files.make().writeto(body)
    at = body.getvalue().index(b"TUNIT5")
    scaled = body.getvalue()[:at] + b"TSCAL5  =                  2.0".ljust(80) + body.getvalue()[at + 80 :]
    with pytest.raises(NotAnImageError, match="column FLUX holds no plain numbers"):
        read(save(scaled, "scaled.fits"))


def test_a_table_that_is_cut_short_is_refused(read: Read, save: Callable[..., Path]) -> None:
    body = io.BytesIO()
    pixel_files.make().writeto(body)
    with pytest.raises((UnreadableError, TruncatedError)):
        read(save(body.getvalue()[:200_000], "short.fits"))


def test_a_table_without_a_count_is_refused(read: Read, save: Callable[..., Path]) -> None:
    body = io.BytesIO()
    pixel_files.make().writeto(body)
    damaged = body.getvalue().replace(
        b"PCOUNT  =                    0 / num", b"COMMENT =                    0 / num"
    )
    with pytest.raises(UnreadableError, match="a table without PCOUNT"):
        read(save(damaged, "count.fits"))


def test_more_memory_than_there_is_is_refused_before_anything_is_read(read: Read) -> None:
    with pytest.raises(ImageTooLargeError, match="stacks of 18 x 20 pixels need about"):
        read(pixel_files.make(), memory=1 << 20)


def test_a_raw_cube_is_refused_with_what_to_do(read: Read) -> None:
    cube = fits.ImageHDU(np.zeros((12, 12, 3, 2), np.float32))
    table = fits.BinTableHDU.from_columns([fits.Column("TSTART", "D", array=[1.0, 2.0, 3.0])])
    with pytest.raises(NotAnImageError, match=r"a cube of frames.*TESSCut"):
        read(fits.HDUList([fits.PrimaryHDU(), cube, table]))


def test_an_image_says_that_it_has_no_frames(read: Read, stars: Callable[..., Any]) -> None:
    ((_,), notes) = read(fits.HDUList([fits.PrimaryHDU(stars())]), stack=3)
    assert notes == ["frames and stack are for tables of frames: they are not used for an image"]


@pytest.mark.parametrize(
    "config",
    [{"frames": "200:100"}, {"frames": "5"}, {"frames": 5}, {"frames": "-5:3"}, {"stack": 0}, {"stack": 1.5}],
)
def test_settings_are_validated(config: dict[str, Any]) -> None:
    with pytest.raises(EventError, match=r"config: '(frames|stack)' must be"):
        Request.parse({"input": "s3://a/b", "run": "r", "config": config})


def test_settings_of_frames_are_in_the_digest_only_where_they_are_set() -> None:
    assert "frames" not in Config().json()
    request = Request.parse({"input": "s3://a/b", "run": "r", "config": {"frames": "100:200", "stack": 10}})
    assert (request.config.frames, request.config.stack) == ("100:200", 10)
    assert '"frames":"100:200"' in request.config.json()
    assert request.config.digest() != Config().digest()


def test_real_files_that_cannot_be_stacked_are_refused_by_name(read: Read, shared_data: Path) -> None:
    with pytest.raises(ImageTooSmallError, match="5 x 5 pixels"):
        read(shared_data / "tess-s0001-4-3_107.27_-70.0_5x5_astrocut.fits")
    with pytest.raises(NotAnImageError):
        read(shared_data / "ABDor_36_4_3_slice0386.fits")
