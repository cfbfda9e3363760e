"""Images beside the catalog, as SExtractor's CHECKIMAGE: segments, background, its noise, what is left.

SEGMENTATION: each pixel has the NUMBER of the source that it belongs to, 0 without any. BACKGROUND: what was
subtracted. BACKGROUND_RMS: one sigma of a pixel of the background, the noise that detection used. RESIDUAL,
SExtractor's -BACKGROUND: the image without its background, NaN where masked.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from skyfan_function.fits_table import primary
from skyfan_function.storage import Source
from skyfan_function.structure import BLOCK

from .chip import Chip
from .event import Request
from .extract import Maps
from .fitsfile import add_origin
from .labels import BAND, Labels, Map
from .packed import Packed, rows_at_once
from .pixels import Image, Mask, Pixels, strips
from .tiles import Tile
from .whole import Sky

CARD = {
    "segmentation": ("SEGMENTATION", "NUMBER of the source that has the pixel, else 0"),
    "background": ("BACKGROUND", "background that was subtracted"),
    "background_rms": ("BACKGROUND_RMS", "one-sigma noise of the background"),
    "residual": ("-BACKGROUND", "image without its background, NaN where masked"),
}
# Floats are rounded to a share of about one sigma of a pixel: twice that of fpack where there is noise, and
# finer where the image is smooth.
_STEPS = {"background": 1 / 128, "background_rms": 1 / 128, "residual": 1 / 16}


class CheckImages:
    """The images of one chip, compressed as it is measured. ``before``: sources of the chips before it.

    ``parted``: segments come part by part, too, with their final numbers.
    """

    def __init__(
        self, kinds: Sequence[str], chip: Chip, name: str, before: int, *, parted: bool = False
    ) -> None:
        self._parted = parted
        self._kinds, self._chip, self._name, self._before = kinds, chip, name, before
        ny, nx = chip.shape
        self._shape = ny, nx
        self._packed: dict[str, Packed] = {}
        self._labels = Labels(chip.shape)

    def whole(self, maps: Maps) -> None:
        """The maps of a chip that is measured as one."""
        rows, columns = slice(0, self._shape[0]), slice(0, self._shape[1])
        if "segmentation" in self._kinds:
            segments = maps.segments()
            segments[segments > 0] += np.int32(self._before)
            self._add("segmentation", 0.0, rows, columns, segments)
        weighted = self._chip.weight is not None
        self._floats(maps, rows, columns, (rows, columns), self._chip.mask, weighted)

    def tile(self, tile: Tile) -> None:
        """The maps of a tile: those that float of its core, the segments of all that is the core's."""
        if "segmentation" in self._kinds:
            self._labels.tile(tile)
        self._floats(tile.maps, tile.rows, tile.columns, tile.core, tile.mask, tile.weighted)

    def numbered(
        self, maps: Maps, rows: slice, columns: slice, core: tuple[slice, slice], pixels: Pixels
    ) -> None:
        """The maps of a part whose segments have their final numbers, those of a detection image."""
        if "segmentation" in self._kinds:
            self._add("segmentation", 0.0, rows, columns, maps.segments()[core])
        self._floats(maps, rows, columns, core, pixels.mask[core], pixels.weight is not None)

    def empty(self, sky: Sky, rows: slice, columns: slice) -> None:
        """A core without usable pixels has a background and nothing else."""
        level = sky.level_at(rows, columns)
        unknown = np.full_like(level, np.nan)
        for kind, image in (("background", level), ("background_rms", unknown), ("residual", unknown)):
            if kind in self._kinds:
                self._add(kind, _STEPS[kind] * sky.unit, rows, columns, image)

    def end(self, order: NDArray[np.int64]) -> None:
        """All tiles have been seen: their segments get the numbers of the catalog."""
        if "segmentation" not in self._kinds:
            return
        self._labels.end(order)
        ny, nx = self._shape
        for band in strips(slice(0, ny), BAND):
            segments = self._labels.region(band, slice(0, nx))
            segments[segments > 0] += np.int32(self._before)
            self._add("segmentation", 0.0, band, slice(0, nx), segments)

    def hdus(self) -> dict[str, bytes]:
        """Each image as a FITS extension, after all has been measured."""
        return {kind: self._packed.pop(kind).hdu(self._cards(kind)) for kind in self._kinds}

    def _floats(
        self, maps: Maps, rows: slice, columns: slice, core: tuple[slice, slice], mask: Mask, weighted: bool
    ) -> None:
        plane = maps.plane
        for kind in self._kinds:
            if kind == "background":
                image = plane.level[core]
            elif kind == "background_rms":
                image = plane.rms()[core] * np.float32(plane.unit)
                if weighted:
                    image[mask] = np.nan
            elif kind == "residual":
                image = plane.image[core] * np.float32(plane.unit)
                image[mask] = np.nan
            else:
                continue
            self._add(kind, _STEPS[kind] * plane.unit, rows, columns, image)

    def _add(self, kind: str, step: float, rows: slice, columns: slice, image: Image | Map) -> None:
        if kind not in self._packed:
            width = self._shape[1]
            if self._chip.parts is not None and (self._parted or kind != "segmentation"):
                width = self._chip.parts.tiling.core
            self._packed[kind] = Packed(self._name, self._shape, step, width)
        for some in strips(slice(0, len(image)), rows_at_once(image.shape[1])):
            self._packed[kind].add(rows.start + some.start, columns.start, image[some])

    def _cards(self, kind: str) -> fits.Header:
        cards = fits.Header()
        if self._chip.name:
            cards["EXTNAME"] = self._chip.name
        cards["EXTVER"] = self._chip.extver
        cards["CHECKIMG"] = CARD[kind]
        cards["EXT_NUM"] = (self._chip.hdu, "EXT_NUMBER of its sources")
        if kind != "segmentation" and self._chip.calibration.unit:
            cards["BUNIT"] = self._chip.calibration.unit.replace("electron", "ct")
        cards.extend(_placed(self._chip.sky.cards), unique=False)
        return cards


def _placed(cards: fits.Header | None) -> Iterator[fits.Card]:
    """The cards of the WCS, without those of the image's structure."""
    return (card for card in (cards or fits.Header()).cards if not card.keyword.startswith("NAXIS"))


def to_fits(
    kind: str,
    hdus: Sequence[bytes],
    tables: Sequence[fits.ImageHDU],
    request: Request,
    source: Source,
    more: Mapping[str, object],
) -> bytes:
    """The file of one kind of image: an extension for each chip, and the lookup tables of their WCS.

    ``more``: cards of the header besides those of the origin.
    """
    top = primary()
    top["CHECKIMG"] = CARD[kind]
    add_origin(top, "image beside a catalog of skyfan", request, source, more)
    parts = [top.tostring().encode("ascii"), *hdus]
    if tables:
        file = io.BytesIO()
        fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU(h.data, h.header) for h in tables)]).writeto(file)
        parts.append(file.getvalue()[BLOCK:])
    return b"".join(parts)
