"""The profile of the stars that are planted: the mean one of an image's own stars, or a Gaussian."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .classes import Class, kinds
from .extract import Measurement
from .pixels import Pixels

Floats = NDArray[np.float64]

STACK, OF_STARS, OF_TABLE, OF_SHARPEST = (
    "stars", "gaussian: stars", "gaussian: published", "gaussian: sharpest sources",
)  # fmt: skip
LEAST_STARS = 5
"""Stars that a measured profile needs."""
_MOST_STARS = 60
# S/N of FLUX_AUTO of those stars, and how far other sources are, in FWHM.
_BRIGHT, _ALONE = 50.0, 8.0
# Profiles reach so far, in FWHM; rings are so wide, in pixels.
_REACH, _RING = 4.0, 0.25
_LARGEST = 40
# S/N of sources that tell a width where no class of stars is known: the sharpest tenth of them.
_FIRM, _SHARPEST = 10.0, 0.1
_PER_SIGMA = math.sqrt(8 * math.log(2))


@dataclass(frozen=True)
class Profile:
    """Light of a star per pixel over the distance from its centre, (k,) each, whatever their unit."""

    radius: Floats
    light: Floats
    fwhm: float
    """Pixels."""
    stars: int
    """Stars of the image that it is the profile of, or that a Gaussian has its width from."""
    kind: str
    """STACK, or a Gaussian with the width of what follows."""

    @property
    def half(self) -> int:
        """Half the side of a stamp, in pixels."""
        return math.ceil(float(self.radius[-1]))

    def stamp(self, x: float, y: float) -> tuple[Floats, int, int]:
        """A star of flux 1 at 0-based ``x``, ``y``: pixels (k, k), and their first column and row."""
        left, bottom = round(x) - self.half, round(y) - self.half
        span = np.arange(2 * self.half + 1)
        distance = np.hypot(span[None, :] + left - x, span[:, None] + bottom - y)
        light = np.interp(distance, self.radius, self.light, right=0.0)
        return light / light.sum(), left, bottom


def gaussian(fwhm: float, kind: str, stars: int = 0) -> Profile:
    """A round Gaussian."""
    radius = np.linspace(0, max(_REACH * fwhm, 4.0), 200)
    return Profile(radius, np.exp(-0.5 * (radius * _PER_SIGMA / fwhm) ** 2), fwhm, stars, kind)


def profile_of(found: Measurement, pixels: Pixels) -> Profile | None:
    """The profile of the stars of an image that stand alone, are bright and not saturated.

    With fewer than LEAST_STARS it is a Gaussian with their width; where no star is known, with that of the
    published point source, or of the sharpest sources that are not too sharp for one. None if nothing tells
    a width. Widths are twice the half-light radius, which of a Gaussian is the FWHM.
    """
    sources = found.sources
    inner, whole = sources.isophotal, sources.photometry
    width = 2 * whole.half_light_radius
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = whole.flux_auto / whole.flux_error_auto
    clean = (sources.flags == 0) & np.isfinite(width) & (width > 0)
    bits = kinds(sources, found.point)
    is_star = clean & ((bits & Class.STAR) != 0) & (snr > _FIRM)
    if not is_star.any():
        if pixels.table is not None:
            return gaussian(2 * float(np.interp(0.5, pixels.table.shares, pixels.table.radii)), OF_TABLE)
        firm = width[clean & (snr > _FIRM) & ((bits & Class.SHARP) == 0)]
        if not len(firm):
            return None
        return gaussian(max(1.0, float(np.quantile(firm, _SHARPEST))), OF_SHARPEST)
    fwhm = max(1.0, float(np.median(width[is_star])))
    bright = np.flatnonzero(is_star & (snr > _BRIGHT))
    alone = bright[_alone(inner.x, inner.y, bright, _ALONE * fwhm)]
    chosen = alone[np.argsort(-snr[alone], kind="stable")][:_MOST_STARS]
    return _stacked(found, pixels, chosen, fwhm) or gaussian(fwhm, OF_STARS, int(is_star.sum()))


def _alone(x: Floats, y: Floats, chosen: NDArray[np.intp], least: float) -> NDArray[np.bool_]:
    """Whether no other source is nearer than ``least`` pixels, of the chosen ones."""
    order = np.argsort(y, kind="stable")
    rows = y[order]
    result = np.zeros(len(chosen), bool)
    for n, i in enumerate(chosen.tolist()):
        low, high = np.searchsorted(rows, [y[i] - least, y[i] + least])
        near = order[low:high]
        result[n] = np.count_nonzero(np.hypot(x[near] - x[i], y[near] - y[i]) < least) == 1
    return result


def _stacked(found: Measurement, pixels: Pixels, stars: NDArray[np.intp], fwhm: float) -> Profile | None:
    """The mean profile: the median over the pixels of all stars, ring by ring; None of too few stars."""
    whole = found.sources.photometry
    half = min(math.ceil(_REACH * fwhm), _LARGEST)
    ny, nx = found.image.shape
    x, y = whole.xwin[stars], whole.ywin[stars]
    inside = (x > half) & (x < nx - 1 - half) & (y > half) & (y < ny - 1 - half)
    stars, x, y = stars[inside], x[inside], y[inside]
    if len(stars) < LEAST_STARS or found.binned != 1:
        return None
    distance, light = [], []
    span = np.arange(-half, half + 1)
    for i, at_x, at_y in zip(stars.tolist(), x.tolist(), y.tolist(), strict=True):
        column, row = round(at_x), round(at_y)
        here = slice(row - half, row + half + 1), slice(column - half, column + half + 1)
        usable = ~pixels.mask[here]
        away = np.hypot(span[None, :] + column - at_x, span[:, None] + row - at_y)
        distance.append(away[usable])
        sky = float(whole.sky[i]) if np.isfinite(whole.sky[i]) else 0.0
        light.append((found.image[here][usable] - sky) / whole.flux_auto[i])
    r, values = np.concatenate(distance), np.concatenate(light)
    edges = np.arange(0, half + _RING, _RING)
    ring = np.digitize(r, edges) - 1
    rings = [n for n in range(len(edges) - 1) if np.count_nonzero(ring == n) >= LEAST_STARS]
    radius = np.array([r[ring == n].mean() for n in rings])
    profile = np.array([np.median(values[ring == n]) for n in rings])
    if not rings or radius[0] > 1 or not profile[0] > 0:
        return None
    profile = np.maximum(profile, 0)
    crossing = np.flatnonzero(profile < profile[0] / 2)
    measured = 2 * float(radius[crossing[0]]) if len(crossing) else fwhm
    if len(crossing) and crossing[0] > 0:
        a, b = crossing[0] - 1, crossing[0]
        share = (profile[a] - profile[0] / 2) / (profile[a] - profile[b])
        measured = 2 * float(radius[a] + share * (radius[b] - radius[a]))
    return Profile(np.append(0.0, radius), np.append(profile[0], profile), measured, len(stars), STACK)
