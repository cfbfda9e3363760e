"""The science planes of an image: plain arrays, a mask, an error model, calibration and WCS."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from skyfan_function.errors import InputError

from .calibrate import Calibration, calibration, linearised
from .cards import Cards
from .encircled import encircled
from .errors import ImageTooSmallError, NoScienceDataError, NoValidPixelsError
from .event import CONTRASTS, DIRECT, DISPERSED, Config
from .exposures import Exposure, Exposures
from .image import Image
from .instruments import Instrument, instrument
from .mosaic import Mosaic
from .pixels import Flags, Pixels
from .planes import SCIENCE, Plane, name_of, version_of
from .quality import Quality
from .readout import LEAST_SIDE, PixelReader
from .sky import Sky
from .whole import TILING, Tiling


@dataclass
class Chip:
    """One science plane of shape (ny, nx), in calibrated units, with what is needed to measure it.

    ``data`` float32, 0 where masked; ``mask`` bool, True where a pixel must not be used; ``error`` float32,
    one sigma with the Poisson noise of sources in it, or None; ``weight`` float32, proportional to the
    inverse background variance, or None; ``dq`` unsigned integers or None; ``saturated`` bool, pixels that
    are used and flagged. ``hdu`` is the index of the extension in the file.
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
    dq: Flags | None = None
    notes: list[str] = field(default_factory=list)
    quality: Quality = Quality.NONE
    exposure: Exposure = field(default_factory=Exposure)
    glaring: float = math.inf
    name: str = ""
    """EXTNAME of the extension."""
    parts: Mosaic | None = None
    """The pixels instead of all planes here, which are empty, of an image that is measured in tiles."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(ny, nx)."""
        return self.parts.shape if self.parts else self.data.shape

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
            glaring=self.glaring,
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


def chips(image: Image, good_bits: int | None = None, tiling: Tiling = TILING) -> Iterator[Chip | str]:
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
                chip = _Reader(image, plane, good_bits).read(tiling if image.in_tiles(plane) else None)
        except (NoValidPixelsError, NoScienceDataError, ImageTooSmallError) as exc:
            first = first or exc
            yield f"HDU {plane.science} skipped: {exc}"
            continue
        found = True
        own, primary = (Cards(header) for header in (image.hdus[plane.science].header, image.header))
        chip.exposure = exposures.of(own, primary, chip.sky, chip.shape)
        yield chip
        del chip
    if not found and first is not None:
        raise first


class _Reader:
    """Reads one plane: its pixels, its calibration and its place on the sky."""

    def __init__(self, image: Image, plane: Plane, good_bits: int | None) -> None:
        self._image, self._plane = image, plane
        self._hdu = image.hdus[plane.science]
        self._cards = Cards(self._hdu.header, image.header)
        names = (self._cards.text(key) for key in ("TELESCOP", "INSTRUME", "DETECTOR"))
        self._row = instrument(*names)
        stack = linearised(self._cards) and not self._row.name
        if stack:
            self._row = instrument("PS1", "", "")
        self._pixels = PixelReader(image, plane, self._cards, self._row, good_bits)
        self._shape, self._say = self._pixels.shape, self._pixels.say
        if stack:
            self._say("pixels are asinh-scaled (BSOFTEN): read as a Pan-STARRS stack", Quality.ASSUMED)

    def read(self, tiling: Tiling | None) -> Chip:
        if min(self._shape) < LEAST_SIDE:
            raise ImageTooSmallError(
                f"{self._image.name} HDU {self._plane.science}: {self._shape[1]} x {self._shape[0]} pixels; "
                f"at least {LEAST_SIDE} x {LEAST_SIDE} are needed"
            )
        if not self._row.name:
            self._say(
                "the instrument is in no table: pixels are in PHOTFLAM's unit, every flagged one is masked",
                Quality.UNKNOWN_INSTRUMENT,
            )
        # Products combined of several exposures keep cards of one of them.
        is_read = name_of(self._hdu) == SCIENCE and not self._pixels.is_drizzled
        calibrated = calibration(self._cards, self._row, is_read=is_read)
        sky = Sky.read(self._hdu.header, self._image.hdus, self._shape)
        chip = Chip(
            self._plane.science,
            version_of(self._hdu),
            np.zeros((0, 0), np.float32),
            np.zeros((0, 0), dtype=bool),
            np.zeros((0, 0), dtype=bool),
            calibrated,
            sky,
            self._row,
            name=str(self._hdu.name).replace("PRIMARY", ""),
        )
        if tiling:
            chip.parts = Mosaic(self._pixels, calibrated, chip.pixels, tiling)
            has_error = chip.parts.has_error
        else:
            pixels = self._pixels.read(calibrated)
            chip.data, chip.mask, chip.saturated = pixels.data, pixels.mask, pixels.saturated
            chip.error, chip.weight, chip.dq = pixels.error, pixels.weight, pixels.dq
            chip.glaring = pixels.levels.extremes.glaring
            has_error = pixels.error is not None
        quality = self._pixels.quality | calibrated.quality
        quality |= Quality.SKY_LOST if sky.lost else Quality.NONE
        quality |= Quality.SKY_FALLBACK if sky.fallback else Quality.NONE
        quality |= Quality.NO_SKY if sky.wcs is None and not sky.lost else Quality.NONE
        notes = [*self._cards.notes, *calibrated.notes, *sky.notes, *self._pixels.notes]
        single = not self._pixels.is_drizzled and (self._cards.number("NCOMBINE") or 1) <= 1
        if self._row.cosmic_rays and single:
            quality |= Quality.SINGLE_EXPOSURE
            notes.append("a single exposure: cosmic rays are among the sources")
        if not has_error and calibrated.gain is None:
            quality |= Quality.NO_POISSON
            notes.append("no ERR, and no electrons to count: errors leave out the Poisson noise of sources")
        chip.notes, chip.quality = notes, quality
        return chip
