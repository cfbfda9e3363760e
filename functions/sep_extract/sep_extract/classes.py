"""CLASS: what kind of source each row is, one bit per kind."""

from __future__ import annotations

from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from .flags import Flag
from .pointsource import PointSource, concentration
from .sources import Flags, Isophotal, Sources

# S/N of FLUX_AUTO and of FLUX_ISO: of rows below both, the negative of an image has more than the image; of
# the others 3.5 % as many (F140W, resampled: benchmarks/science). FLUX_ISO shares less of the noise of wide
# areas, and tells the small sources in a cluster of galaxies.
FAINT_BELOW, FAINT_BELOW_ISO = 4.0, 6.5
# Stars have indices within so many times the scatter by noise and the locus, which must be below the third.
_SHARPER, _BROADER, _CERTAIN = 3.5, 3.0, 0.25
_SHARP_BY = 0.1
_SWARM_REACH, _SWARM_SHARE = 2.0, 0.063
_MOST_SATURATED = 1000


class Class(IntFlag):
    """Bits of the column CLASS; MEANING says each in a sentence."""

    STAR = 1
    EXTENDED = 2
    SHARP = 4
    SATURATED = 8
    SWARM = 16
    EDGE = 32
    FAINT = 64


MEANING = {
    Class.STAR: "a point source: its concentration index is that of the stars",
    Class.EXTENDED: "more extended than a point source",
    Class.SHARP: "too sharp for a point source: a hot pixel or a cosmic ray",
    Class.SATURATED: "has saturated pixels",
    Class.SWARM: "near a saturated star and much fainter: may be a spike or another part of it",
    Class.EDGE: "near an edge: cut by it, or an aperture is",
    Class.FAINT: f"faint, may be noise: FLUX_AUTO is less than {FAINT_BELOW:g} times its error, and FLUX_ISO "
    f"less than {FAINT_BELOW_ISO:g} times",
}


def kinds(sources: Sources, point: PointSource) -> Flags:
    """The bits of each source but FAINT, (n,).

    STAR, EXTENDED and SHARP are set where the concentration index tells, with its noise and the width of the
    locus of stars. Nothing tells them of saturated stars, nor without a locus.
    """
    inner, flags = sources.isophotal, sources.flags
    bits = np.zeros(len(sources), dtype=np.int16)
    saturated = (flags & Flag.SATURATED) != 0
    bits[saturated] |= Class.SATURATED
    bits[(flags & (Flag.TRUNCATED | Flag.APERTURE)) != 0] |= Class.EDGE
    bits[_near_saturated(inner, saturated)] |= Class.SWARM
    index, error = concentration(sources.photometry.flux_pair, sources.photometry.flux_error_pair)
    with np.errstate(invalid="ignore"):
        scatter = np.hypot(error, point.width)
        certain = (scatter < _CERTAIN) & ~saturated
        off = index - point.index
        sharp = certain & (off < -np.maximum(_SHARPER * scatter, _SHARP_BY))
        extended = certain & (off > _BROADER * scatter)
    bits[sharp] |= Class.SHARP
    bits[extended] |= Class.EXTENDED
    bits[certain & np.isfinite(off) & ~sharp & ~extended] |= Class.STAR
    return bits


def _near_saturated(found: Isophotal, saturated: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Sources within two isophotal radii of a saturated star and three magnitudes fainter, (n,)."""
    near = np.zeros(len(saturated), dtype=bool)
    stars = np.flatnonzero(saturated)
    for star in stars[np.argsort(-found.flux[stars])][:_MOST_SATURATED]:
        reach = _SWARM_REACH**2 * found.area_filtered[star] / np.pi
        close = (found.x - found.x[star]) ** 2 + (found.y - found.y[star]) ** 2 < reach
        near |= close & (found.flux < _SWARM_SHARE * found.flux[star])
    return near


def classify(sources: Sources) -> Flags:
    """The bits of each source, (n,)."""
    whole, inner = sources.photometry, sources.isophotal
    bits = np.zeros(len(sources), dtype=np.int16)
    # An unknown flux is not known to exceed the noise.
    firm = whole.flux_auto >= FAINT_BELOW * whole.flux_error_auto
    firm |= inner.flux >= FAINT_BELOW_ISO * inner.flux_error
    bits[~firm] |= Class.FAINT
    return bits
