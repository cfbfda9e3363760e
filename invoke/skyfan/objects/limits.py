"""Which objects an image covers, and how faint they must be where it has no source at their place."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..sky import footprints
from .groups import ARCSEC, Floats, Indices
from .libraries import cKDTree
from .offsets import corrected
from .overlaps import dot, sums, tangents

EDGE = 10.0
"""Pixels from the edge of a chip within which an object does not count as covered."""


_BLOCK = 1 << 17
"""Pairs of object and chip at a time; bounds the memory."""


@dataclass(frozen=True)
class Outlines:
    """The chips (m,) of images on the sky."""

    image: Indices
    """(m,) number of the image."""
    start: Indices
    """(m + 1,): the corners of chip i are start[i] to start[i + 1]."""
    corners: Floats
    """(k, 2) east and north in the plane that touches the sky at the chip's centre, in arcseconds."""
    depth: Floats
    """(m,) magnitudes, 5 sigma; NaN if unknown."""
    edge: Floats
    """(m,) EDGE in arcseconds."""
    centre: Floats
    """(m, 3) unit vectors, with the offset of the image applied."""
    radius: Floats
    """(m,) to the farthest corner, as a chord of the unit sphere."""


def outlines(
    regions: list[str | None], depths: list[str | None], scale: Floats, vector: Floats, numbers: Indices
) -> Outlines:
    """The chips of images from their columns s_region, chip_depth and scale, and their corrections (n, 3).

    `numbers` are those of the images (n,). An image has as many depths as outlines, or the shallowest counts.
    """
    row, shapes, depth = [], [], []
    for n, (region, text) in enumerate(zip(regions, depths, strict=True)):
        own = footprints.parse(region)
        each = np.array((text or "nan").split(), np.float64)
        if len(each) != len(own):
            each = np.full(len(own), np.nanmin(each) if np.isfinite(each).any() else np.nan)
        row += [n] * len(own)
        shapes += own
        depth += each.tolist()
    image = np.array(row, np.intp)
    size = np.array([len(shape) for shape in shapes], np.intp)
    chip = np.repeat(np.arange(len(image)), size)
    xyz = footprints.vectors(*np.concatenate([np.empty((0, 2)), *shapes]).T)
    xyz = corrected(xyz, vector[image[chip]])
    centre = sums(chip, xyz, len(image))
    centre /= np.sqrt(dot(centre, centre))[:, None]
    radius = np.zeros(len(image))
    away = xyz - centre[chip]
    np.maximum.at(radius, chip, np.sqrt(dot(away, away)))
    corners = _flat(xyz, centre[chip], *(axis[chip] for axis in tangents(centre)))
    return Outlines(
        numbers[image], np.append(0, np.cumsum(size)), corners, np.array(depth), EDGE * scale[image],
        centre, radius,
    )  # fmt: skip


def covered(chips: Outlines, xyz: Floats) -> tuple[Indices, Indices]:
    """Pairs of object and chip, (k,) each: the objects at unit vectors (n, 3) on each chip."""
    if not len(xyz):
        return np.empty(0, np.intp), np.empty(0, np.intp)
    middle = xyz.mean(axis=0)
    reach = np.sqrt(((xyz - middle) ** 2).sum(axis=1).max())
    away = np.sqrt(((chips.centre - middle) ** 2).sum(axis=1))
    close = np.flatnonzero(away <= reach + chips.radius)
    found = cKDTree(xyz).query_ball_point(chips.centre[close], chips.radius[close], return_sorted=True)
    near = [np.array(rows, np.intp) for rows in found]
    thing = np.concatenate([np.empty(0, np.intp), *near])
    chip = np.repeat(close, [len(rows) for rows in near])
    blocks = [slice(at, at + _BLOCK) for at in range(0, len(thing), _BLOCK)]
    inside = [_inside(chips, chip[block], xyz[thing[block]]) for block in blocks]
    kept = np.flatnonzero(np.concatenate([np.empty(0, bool), *inside]))
    return thing[kept], chip[kept]


def _inside(chips: Outlines, chip: Indices, xyz: Floats) -> NDArray[np.bool_]:
    """Whether points (k, 3) are inside the outlines of chips (k,), and not near their edges."""
    flat = _flat(xyz, chips.centre[chip], *tangents(chips.centre[chip]))
    size = np.diff(chips.start)[chip]
    is_inside = np.zeros(len(chip), bool)
    for corners in np.unique(size).tolist():
        rows = np.flatnonzero(size == corners)
        shape = chips.corners[chips.start[chip[rows]][:, None] + np.arange(corners)]
        is_inside[rows] = _within(shape, flat[rows], chips.edge[chip[rows]])
    return is_inside


def _within(shape: Floats, points: Floats, edge: Floats) -> NDArray[np.bool_]:
    """Whether points (k, 2) are in shapes (k, corners, 2), by the number of edges to their right, and
    farther than `edge` (k,) from each.
    """
    (ax, ay), (bx, by) = shape.transpose(2, 0, 1), np.roll(shape, -1, axis=1).transpose(2, 0, 1)
    px, py = points.T[:, :, None]
    dx, dy = bx - ax, by - ay
    with np.errstate(divide="ignore", invalid="ignore"):
        crosses = ((ay > py) != (by > py)) & (px < ax + dx * (py - ay) / dy)
        along = np.clip(((px - ax) * dx + (py - ay) * dy) / (dx**2 + dy**2), 0, 1)
    gap = np.hypot(px - ax - along * dx, py - ay - along * dy)
    # An edge without length has no distance: a first corner that comes again at the end.
    nearest = np.where(np.isnan(gap), np.inf, gap).min(axis=1)
    is_within: NDArray[np.bool_] = (crosses.sum(axis=1) % 2 == 1) & (nearest > edge)
    return is_within


def _flat(xyz: Floats, centre: Floats, east: Floats, north: Floats) -> Floats:
    """(n, 2) arcseconds in tangent planes (n, 3) each."""
    depth = dot(xyz, centre) * ARCSEC
    return np.column_stack([dot(xyz, east) / depth, dot(xyz, north) / depth])


def limits(
    thing: Indices, chip: Indices, chips: Outlines, seen: NDArray[np.int64], count: int, images: int
) -> tuple[Indices, Floats]:
    """Of `count` objects: the images that cover or see each, and the deepest limit of those that do not see
    it.

    `thing` and `chip` are pairs of covered(), `seen` are sorted codes object * images + image of detections.
    Limits are in magnitudes, NaN where every image that covers the object sees it, or the depth is unknown.
    """
    code = thing * images + chips.image[chip]
    number = np.bincount(np.unique(np.concatenate([code, seen])) // images, minlength=count)
    is_missed = ~np.isin(code, seen)
    deepest = np.full(count, -np.inf)
    depth = chips.depth[chip]
    use = is_missed & np.isfinite(depth)
    np.maximum.at(deepest, thing[use], depth[use])
    return number, np.where(np.isfinite(deepest), deepest, np.nan)


NONE = outlines([], [], np.empty(0), np.empty((0, 3)), np.empty(0, np.intp))
