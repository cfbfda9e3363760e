"""The science planes of an image: plain arrays, a mask, an error model, calibration and WCS."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from .calibrate import Calibration, Cards, calibration
from .errors import (
    ImageTooSmallError,
    InputError,
    NoScienceDataError,
    NoValidPixelsError,
    ShapeMismatchError,
)
from .image import Image, is_image, readable, shape_of
from .quality import UNKNOWN, bits_for
from .sky import Sky

# Below this side a background and its scatter cannot be told from the sources.
LEAST_SIDE = 8


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


def chips(image: Image, good_bits: int | None = None) -> Iterator[Chip | str]:
    """Read the science planes one after another, each a Chip, or a note that says why there is none.

    ``good_bits`` overrides the table of acceptable DQ bits. A plane that cannot be used is passed over when
    another can; when none can, the first error is raised.
    """
    first: InputError | None = None
    found = False
    for index in image.planes:
        try:
            with readable(image.name), warnings.catch_warnings():
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


def _chip(image: Image, index: int, good_bits: int | None) -> Chip:
    hdus, hdu = image.hdus, image.hdus[index]
    cards = Cards(hdu.header, image.header)
    label = f"{image.name} HDU {index}"
    shape = shape_of(hdu)
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
    hdu = next((h for h in hdus if h.name == name and _version(h) == version and is_image(h)), None)
    if hdu is None or not shape_of(hdu):
        return None
    if shape_of(hdu) != shape:
        theirs, ours = (" x ".join(map(str, reversed(s))) for s in (shape_of(hdu), shape))
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
