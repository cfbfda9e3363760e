"""Detected on one image, measured on another: the same rows, right colours, and refusals by name."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from sep_extract import chip, handler, image
from sep_extract.errors import NoOverlapError
from sep_extract.flags import Flag
from sep_extract.quality import Quality
from sep_extract.sky import Sky
from sep_extract.whole import Tiling
from skyfan_function.errors import AccessDeniedError, EventError, InputNotFoundError, TruncatedError

Make = Callable[..., Any]

RA, DEC = 150.1, 2.2
_RNG = np.random.default_rng(5)
_GRID = (np.arange(9) - 4) * 2.2
EAST, NORTH = (a.ravel() + _RNG.uniform(-0.3, 0.3, 81) for a in np.meshgrid(_GRID, _GRID))
"""Places in arcsec, of stars that stand alone."""
MAG = _RNG.uniform(18.5, 20.5, 81)
COLOUR = _RNG.uniform(-0.7, 0.7, 81)
GONE = np.arange(81) % 9 == 0
"""Dropouts."""
ZERO = -2.5 * np.log10(1e-19) - 5 * np.log10(1e4) - 2.408


def cards(side: int, scale: float = 0.05, angle: float = 0.0, *, sip: bool = False) -> fits.Header:
    cos, sin, step = np.cos(angle), np.sin(angle), scale / 3600
    header = fits.Header({"BUNIT": "ELECTRONS/S", "PHOTFLAM": 1e-19, "PHOTPLAM": 1e4})
    header.update(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=RA, CRVAL2=DEC)
    header.update(CRPIX1=side / 2, CRPIX2=side / 2)
    header.update(CD1_1=-step * cos, CD1_2=step * sin, CD2_1=step * sin, CD2_2=step * cos)
    if sip:
        header.update(CTYPE1="RA---TAN-SIP", CTYPE2="DEC--TAN-SIP", A_ORDER=2, B_ORDER=2)
        header.update(A_2_0=3e-5, B_1_1=-2e-5)
    return header


def written(path: Path, header: fits.Header, magnitudes: np.ndarray, seed: int, side: int = 440) -> Path:
    """An image of the stars; those of magnitude 99 are not on it."""
    rng, sigma = (
        np.random.default_rng(seed),
        0.12 / np.sqrt(abs(np.linalg.det(WCS(header).pixel_scale_matrix))) / 3600,
    )
    world = RA + EAST / 3600 / np.cos(np.radians(DEC)), DEC + NORTH / 3600
    x, y = WCS(header).all_world2pix(*world, 0)
    data = rng.normal(5, 0.05, (side, side))
    for x0, y0, mag in zip(x, y, magnitudes, strict=True):
        if mag > 90 or not (0 <= x0 < side and 0 <= y0 < side):
            continue
        part = tuple(slice(max(int(at) - 20, 0), int(at) + 21) for at in (y0, x0))
        row, column = (np.arange(s.start, min(s.stop, side)) for s in part)
        spread = np.exp(-((row[:, None] - y0) ** 2 + (column - x0) ** 2) / 2 / sigma**2)
        data[part] += 10 ** (-0.4 * (mag - ZERO)) / (2 * np.pi * sigma**2) * spread
    primary = fits.PrimaryHDU(header=fits.Header({"EXPTIME": 1000.0, "TELESCOP": "HST", "INSTRUME": "WFC3"}))
    primary.header["DETECTOR"] = "IR"
    fits.HDUList([primary, fits.ImageHDU(data.astype(np.float32), header, name="SCI")]).writeto(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dual")
    written(folder / "total_drz.fits", cards(440), MAG, 1)
    return folder


@pytest.fixture
def both(folder: Path, extract: Make, catalog: Make) -> Make:
    """The catalogs of the detection image and of another one, with the other's summary."""

    def run(path: Path, **event: Any) -> tuple[Table, Table, dict[str, Any]]:
        total = folder / "total_drz.fits"
        own = catalog(extract(total))
        summary = extract(path, detect=total.as_uri(), **event)
        return own, catalog(summary), summary

    return run


def stars_of(table: Table) -> np.ndarray:
    """Which star each row is, -1 for none."""
    east = (table["ALPHAWIN_J2000"] - RA) * 3600 * np.cos(np.radians(DEC))
    north = (table["DELTAWIN_J2000"] - DEC) * 3600
    apart = np.hypot(np.asarray(east)[:, None] - EAST, np.asarray(north)[:, None] - NORTH)
    return np.where(apart.min(axis=1) < 0.05, apart.argmin(axis=1), -1)


GRIDS = {
    "same": cards(440),
    "turned": cards(440, 0.06, 0.7),
    "finer": cards(440, 0.045, -2.0),
    "SIP": cards(440, 0.06, 2.6, sip=True),
}


@pytest.mark.parametrize("name", GRIDS)
def test_colours_are_right_and_dropouts_have_no_flux(name: str, folder: Path, both: Make) -> None:
    magnitudes = np.where(GONE, 99, MAG + COLOUR)
    path = written(folder / f"{name}_drz.fits", GRIDS[name], magnitudes, 2)
    own, table, summary = both(path)
    for column in ("NUMBER", "ALPHA_J2000", "DELTAWIN_J2000", "KRON_RADIUS"):
        np.testing.assert_array_equal(table[column], own[column])
    star = stars_of(own)
    assert (star >= 0).sum() >= 79
    here = (star >= 0) & ((table["FLAGS"] & int(Flag.OUTSIDE)) == 0)
    bright = here & (table["FLAGS"] == 0) & ~GONE[star] & (own["SNR_AUTO"] > 50) & (table["SNR_AUTO"] > 50)
    assert bright.sum() > 35
    for kind in ("AUTO", "TOTAL", "ISO"):
        off = np.asarray(table[f"MAG_{kind}"] - own[f"MAG_{kind}"])[bright] - COLOUR[star[bright]]
        assert abs(np.mean(off)) < 0.01, kind
    gone = here & GONE[star]
    pull = np.asarray(table["FLUX_AUTO"] / table["FLUXERR_AUTO"])[gone]
    assert np.abs(pull).max() < 4
    assert 0.4 < np.sqrt(np.mean(pull**2)) < 1.6
    header = table.meta["PRIMARY"]
    assert header["DETURI"] == (folder / "total_drz.fits").as_uri()
    assert header["DETVER"].startswith("size=")
    assert header["DETSAME"] is (name == "same")
    assert header["QUALITY"] & Quality.DUAL_IMAGE
    assert "DUAL_IMAGE" not in summary["doubts"]
    wcs = WCS(GRIDS[name])
    x, y = wcs.all_world2pix(own["ALPHA_J2000"], own["DELTA_J2000"], 1)
    inside = (table["FLAGS"] & int(Flag.OUTSIDE)) == 0
    np.testing.assert_allclose(table["X_IMAGE"][inside], x[inside], atol=1e-4)
    np.testing.assert_allclose(table["Y_IMAGE"][inside], y[inside], atol=1e-4)


def test_sources_outside_are_null_and_flagged(folder: Path, both: Make) -> None:
    path = written(folder / "part_drz.fits", cards(200), MAG, 3, side=200)
    own, table, summary = both(path)
    assert len(table) == len(own)
    outside = (table["FLAGS"] & int(Flag.OUTSIDE)) != 0
    assert outside.sum() == table.meta["PRIMARY"]["DETOUT"] > 20
    east = (own["ALPHA_J2000"] - RA) * 3600 * np.cos(np.radians(DEC))
    north = (own["DELTA_J2000"] - DEC) * 3600
    np.testing.assert_array_equal(outside, np.maximum(np.abs(east), np.abs(north)) > 100 * 0.05)
    for name in ("FLUX_AUTO", "FLUXERR_AUTO", "MAG_ISO", "X_IMAGE", "BACKGROUND"):
        assert np.isnan(np.ma.filled(table[name], np.nan))[outside].all()
        assert np.isfinite(np.ma.filled(table[name], np.nan))[~outside & (table["FLUX_AUTO"] > 0)].all()
    assert (table["EXT_NUMBER"][outside] == -1).all()
    assert any("lie outside this image" in note for note in summary["notes"])


def test_no_overlap_is_a_named_failure(folder: Path, extract: Make) -> None:
    header = cards(440)
    header["CRVAL1"] += 1
    path = written(folder / "far_drz.fits", header, np.full(81, 99.0), 4)
    with pytest.raises(NoOverlapError, match=r"far_drz.fits: none of the .* sources of .*total_drz.fits"):
        extract(path, detect=(folder / "total_drz.fits").as_uri())
    del header["CTYPE1"], header["CTYPE2"]
    path = written(folder / "nowhere_drz.fits", cards(300), MAG, 4, side=300)
    with fits.open(path, "update") as hdus:
        del hdus[1].header["CTYPE1"], hdus[1].header["CTYPE2"]
    with pytest.raises(NoOverlapError, match="a WCS is missing or wrong"):
        extract(path, detect=(folder / "total_drz.fits").as_uri())


def test_errors_name_the_file_that_failed(
    folder: Path, extract: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = folder / "total_drz.fits"
    short = tmp_path / "short_drz.fits"
    short.write_bytes(total.read_bytes()[:9000])
    with pytest.raises(TruncatedError, match=r"the detection image file.*short_drz.fits"):
        extract(total, detect=short.as_uri())
    with pytest.raises(TruncatedError, match=r"^short_drz.fits"):
        extract(short, detect=total.as_uri())
    with pytest.raises(InputNotFoundError, match=r"none.fits"):
        extract(total, detect=(tmp_path / "none.fits").as_uri())
    with pytest.raises(EventError, match="'detect' must be s3://"):
        extract(total, detect=5)
    with pytest.raises(EventError, match="'faint_size' do not go together"):
        extract(total, detect=short.as_uri(), config={"faint_size": 7})
    monkeypatch.setenv("SKYFAN_INPUTS", "stpubdata")
    with pytest.raises(AccessDeniedError, match=r"elsewhere.*InputBuckets"):
        extract(total, detect="s3://elsewhere/a.fits")


def test_the_image_itself_is_no_other_image(folder: Path, extract: Make, catalog: Make) -> None:
    total = folder / "total_drz.fits"
    one, other = catalog(extract(total)), catalog(extract(total, detect=total.as_uri()))
    np.testing.assert_array_equal(one["FLUX_AUTO"], other["FLUX_AUTO"])
    assert "DETURI" not in other.meta["PRIMARY"]


def test_an_image_measured_by_itself_has_its_own_fluxes(folder: Path, both: Make, tmp_path: Path) -> None:
    """A copy under another name, so that it counts as another image."""
    path = tmp_path / "copy_drz.fits"
    path.write_bytes((folder / "total_drz.fits").read_bytes())
    own, table, _ = both(path)
    for name in (
        "FLUX_AUTO",
        "FLUX_APER",
        "FLUX_RADIUS",
        "FLUX_TOTAL",
        "BACKGROUND",
        "X_IMAGE",
        "XWIN_IMAGE",
    ):
        np.testing.assert_allclose(table[name], own[name], rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(table["FLUX_ISO"], own["FLUX_ISO"], rtol=1e-4)
    np.testing.assert_array_equal(table["CLASS"], own["CLASS"])


def test_several_chips_and_compression(folder: Path, both: Make, tmp_path: Path) -> None:
    """Two chips side by side, in a compressed file, of which each has a half of the sources."""
    path = written(tmp_path / "one_drz.fits", cards(440), MAG, 6)
    with fits.open(path) as hdus:
        data, header, primary = hdus[1].data, hdus[1].header, hdus[0]
        halves = []
        for number, part in enumerate((slice(0, 220), slice(220, 440)), start=1):
            own = header.copy()
            own["CRPIX2"] -= part.start
            own["EXTVER"] = number
            halves.append(fits.CompImageHDU(data[part].copy(), own, name="SCI"))
        fits.HDUList([primary.copy(), *halves]).writeto(tmp_path / "two_flt.fits.fz")
    own, table, _ = both(tmp_path / "two_flt.fits.fz", outputs=["segmentation"])
    assert len(table) == len(own)
    assert set(table["EXT_NUMBER"]) == {1, 2}
    ratio = np.asarray(table["FLUX_AUTO"] / own["FLUX_AUTO"])[own["SNR_AUTO"] > 50]
    assert abs(np.median(ratio) - 1) < 0.01


@pytest.mark.slow
def test_tiles_give_what_the_whole_gives(folder: Path, both: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(folder / "tiled_drz.fits", GRIDS["turned"], MAG + COLOUR, 7)
    _, whole, _ = both(path)
    monkeypatch.setattr(image, "TILED_ABOVE", 0)
    small = Tiling(core=128, margins=(64, 128), block=64)
    monkeypatch.setattr(handler, "chips", partial(chip.chips, tiling=small))
    monkeypatch.setattr("sep_extract.detection.chips", partial(chip.chips, tiling=small))
    total = folder / "total_drz.fits"
    own, tiled, summary = both(path, outputs=["segmentation", "residual"])
    assert any("measured in tiles" in note for note in summary["notes"])
    np.testing.assert_array_equal(tiled["ALPHA_J2000"], own["ALPHA_J2000"])
    assert len(tiled) == len(whole)
    by_place = np.lexsort((whole["X_IMAGE"], whole["Y_IMAGE"].round(0)))
    one = whole["FLUX_AUTO"][by_place]
    nearest = [
        np.hypot(tiled["X_IMAGE"] - x, tiled["Y_IMAGE"] - y).argmin()
        for x, y in zip(whole["X_IMAGE"][by_place], whole["Y_IMAGE"][by_place], strict=True)
    ]
    bright = one > 20
    np.testing.assert_allclose(tiled["FLUX_AUTO"][nearest][bright], one[bright], rtol=0.02)
    with fits.open(summary["outputs"]["segmentation"].removeprefix("file://")) as hdus:
        inside = (tiled["FLAGS"] & int(Flag.OUTSIDE)) == 0
        at = (np.rint(tiled[f"{axis}_IMAGE"][inside] - 1).astype(int) for axis in "YX")
        assert (hdus["SCI"].data[tuple(at)] == tiled["NUMBER"][inside]).mean() > 0.97
    assert total.exists()


@settings(max_examples=40, deadline=None)
@given(
    ra=st.floats(0, 359.99),
    dec=st.floats(-89.9, 89.9),
    scale=st.floats(0.01, 20),
    angle=st.floats(-3.1, 3.1),
    sip=st.booleans(),
)
def test_from_pixels_to_the_sky_and_back(
    ra: float, dec: float, scale: float, angle: float, sip: bool
) -> None:
    header = cards(400, scale, angle, sip=sip)
    header["CRVAL1"], header["CRVAL2"] = ra, dec
    sky = Sky.read(header, fits.HDUList(), (400, 400))
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(0, 399, 7), np.linspace(0, 399, 7)))
    back = sky.pixel(sky.world(x, y), (199.5, 199.5))
    np.testing.assert_allclose(back, np.column_stack([x, y]), atol=1e-3)
    assert np.isnan(sky.pixel(np.array([[(ra + 180) % 360, -dec], [np.nan, 0]]), (199.5, 199.5))).all()
