"""Astrometric offsets of images: relative to each other from overlaps, all images at once.

Overlaps say only how images lie relative to each other. What stays open is fixed by the stars that images
share with a reference. Without one, images fitted to Gaia are held to their positions within an error; where
a group of overlapping images has none, the mean offset of the group is 0. An overlap or a tie to the
reference that contradicts the others loses its weight.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from .groups import ARCSEC, Floats, Indices
from .libraries import cKDTree, connected_components, csc_array, splu
from .overlaps import ROTATION, Overlaps, cross, dot, tangents

PARTNERS = 8
"""Other images that each image is compared with."""
CANDIDATES = 256
"""Images of which these are chosen."""
GAIA = 0.005
"""Arcseconds within which an image fitted to Gaia is held."""
_FREE = ROTATION
"""Arcseconds; so weak that it decides only what overlaps leave open. As that of the turn, so that the mean of
all shifts is 0."""
_CLOSE = 0.6
"""Share of the sum of two images' radii below which they overlap: radii reach to corners."""
_UNSOLVED = {"error": np.nan, "group": -1}
"""Values of an image that is not solved, other than 0."""
_ROUNDS = 10
_SOFT, _REJECT = 3.0, 12.0
"""Errors beyond which an overlap has less weight, and beyond which it has none."""


@dataclass(frozen=True)
class Offsets:
    """Corrections of images."""

    vector: Floats
    """(n, 3) rotation vectors in arcseconds; 0 for an unsolved image."""
    error: Floats
    """(n,) error of the shift per axis in arcseconds, those of its neighbours not counted; NaN if
    unsolved.
    """
    overlaps: Indices
    """(n,) number of overlaps used."""
    rejected: Indices
    """(n,) number of overlaps that contradict the others."""
    group: Indices
    """(n,) number of the group of images that are tied together; -1 if unsolved."""
    stars: Indices
    """(n,) stars that tie the image to the reference; 0 if it is not tied itself."""
    rest: Floats
    """(n, 3) what the correction leaves between such an image and the reference, as a rotation vector in
    arcseconds.
    """
    is_anchored: NDArray[np.bool_]
    """(n,) whether the image is tied to the reference, itself or through overlaps."""

    def among(self, numbers: Indices, count: int) -> "Offsets":
        """The same for `count` images, of which these have `numbers`; the others are unsolved."""
        whole = {}
        for each in fields(self):
            values = getattr(self, each.name)
            whole[each.name] = np.full((count, *values.shape[1:]), _UNSOLVED.get(each.name, 0), values.dtype)
            whole[each.name][numbers] = values
        return Offsets(**whole)


def shifts(vector: Floats, centre: Floats) -> tuple[Floats, Floats, Floats]:
    """What rotation vectors (n, 3) add at the centres (n, 3): arcseconds to the east and to the north, and
    degrees of turn.
    """
    moved = cross(vector, centre)
    east, north = tangents(centre)
    return dot(moved, east), dot(moved, north), dot(vector, centre) / 3600


def partners(centre: Floats, radius: Floats) -> Indices:
    """Pairs (m, 2) of images to compare, the smaller index first: up to about PARTNERS of each image.

    `centre` are unit vectors (n, 3), `radius` to the corners in radians (n,). Of all that overlap an image,
    some at every distance are taken: the nearest alone would not tie one visit to the next.
    """
    own, other = _candidates(centre, 2 * _CLOSE * radius)
    length = np.sqrt(((centre[own] - centre[other]) ** 2).sum(axis=1))
    # A pair is found from the larger of the two, or from both.
    close = (own != other) & (length < _CLOSE * (radius[own] + radius[other]))
    first, second = np.minimum(own[close], other[close]), np.maximum(own[close], other[close])
    code, at = np.unique(first * len(centre) + second, return_index=True)
    first, second, length = code // len(centre), code % len(centre), length[close][at]
    chosen = np.zeros(len(first), bool)
    both = np.concatenate([first, second])
    pair = np.tile(np.arange(len(first)), 2)
    order = np.lexsort((pair, length[pair], both))
    image = both[order]
    count = np.bincount(image, minlength=len(centre))
    rank = np.arange(len(image)) - np.repeat(np.cumsum(count) - count, count)
    step = np.maximum(count[image], PARTNERS)
    chosen[pair[order][rank * PARTNERS // step != (rank - 1) * PARTNERS // step]] = True
    return np.column_stack([first[chosen], second[chosen]])


def _candidates(centre: Floats, reach: Floats) -> tuple[Indices, Indices]:
    """Images (k,) and others (k,) within their reach (n,), of unit vectors (n, 3).

    Where more than CANDIDATES are in reach, only every second, fourth... of all images counts, with the two
    nearest: all pairs would grow with the square of the images of a deep field.
    """
    tree = cKDTree(centre)
    number = tree.query_ball_point(centre, reach, return_length=True)
    step = 1 << np.ceil(np.log2(np.maximum(number / CANDIDATES, 1))).astype(np.intp)
    own, other = [np.empty(0, np.intp)], [np.empty(0, np.intp)]
    for each in np.unique(step).tolist():
        rows, some = np.flatnonzero(step == each), np.arange(0, len(centre), each)
        for row, near in zip(
            rows.tolist(), cKDTree(centre[some]).query_ball_point(centre[rows], reach[rows]), strict=True
        ):
            other.append(some[np.sort(np.array(near, np.intp))])
            own.append(np.full(len(near), row))
    deep = np.flatnonzero(step > 1)
    if len(deep):
        nearest = tree.query(centre[deep], k=3)[1]
        own.append(np.repeat(deep, 3))
        other.append(nearest.ravel())
    return np.concatenate(own), np.concatenate(other)


def solve(
    centre: Floats, pairs: Indices, overlaps: Overlaps, held: Floats, ties: Overlaps | None = None
) -> Offsets:
    """The corrections of all images. `held` (n,) are arcseconds within which an image must stay; inf if
    free. `ties` (n,) are those of each image to the reference.
    """
    count = len(centre)
    found = Overlaps.joined([overlaps] if ties is None else [overlaps, ties])
    # The reference is one more image, which does not move.
    to_reference = np.column_stack([np.arange(count), np.full(count, count)])[: 0 if ties is None else count]
    solved = np.flatnonzero(found.is_solved)
    pairs, found = np.concatenate([pairs.reshape(-1, 2), to_reference])[solved], found.take(solved)
    is_tie = pairs[:, 1] == count
    matrix, vector = found.matrix, found.vector
    along = centre[:, :, None] * centre[:, None, :]
    across = np.eye(3) - along
    prior = across / np.minimum(held, _FREE)[:, None, None] ** 2
    prior += (
        along / np.where(np.isfinite(held), np.minimum(held * 100, ROTATION), ROTATION)[:, None, None] ** 2
    )
    weight = np.ones(len(pairs))
    solution = np.zeros((count, 3))
    diagonal = prior
    for _ in range(_ROUNDS if len(pairs) else 0):
        solution, diagonal = _solved(pairs, matrix, vector, prior, weight)
        chi = _chi(pairs, matrix, vector, solution)
        # Of an overlap with few others the error is not known better than of all.
        scale = max(1.0, float(np.median(chi[weight > 0])) / 0.89) if (weight > 0).any() else 1.0
        before, weight = weight, 1 / (1 + (chi / (_SOFT * scale)) ** 2)
        if np.abs(weight - before).max() < 1e-3:
            break
    is_used = weight > 1 / (1 + (_REJECT / _SOFT) ** 2)
    used = np.bincount(pairs[is_used & ~is_tie].ravel(), minlength=count)
    rejected = np.bincount(pairs[~is_used].ravel(), minlength=count)[:count]
    tied = np.flatnonzero(is_used & is_tie)
    stars, rest = np.zeros(count, np.intp), np.zeros((count, 3))
    stars[pairs[tied, 0]] = found.stars[tied]
    is_solved = (used > 0) | (stars > 0)
    if not is_used.all():
        solution, diagonal = _solved(pairs, matrix, vector, prior, np.where(is_used, weight, 0))
    error: Floats = np.full(count, np.nan)
    solution[~is_solved] = 0
    inverse = np.linalg.inv(diagonal).astype(np.float64)
    error[is_solved] = np.sqrt((inverse * across).sum(axis=(1, 2)) / 2)[is_solved]
    rest[pairs[tied, 0]] = own(matrix[tied], vector[tied]) - solution[pairs[tied, 0]]
    graph = csc_array((np.ones(is_used.sum()), pairs[is_used].T), shape=(count + 1, count + 1))
    group = connected_components(graph, directed=False)[1]
    is_anchored = is_solved & (group[:count] == group[count])
    group = np.where(is_solved, group[:count], -1)
    return Offsets(solution, error, used, rejected, group, stars, rest, is_anchored)


def own(matrix: Floats, vector: Floats) -> Floats:
    """(m, 3): what normal equations say by themselves."""
    own = np.linalg.solve(matrix + 1e-9 * np.eye(3), vector[:, :, None])[:, :, 0]
    return own.astype(np.float64)


def _chi(pairs: Indices, matrix: Floats, vector: Floats, solution: Floats) -> Floats:
    """(m,): how many errors each overlap is from the solution."""
    every = np.append(solution, np.zeros((1, 3)), axis=0)  # with the reference
    r = own(matrix, vector) - (every[pairs[:, 0]] - every[pairs[:, 1]])
    chi: Floats = np.sqrt(np.einsum("mi,mij,mj->m", r, matrix, r) / 3)
    return chi


def _solved(
    pairs: Indices, matrix: Floats, vector: Floats, prior: Floats, weight: Floats
) -> tuple[Floats, Floats]:
    """The rotation vectors (n, 3) of least squares, and the blocks (n, 3, 3) on the diagonal of the
    equations.
    """
    count = len(prior)
    each = weight[:, None, None] * matrix
    diagonal, right = prior.copy(), np.zeros((count, 3))
    np.add.at(diagonal, pairs[:, 0], each)
    np.add.at(right, pairs[:, 0], weight[:, None] * vector)
    inner = pairs[:, 1] < count  # the reference stays
    (a, b), each = pairs[inner].T, each[inner]
    np.add.at(diagonal, b, each)
    np.subtract.at(right, b, (weight[:, None] * vector)[inner])
    blocks = np.concatenate([diagonal, -each, -each])
    row = np.concatenate([np.arange(count), a, b])
    column = np.concatenate([np.arange(count), b, a])
    three = np.arange(3)
    rows = np.broadcast_to(3 * row[:, None, None] + three[None, :, None], blocks.shape)
    columns = np.broadcast_to(3 * column[:, None, None] + three[None, None, :], blocks.shape)
    equations = csc_array((blocks.ravel(), (rows.ravel(), columns.ravel())), shape=(3 * count, 3 * count))
    # Symmetric and positive definite: without pivots the ordering keeps the factors sparse.
    factors = splu(
        equations, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )
    return factors.solve(right.ravel()).reshape(-1, 3), diagonal


def corrected(xyz: Floats, vector: Floats) -> Floats:
    """Unit vectors (n, 3) with the corrections (n, 3), in arcseconds, of their images."""
    x, y, z = xyz.T
    u, v, w = (vector * ARCSEC).T
    moved = np.stack([x + v * z - w * y, y + w * x - u * z, z + u * y - v * x], axis=1)
    length = np.sqrt(moved[:, 0] ** 2 + moved[:, 1] ** 2 + moved[:, 2] ** 2)
    result: NDArray[np.float64] = moved / length[:, None]
    return result
