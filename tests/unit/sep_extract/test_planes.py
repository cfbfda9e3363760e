"""Each science image with its own companions, in any order, with EXTVER right, absent or always 1."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from sep_extract.errors import NoScienceDataError, NotAnImageError, ShapeMismatchError
from sep_extract.planes import Plane, planes

KINDS = {"ERR": "error", "DQ": "dq", "WHT": "weight"}


def image(
    name: str | None, value: float, version: int | None = None, shape: tuple[int, ...] = (4, 5)
) -> fits.ImageHDU:
    hdu = fits.ImageHDU(np.full(shape, value, "f4"))
    if name:
        hdu.header["EXTNAME"] = name
    if version is not None:
        hdu.header["EXTVER"] = version
    return hdu


@st.composite
def files(draw: st.DrawFn) -> fits.HDUList:
    """Some chips with some of ERR, DQ, WHT, whose pixels hold the number of their chip."""
    number = draw(st.integers(1, 4))
    companions = draw(st.lists(st.sampled_from(list(KINDS)), unique=True))
    versions = draw(st.sampled_from(["right", "absent", "always 1"]))
    names = ["SCI", *companions]

    def hdu(name: str, chip: int) -> fits.ImageHDU:
        version = {"right": chip, "absent": None, "always 1": 1}[versions]
        return image(name, chip, version)

    by_chip = [hdu(name, chip) for chip in range(1, number + 1) for name in names]
    by_name = [hdu(name, chip) for name in names for chip in range(1, number + 1)]
    order = draw(st.sampled_from([by_chip, by_name]))
    if versions == "right":
        order = draw(st.permutations(order))
    return fits.HDUList([fits.PrimaryHDU(), *order])


@given(files())
def test_every_image_has_its_own_companions(hdus: fits.HDUList) -> None:
    found = planes("a.fits", hdus)
    assert len(found) == sum(hdu.name == "SCI" for hdu in hdus)
    for plane in found:
        chip = hdus[plane.science].data[0, 0]
        for name, kind in KINDS.items():
            index = getattr(plane, kind)
            assert (index is None) == all(hdu.name != name for hdu in hdus)
            if index is not None:
                assert hdus[index].name == name
                assert hdus[index].data[0, 0] == chip


def test_without_sci_all_images_that_are_called_nothing_else_are_measured() -> None:
    hdus = fits.HDUList(
        [fits.PrimaryHDU(), image(None, 1), image("CUTOUT", 2), image("CTX", 3), image("MASK", 4)]
    )
    assert [plane.science for plane in planes("a.fits", hdus)] == [1, 2]


def test_an_image_in_the_primary_hdu_has_the_companions_behind_it() -> None:
    hdus = fits.HDUList(
        [fits.PrimaryHDU(np.ones((4, 5), "f4")), image("UNCERT", 1), image("DQ", 2), image("WEIGHT", 3)]
    )
    assert planes("a.fits", hdus) == [Plane(0, error=1, dq=2, weight=3)]


def test_a_tess_full_frame_image_is_called_after_its_camera_and_has_a_table_behind_it() -> None:
    table = fits.BinTableHDU.from_columns([fits.Column("RAWX", "I", array=[1])])
    hdus = [fits.PrimaryHDU(), image("CAMERA.CCD 4.3 cal", 1), image("CAMERA.CCD 4.3 uncert", 2), table]
    assert planes("a.fits", fits.HDUList(hdus)) == [Plane(1, error=2)]


def test_an_image_without_errors_only_illustrates_a_table() -> None:
    table = fits.BinTableHDU.from_columns([fits.Column("FLUX", "E", array=[1])])
    hdus = [fits.PrimaryHDU(), table, image("APERTURE 1", 1), image("UNCERT", 1, shape=(3, 3))]
    with pytest.raises(NotAnImageError, match="holds tables"):
        planes("a.fits", fits.HDUList(hdus))


def test_jwst_planes() -> None:
    """Of a cal: SCI, ERR, DQ and AREA; of an i2d: SCI, ERR, WHT and CON. The rest is neither."""
    variances = [image(name, 1) for name in ("VAR_POISSON", "VAR_RNOISE", "VAR_FLAT")]
    cal = [image(name, 1) for name in ("SCI", "ERR", "DQ", "AREA")]
    assert planes("a.fits", fits.HDUList([fits.PrimaryHDU(), *cal, *variances])) == [
        Plane(1, error=2, dq=3, area=4)
    ]
    i2d = [image("SCI", 1), image("ERR", 1), image("CON", 1, shape=(2, 4, 5)), image("WHT", 1)]
    assert planes("a.fits", fits.HDUList([fits.PrimaryHDU(), *i2d, *variances])) == [
        Plane(1, error=2, weight=4, context=3)
    ]


def test_planes_of_counts_are_not_measured() -> None:
    """So that they take no memory, and one of another shape spoils nothing."""
    hdus = [image("SCI", 1), image("CTX", 1, shape=(3, 3)), image("SAMP", 1)]
    (plane,) = planes("a.fits", fits.HDUList([fits.PrimaryHDU(), *hdus]))
    assert (plane.context, plane.samples, plane.kinds) == (2, 3, ["science"])


def test_a_chip_without_a_companion_takes_none_of_another() -> None:
    hdus = fits.HDUList([fits.PrimaryHDU(), image("SCI", 1), image("SCI", 2), image("DQ", 2)])
    assert planes("a.fits", hdus) == [Plane(1), Plane(2, dq=3)]


@pytest.mark.parametrize(
    ("hdus", "error"),
    [
        ([image("SCI", 1), image("ERR", 1, shape=(4, 4))], ShapeMismatchError),
        ([image("SCI", 1, shape=(3, 4, 5))], NotAnImageError),
        ([image(None, 1, shape=(7,))], NotAnImageError),
        ([image("ERR", 1)], NoScienceDataError),
        ([fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1])])], NotAnImageError),
    ],
)
def test_what_is_no_image_is_refused_by_name(hdus: list[fits.ImageHDU], error: type[Exception]) -> None:
    with pytest.raises(error, match=r"a\.fits"):
        planes("a.fits", fits.HDUList([fits.PrimaryHDU(), *hdus]))
