"""Images beside a catalog: each says of the pixels what the catalog says of its sources."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from sep_extract.errors import ImageTooLargeError
from sep_extract.event import CHECKS
from sep_extract.packed import Packed
from skyfan_contract import BYTES_PER_OUTPUT, memory_of

Make = Callable[..., Any]


def opened(summary: dict[str, Any], kind: str) -> fits.HDUList:
    return fits.open(unquote(summary["outputs"][kind].removeprefix("file://")), memmap=False)


def two_chips(flt: Make, **changes: Any) -> fits.HDUList:
    first, second = flt(**changes), flt(**changes)
    for hdu in second[1:]:
        hdu.ver = 2
    return fits.HDUList([*first, *second[1:]])


def test_pixels_say_what_the_catalog_says(extract: Make, flt: Make, catalog: Make) -> None:
    summary = extract(two_chips(flt), outputs=list(CHECKS))
    table = catalog(summary)
    at = np.rint(table["Y_IMAGE"] - 1).astype(int), np.rint(table["X_IMAGE"] - 1).astype(int)
    values = {kind: np.zeros(len(table)) for kind in CHECKS}
    for kind in CHECKS:
        with opened(summary, kind) as hdus:
            hdus.verify("exception")
            top = hdus[0].header
            assert top["SRCURI"] == summary["input"]
            assert top["CONFHASH"] == table.meta["PRIMARY"]["CONFHASH"]
            assert top["SRCVER"] == table.meta["PRIMARY"]["SRCVER"]
            assert [(hdu.name, hdu.ver) for hdu in hdus[1:]] == [("SCI", 1), ("SCI", 2)]
            for hdu in hdus[1:]:
                own = table["EXT_NUMBER"] == hdu.header["EXT_NUM"]
                values[kind][own] = hdu.data[at[0][own], at[1][own]]
                world = WCS(hdu.header).all_pix2world(table["X_IMAGE"][own], table["Y_IMAGE"][own], 1)
                np.testing.assert_allclose(world[1], table["DELTA_J2000"][own], rtol=1e-10)
                if kind == "segmentation":
                    assert set(np.unique(hdu.data)) == {0, *table["NUMBER"][own]}
                    area = np.bincount(hdu.data.ravel(), minlength=len(table) + 1)[table["NUMBER"][own]]
                    np.testing.assert_array_equal(area, table["ISOAREAF_IMAGE"][own])
    np.testing.assert_array_equal(values["segmentation"], table["NUMBER"])
    noise = np.median(table["BACKGROUND_RMS"])
    for name in ("background", "background_rms"):
        np.testing.assert_allclose(values[name], table[name.upper()], atol=noise / 128)


def test_the_residual_is_the_image_without_its_background(extract: Make, flt: Make) -> None:
    hdus = flt()
    hdus["DQ"].data[10, 20] = 4
    data = np.array(hdus["SCI"].data)
    summary = extract(hdus, outputs=["residual", "background"])
    with opened(summary, "residual") as rest, opened(summary, "background") as level:
        assert np.argwhere(np.isnan(rest[1].data)).tolist() == [[10, 20]]
        back = rest[1].data + level[1].data
        step = rest[1].header["QSTEP"]
        ratio = np.nanmedian(data / back)
        np.testing.assert_allclose(back[~np.isnan(back)] * ratio, data[~np.isnan(back)], atol=step * ratio)
        assert step <= summary["chips"][0]["rms"] / 8


def test_without_sources_all_is_sky(extract: Make, flt: Make) -> None:
    summary = extract(flt(), outputs=["segmentation"], config={"detect_thresh": 1e6})
    with opened(summary, "segmentation") as hdus:
        assert not hdus[1].data.any()


def test_equal_inputs_give_equal_bytes_compressed_or_not(
    extract: Make, flt: Make, tmp_path: Path, stars: Make
) -> None:
    """A compressed file goes through a child process."""
    data = np.rint(stars()).astype(np.int16)
    cards = fits.Header({"EXPTIME": 1.0})
    plain = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(data, cards, name="SCI")])
    packed = fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(data, cards, name="SCI")])
    bodies = []
    for number, hdus in enumerate((plain, plain, packed)):
        hdus.writeto(tmp_path / f"{number}.fits")
        summary = extract(tmp_path / f"{number}.fits", outputs=list(CHECKS))
        for kind in CHECKS:
            with opened(summary, kind) as found:
                bodies.append(found[1].data.tobytes())
    assert bodies[:4] == bodies[4:8] == bodies[8:]


def test_their_memory_counts_before_pixels_are_read(extract: Make, flt: Make, stars: Make) -> None:
    assert set(BYTES_PER_OUTPUT) == set(CHECKS)
    side = 600
    data = stars((side, side), at=[(40, 40)])
    just = memory_of(side * side, ["science", "error", "dq"]) + (1 << 20)
    with pytest.raises(ImageTooLargeError):
        extract(flt(data), outputs=list(CHECKS), memory_mb=just >> 20)
    assert extract(flt(data), memory_mb=just >> 20)["sources"] == 1


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    core=st.sampled_from([32, 64, 96]),
    blank=st.floats(0, 1),
    step=st.sampled_from([0.0, 0.25]),
    seed=st.integers(0, 9),
)
def test_parts_make_the_whole(
    shape: tuple[int, int], core: int, blank: float, step: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    whole = rng.normal(0, 9, shape).astype(np.float32)
    whole[rng.random(shape) < blank] = np.nan
    if not step:
        whole = rng.integers(0, 1 << 20, shape, dtype=np.int32)  # type: ignore[assignment]
    packed = Packed("a.fits", shape, step, core)
    for top in range(0, shape[0], core):
        for left in range(0, shape[1], core):
            packed.add(top, left, whole[top : top + core, left : left + core])
    body = fits.PrimaryHDU().header.tostring().encode() + packed.hdu(fits.Header({"EXTNAME": "SCI"}))
    with fits.open(io.BytesIO(body), checksum=True) as hdus:
        np.testing.assert_array_equal(np.isnan(hdus["SCI"].data), np.isnan(whole))
        np.testing.assert_allclose(hdus["SCI"].data, whole, atol=step / 2 + 1e-6)
