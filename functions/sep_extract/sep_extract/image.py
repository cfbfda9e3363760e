"""A FITS file to science chips: plain arrays, a mask, an error model, calibration and WCS."""

from __future__ import annotations

import gzip
import io
import warnings
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits
from astropy.io.fits.hdu.base import ExtensionHDU
from numpy.typing import NDArray

from .calibrate import Calibration, Cards, calibration
from .errors import (
    ImageTooLargeError,
    ImageTooSmallError,
    InputError,
    NoScienceDataError,
    NotAnImageError,
    NotFitsError,
    NoValidPixelsError,
    ShapeMismatchError,
    TruncatedError,
    UnreadableError,
)
from .quality import UNKNOWN, bits_for
from .sky import Sky
from .storage import Source, key_of

# Below this side a background and its scatter cannot be told from the sources.
LEAST_SIDE = 8
# Peak memory of a warm handler per pixel of its largest chip, and what the process needs besides;
# benchmarks/extract prints both.
BYTES_PER_PIXEL = 60
BYTES_BASE = 200 << 20
_UNZIP = 8 << 20
_FITS_BLOCK = 2880


@dataclass
class Chip:
    """One science plane of shape (ny, nx), in calibrated units, with what is needed to measure it.

    ``data`` float32, 0 where masked; ``mask`` bool, True where a pixel must not be used; ``error`` float32,
    one sigma with the Poisson noise of sources in it, or None; ``weight`` float32, proportional to the
    inverse background variance, or None; ``dq`` int32 or None; ``saturated`` bool. ``hdu`` is the index of
    the extension in the file.
    """

    hdu: int
    extver: int
    data: NDArray[np.float32]
    mask: NDArray[np.bool_]
    saturated: NDArray[np.bool_]
    calibration: Calibration
    sky: Sky
    error: NDArray[np.float32] | None = None
    weight: NDArray[np.float32] | None = None
    dq: NDArray[np.int32] | None = None
    notes: list[str] = field(default_factory=list)


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
        with _readable(name), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file, size = _plain(name, source, memory)
            hdus = opened.enter_context(fits.open(file, mode="readonly", memmap=False, lazy_load_hdus=True))
            _refuse_damaged(name, hdus, file, size)
            planes = _science_planes(name, hdus)
            _refuse_too_large(name, hdus, planes, memory, size if file is not source.file else 0)
            notes = _missing_extensions(hdus)
        yield Image(name, hdus, planes, notes)


def chips(image: Image, good_bits: int | None = None) -> Iterator[Chip | str]:
    """Read the science planes one after another, each a Chip, or a note that says why there is none.

    ``good_bits`` overrides the table of acceptable DQ bits. A plane that cannot be used is passed over when
    another can; when none can, the first error is raised.
    """
    first: InputError | None = None
    found = False
    for index in image.planes:
        try:
            with _readable(image.name), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                chip = _chip(image, index, good_bits)
        except (NoValidPixelsError, NoScienceDataError, ImageTooSmallError) as exc:
            first = first or exc
            yield f"HDU {index} passed over: {exc}"
            continue
        found = True
        yield chip
        del chip
    if not found and first is not None:
        raise first


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
def _readable(name: str) -> Iterator[None]:
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
        images = [i for i in named if _is_image(hdus[i])]
        if not images:
            raise NotAnImageError(f"{name}: its SCI extension is a table, not an image")
        full = [i for i in images if _shape(hdus[i])]
        if not full:
            raise NoScienceDataError(f"{name}: its SCI extension holds no pixels")
        planes = [i for i in full if _is_plane(hdus[i])]
        if not planes:
            shape = " x ".join(map(str, reversed(_shape(hdus[full[0]]))))
            raise NotAnImageError(
                f"{name}: its SCI extension has the shape {shape}; a spectrum or a cube is not an image"
            )
        return planes
    if _shape(hdus[0]):
        if _is_plane(hdus[0]):
            return [0]
        shape = " x ".join(map(str, reversed(_shape(hdus[0]))))
        raise NotAnImageError(f"{name} has the shape {shape}; a spectrum or a cube is not an image")
    if not all(_is_image(hdu) for hdu in hdus):
        raise NotAnImageError(f"{name} holds tables and no SCI extension: it is not an image")
    planes = [i for i, hdu in enumerate(hdus) if _is_plane(hdu)]
    if not planes:
        raise NoScienceDataError(f"{name} holds no image: no SCI extension and no other with two axes")
    return planes[:1]


def _is_image(hdu: Any) -> bool:
    return isinstance(hdu, fits.PrimaryHDU | fits.ImageHDU | fits.CompImageHDU)


def _shape(hdu: Any) -> tuple[int, ...]:
    """The (ny, nx) of an image without its axes of length 1 in front; empty if it has no pixels."""
    shape = tuple(hdu.shape) if _is_image(hdu) else ()
    while len(shape) > 2 and shape[0] == 1:
        shape = shape[1:]
    return () if 0 in shape else shape


def _is_plane(hdu: Any) -> bool:
    return len(_shape(hdu)) == 2


def _refuse_too_large(
    name: str, hdus: fits.HDUList, planes: list[int], memory: int | None, unzipped: int
) -> None:
    pixels = max(int(np.prod(_shape(hdus[i]))) for i in planes)
    need = pixels * BYTES_PER_PIXEL + BYTES_BASE + unzipped
    if memory is not None and need > memory:
        raise ImageTooLargeError(
            f"{name}: {pixels / 1e6:.0f} million pixels need about {need >> 20} MB of memory "
            f"and there are {memory >> 20} MB; send it to a function with more memory"
        )


def _chip(image: Image, index: int, good_bits: int | None) -> Chip:
    hdus, hdu = image.hdus, image.hdus[index]
    cards = Cards(hdu.header, image.header)
    label = f"{image.name} HDU {index}"
    shape = _shape(hdu)
    if min(shape) < LEAST_SIDE:
        raise ImageTooSmallError(
            f"{label}: {shape[1]} x {shape[0]} pixels; at least {LEAST_SIDE} x {LEAST_SIDE} are needed"
        )
    calibrated = calibration(cards)
    data = _pixels(hdu, shape)
    saturated = _saturated_level(data, cards)
    if calibrated.factor != 1.0:
        data *= np.float32(calibrated.factor)
    mask = ~np.isfinite(data)

    error = _companion(hdus, hdu, "ERR", shape, label) if hdu.name == "SCI" else None
    if error is not None:
        error *= np.float32(calibrated.factor)
        positive = np.isfinite(error) & (error > 0)
        if positive.any():
            mask |= ~positive
        else:
            error = None
            cards.notes.append("ERR holds no positive value: errors come from the measured background")
    weight = None
    if hdu.name == "SCI" and error is None:
        weight = _companion(hdus, hdu, "WHT", shape, label)
    if weight is not None:
        mask |= ~(np.isfinite(weight) & (weight > 0))
    elif error is None and _is_drizzled(cards):
        mask |= data == 0

    dq = _companion(hdus, hdu, "DQ", shape, label, np.int32) if hdu.name == "SCI" else None
    if dq is not None:
        bits = bits_for(cards.text("INSTRUME"), cards.text("DETECTOR"))
        good = bits.good if good_bits is None else good_bits
        if bits is UNKNOWN and good_bits is None and dq.any():
            cards.notes.append("no table of good DQ bits for this instrument: every flagged pixel is masked")
        mask |= (dq & ~good) != 0
        saturated |= (dq & bits.saturated & ~good) != 0
    mask |= saturated
    usable = mask.size - np.count_nonzero(mask)
    if usable < LEAST_SIDE**2:
        which = f"all but {usable} pixels are" if usable else "every pixel is"
        raise NoValidPixelsError(f"{label}: {which} NaN, uncovered, saturated or flagged")
    data[mask] = 0
    sky = Sky.read(hdu.header, hdus, shape)
    notes = [*cards.notes, *calibrated.notes, *sky.notes]
    if error is None and calibrated.gain is None:
        notes.append("no ERR, and no electrons to count: errors leave out the Poisson noise of sources")
    return Chip(index, _version(hdu), data, mask, saturated, calibrated, sky, error, weight, dq, notes)


def _version(hdu: Any) -> int:
    return int(Cards(hdu.header).number("EXTVER") or 1)


def _pixels(hdu: Any, shape: tuple[int, ...], kind: Any = np.float32) -> NDArray[Any]:
    """A contiguous native copy; the file's own bytes are let go."""
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.array(hdu.data, dtype=kind, order="C").reshape(shape)
    finally:
        del hdu.data


def _companion(
    hdus: fits.HDUList, science: Any, name: str, shape: tuple[int, ...], label: str, kind: Any = np.float32
) -> NDArray[Any] | None:
    """The extension of this name with the version of the science plane; None if it is absent or null."""
    version = _version(science)
    hdu = next((h for h in hdus if h.name == name and _version(h) == version and _is_image(h)), None)
    if hdu is None or not _shape(hdu):
        return None
    if _shape(hdu) != shape:
        theirs, ours = (" x ".join(map(str, reversed(s))) for s in (_shape(hdu), shape))
        raise ShapeMismatchError(f"{label}: {name} is {theirs} pixels but SCI is {ours}; the file is damaged")
    return _pixels(hdu, shape, kind)


def _saturated_level(data: NDArray[np.float32], cards: Cards) -> NDArray[np.bool_]:
    level = cards.number("SATURATE")
    if level is None or level <= 0:
        return np.zeros(data.shape, dtype=bool)
    with np.errstate(invalid="ignore"):
        return data >= level


def _is_drizzled(cards: Cards) -> bool:
    """Drizzled Hubble products are exactly 0 where no exposure covers; on other images 0 can be a value."""
    return cards.text("TELESCOP").upper() == "HST" and (
        cards.text("DRIZCORR").upper() == "COMPLETE" or cards.number("NDRIZIM") is not None
    )
