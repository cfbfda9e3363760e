"""A FITS file, opened: what is read, and how what is wrong with it is named."""

import errno
import gzip
import io
import math
import os
from collections.abc import Callable

import numpy as np
import pytest
from astropy.io import fits

from skyfan_function.errors import NotFitsError, TruncatedError, UnreadableError
from skyfan_function.fits_input import contradicts_datasum, open_fits
from skyfan_function.storage import Source


class Watched(io.BytesIO):
    """A file that counts what is read of it, and fails where it is told to."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self.taken = 0
        self.bad_from: int | None = None

    def read(self, size: int | None = -1) -> bytes:
        if self.bad_from is not None and self.tell() >= self.bad_from:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        data = super().read(size)
        self.taken += len(data)
        return data


@pytest.fixture(scope="module")
def body() -> bytes:
    """A file with two planes of 4 MB."""
    planes = [
        fits.ImageHDU(np.arange(1e6, dtype="f4").reshape(1000, 1000), name=name) for name in ("SCI", "ERR")
    ]
    written = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), *planes]).writeto(written)
    return written.getvalue()


def source(body: bytes) -> Source:
    return Source("s3://bucket/folder/a.fits", Watched(body), len(body), "v")


def test_only_headers_are_read_until_pixels_are_used(body: bytes) -> None:
    opened = source(body)
    with open_fits(opened) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "ERR"]
        assert opened.file.taken < 100_000  # type: ignore[attr-defined]
        assert hdus["ERR"].data[-1, -1] == 999_999
        assert opened.file.taken < len(body) * 0.6  # type: ignore[attr-defined]


@pytest.mark.parametrize("layers", [1, 2])
def test_gzip_is_taken_off(body: bytes, layers: int) -> None:
    packed = body
    for _ in range(layers):
        packed = gzip.compress(packed, 1)
    with open_fits(source(packed)) as hdus:
        assert hdus["SCI"].data.sum() == hdus["ERR"].data.sum() > 0


def test_a_gzip_is_unpacked_once(body: bytes) -> None:
    opened = source(packed := gzip.compress(body, 1))
    with open_fits(opened) as hdus:
        assert len(hdus) == 3
    assert opened.file.taken < 1.1 * len(packed)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda body: b"", NotFitsError),
        (lambda body: b"no stars", NotFitsError),
        (lambda body: body[:-3000], TruncatedError),
        (lambda body: body[:3000], TruncatedError),
        (lambda body: body + b"XTENSION= 'IMAGE   '", TruncatedError),
        (
            lambda body: body.replace(b"NAXIS1  =                 1000", b"NAXIS1  =                 100x"),
            UnreadableError,
        ),
        (lambda body: b"\x1f\x8b" + body, UnreadableError),
        (lambda body: gzip.compress(body, 1)[:-2000], TruncatedError),
        (lambda body: gzip.compress(body[:-3000], 1), TruncatedError),
        (lambda body: gzip.compress(b"no stars"), NotFitsError),
    ],
)
def test_damage_has_a_name_and_names_the_file(
    body: bytes, spoil: Callable[[bytes], bytes], error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"^a\.fits"), open_fits(source(spoil(body))):
        pytest.fail("it was opened")


def test_a_disk_that_fails_is_not_called_a_damaged_file(body: bytes) -> None:
    opened = source(body)
    opened.file.bad_from = 4_000_000  # type: ignore[attr-defined]
    with pytest.raises(OSError, match="Input/output error") as caught, open_fits(opened):
        pytest.fail("it was opened")
    assert caught.type is OSError


def test_damage_that_shows_in_the_pixels_has_a_name_too(body: bytes) -> None:
    opened = source(body)
    with pytest.raises(UnreadableError), open_fits(opened):
        raise OSError("as astropy puts it")


@pytest.mark.parametrize("error", [KeyError("EXPTIME"), ValueError("ours"), ZeroDivisionError()])
def test_an_error_of_the_functions_own_stays_itself(body: bytes, error: Exception) -> None:
    with pytest.raises(type(error)) as caught, open_fits(source(body)):
        raise error
    assert caught.value is error


def test_the_padding_of_the_last_block_may_be_missing(body: bytes) -> None:
    """Astropy warns of it, and a warning would fail this test."""
    with open_fits(source(body[:-100])) as hdus:
        assert hdus["ERR"].data[-1, -1] == 999_999


@pytest.mark.parametrize("kind", ["f4", "f8", "i2", "i4", "u1"])
@pytest.mark.parametrize("shape", [(40, 41), (7,), (3, 5)])
def test_a_flipped_bit_contradicts_datasum(kind: str, shape: tuple[int, ...]) -> None:
    written = io.BytesIO()
    fits.PrimaryHDU(np.arange(math.prod(shape)).reshape(shape).astype(kind)).writeto(written, checksum=True)
    body = bytearray(written.getvalue())

    def contradicts(content: bytes) -> bool:
        with fits.open(io.BytesIO(content)) as hdus:
            return contradicts_datasum(hdus[0])

    assert not contradicts(bytes(body))
    body[2880 + 5] ^= 1
    assert contradicts(bytes(body))
    assert not contradicts(bytes(body).replace(b"DATASUM", b"DATASUN")), "without the card nothing is known"
