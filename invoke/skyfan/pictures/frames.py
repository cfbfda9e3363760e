"""What SepExtract knows of files: the table of instruments, and frames of pixel files that it stacks."""

import json
import tomllib
import warnings
from functools import cache
from typing import Any

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from .. import template

_KEYS = ("TELESCOP", "INSTRUME", "DETECTOR")
_FILE = template.OWN / "functions/sep_extract/sep_extract/instruments.toml"
_NEEDED = frozenset(("TIME", "QUALITY", "FLUX"))


def as_images(hdus: fits.HDUList, config: str) -> fits.HDUList:
    """An image per stack, as SCI extensions 1, 2…; the file itself if it has no table of frames.

    `config` are the settings of the catalog as JSON, where `frames` and `stack` are.
    """
    table = next((hdu for hdu in hdus[1:] if _is_frames(hdu)), None)
    if table is None or any(hdu.name == "SCI" for hdu in hdus):
        return hdus
    settings = json.loads(config or "{}")
    rows = len(table.data)
    start, stop = map(int, (settings.get("frames") or f"0:{rows}").split(":"))
    each = settings.get("stack") or max(stop - start, 1)
    bits = instrument(hdus[0].header).get("bad_frames", 0xFFFFFFFF)
    quality, time = (np.asarray(table.data[name]) for name in ("QUALITY", "TIME"))
    good = ((quality.astype(np.int64) & bits) == 0) & np.isfinite(time)
    header = _place(hdus, table)
    made = fits.HDUList([fits.PrimaryHDU(header=hdus[0].header)])
    for number, first in enumerate(range(start, min(stop, rows), each), start=1):
        frames = np.arange(first, min(first + each, stop, rows))
        with warnings.catch_warnings(action="ignore"):  # numpy warns of pixels without any value
            mean = np.nanmean(table.data["FLUX"][frames[good[frames]]], axis=0, dtype=np.float64)
        made.append(fits.ImageHDU(mean.astype(np.float32), header, name="SCI", ver=number))
    return made


def _is_frames(hdu: Any) -> bool:
    if not isinstance(hdu, fits.BinTableHDU) or isinstance(hdu, fits.CompImageHDU):
        return False
    names = [name.upper() for name in hdu.columns.names]
    return set(names) >= _NEEDED and len(hdu.columns.dtype[names.index("FLUX")].shape) == 2


def _place(hdus: fits.HDUList, table: fits.BinTableHDU) -> fits.Header:
    """The WCS of the column, else that of the APERTURE; none that puts the target elsewhere."""
    names = [name.upper() for name in table.columns.names]
    number = names.index("FLUX") + 1
    shape = table.columns.dtype[number - 1].shape
    places: list[tuple[fits.Header, dict[str, Any]]] = [
        (table.header, {"keysel": ["binary"], "colsel": [number]}),
        *(
            (hdu.header, {})
            for hdu in hdus[1:]
            if isinstance(hdu, fits.ImageHDU) and tuple(hdu.shape) == tuple(shape)
        ),
    ]
    for cards, selected in places:
        try:
            with warnings.catch_warnings(action="ignore"):
                wcs = WCS(cards, **selected)
                if (
                    wcs.has_celestial
                    and wcs.pixel_n_dim == 2
                    and not _is_elsewhere(wcs, shape, hdus[0].header)
                ):
                    wcs.wcs.colnum = 0  # the keywords of an image
                    header: fits.Header = wcs.to_header(relax=True)
                    return header
        except Exception:  # wrong cards break WCS in ways of all kinds; the next may do
            continue
    return fits.Header()


def _is_elsewhere(wcs: WCS, shape: tuple[int, ...], primary: fits.Header) -> bool:
    """Whether the target, RA_OBJ and DEC_OBJ, is further from the centre than a side of the image."""
    target = [primary.get(key) for key in ("RA_OBJ", "DEC_OBJ")]
    if not all(isinstance(value, int | float) for value in target):
        return False
    centre = wcs.pixel_to_world((shape[1] - 1) / 2, (shape[0] - 1) / 2)
    side = float(np.abs(np.linalg.det(wcs.pixel_scale_matrix)) ** 0.5) * max(shape)
    return bool(centre.separation(SkyCoord(*target, unit="deg")).deg > side)


def instrument(primary: fits.Header) -> dict[str, Any]:
    """The most specific row for a primary header; empty if there is none."""
    values = {name: str(primary.get(name) or "").strip().upper() for name in _KEYS}
    best: tuple[int, dict[str, Any]] = (0, {})
    for row in _rows():
        keys = [name for name in _KEYS if name in row]
        # A header without TELESCOP is taken for one of the telescope whose instrument it names.
        is_match = all(
            values[name] == row[name] or (name == "TELESCOP" and not values[name] and len(keys) > 1)
            for name in keys
        )
        if is_match and len(keys) > best[0]:
            best = len(keys), row
    return best[1]


@cache
def _rows() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = tomllib.loads(_FILE.read_text(encoding="utf-8"))["instrument"]
    return rows
