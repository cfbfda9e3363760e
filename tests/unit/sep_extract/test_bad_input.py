"""Bad input: each a clear named error, or a documented degraded result; no traceback, no empty success."""

import gzip
import io
import os
import resource
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from sep_extract import errors
from sep_extract.quality import Quality
from skyfan_contract import memory_of
from skyfan_function import errors as shared

Make = Callable[..., Any]
Refused = Callable[..., None]
Degraded = Callable[..., dict[str, Any]]


@pytest.fixture
def refused(extract: Make, tmp_path: Path) -> Refused:
    """The handler raises an error of just this class that names the file and says these things."""

    def check(image: Any, error: type[shared.FunctionError], *says: str, **given: Any) -> None:
        name = given.setdefault("name", "image.fits")
        with pytest.raises(shared.FunctionError) as caught:
            extract(image, **given)
        assert type(caught.value) is error
        assert error.cure in ("larger", "never"), "to try again cannot help"
        for words in (name, *says):
            assert words in str(caught.value)
        assert "\n" not in str(caught.value)
        assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()], "there is no catalog"

    return check


@pytest.fixture
def degraded(extract: Make, catalog: Make) -> Degraded:
    """The handler succeeds, and says these things in its summary and in the catalog's HISTORY."""

    def check(image: Any, *notes: str, **given: Any) -> dict[str, Any]:
        summary = extract(image, **given)
        history = "".join(catalog(summary).meta["PRIMARY"].get("HISTORY", [])).replace(" ", "")
        expected = [note for note in summary["notes"] if not note.startswith("too little blank sky")]
        for note in notes:
            assert any(note in one for one in summary["notes"]), f"{note!r} is not in {summary['notes']}"
        assert len(notes) == len(expected), f"not all of {expected} were expected"
        for note in summary["notes"]:
            assert f"note:{note.replace(' ', '')}" in history
        return summary

    return check


def body(hdus: fits.HDUList) -> bytes:
    written = io.BytesIO()
    hdus.writeto(written)
    return written.getvalue()


def card(raw: bytes, key: bytes, line: bytes, skip: int = 0) -> bytes:
    """The file with the card of this key, after `skip` others of it, written as raw bytes."""
    at = -1
    for _ in range(skip + 1):
        at = raw.index(key.ljust(8) + b"=", at + 1)
    return raw[:at] + line.ljust(80)[:80] + raw[at + 80 :]


# Not FITS, or not all of it


def test_an_empty_file(refused: Refused) -> None:
    refused(b"", shared.NotFitsError, "is empty")
    refused(gzip.compress(b""), shared.NotFitsError, "is empty")


@pytest.mark.parametrize(
    "content",
    [
        b"<html>404 Not Found</html>",
        b"\x89PNG\r\n\x1a\n",
        bytes(5000),
        b"S",
        b"simple  =  T",
        b"\x1f\x8b"[:1],
    ],
    ids=str,
)
def test_not_fits(refused: Refused, content: bytes) -> None:
    refused(content, shared.NotFitsError, "is not a FITS file: it does not begin with SIMPLE")
    refused(gzip.compress(content), shared.NotFitsError, "is not a FITS file", name="x.fits.gz")


@pytest.fixture
def places(flt: Make) -> dict[str, bytes]:
    """A whole _flt, cut at each of these places."""
    raw = body(flt())
    with fits.open(io.BytesIO(raw)) as hdus:
        sci, err, dq = (hdus[name].fileinfo() for name in ("SCI", "ERR", "DQ"))
        end = dq["datLoc"] + hdus["DQ"].size
    cuts = {
        "in the primary header": 400,
        "a byte before the primary header's end": 2879,
        "in the SCI header": sci["hdrLoc"] + 500,
        "in the SCI data": sci["datLoc"] + 5000,
        "after the SCI header": sci["datLoc"],
        "in the first card of ERR": err["hdrLoc"] + 40,
        "in the DQ data": dq["datLoc"] + 100,
        "in the last byte": end - 1,
    }
    return {name: raw[:cut] for name, cut in cuts.items()}


WHERE = [
    *("in the primary header", "a byte before the primary header's end", "in the SCI header"),
    *("in the SCI data", "after the SCI header", "in the first card of ERR", "in the DQ data"),
    "in the last byte",
]


@pytest.mark.parametrize("where", WHERE)
def test_truncated(refused: Refused, places: dict[str, bytes], where: str) -> None:
    refused(places[where], shared.TruncatedError, "is truncated", "fetch it again")


@pytest.mark.parametrize("where", WHERE)
def test_truncated_before_it_was_gzipped(refused: Refused, places: dict[str, bytes], where: str) -> None:
    packed = gzip.compress(places[where])
    refused(packed, shared.TruncatedError, "is truncated", "fetch it again", name="x.fits.gz")


@pytest.mark.parametrize("share", [0.001, 0.2, 0.5, 0.8, 1.0])
def test_truncated_after_it_was_gzipped(refused: Refused, flt: Make, share: float) -> None:
    packed = gzip.compress(body(flt()))
    cut = packed[: int(share * (len(packed) - 11)) + 10]
    refused(cut, shared.TruncatedError, "its gzip stream ends early; fetch it again", name="x.fits.gz")


def test_cut_between_two_extensions(degraded: Degraded, flt: Make) -> None:
    """Such a file is whole in itself; Hubble's own count of extensions gives it away."""
    raw = body(fits.HDUList(flt(primary={"NEXTEND": 3})[:2]))
    summary = degraded(raw, "NEXTEND announces 3 extensions and there are 1: the file may be cut short")
    assert summary["sources"] > 0


def test_a_damaged_gzip(refused: Refused, flt: Make) -> None:
    packed = bytearray(gzip.compress(body(flt())))
    packed[-6] ^= 0xFF
    refused(bytes(packed), shared.UnreadableError, "its gzip stream is damaged", "fetch it again")


def test_something_else_after_the_end(refused: Refused, flt: Make) -> None:
    refused(body(flt()) + b"<html>" * 480, shared.TruncatedError, "truncated or damaged", "fetch it again")


def test_a_foreign_extension(refused: Refused, flt: Make) -> None:
    raw = body(flt())
    at = raw.rindex(b"XTENSION")
    refused(raw[:at] + b"XTENSIQN" + raw[at + 8 :], shared.UnreadableError, "the header of HDU 3 is not FITS")


# No image in it


def test_no_sci(refused: Refused) -> None:
    refused(fits.HDUList([fits.PrimaryHDU()]), errors.NoScienceDataError, "holds no image: no SCI extension")
    two = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(name="FOO")])
    refused(two, errors.NoScienceDataError, "no SCI extension and no other with two axes")


def test_null_sci(refused: Refused) -> None:
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(name="SCI")])
    refused(hdus, errors.NoScienceDataError, "its SCI extension holds no pixels")
    hdus["SCI"].data = np.zeros((0, 5), "f4")
    refused(hdus, errors.NoScienceDataError, "its SCI extension holds no pixels")


@pytest.mark.parametrize(("shape", "text"), [((100,), "100"), ((3, 20, 30), "30 x 20 x 3")])
def test_spectra_and_cubes(refused: Refused, flt: Make, shape: tuple[int, ...], text: str) -> None:
    values = np.ones(shape, "f4")
    says = f"has the shape {text}; a spectrum or a cube is not an image"
    refused(fits.HDUList([fits.PrimaryHDU(values)]), errors.NotAnImageError, says)
    refused(flt(values, err=None, dq=None), errors.NotAnImageError, says)


def test_tables(refused: Refused) -> None:
    columns = [fits.Column("FLUX", "E", array=[1.0])]
    table = fits.BinTableHDU.from_columns(columns)
    refused(
        fits.HDUList([fits.PrimaryHDU(), table]), errors.NotAnImageError, "holds tables and no SCI extension"
    )
    table.name = "SCI"
    hdus = fits.HDUList([fits.PrimaryHDU(), table])
    refused(hdus, errors.NotAnImageError, "its SCI extension is a table, not an image")
    ascii_table = fits.TableHDU.from_columns(columns)
    refused(fits.HDUList([fits.PrimaryHDU(), ascii_table]), errors.NotAnImageError, "holds tables")


@pytest.mark.parametrize("side", [1, 3])
def test_tiny_images(refused: Refused, flt: Make, side: int) -> None:
    values = np.ones((side, side), "f4")
    says = f"{side} x {side} pixels; at least 8 x 8 are needed"
    refused(flt(values), errors.ImageTooSmallError, says)
    refused(fits.HDUList([fits.PrimaryHDU(values)]), errors.ImageTooSmallError, says)


@pytest.mark.parametrize("shape", [(8, 8), (8, 300), (300, 9)])
def test_the_smallest_images_that_are_measured(
    degraded: Degraded, flt: Make, stars: Make, shape: tuple[int, int]
) -> None:
    summary = degraded(flt(stars(shape, at=[(4.0, 4.0)], flux=300.0)))
    assert summary["sources"] >= 1


# Pixels that cannot be used


NONE_LEFT = "every pixel is NaN, uncovered, saturated or flagged"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_no_finite_pixel(refused: Refused, flt: Make, value: float) -> None:
    refused(flt(np.full((96, 96), value, "f4")), errors.NoValidPixelsError, "HDU 1", NONE_LEFT)


def test_infinities_of_both_signs(refused: Refused, flt: Make) -> None:
    signs = np.where(np.indices((96, 96)).sum(axis=0) % 2, np.inf, -np.inf).astype("f4")
    refused(flt(signs), errors.NoValidPixelsError, NONE_LEFT)


def test_values_beyond_float32(refused: Refused, flt: Make, stars: Make) -> None:
    refused(flt(stars().astype("f8") * 1e200), errors.NoValidPixelsError, NONE_LEFT)


def test_some_infinities_are_masked(degraded: Degraded, flt: Make, stars: Make) -> None:
    image = stars()
    image[::7, ::7], image[3::7, 3::7] = np.inf, -np.inf
    assert degraded(flt(image))["sources"] > 0


def test_all_masked(refused: Refused, flt: Make) -> None:
    refused(flt(dq=4), errors.NoValidPixelsError, NONE_LEFT)
    refused(flt(err=None, dq=None, wht=0), errors.NoValidPixelsError, NONE_LEFT)
    refused(flt(dq=256), errors.NoValidPixelsError, NONE_LEFT)


@pytest.mark.parametrize("left", [1, 5, 63])
def test_nearly_all_masked(refused: Refused, flt: Make, left: int) -> None:
    dq = np.full((96, 96), 4, "i2")
    dq.ravel()[4000 : 4000 + left] = 0
    says = f"all but {left} pixels are NaN, uncovered, saturated or flagged"
    refused(flt(dq=dq), errors.NoValidPixelsError, says)


@pytest.mark.parametrize("left", [400, 3000])
def test_mostly_masked(degraded: Degraded, flt: Make, stars: Make, left: int) -> None:
    """sep would see no background here, and take the sky itself for a source."""
    dq = np.full((96, 96), 4, "i2")
    dq.ravel()[:: dq.size // left] = 0
    hdus = flt(stars(at=[]), dq=dq)
    summary = degraded(hdus, "no background mesh is half usable: one", "no source above", "are masked")
    assert summary["chips"][0]["background"] == pytest.approx(10, abs=0.3)
    assert summary["chips"][0]["rms"] == pytest.approx(1, rel=0.15)


def test_half_masked(degraded: Degraded, flt: Make) -> None:
    dq = np.zeros((96, 96), "i2")
    dq[:, :48] = 4
    summary = degraded(flt(dq=dq), "50 % of the covered pixels are masked")
    assert summary["sources"] == 8
    assert summary["quality"] & Quality.MASKED


def test_err_all_zero(degraded: Degraded, flt: Make) -> None:
    summary = degraded(flt(err=0), "ERR holds no positive value: errors come from the measured background")
    assert summary["sources"] > 0


@pytest.mark.parametrize("name", ["ERR", "DQ"])
@pytest.mark.parametrize("shape", [(2, 2), (96, 95), (96,)])
def test_a_companion_of_the_wrong_shape(
    refused: Refused, flt: Make, name: str, shape: tuple[int, ...]
) -> None:
    hdus = flt()
    hdus[name].data = np.ones(shape, "i2")
    text = " x ".join(map(str, shape[::-1]))
    refused(hdus, errors.ShapeMismatchError, f"HDU 1: {name} is {text} pixels but the image is 96 x 96")


# Images without sources, or with little to tell them by


def test_zero_sources(degraded: Degraded, flt: Make, stars: Make, catalog: Make) -> None:
    summary = degraded(flt(stars(at=[])), "HDU 1: no source above 8 sigma", config={"detect_thresh": 8})
    assert summary["sources"] == 0
    assert summary["chips"][0]["rms"] == pytest.approx(1, rel=0.05)
    assert summary["chips"][0]["depth"] > 20
    table = catalog(summary)
    assert len(table) == 0
    assert table["FLUX_APER"].shape == (0, 4)


@pytest.mark.parametrize("value", [5.0, 1e6, 1e-30])
@pytest.mark.parametrize("err", [1.0, None])
def test_a_constant_image(refused: Refused, flt: Make, value: float, err: float | None) -> None:
    sci = np.full((96, 96), value, "f4")
    refused(flt(sci, err=err), errors.NoValidPixelsError, "all usable pixels hold the same value")
    sci[:, :50] = np.nan
    refused(flt(sci, err=err), errors.NoValidPixelsError, "all usable pixels hold the same value")


def test_pixels_of_one_value_among_others_are_no_constant_image(
    degraded: Degraded, flt: Make, stars: Make
) -> None:
    image = stars()
    image[::7, ::7] = 10
    assert degraded(flt(image))["sources"] > 0


@pytest.mark.parametrize("value", [0.0, -1e6])
def test_an_image_without_a_pixel_above_zero(refused: Refused, flt: Make, stars: Make, value: float) -> None:
    says = errors.NoValidPixelsError, "no pixel is above zero"
    refused(flt(np.full((96, 96), value, "f4")), *says)
    refused(flt(value - stars()), *says)


PROBLEMS: dict[str, Callable[[Any], Any]] = {
    "all NaN": lambda image: np.full_like(image, np.nan),
    "all zero": np.zeros_like,
    "all negative": lambda image: -image,
    "constant": lambda image: np.full_like(image, 7),
    "NaN but for a few": lambda image: np.where(
        np.arange(image.size).reshape(image.shape) < 60, image, np.nan
    ),
    "zero but for a few": lambda image: np.where(np.arange(image.size).reshape(image.shape) < 60, image, 0),
    "constant but for a few": lambda image: np.where(
        np.arange(image.size).reshape(image.shape) < 60, image, 7
    ),
}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_an_unusable_image_is_a_named_failure_in_any_form(
    refused: Refused, flt: Make, stars: Make, problem: str
) -> None:
    image = PROBLEMS[problem](stars()).astype("f4")
    alone = fits.HDUList([fits.PrimaryHDU(image)])
    drizzled = flt(image, err=None, dq=None, wht=1.0, primary={"DRIZCORR": "COMPLETE"})
    for hdus in (flt(image), flt(image, err=None, dq=None), alone, drizzled):
        refused(hdus, errors.NoValidPixelsError, "HDU")


@pytest.mark.parametrize("problem", PROBLEMS)
def test_an_unusable_plane_does_not_take_the_others_with_it(
    extract: Make, flt: Make, stars: Make, problem: str
) -> None:
    hdus = flt()
    hdus.append(fits.ImageHDU(PROBLEMS[problem](stars()).astype("f4"), hdus["SCI"].header, name="SCI", ver=2))
    summary = extract(hdus)
    assert (len(summary["chips"]), "PLANE_SKIPPED" in summary["doubts"]) == (1, True)
    assert [note for note in summary["notes"] if "skipped" in note]


def test_a_background_without_noise(degraded: Degraded, flt: Make, stars: Make) -> None:
    """Simulations, and cameras that count single photons: most pixels are the same."""
    image = np.where((clean := stars(sky=0, noise=0)) > 0.5, clean, 0)
    summary = degraded(
        flt(image, err=None, dq=None),
        "% of the pixels are 0: taken for uncovered",
        "no background mesh is half usable",
        "total fluxes are unknown",
    )
    assert summary["quality"] & Quality.UNCOVERED


@pytest.mark.parametrize("how", ["DQ", "SATURATE"])
def test_saturated_stars(degraded: Degraded, catalog: Make, flt: Make, stars: Make, how: str) -> None:
    image = stars(flux=150000.0)
    high = image > 5000
    assert high.sum() > 100
    image[high] = 5000
    if how == "DQ":
        summary = degraded(flt(image, dq=np.where(high, 256, 0).astype("i2")))
    else:
        summary = degraded(flt(image, science={"SATURATE": 5000.0}))
    assert summary["sources"] >= 16, "the wings of each star are there still"
    table = catalog(summary)
    assert (table["FLAGS"] & 4 != 0).sum() >= 16
    if how == "DQ":
        assert (table["IMAFLAGS_ISO"] & 256 != 0).sum() >= 16


@pytest.mark.parametrize("how", ["DQ", "SATURATE"])
def test_an_image_saturated_all_over(refused: Refused, flt: Make, how: str) -> None:
    flat = np.full((96, 96), 5000, "f4")
    hdus = flt(flat, dq=256) if how == "DQ" else flt(flat, science={"SATURATE": 5000.0})
    refused(hdus, errors.NoValidPixelsError, NONE_LEFT)


# Odd but right


def test_int16_with_bzero(extract: Make, catalog: Make, flt: Make, stars: Make) -> None:
    image = np.rint(stars(sky=30000.0, flux=50000.0))
    as_float = catalog(extract(flt(image.copy())))
    hdus = flt(image.astype("u2"))
    assert b"BZERO   =                32768" in body(hdus)
    as_integer = catalog(extract(hdus))
    assert len(as_float) == 16
    for name in as_float.colnames:
        np.testing.assert_array_equal(as_integer[name], as_float[name])


def test_float64(extract: Make, catalog: Make, flt: Make, stars: Make) -> None:
    image = stars()
    one, two = catalog(extract(flt(image))), catalog(extract(flt(image.astype("f8"))))
    assert len(one) == 16
    for name in one.colnames:
        np.testing.assert_array_equal(one[name], two[name])


_IN_FLUX = ("FLUX_AUTO", "FLUX_ISO", "FLUX_APER", "FLUX_TOTAL", "FLUXERR", "BACKG")


@pytest.mark.parametrize("scale", [1e-23, 1e-20, 1e20])
def test_tiny_and_huge_units(extract: Make, catalog: Make, flt: Make, stars: Make, scale: float) -> None:
    """In erg/s/cm2/A an image has 1e-22 a pixel, the square of which float32 does not hold."""
    scale = 2.0 ** round(np.log2(scale))
    image, shared = stars(), {"dq": None, "science": {"BUNIT": "furlong"}}
    one = catalog(extract(flt(image, **shared)))
    two = catalog(extract(flt((image * scale).astype("f4"), err=scale, **shared)))
    assert len(one) == len(two) == 16
    for name in one.colnames:
        factor = scale if name.startswith(_IN_FLUX) else 1
        np.testing.assert_allclose(two[name] / factor, one[name], rtol=2e-4, atol=1e-6, err_msg=name)


# Headers


@pytest.mark.parametrize(
    ("cards", "note"),
    [
        ({"CTYPE1": "RA---XYZ"}, "the WCS cannot be used (CTYPE RA---XYZ, DEC--TAN names no projection"),
        ({"CD1_1": 0.0, "CD2_2": 0.0}, "the WCS cannot be used (Linear transformation matrix is singular"),
        ({"CTYPE2": "FREQ"}, "the WCS cannot be used (CTYPE1 is 'RA---TAN' and CTYPE2 is 'FREQ'"),
        ({"CUNIT1": "furlong"}, "the WCS cannot be used (CUNIT1 is 'furlong', not an angle"),
        ({"CRVAL2": 999.0}, "the WCS cannot be used ("),
        ({"CRVAL1": "abc"}, "the WCS cannot be used (CRVAL1 is 'abc', not a number)"),
        ({"RADESYS": "NOPE"}, "the WCS cannot be used (RADESYS is 'NOPE', not a frame"),
        (
            {"CTYPE1": "RA---TAN-SIP", "A_ORDER": 2},
            "the WCS cannot be used (CTYPE1 is RA---TAN-SIP and CTYPE2 is",
        ),
        ({"WCSAXES": 4096}, "the WCS cannot be used (WCSAXES is 4096; it can be 0 to 9"),
        (
            {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 9000, "B_ORDER": 9000},
            "_ORDER is 9000; it can be 0 to 9",
        ),
        ({"CTYPE1": None, "CTYPE2": None}, "no celestial WCS: no sky coordinates"),
    ],
    ids=str,
)
def test_a_wcs_that_fails(
    degraded: Degraded, catalog: Make, flt: Make, cards: dict[str, Any], note: str
) -> None:
    summary = degraded(flt(science=cards), note)
    table = catalog(summary)
    assert len(table) == 16
    assert np.isnan(np.ma.filled(table["ALPHA_J2000"], np.nan)).all()
    assert np.isnan(np.ma.filled(table["FLUX_APER"], np.nan)).all(), "apertures in arcsec need a scale"
    assert (table["FLUX_AUTO"] > 0).all()
    assert np.isfinite(table["MAG_AUTO"]).all()
    assert summary["chips"][0]["depth"] is None


@pytest.mark.parametrize(
    ("primary", "science", "notes"),
    [
        ({"EXPTIME": "abc"}, {}, ["EXPTIME is 'abc', not a number: ignored"]),
        (
            {"EXPTIME": "abc"},
            {"BUNIT": "ELECTRONS"},
            ["EXPTIME is 'abc'", "there is no exposure time: fluxes stay totals"],
        ),
        ({"EXPTIME": None}, {"BUNIT": "ELECTRONS"}, ["there is no exposure time: fluxes stay totals"]),
        ({"PHOTFLAM": "x"}, {}, ["PHOTFLAM is 'x'", "fluxes without magnitudes"]),
        ({"PHOTPLAM": True}, {}, ["PHOTPLAM is 'True'", "fluxes without magnitudes"]),
        ({"PHOTFLAM": 0.0}, {}, ["no PHOTFLAM with PHOTPLAM and no PHOTFNU: fluxes without magnitudes"]),
        ({"PHOTFLAM": None}, {}, ["no PHOTFLAM with PHOTPLAM and no PHOTFNU: fluxes without magnitudes"]),
        ({}, {"BUNIT": None}, ["BUNIT is missing: pixels are taken for electrons per second"]),
        ({}, {"BUNIT": 5}, ["BUNIT is 5: fluxes are in the image's own unit"]),
        ({"FILTER": "G141"}, {}, ["G141 is a grism or prism"]),
        ({}, {"SATURATE": "n/a"}, ["SATURATE is 'n/a', not a number: ignored"]),
    ],
    ids=str,
)
def test_cards_that_are_missing_or_wrong(
    degraded: Degraded,
    catalog: Make,
    flt: Make,
    primary: dict[str, Any],
    science: dict[str, Any],
    notes: list[str],
) -> None:
    summary = degraded(flt(primary=primary, science=science), *notes)
    table = catalog(summary)
    assert len(table) == 16
    has_magnitudes = not any("without magnitudes" in note for note in summary["notes"])
    assert np.isfinite(np.ma.filled(table["MAG_AUTO"], np.nan)).all() == has_magnitudes
    assert (table["FLUX_AUTO"] > 0).all()


def test_a_header_with_nothing_in_it(degraded: Degraded, stars: Make) -> None:
    summary = degraded(
        fits.HDUList([fits.PrimaryHDU(stars())]),
        "BUNIT is missing",
        "no celestial WCS",
        "the instrument is in no table",
        "no ERR, and no electrons to count: errors leave out the Poisson noise of sources",
    )
    assert summary["sources"] == 16


@pytest.mark.parametrize(
    "line",
    [b"EXPTIME = 1.2.3.4", b"EXPTIME = 'unclosed", b"EXPTIME = \xff\xfe\x01", b"EXPTIME = 5 , 5"],
    ids=str,
)
def test_a_card_that_is_not_fits(degraded: Degraded, flt: Make, line: bytes) -> None:
    raw = card(body(flt()), b"EXPTIME", line)
    degraded(raw, "EXPTIME is a malformed header card: ignored")


@pytest.mark.parametrize(
    "line", [b"TARGNAME= 'M\xfcnchen'", b"TARGNAME= 'unclosed", b"TARGNAME= \x00\x01"], ids=str
)
def test_a_copied_card_that_is_not_fits_is_left_out(
    extract: Make, catalog: Make, flt: Make, line: bytes
) -> None:
    raw = card(body(flt(primary={"TARGNAME": "M 87", "ROOTNAME": "ib6o23rsq"})), b"TARGNAME", line)
    header = catalog(extract(raw)).meta["PRIMARY"]
    assert header["ROOTNAME"] == "ib6o23rsq"
    assert header.get("TARGNAME", "M?nchen") == "M?nchen"


@pytest.mark.parametrize(
    ("key", "line", "error"),
    [
        (b"NAXIS1", b"NAXIS1  = 'abc'", shared.UnreadableError),
        (b"NAXIS1", b"NAXIS1  =                   -5", shared.UnreadableError),
        (b"NAXIS1", b"NAXIS1  =       99999999999999", shared.UnreadableError),
        (b"NAXIS1", b"NAXIS1  =                  960", shared.TruncatedError),
        (b"NAXIS", b"NAXIS   =                    7", shared.UnreadableError),
        (b"BITPIX", b"BITPIX  =                  -33", shared.UnreadableError),
        (b"BITPIX", b"BITPIX  =                  -64", shared.UnreadableError),
        (b"BUNIT", b"BSCALE  = 'abc'", shared.UnreadableError),
        (b"GCOUNT", b"GCOUNT  =                    9", shared.TruncatedError),
        (b"PCOUNT", b"PCOUNT  =              5000000", shared.TruncatedError),
    ],
    ids=str,
)
def test_structure_that_is_wrong(
    refused: Refused, flt: Make, key: bytes, line: bytes, error: type[shared.FunctionError]
) -> None:
    # the first of these keys stands in the primary header, if that has it
    raw = card(body(flt()), key, line, skip=int(key in (b"NAXIS", b"BITPIX")))
    refused(raw, error, "fetch it again")


def test_an_extver_that_is_no_number(degraded: Degraded, flt: Make) -> None:
    summary = degraded(card(body(flt()), b"EXTVER", b"EXTVER  = 'abc'"))
    assert summary["sources"] == 16


# Too large


def sparse(path: Path, side: int) -> Path:
    """A float32 image of side x side zeros that takes no room on the disk."""
    header = fits.PrimaryHDU().header
    header["BITPIX"], header["NAXIS"] = -32, 2
    header.set("NAXIS1", side, after="NAXIS")
    header.set("NAXIS2", side, after="NAXIS1")
    with path.open("wb") as file:
        file.write(header.tostring().encode())
        file.truncate(file.tell() + side * side * 4 + (-side * side * 4) % 2880)
    return path


def test_an_image_larger_than_memory(refused: Refused, tmp_path: Path) -> None:
    """Refused before a pixel is read: the process grows by a few MB, of 1,600 in the file."""
    path = sparse(tmp_path / "huge.fits", 20_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(
        path,
        errors.ImageTooLargeError,
        "400 million pixels need about 1",
        "MB of memory and there are 1024 MB; send it to a function with more memory",
        name="huge.fits",
        memory_mb=1024,
    )
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 << 10, "kB"


def test_a_gzip_larger_than_memory(refused: Refused, tmp_path: Path) -> None:
    """The bomb of a few kB is not unzipped further than there is memory for."""
    path = tmp_path / "bomb.fits.gz"
    with gzip.open(path, "wb", 1) as packed:
        packed.write(sparse(tmp_path / "big.fits", 6_000).read_bytes())
    says = "unzips to more than the 100 MB of memory there are; send it to a function with more memory"
    refused(path, errors.ImageTooLargeError, says, name=path.name, memory_mb=100)


def test_what_a_gzip_takes_is_counted(extract: Make, refused: Refused, tmp_path: Path) -> None:
    """The unzipped file stays in memory beside the pixels."""
    raw = sparse(tmp_path / "flat.fits", 1_000).read_bytes()
    path = tmp_path / "flat.fits.gz"
    path.write_bytes(gzip.compress(raw, 1))
    just = (memory_of(1_000**2, ["science"]) >> 20) + 1
    refused(path, errors.ImageTooLargeError, "1 million pixels need about", name=path.name, memory_mb=just)
    with pytest.raises(errors.NoValidPixelsError):  # it is all zeros, and read to find that out
        extract(tmp_path / "flat.fits", memory_mb=just)


# ru_maxrss of the process itself would be that of the test's at the fork, if that is more.
PEAK = r"""
import os, re, resource, sys, types
from sep_extract.handler import handler
os.environ["SKYFAN_OUTPUT"] = "file://" + sys.argv[2] + "/{run}/{key}.cat.fits"
handler({"input": "file://" + sys.argv[1]}, types.SimpleNamespace(memory_limit_in_mb=sys.argv[3]))
me = re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]
print("PEAK", me, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak_mb(path: Path, out: Path, memory_mb: int) -> float:
    """Most memory of a process that handles one image, its child's included as if it shared nothing."""
    code = os.pathsep.join(
        str(Path(sys.modules[name].__file__ or "").parents[1]) for name in ("sep_extract", "skyfan_function")
    )
    command = [sys.executable, "-c", PEAK, str(path), str(out), str(memory_mb)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": code}, capture_output=True, text=True, check=True
    )
    return max(map(int, done.stdout.partition("PEAK")[2].split())) / 1024


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is in /proc")
@pytest.mark.parametrize("packed", [False, True])
def test_what_is_let_in_fits(flt: Make, stars: Make, tmp_path: Path, packed: bool) -> None:
    """The rule by which images are refused is not below what they take."""
    side = 3000
    raw = body(flt(np.tile(stars((500, 500)), (6, 6))))
    path = tmp_path / "big.fits"
    path.write_bytes(gzip.compress(raw, 1) if packed else raw)
    allowed = (memory_of(side * side, ["science", "error", "dq"]) + packed * len(raw)) >> 20
    assert peak_mb(path, tmp_path / "out", allowed + 1) < allowed


# Real files that are odd


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("ABDor_36_4_3_slice0386.fits", errors.NotAnImageError, "holds tables and no SCI extension"),
        ("odd_icwz15e7q_truncated_hdrlet.fits", shared.TruncatedError, "HDU 8 HDRLET should end at byte"),
        (
            "odd_j94f05bgq_zero_2chip_flt.fits.gz",
            errors.ShapeMismatchError,
            "ERR is 2 x 2 pixels but the image is",
        ),
        ("tess-s0001-4-3_107.27_-70.0_5x5_astrocut.fits", errors.ImageTooSmallError, "5 x 5 pixels"),
    ],
)
def test_real_files_that_are_odd(
    refused: Refused, shared_data: Path, name: str, error: type[shared.FunctionError], says: str
) -> None:
    refused(shared_data / name, error, says, name=name)


# Anything at all


@pytest.fixture(scope="module")
def small(demo_data: Path) -> bytes:
    """A real _flt, cut down to what is quick: 64 x 64 pixels of each plane, and all of the headers."""
    with fits.open(demo_data / "j8bt06nyq_flt.fits") as hdus:
        for hdu in hdus[1:]:
            hdu.data = hdu.data[:64, :64]
        return body(hdus)


def spoilt(raw: bytes, rng: np.random.Generator) -> bytes:
    """The file with some harm done to it."""
    given = bytearray(raw)
    kind = rng.integers(0, 6)
    if kind == 0:
        return raw[: rng.integers(0, len(raw))]
    if kind == 1:  # bits, in headers or anywhere
        for at in rng.integers(0, len(raw), rng.integers(1, 40)):
            given[at] ^= 1 << rng.integers(0, 8)
    elif kind in (2, 3):  # a card of a header, of letters or of anything
        starts = [
            i for i in range(0, len(raw), 80) if raw[i : i + 10].isascii() and raw[i + 8 : i + 10] == b"= "
        ]
        for at in rng.choice(starts, rng.integers(1, 6)):
            letters = list(b"0123456789.eE+-'/ TF") if kind == 2 else list(range(256))
            given[at + 10 : at + 30] = bytes(rng.choice(letters, 20).astype("u1"))
    elif kind == 4:  # a hole
        at = rng.integers(0, len(raw))
        del given[at : at + rng.integers(1, 6000)]
    else:  # wild pixels
        at = rng.integers(2880 * 8, len(raw) - 4000) // 4 * 4
        wild = rng.choice([np.nan, np.inf, -np.inf, 1e38, -1e38, 1e-44, 0.0], 500)
        given[at : at + 2000] = struct.pack(">500f", *wild)
    return bytes(given)


SEEDS = [*range(2), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 40))]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of arithmetic with wild pixels
@pytest.mark.parametrize("seed", SEEDS)
def test_any_damage_has_a_name(extract: Make, small: bytes, tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    refusals = []
    for number in range(40):
        content = spoilt(small, rng)
        packed = gzip.compress(content, 1) if number % 10 == 0 else content
        try:
            extract(packed)
        except shared.FunctionError as error:
            refusals.append(str(error))
        except Exception as error:
            kept = tmp_path / f"{number}.fits"
            kept.write_bytes(packed)
            raise AssertionError(f"{kept} gives {error!r}") from error
    assert refusals
    assert [text for text in refusals if "image.fits" not in text] == []
