"""A FITS file to be drawn, opened: bounded in bytes and pixels, and refused by name if it is damaged."""

import gzip
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from astropy.io import fits

from ..errors import InputError, UsageError
from ..formatting import size
from ..plans import headers
from ..storage import s3

_MOST = 4 << 30
"""Bytes of a file that are read into memory, which is all of it if it is packed or in S3."""
_GZIP = b"\x1f\x8b"
_PIECE = 1 << 20


@contextmanager
def opened(uri: str, access: str = "anonymous") -> Iterator[fits.HDUList]:
    """The HDUs of a path or an s3:// URI. Raises InputError for what cannot be read, also in the block."""
    with warnings.catch_warnings(action="ignore"), _readable(uri), _file(uri, access) as file:
        headers.check(uri, file)
        file.seek(0)
        with fits.open(file, memmap=False) as hdus:
            yield hdus


@contextmanager
def _readable(uri: str) -> Iterator[None]:
    """Names the file in all that reading it raises: astropy and its decoders have no class of errors."""
    try:
        yield
    except UsageError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{uri} does not exist") from error
    except OSError as error:
        raise InputError(f"{uri} cannot be read: {error}") from error
    except MemoryError as error:
        raise InputError(f"{uri} needs more memory than there is") from error
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{uri} is damaged ({reason}): fetch it again") from error


@contextmanager
def _file(uri: str, access: str) -> Iterator[BinaryIO]:
    """The file without its layers of gzip."""
    if uri.startswith("s3://"):
        yield _unpacked(uri, io.BytesIO(s3.read(uri, access, _MOST)))
        return
    path = Path(uri)
    if path.exists() and not path.is_file():  # to open a FIFO waits for a writer
        raise InputError(f"{uri} is not a FITS file: it is no regular file")
    with path.open("rb") as file:
        yield _unpacked(uri, file)


def _unpacked(uri: str, file: BinaryIO) -> BinaryIO:
    while True:
        is_packed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        if not is_packed:
            return file
        body = io.BytesIO()
        with gzip.GzipFile(fileobj=file) as packed:
            while part := packed.read(_PIECE):
                if body.tell() + len(part) > _MOST:
                    raise InputError(f"{uri} unpacks to more than the {size(_MOST)} that are read of a file")
                body.write(part)
        body.seek(0)
        file = body
