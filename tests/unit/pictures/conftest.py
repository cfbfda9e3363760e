"""Small images with catalogs whose sources are known."""

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

STARS = [(30, 70, 4.0, 2.0, 30.0, 0), (75, 20, 3.0, 3.0, 0.0, 4)]
"""x, y from 0, semi-axes, angle, flags."""


def sky(turn: float = 0.0, mirrored: bool = False) -> WCS:
    """A tangential projection of 0.1 arcsec a pixel, north up and east left before it is turned."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [53.1, -27.8], [50, 50]
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    wcs.wcs.cd = 0.1 / 3600 * np.array([[-c, s], [s, c]]) @ np.diag([-1 if mirrored else 1, 1])
    return wcs


def image(path: Path, chips: int = 1, shape: tuple[int, int] = (100, 120), **wcs: Any) -> str:
    """An image with the extensions SCI, ERR and DQ for each chip, as flt files have them."""
    noise = np.random.default_rng(1)
    hdus: list[Any] = [fits.PrimaryHDU()]
    hdus[0].header.update({"TARGNAME": "M-31", "INSTRUME": "ACS", "DETECTOR": "WFC", "FILTER1": "F606W"})
    hdus[0].header.update({"FILTER2": "CLEAR2L", "EXPTIME": 1200.0})
    for version in range(1, chips + 1):
        data = noise.normal(0, 1, shape).astype("f4")
        hdus += [
            fits.ImageHDU(data, sky(**wcs).to_header(), name="SCI", ver=version),
            fits.ImageHDU(np.ones(shape, "f4"), name="ERR", ver=version),
            fits.ImageHDU(np.zeros(shape, "i2"), name="DQ", ver=version),
        ]
    fits.HDUList(hdus).writeto(path)
    return str(path)


def catalog(path: Path, ext: int = 1, stars: list[tuple[float, ...]] = STARS) -> str:
    """A catalog of `stars` on one HDU."""
    x, y, a, b, theta, flags = np.array(stars, float).reshape(-1, 6).T
    columns = {
        "X_IMAGE": x + 1,
        "Y_IMAGE": y + 1,
        "A_IMAGE": a / 2.5,
        "B_IMAGE": b / 2.5,
        "THETA_IMAGE": theta,
    }
    columns |= {"KRON_RADIUS": np.full(len(x), 2.5), "FLAGS": flags, "EXT_NUMBER": np.full(len(x), ext)}
    table = [
        fits.Column(name, "I" if name in {"FLAGS", "EXT_NUMBER"} else "D", array=v)
        for name, v in columns.items()
    ]
    fits.BinTableHDU.from_columns(table).writeto(path)
    return str(path)
