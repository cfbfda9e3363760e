"""The pixels of one science plane: which may be used, which are saturated, how they scatter."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyfan_function.fits_input import contradicts_datasum, readable

from .brightness import NONE, Extremes, masked_light
from .calibrate import Calibration, linearised
from .cards import Cards
from .coverage import FAINTEST, WILDEST, cut_off, equal, is_constant, masked_share, outside, uncovered, wild
from .errors import NoValidPixelsError
from .image import Image
from .instruments import Instrument
from .parts import Part, PartReader
from .pixels import Flags
from .planes import Plane, shape_of
from .quality import Quality
from .saturation import fill, plateau

# Below this side a background and its scatter cannot be told from the sources.
LEAST_SIDE = 8
# No distortion changes the area of a pixel by a larger factor.
_AREA = 2.0
# What DQ is below.
_END = 2**32
# A larger masked share of the covered pixels makes an image doubtful.
_MASKED_SHARE = 0.2


@dataclass(frozen=True)
class Levels:
    """What all pixels of an image together say of each of them, in the image's units.

    ``gaps``: values that stand for no measurement. ``saturated``: what is as bright is saturated, before
    pixels are calibrated; None if nothing is. ``extremes``: beyond which is no light. ``error`` and ``area``:
    those of pixels without one; None if the plane is not used.
    """

    gaps: tuple[float, ...] = ()
    saturated: float | None = None
    extremes: Extremes = NONE
    error: float | None = None
    area: float | None = None


@dataclass
class Readout:
    """The planes of an image or of a part of it, (ny, nx) each; Chip says what they mean."""

    data: NDArray[np.float32]
    mask: NDArray[np.bool_]
    saturated: NDArray[np.bool_]
    error: NDArray[np.float32] | None
    weight: NDArray[np.float32] | None
    dq: Flags | None
    levels: Levels


class PixelReader:
    """Reads the pixels of one plane and gathers notes and quality bits on the way."""

    def __init__(
        self, image: Image, plane: Plane, cards: Cards, row: Instrument, good_bits: int | None
    ) -> None:
        self._image, self._plane, self._cards, self._row = image, plane, cards, row
        self._good_bits = good_bits
        self._label = f"{image.name} HDU {plane.science}"
        self.shape = shape_of(image.hdus[plane.science])
        self.parts = PartReader(image)
        self._part: Part | None = None
        self.notes: list[str] = []
        self.quality = Quality.NONE
        self.counted: Counter[str] = Counter()
        """How many pixels of parts with known levels have been changed, by what to say of them."""

    def read(self, calibrated: Calibration, part: Part | None = None, known: Levels | None = None) -> Readout:
        """Read all of the image, or a ``part`` of it: a sample, if its levels are not ``known``.

        Raises NoValidPixelsError if there are too few pixels to tell the levels.
        """
        self._part = part
        if part is None:
            self._image.prefetch(self._plane)
        shape = self.shape if part is None else part.shape
        data = self._array(self._plane.science, np.float32)
        assert data is not None
        missing, gaps = self._missing(data, known)
        level = known.saturated if known else self._saturation(data, missing)
        with np.errstate(invalid="ignore"):
            saturated = np.zeros(shape, dtype=bool) if level is None else data >= level
        if scaling := linearised(self._cards):
            offset, softening = scaling
            with np.errstate(over="ignore", invalid="ignore"):
                data = (offset + 2 * softening * np.sinh(data * (math.log(10) / 2.5))).astype(np.float32)
            if known is None:
                self.say("pixels are asinh-scaled (BSOFTEN): made linear")
        if calibrated.factor != 1.0:
            with np.errstate(over="ignore"):
                data *= np.float32(calibrated.factor)
        if scaling or calibrated.factor != 1.0:
            missing |= self._wild(data, missing)
        dq, flagged = self._flags(saturated, known)
        missing &= ~self._filled(data, saturated)
        saturated &= ~missing
        error, weight, unweighted, stand_in = self._noise(calibrated.factor, saturated, known)
        mask = missing | unweighted | (flagged & ~saturated)
        extremes = known.extremes if known else Extremes.of(data, mask)
        for beyond, what in (
            (data < extremes.deep, "pixels are more than 50 sigma below the sky: masked"),
            (data > extremes.wild, "pixels are more than 1e9 sigma above the sky: masked"),
        ):
            self._count(beyond & ~mask, what)
            mask |= beyond
        if known is None:
            self._check(data, mask, missing, saturated)
        data[mask] = 0
        if known is None and part is None:
            self.refuse_useless(float(data.max()), varies=not is_constant(data, mask))
        area = self._areas(known, mask) if calibrated.surface else None
        middle = None
        if area is not None:
            plane, middle = area
            data *= plane
            if error is not None:
                error *= plane
        levels = known or Levels(tuple(gaps), level, extremes, stand_in, middle)
        return Readout(data, mask, saturated, error, weight, dq, levels)

    def refuse_useless(self, highest: float, *, varies: bool) -> None:
        """Raise NoValidPixelsError for an image without a pixel above zero, or of one value alone."""
        if not highest > FAINTEST:
            least = f"{FAINTEST:g}, less than any light: its scale is damaged" if highest > 0 else "zero"
            raise NoValidPixelsError(f"{self._label}: no pixel is above {least}")
        if not varies:
            raise NoValidPixelsError(f"{self._label}: all usable pixels hold the same value")

    def refuse_masked(self, usable: int) -> None:
        """Raise NoValidPixelsError for an image with too few usable pixels."""
        if usable < LEAST_SIDE**2:
            which = f"all but {usable} pixels are" if usable else "every pixel is"
            raise NoValidPixelsError(f"{self._label}: {which} NaN, uncovered, saturated or flagged")

    def _array(self, index: int | None, kind: Any) -> NDArray[Any] | None:
        """A contiguous native copy of an extension's pixels; the file's own bytes are let go."""
        if index is None:
            return None
        if self._part is not None:
            return self.parts.read(index, kind, self._part)
        hdu = self._image.hdus[index]
        with readable(self._image.name):
            try:
                if contradicts_datasum(hdu):
                    self.say(
                        f"HDU {index}: DATASUM is not the sum of its data: they were changed or damaged",
                        Quality.DATASUM,
                    )
                with np.errstate(over="ignore", invalid="ignore"):
                    return np.array(hdu.data, dtype=kind, order="C").reshape(self.shape)
            finally:
                del hdu.data

    def _areas(
        self, known: Levels | None, mask: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], float] | None:
        """The pixels' areas relative to PIXAR_SR and their median; None if the file does not tell them."""
        if known and known.area is None:
            return None
        area = self._array(self._plane.area, np.float32)
        if area is None:
            return None
        good = (area > 0) & (area < WILDEST)
        middle = known.area if known else float(np.median(area[good])) if good.any() else 0.0
        assert middle is not None
        if not 1 / _AREA < middle < _AREA:
            self.say(f"AREA is {middle:g} in the middle, not near 1: not used", Quality.ASSUMED)
            return None
        odd = ~((area >= 1 / _AREA) & (area <= _AREA))
        what = f"pixels have an AREA that is not within a factor of {_AREA:g} of PIXAR_SR: {middle:g} taken"
        self._count(odd & ~mask, what, Quality.ASSUMED)
        area[odd] = middle
        return area, middle

    def _missing(
        self, data: NDArray[np.float32], known: Levels | None
    ) -> tuple[NDArray[np.bool_], list[float]]:
        """Pixels that hold no measurement, and values that say so; ``data`` is still in the file's unit."""
        missing: NDArray[np.bool_] = ~np.isfinite(data)
        values: list[float] = []
        if known:
            missing |= equal(data, known.gaps)
        elif self.is_drizzled and self._plane.error is None and self._plane.weight is None:
            values = [0.0]
            missing |= data == 0
        else:
            weighted = self._plane.weight is not None
            gaps, values = uncovered(data, counting=self._row.counting, weighted=weighted)
            if values:
                share = np.count_nonzero(gaps & ~missing) / data.size
                named = " and ".join(f"{value:g}" for value in values)
                self.say(
                    f"{100 * share:.1f} % of the pixels are {named}: taken for uncovered", Quality.UNCOVERED
                )
                missing |= gaps
            if said := cut_off(data, missing):
                self.say(said, Quality.CUT_OFF)
        if box := [self._cards.number(key) for key in self._row.box]:
            if None not in box:
                ny, nx = self.shape
                rows, columns = (np.arange(ny), np.arange(nx)) if self._part is None else self._part.where()
                missing |= outside(box, rows, columns)
            elif not known:
                named = ", ".join(self._row.box)
                self.say(f"{named} are not all there: all columns and rows are used", Quality.ASSUMED)
        return missing | self._wild(data, missing), values

    def _wild(self, data: NDArray[np.float32], missing: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Pixels with a value, but none that can be one."""
        far = (wild(data) | ~np.isfinite(data)) & ~missing
        self._count(far, f"pixels hold {WILDEST:g} or more, which is no measurement: masked")
        return far

    @property
    def is_drizzled(self) -> bool:
        """Whether it is a drizzled Hubble product, which is exactly 0 where no exposure covers."""
        cards = self._cards
        return cards.text("TELESCOP").upper() == "HST" and (
            cards.text("DRIZCORR").upper() == "COMPLETE" or cards.number("NDRIZIM") is not None
        )

    def _saturation(self, data: NDArray[np.float32], missing: NDArray[np.bool_]) -> float | None:
        """The value from which on pixels are saturated, in the file's unit; None if nothing tells it."""
        if not self.seeks_plateau:
            return self._cards.positive("SATURATE") or self._row.level
        # The highest value of a sample is not that of the image.
        return self._plateau(plateau(data, missing)) if self._part is None else None

    @property
    def seeks_plateau(self) -> bool:
        """Whether pixels alone tell from which value on they are saturated."""
        level = self._cards.positive("SATURATE") or self._row.level
        return level is None and self._plane.dq is None and not self._row.counting

    def plateau(self, parts: Iterable[Part], gaps: tuple[float, ...]) -> float | None:
        """The highest value of all parts, in the file's unit, if stars end in it; else None."""
        highest, found = -math.inf, None
        for self._part in parts:
            data = self._array(self._plane.science, np.float32)
            assert data is not None
            missing = ~np.isfinite(data) | equal(data, gaps)
            here = float(np.max(data, where=~missing, initial=-np.inf))
            if here > highest:
                highest, found = here, None
            if here == highest and found is None:
                found = plateau(data, missing)
        return self._plateau(found)

    def _plateau(self, level: float | None) -> float | None:
        if level is not None:
            self.say(f"stars end in a plateau of {level:g}: taken for saturation", Quality.ASSUMED)
        return level

    def _filled(self, data: NDArray[np.float32], saturated: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Saturated pixels without a value, which get one, so that their star stays in one piece."""
        holes = saturated & ~np.isfinite(data)
        if holes.any():
            fill(data, holes)
            holes &= np.isfinite(data)
            self._count(holes, "saturated pixels hold no value: their brightest neighbour's is used")
        return holes

    def _flags(
        self, saturated: NDArray[np.bool_], known: Levels | None
    ) -> tuple[Flags | None, NDArray[np.bool_]]:
        """DQ bits, and where they forbid the use of a pixel; adds to ``saturated``."""
        index = self._plane.dq
        if index is None:
            return None, np.zeros(saturated.shape, dtype=bool)
        raw = self._array(index, None)
        assert raw is not None
        if raw.dtype.kind in "iu" and raw.dtype.itemsize <= 4:
            # Of 16 bits the highest is a flag, not a sign.
            dq = raw.astype(np.dtype(f"u{raw.dtype.itemsize}"), copy=False)
        else:  # scaled, or of 64 bits
            odd = ~((raw >= 0) & (raw < _END) & (raw == np.trunc(raw)))
            self._count(odd, "pixels have a DQ that is no set of 32 bits: masked", Quality.ASSUMED)
            dq = np.where(odd, 0, raw).astype(np.uint32)
            dq[odd] = _END - 1  # all bits
        good = self._row.good if self._good_bits is None else self._good_bits
        unsure = self._row.name and not self._row.flags_known and self._good_bits is None
        if unsure and not known and dq.any():
            self.say(
                "no table of good DQ bits for this instrument: every flagged pixel is masked",
                Quality.UNKNOWN_INSTRUMENT,
            )
        every = int(np.iinfo(dq.dtype).max)
        if wanted := self._row.saturated & ~(self._good_bits or 0) & every:
            saturated |= (dq & dq.dtype.type(wanted)) != 0
        return dq, (dq & dq.dtype.type(~good & every)) != 0

    def _noise(
        self, factor: float, saturated: NDArray[np.bool_], known: Levels | None
    ) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None, NDArray[np.bool_], float | None]:
        """ERR and WHT, where they say that a pixel has no value, and ERR's level; None if it is not used."""
        weight = self._array(self._plane.weight, np.float32)
        none = (
            np.zeros(saturated.shape, dtype=bool) if weight is None else ~(np.isfinite(weight) & (weight > 0))
        )
        error = None if known and known.error is None else self._array(self._plane.error, np.float32)
        if error is not None:
            with np.errstate(over="ignore", invalid="ignore"):  # infinite and NaN are not positive below
                error *= np.float32(factor)
            positive = (error > 0) & (error < WILDEST)
            if known and known.error is not None:
                error[~positive] = known.error
                return error, weight, none | (~positive & ~saturated), known.error
            if positive.any():
                # Of these only saturated pixels are used.
                used = self._part is not None or (saturated & ~positive).any()
                middle = float(np.median(error[positive])) if used else 0.0
                error[~positive] = middle
                return error, weight, none | (~positive & ~saturated), middle
            self.say(
                "ERR holds no positive value: errors come from the measured background",
                Quality.NOISE_FALLBACK,
            )
        return None, weight, none, None

    def _check(
        self,
        data: NDArray[np.float32],
        mask: NDArray[np.bool_],
        missing: NDArray[np.bool_],
        saturated: NDArray[np.bool_],
    ) -> None:
        """Refuse an image without usable pixels, or a sample of one: nothing would tell its levels."""
        usable = mask.size - int(np.count_nonzero(mask | saturated))
        if self._part is not None and usable < LEAST_SIDE**2:
            raise NoValidPixelsError(
                f"{self._label}: {usable} pixels of a sample of its rows are usable, too few for tiles"
            )
        self.refuse_masked(usable)
        # Where a value is taken for uncovered, that has been said.
        share = masked_share(mask, missing, scattered=not self.quality & Quality.UNCOVERED)
        if share > _MASKED_SHARE:
            self.say(f"{100 * share:.0f} % of the covered pixels are masked", Quality.MASKED)
        elif share > 0 and (lost := masked_light(data, mask, missing)) > 0.5:
            self.say(f"{100 * lost:.0f} % of the brightest areas are masked", Quality.MASKED)

    def say(self, note: str, bit: Quality = Quality.NONE) -> None:
        """Note something about the plane, and set a quality bit."""
        self.notes.append(note)
        self.quality |= bit

    def _count(self, pixels: NDArray[np.bool_], what: str, bit: Quality = Quality.NONE) -> None:
        """Note how many pixels are True, or, of parts, add it up; and set a quality bit."""
        if number := np.count_nonzero(pixels):
            self.quality |= bit
            if self._part is None:
                self.say(f"{number} {what}")
            else:
                self.counted[what] += int(number)
