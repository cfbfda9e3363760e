"""HEALPix keys of positions, distances on the sphere, and the keys that a circle covers."""

import math
from typing import Any

import hpgeom
import numpy as np
from numpy.typing import NDArray

ORDER = 29
"""Order of the keys: nested pixels of 0.4 mas, two bits per order below the 12 base pixels (_healpix_29)."""
FINEST = 18
"""Order of the smallest pixels, 0.8 arcsec, of partitions and of the cover of a circle."""
_MARGIN = 1e-6
"""Degrees added to radii: hpgeom compares cosines, which err by some 1e-8 degrees at pixels of order 18."""


def keys(ra: NDArray[Any], dec: NDArray[Any]) -> NDArray[np.int64]:
    """Nested HEALPix pixels (n,) of order 29 of positions in degrees; -1 for rows without a position."""
    is_known = np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90)
    pixels = np.full(len(ra), -1, np.int64)
    pixels[is_known] = hpgeom.angle_to_pixel(1 << ORDER, ra[is_known] % 360.0, dec[is_known])
    return pixels


def first_key(order: int, pixel: int) -> int:
    """The smallest key inside a pixel of an order; that of the next pixel is the end of its range."""
    return pixel << (2 * (ORDER - order))


def separation(ra: float, dec: float, ras: NDArray[Any], decs: NDArray[Any]) -> NDArray[np.float64]:
    """Great-circle distances (n,) in degrees by Vincenty's formula, exact everywhere on the sphere."""
    delta = np.radians(np.asarray(ras, np.float64) - ra)
    lat, lats = math.radians(dec), np.radians(np.asarray(decs, np.float64))
    x = math.cos(lat) * np.sin(lats) - math.sin(lat) * np.cos(lats) * np.cos(delta)
    y = np.cos(lats) * np.sin(delta)
    z = math.sin(lat) * np.sin(lats) + math.cos(lat) * np.cos(lats) * np.cos(delta)
    distance: NDArray[np.float64] = np.degrees(np.arctan2(np.hypot(x, y), z))
    return distance


def circle(ra: float, dec: float, radius: float) -> NDArray[np.int64]:
    """Ranges (n, 2) of keys, start and end, ascending and disjoint, that cover the circle. All in degrees.

    The pixels are of the circle's size, of order 18 at the finest: hpgeom misses some of those below 20 mas.
    Never too few, a few too many. From 90 degrees on it is the whole sky: hpgeom leaves out a pixel around
    the antipode that a larger circle enters.
    """
    if radius >= 90:
        return np.array([[0, 12 << (2 * ORDER)]], np.int64)
    order = 0
    while hpgeom.max_pixel_radius(1 << order) > radius / 2 and order < FINEST:
        order += 1
    covered = hpgeom.query_circle(
        1 << order, ra, dec, radius + _MARGIN, inclusive=True, return_pixel_ranges=True
    )
    ranges: NDArray[np.int64] = covered << (2 * (ORDER - order))
    return ranges
