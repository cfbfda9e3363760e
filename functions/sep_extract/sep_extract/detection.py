"""The sources of a detection image, and where they lie on another image of the same sky."""

from __future__ import annotations

import string
from dataclasses import dataclass, replace
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from skyfan_function.storage import Source

from .apertures import Floats
from .catalog import Table, join, table_of
from .chip import Chip, chips
from .classes import kinds
from .event import Request
from .extract import measure
from .image import Image
from .labels import Labels, Map
from .quality import Quality
from .sky import Sky
from .sources import Isophotal, Photometry, Sources, joined, taken
from .tiles import measure_tiles

# Two grids are one where the sky of a pixel differs by less than this many pixels, at corners and centre.
_SAME = 0.01
# Pixels between those whose places are computed; of the others they are interpolated.
_STEP = 16


@dataclass(frozen=True)
class Plane:
    """One chip of the detection image; its sources are ``first`` to before ``last`` of all."""

    shape: tuple[int, int]
    sky: Sky
    labels: Labels
    first: int
    last: int


@dataclass(frozen=True)
class Detection:
    """The sources of all chips of a detection image, in the order of its catalog.

    ``table`` has the columns of that catalog, ``bits`` (n,) what kinds of sources they are by their light
    there; ``step`` is the worst of its chips.
    """

    source: Source
    sources: Sources
    table: Table
    bits: NDArray[np.int16]
    planes: list[Plane]
    step: int
    notes: list[str]
    quality: Quality

    def __len__(self) -> int:
        return len(self.sources)

    def cards(self, outside: int, *, same: bool) -> dict[str, object]:
        """What a header says of it; ``outside``: sources that do not lie on the measured image."""
        return {
            "DETURI": quote(self.source.uri, safe=string.punctuation),
            "DETVER": self.source.version,
            "DETSAME": (same, "whether both images have one grid of pixels"),
            "DETNSRC": (len(self), "sources of the detection image"),
            "DETOUT": (outside, "of these outside this image: null"),
        }


def detection_of(image: Image, request: Request, source: Source) -> Detection:
    """Find and measure the sources of a detection image, as for its own catalog. Raises FunctionError."""
    found: list[Sources] = []
    tables, bits, planes = [], [], []
    notes, quality, step, first = list(image.notes), Quality.NONE, 0, 0
    for chip in chips(image, request.config.good_bits):
        if isinstance(chip, str):
            notes.append(chip)
            quality |= Quality.PLANE_SKIPPED
            continue
        config, labels = chip.configured(request.config), Labels(chip.shape)
        if chip.parts:
            measured = measure_tiles(chip.parts, config, labels)
        else:
            measured = measure(chip.pixels, config, labels.whole)
        tables.append(table_of(chip, measured))
        bits.append(kinds(measured.sources, measured.point))
        found.append(measured.sources)
        ny, nx = chip.shape
        planes.append(Plane((ny, nx), chip.sky, labels, first, first + len(measured)))
        first += len(measured)
        step = max(step, int(measured.step))
        quality |= chip.quality | measured.quality
        notes += [note for note in (*chip.notes, *measured.notes) if note not in notes]
    return Detection(source, joined(*found), join(tables), np.concatenate(bits), planes, step, notes, quality)


@dataclass(frozen=True)
class Placed:
    """Sources of a detection image on the grid of a chip: ``index`` (n,) among all, ``isophotal`` and
    ``photometry`` with places and shapes in its pixels.
    """

    index: NDArray[np.int64]
    isophotal: Isophotal
    photometry: Photometry


class Grid:
    """How the pixels of one chip lie on the detection image."""

    def __init__(self, detection: Detection, chip: Chip, rank: int) -> None:
        """``rank``: how many chips of its image come before; all that tells those without WCS apart."""
        self._detection, self._chip = detection, chip
        ny, nx = chip.shape
        self._shape = ny, nx
        planes = detection.planes if chip.sky.wcs is not None else detection.planes[rank : rank + 1]
        self.same = next((plane for plane in planes if _is_same(plane, chip)), None)
        """The plane with the same grid."""

    def placed(self, waiting: NDArray[np.bool_]) -> Placed:
        """Those of the ``waiting`` sources (n,) whose barycentre lies on the chip."""
        every = self._detection.sources
        if self.same is not None:
            index = np.arange(self.same.first, self.same.last)
            index = index[waiting[index]]
            return Placed(index, *_taken(every, index))
        indices, isophotals, photometries = [], [], []
        for plane in self._detection.planes:
            index = np.flatnonzero(waiting[plane.first : plane.last]) + plane.first
            isophotal, photometry = self._moved(plane, *_taken(every, index))
            with np.errstate(invalid="ignore"):
                inside = np.isfinite(isophotal.x) & np.isfinite(isophotal.a) & np.isfinite(photometry.xwin)
                for at, side in ((isophotal.x, self._shape[1]), (isophotal.y, self._shape[0])):
                    inside &= (at > -0.5) & (at < side - 0.5)
            which = np.flatnonzero(inside)
            indices.append(index[which])
            isophotals.append(taken(isophotal, which))
            photometries.append(taken(photometry, which))
        return Placed(np.concatenate(indices), joined(*isophotals), joined(*photometries))

    def segments(self, rows: slice, columns: slice) -> Map:
        """Numbers of sources, from 1, of a part of the chip's pixels: those of the nearest pixels there."""
        if self.same is not None:
            labels = self.same.labels.region(rows, columns)
            labels[labels > 0] += np.int32(self.same.first)
            return labels
        found = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.int32)
        y, x = (np.unique(np.append(np.arange(s.start, s.stop, _STEP), s.stop - 1)) for s in (rows, columns))
        world = self._chip.sky.world(*(at.ravel().astype(float) for at in np.meshgrid(x, y)))
        for plane in self._detection.planes:
            ny, nx = plane.shape
            places = plane.sky.pixel(world, ((nx - 1) / 2, (ny - 1) / 2)).reshape(len(y), len(x), 2)
            self._copy(found, plane, places, (rows, columns), (y, x))
        return found

    def _copy(
        self,
        found: Map,
        plane: Plane,
        places: Floats,
        part: tuple[slice, slice],
        nodes: tuple[NDArray[np.int64], NDArray[np.int64]],
    ) -> None:
        """Fill in the segments of one plane of the detection image, strip of nodes by strip."""
        ny, nx = plane.shape
        (rows, columns), (y, x) = part, nodes
        along = np.arange(columns.start, columns.stop)
        for i in range(max(len(y) - 1, 1)):
            low, high = y[i], y[min(i + 1, len(y) - 1)]
            across = np.arange(low, high + 1 if i >= len(y) - 2 else high)
            share = ((across - low) / max(high - low, 1))[:, None]
            one, other = (
                np.stack([np.interp(along, x, places[k, :, axis]) for axis in (0, 1)])
                for k in (i, min(i + 1, len(y) - 1))
            )
            column, row = (one[axis] * (1 - share) + other[axis] * share for axis in (0, 1))
            with np.errstate(invalid="ignore"):
                inside = (column > -0.5) & (column < nx - 0.5) & (row > -0.5) & (row < ny - 0.5)
            if not inside.any():
                continue
            at = np.rint(row[inside]).astype(int), np.rint(column[inside]).astype(int)
            box = tuple(slice(int(a.min()), int(a.max()) + 1) for a in at)
            theirs = plane.labels.region(*box)[at[0] - box[0].start, at[1] - box[1].start]
            theirs[theirs > 0] += np.int32(plane.first)
            here = found[across[0] - rows.start : across[-1] + 1 - rows.start]
            here[inside] = np.where(here[inside] > 0, here[inside], theirs)

    def _moved(self, plane: Plane, found: Isophotal, measured: Photometry) -> tuple[Isophotal, Photometry]:
        """Places and shapes in the pixels of the chip: ellipses are turned by the local Jacobians."""
        sky, start = self._chip.sky, ((self._shape[1] - 1) / 2, (self._shape[0] - 1) / 2)
        here = sky.pixel(plane.sky.world(found.x, found.y), start)
        window = sky.pixel(plane.sky.world(measured.xwin, measured.ywin), start)
        theirs, ours = plane.sky.jacobian(found.x, found.y), sky.jacobian(here[:, 0], here[:, 1])
        turn = np.full((len(here), 2, 2), np.nan)
        known = np.isfinite(theirs).all(axis=(1, 2)) & np.isfinite(ours).all(axis=(1, 2))
        turn[known] = np.linalg.solve(ours[known], theirs[known])
        x2, y2, xy = _turned(turn, found.x2, found.y2, found.xy)
        x2win, y2win, xywin = _turned(turn, measured.x2win, measured.y2win, measured.xywin)
        cos, sin = np.cos(found.theta), np.sin(found.theta)
        a2, b2 = found.a**2, found.b**2
        xx, yy, cross = _turned(
            turn, a2 * cos**2 + b2 * sin**2, a2 * sin**2 + b2 * cos**2, (a2 - b2) * sin * cos
        )
        middle, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, cross)
        with np.errstate(divide="ignore", invalid="ignore"):
            product = xx * yy - cross**2
            a, b = np.sqrt(middle + half), np.sqrt(product / (middle + half))
            inner = replace(
                found,
                x=here[:, 0],
                y=here[:, 1],
                x2=x2,
                y2=y2,
                xy=xy,
                a=a,
                b=b,
                theta=np.clip(0.5 * np.arctan2(2 * cross, xx - yy), -np.pi / 2, np.pi / 2),
                cxx=yy / product,
                cyy=xx / product,
                cxy=-2 * cross / product,
            )
        outer = replace(measured, xwin=window[:, 0], ywin=window[:, 1], x2win=x2win, y2win=y2win, xywin=xywin)
        return inner, outer


def _taken(sources: Sources, index: NDArray[np.int64]) -> tuple[Isophotal, Photometry]:
    return taken(sources.isophotal, index), taken(sources.photometry, index)


def _turned(turn: Floats, x2: Floats, y2: Floats, xy: Floats) -> tuple[Floats, Floats, Floats]:
    """Variances and covariance (n,) after the linear maps ``turn`` (n, 2, 2)."""
    matrix = np.moveaxis(np.array([[x2, xy], [xy, y2]]), -1, 0)
    moved = turn @ matrix @ np.swapaxes(turn, 1, 2)
    return moved[:, 0, 0], moved[:, 1, 1], moved[:, 0, 1]


def _is_same(plane: Plane, chip: Chip) -> bool:
    """Whether a chip has the pixels of the plane; without any WCS, images of one shape are taken to have."""
    if tuple(plane.shape) != tuple(chip.shape):
        return False
    if plane.sky.wcs is None or chip.sky.wcs is None:
        return plane.sky.wcs is None and chip.sky.wcs is None
    ny, nx = chip.shape
    x, y = (np.array(v, float) for v in ([0, nx - 1, 0, nx - 1, nx / 2], [0, 0, ny - 1, ny - 1, ny / 2]))
    there = plane.sky.pixel(chip.sky.world(x, y), ((nx - 1) / 2, (ny - 1) / 2))
    return bool((np.hypot(there[:, 0] - x, there[:, 1] - y) < _SAME).all())
