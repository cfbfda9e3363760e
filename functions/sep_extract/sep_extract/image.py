"""A FITS file, opened: whole, readable, small enough, and which of its extensions hold science planes."""

from __future__ import annotations

import gzip
import io
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from astropy.io import fits

from skyfan_contract import BYTES_BASE, TILED_ABOVE, memory_of, memory_of_outputs
from skyfan_function.fits_input import GZIP, data_range, open_fits, readable
from skyfan_function.s3_object import S3Object
from skyfan_function.storage import Source
from skyfan_function.structure import spans

from . import frames
from .cards import Cards
from .errors import ImageTooLargeError
from .frames import Selection
from .planes import Plane, has_science, is_read, passed_over, planes, shape_of

_UNZIP = 8 << 20
_FITS = b"SIMPLE"
# A file up to this size is fetched whole from S3: planes that nobody reads take less time than requests for
# one header after another. In a larger one pixels are on their way meanwhile.
_WHOLE = 8 << 20
# Bytes that may be fetched ahead of their use: a chip of WFC3/UVIS while the one before it is measured.
_AHEAD = 128 << 20
_LEAST_AHEAD = 16 << 20


@dataclass
class Image:
    """An opened FITS file: its science planes and what is odd about it."""

    name: str
    hdus: fits.HDUList
    planes: list[Plane]
    passed_over: list[int]
    """Extensions with images that are in no plane, though nothing says what else they are."""
    notes: list[str]
    _announce: Callable[[list[tuple[int, int]]], None] = lambda _: None

    def prefetch(self, plane: Plane) -> None:
        """Announce that all pixels of a plane will be read, and after them those of the planes behind it."""
        behind = self.planes[self.planes.index(plane) :]
        coming = [one for one in behind if not self.in_tiles(one)]
        self._announce([data_range(self.hdus[i]) for one in coming for i in one.in_order])

    def prefetch_rows(self, index: int, rows: slice) -> None:
        """Announce that rows of an extension will be read; nothing tells where compressed ones are."""
        hdu = self.hdus[index]
        if not isinstance(hdu, fits.CompImageHDU):
            start, _ = data_range(hdu)
            each = shape_of(hdu)[1] * abs(hdu.header["BITPIX"]) // 8
            self._announce([(start + rows.start * each, start + rows.stop * each)])

    def in_tiles(self, plane: Plane) -> bool:
        """Whether a plane is too large to be measured as one."""
        return math.prod(shape_of(self.hdus[plane.science])) > TILED_ABOVE

    @property
    def pixels(self) -> int:
        """Those of all science planes."""
        return sum(math.prod(shape_of(self.hdus[plane.science])) for plane in self.planes)

    @property
    def is_compressed(self) -> bool:
        """Whether decoders run over any of it, in code that damaged tiles can crash."""
        return _is_compressed(self.hdus)

    @property
    def header(self) -> fits.Header:
        """The primary header."""
        header: fits.Header = self.hdus[0].header
        return header

    def card(self, key: str) -> object:
        """The value of a card of the primary header, or else of the first science plane's; None without."""
        for header in (self.header, self.hdus[self.planes[0].science].header):
            try:
                value = header.get(key)
            except (fits.VerifyError, ValueError):
                continue
            if isinstance(value, float) and not math.isfinite(value):
                continue  # such as 1E999, which no header may hold
            if value is not None and not isinstance(value, fits.card.Undefined):
                return value
        return None


@contextmanager
def open_image(
    source: Source,
    memory: int | None = None,
    outputs: Sequence[str] = (),
    chosen: Selection | None = None,
    *,
    whole: bool = False,
) -> Iterator[Image]:
    """Open a FITS file, gzipped or not, and find its science planes; stack the frames of a table of them.

    ``memory`` is the number of bytes the caller may use; an image that needs more, with these further
    ``outputs``, is refused before its pixels are read. ``chosen`` frames are stacked, all by default.
    ``whole``: of S3, fetch all of it into memory. Raises an InputError for whatever cannot be measured.
    """
    name = source.name
    with readable(name):
        plain = _plain(source, memory)
    if plain.size <= _WHOLE:
        plain.prefetch([(0, plain.size)])
    with open_fits(plain, is_read) as hdus:
        fetched = isinstance(getattr(plain.file, "raw", None), S3Object)
        fetch_all = fetched and (whole or _is_compressed(hdus))
        held, said = _held(plain, memory) if fetch_all else None, list[str]()
        with readable(name):
            if (table := frames.table_of(hdus)) is not None and not has_science(hdus):
                held, said = frames.stacked(plain, hdus, table, chosen or Selection(), memory)
        if held is None:
            with readable(name):
                if _is_compressed(hdus):
                    _check_tiles(plain)
                found = planes(name, hdus)
                unpacked = plain.size if isinstance(plain.file, io.BytesIO) else 0
                need = _refuse_too_large(name, hdus, found, memory, unpacked, outputs)
                notes = _missing_extensions(hdus)
                if chosen and not chosen.is_all:
                    notes.append("frames and stack are for tables of frames: they are not used for an image")
                spare = _AHEAD if memory is None else min(_AHEAD, max(memory - need, _LEAST_AHEAD))
                plain.prefetch((), spare)
            yield Image(name, hdus, found, passed_over(hdus, found), notes, plain.prefetch)
            return
    with open_image(held, memory, outputs, None if said else chosen) as image:
        image.notes += said
        yield image


def _is_compressed(hdus: fits.HDUList) -> bool:
    return any(isinstance(hdu, fits.CompImageHDU) for hdu in hdus)


def _check_tiles(source: Source) -> None:
    """Refuse compressed images whose tiles are not in the file, before a decoder takes memory for them."""
    for span in spans(source.name, source.file, source.size):
        if span.tiles is not None:
            span.tiles.check(source.name, source.file)


def _held(source: Source, memory: int | None) -> Source:
    """The whole file in memory, for a child process: the connections of this one are not in it."""
    if memory is not None and source.size > memory - BYTES_BASE:
        raise ImageTooLargeError(
            f"{source.name} takes {source.size >> 20} MB, compressed, and there are {memory >> 20} MB of "
            "memory; send it to a function with more memory"
        )
    source.file.seek(0)
    return replace(source, file=io.BytesIO(source.file.read()))


def _plain(source: Source, memory: int | None) -> Source:
    """The file without its gzip layers, unpacked in memory: chips are read back and forth.

    Headers are checked on the way, and no more is unpacked than they promise.
    """
    packed = source.file.read(2) == GZIP
    source.file.seek(0)
    if not packed:
        return source
    source.prefetch([(0, source.size)])
    with gzip.GzipFile(fileobj=source.file) as unzipped:
        body = _Unpacked(source.name, unzipped, memory)
        if body.read(len(_FITS)) == _FITS:
            deque(spans(source.name, body), maxlen=0)
        size = body.seek(0, io.SEEK_END)
    body.seek(0)
    return _plain(replace(source, file=body, size=size), memory)


class _Unpacked(io.BytesIO):
    """What a gzip file holds, unpacked as far as it is used. Raises ImageTooLargeError."""

    def __init__(self, name: str, packed: gzip.GzipFile, memory: int | None) -> None:
        super().__init__()
        self._name, self._packed, self._memory = name, packed, memory
        self._ended = False

    def read(self, size: int | None = -1) -> bytes:
        here = super().tell()
        self._unpack(None if size is None or size < 0 else here + size)
        super().seek(here)
        return super().read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """No further than to the end, as in a GzipFile."""
        if whence != io.SEEK_SET:
            here = super().tell()
            self._unpack(None)
            super().seek(here)
            return super().seek(offset, whence)
        self._unpack(offset)
        return super().seek(min(offset, super().tell()))

    def _unpack(self, stop: int | None) -> None:
        """Up to ``stop``, or else to the end; leaves the position at the end of what is unpacked."""
        there = super().seek(0, io.SEEK_END)
        while not self._ended and (stop is None or there < stop):
            part = self._packed.read(_UNZIP if stop is None else min(_UNZIP, stop - there))
            self._ended = not part
            there += self.write(part)
            if self._memory is not None and there > self._memory - BYTES_BASE:
                raise ImageTooLargeError(
                    f"{self._name} unzips to more than the {self._memory >> 20} MB of memory there are; "
                    "send it to a function with more memory"
                )


def _missing_extensions(hdus: fits.HDUList) -> list[str]:
    """A file that was cut between two extensions shows nothing of it but this count."""
    announced = Cards(hdus[0].header).number("NEXTEND")
    if announced is None or announced <= len(hdus) - 1:
        return []
    there = len(hdus) - 1
    return [f"NEXTEND announces {announced:.0f} extensions and there are {there}: the file may be cut short"]


def _refuse_too_large(
    name: str,
    hdus: fits.HDUList,
    found: list[Plane],
    memory: int | None,
    unzipped: int,
    outputs: Sequence[str],
) -> int:
    """Bytes of memory that the largest chip needs, and the further outputs of all."""
    sizes = [(shape_of(hdus[plane.science]), plane.kinds) for plane in found]
    need, pixels = max(
        (memory_of(math.prod(shape), kinds, shape[-1]) + unzipped, math.prod(shape)) for shape, kinds in sizes
    )
    need += memory_of_outputs(sum(math.prod(shape) for shape, _ in sizes), outputs)
    if memory is not None and need > memory:
        raise ImageTooLargeError(
            f"{name}: {pixels / 1e6:.0f} million pixels need about {need >> 20} MB of memory "
            f"and there are {memory >> 20} MB; send it to a function with more memory"
        )
    return need
