"""The science planes of an image: plain arrays, a mask, an error model, calibration and WCS."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyfan_function.errors import InputError
from skyfan_function.fits_input import readable

from .brightness import deep, masked_light
from .calibrate import Calibration, calibration, linearised
from .cards import Cards
from .coverage import cut_off, is_constant, masked_share, outside, uncovered
from .encircled import encircled
from .errors import ImageTooSmallError, NoScienceDataError, NoValidPixelsError
from .event import CONTRASTS, DIRECT, DISPERSED, Config
from .exposures import Exposure, Exposures
from .image import Image
from .instruments import Instrument, instrument
from .pixels import Pixels
from .planes import SCIENCE, Plane, name_of, shape_of, version_of
from .quality import Quality
from .saturation import fill, plateau
from .sky import Sky

# Below this side a background and its scatter cannot be told from the sources.
LEAST_SIDE = 8
# A larger masked share of the covered pixels makes an image doubtful.
_MASKED_SHARE = 0.2


@dataclass
class Chip:
    """One science plane of shape (ny, nx), in calibrated units, with what is needed to measure it.

    ``data`` float32, 0 where masked; ``mask`` bool, True where a pixel must not be used; ``error`` float32,
    one sigma with the Poisson noise of sources in it, or None; ``weight`` float32, proportional to the
    inverse background variance, or None; ``dq`` uint32 or None; ``saturated`` bool, pixels that are used and
    flagged. ``hdu`` is the index of the extension in the file.
    """

    hdu: int
    extver: int
    data: NDArray[np.float32]
    mask: NDArray[np.bool_]
    saturated: NDArray[np.bool_]
    calibration: Calibration
    sky: Sky
    instrument: Instrument
    error: NDArray[np.float32] | None = None
    weight: NDArray[np.float32] | None = None
    dq: NDArray[np.uint32] | None = None
    notes: list[str] = field(default_factory=list)
    quality: Quality = Quality.NONE
    exposure: Exposure = field(default_factory=Exposure)

    @property
    def pixels(self) -> Pixels:
        """What is measured."""
        return Pixels(
            self.data,
            self.mask,
            error=self.error,
            weight=self.weight,
            gain=self.calibration.gain,
            dq=self.dq,
            saturated=self.saturated,
            scale=self.sky.scale,
            pair=self.pair,
            expected=self.instrument.stars,
            table=encircled(self.instrument.name, self.calibration.wavelength, self.sky.scale),
            dispersed=Quality.DISPERSED in self.calibration.quality,
        )

    @property
    def pair(self) -> tuple[float, float]:
        """Radii in pixels of the circles of the concentration index."""
        return self.instrument.circles(self.sky.scale)

    def configured(self, config: Config) -> Config:
        """The settings for this chip: the contrast for its kind of image, where none is set;
        default apertures are in pixels where its instrument's are coarse.
        """
        kind = DISPERSED if self.quality & Quality.DISPERSED else DIRECT
        if config.deblend_mincont is None:
            config = replace(config, deblend_mincont=CONTRASTS[kind])
        own = self.instrument.apertures
        if not own or self.sky.scale is None or config.phot_apertures != Config.phot_apertures:
            return config
        return replace(config, phot_apertures=tuple(round(d * self.sky.scale, 3) for d in own))


def chips(image: Image, good_bits: int | None = None) -> Iterator[Chip | str]:
    """Read the science planes one after another, each a Chip, or a note that says why there is none.

    ``good_bits`` overrides the table of acceptable DQ bits. A plane that cannot be used is skipped when
    another can; when none can, the first error is raised.
    """
    first: InputError | None = None
    found = False
    exposures = Exposures()
    for index in image.passed_over:
        yield f"HDU {index} skipped: it holds an image beside those named {SCIENCE}"
    for plane in image.planes:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                chip = _Reader(image, plane, good_bits).read()
        except (NoValidPixelsError, NoScienceDataError, ImageTooSmallError) as exc:
            first = first or exc
            yield f"HDU {plane.science} skipped: {exc}"
            continue
        found = True
        own, primary = (Cards(header) for header in (image.hdus[plane.science].header, image.header))
        chip.exposure = exposures.of(own, primary, chip.sky, chip.data.shape)
        yield chip
        del chip
    if not found and first is not None:
        raise first


class _Reader:
    """Reads one plane and gathers notes and quality bits on the way."""

    def __init__(self, image: Image, plane: Plane, good_bits: int | None) -> None:
        self._image, self._plane, self._good_bits = image, plane, good_bits
        self._hdu = image.hdus[plane.science]
        self._shape = shape_of(self._hdu)
        self._cards = Cards(self._hdu.header, image.header)
        names = (self._cards.text(key) for key in ("TELESCOP", "INSTRUME", "DETECTOR"))
        self._row = instrument(*names)
        self._scaling = linearised(self._cards)
        self._label = f"{image.name} HDU {plane.science}"
        self._notes: list[str] = []
        self._quality = Quality.NONE
        if self._scaling and not self._row.name:
            self._row = instrument("PS1", "", "")
            self._say("pixels are asinh-scaled (BSOFTEN): read as a Pan-STARRS stack", Quality.ASSUMED)

    def read(self) -> Chip:
        if min(self._shape) < LEAST_SIDE:
            raise ImageTooSmallError(
                f"{self._label}: {self._shape[1]} x {self._shape[0]} pixels; "
                f"at least {LEAST_SIDE} x {LEAST_SIDE} are needed"
            )
        if not self._row.name:
            self._say(
                "the instrument is in no table: pixels are in PHOTFLAM's unit, every flagged one is masked",
                Quality.UNKNOWN_INSTRUMENT,
            )
        # Products combined of several exposures keep cards of one of them.
        is_read = name_of(self._hdu) == SCIENCE and not self._is_drizzled()
        calibrated = calibration(self._cards, self._row, is_read=is_read)
        data = self._array(self._plane.science, np.float32)
        assert data is not None
        missing = self._missing(data)
        saturated = self._saturated_level(data, missing)
        if self._scaling:
            offset, softening = self._scaling
            data = (offset + 2 * softening * np.sinh(data * (math.log(10) / 2.5))).astype(np.float32)
            self._say("pixels are asinh-scaled (BSOFTEN): made linear")
        if calibrated.factor != 1.0:
            data *= np.float32(calibrated.factor)
        dq, flagged = self._flags(saturated)
        missing &= ~self._filled(data, saturated)
        saturated &= ~missing
        error, weight, unweighted = self._noise(calibrated.factor, saturated)
        mask = missing | unweighted | (flagged & ~saturated)
        below = deep(data, mask)
        if number := np.count_nonzero(below):
            self._say(f"{number} pixels are more than 50 sigma below the sky: masked")
            mask |= below
        self._check_mask(data, mask, missing, saturated)
        data[mask] = 0
        if not (data > 0).any():
            raise NoValidPixelsError(f"{self._label}: no pixel is above zero")
        if is_constant(data, mask):
            raise NoValidPixelsError(f"{self._label}: all usable pixels hold the same value")
        area = self._areas() if calibrated.surface else None
        if area is not None:
            data *= area
            if error is not None:
                error *= area
            del area
        sky = Sky.read(self._hdu.header, self._image.hdus, self._shape)
        self._quality |= calibrated.quality | (Quality.SKY_LOST if sky.lost else Quality.NONE)
        self._quality |= Quality.SKY_FALLBACK if sky.fallback else Quality.NONE
        self._quality |= Quality.NO_SKY if sky.wcs is None and not sky.lost else Quality.NONE
        notes = [*self._cards.notes, *calibrated.notes, *sky.notes, *self._notes]
        if self._row.cosmic_rays and not self._is_drizzled() and (self._cards.number("NCOMBINE") or 1) <= 1:
            self._quality |= Quality.SINGLE_EXPOSURE
            notes.append("a single exposure: cosmic rays are among the sources")
        if error is None and calibrated.gain is None:
            self._quality |= Quality.NO_POISSON
            notes.append("no ERR, and no electrons to count: errors leave out the Poisson noise of sources")
        return Chip(
            self._plane.science,
            version_of(self._hdu),
            data,
            mask,
            saturated,
            calibrated,
            sky,
            self._row,
            error=error,
            weight=weight,
            dq=dq,
            notes=notes,
            quality=self._quality,
        )

    def _array(self, index: int | None, kind: Any) -> NDArray[Any] | None:
        """A contiguous native copy of an extension's pixels; the file's own bytes are let go."""
        if index is None:
            return None
        hdu = self._image.hdus[index]
        with readable(self._image.name):
            try:
                with np.errstate(over="ignore", invalid="ignore"):
                    return np.array(hdu.data, dtype=kind, order="C").reshape(self._shape)
            finally:
                del hdu.data

    def _areas(self) -> NDArray[np.float32] | None:
        """The pixels' areas relative to PIXAR_SR; None if the file does not tell them."""
        area = self._array(self._plane.area, np.float32)
        if area is None:
            return None
        known = np.isfinite(area) & (area > 0)
        middle = float(np.median(area[known])) if known.any() else 0.0
        if not 0.5 < middle < 2:
            self._say(f"AREA is {middle:g} in the middle, not near 1: not used", Quality.ASSUMED)
            return None
        area[~known] = middle
        return area

    def _missing(self, data: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Pixels that hold no measurement; ``data`` is still in the file's unit."""
        missing: NDArray[np.bool_] = ~np.isfinite(data)
        if self._is_drizzled() and self._plane.error is None and self._plane.weight is None:
            missing |= data == 0
        else:
            weighted = self._plane.weight is not None
            gaps, values = uncovered(data, counting=self._row.counting, weighted=weighted)
            if values:
                share = np.count_nonzero(gaps & ~missing) / data.size
                named = " and ".join(f"{value:g}" for value in values)
                self._say(
                    f"{100 * share:.1f} % of the pixels are {named}: taken for uncovered", Quality.UNCOVERED
                )
                missing |= gaps
            if said := cut_off(data, missing):
                self._say(said, Quality.CUT_OFF)
        if box := [self._cards.number(key) for key in self._row.box]:
            if None in box:
                named = ", ".join(self._row.box)
                self._say(f"{named} are not all there: all columns and rows are used", Quality.ASSUMED)
            else:
                missing |= outside(box, self._shape)
        return missing

    def _is_drizzled(self) -> bool:
        """Whether it is a drizzled Hubble product, which is exactly 0 where no exposure covers."""
        cards = self._cards
        return cards.text("TELESCOP").upper() == "HST" and (
            cards.text("DRIZCORR").upper() == "COMPLETE" or cards.number("NDRIZIM") is not None
        )

    def _saturated_level(self, data: NDArray[np.float32], missing: NDArray[np.bool_]) -> NDArray[np.bool_]:
        level = self._cards.positive("SATURATE") or self._row.level
        if level is None and self._plane.dq is None and not self._row.counting:
            level = plateau(data, missing)
            if level is not None:
                self._say(f"stars end in a plateau of {level:g}: taken for saturation", Quality.ASSUMED)
        if level is None:
            return np.zeros(data.shape, dtype=bool)
        with np.errstate(invalid="ignore"):
            return data >= level

    def _filled(self, data: NDArray[np.float32], saturated: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Saturated pixels without a value, which get one, so that their star stays in one piece."""
        holes = saturated & ~np.isfinite(data)
        if holes.any():
            fill(data, holes)
            holes &= np.isfinite(data)
            number = np.count_nonzero(holes)
            self._say(f"{number} saturated pixels hold no value: their brightest neighbour's is used")
        return holes

    def _flags(self, saturated: NDArray[np.bool_]) -> tuple[NDArray[np.uint32] | None, NDArray[np.bool_]]:
        """DQ bits, and where they forbid the use of a pixel; adds to ``saturated``."""
        index = self._plane.dq
        if index is None:
            return None, np.zeros(self._shape, dtype=bool)
        raw = self._array(index, None)
        assert raw is not None
        # Of 16 bits the highest is a flag, not a sign.
        dq = raw.astype(np.dtype(f"u{raw.dtype.itemsize}") if raw.dtype.kind == "i" else np.uint32)
        dq = dq.astype(np.uint32)
        good = self._row.good if self._good_bits is None else self._good_bits
        if self._row.name and not self._row.flags_known and self._good_bits is None and dq.any():
            self._say(
                "no table of good DQ bits for this instrument: every flagged pixel is masked",
                Quality.UNKNOWN_INSTRUMENT,
            )
        bad = np.uint32(~good & 0xFFFFFFFF)
        wanted = self._row.saturated & ~(self._good_bits or 0)
        saturated |= (dq & np.uint32(wanted)) != 0
        return dq, (dq & bad) != 0

    def _noise(
        self, factor: float, saturated: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None, NDArray[np.bool_]]:
        """ERR and WHT, and where they say that a pixel has no value."""
        weight = self._array(self._plane.weight, np.float32)
        none = np.zeros(self._shape, dtype=bool) if weight is None else ~(np.isfinite(weight) & (weight > 0))
        error = self._array(self._plane.error, np.float32)
        if error is not None:
            error *= np.float32(factor)
            positive = np.isfinite(error) & (error > 0)
            if positive.any():
                # Of these only saturated pixels are used.
                used = (saturated & ~positive).any()
                error[~positive] = np.median(error[positive]) if used else 0
                return error, weight, none | (~positive & ~saturated)
            self._say(
                "ERR holds no positive value: errors come from the measured background",
                Quality.NOISE_FALLBACK,
            )
        return None, weight, none

    def _check_mask(
        self,
        data: NDArray[np.float32],
        mask: NDArray[np.bool_],
        missing: NDArray[np.bool_],
        saturated: NDArray[np.bool_],
    ) -> None:
        usable = mask.size - np.count_nonzero(mask | saturated)
        if usable < LEAST_SIDE**2:
            which = f"all but {usable} pixels are" if usable else "every pixel is"
            raise NoValidPixelsError(f"{self._label}: {which} NaN, uncovered, saturated or flagged")
        # Where a value is taken for uncovered, that has been said.
        share = masked_share(mask, missing, scattered=not self._quality & Quality.UNCOVERED)
        if share > _MASKED_SHARE:
            self._say(f"{100 * share:.0f} % of the covered pixels are masked", Quality.MASKED)
        elif share > 0 and (lost := masked_light(data, mask, missing)) > 0.5:
            self._say(f"{100 * lost:.0f} % of the brightest areas are masked", Quality.MASKED)

    def _say(self, note: str, bit: Quality = Quality.NONE) -> None:
        self._notes.append(note)
        self._quality |= bit
