"""The backgrounds that sources are planted in: which real pixels, in which form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from frames import miri_i2d, nircam_cal, tess_ffic
from planting import Scene, Shape, star
from recovery import Recovery, recover

FLT, DRIZZLED = "ib6o23rsq_flt.fits", "abell2744_f105w_drz.fits"
# Stars as sharp as WFC3/IR's, and galaxies about three times as wide with an axis ratio of 2.
SHAPES = (star(2.2), Shape("gaussian", 3.0, 1.5))
# Stars of NIRCam's short wavelengths, sharper than its pixels show.
SHARP = (star(1.4),)


class Background(NamedTuple):
    """A scene: its name and meaning, the file it is made of and how, and how many pictures to plant.

    Sources have a S/N from 1 to ``brightest`` and stand ``spacing`` pixels apart.
    """

    name: str
    meaning: str
    file: str
    make: Callable[[Path], Scene]
    pictures: int
    brightest: float = 300.0
    spacing: int = 30
    shapes: tuple[Shape, ...] = SHAPES

    def recover(self, folder: Path, pictures: int | None = None) -> Recovery:
        """Plant and measure; ``folder`` has the file."""
        scene = self.make(folder / self.file)
        most = (1.0, self.brightest)
        return recover(scene, self.shapes, most, pictures or self.pictures, spacing=self.spacing)


def _shuffled(path: Path) -> Scene:
    return Scene.read(path).shuffled(np.random.default_rng(7))


# Noise that pixels do not share: here errors must be right.
INDEPENDENT = (
    Background("err", "pixels of a WFC3/IR flt dealt out anew, with their ERR", FLT, _shuffled, 8),
    Background(
        "wht",
        "the same without ERR, half of it twice as deep, with WHT",
        FLT,
        lambda p: _shuffled(p).weighted(),
        8,
    ),
    Background(
        "plain",
        "the same without either: noise is measured, gain is EXPTIME",
        FLT,
        lambda p: _shuffled(p).plain(),
        8,
    ),
)
# Images as they are: noise that neighbours share, sources too faint to see, bad pixels.
AS_THEY_ARE = (
    Background("flt", "WFC3/IR G141 flt between its spectra: ERR, DQ", FLT, Scene.read, 10),
    Background(
        "drizzled", "WFC3/IR F105W around a cluster galaxy, drizzled, no weight", DRIZZLED, Scene.read, 6
    ),
)
# The same of whole files that do not ship.
WHOLE = (
    Background("whole flt", "the whole flt", "ib6o23rsq_flt.fits.gz", Scene.read, 2),
    Background(
        "whole blt", "WFC3/IR F140W, resampled (blotted), no ERR", "ib6o23rtq_sci1_blt.fits.gz", Scene.read, 2
    ),
)


def _made(
    name: str,
    meaning: str,
    make: Callable[[np.random.Generator], Scene],
    pictures: int,
    shapes: tuple[Shape, ...] = SHAPES,
) -> Background:
    """Bright sources tell biases; wider apart, their wings are not taken for sky."""
    return Background(
        name, meaning, "", lambda _: make(np.random.default_rng(7)), pictures, 1000.0, 45, shapes
    )


# Frames of other telescopes, made pixel by pixel; frames.py says what is real in them.
MADE = (
    _made("jwst cal", "NIRCam cal, made: MJy/sr in pixels of unequal area, ERR, DQ, AREA", nircam_cal, 6),
    _made("jwst cal, sharp", "the same with stars of 1.4 pixels", nircam_cal, 6, SHARP),
    _made("jwst i2d", "MIRI i2d, made: four exposures resampled, uneven depth, ERR, WHT, CON", miri_i2d, 14),
    _made("tess ffic", "TESS ffic, made: electrons/s under a bright sky, collateral columns", tess_ffic, 10),
)
