"""A FITS file, opened: whole, readable, small enough, and which of its extensions hold science planes."""

from __future__ import annotations

import gzip
import io
import warnings
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits
from astropy.io.fits.hdu.base import ExtensionHDU

from .calibrate import Cards
from .errors import (
    ImageTooLargeError,
    NoScienceDataError,
    NotAnImageError,
    NotFitsError,
    TruncatedError,
    UnreadableError,
)
from .storage import Source, key_of

# Peak memory of a warm handler per pixel of its largest chip, and what the process needs besides;
# benchmarks/extract prints both.
BYTES_PER_PIXEL = 60
BYTES_BASE = 200 << 20
_UNZIP = 8 << 20
_FITS_BLOCK = 2880


@dataclass
class Image:
    """An opened FITS file: its primary header, the indices of its science planes and what is odd about it."""

    name: str
    hdus: fits.HDUList
    planes: list[int]
    notes: list[str]

    @property
    def header(self) -> fits.Header:
        """The primary header."""
        return self.hdus[0].header


@contextmanager
def open_image(source: Source, memory: int | None = None) -> Iterator[Image]:
    """Open a FITS file, gzipped or not, and find its science planes.

    ``memory`` is the number of bytes the caller may use; an image that needs more is refused before its
    pixels are read. Raises an InputError for whatever cannot be measured.
    """
    name = key_of(source.uri).rsplit("/", 1)[-1]
    with ExitStack() as opened:
        with readable(name), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file, size = _plain(name, source, memory)
            hdus = opened.enter_context(fits.open(file, mode="readonly", memmap=False, lazy_load_hdus=True))
            _refuse_damaged(name, hdus, file, size)
            planes = _science_planes(name, hdus)
            _refuse_too_large(name, hdus, planes, memory, size if file is not source.file else 0)
            notes = _missing_extensions(hdus)
        yield Image(name, hdus, planes, notes)


def _plain(name: str, source: Source, memory: int | None) -> tuple[BinaryIO, int]:
    """The file without its gzip layer, and its size in bytes."""
    magic = source.file.read(6)
    source.file.seek(0)
    if magic[:2] == b"\x1f\x8b":
        body = io.BytesIO()
        with gzip.GzipFile(fileobj=source.file) as unzipped:
            while part := unzipped.read(_UNZIP):
                body.write(part)
                if memory is not None and body.tell() > memory:
                    raise ImageTooLargeError(
                        f"{name} unzips to more than the {memory >> 20} MB of memory there are; "
                        "send it to a function with more memory"
                    )
        size = body.tell()
        body.seek(0)
        return _plain(name, Source(source.uri, body, size, source.version), memory)
    if not magic:
        raise NotFitsError(f"{name} is empty")
    if not magic.startswith(b"SIMPLE"):
        raise NotFitsError(f"{name} is not a FITS file: it does not begin with SIMPLE")
    return source.file, source.size


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Name the file in whatever the FITS reader raises."""
    try:
        yield
    except EOFError as exc:
        raise TruncatedError(f"{name} is truncated: its gzip stream ends early; fetch it again") from exc
    except (gzip.BadGzipFile, zlib.error) as exc:
        raise UnreadableError(f"{name}: its gzip stream is damaged ({exc}); fetch it again") from exc
    except (OSError, fits.VerifyError, ValueError, TypeError, KeyError, IndexError, AttributeError) as exc:
        reason = (str(exc).strip() or type(exc).__name__).splitlines()[0]
        if "Header missing END" in reason or "Empty or corrupt" in reason:
            raise TruncatedError(
                f"{name} is truncated or damaged: a header has no end; fetch it again"
            ) from exc
        raise UnreadableError(f"{name} is damaged ({reason}); fetch it again") from exc


def _refuse_damaged(name: str, hdus: fits.HDUList, file: BinaryIO, size: int) -> None:
    for index in range(len(hdus)):
        if not isinstance(hdus[index], fits.PrimaryHDU | ExtensionHDU):
            raise UnreadableError(f"{name} is damaged: the header of HDU {index} is not FITS; fetch it again")
        info = hdus[index].fileinfo()
        packed = isinstance(hdus[index], fits.CompImageHDU)  # whose size is that of the image unpacked
        # The padding of the last block holds nothing, and some writers leave it out.
        end = info["datLoc"] + (info["datSpan"] if packed else hdus[index].size)
        if end > size:
            raise TruncatedError(
                f"{name} is truncated: HDU {index} {hdus[index].name} should end at byte {end}, "
                f"the file ends at {size}; fetch it again"
            )
    last = hdus[-1].fileinfo()
    file.seek(last["datLoc"] + last["datSpan"])
    # What fills up the last block of a tape is not an extension that was cut off.
    if file.read(_FITS_BLOCK).strip(b"\0 "):
        raise TruncatedError(
            f"{name} is truncated or damaged: no complete header after HDU {len(hdus) - 1}; fetch it again"
        )


def _missing_extensions(hdus: fits.HDUList) -> list[str]:
    """A file that was cut between two extensions shows nothing of it but this count."""
    announced = Cards(hdus[0].header).number("NEXTEND")
    if announced is None or announced <= len(hdus) - 1:
        return []
    there = len(hdus) - 1
    return [f"NEXTEND announces {announced:.0f} extensions and there are {there}: the file may be cut short"]


def _science_planes(name: str, hdus: fits.HDUList) -> list[int]:
    named = [i for i, hdu in enumerate(hdus) if hdu.name == "SCI"]
    if named:
        images = [i for i in named if is_image(hdus[i])]
        if not images:
            raise NotAnImageError(f"{name}: its SCI extension is a table, not an image")
        full = [i for i in images if shape_of(hdus[i])]
        if not full:
            raise NoScienceDataError(f"{name}: its SCI extension holds no pixels")
        planes = [i for i in full if _is_plane(hdus[i])]
        if not planes:
            shape = " x ".join(map(str, reversed(shape_of(hdus[full[0]]))))
            raise NotAnImageError(
                f"{name}: its SCI extension has the shape {shape}; a spectrum or a cube is not an image"
            )
        return planes
    if shape_of(hdus[0]):
        if _is_plane(hdus[0]):
            return [0]
        shape = " x ".join(map(str, reversed(shape_of(hdus[0]))))
        raise NotAnImageError(f"{name} has the shape {shape}; a spectrum or a cube is not an image")
    if not all(is_image(hdu) for hdu in hdus):
        raise NotAnImageError(f"{name} holds tables and no SCI extension: it is not an image")
    planes = [i for i, hdu in enumerate(hdus) if _is_plane(hdu)]
    if not planes:
        raise NoScienceDataError(f"{name} holds no image: no SCI extension and no other with two axes")
    return planes[:1]


def is_image(hdu: Any) -> bool:
    return isinstance(hdu, fits.PrimaryHDU | fits.ImageHDU | fits.CompImageHDU)


def shape_of(hdu: Any) -> tuple[int, ...]:
    """The (ny, nx) of an image without its axes of length 1 in front; empty if it has no pixels."""
    shape = tuple(hdu.shape) if is_image(hdu) else ()
    while len(shape) > 2 and shape[0] == 1:
        shape = shape[1:]
    return () if 0 in shape else shape


def _is_plane(hdu: Any) -> bool:
    return len(shape_of(hdu)) == 2


def _refuse_too_large(
    name: str, hdus: fits.HDUList, planes: list[int], memory: int | None, unzipped: int
) -> None:
    pixels = max(int(np.prod(shape_of(hdus[i]))) for i in planes)
    need = pixels * BYTES_PER_PIXEL + BYTES_BASE + unzipped
    if memory is not None and need > memory:
        raise ImageTooLargeError(
            f"{name}: {pixels / 1e6:.0f} million pixels need about {need >> 20} MB of memory "
            f"and there are {memory >> 20} MB; send it to a function with more memory"
        )
