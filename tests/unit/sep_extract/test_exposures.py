"""Repeats of one field are exposures, chips are not; and how many exposures cover a source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from sep_extract.cards import Cards
from sep_extract.exposures import Exposure, Exposures
from sep_extract.sky import Sky

Make = Callable[..., Any]
SHAPE = (60, 80)
NEXT_CHIP = 80 * 3.6e-5 / np.cos(np.radians(2.2))


def numbers(*planes: dict[str, Any]) -> list[int]:
    """The exposures of planes with these cards; ``east`` in degrees moves one, None takes its WCS away."""
    exposures, found = Exposures(), []
    for cards in planes:
        east = cards.pop("east", 0.0)
        header = fits.Header(cards)
        if east is not None:
            header.update(
                {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 40.5, "CRPIX2": 30.5}
                | {"CRVAL1": 150 + east, "CRVAL2": 2.2, "CD1_1": -3.6e-5, "CD2_2": 3.6e-5}
            )
        sky = Sky.read(header, fits.HDUList(), SHAPE)
        found.append(exposures.of(Cards(header), Cards(fits.Header()), sky, SHAPE).number)
    return found


@pytest.mark.parametrize(
    ("planes", "expected"),
    [
        ([{}], [1]),
        ([{"EXPSTART": 5e4}, {"EXPSTART": 5e4 + 0.002}, {"EXPSTART": 5e4 + 0.004}], [1, 2, 3]),
        ([{}, {"east": NEXT_CHIP}, {}, {"east": NEXT_CHIP}], [1, 1, 2, 2]),
        ([{"EXPSTART": 5e4}, {"EXPSTART": 5e4, "east": NEXT_CHIP}], [1, 1]),
        # Of a dither by more than a chip the times tell; of reads without times the field.
        ([{"EXPSTART": 5e4}, {"EXPSTART": 6e4, "east": 3 * NEXT_CHIP}], [1, 2]),
        ([{"EXPSTART": 5e4}, {"EXPSTART": 5e4}], [1, 2]),
        ([{"east": None}, {"east": None}], [1, 1]),
        ([{"east": None, "EXPSTART": 5e4}, {"east": None, "EXPSTART": 6e4}], [1, 2]),
        ([{"EXPSTART": "unknown"}, {"EXPSTART": "unknown"}], [1, 2]),
        # The second chip of the second exposure could not be read.
        (
            [{"EXPSTART": 5e4}, {"EXPSTART": 5e4, "east": NEXT_CHIP}, {"EXPSTART": 6e4, "east": NEXT_CHIP}],
            [1, 1, 2],
        ),
    ],
)
def test_what_counts_as_another_exposure(planes: list[dict[str, Any]], expected: list[int]) -> None:
    assert numbers(*(dict(cards) for cards in planes)) == expected


def test_start_and_end_are_of_one_header() -> None:
    primary = Cards(fits.Header({"EXPSTART": 1.0, "EXPEND": 2.0, "WCSNAME": "IDC_x-FIT_REL_GAIAeDR3"}))
    nowhere = Sky(None, None)
    own = Exposures().of(Cards(fits.Header({"MJD-BEG": 1.5})), primary, nowhere, SHAPE)
    assert (own.start, np.isnan(own.end), own.gaia) == (1.5, True, True)
    of_file = Exposures().of(Cards(fits.Header({"WCSNAME": "IDC_x-GSC240"})), primary, nowhere, SHAPE)
    assert (of_file.start, of_file.end, of_file.gaia) == (1.0, 2.0, False)
    assert Exposure().gaia is None


def test_repeated_imsets_are_exposures_with_their_own_times(
    extract: Make, flt: Make, stars: Make, catalog: Make
) -> None:
    """As a file of STIS with NRPTEXP 2 has them: the same field, minutes apart."""
    first = flt(stars(seed=1), science={"EXPSTART": 55000.0, "EXPEND": 55000.001, "WCSNAME": "a-GAIA"})
    second = flt(stars(seed=2), science={"EXPSTART": 55000.002, "EXPEND": 55000.003, "WCSNAME": "a-GAIA"})
    for hdu in second[1:]:
        hdu.ver = 2
    summary = extract(fits.HDUList([*first, *second[1:]]))
    assert [chip["exposure"] for chip in summary["chips"]] == [1, 2]
    table = catalog(summary)
    again = table["EXT_NUMBER"] == 4
    assert set(table["EXPOSURE"][again]) == {2}
    assert set(table["MJD_START"][again]) == {55000.002}
    assert set(table["MJD_END"][~again]) == {55000.001}
    header = table.meta["PRIMARY"]
    assert (header["NEXPOS"], header["NCHIPS"]) == (2, 2)
    assert [header["TBEG2"], header["TEND2"]] == [55000.002, 55000.003]
    assert (header["WCSNAM1"], header["GAIA1"]) == ("a-GAIA", True)
    area = np.pi * (0.4 / header["SCALE1"]) ** 2
    curve = np.array([pair.split(":") for pair in header["SHCUR1"].split()], float)
    undone = np.exp(np.interp(np.log(area), *np.log(curve.T)))
    assert header["SHARE1"] == pytest.approx(undone, rel=1e-3)
    assert header["POISS1"] == pytest.approx(1 / 100.0), "electrons per second for 100 s"


@pytest.mark.parametrize("compressed", [False, True])
def test_the_exposures_that_cover_a_source_are_counted(
    compressed: bool, extract: Make, flt: Make, catalog: Make
) -> None:
    """Bits of the context image, those above the 31st and of further planes included."""
    hdus = flt(err=None, dq=None, wht=1.0)
    kind = fits.CompImageHDU if compressed else fits.ImageHDU
    context = np.zeros((2, 96, 96), np.int32)
    context[0, :, :48] = -(2**31) + 5
    context[1] = 1
    context = context[0] + 0 if compressed else context
    hdus.append(kind(context, name="CTX"))
    hdus.append(fits.ImageHDU(np.full((96, 96), 11, np.int16), name="SAMP"))
    table = catalog(extract(hdus))
    left = table["X_IMAGE"] < 48
    more = 0 if compressed else 1
    assert set(table["NEXP"][left]) == {3 + more}
    assert set(table["NEXP"][~left]) == {more}
    assert set(table["NSAMP"]) == {11}


def test_a_context_of_another_shape_is_noted_and_not_used(extract: Make, flt: Make, catalog: Make) -> None:
    hdus = flt()
    hdus.append(fits.ImageHDU(np.ones((5, 5), np.int32), name="CTX"))
    summary = extract(hdus)
    assert any("CTX" in note for note in summary["notes"])
    assert np.isnan(np.ma.filled(catalog(summary)["NEXP"], np.nan)).all()
