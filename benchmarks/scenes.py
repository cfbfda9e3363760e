"""The backgrounds that sources are planted in: which real pixels, in which form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from planting import Scene, Shape, star

FLT, DRIZZLED = "ib6o23rsq_flt.fits", "abell2744_f105w_drz.fits"
# Stars as sharp as WFC3/IR's, and galaxies about three times as wide with an axis ratio of 2.
SHAPES = (star(2.2), Shape("gaussian", 3.0, 1.5))


class Background(NamedTuple):
    """A scene: its name and meaning, the file it is made of and how, and how many pictures to plant."""

    name: str
    meaning: str
    file: str
    make: Callable[[Path], Scene]
    pictures: int


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
