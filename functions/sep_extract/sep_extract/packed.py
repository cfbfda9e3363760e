"""A tile-compressed image that is made part by part (FITS standard 4.0, section 10).

astropy compresses each part as an image of its own; here their tables become one. Integers are lossless
(RICE_1). Floats are whole numbers of a stated step (GZIP_2: a masked pixel among others costs Rice the whole
block). Nothing is dithered, so that the same image gives the same bytes.
"""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from skyfan_function.fits_table import datasum, padded

from .errors import ImageTooLargeError

_ROWS = 32
# Pointers into the table's heap are 32-bit integers.
_LARGEST = 2**31 - 1
_POINTERS = ("COMPRESSED_DATA", "GZIP_COMPRESSED_DATA")


class Packed:
    """An image of ``shape`` (ny, nx) whose parts are compressed as they come.

    ``width``: that of the compressed tiles, and of each part but for the last of a row of them. ``step``:
    what floats are rounded to, in their unit; 0 for integers, and for floats to be kept as they are.
    """

    def __init__(self, name: str, shape: tuple[int, int], step: float, width: int) -> None:
        self._name, self._shape, self._step, self._width = name, shape, step, width
        self._header = fits.Header()
        self._rows: dict[tuple[int, int], NDArray[Any]] = {}
        self._heap: list[bytes] = []
        self._size = 0
        self._blank: int | None = None
        self._kind: Any = None

    def add(self, top: int, left: int, part: NDArray[Any]) -> None:
        """Compress a part (int32 or float32), whose first row and column are multiples of the tiles'."""
        ny, nx = part.shape
        settings: dict[str, Any] = {"compression_type": "RICE_1"}
        if part.dtype.kind == "f":
            settings = {"compression_type": "GZIP_2", "quantize_level": -self._step}
        tile = (min(_ROWS, ny), min(self._width, nx))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = io.BytesIO()
            image = fits.CompImageHDU(part, tile_shape=tile, **settings)
            fits.HDUList([fits.PrimaryHDU(), image]).writeto(file)
            body = file.getvalue()
            with fits.open(io.BytesIO(body), disable_image_compression=True, memmap=False) as hdus:
                header, start = hdus[1].header.copy(), hdus[1].fileinfo()["datLoc"]
                kind = hdus[1].columns.dtype.newbyteorder(">")
        rows = np.frombuffer(body, kind, header["NAXIS2"], start).copy()
        begin = start + rows.nbytes
        heap = body[begin : begin + header["PCOUNT"]]
        for name in set(_POINTERS) & set(kind.names):
            used = rows[name][:, 0] > 0
            rows[name][used, 1] += self._size
        across = -(-nx // self._width)
        for i, row in enumerate(rows.reshape(-1, across)):
            for j in range(across):
                self._rows[top // _ROWS + i, left // self._width + j] = row[j : j + 1]
        if not self._header:
            self._header, self._kind = header, kind
        self._blank = header.get("ZBLANK", self._blank)
        self._heap.append(heap)
        self._size += len(heap)
        if self._size > _LARGEST:
            raise ImageTooLargeError(
                f"{self._name}: an image beside its catalog takes more than {_LARGEST >> 20} MB, compressed; "
                "leave it out of 'outputs'"
            )

    def hdu(self, cards: fits.Header) -> bytes:
        """The whole image as an extension with such cards besides those of its structure."""
        header, (ny, nx) = self._header, self._shape
        rows = np.concatenate([self._rows[key] for key in sorted(self._rows)]).astype(self._kind)
        body = b"".join([rows.tobytes(), *self._heap])
        self._heap.clear()
        for key in ("CHECKSUM", "DATASUM", "ZHECKSUM", "ZDATASUM", "EXTNAME"):
            header.remove(key, ignore_missing=True)
        header["NAXIS2"], header["PCOUNT"] = len(rows), self._size
        header["ZNAXIS1"], header["ZNAXIS2"] = nx, ny
        header["ZTILE1"], header["ZTILE2"] = min(self._width, nx), min(_ROWS, ny)
        for i, name in enumerate(rows.dtype.names or (), start=1):
            if name in _POINTERS:
                header[f"TFORM{i}"] = f"1PB({rows[name][:, 0].max()})"
        if self._blank is not None:
            header["ZBLANK"] = self._blank
        if self._step:
            header["QSTEP"] = (self._step, "step to which pixels are rounded, in BUNIT")
        header.extend(cards, unique=False)
        body = padded(body, b"\0")
        header["DATASUM"] = str(datasum(body))
        return padded(header.tostring().encode("ascii"), b" ") + body


def rows_at_once(width: int, pixels: int = 1 << 22) -> int:
    """How many rows of an image to compress in one go: a multiple of the tiles'."""
    return max(1, pixels // (_ROWS * width)) * _ROWS
