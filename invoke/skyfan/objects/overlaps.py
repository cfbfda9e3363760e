"""The relative shift and rotation of two images, from the stars that both have; many pairs of images at once.

A correction of an image is a small rotation vector w of the sphere, in arcseconds: a position p (unit vector)
becomes p + w x p. Two components of w shift the image, and the one along its centre turns it. No pole and no
seam of coordinates is special. Stars a and b of two images that are the same star say b - a = (w_a - w_b) x
p.

What a pair gives depends on nothing but its own stars: sums run over them in their order, whatever other
pairs are solved in the same call.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

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
_CELLS = int(np.ceil(2 * SEARCH / VOTE)) + 1
"""Cells of side VOTE along an axis of the grid of shifts; a vote counts in squares of two by two."""
_UNITS = 1 << 31
_MEDIAN = 0.83
"""Of chi of two axes, sqrt((x**2 + y**2) / 2), for errors of 1."""


@dataclass(frozen=True)
class Stars:
    """The stars of images for finding offsets, sorted by image."""

    start: Indices
    """(images + 1,): those of image i are the rows start[i] to start[i + 1]."""
    xyz: Floats
    """(n, 3) unit vectors."""
    sigma: Floats
    """(n,) errors of a position per axis in arcseconds."""


@dataclass(frozen=True)
class Overlaps:
    """What the stars of pairs (m,) of images say of the differences w_a - w_b of their corrections."""

    matrix: Floats
    """(m, 3, 3) normal equations, in 1/arcsec**2; 0 for a pair that no shift brings together."""
    vector: Floats
    """(m, 3) in 1/arcsec."""
    stars: Indices
    """(m,) stars that both have; 0 for such a pair."""
    scatter: Floats
    """(m,) root mean square per axis of their differences that the correction leaves, in arcseconds."""

    @property
    def is_solved(self) -> NDArray[np.bool_]:
        """(m,)."""
        return self.stars > 0

    def take(self, rows: Indices) -> "Overlaps":
        """Some of them."""
        return Overlaps(*(getattr(self, field.name)[rows] for field in fields(self)))

    @classmethod
    def joined(cls, parts: "Sequence[Overlaps]") -> "Overlaps":
        """One after the other."""
        whole = (np.concatenate([getattr(each, field.name) for each in parts]) for field in fields(cls))
        return cls(*whole) if parts else NONE


NONE = Overlaps(np.empty((0, 3, 3)), np.empty((0, 3)), np.empty(0, np.intp), np.empty(0))


@dataclass(frozen=True)
class _Ties:
    """Stars of the first and of the second image of pairs, sorted by pair."""

    pair: Indices
    """(k,)."""
    a: Indices
    """(k,) row of the star of the first image."""
    b: Indices
    """(k,) of the second."""

    def take(self, rows: Indices) -> "_Ties":
        return _Ties(self.pair[rows], self.a[rows], self.b[rows])


def solve(stars: Stars, pairs: Indices) -> Overlaps:
    """The shifts between pairs (m, 2) of images."""
    count = len(pairs)
    ties = _near(stars, pairs)
    centre = _centres(stars, pairs)
    east, north = tangents(centre)
    d = (stars.xyz[ties.b] - stars.xyz[ties.a]) / ARCSEC
    shifts = np.stack([dot(d, east[ties.pair]), dot(d, north[ties.pair])], axis=1)
    peak = _peaks(ties.pair, shifts, count)
    away = _length(shifts - peak[ties.pair])
    kept = np.flatnonzero(away < VOTE)  # none of a pair without a peak, which is NaN
    middle = _means(ties.pair[kept], shifts[kept], count)
    ties, away = ties.take(kept), _length(shifts[kept] - middle[ties.pair[kept]])
    ties = ties.take(_mutual(stars, pairs, ties, away))
    sigma = np.sqrt(stars.sigma[ties.a] ** 2 + stars.sigma[ties.b] ** 2 + FLOOR**2)
    return fitted(ties.pair, stars.xyz[ties.a], stars.xyz[ties.b], sigma, centre)


def _near(stars: Stars, pairs: Indices) -> _Ties:
    """All pairs of stars within SEARCH, also of chance."""
    trees = {
        image: cKDTree(stars.xyz[stars.start[image] : stars.start[image + 1]])
        for image in np.unique(pairs).tolist()
        if stars.start[image] < stars.start[image + 1]
    }
    pair, a, b = [np.empty(0, np.intp)], [np.empty(0, np.intp)], [np.empty(0, np.intp)]
    for number, (one, other) in enumerate(pairs.tolist()):
        if one in trees and other in trees:
            found = trees[one].sparse_distance_matrix(trees[other], SEARCH * ARCSEC, output_type="ndarray")
            order = np.lexsort((found["j"], found["i"]))
            a.append(found["i"][order] + stars.start[one])
            b.append(found["j"][order] + stars.start[other])
            pair.append(np.full(len(found), number))
    return _Ties(np.concatenate(pair), np.concatenate(a), np.concatenate(b))


def _centres(stars: Stars, pairs: Indices) -> Floats:
    """(m, 3): the middle of the stars of the first image of each pair; of none, any unit vector."""
    image = np.repeat(np.arange(len(stars.start) - 1), np.diff(stars.start))
    total = sums(image, stars.xyz, len(stars.start) - 1)[pairs[:, 0]]
    total[~total.any(axis=1)] = (1.0, 0.0, 0.0)
    centre: Floats = total / np.sqrt(dot(total, total))[:, None]
    return centre


def _peaks(pair: Indices, shifts: Floats, count: int) -> Floats:
    """(m, 2): the shift on which most ties of a pair agree; NaN if chance could bring as many together."""
    cell = np.floor((shifts + SEARCH) / VOTE).astype(np.intp).clip(0, _CELLS - 1)
    code = (pair * _CELLS + cell[:, 0]) * _CELLS + cell[:, 1]
    votes = np.bincount(code, minlength=count * _CELLS**2).reshape(count, _CELLS, _CELLS)
    squares = votes[:, :-1, :-1] + votes[:, 1:, :-1] + votes[:, :-1, 1:] + votes[:, 1:, 1:]
    best = squares.reshape(count, -1).argmax(axis=1)
    most = squares.reshape(count, -1)[np.arange(count), best]
    corner = np.column_stack([best // (_CELLS - 1), best % (_CELLS - 1)])
    expected = np.bincount(pair, minlength=count) * (2 * VOTE) ** 2 / (np.pi * SEARCH**2)
    is_chance = most < np.maximum(MINIMUM, expected + 6 * np.sqrt(expected) + 2)
    voted = ((cell - corner[pair]) // 2 == 0).all(axis=1)
    peak = _means(pair[voted], shifts[voted], count)
    peak[is_chance] = np.nan
    return peak


def _mutual(stars: Stars, pairs: Indices, ties: _Ties, away: Floats) -> Indices:
    """Those of the ties (k,) that are the nearest to the shift of their pair for both of their stars."""
    is_nearest = np.ones(len(away), bool)
    for image, star in zip(pairs.T, (ties.a, ties.b), strict=True):
        sizes = np.diff(stars.start)[image]
        code = star - stars.start[image][ties.pair] + (np.cumsum(sizes) - sizes)[ties.pair]
        nearest = np.full(int(sizes.sum()), np.inf)
        np.minimum.at(nearest, code, away)
        is_nearest &= away == nearest[code]
    return np.flatnonzero(is_nearest)


def fitted(pair: Indices, a: Floats, b: Floats, sigma: Floats, centre: Floats) -> Overlaps:
    """Least squares with outliers left out, from stars (k, 3) of pairs (k,), sorted, around centres (m, 3).

    The turn is known to ROTATION before. A pair that keeps fewer than MINIMUM stars is not solved.
    """
    count = len(centre)
    d: Floats = (b - a) / ARCSEC
    middle: Floats = (a + b) / 2
    prior = centre[:, :, None] * centre[:, None, :] / ROTATION**2 + 1e-9 * np.eye(3)
    used = np.ones(len(d), bool)
    scale, residual = np.ones(count), np.zeros((len(d), 3))
    for _ in range(_ROUNDS):
        matrix, vector = _normal(pair[used], middle[used], d[used], sigma[used], count)
        solution = np.linalg.solve(matrix + prior, vector[:, :, None])[:, :, 0]
        residual = d - cross(solution[pair].astype(np.float64), middle)
        chi = np.sqrt(dot(residual, residual) / 2) / sigma
        scale = np.maximum(1.0, np.nan_to_num(medians(pair[used], chi[used], count)) / _MEDIAN)
        keep = chi < _CLIP * scale[pair]
        if np.array_equal(keep, used):
            break
        used = keep
    matrix, vector = _normal(pair[used], middle[used], d[used], sigma[used], count)
    number = np.bincount(pair[used], minlength=count)
    number[number < MINIMUM] = 0
    weight = np.where(number > 0, 1 / scale**2, 0.0)
    squares = np.bincount(pair[used], dot(residual, residual)[used], count)
    scatter = np.sqrt(squares / 2 / np.maximum(number, 1))
    return Overlaps(matrix * weight[:, None, None], vector * weight[:, None], number, scatter)


def _normal(pair: Indices, p: Floats, d: Floats, sigma: Floats, count: int) -> tuple[Floats, Floats]:
    """Normal equations (m, 3, 3) and (m, 3) of d = w x p for the rotation vectors w; all in arcseconds."""
    weight = 1 / sigma**2
    matrix = np.empty((count, 3, 3))
    for row, column in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)):
        products = np.bincount(pair, weight * p[:, row] * p[:, column], count)
        matrix[:, row, column] = matrix[:, column, row] = -products
    trace = -matrix[:, 0, 0] - matrix[:, 1, 1] - matrix[:, 2, 2]
    matrix += trace[:, None, None] * np.eye(3)
    return matrix, sums(pair, weight[:, None] * cross(p, d), count)


def medians(group: Indices, values: Floats, count: int) -> Floats:
    """The medians (m,) of values (k,) >= 0 of groups (k,); the lower one of an even number, NaN of none."""
    # A value becomes a fraction of 2**31, so that one sort of whole numbers sorts groups and values.
    fraction = np.rint(values / (1 + values) * _UNITS).astype(np.int64)
    ordered = np.sort(group * (_UNITS + 1) + fraction)
    number = np.bincount(group, minlength=count)
    middle = np.cumsum(number) - number + np.maximum(number - 1, 0) // 2
    part = np.append(ordered, 0)[np.minimum(middle, len(ordered))] - np.arange(count) * (_UNITS + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        median: Floats = np.where(number > 0, part / (_UNITS - part), np.nan)
    return median


def sums(group: Indices, values: Floats, count: int) -> Floats:
    """(m, k): sums of values (n, k) by group (n,)."""
    return np.stack([np.bincount(group, column, count) for column in values.T], axis=1).astype(np.float64)


def _means(group: Indices, values: Floats, count: int) -> Floats:
    """(m, k) likewise; NaN of none."""
    with np.errstate(invalid="ignore"):
        means: Floats = sums(group, values, count) / np.bincount(group, minlength=count)[:, None]
    return means


def tangent(centre: Floats) -> Floats:
    """(2, 3): the directions east and north at a unit vector; at a pole, along the axes."""
    (east,), (north,) = tangents(centre[None])
    return np.stack([east, north])


def tangents(centre: Floats) -> tuple[Floats, Floats]:
    """The directions east and north, (n, 3) each, at unit vectors (n, 3); at a pole, along the axes."""
    x, y, z = centre.T
    across = np.hypot(x, y)
    is_pole = across < 1e-12
    across = np.where(is_pole, 1.0, across)
    u, v = np.where(is_pole, 1.0, x / across), np.where(is_pole, 0.0, y / across)
    across = np.where(is_pole, 0.0, across)
    return np.stack([-v, u, np.zeros_like(u)], axis=1), np.stack([-z * u, -z * v, across], axis=1)


def dot(a: Floats, b: Floats) -> Floats:
    """(n,): scalar products of vectors (n, 3)."""
    product: Floats = a[:, 0] * b[:, 0] + a[:, 1] * b[:, 1] + a[:, 2] * b[:, 2]
    return product


def _length(flat: Floats) -> Floats:
    length: Floats = np.hypot(flat[:, 0], flat[:, 1])
    return length


def cross(a: Floats, b: Floats) -> Floats:
    """The cross products of vectors (n, 3); numpy's takes several times as long for few of them."""
    (x, y, z), (u, v, w) = a.T, b.T
    return np.stack([y * w - z * v, z * u - x * w, x * v - y * u], axis=1)
