"""Small images that every mutant begins as: made here, and cut out of the demo's."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pixel_files
from astropy.io import fits
from numpy.typing import NDArray

from .files import File

DEMO = Path(__file__).parents[1] / "data" / "demo"
SIDE, MOSAIC = 64, 96
TILED_ABOVE, TILING = 80 * 80, {"core": 40, "margins": (8, 24), "block": 20}
"""Pixels of an image above which a mutant is measured in tiles, and these; mosaics of archives are as large
as the limits of a mutant.
"""
TAN = {
    "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 32.0, "CRPIX2": 32.0, "CRVAL1": 150.1,
    "CRVAL2": 2.2, "CD1_1": -3.6e-5, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 3.6e-5,
}  # fmt: skip
SIP = {
    **TAN, "CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP",
    "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-6, "B_0_2": -1e-6, "A_1_1": 2e-7,
}  # fmt: skip
WFC3_IR = {
    "TELESCOP": "HST", "INSTRUME": "WFC3", "DETECTOR": "IR", "FILTER": "F140W",
    "EXPTIME": 100.0, "PHOTFLAM": 1.4737e-20, "PHOTPLAM": 13922.907, "BUNIT": "ELECTRONS/S",
}  # fmt: skip
NIRCAM = {
    "TELESCOP": "JWST", "INSTRUME": "NIRCAM", "DETECTOR": "NRCA1", "FILTER": "F150W",
    "XPOSURE": 100.0, "PIXAR_SR": 2.3e-14, "BUNIT": "MJy/sr",
}  # fmt: skip


def field(stars: int = 9, sky: float = 10.0, side: int = SIDE) -> NDArray[np.float32]:
    """Round stars on a noisy sky; the same each time."""
    rng = np.random.default_rng(stars)
    image = rng.normal(sky, 1, (side, side))
    y, x = np.mgrid[:side, :side]
    for x0, y0 in rng.uniform(6, side - 6, (stars, 2)):
        image += 150 * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 4.5)
    return image.astype(np.float32)


def _flt(image: NDArray[Any], cards: dict[str, Any] | None = None, **planes: NDArray[Any]) -> fits.HDUList:
    cards = {**WFC3_IR, **TAN} if cards is None else cards
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(image, name="SCI", ver=1)])
    hdus[0].header.update({key: value for key, value in cards.items() if key in {*WFC3_IR, *NIRCAM}})
    hdus[1].header.update(cards)
    for name, plane in planes.items():
        hdus.append(fits.ImageHDU(plane, name=name, ver=1))
    return hdus


def _planes(side: int = SIDE) -> dict[str, NDArray[Any]]:
    dq = np.zeros((side, side), "i2")
    dq[5:7, 9:30], dq[40, 40] = 4, 256
    return {"ERR": np.full((side, side), 1.1, "f4"), "DQ": dq}


def _plain(image: NDArray[Any], **cards: Any) -> fits.HDUList:
    hdu = fits.PrimaryHDU(image)
    hdu.header.update(cards)
    return fits.HDUList([hdu])


def _cube() -> fits.HDUList:
    """Two chips, with counts of exposures and reads, and the area of pixels."""
    ones = np.ones((SIDE, SIDE), "f4")
    hdus = _flt(field(), {**NIRCAM, **SIP}, **_planes(), AREA=ones, CON=3 * ones.astype("i4"), SAMP=9 * ones)
    second = [hdu.copy() for hdu in hdus[1:]]
    for hdu in second:
        hdu.header["EXTVER"] = 2
    return fits.HDUList([*hdus, *second])


def _compressed(kind: str, image: NDArray[Any], **more: Any) -> fits.HDUList:
    science = fits.CompImageHDU(image, name="SCI", compression_type=kind, tile_shape=(16, SIDE // 2), **more)
    science.header.update(TAN)
    return fits.HDUList([_flt(field())[0], science])


def _lookup() -> fits.HDUList:
    """A WCS with tables of distortion."""
    hdus = _flt(field(), {**WFC3_IR, **TAN})
    for axis in (1, 2):
        hdus[1].header[f"CPDIS{axis}"] = "LOOKUP"
        for key, value in (("EXTVER", axis), ("NAXES", 2), ("AXIS.1", 1), ("AXIS.2", 2)):
            hdus[1].header[f"DP{axis}"] = f"{key}: {value}"
        table = fits.ImageHDU(np.full((8, 8), 0.01 * axis, "f4"), name="WCSDVARR", ver=axis)
        for i in (1, 2):
            table.header.update({f"CRPIX{i}": 1.0, f"CRVAL{i}": 1.0, f"CDELT{i}": 9.0})
        hdus.append(table)
    return hdus


def _tables() -> fits.HDUList:
    """An image between a table with a heap and one of text."""
    lists = np.array([np.arange(i, dtype="f4") for i in range(1, 6)], dtype=object)
    columns = [fits.Column("X", "E", array=np.arange(5.0)), fits.Column("Y", "PE()", array=lists)]
    columns.append(fits.Column("Z", "6E", dim="(2,3)", array=np.ones((5, 3, 2))))
    text = fits.TableHDU.from_columns(
        [fits.Column("NAME", "A8", array=["a", "b"], ascii=True)], name="WCSCORR"
    )
    hdus = _flt(field(), None, **_planes())
    return fits.HDUList([hdus[0], fits.BinTableHDU.from_columns(columns, name="HDRTAB"), *hdus[1:], text])


def _cut(name: str, side: int) -> fits.HDUList:
    with fits.open(DEMO / name, memmap=False) as hdus:
        for hdu in hdus:
            if hdu.is_image and hdu.data is not None and min(hdu.shape) > side:
                hdu.data = hdu.data[40 : 40 + side, 40 : 40 + side].copy()
        return fits.HDUList([hdu.copy() for hdu in hdus])


def _asinh() -> fits.HDUList:
    return _plain(np.arcsinh(field() / 2), BSOFTEN=1.0, BOFFSET=0.5, EXPTIME=30.0)


_BLANK = -32768
MAKE: dict[str, Callable[[], fits.HDUList]] = {
    "flt": lambda: _flt(field(), {**WFC3_IR, **SIP}, **_planes()),
    "weight": lambda: _flt(field(), None, WHT=np.full((SIDE, SIDE), 100, "f4")),
    "planes": _cube,
    "plain": lambda: _plain(field(), EXPTIME=10.0, **TAN),
    "double": lambda: _plain(field().astype("f8"), BUNIT="electron", EXPTIME=10.0, GAIN=1.5),
    "short": lambda: _plain(field().astype("i2"), BLANK=_BLANK, BUNIT="counts", EXPTIME=10.0, CCDGAIN=2.0),
    "unsigned": lambda: _plain((field() * 60).astype("u2"), SATURATE=60000.0, **TAN),
    "byte": lambda: _plain(field().clip(0, 255).astype("u1")),
    "long": lambda: _plain((field() * 1000).astype("i8"), **TAN),
    "asinh": _asinh,
    "blank": lambda: _flt(field(0), None, **_planes()),
    "blank plain": lambda: _plain(field(0, sky=1000)),
    "rice": lambda: _compressed("RICE_1", field(), quantize_level=16),
    "rice short": lambda: _compressed("RICE_1", field().astype("i2")),
    "gzip tiles": lambda: _compressed("GZIP_2", field(), quantize_level=0),
    "hcompress": lambda: _compressed("HCOMPRESS_1", field().astype("i4")),
    "plio": lambda: _compressed("PLIO_1", field().astype("i2")),
    "mosaic": lambda: _flt(field(30, side=MOSAIC), {**WFC3_IR, **SIP}, **_planes(MOSAIC)),
    "mosaic weight": lambda: _flt(field(30, side=MOSAIC), None, WHT=np.full((MOSAIC, MOSAIC), 100, "f4")),
    "mosaic rice": lambda: _compressed("RICE_1", field(30, side=MOSAIC), quantize_level=16),
    "lookup": _lookup,
    "tables": _tables,
    "47 tuc": lambda: _cut("j8bt06nyq_flt.fits", SIDE),
    "47 tuc drizzled": lambda: _cut("j8bt06nyq_drz.fits", SIDE),
    "abell": lambda: _cut("abell2744_f105w_drz.fits", SIDE),
    "grism": lambda: _cut("ib6o23rsq_flt.fits", SIDE),
    "two chips": lambda: _cut("ib4606c6q_flc.fits", 10),
    "frames": lambda: pixel_files.make((11, 12), 20, pixel_files.STARS[:1], bad=(7,)),
}
# Weights: what takes thrice as long comes a third as often.
OFTEN = {name: 3 if name not in ("two chips", "abell", "47 tuc", "planes") else 1 for name in MAKE}


@cache
def raw(name: str) -> bytes:
    """The bytes of a seed."""
    written = io.BytesIO()
    MAKE[name]().writeto(written, output_verify="silentfix")
    return written.getvalue()


@cache
def _parsed(name: str) -> File:
    return File.parse(raw(name))


def seed(name: str) -> File:
    """A seed that may be changed."""
    return _parsed(name).copy()


def packed(raw: bytes, level: int = 1) -> bytes:
    return gzip.compress(raw, level, mtime=0)
