"""The page on colours, executed: three filters of a visit, one with a dropout."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

PAGE = Path(__file__).parents[2] / "docs/howto/colours.md"
_ZERO = -2.5 * np.log10(1e-19) - 5 * np.log10(6e3) - 2.408


def image(path: Path, magnitudes: list[float], seconds: float, seed: int) -> None:
    """Six stars far from one another; those of magnitude 99 are not on it."""
    side, sigma = 200, 1.8
    y, x = np.indices((side, side))
    data = np.random.default_rng(seed).normal(1, 0.02, (side, side))
    for k, magnitude in enumerate(magnitudes):
        x0, y0 = 40.3 + 60 * (k % 3), 50.2 + 90 * (k // 3)
        flux = 0 if magnitude > 90 else 10 ** (-0.4 * (magnitude - _ZERO))
        spread = np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 2 / sigma**2)
        data += flux / (2 * np.pi * sigma**2) * spread
    primary = fits.PrimaryHDU()
    primary.header.update(
        TELESCOP="HST", INSTRUME="ACS", DETECTOR="WFC", EXPTIME=seconds, FILTER1=path.name[21:26]
    )
    cards = fits.Header({"BUNIT": "ELECTRONS/S", "PHOTFLAM": 1e-19, "PHOTPLAM": 6e3})
    cards.update(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=10.0, CRVAL2=20.0, CRPIX1=100.0, CRPIX2=100.0)
    cards.update(CD1_1=-1.39e-5, CD1_2=0.0, CD2_1=0.0, CD2_2=1.39e-5)
    fits.HDUList([primary, fits.ImageHDU(data.astype(np.float32), cards, name="SCI")]).writeto(path)


@pytest.mark.slow
def test_the_page_is_right(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    blue = [22.0, 22.3, 22.6, 22.9, 99.0, 23.0]
    red = [21.5, 22.0, 22.6, 23.1, 22.0, 22.0]
    for name, magnitudes, seconds in (
        ("hst_10265_01_acs_wfc_f606w_j92c01_drc.fits", blue, 500.0),
        ("hst_10265_01_acs_wfc_f814w_j92c01_drc.fits", red, 700.0),
        ("hst_10265_01_acs_wfc_total_j92c01_drc.fits", [21.0] * 6, 1200.0),
    ):
        image(folder / name, magnitudes, seconds, int(seconds))
    shell = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)[0].replace("_drz.fits", "_dr?.fits")
    said = ""
    for line in shell.splitlines():
        words = line.replace("skyfan ", f"{sys.executable} -m skyfan ", 1)
        done = subprocess.run(words, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        said += done.stdout
    assert "2 files measured on the sources of 1 detection image (total)" in said
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0].replace(
        '"out/', f'"{tmp_path}/out/'
    )
    found: dict[str, object] = {}
    exec(code, found)
    colour, table = np.asarray(found["colour"]), found["blue"]
    assert len(table) == 6  # type: ignore[arg-type]
    order = np.lexsort((np.asarray(table["X_IMAGE"]), np.asarray(table["Y_IMAGE"]) > 100))  # type: ignore[index]
    expected = np.array(blue) - np.array(red)
    np.testing.assert_allclose(colour[order][[0, 1, 2, 3, 5]], expected[[0, 1, 2, 3, 5]], atol=0.02)
    gone = order[4]
    assert abs(table["FLUX_AUTO"][gone] / table["FLUXERR_AUTO"][gone]) < 4  # type: ignore[index]
