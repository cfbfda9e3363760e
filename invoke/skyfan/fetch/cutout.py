"""A cut-out of each image of a file around a position, with the WCS and the distortions that it had."""

import asyncio
import math
import re
import warnings
from dataclasses import dataclass

from astropy.io import fits

from skyfan_contract.hdus import BLOCK, Hdu

from ..errors import InputError
from . import boxes, headers
from .boxes import Box, Image
from .content import Content
from .extensions import Extensions
from .job import OutsideError
from .recipe import Copy, Recipe
from .source import Reader, Version

_PIXEL = re.compile(r"CRPIX([12])[A-Z]?|LTV([12])")
"""Cards of pixel coordinates; the letter is that of an alternate WCS."""
Parts = list[bytes | Copy]


@dataclass(frozen=True)
class Cutout:
    """A square around a position, in degrees, ICRS; of the images named by `extensions`, or of all."""

    ra: float
    dec: float
    size: float
    extensions: Extensions | None = None

    @property
    def word(self) -> str:
        """10.684708_+41.268750_60arcsec."""
        chosen = f"_{self.extensions.word}" if self.extensions else ""
        return f"{self.ra:.6f}_{self.dec:+.6f}_{self.size * 3600:g}arcsec{chosen}"

    @property
    def text(self) -> str:
        """All of it in one line."""
        chosen = f", {self.extensions.text}" if self.extensions else ""
        return f"cutout {self.ra!r} {self.dec!r} size {self.size!r} degrees{chosen}"

    async def recipe(self, reader: Reader, uri: str, version: Version) -> tuple[Recipe, tuple[str, ...]]:
        """The rows of each image near the position, with the lookup tables that its WCS needs.

        Raises OutsideError if no image contains any of it.
        """
        content = await Content.of(reader, uri, version)
        chosen = self.extensions.select(content) if self.extensions else content.hdus
        images = [one for hdu in content.hdus if hdu.name not in headers.TABLES and (one := boxes.image(hdu))]
        tables = {
            (hdu.name, hdu.version): await content.read(hdu.start, hdu.end)
            for hdu in content.hdus
            if hdu.name in headers.TABLES
        }
        found = self._boxes(uri, images, boxes.lookup_tables(tables.values()))
        found = {start: box for start, box in found.items() if any(hdu.start == start for hdu in chosen)}
        if not found:
            raise OutsideError(f"{uri}: no image contains {self.ra:.6f} {self.dec:+.6f}")
        cut = [one for one in images if one.hdu.start in found]
        parts, extra, shifts = Parts(), Parts(), _Tables(tables)
        for one in cut:
            if one.hdu.start:
                parts += await _extension(content, one, found[one.hdu.start], shifts)
        extra += shifts.parts
        notes = [f"{headers.label(one.hdu)}: {found[one.hdu.start]}" for one in cut]
        kept = [one.hdu for one in cut]
        left_out = [hdu for hdu in content.hdus[1:] if hdu not in kept and hdu.name not in headers.TABLES]
        history = [headers.origin(uri, version.etag), self.text, *notes]
        if left_out:
            history.append(f"left out: {headers.labels(left_out)}")
        count = sum(hdu.start > 0 for hdu in kept) + shifts.count
        first = await self._primary(content, cut, found, history, count)
        return Recipe((*first, *parts, *extra)), (*content.notes, *notes)

    def _boxes(self, uri: str, images: list[Image], tables: fits.HDUList) -> dict[int, Box]:
        """Boxes by the start of HDUs. Images of one EXTVER and shape have that of the SCI among them, whose
        WCS alone has the distortions; else of the first that has a WCS.
        """
        found: dict[int, Box] = {}
        groups: dict[tuple[int, tuple[int, int]], list[Image]] = {}
        for one in images:
            groups.setdefault((one.hdu.version, one.shape), []).append(one)
        is_placed = False
        for group in groups.values():
            for one in sorted(group, key=lambda one: one.hdu.name != "SCI"):
                if (wcs := boxes.wcs_of(one, tables)) is not None:
                    is_placed = True
                    if box := boxes.box(wcs, one.shape, self.ra, self.dec, self.size):
                        found.update((each.hdu.start, box) for each in group)
                    break
        if not is_placed:
            raise InputError(f"{uri} has no image with a WCS, so that no position is in it")
        return found

    async def _primary(
        self, content: Content, cut: list[Image], found: dict[int, Box], history: list[str], extensions: int
    ) -> Parts:
        primary = content.hdus[0]
        if own := next((one for one in cut if not one.hdu.start), None):
            parts = await _extension(content, own, found[0], _Tables({}))
            assert isinstance(parts[0], bytes)
            header = headers.parse(parts[0])
        else:
            parts, header = [b""], headers.parse(primary.header)
            headers.without_data(header)
        headers.drop_sums(header, data=False)
        if "NEXTEND" in header:
            header["NEXTEND"] = extensions
        headers.say(header, history)
        return [headers.to_bytes(header), *parts[1:]]


class _Tables:
    """Lookup tables of the cut-outs: each set of tables is moved with its image, and gets new numbers."""

    def __init__(self, bodies: dict[tuple[str, int], bytes]) -> None:
        self._bodies = bodies
        self._made: dict[tuple[str, int, int, int], int] = {}
        self._numbers = dict.fromkeys(headers.TABLES, 0)
        self.parts: Parts = []

    @property
    def count(self) -> int:
        """Number of tables."""
        return len(self._made)

    def move(self, header: fits.Header, box: Box) -> None:
        """Has an image's header name its moved tables."""
        for card, name, number in list(headers.tables_of(header)):
            key = (name, number, box.x0, box.y0)
            if key not in self._made and (name, number) in self._bodies:
                self._numbers[name] += 1
                self._made[key] = self._numbers[name]
                self.parts.append(_moved(self._bodies[name, number], box, self._numbers[name]))
            header[card] = float(self._made[key])


def _moved(body: bytes, box: Box, number: int) -> bytes:
    """A lookup table for an image that begins at the corner of a box: its CRVAL are pixels of the image."""
    end = next(at for at in range(0, len(body), 80) if body[at : at + 8] == b"END     ")
    start = -(-(end + 80) // BLOCK) * BLOCK
    header = headers.parse(body[:start])
    for axis, shift in ((1, box.x0), (2, box.y0)):
        if axis <= header.get("NAXIS", 0):
            header[f"CRVAL{axis}"] = header.get(f"CRVAL{axis}", 0.0) - shift
    header["EXTVER"] = number
    headers.drop_sums(header, data=False)
    return headers.to_bytes(header) + body[start:]


async def _extension(content: Content, one: Image, box: Box, tables: _Tables) -> Parts:
    """The parts of an image HDU: its header, the rows, and zeros up to a whole block."""
    header = one.header
    if header.get("NAXIS", 0) >= 2:
        header["NAXIS1"], header["NAXIS2"] = box.width, box.height
    else:
        header["NPIX1"], header["NPIX2"] = box.width, box.height
    for name in list(header):
        if (match := _PIXEL.fullmatch(name)) and isinstance(header[name], int | float):
            header[name] -= box.x0 if "1" in match.groups() else box.y0
    header.remove("S_REGION", ignore_missing=True)  # the footprint of the whole image
    headers.drop_sums(header, data=True)
    tables.move(header, box)
    rows = await _rows(content, one, box)
    size = sum(part.size if isinstance(part, Copy) else len(part) for part in rows)
    return [headers.to_bytes(header), *rows, bytes(-size % BLOCK)]


async def _rows(content: Content, one: Image, box: Box) -> Parts:
    """The pixels of a box, of each plane."""
    if one.header.get("NAXIS", 0) < 2:
        return []
    if one.is_compressed:
        return [await _unpacked(content, one.hdu, box)]
    item, (height, width) = boxes.item_bytes(one), _shape(one.hdu)
    planes = math.prod(int(one.header[f"NAXIS{axis}"]) for axis in range(3, one.header["NAXIS"] + 1))
    row, parts = width * item, Parts()
    for plane in range(planes):
        start = one.hdu.data + (plane * height + box.y0) * row + box.x0 * item
        if box.width == width:
            parts.append(content.part(Copy(start, row * box.height)))
        else:
            parts.append(content.part(Copy(start, box.width * item, box.height, row)))
    return parts


def _shape(hdu: Hdu) -> tuple[int, int]:
    """Rows and columns of the image in the source."""
    return int(hdu.cards["NAXIS2"]), int(hdu.cards["NAXIS1"])


async def _unpacked(content: Content, hdu: Hdu, box: Box) -> bytes:
    """The pixels of a compressed image, which is read whole."""
    body = fits.PrimaryHDU().header.tostring().encode() + await content.read(hdu.start, hdu.end)

    def cut() -> bytes:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            opened = fits.HDUList.fromstring(body, do_not_scale_image_data=True)
            pixels = opened[1].data[..., box.y0 : box.y1, box.x0 : box.x1]
        return bytes(pixels.astype(pixels.dtype.newbyteorder(">")).tobytes())

    return await asyncio.to_thread(cut)
