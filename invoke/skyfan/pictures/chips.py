"""The planes of an image file that can be shown: pixels, sky coordinates and what headers tell of them."""

import gzip
import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from numpy.typing import NDArray

from .. import s3
from ..errors import InputError


@dataclass(frozen=True)
class Chip:
    """One science plane."""

    ext: int
    """Index of its HDU in the file, which is the catalog's EXT_NUMBER."""
    version: int
    """EXTVER, or its place among the file's images, from 1."""
    data: NDArray[np.float32]
    """Shape (ny, nx); NaN where there is no pixel: none recorded, or no exposure covers it."""
    wcs: WCS | None
    """None where the header has no usable celestial coordinates."""


def opened(uri: str, access: str = "anonymous") -> fits.HDUList:
    """A FITS file, local or on S3, plain or gzipped. Raises InputError where it is none."""
    try:
        if uri.startswith("s3://"):
            body = s3.read(uri, access)
            source: Any = io.BytesIO(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
        else:
            source = Path(uri)
        return fits.open(source, memmap=False)
    except FileNotFoundError as error:
        raise InputError(f"{uri} does not exist") from error
    except (OSError, EOFError) as error:
        raise InputError(f"{uri} is not a FITS file: {error}") from error


def read(uri: str, access: str = "anonymous", version: int | None = None) -> tuple[list[Chip], fits.Header]:
    """The science planes of a file, by EXTVER, and one header that holds all that its title needs.

    A file with SCI extensions gives those, any other its two-dimensional images. `version` chooses one.
    Raises InputError where there is none.
    """
    with warnings.catch_warnings(action="ignore"), opened(uri, access) as hdus:
        try:
            chips = _chips(hdus)
        except (OSError, EOFError, TypeError, ValueError) as error:
            raise InputError(f"{uri} cannot be read to its end: {error}") from error
        if not chips:
            raise InputError(f"{uri} holds no two-dimensional image")
        chosen = [chip for chip in chips if version in {None, chip.version}]
        if not chosen:
            there = ", ".join(str(chip.version) for chip in chips)
            raise InputError(f"{uri} has no chip {version}; it has: {there}")
        header = hdus[0].header.copy()
        header.update({card: hdus[chosen[0].ext].header[card] for card in _missing(hdus, chosen[0].ext)})
    return chosen, header


_TITLE = ("TARGNAME", "INSTRUME", "DETECTOR", "FILTER", "FILTER1", "FILTER2", "EXPTIME", "DATE-OBS")


def _missing(hdus: fits.HDUList, ext: int) -> list[str]:
    return [card for card in _TITLE if card not in hdus[0].header and card in hdus[ext].header]


def _chips(hdus: fits.HDUList) -> list[Chip]:
    images = [
        ext
        for ext, hdu in enumerate(hdus)
        if isinstance(hdu, fits.PrimaryHDU | fits.ImageHDU | fits.CompImageHDU)
        and len(hdu.shape) == 2
        and min(hdu.shape) > 0
    ]
    science = [ext for ext in images if hdus[ext].name == "SCI"]
    # Without SCI the first image is what the file is about; those of other names are weights and the like.
    chosen = science or images[:1]
    chips = []
    for place, ext in enumerate(chosen, 1):
        data = np.array(hdus[ext].data, np.float32)
        data[_uncovered(hdus, ext, data)] = np.nan
        chips.append(Chip(ext, hdus[ext].ver if science else place, data, _wcs(hdus, ext)))
    return sorted(chips, key=lambda chip: chip.version)


def _uncovered(hdus: fits.HDUList, ext: int, data: NDArray[np.float32]) -> NDArray[np.bool_]:
    bad: NDArray[np.bool_] = ~np.isfinite(data)
    for hdu in hdus:
        if hdu.name == "WHT" and hdu.ver == hdus[ext].ver and getattr(hdu, "shape", None) == data.shape:
            bad |= hdu.data == 0
    return bad


def _wcs(hdus: fits.HDUList, ext: int) -> WCS | None:
    # Cards that are wrong break WCS in ways of all kinds; a picture without coordinates is better than none.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            # The list itself, for distortions that are kept in lookup tables.
            wcs = WCS(hdus[ext].header, hdus)
            if not wcs.has_celestial or wcs.pixel_n_dim != 2:
                return None
            ny, nx = hdus[ext].shape
            corners = wcs.all_pix2world([[0, 0], [nx - 1, 0], [0, ny - 1], [(nx - 1) / 2, (ny - 1) / 2]], 0)
            scale = np.abs(np.linalg.det(wcs.pixel_scale_matrix)) ** 0.5
    except Exception:
        return None
    return wcs if np.isfinite(corners).all() and 0 < scale < 1 else None
