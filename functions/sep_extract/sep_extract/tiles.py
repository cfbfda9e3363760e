"""An image that does not fit into memory, measured tile by tile.

Each tile is measured with a margin around it. A source belongs to the tile whose core has its peak. One that
the border of the margin cuts is measured again with a wider margin.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .event import Config
from .extract import Maps, Measurement, measure_plane, no_sources, small_apertures
from .flags import Flag
from .ladder import MEANING, Step
from .photometry import SKY
from .pixels import Image, Mask, Pixels
from .quality import Quality
from .sources import Isophotal, Photometry, Sources, joined, taken
from .whole import Parts, Sky, Whole

# The longest side of the picture that is left of the image.
_PICTURE = 1024


class Watch(Protocol):
    """Sees an image as it is measured tile by tile."""

    def tile(self, tile: Tile) -> None:
        """A tile, in the order of rows and columns."""

    def empty(self, sky: Sky, rows: slice, columns: slice) -> None:
        """A core without usable pixels."""

    def end(self, order: NDArray[np.int64]) -> None:
        """The sources of all tiles, one after another, come in this order in the result."""


def measure_tiles(parts: Parts, config: Config, watch: Watch | None = None) -> Measurement:
    """Find and measure the sources of an image that is read in parts. Raises ExtractionError.

    Sources come in the order of the rows and columns of their peaks, those of a second detection last.
    """
    whole = Whole.of(parts, config)
    sample, tiling = whole.sample, parts.tiling
    side = -(-max(parts.shape) // _PICTURE)
    picture = np.zeros([-(-n // side) for n in parts.shape])
    sources, step, cut = no_sources(config), sample.step, 0
    found = [sources]
    for rows, columns, tile in _tiles(parts, whole, config):
        if tile is not None:
            found.append(tile.sources)
            step, cut = max(step, tile.step), cut + tile.cut
            _add(picture, tile.image, rows, columns, side)
        if watch is not None:
            watch.empty(whole.sky, rows, columns) if tile is None else watch.tile(tile)
    sources = joined(*found)
    second = (sources.flags & Flag.SECOND) != 0
    order = np.lexsort((sources.isophotal.x_peak, sources.isophotal.y_peak, second))
    if watch is not None:
        watch.end(order)
    how = f"measured in tiles of {tiling.core} pixels with margins of {tiling.margins[0]}"
    notes = [f"{how}; noise and point sources are those of a sample", *sample.notes]
    quality = sample.quality
    if step > Step.AS_ASKED:
        notes.append(f"detection ran {MEANING[step]}")
    if len(sources):
        notes += small_apertures(whole.like, config)
        notes += [] if whole.like.dispersed else sample.point.notes
    if config.faint_size is not None:
        notes.append(
            f"second detection, less a median of {config.faint_size} pixels: "
            f"{np.count_nonzero(second)} sources more, FLAGS {Flag.SECOND:d}"
        )
    if cut:
        notes.append(f"{cut} sources reach beyond the margin of their tile and are cut there")
        quality |= Quality.TILE_CUT
    return replace(
        sample,
        sources=taken(sources, order),
        image=(picture / side**2).astype(np.float32),
        unit=whole.sky.unit,
        background=whole.sky.level,
        rms=whole.sky.rms,
        step=step,
        notes=list(dict.fromkeys(notes)),
        quality=quality,
        binned=side,
    )


@dataclass(frozen=True)
class Tile:
    """The sources of a tile's core, the ``image`` of it, and how many sources are ``cut``.

    ``rows`` and ``columns`` are those of the core in the image, ``core`` those of it in the ``maps``. Of the
    maps' sources, numbers ``mine`` are those of the core. ``mask`` (ny, nx) is the core's; ``weighted`` says
    whether weights tell the noise.
    """

    sources: Sources
    image: Image
    step: Step
    cut: int
    rows: slice
    columns: slice
    core: tuple[slice, slice]
    maps: Maps
    mine: NDArray[np.int64]
    mask: Mask
    weighted: bool


def _tiles(parts: Parts, whole: Whole, config: Config) -> Iterator[tuple[slice, slice, Tile | None]]:
    """The cores of all tiles, each with its tile if there is something to measure."""
    usable = whole.sky.rms > 0
    for rows in parts.tiling.cores(parts.shape[0]):
        if usable:
            parts.keep(wider(rows, parts.tiling.margins[0], parts.shape[0]))
        for columns in parts.tiling.cores(parts.shape[1]):
            yield rows, columns, _measured(parts, whole, rows, columns, config) if usable else None


def _measured(parts: Parts, whole: Whole, rows: slice, columns: slice, config: Config) -> Tile | None:
    """The tile with this core; None if it has no usable pixel."""
    ny, nx = parts.shape
    for margin in parts.tiling.margins:
        wide = wider(rows, margin, ny), wider(columns, margin, nx)
        pixels = parts.read(*wide)
        core = _within(rows, wide[0]), _within(columns, wide[1])
        if pixels.mask[core].all():
            return None
        # Not the sides of the image itself.
        open_sides = [(s.start > 0, s.stop < n) for s, n in zip(wide, parts.shape, strict=True)]
        seen: list[Maps] = []
        known = whole.noise, whole.sample.point
        found = measure_plane(whole.sky.plane(pixels, *wide), pixels, config, known, seen.append)
        maps = seen.pop()
        sources = found.sources
        y, x = sources.isophotal.y_peak, sources.isophotal.x_peak
        mine = (y >= core[0].start) & (y < core[0].stop) & (x >= core[1].start) & (x < core[1].stop)
        torn = np.zeros(len(sources), dtype=bool)
        torn[_touching(maps.owner, open_sides) - 1] = True
        over = beyond(sources, pixels, config, open_sides)
        cut = mine & (torn | over)
        if not cut.any():
            break
    flags = sources.flags.copy()
    flags[mine & torn] |= Flag.TRUNCATED
    flags[mine & over] |= Flag.APERTURE
    which = np.flatnonzero(mine)
    own = taken(replace(sources, flags=flags), which)
    inner, outer = moved(own.isophotal, own.photometry, wide[1].start, wide[0].start)
    own = replace(own, isophotal=inner, photometry=outer)
    return Tile(
        own,
        found.image[core],
        found.step,
        int(np.count_nonzero(cut)),
        rows,
        columns,
        core,
        maps,
        which,
        pixels.mask[core],
        pixels.weight is not None,
    )


def _within(inner: slice, outer: slice) -> slice:
    return slice(inner.start - outer.start, inner.stop - outer.start)


def wider(core: slice, margin: int, side: int) -> slice:
    """The rows or columns of a core with its margins, of an image with this side."""
    return slice(max(core.start - margin, 0), min(core.stop + margin, side))


def moved(inner: Isophotal, outer: Photometry, right: int, up: int) -> tuple[Isophotal, Photometry]:
    """The same sources with positions in an image that begins ``right`` and ``up`` pixels before."""
    inner = replace(
        inner,
        x=inner.x + right,
        y=inner.y + up,
        x_peak=inner.x_peak + np.int32(right),
        y_peak=inner.y_peak + np.int32(up),
    )
    return inner, replace(outer, xwin=outer.xwin + right, ywin=outer.ywin + up)


def _touching(owner: NDArray[np.int32], sides: list[tuple[bool, bool]]) -> NDArray[np.int32]:
    """Numbers of sources at one of the ``sides`` (rows, columns) that count, or joined to one by others."""
    lines = [owner[0], owner[-1], owner[:, 0], owner[:, -1]]
    reached = np.unique(
        np.concatenate([line[:0] if not on else line for line, on in zip(lines, sum(sides, ()), strict=True)])
    )
    reached = reached[reached > 0]
    if not len(reached):
        return reached
    pairs = []
    for one, other in (
        (owner[1:], owner[:-1]),
        (owner[:, 1:], owner[:, :-1]),
        (owner[1:, 1:], owner[:-1, :-1]),
        (owner[1:, :-1], owner[:-1, 1:]),
    ):
        joint = (one != other) & (one > 0) & (other > 0)
        pairs.append(np.stack([one[joint], other[joint]]))
    a, b = np.concatenate(pairs, axis=1)
    known = np.zeros(int(owner.max()) + 1, dtype=bool)
    known[reached] = True
    while (new := known[a] != known[b]).any():
        known[a[new]] = known[b[new]] = True
    return np.flatnonzero(known).astype(np.int32)


def beyond(sources: Sources, pixels: Pixels, config: Config, sides: list[tuple[bool, bool]]) -> Mask:
    """Sources (n,) with an aperture that reaches over one of the ``sides`` that count."""
    found, measured = sources.isophotal, sources.photometry
    circles = [d / 2 / pixels.scale for d in config.phot_apertures] if pixels.scale else []
    reach = np.fmax(measured.kron_radius * found.a, max([*circles, pixels.pair[1] * SKY[1]])) + 1
    over = np.zeros(len(sources), dtype=bool)
    for at, side, (low, high) in zip((found.y, found.x), pixels.data.shape, sides, strict=True):
        over |= (low & (at < reach)) | (high & (at > side - 1 - reach))
    return over


def _add(picture: NDArray[np.float64], image: Image, rows: slice, columns: slice, side: int) -> None:
    """Add the sums of squares of an image to those of the whole."""
    starts = [
        np.unique(np.maximum(np.arange(s.start // side * side, s.stop, side), s.start))
        for s in (rows, columns)
    ]
    sums = np.add.reduceat(image, starts[0] - rows.start, axis=0, dtype=np.float64)
    sums = np.add.reduceat(sums, starts[1] - columns.start, axis=1)
    picture[np.ix_(*(s // side for s in starts))] += sums
