"""The relative shift and rotation of two images, from the stars that both have.

A correction of an image is a small rotation vector w of the sphere, in arcseconds: a position p (unit vector)
becomes p + w x p. Two components of w shift the image, and the one along its centre turns it. No pole and no
seam of coordinates is special. Stars a and b of two images that are the same star say b - a = (w_a - w_b) x
p.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .groups import ARCSEC, Floats, Indices
from .libraries import cKDTree

SEARCH = 2.5
"""Largest shift between two images that is found, in arcseconds; pointings of Hubble before Gaia err by 1."""
VOTE = 0.1
"""Arcseconds within which shifts of pairs of stars agree at first."""
FLOOR = 0.0005
"""Error in arcseconds that no position is better than."""
ROTATION = 36.0
"""Arcseconds (0.01 degrees): the roll angle of an image is known that well before."""
MINIMUM = 4
"""Stars that two images must share."""
_ROUNDS = 4
_CLIP = 3.5


@dataclass(frozen=True)
class Stars:
    """The stars of all images for finding offsets, sorted by image."""

    start: Indices
    """(images + 1,): those of image i are the rows start[i] to start[i + 1]."""
    xyz: Floats
    """(n, 3) unit vectors."""
    sigma: Floats
    """(n,) errors of a position per axis in arcseconds."""

    def of(self, image: int) -> tuple[Floats, Floats]:
        """The stars of an image."""
        rows = slice(self.start[image], self.start[image + 1])
        return self.xyz[rows], self.sigma[rows]


@dataclass(frozen=True)
class Overlap:
    """What the stars of two images say of the difference w_a - w_b of their corrections: normal equations."""

    matrix: Floats
    """(3, 3) in 1/arcsec**2."""
    vector: Floats
    """(3,) in 1/arcsec."""
    stars: int


def solve(stars: Stars, a: int, b: int) -> Overlap | None:
    """Finds the shift between two images; None if no shift brings enough stars together."""
    (xyz_a, sigma_a), (xyz_b, sigma_b) = stars.of(a), stars.of(b)
    if min(len(xyz_a), len(xyz_b)) < MINIMUM:
        return None
    centre = _unit(xyz_a.sum(axis=0))
    plane = tangent(centre)
    flat_a, flat_b = _projected(xyz_a, plane), _projected(xyz_b, plane)
    near = cKDTree(flat_a).sparse_distance_matrix(cKDTree(flat_b), SEARCH, output_type="ndarray")
    i, j = near["i"], near["j"]
    if len(i) < MINIMUM:
        return None
    shifts = flat_b[j] - flat_a[i]
    peak = _peak(shifts)
    if peak is None:
        return None
    kept = np.flatnonzero(np.hypot(*(shifts - peak).T) < VOTE)
    # Of several partners the nearest to the peak; rows in an order of their own.
    kept = _one_to_one(i, j, np.hypot(*(shifts - np.median(shifts[kept], axis=0)).T), kept)
    i, j = i[kept], j[kept]
    sigma = np.sqrt(sigma_a[i] ** 2 + sigma_b[j] ** 2 + FLOOR**2)
    return _fitted(xyz_a[i], xyz_b[j], sigma, centre)


def tangent(centre: Floats) -> Floats:
    """(2, 3): the directions east and north at a unit vector; at a pole, along the axes."""
    x, y, z = centre
    across = np.hypot(x, y)
    if across < 1e-12:
        return np.array([[0.0, 1.0, 0.0], [-np.sign(z), 0.0, 0.0]])
    return np.array([[-y / across, x / across, 0.0], [-z * x / across, -z * y / across, across]])


def _unit(vector: Floats) -> Floats:
    result: Floats = vector / np.sqrt((vector**2).sum())
    return result


def _projected(xyz: Floats, plane: Floats) -> Floats:
    """(n, 2) arcseconds."""
    flat: Floats = np.stack([(xyz * axis).sum(axis=1) for axis in plane], axis=1) / ARCSEC
    return flat


def _peak(shifts: Floats) -> Floats | None:
    """The shift (2,) on which most pairs of stars agree; None if chance could bring as many together."""
    votes = cKDTree(shifts).query_ball_point(shifts, VOTE, return_length=True)
    expected = len(shifts) * (VOTE / SEARCH) ** 2
    most = votes.max()
    if most < max(MINIMUM, expected + 6 * np.sqrt(expected) + 2):
        return None
    best = np.flatnonzero(votes == most)
    # The mean of equally good ones would be none of them if they are far apart.
    first = best[np.lexsort((shifts[best, 1], shifts[best, 0]))[0]]
    peak: Floats = shifts[np.hypot(*(shifts - shifts[first]).T) < VOTE].mean(axis=0)
    return peak


def _one_to_one(i: NDArray[np.intp], j: NDArray[np.intp], distance: Floats, rows: Indices) -> Indices:
    """Those of the rows, nearest first, in which neither star was used before; then in the order of stars."""
    rows = rows[np.lexsort((j[rows], i[rows], distance[rows]))]
    _, first = np.unique(i[rows], return_index=True)
    rows = rows[np.sort(first)]
    _, first = np.unique(j[rows], return_index=True)
    rows = rows[np.sort(first)]
    ordered: Indices = rows[np.argsort(i[rows])]
    return ordered


def _fitted(a: Floats, b: Floats, sigma: Floats, centre: Floats) -> Overlap | None:
    """Least squares with outliers left out."""
    d: Floats = (b - a) / ARCSEC
    middle: Floats = (a + b) / 2
    prior = np.outer(centre, centre) / ROTATION**2
    used = np.ones(len(d), bool)
    for _ in range(_ROUNDS):
        matrix, vector = normal(middle[used], d[used], sigma[used])
        solution = np.linalg.solve(matrix + prior, vector).astype(np.float64)
        residual: Floats = d - cross(solution.reshape(1, 3), middle)
        chi = np.sqrt((residual**2).sum(axis=1) / 2) / sigma
        scale = max(1.0, float(np.median(chi[used])) / 0.83)  # the median of chi of two axes
        keep = chi < _CLIP * scale
        if keep.sum() < MINIMUM:
            return None
        if np.array_equal(keep, used):
            break
        used = keep
    matrix, vector = normal(middle[used], d[used], sigma[used])
    return Overlap(matrix / scale**2, vector / scale**2, int(used.sum()))


def normal(p: Floats, d: Floats, sigma: Floats) -> tuple[Floats, Floats]:
    """Normal equations (3, 3) and (3,) of d = w x p for the rotation vector w; all in arcseconds."""
    weight = 1 / sigma**2
    outer = (p * weight[:, None]).T @ p
    return np.trace(outer) * np.eye(3) - outer, (weight[:, None] * cross(p, d)).sum(axis=0)


def cross(a: Floats, b: Floats) -> Floats:
    """The cross products of vectors (n, 3); numpy's takes several times as long for few of them."""
    (x, y, z), (u, v, w) = a.T, b.T
    return np.stack([y * w - z * v, z * u - x * w, x * v - y * u], axis=1)
