"""Groups of detections that are one object: friends of friends, at most one detection of each exposure.

Two detections are friends if their distance is at most SIGMAS times its error, and at most PIXELS pixels of
the coarser image: about the width of the point spread function, below which an image has no two sources.
Plain friends of friends would chain neighbours in dense fields. So a group with two detections of one
exposure is split: its links are taken from the shortest to the longest, and one that would bring two
detections of an exposure together is left out. Neither depends on the order of detections.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .libraries import cKDTree, connected_components, coo_array

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

SIGMAS = 5.0
PIXELS = 1.5
NEIGHBOURS = 15
"""Links of a detection to its nearest friends. Those of one object are linked through each other: the number
of all their pairs would grow with the square of the number of exposures.
"""
ARCSEC = np.pi / 180 / 3600


def reach(pixel: float) -> float:
    """The longest link in arcseconds between images with pixels up to this size, also in arcseconds."""
    return PIXELS * pixel


def group(xyz: Floats, sigma: Floats, pixel: Floats, exposure: Indices) -> tuple[Indices, NDArray[np.bool_]]:
    """Numbers of groups (n,), in the order of their first members, and whether the friends were split (n,).

    `xyz` are unit vectors (n, 3), `sigma` errors of a position per axis in arcseconds (n,), `pixel` sides of
    a pixel in arcseconds (n,), `exposure` numbers of exposures (n,). Rows must be in an order of their own,
    such as that of SOURCE_ID, which decides between links of equal length.
    """
    count = len(xyz)
    first, second, length = _links(xyz, sigma, pixel)
    label = _connected(first, second, count)
    conflicts = _with_repeats(label, exposure)
    is_split = np.isin(label, conflicts)
    if len(conflicts):
        inside = np.flatnonzero(is_split)
        index = np.full(count, -1)
        index[inside] = np.arange(len(inside))
        chosen = is_split[first] & (exposure[first] != exposure[second])
        order = np.lexsort((second[chosen], first[chosen], length[chosen]))
        a, b = index[first[chosen]][order], index[second[chosen]][order]
        label[inside] = count + _joined(a, b, exposure[inside])
    return _by_first_member(label), is_split


def _links(xyz: Floats, sigma: Floats, pixel: Floats) -> tuple[Indices, Indices, Floats]:
    """Pairs of friends, the smaller index first, each once or twice, and their distances in arcseconds."""
    count = len(xyz)
    longest = reach(float(pixel.max(initial=0.0))) * ARCSEC
    tree = cKDTree(xyz, balanced_tree=False, compact_nodes=False)
    # A little more than the longest, because the bound is exclusive and the distances are computed again
    # below.
    _, near = tree.query(xyz, k=NEIGHBOURS + 1, distance_upper_bound=longest * 1.000001)
    other = near.ravel()
    own = np.repeat(np.arange(count), NEIGHBOURS + 1)
    is_pair = (other < count) & (other != own)
    own, other = own[is_pair], other[is_pair]
    first, second = np.minimum(own, other), np.maximum(own, other)
    length = distance(xyz[first], xyz[second])
    limit = np.minimum(
        SIGMAS * np.sqrt(sigma[first] ** 2 + sigma[second] ** 2),
        PIXELS * np.maximum(pixel[first], pixel[second]),
    )
    is_friend = length <= limit
    return first[is_friend], second[is_friend], length[is_friend]


def distance(a: Floats, b: Floats) -> Floats:
    """Arcseconds (n,) between unit vectors (n, 3), for short ones: the chord."""
    d = b - a
    length: Floats = np.sqrt(d[:, 0] ** 2 + d[:, 1] ** 2 + d[:, 2] ** 2) / ARCSEC
    return length


def _connected(first: Indices, second: Indices, count: int) -> Indices:
    links = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(count, count))
    label: Indices = connected_components(links.tocsr(), directed=False)[1].astype(np.intp)
    return label


def _with_repeats(label: Indices, exposure: Indices) -> Indices:
    """The groups that have two detections of an exposure."""
    order = np.lexsort((exposure, label))
    a, b = label[order], exposure[order]
    is_repeat = (a[1:] == a[:-1]) & (b[1:] == b[:-1])
    return np.unique(a[1:][is_repeat])


def _joined(first: Indices, second: Indices, exposure: Indices) -> Indices:
    """Groups (n,) after all links in their order, without those that would join two of one exposure."""
    parent = list(range(len(exposure)))
    members = [{number} for number in exposure.tolist()]

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = at = parent[parent[at]]
        return at

    for a, b in zip(map(root, _each(first)), map(root, _each(second)), strict=True):
        if a != b and members[a].isdisjoint(members[b]):
            small, large = (a, b) if len(members[a]) < len(members[b]) else (b, a)
            parent[small] = large
            members[large] |= members[small]
    return np.array([root(at) for at in range(len(parent))], np.intp)


def _each(values: Indices) -> Iterator[int]:
    yield from values.tolist()


def _by_first_member(label: Indices) -> Indices:
    _, first, inverse = np.unique(label, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.intp)
    rank[np.argsort(first)] = np.arange(len(first))
    numbers: Indices = rank[inverse.ravel()]
    return numbers
