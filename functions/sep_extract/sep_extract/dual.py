"""Fluxes on one image of the sources and in the apertures of another: SExtractor's dual-image mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .chip import Chip
from .detection import Grid, Placed
from .event import Config
from .extract import Maps, Measurement, Plane, ground, no_sources, noise_in, small_apertures, value_at
from .flags import Flag
from .labels import Map
from .ladder import Step
from .noise import NoiseModel
from .photometry import photometry
from .pixels import Pixels
from .pointsource import PointSource, point_source
from .quality import Quality
from .sources import Isophotal, Sources, joined, taken
from .tiles import beyond, moved, wider
from .whole import Whole

Ints = NDArray[np.int64]
# Of the flags of a detection image those that say what a source is, not what the pixels were like.
_KEPT = Flag.BLENDED | Flag.OVERFLOW | Flag.UNWINDOWED

Seen = Callable[[Maps, slice, slice, tuple[slice, slice], Pixels], None]
"""Gets the maps of a part, its rows and columns in the image, those in the maps, and the part's pixels."""


def measure_placed(
    chip: Chip, placed: Placed, grid: Grid, config: Config, seen: Seen | None
) -> tuple[Measurement, Ints]:
    """Measure the sources of a detection image on a chip, which has them where ``placed`` says.

    Returns what was measured, and the numbers (n,) from 0 of its sources in the detection image, in order.
    """
    measure = _in_tiles if chip.parts else _whole
    return measure(chip, placed, grid, config, seen)


def _whole(
    chip: Chip, placed: Placed, grid: Grid, config: Config, seen: Seen | None
) -> tuple[Measurement, Ints]:
    pixels = chip.pixels
    base = ground(pixels, config)
    rows, columns = slice(0, chip.shape[0]), slice(0, chip.shape[1])
    if not base.rms > 0:
        notes = ["the image is constant: no fluxes"]
        nothing = Measurement(
            no_sources(config), base.plane.image, 1.0, base.level, 0.0, Step.AS_ASKED, notes
        )
        return replace(nothing, quality=base.quality), placed.index[:0]
    labels = grid.segments(rows, columns)
    found = _measured(base.plane, pixels, config, placed, labels)
    if seen is not None:
        labels[pixels.mask] = 0
        seen(Maps(labels, None, 0, base.plane), rows, columns, (rows, columns), pixels)
    found = replace(
        found,
        background=base.level,
        rms=base.rms,
        notes=base.notes + found.notes,
        quality=base.quality | found.quality,
    )
    return found, placed.index


def _in_tiles(
    chip: Chip, placed: Placed, grid: Grid, config: Config, seen: Seen | None
) -> tuple[Measurement, Ints]:
    parts = chip.parts
    assert parts is not None
    whole = Whole.of(parts, config)
    tiling, margin = parts.tiling, parts.tiling.margins[0]
    found, indices, cut = [no_sources(config)], [placed.index[:0]], 0
    for rows in tiling.cores(parts.shape[0]) if whole.sky.rms > 0 else ():
        parts.keep(wider(rows, margin, parts.shape[0]))
        for columns in tiling.cores(parts.shape[1]):
            wide = wider(rows, margin, parts.shape[0]), wider(columns, margin, parts.shape[1])
            pixels = parts.read(*wide)
            plane, labels = whole.sky.plane(pixels, *wide), grid.segments(*wide)
            core = tuple(
                slice(i.start - o.start, i.stop - o.start) for i, o in zip((rows, columns), wide, strict=True)
            )
            y, x = np.rint(placed.isophotal.y), np.rint(placed.isophotal.x)
            which = np.flatnonzero(
                (y >= rows.start) & (y < rows.stop) & (x >= columns.start) & (x < columns.stop)
            )
            own = Placed(
                placed.index[which],
                *(taken(part, which) for part in (placed.isophotal, placed.photometry)),
            )
            shifted = moved(own.isophotal, own.photometry, -wide[1].start, -wide[0].start)
            known = whole.noise, whole.sample.point
            measured = _measured(plane, pixels, config, Placed(own.index, *shifted), labels, known)
            open_sides = [(s.start > 0, s.stop < n) for s, n in zip(wide, parts.shape, strict=True)]
            over = beyond(measured.sources, pixels, config, open_sides)
            flags = measured.sources.flags.copy()
            flags[over] |= Flag.APERTURE
            cut += int(np.count_nonzero(over))
            sources = replace(measured.sources, flags=flags)
            back = moved(sources.isophotal, sources.photometry, wide[1].start, wide[0].start)
            found.append(replace(sources, isophotal=back[0], photometry=back[1]))
            indices.append(own.index)
            if seen is not None:
                labels[pixels.mask] = 0
                seen(Maps(labels, None, 0, plane), rows, columns, (core[0], core[1]), pixels)
    sources, index = joined(*found), np.concatenate(indices)
    order = np.argsort(index)
    notes = [f"measured in tiles of {tiling.core} pixels with margins of {margin}", *whole.sample.notes]
    quality = whole.sample.quality
    if cut:
        notes.append(f"{cut} sources reach beyond the margin of their tile and are cut there")
        quality |= Quality.TILE_CUT
    result = replace(
        whole.sample,
        sources=taken(sources, order),
        image=np.zeros((1, 1), np.float32),
        unit=whole.sky.unit,
        background=whole.sky.level,
        rms=whole.sky.rms,
        step=Step.AS_ASKED,
        notes=notes,
        quality=quality,
        binned=max(parts.shape),
    )
    return result, index[order]


def _measured(
    plane: Plane,
    pixels: Pixels,
    config: Config,
    placed: Placed,
    labels: Map,
    whole: tuple[NoiseModel, PointSource] | None = None,
) -> Measurement:
    """Sources as ``placed`` in the pixels of a plane, whose segments are ``labels``, by numbers of all."""
    n = len(placed.index)
    # Sources whose centres are elsewhere are neighbours all the same.
    number = np.full(int(max(labels.max(initial=0), placed.index.max(initial=-1) + 1)) + 1, n + 1, np.int32)
    number[0] = 0
    number[placed.index + 1] = np.arange(1, n + 1)
    owner = number[labels]
    whose = owner.copy()
    owner[pixels.mask] = -1
    noise, notes, quality = noise_in(plane, pixels, owner, whole[0] if whole else None)
    sources = no_sources(config)
    if n:
        isophotal = _isophotal(placed.isophotal, owner, whose, plane.image, noise, pixels)
        radii = [d / 2 / pixels.scale for d in config.phot_apertures] if pixels.scale else []
        apertures = photometry(
            isophotal, plane.image, owner, noise, config, radii, pixels.pair, placed.photometry
        )
        unknown = np.full(n, np.nan)
        flags = isophotal.flags | apertures.flags
        sources = Sources(isophotal, apertures, flags, unknown, unknown)
        level, rms = value_at(sources, plane.level) / plane.unit, value_at(sources, plane.rms())
        sources = replace(sources, background=level, rms=rms)
        notes += small_apertures(pixels, config)
    point = whole[1] if whole else point_source(sources, plane.image, owner, noise, pixels)
    notes += point.notes if n and not pixels.dispersed else []
    found = Measurement(
        sources, plane.image, plane.unit, np.nan, np.nan, Step.AS_ASKED, notes, point=point, quality=quality
    )
    return replace(
        found, shared=noise.shared, poisson=noise.poisson, scale=noise.scale, emptied=noise.emptied
    )


def _isophotal(
    found: Isophotal,
    owner: NDArray[np.int32],
    whose: NDArray[np.int32],
    image: NDArray[np.float32],
    noise: NoiseModel,
    pixels: Pixels,
) -> Isophotal:
    """The light of the same segments; ``whose`` has those of masked pixels, too."""
    n = len(found.x)
    size = n + 2

    def total(values: NDArray[np.float32] | None) -> NDArray[np.float64]:
        weights = None if values is None else values[inside].astype(np.float64)
        return np.bincount(owner[inside], weights, size)[1 : n + 1].astype(np.float64)

    inside = owner > 0
    area, flux, sky = total(None), total(image), total(noise.background)
    peak = np.full(size, -np.inf)
    np.maximum.at(peak, owner[inside], image[inside])
    flags, dq = (found.flags & _KEPT).astype(np.int16), np.zeros(size, np.uint32)
    if pixels.saturated is not None:
        saturated = np.zeros(size, dtype=bool)
        saturated[whose[pixels.saturated]] = True
        flags[saturated[1 : n + 1]] |= Flag.SATURATED
    if pixels.dq is not None:
        marked = (pixels.dq != 0) & (whose > 0)
        np.bitwise_or.at(dq, whose[marked], pixels.dq[marked].astype(np.uint32))
    edge = np.zeros(size, dtype=bool)
    for line in (whose[0], whose[-1], whose[:, 0], whose[:, -1]):
        edge[line] = True
    flags[edge[1 : n + 1]] |= Flag.TRUNCATED
    nothing = area == 0
    flux, peak = np.where(nothing, np.nan, flux), np.where(nothing, np.nan, peak[1 : n + 1])
    return replace(
        found,
        flux=flux,
        flux_error=np.where(nothing, np.nan, noise.error(sky, area, np.nan_to_num(flux))),
        peak=peak,
        area=area.astype(np.int32),
        area_filtered=area.astype(np.int32),
        flags=flags,
        dq=dq[1 : n + 1].view(np.int32),
    )
