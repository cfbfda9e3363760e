"""Which objects an image covers, and how faint they must be where it has no source at their place."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..sky import footprints
from .groups import ARCSEC, Floats, Indices
from .libraries import cKDTree
from .offsets import corrected
from .overlaps import tangent

EDGE = 10.0
"""Pixels from the edge of a chip within which an object does not count as covered."""


@dataclass(frozen=True)
class Outlines:
    """The chips of images on the sky."""

    image: Indices
    """(m,) number of the image."""
    corners: list[Floats]
    """(m,) arrays (corners, 3) of unit vectors, with the offset of the image applied."""
    depth: Floats
    """(m,) magnitudes, 5 sigma; NaN if unknown."""
    edge: Floats
    """(m,) EDGE in arcseconds."""
    centre: Floats
    """(m, 3) unit vectors."""
    radius: Floats
    """(m,) to the farthest corner, as a chord of the unit sphere."""


NONE = Outlines(np.empty(0, np.intp), [], np.empty(0), np.empty(0), np.empty((0, 3)), np.empty(0))


def outlines(
    regions: list[str | None], depths: list[str | None], scale: Floats, vector: Floats, numbers: Indices
) -> Outlines:
    """The chips of images from their columns s_region, chip_depth and scale, and their corrections (n, 3).

    `numbers` are those of the images (n,). An image has as many depths as outlines, or the shallowest counts.
    """
    image, corners, depth, edge = [], [], [], []
    for number, region, text, pixel, turn in zip(numbers, regions, depths, scale, vector, strict=True):
        shapes = footprints.parse(region)
        each = np.array((text or "nan").split(), np.float64)
        if len(each) != len(shapes):
            each = np.full(len(shapes), np.nanmin(each) if np.isfinite(each).any() else np.nan)
        for shape, deep in zip(shapes, each, strict=True):
            xyz = footprints.vectors(*shape.T)
            image.append(number)
            corners.append(corrected(xyz, np.broadcast_to(turn, xyz.shape)))
            depth.append(deep)
            edge.append(EDGE * pixel)
    centre = np.array([xyz.mean(axis=0) for xyz in corners]).reshape(-1, 3)
    centre /= np.sqrt((centre**2).sum(axis=1, keepdims=True))
    radius = np.array(
        [np.sqrt(((xyz - c) ** 2).sum(axis=1).max()) for xyz, c in zip(corners, centre, strict=True)]
    )
    return Outlines(np.array(image, np.intp), corners, np.array(depth), np.array(edge), centre, radius)


def covered(chips: Outlines, xyz: Floats) -> tuple[Indices, Indices]:
    """Pairs of object and chip, (k,) each: the objects at unit vectors (n, 3) on each chip."""
    if not len(xyz) or not len(chips.image):
        return np.empty(0, np.intp), np.empty(0, np.intp)
    near = cKDTree(xyz).query_ball_point(chips.centre, chips.radius, return_sorted=True)
    things, numbers = [], []
    for number, rows in enumerate(near):
        if rows:
            inside = np.array(rows)[_inside(chips, number, xyz[rows])]
            things.append(inside)
            numbers.append(np.full(len(inside), number))
    if not things:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    return np.concatenate(things), np.concatenate(numbers)


def _inside(chips: Outlines, number: int, xyz: Floats) -> NDArray[np.bool_]:
    """Whether points are inside the outline (by the number of edges to their right) and not near its edge."""
    plane = tangent(chips.centre[number])
    corner = _flat(chips.corners[number], plane, chips.centre[number])
    px, py = _flat(xyz, plane, chips.centre[number]).T[:, :, None]
    ax, ay = corner.T
    bx, by = np.roll(corner, -1, axis=0).T
    dx, dy = bx - ax, by - ay
    with np.errstate(divide="ignore", invalid="ignore"):
        crosses = ((ay > py) != (by > py)) & (px < ax + dx * (py - ay) / dy)
        along = np.clip(((px - ax) * dx + (py - ay) * dy) / (dx**2 + dy**2), 0, 1)
    gap = np.hypot(px - ax - along * dx, py - ay - along * dy)
    is_inside: NDArray[np.bool_] = (crosses.sum(axis=1) % 2 == 1) & (
        np.nanmin(gap, axis=1) > chips.edge[number]
    )
    return is_inside


def _flat(xyz: Floats, plane: Floats, centre: Floats) -> Floats:
    """(n, 2) arcseconds in the tangent plane."""
    across = np.stack([(xyz * axis).sum(axis=1) for axis in plane], axis=1)
    flat: Floats = across / (xyz * centre).sum(axis=1)[:, None] / ARCSEC
    return flat


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
