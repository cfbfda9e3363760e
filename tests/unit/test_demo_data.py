"""The cut-outs in tests/data/demo are as its README says: small, with whole structure and correct WCS."""

import importlib.util
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

SCRIPT = Path(__file__).parents[1] / "data" / "make_demo.py"


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_demo = load(SCRIPT)
each = pytest.mark.parametrize("cutout", make_demo.CUTOUTS, ids=lambda cutout: cutout.name)


def test_the_folder_holds_exactly_the_files_of_the_script(demo_data: Path) -> None:
    files = sorted(demo_data.iterdir())
    assert [path.name for path in files] == sorted(cutout.name for cutout in make_demo.CUTOUTS)
    assert sum(path.stat().st_size for path in files) < 5_000_000


@each
def test_structure(cutout: make_demo.Cutout, demo_data: Path) -> None:
    with fits.open(demo_data / cutout.name) as hdus:
        assert {hdu.name for hdu in hdus} == {"PRIMARY", *cutout.keep}
        assert hdus[0].header.get("NEXTEND", len(hdus) - 1) == len(hdus) - 1
        science = [hdu for hdu in hdus if hdu.name == "SCI"] or [hdus[0]]
        for hdu in science:
            assert np.isfinite(hdu.data).all()
            assert hdu.data.std() > 0
            planes = [hdus[name, hdu.ver] for name in ("ERR", "DQ", "WHT") if name in cutout.keep]
            assert all(plane.shape == hdu.shape for plane in planes)


@each
def test_the_same_originals_give_the_same_bytes(
    cutout: make_demo.Cutout, demo_data: Path, shared_data: Path, tmp_path: Path
) -> None:
    made = make_demo.make(cutout, shared_data, tmp_path)
    assert made.read_bytes() == (demo_data / cutout.name).read_bytes()


@each
def test_pixels_keep_their_values_and_sky_coordinates(
    cutout: make_demo.Cutout, demo_data: Path, shared_data: Path
) -> None:
    with fits.open(shared_data / cutout.original) as whole, fits.open(demo_data / cutout.name) as part:
        for hdu in [hdu for hdu in part if hdu.name in ("SCI", "ERR", "DQ", "WHT")] or [part[0]]:
            other = whole[hdu.name, hdu.ver] if hdu.name != "PRIMARY" else whole[0]
            (ny, nx), (y0, x0) = hdu.shape, cutout.corner
            expected = other.data[y0 : y0 + ny, x0 : x0 + nx].astype(hdu.data.dtype)
            np.testing.assert_array_equal(hdu.data, expected)
            x, y = np.meshgrid(np.linspace(0, nx - 1, 7), np.linspace(0, ny - 1, 7))
            # degrees, both axes; right ascension needs no cos(dec) for a bound
            np.testing.assert_allclose(
                sky(part, hdu.header, x, y), sky(whole, other.header, x + x0, y + y0), rtol=0, atol=1e-9
            )


def sky(hdus: fits.HDUList, header: fits.Header, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Degrees through the full distortion of 0-based pixels: SIP, and the lookup tables of `hdus`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        return np.array(WCS(header, hdus).all_pix2world(x, y, 0))
