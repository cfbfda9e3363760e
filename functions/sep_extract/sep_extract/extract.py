"""The science core: one image plane in, measured sources out. Arrays, numpy and sep; no files, no cloud."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from .apertures import Floats
from .background import FARTHEST, LEAST_NOISE, measure_background, sparse_noise
from .event import Config
from .faint import Fainter, detect_fainter
from .flags import Flag
from .ladder import MEANING, Step, detect
from .noise import NoiseModel, SharedNoise, noise_like, noise_of
from .photometry import photometry
from .pixels import Image, Mask, Pixels
from .pointsource import PointSource, point_source
from .quality import Quality
from .segments import isophotal_of
from .sources import Isophotal, Photometry, Sources, empty, joined

_LEAST_RADIUS = 0.5
# Errors of pixels, in sigma: squares of others, scaled by what the sky shows, are no float32, and no error
# plane or weight means them.
ERRORS = (1e-6, 1e6)
# In electrons per sigma of the sky. With fewer, each electron would be 1e6 sigma of light.
_LEAST_GAIN = 1e-6


@dataclass
class Measurement:
    """Sources of one plane and what was found out about it.

    ``image``: the plane without its background, (ny, nx), 0 where masked; it and all that ``sources`` hold of
    light are in units of ``unit``, which is about one sigma. ``background``, the typical level, and ``rms``,
    the noise of a pixel that detection took for one sigma, are in the image's own unit. ``shared``: the noise
    that neighbouring pixels share. ``poisson``: variance that a source adds per unit of its flux.
    ``scale`` and ``emptied``: as in NoiseModel. ``point``: what a point source looks like. ``binned``: the
    side of squares of which ``image`` has the means, where it was measured in tiles.
    """

    sources: Sources
    image: Image
    unit: float
    background: float
    rms: float
    step: Step
    notes: list[str] = field(default_factory=list)
    shared: SharedNoise = field(default_factory=SharedNoise)
    poisson: float = 0.0
    point: PointSource = field(default_factory=PointSource)
    quality: Quality = Quality.NONE
    scale: float = 1.0
    emptied: bool = False
    binned: int = 1

    def __len__(self) -> int:
        return len(self.sources)


@dataclass(frozen=True)
class Ground:
    """An image as a ``plane`` without its background, whose ``level`` and noise ``rms`` are in its own unit.

    ``rms`` is 0 where all pixels are the same, or as good as.
    """

    plane: Plane
    level: float
    rms: float
    notes: list[str]
    quality: Quality


def ground(pixels: Pixels, config: Config) -> Ground:
    """Measure the background of an image and its noise.

    All happens in units of about one sigma of the background, so that no image is too faint or too bright for
    float32 and its squares; a power of two, so that the unit changes no digit.
    """
    mask, quality = pixels.mask, Quality.NONE
    notes: list[str] = []
    background = measure_background(pixels.data, pixels.hidden(), config)
    if background.model is None:
        notes.append("no background mesh is half usable: one background for the whole image")
        quality |= Quality.NOISE_FALLBACK
    image = pixels.data - background.image
    image[mask] = 0
    rms = background.rms
    farthest = max(float(image.max()), -float(image.min()))
    if not rms > max(LEAST_NOISE, farthest / FARTHEST) and (used := pixels.data[~mask]).min() < used.max():
        why = "pixels are 1e12 times the noise of others" if rms > 0 else "most pixels hold the same value"
        rms, how = sparse_noise(image, pixels)
        background = replace(background, rms=rms, model=None)
        notes.append(f"{why}: the noise is {how}")
        quality |= Quality.NOISE_FALLBACK
    if not rms > LEAST_NOISE:
        nothing = Plane(image, 0.0, background.image, lambda: np.zeros_like(image), 1.0)
        what = "pixels differ by less than float32 can tell" if rms > 0 else "the image is constant"
        notes = [f"{what}: no sources"]
        return Ground(nothing, background.level, 0.0, notes, Quality.NOISE_FALLBACK)

    unit = unit_of(rms)
    image /= np.float32(unit)
    sigma: float | Image = rms / unit
    if pixels.weight is not None:
        local = background.local_rms() / np.float32(unit)
        sigma = _sigma_from_weight(local, pixels.weight, mask, config.back_size)
        rms = float(np.median(sigma[~mask])) * unit

    def local_rms() -> Image:
        # Where a weight says how the noise varies, that is known pixel by pixel, else mesh by mesh.
        return background.local_rms() / np.float32(unit) if isinstance(sigma, float) else sigma

    plane = Plane(image, sigma, background.image, local_rms, unit)
    return Ground(plane, background.level, rms, notes, quality)


def measure(pixels: Pixels, config: Config, seen: Seen | None = None) -> Measurement:
    """Find and measure the sources of an image; ``seen`` gets the maps of it. Raises ExtractionError."""
    base = ground(pixels, config)
    if not base.rms > 0:
        if seen is not None:
            seen(Maps(np.zeros(pixels.mask.shape, np.int32), None, 0, base.plane))
        step, none = Step.AS_ASKED, no_sources(config)
        return Measurement(
            none, base.plane.image, 1.0, base.level, 0.0, step, base.notes, quality=base.quality
        )
    found = measure_plane(base.plane, pixels, config, seen=seen)
    return replace(
        found,
        background=base.level,
        rms=base.rms,
        notes=base.notes + found.notes,
        quality=base.quality | found.quality,
    )


def unit_of(rms: float) -> float:
    """The unit in which an image with this noise is measured."""
    return 2.0 ** round(math.log2(rms))


@dataclass(frozen=True)
class Plane:
    """An image without its background, in units of ``unit``, which is about one sigma; 0 where masked.

    ``sigma``: what detection takes for one sigma of a pixel, a number or (ny, nx). ``level`` (ny, nx): the
    background, in the image's own unit. ``rms`` gives the noise around each pixel, (ny, nx).
    """

    image: Image
    sigma: float | Image
    level: Image
    rms: Callable[[], Image]
    unit: float


@dataclass(frozen=True)
class Maps:
    """What was measured of a ``plane``, pixel by pixel, in its sources' order.

    ``owner`` (ny, nx): source i owns i + 1; -1 where masked. ``second``: the same of a second detection,
    whose sources come after those of the ``first``, as many as that.
    """

    owner: NDArray[np.int32]
    second: NDArray[np.int32] | None
    first: int
    plane: Plane

    def segments(self) -> NDArray[np.int32]:
        """Source i owns i + 1, and no source 0; a source of the second detection lies on one of the first."""
        segments = np.maximum(self.owner, 0)
        if self.second is not None:
            over = self.second > 0
            segments[over] = self.second[over] + self.first
        return segments


Seen = Callable[[Maps], None]


def measure_plane(
    plane: Plane,
    pixels: Pixels,
    config: Config,
    whole: tuple[NoiseModel, PointSource] | None = None,
    seen: Seen | None = None,
) -> Measurement:
    """Find and measure the sources of a plane. Raises ExtractionError.

    Of a part of an image, the noise and the point source are those of the ``whole``. ``seen`` gets the maps
    of the plane.
    """
    image, sigma, unit, mask = plane.image, plane.sigma, plane.unit, pixels.mask
    notes: list[str] = []
    objects, segmentation, step = detect(image, sigma, mask, config)
    if step > Step.AS_ASKED:
        notes.append(f"detection ran {MEANING[step]}")
    objects, owner = _drop_shapeless(objects, segmentation, mask)
    owner[mask] = -1
    noise, told, quality = noise_in(plane, pixels, owner, whole[0] if whole else None)
    notes += told
    sources, second = no_sources(config), None
    if len(objects):
        notes += small_apertures(pixels, config)
        sources = _sources(objects, owner, image, noise, pixels, config)
        level, rms = value_at(sources, plane.level) / unit, value_at(sources, plane.rms())
        sources = replace(sources, background=level, rms=rms)
    point = whole[1] if whole else point_source(sources, image, owner, noise, pixels)
    notes += point.notes if len(objects) and not pixels.dispersed else []
    if len(objects) and config.faint_size is not None:
        faint = detect_fainter(image, sigma, mask, objects, owner, config)
        step = max(step, faint.step)
        notes.append(
            f"second detection, less a median of {config.faint_size} pixels: "
            f"{len(faint.objects)} sources more, FLAGS {Flag.SECOND:d}"
        )
        if len(faint.objects):
            second = faint.owner
            sources = joined(sources, _fainter(faint, plane.level / unit, noise, pixels, config))
    if seen is not None:
        seen(Maps(owner, second, len(objects), plane))
    found = Measurement(sources, image, unit, math.nan, math.nan, step, notes, point=point, quality=quality)
    return replace(
        found, shared=noise.shared, poisson=noise.poisson, scale=noise.scale, emptied=noise.emptied
    )


def noise_in(
    plane: Plane, pixels: Pixels, owner: NDArray[np.int32], whole: NoiseModel | None = None
) -> tuple[NoiseModel, list[str], Quality]:
    """The noise of a plane with the sources of ``owner``, and notes; of a part that of the ``whole``."""
    notes, quality, unit = [], Quality.NONE, plane.unit
    error = None if pixels.error is None else pixels.error / np.float32(unit)
    if error is not None:
        np.clip(error, *ERRORS, out=error)
    if whole is None:
        gain = pixels.gain and pixels.gain * unit
        if gain and gain < _LEAST_GAIN:
            gain = None
            notes.append("the gain is too low for the noise of the image: errors leave out that of light")
            quality |= Quality.NO_POISSON
        noise = noise_of(plane.image, owner, plane.sigma, error, gain)
        if noise.poisson * _LEAST_GAIN > 1:
            noise = replace(noise, poisson=0.0)
            notes.append("ERR gives sources more noise than light can have: errors leave out that of light")
            quality |= Quality.NO_POISSON
    else:
        noise = noise_like(whole, plane.image, owner, plane.sigma, error)
    if whole is None and not noise.shared.is_possible:
        notes.append("blank sky scatters more in blocks than its pixels can: ERR or WHT is not its noise")
        quality |= Quality.NOISE_FALLBACK
    if not noise.shared.measured:
        notes.append("too little blank sky to measure the noise that pixels share: errors leave it out")
        quality |= Quality.NOISE_FALLBACK
    return noise, notes, quality


def small_apertures(pixels: Pixels, config: Config) -> list[str]:
    """What to say of apertures that are smaller than a pixel."""
    small = [d for d in config.phot_apertures if pixels.scale and d / 2 / pixels.scale < _LEAST_RADIUS]
    named = ", ".join(f"{diameter:g}" for diameter in small)
    return [f"apertures of {named} arcsec are smaller than a pixel: their fluxes are unknown"] * bool(small)


def no_sources(config: Config) -> Sources:
    """Those of an image without any."""
    apertures = len(config.phot_apertures)
    isophotal = empty(Isophotal, apertures)
    return Sources(isophotal, empty(Photometry, apertures), isophotal.flags, isophotal.flux, isophotal.flux)


def _sources(
    objects: NDArray[np.void],
    owner: NDArray[np.int32],
    image: Image,
    noise: NoiseModel,
    pixels: Pixels,
    config: Config,
) -> Sources:
    """Sources of at least one object, without what the background was."""
    isophotal = isophotal_of(objects, owner, image, noise, pixels, config)
    radii = [d / 2 / pixels.scale for d in config.phot_apertures] if pixels.scale else []
    in_apertures = photometry(isophotal, image, owner, noise, config, radii, pixels.pair)
    unknown = np.full(len(objects), np.nan)
    return Sources(isophotal, in_apertures, isophotal.flags | in_apertures.flags, unknown, unknown)


def _fainter(faint: Fainter, level: Image, noise: NoiseModel, pixels: Pixels, config: Config) -> Sources:
    """The sources of the second detection, to which the halo they lie in is background, noise and all."""
    faint.owner[pixels.mask] = -1
    variance = noise.of_pixels(np.maximum(faint.halo, 0), noise.background)
    under = replace(noise, background=variance)
    sources = _sources(faint.objects, faint.owner, faint.image, under, pixels, config)
    return replace(
        sources,
        flags=sources.flags | Flag.SECOND,
        background=value_at(sources, level + faint.halo),
        rms=np.sqrt(value_at(sources, variance)),
    )


def value_at(sources: Sources, image: Image) -> Floats:
    """The value of an image at each source, (n,)."""
    where = np.rint(sources.isophotal.y).astype(int), np.rint(sources.isophotal.x).astype(int)
    values: Floats = image[where].astype(np.float64)
    return values


def _sigma_from_weight(local_rms: Image, weight: Image, mask: Mask, size: int) -> Image:
    """Background noise k / sqrt(weight), k such that it is what the image shows, whatever the weight's unit.

    As SExtractor scales a MAP_WEIGHT: by the median of what the background meshes, of ``size`` pixels,
    measure.
    """
    root = np.sqrt(np.where(mask, 1, weight))
    centres = tuple(slice(min(size, n) // 2, None, size) for n in mask.shape)
    at = np.zeros_like(mask)
    at[centres] = True
    at &= ~mask
    if not at.any():
        at = ~mask
    k = np.median(local_rms[at] * root[at])
    return np.clip(np.divide(k, root, out=root), *ERRORS, out=root)


def _drop_shapeless(
    objects: NDArray[np.void], segmentation: NDArray[np.int32], mask: Mask
) -> tuple[NDArray[np.void], NDArray[np.int32]]:
    """Objects with a shape and a pixel outside of ``mask``, and a segmentation map that may be written to.

    Of masked pixels alone is what the detection's filter makes of their neighbours: no light was measured.
    """
    keep = np.isfinite(objects["x"]) & np.isfinite(objects["y"]) & (objects["a"] > 0) & (objects["b"] > 0)
    keep &= np.isfinite(objects["a"]) & np.isfinite(objects["b"]) & np.isfinite(objects["flux"])
    dark = np.flatnonzero(objects["flux"] == 0)
    if len(dark):
        keep[dark] &= np.isin(dark + 1, segmentation[~mask])
    if keep.all():
        return objects, segmentation
    number = np.zeros(len(objects) + 1, dtype=np.int32)
    number[1:][keep] = np.arange(1, keep.sum() + 1)
    return objects[keep], number[segmentation]
