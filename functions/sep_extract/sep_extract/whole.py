"""What is the same everywhere in an image that is read in parts: found from all of it, or from a sample.

The meshes of the background are those of the whole image, strip by strip. How noise scales and is shared, and
what a point source looks like, says a sample of blocks that is measured as an image of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from skyfan_contract import TILE, TILE_MARGINS

from .background import FARTHEST, LEAST_NOISE, measure_background, step_of
from .event import Config
from .extract import ERRORS, Measurement, Plane, measure, measure_plane, no_sources, unit_of
from .meshes import Meshes, mesh_row
from .noise import NoiseModel
from .pixels import Image, Pixels, strips

Ints = NDArray[np.int64]

# Pixels that are read at once.
_STRIP = 8 << 20
# The meshes of one row must fit into such a strip of a wide image.
LARGEST_MESH = 512
# Blocks per side of the sample; each is nearly as full of usable pixels as the fullest.
_BLOCKS, _FULL = 4, 0.7


@dataclass(frozen=True)
class Tiling:
    """Sides in pixels: of the ``core`` of a tile, of ``margins`` to try around it, of a sample's block."""

    core: int = TILE
    margins: tuple[int, ...] = TILE_MARGINS
    block: int = TILE // 2

    def cores(self, side: int) -> Iterator[slice]:
        """The cores along a side of the image."""
        return strips(slice(0, side), self.core)


TILING = Tiling()


class Parts(Protocol):
    """An image of ``shape`` (ny, nx) that is read in parts.

    ``box``: the rows and columns from the first to the last with a usable pixel; ``usable``: how many there
    are in each block, (rows, columns).
    """

    shape: tuple[int, int]
    box: tuple[slice, slice]
    usable: Ints
    tiling: Tiling

    def keep(self, rows: slice) -> None:
        """Keep rows in memory, of which several parts will be read."""

    def read(self, rows: slice, columns: slice) -> Pixels:
        """The pixels of a part."""


def height(width: int, multiple: int = 1) -> int:
    """How many rows are read at once, if a row has ``width`` pixels: a multiple of ``multiple``."""
    return max(1, _STRIP // (width * multiple)) * multiple


@dataclass(frozen=True)
class Sky:
    """The background of the whole image and its noise.

    ``level`` and ``rms`` as in Measurement; ``unit`` is that in which the image is measured. ``weight``: one
    sigma of a pixel of weight 1, in ``unit``; None without weights.
    """

    meshes: Meshes
    level: float
    rms: float
    unit: float
    weight: float | None

    def plane(self, pixels: Pixels, rows: slice, columns: slice) -> Plane:
        """A part of the image without its background."""
        return self._plane(pixels, self.level_at(rows, columns), rows, columns)

    def plane_of(self, sample: _Sample) -> Plane:
        """The sample without its background."""
        level = np.full_like(sample.pixels.data, self.level)
        for here, there in sample.blocks:
            level[there] = self.level_at(*here)
        return self._plane(sample.pixels, level)

    def level_at(self, rows: slice, columns: slice) -> Image:
        """The background of a part of the image."""
        if not self.meshes.known:
            shape = rows.stop - rows.start, columns.stop - columns.start
            return np.full(shape, np.float32(self.level))
        return self.meshes.level_at(*_numbers(rows, columns))

    def _plane(self, pixels: Pixels, level: Image, *where: slice) -> Plane:
        image = pixels.data - level
        image[pixels.mask] = 0
        image /= np.float32(self.unit)
        sigma: float | Image = self.rms / self.unit
        if self.weight is not None and pixels.weight is not None:
            root = np.sqrt(np.where(pixels.mask, np.float32(1), pixels.weight))
            sigma = np.clip(np.divide(np.float32(self.weight), root, out=root), *ERRORS, out=root)

        def local() -> Image:
            if isinstance(sigma, np.ndarray):
                return sigma
            if not where or not self.meshes.known:
                return np.full_like(image, self.rms / self.unit)
            return self.meshes.noise_at(*_numbers(*where)) / np.float32(self.unit)

        return Plane(image, sigma, level, local, self.unit)


@dataclass(frozen=True)
class Whole:
    """What is the same everywhere. ``like``: what is known of pixels, without any; ``sample``: what was
    measured in the sample, without its sources.
    """

    sky: Sky
    noise: NoiseModel
    sample: Measurement
    like: Pixels

    @classmethod
    def of(cls, parts: Parts, config: Config) -> Whole:
        """Found from all of an image. Raises ExtractionError."""
        sample = _sample(parts)
        pixels, once = sample.pixels, replace(config, faint_size=None)
        sky, told = _sky(parts, sample, once)
        found = told
        if sky.rms > 0:
            found = measure_plane(sky.plane_of(sample), pixels, once)
            if told is not None:
                found.notes[:0], found.quality = told.notes, found.quality | told.quality
        assert found is not None
        nothing = np.zeros((0, 0), np.float32)
        noise = NoiseModel(nothing, found.poisson, found.shared, found.scale, found.emptied)
        planes: dict[str, Any] = dict.fromkeys(("error", "weight", "dq", "saturated"))
        like = replace(pixels, data=nothing, mask=nothing.astype(bool), **planes)
        return cls(sky, noise, replace(found, sources=no_sources(config), image=nothing), like)


def _sky(parts: Parts, sample: _Sample, config: Config) -> tuple[Sky, Measurement | None]:
    """The background, and what was measured in the sample where meshes do not tell it."""
    pixels = sample.pixels
    hidden = pixels.hidden()
    spread = step_of(pixels.data, hidden, measure_background(pixels.data, hidden, config).rms)
    meshes, root, centres = _meshes(parts, config, spread)
    told = None
    level, rms = (meshes.level, meshes.rms) if meshes.known else (0.0, 0.0)
    farthest = float(np.abs(pixels.data[~pixels.mask] - np.float32(level)).max(initial=0))
    if not rms > max(LEAST_NOISE, farthest / FARTHEST):
        told = measure(pixels, config)
        level, rms = level if meshes.known else told.background, told.rms
        # That of the meshes is 0 where most of their pixels are equal.
        meshes = replace(meshes, noise=np.full_like(meshes.noise, rms))
    if not rms > 0 or pixels.weight is None:
        return Sky(meshes, level, rms, unit_of(rms) if rms > 0 else 1.0, None), told
    unit, at = unit_of(rms), np.isfinite(root)
    local = meshes.noise_at(*centres) if meshes.known else np.full_like(root, rms)
    if not at.any():
        root = np.sqrt(pixels.weight[~pixels.mask])
        local, at = np.full_like(root, rms), np.isfinite(root)
    weight = float(np.median(local[at] / np.float32(unit) * root[at]))
    return Sky(meshes, level, float(np.median(np.float32(weight) / root[at])) * unit, unit, weight), told


def _numbers(rows: slice, columns: slice) -> tuple[Ints, Ints]:
    return np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop)


@dataclass(frozen=True)
class _Sample:
    """Blocks from all over the image beside one another, apart by masked lines.

    ``blocks``: rows and columns in the image, and in ``pixels``.
    """

    pixels: Pixels
    blocks: tuple[tuple[tuple[slice, slice], tuple[slice, slice]], ...]


def _sample(parts: Parts) -> _Sample:
    side, usable = parts.tiling.block, parts.usable
    full = usable >= _FULL * usable.max()
    chosen = [
        (int(row), int(column))
        for row in _some(np.flatnonzero(full.any(axis=1)))
        for column in _some(np.flatnonzero(full[row]))
    ]
    shape = (-(-len(chosen) // _BLOCKS) * side, min(len(chosen), _BLOCKS) * side)
    stack: dict[str, Any] = {}
    blocks = []
    for i, (row, column) in enumerate(chosen):
        rows, columns = (_block(at, side, n) for at, n in zip((row, column), parts.shape, strict=True))
        if i == 0 or row != chosen[i - 1][0]:
            parts.keep(rows)
        pixels = parts.read(rows, columns)
        ny, nx = pixels.data.shape
        top, left = (at * side for at in divmod(i, _BLOCKS))
        there = slice(top, top + ny), slice(left, left + nx)
        for name, plane in vars(pixels).items():
            if isinstance(plane, np.ndarray):
                stack.setdefault(name, np.full(shape, name == "mask", plane.dtype))[there] = plane
        stack["mask"][top, there[1]] = stack["mask"][there[0], left] = True
        blocks.append(((rows, columns), there))
    stack["data"][stack["mask"]] = 0
    return _Sample(replace(pixels, **stack), tuple(blocks))


def _block(at: int, side: int, end: int) -> slice:
    return slice(at * side, min((at + 1) * side, end))


def _some(numbers: Ints) -> Ints:
    """A few of them, far from one another."""
    which = np.unique(np.linspace(0, len(numbers) - 1, _BLOCKS).round().astype(int))
    some: Ints = numbers[which]
    return some


def _meshes(parts: Parts, config: Config, step: float) -> tuple[Meshes, Image, tuple[Ints, Ints]]:
    """Filtered meshes of the whole image; roots of its weight in the middles of meshes, NaN where masked, and
    the rows and columns of these. Levels of an image are whole numbers of ``step``, if it is not 0.
    """
    size, (rows, columns) = config.back_size, parts.box
    across, along = (
        np.arange(min(size, n) // 2, s.stop, size) for n, s in zip(parts.shape, parts.box, strict=True)
    )
    across, along = across[across >= rows.start], along[along >= columns.start]
    root = np.full((len(across), len(along)), np.float32(np.nan))
    levels, noise = [], []
    for strip in strips(rows, height(columns.stop - columns.start, size)):
        pixels = parts.read(strip, columns)
        hidden = pixels.hidden()
        spread = None
        if step:
            spread = np.random.default_rng(strip.start).random(hidden.shape, np.float32) - np.float32(0.5)
            spread *= np.float32(step)
        for start in range(0, len(hidden), size):
            part = slice(start, start + size)
            found = mesh_row(
                pixels.data[part], hidden[part], size, spread if spread is None else spread[part]
            )
            levels.append(found[0])
            noise.append(found[1])
        if pixels.weight is not None:
            here = np.flatnonzero((across >= strip.start) & (across < strip.stop))
            at = np.ix_(across[here] - strip.start, along - columns.start)
            root[here] = np.where(
                pixels.mask[at], np.float32(np.nan), np.sqrt(np.maximum(pixels.weight[at], 0))
            )
    meshes = Meshes(np.array(levels), np.array(noise), size, rows.start, columns.start)
    return meshes.filtered(config.back_filtersize) if meshes.known else meshes, root, (across, along)
