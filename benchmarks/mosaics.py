"""Mosaics of any size, made on disk strip by strip: stars and galaxies on a sky whose pixels share noise.

Drizzled ones are those of Hubble (SCI, WHT), resampled ones those of JWST (SCI, ERR, CON, WHT, three
variances), with the cards and planes of the products. Exposures cover the middle, more of them on the right
than on the left, and leave two corners empty. Not real: one point spread function everywhere, and no
neighbours but by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

ROWS, HALF = 500, 40
_SHARED = 0.5
"""Share of the neighbour's noise in a pixel along each axis."""
DRIZZLED = {"WHT": -32}
RESAMPLED = {"ERR": -32, "CON": 32, "WHT": -32, "VAR_POISSON": -32, "VAR_RNOISE": -32, "VAR_FLAT": -32}


def make(path: Path, side: int, planes: dict[str, int] = DRIZZLED, per_megapixel: float = 200.0) -> Path:
    """Write a mosaic of side x side pixels with so many sources; ``planes`` are BITPIX by name."""
    jwst = "ERR" in planes
    primary = fits.Header({"TELESCOP": "HST", "INSTRUME": "ACS", "DETECTOR": "WFC", "DRIZCORR": "COMPLETE"})
    cards: dict[str, Any] = {
        "BUNIT": "ELECTRONS/S",
        "EXPTIME": 4000.0,
        "PHOTFLAM": 7.0e-20,
        "PHOTPLAM": 8045.0,
    }
    scale = 0.05 / 3600
    if jwst:
        primary = fits.Header(
            {"TELESCOP": "JWST", "INSTRUME": "NIRCAM", "DETECTOR": "NRCALONG", "FILTER": "F277W"}
        )
        cards = {"BUNIT": "MJy/sr", "XPOSURE": 4000.0, "PIXAR_SR": 9.31e-14, "PHOTMJSR": 0.4}
        scale = 0.063 / 3600
    cards |= {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.1, "CRVAL2": 2.2, "CRPIX1": side / 2,
        "CRPIX2": side / 2, "CD1_1": -scale, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": scale,
    }  # fmt: skip
    with path.open("wb") as file:
        file.write(fits.PrimaryHDU(header=primary).header.tostring().encode())
        _write(file, side, "SCI", -32, cards, lambda top: _science(side, top, per_megapixel))
        for name, bits in planes.items():
            _write(file, side, name, bits, {}, lambda top, name=name: _plane(name, side, top))  # type: ignore[misc]
    return path


def _write(
    file: BinaryIO,
    side: int,
    name: str,
    bits: int,
    cards: dict[str, Any],
    rows: Callable[[int], NDArray[Any]],
) -> None:
    layout = {"XTENSION": "IMAGE", "BITPIX": bits, "NAXIS": 2, "NAXIS1": side, "NAXIS2": side}
    header = fits.Header({**layout, "PCOUNT": 0, "GCOUNT": 1, "EXTNAME": name, **cards})
    file.write(header.tostring().encode())
    for top in range(0, side, ROWS):
        file.write(rows(top).astype(">f4" if bits < 0 else ">i4").tobytes())
    file.write(b"\0" * (-4 * side * side % 2880))


def _weight(side: int, top: int) -> NDArray[np.float32]:
    """Depth, 0 outside of what is covered."""
    row, column = np.ogrid[top : min(top + ROWS, side), :side]
    covered = (row + column > side // 4) & (row + column < 7 * side // 4)
    return np.where(covered, np.where(column > 0.6 * side, 4, 1), 0).astype(np.float32)


def _science(side: int, top: int, per_megapixel: float) -> NDArray[np.float32]:
    rng = np.random.default_rng([1, top])
    weight = _weight(side, top)
    ny = len(weight)
    noise = rng.standard_normal((ny + 1, side + 1), np.float32)
    data = noise[1:] + _SHARED * noise[:-1]
    data = (data[:, 1:] + _SHARED * data[:, :-1]) / (1 + _SHARED**2)
    data *= np.float32(0.01) / np.sqrt(np.maximum(weight, 1))
    data += np.float32(0.002) * np.sin(np.arange(top, top + ny, dtype=np.float32) / 700)[:, None]
    for light, (row, column) in _sources(rng, ny, side, per_megapixel):
        data[row - HALF : row + HALF + 1, column - HALF : column + HALF + 1] += light
    data[weight == 0] = 0
    return data


def _sources(
    rng: np.random.Generator, ny: int, nx: int, per_megapixel: float
) -> Iterator[tuple[NDArray[np.float32], tuple[int, int]]]:
    """Stamps of light and the pixels of their middles, whole within the strip."""
    y, x = np.ogrid[-HALF : HALF + 1, -HALF : HALF + 1]
    for _ in range(round(per_megapixel * ny * nx / 1e6)):
        row, column = int(rng.integers(HALF, ny - HALF)), int(rng.integers(HALF, nx - HALF))
        (down, right), flux = rng.uniform(-0.5, 0.5, 2), 10 ** rng.uniform(-0.7, 2)
        if rng.random() < 0.4:
            light = np.exp(-((y - down) ** 2 + (x - right) ** 2) / 2) / (2 * np.pi)
        else:
            size, ratio, angle = rng.uniform(1.5, 5), rng.uniform(0.4, 1), rng.uniform(0, np.pi)
            along = (x - right) * np.cos(angle) + (y - down) * np.sin(angle)
            across = ((y - down) * np.cos(angle) - (x - right) * np.sin(angle)) / ratio
            light = np.exp(-np.sqrt(along**2 + across**2 + 0.5) / size) / (2 * np.pi * size**2 * ratio)
        yield (flux * light).astype(np.float32), (row, column)


def _plane(name: str, side: int, top: int) -> NDArray[Any]:
    weight = _weight(side, top)
    if name == "WHT":
        return weight * 4000
    if name == "CON":
        return weight
    with np.errstate(divide="ignore"):
        error = np.where(weight > 0, 0.01 / np.sqrt(weight), np.nan)
    return error if name == "ERR" else error**2 / 3
