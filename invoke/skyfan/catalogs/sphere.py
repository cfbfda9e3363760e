"""The sphere and its HEALPix pixels: keys of positions, distances, and the pixels that a circle touches."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

ORDER = 29
"""The order of keys: pixels of 0.4 mas, 2 bits an order below the 12 base pixels (HATS's _healpix_29)."""
_MARGIN = 1e-9
"""Radians added to radii of pixels, far above what is lost in rounding."""


def keys(ra: NDArray[Any], dec: NDArray[Any]) -> NDArray[np.int64]:
    """Nested HEALPix pixels (n,) of order 29 of positions in degrees; -1 where there is no position."""
    from astropy_healpix import healpy  # takes a second: it imports all of astropy.coordinates

    known = np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90)
    found = np.full(len(ra), -1, np.int64)
    found[known] = healpy.ang2pix(1 << ORDER, ra[known] % 360.0, dec[known], nest=True, lonlat=True)
    return found


def separation(ra: float, dec: float, ras: NDArray[Any], decs: NDArray[Any]) -> NDArray[np.float64]:
    """Great-circle distances (n,) in degrees by Vincenty's formula: exact at any distance and at poles."""
    away = np.radians(np.asarray(ras, np.float64) - ra)
    here, there = math.radians(dec), np.radians(np.asarray(decs, np.float64))
    x = math.cos(here) * np.sin(there) - math.sin(here) * np.cos(there) * np.cos(away)
    y = np.cos(there) * np.sin(away)
    z = math.sin(here) * np.sin(there) + math.cos(here) * np.cos(there) * np.cos(away)
    distance: NDArray[np.float64] = np.degrees(np.arctan2(np.hypot(x, y), z))
    return distance


def pixel_radius(order: int) -> float:
    """The largest distance in radians from a pixel's centre to its edge (Górski et al. 2005, eq. 2 to 9).

    It is that of the pixels at the corner of a base pixel on the border of the polar cap.
    """
    nside = 1 << order
    inner, longitude = 2 / 3, math.pi / (4 * nside)
    outer = 1 - (1 - 1 / nside) ** 2 / 3
    a = (math.sqrt(1 - inner**2) * math.cos(longitude), math.sqrt(1 - inner**2) * math.sin(longitude), inner)
    b = (math.sqrt(1 - outer**2), 0.0, outer)
    return 2 * math.asin(min(1.0, math.dist(a, b) / 2))


def circle(ra: float, dec: float, radius: float) -> NDArray[np.int64]:
    """Ranges (n, 2) of keys, from and up to, ascending and apart, that hold the circle. All in degrees.

    A pixel is kept where its centre is no farther than the radius and its own radius, down to pixels of the
    circle's size: never too few, a few too many.
    """
    from astropy_healpix import healpy

    pixels = np.arange(12, dtype=np.int64)
    reach = math.radians(radius)
    order = 0
    while True:
        ras, decs = healpy.pix2ang(1 << order, pixels, nest=True, lonlat=True)
        within = np.degrees(reach + pixel_radius(order) + _MARGIN)
        pixels = pixels[separation(ra, dec, ras, decs) <= within]
        # Below 2e-8 degrees the margin would keep all pixels around.
        if pixel_radius(order) <= reach / 2 or order == 24:
            break
        order += 1
        pixels = (4 * pixels[:, None] + np.arange(4)).ravel()
    ranges = np.stack([pixels, pixels + 1], axis=1) << (2 * (ORDER - order))
    starts = np.flatnonzero(np.r_[True, ranges[1:, 0] != ranges[:-1, 1]])
    ends = np.r_[starts[1:] - 1, len(ranges) - 1]
    return np.stack([ranges[starts, 0], ranges[ends, 1]], axis=1)
