"""Where a position is in the images of a file: the box of pixels that a cut-out takes of each."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.nddata.utils import NoOverlapError
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

from skyfan_contract import hdus
from skyfan_contract.hdus import Hdu

from ..errors import InputError
from . import headers

_FARTHEST = 90.0
"""Degrees from the reference point beyond which a tangential projection has no pixel."""


@dataclass(frozen=True)
class Box:
    """Pixels of an image, 0-based, the ends excluded, as those of astropy's Cutout2D."""

    x0: int
    x1: int
    y0: int
    y1: int
    wanted: tuple[int, int]
    """Columns and rows that a cut-out would have that lies inside whole."""

    @property
    def width(self) -> int:
        """Columns."""
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        """Rows."""
        return self.y1 - self.y0

    def __str__(self) -> str:
        """The box for people, who count from 1."""
        text = f"columns {self.x0 + 1} to {self.x1}, rows {self.y0 + 1} to {self.y1}"
        if (self.width, self.height) != self.wanted:
            text += f" (partly outside: of {self.wanted[0]} x {self.wanted[1]} pixels)"
        return text


@dataclass(frozen=True)
class Image:
    """An image HDU."""

    hdu: Hdu
    header: fits.Header
    """Of a compressed image, that of the image."""
    is_compressed: bool

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns; Hubble's planes of one value have no others."""
        name = "NAXIS" if self.header.get("NAXIS", 0) >= 2 else "NPIX"
        return int(self.header.get(f"{name}2", 0)), int(self.header.get(f"{name}1", 0))


def image(hdu: Hdu) -> Image | None:
    """The image of an HDU; None for a table, or a header without data."""
    header = headers.parse(hdu.header)
    is_compressed = hdu.cards.get("ZIMAGE") is True
    if is_compressed:
        blank = hdu.header + bytes(hdu.end - hdu.data)
        header = _opened(fits.PrimaryHDU().header.tostring().encode() + blank)[1].header.copy()
    elif hdu.cards.get("XTENSION", "IMAGE") != "IMAGE":
        return None
    found = Image(hdu, header, is_compressed)
    return found if min(found.shape) > 0 else None


def _opened(body: bytes) -> fits.HDUList:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fits.HDUList.fromstring(body)


def lookup_tables(bodies: Iterable[bytes]) -> fits.HDUList:
    """Lookup tables of distortion, from the bytes of their HDUs."""
    return _opened(b"".join([fits.PrimaryHDU().header.tostring().encode(), *bodies]))


def wcs_of(found: Image, tables: fits.HDUList) -> WCS | None:
    """The celestial WCS of the first two axes, distortions included; None without one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # Of two axes; WCS would otherwise refuse tables of images that were cut into cubes.
            wcs = WCS(found.header, tables, naxis=2)
        except Exception as error:  # whatever wcslib finds wrong
            reason = " ".join(str(error).split())
            raise InputError(f"the WCS of {headers.label(found.hdu)} cannot be used: {reason}") from error
    if wcs.naxis != 2 or not wcs.has_celestial or wcs.wcs.lng < 0:
        return None
    return wcs


def box(wcs: WCS, shape: tuple[int, int], ra: float, dec: float, size: float) -> Box | None:
    """The pixels of a square of `size` degrees around a position (ICRS, degrees), cut at the image's edges,
    as Cutout2D takes them with mode="trim"; None if the image has none of them.
    """
    position = SkyCoord(ra, dec, unit="deg")
    blank = np.broadcast_to(np.int8(0), shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not _is_near(wcs, position):
            return None
        # Not left to Cutout2D, which exchanges x and y where declination is the first axis.
        pixels = wcs.world_to_pixel(position)
        try:
            cut = Cutout2D(blank, tuple(map(float, pixels)), size * units.deg, wcs, mode="trim")
        except (NoOverlapError, ValueError):
            return None
        found = wcs.pixel_to_world(*pixels)
        pixel = max(proj_plane_pixel_scales(wcs))
        if not found.separation(position.transform_to(found.frame)).deg < pixel:
            return None  # the distortion has no inverse there
    rows, columns = cut.slices_original
    wanted = int(cut.shape_input[1]), int(cut.shape_input[0])
    return Box(columns.start, columns.stop, rows.start, rows.stop, wanted)


def _is_near(wcs: WCS, position: SkyCoord) -> bool:
    """Whether the position is on the same half of the sky: polynomials lead anywhere on the other."""
    frame = wcs.pixel_to_world(*(wcs.wcs.crpix - 1)).frame
    lon, lat = (wcs.wcs.crval[axis] for axis in (wcs.wcs.lng, wcs.wcs.lat))
    point = SkyCoord(lon, lat, unit="deg", frame=frame.replicate_without_data())
    return bool(point.separation(position.transform_to(point.frame)).deg < _FARTHEST)


def item_bytes(found: Image) -> int:
    """Bytes of a pixel."""
    return abs(hdus.integer(found.hdu.cards, "BITPIX")) // 8
