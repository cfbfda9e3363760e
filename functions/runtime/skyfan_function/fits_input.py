"""A FITS file, opened: headers first, gzipped or not, and refused by name if it is damaged."""

from __future__ import annotations

import errno
import gzip
import io
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain, islice
from typing import Any, BinaryIO, cast

import numpy as np
from astropy.io import fits
from astropy.io.fits.hdu.base import ExtensionHDU
from astropy.utils.exceptions import AstropyWarning

from .errors import FunctionError, NotFitsError, TruncatedError, UnreadableError
from .s3_object import Range
from .storage import Source
from .structure import BLOCK, Span, spans

GZIP = b"\x1f\x8b"
# Most headers are shorter.
_HEADER = 32 << 10
# Of what is unpacked: holds a header while it is read a second time.
_BUFFER = 1 << 20
# Errors of astropy itself have no number; these are what seeking to an absurd place gives.
_DAMAGE = (None, errno.EINVAL, errno.EOVERFLOW)
_STANDARD = fits.PrimaryHDU | ExtensionHDU
# What astropy's reader raises for damage outside of readable(); in it, anything.
_READING = (OSError, fits.VerifyError)


@contextmanager
def open_fits(source: Source, wanted: Callable[[Any], bool] = lambda _: False) -> Iterator[fits.HDUList]:
    """Open a FITS file, gzipped or not. Headers are read and checked, pixels only when they are used.

    Data of ``wanted`` HDUs are announced to the source as soon as their header is known. A gzipped file is
    unpacked while it is read; reading backwards unpacks it from the start again. Raises NotFitsError,
    TruncatedError or UnreadableError, also if astropy's reader fails inside the ``with``.
    """
    with warnings.catch_warnings(), ExitStack() as opened:
        warnings.simplefilter("ignore", AstropyWarning)
        with readable(source.name):
            file = _plain(source.name, source.file)
            if file is not source.file:
                source.prefetch([(0, source.size)])
            coming: list[Range] = []
            size = source.size if file is source.file else None
            checked = spans(source.name, file, size)
            first = next(checked)
            behind = () if first.extends else islice(checked, 1)
            for index, span in enumerate(chain([first], list(behind), checked)):
                if not index:
                    file.seek(0)
                    hdus = opened.enter_context(
                        fits.open(file, mode="readonly", memmap=False, lazy_load_hdus=True)
                    )
                hdu = _hdu(source.name, hdus, index, file, span)
                if data_range(hdu) != (span.start, span.stop):
                    raise UnreadableError(
                        f"{source.name} is damaged: HDU {index} {hdu.name} gives two sizes; fetch it again"
                    )
                if file is source.file:
                    coming += [data_range(hdu)] if wanted(hdu) else []
                    source.prefetch([*_headers_behind(hdu), *coming])
        with readable(source.name, _READING):
            yield hdus


def _hdu(name: str, hdus: fits.HDUList, index: int, file: BinaryIO, span: Span) -> Any:
    """The next HDU, whose header is read now."""
    try:
        hdu = hdus[index]
    except IndexError:
        file.seek(span.stop)  # raises EOFError, which astropy hides, where a gzip stream ends early
        raise UnreadableError(
            f"{name} is damaged: the header of HDU {index} cannot be read; fetch it again"
        ) from None
    if not isinstance(hdu, _STANDARD):
        raise UnreadableError(f"{name} is damaged: the header of HDU {index} is not FITS; fetch it again")
    return hdu


def data_range(hdu: Any) -> Range:
    """First byte of an HDU's data in its file, and the first after them."""
    info = hdu.fileinfo()
    return info["datLoc"], info["datLoc"] + info["datSpan"]


def contradicts_datasum(hdu: Any) -> bool:
    """Whether the data of an image are not those of its card DATASUM.

    False without the card, and where the bytes of the file are not at hand: scaled or compressed data.
    """
    card, data = hdu.header.get("DATASUM"), hdu.data
    is_raw = not data.dtype.isnative if data.dtype.itemsize > 1 else data.dtype == np.uint8
    if isinstance(hdu, fits.CompImageHDU) or not is_raw or not str(card).strip().isdecimal():
        return False
    data = data.reshape(-1).view(np.uint8)
    padded = np.zeros(4, np.uint8)
    padded[: len(data) % 4] = data[len(data) // 4 * 4 :]
    words = data[: len(data) // 4 * 4].view(">u4")
    total = int(words.sum(dtype=np.uint64)) + int(padded.view(">u4")[0])
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total != int(str(card))


def _headers_behind(hdu: Any) -> list[Range]:
    """Where the next header is, and where the one after it is if the next HDU has data of the same size.

    Planes of an image often have: a guess that is right saves a request after a request.
    """
    start, end = data_range(hdu)
    return [(at, at + _HEADER) for at in (end, end + BLOCK + end - start)]


@contextmanager
def readable(name: str, errors: tuple[type[Exception], ...] = (Exception,)) -> Iterator[None]:
    """Name the file, and what is wrong with it, in these ``errors`` of the FITS reader and its decoders.

    Errors that have a name, and MemoryError, stay themselves.
    """
    try:
        yield
    except (FunctionError, MemoryError):
        raise
    except EOFError as exc:
        raise TruncatedError(f"{name} is truncated: its gzip stream ends early; fetch it again") from exc
    except (gzip.BadGzipFile, zlib.error) as exc:
        raise UnreadableError(f"{name}: its gzip stream is damaged ({exc}); fetch it again") from exc
    except errors as exc:
        if isinstance(exc, OSError) and exc.errno not in _DAMAGE:
            raise  # the file system failed, and the file may be good
        reason = (str(exc).strip() or type(exc).__name__).splitlines()[0]
        if "Empty or corrupt" in reason:  # all that astropy says of the first header, whose end has been seen
            raise UnreadableError(
                f"{name} is damaged: the header of HDU 0 cannot be read; fetch it again"
            ) from exc
        if "Header missing END" in reason:
            raise TruncatedError(
                f"{name} is truncated or damaged: a header has no end; fetch it again"
            ) from exc
        raise UnreadableError(f"{name} is damaged ({reason}); fetch it again") from exc


class _Unpacked(io.BufferedReader):
    """What a GzipFile unpacks, for astropy: with a mode that is no number, and without a known size."""

    mode = "rb"

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Does not seek the end, which would unpack the file once more."""
        return self.tell() if whence == io.SEEK_END else super().seek(offset, whence)


def _plain(name: str, file: BinaryIO) -> BinaryIO:
    """The file without its gzip layers."""
    magic = file.read(6)
    file.seek(0)
    if magic.startswith(GZIP):
        return _plain(name, _Unpacked(cast("Any", gzip.GzipFile(fileobj=file, mode="rb")), _BUFFER))
    if not magic:
        raise NotFitsError(f"{name} is empty")
    if not magic.startswith(b"SIMPLE"):
        raise NotFitsError(f"{name} is not a FITS file: it does not begin with SIMPLE")
    return file
