"""The science core: one image plane in, measured sources out. Arrays, numpy and sep; no files, no cloud."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import sep
from numpy.typing import NDArray

from .apertures import Floats
from .background import measure_background, sparse_noise
from .event import Config
from .faint import Fainter, detect_fainter
from .flags import Flag
from .isophote import moved_isophote
from .ladder import MEANING, Step, detect
from .noise import NoiseModel, SharedNoise, noise_of
from .photometry import photometry
from .pixels import Image, Mask, Pixels
from .pointsource import PointSource, point_source
from .quality import Quality
from .sources import Isophotal, Photometry, Sources, empty, joined

# How many pixels a source's segment is continued over those that may not be used, such as a saturated core.
_REACH = 8
_LEAST_RADIUS = 0.5


@dataclass
class Measurement:
    """Sources of one plane and what was found out about it.

    ``image``: the plane without its background, (ny, nx), 0 where masked; it and all that ``sources`` hold of
    light are in units of ``unit``, which is about one sigma. ``background``, the typical level, and ``rms``,
    the noise of a pixel that detection took for one sigma, are in the image's own unit. ``shared``: the noise
    that neighbouring pixels share. ``poisson``: variance that a source adds per unit of its flux.
    ``point``: what a point source looks like.
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

    def __len__(self) -> int:
        return len(self.sources)


def measure(pixels: Pixels, config: Config) -> Measurement:
    """Find and measure the sources of an image. Raises ExtractionError.

    All happens in units of about one sigma of the background, so that no image is too faint or too bright for
    float32 and its squares; a power of two, so that the unit changes no digit.
    """
    mask, quality = pixels.mask, Quality.NONE
    notes: list[str] = []
    # A saturated pixel belongs to its star, and says nothing of the sky.
    hidden = mask if pixels.saturated is None else mask | pixels.saturated
    background = measure_background(pixels.data, hidden, config)
    if background.model is None:
        notes.append("no background mesh is half usable: one background for the whole image")
        quality |= Quality.NOISE_FALLBACK
    image = pixels.data - background.image
    image[mask] = 0
    rms = background.rms
    if not rms > 0 and (used := pixels.data[~mask]).min() < used.max():
        rms, how = sparse_noise(image, pixels)
        notes.append(f"most pixels hold the same value: the noise is {how}")
        quality |= Quality.NOISE_FALLBACK
    if not rms > 0:
        notes = ["the image is constant: no sources"]
        return Measurement(
            _nothing(config),
            image,
            1.0,
            background.level,
            0.0,
            Step.AS_ASKED,
            notes,
            quality=Quality.NOISE_FALLBACK,
        )

    unit = 2.0 ** round(math.log2(rms))
    image /= np.float32(unit)
    sigma: float | Image = rms / unit
    if pixels.weight is not None:
        local = background.local_rms() / np.float32(unit)
        sigma = _sigma_from_weight(local, pixels.weight, mask, config.back_size)
        rms = float(np.median(sigma[~mask])) * unit
    objects, segmentation, step = detect(image, sigma, mask, config)
    if step > Step.AS_ASKED:
        notes.append(f"detection ran {MEANING[step]}")
    objects, owner = _drop_shapeless(objects, segmentation)
    owner[mask] = -1
    error = None if pixels.error is None else pixels.error / np.float32(unit)
    noise = noise_of(image, owner, sigma, error, pixels.gain and pixels.gain * unit)
    if not noise.shared.measured:
        notes.append("too little blank sky to measure the noise that pixels share: errors leave it out")
        quality |= Quality.NOISE_FALLBACK
    # Where a weight says how the noise varies, that is known pixel by pixel, else mesh by mesh.
    local_rms = background.local_rms() / np.float32(unit) if isinstance(sigma, float) else sigma
    sources = _nothing(config)
    if len(objects):
        notes += _small_apertures(pixels, config)
        sources = _sources(objects, owner, image, noise, pixels, config)
        sources = replace(
            sources, background=_at(sources, background.image) / unit, rms=_at(sources, local_rms)
        )
    point = point_source(sources, image, owner, noise, pixels)
    notes += point.notes if len(objects) and not pixels.dispersed else []
    if len(objects) and config.faint_size is not None:
        faint = detect_fainter(image, sigma, mask, objects, owner, config)
        step = max(step, faint.step)
        notes.append(
            f"second detection, less a median of {config.faint_size} pixels: "
            f"{len(faint.objects)} sources more, FLAGS {Flag.SECOND:d}"
        )
        if len(faint.objects):
            sources = joined(sources, _fainter(faint, background.image / unit, noise, pixels, config))
    return Measurement(
        sources, image, unit, background.level, rms, step, notes, noise.shared, noise.poisson, point, quality
    )


def _small_apertures(pixels: Pixels, config: Config) -> list[str]:
    small = [d for d in config.phot_apertures if pixels.scale and d / 2 / pixels.scale < _LEAST_RADIUS]
    named = ", ".join(f"{diameter:g}" for diameter in small)
    return [f"apertures of {named} arcsec are smaller than a pixel: their fluxes are unknown"] * bool(small)


def _nothing(config: Config) -> Sources:
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
    isophotal = _isophotal(objects, owner, image, noise, pixels, config)
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
        background=_at(sources, level + faint.halo),
        rms=np.sqrt(_at(sources, variance)),
    )


def _at(sources: Sources, image: Image) -> Floats:
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
    return np.divide(k, root, out=root)


def _drop_shapeless(
    objects: NDArray[np.void], segmentation: NDArray[np.int32]
) -> tuple[NDArray[np.void], NDArray[np.int32]]:
    """Objects with a shape, and a segmentation map of them that may be written to."""
    keep = np.isfinite(objects["x"]) & np.isfinite(objects["y"]) & (objects["a"] > 0) & (objects["b"] > 0)
    keep &= np.isfinite(objects["a"]) & np.isfinite(objects["b"]) & np.isfinite(objects["flux"])
    if keep.all():
        return objects, segmentation
    number = np.zeros(len(objects) + 1, dtype=np.int32)
    number[1:][keep] = np.arange(1, keep.sum() + 1)
    return objects[keep], number[segmentation]


def _isophotal(
    objects: NDArray[np.void],
    owner: NDArray[np.int32],
    image: Image,
    noise: NoiseModel,
    pixels: Pixels,
    config: Config,
) -> Isophotal:
    """What comes from the pixels of each source's own segment; ``owner`` is -1 where masked."""
    n, nx = len(objects), image.shape[1]
    x, y = objects["x"].astype(np.float64), objects["y"].astype(np.float64)
    pixel = np.flatnonzero(owner > 0)
    source = owner.ravel()[pixel] - 1
    row, column = np.divmod(pixel, nx)
    dx, dy = column - x[source], row - y[source]
    light, background = image.ravel()[pixel], noise.background.ravel()[pixel]
    variance = noise.of_pixels(light, background).astype(np.float64)
    flux, area = objects["flux"].astype(np.float64), objects["npix"].astype(np.int32)
    with np.errstate(divide="ignore", invalid="ignore"):
        x2, y2, xy, whole = (
            np.bincount(source, variance * w, n) / flux**2 for w in (dx * dx, dy * dy, dx * dy, 1 / 12)
        )
        # As SExtractor does: across a line of pixels, the place within a pixel is not known.
        thin = ((objects["flag"] & sep.OBJ_SINGU) != 0) & (x2 * y2 - xy**2 < whole**2)
    x2[thin] += whole[thin]
    y2[thin] += whole[thin]
    sky = np.bincount(source, background, n)
    x2, y2, xy = np.array([x2, y2, xy]) + moved_isophote(objects, sky / np.maximum(area, 1), noise, config)
    flags, dq = _flags(objects, owner, pixel, pixels)
    return Isophotal(
        x=x,
        y=y,
        x2=x2,
        y2=y2,
        xy=xy,
        a=objects["a"].astype(np.float64),
        b=objects["b"].astype(np.float64),
        # Rounding takes theta just past pi/2, which sep's own apertures then refuse.
        theta=np.clip(objects["theta"].astype(np.float64), -np.pi / 2, np.pi / 2),
        cxx=objects["cxx"].astype(np.float64),
        cyy=objects["cyy"].astype(np.float64),
        cxy=objects["cxy"].astype(np.float64),
        area=objects["tnpix"].astype(np.int32),
        area_filtered=area,
        flux=flux,
        flux_error=noise.error(sky, area, flux),
        peak=objects["peak"].astype(np.float64),
        flags=flags,
        dq=dq,
    )


def _flags(
    objects: NDArray[np.void], owner: NDArray[np.int32], pixel: NDArray[np.int64], pixels: Pixels
) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
    """FLAGS and or-ed DQ bits (n,) of sources, of the pixels inside them that may not be used as well.

    ``pixel`` are the flat indices of the sources' own pixels.
    """
    n = len(objects)
    flags, dq = np.zeros(n, dtype=np.int16), np.zeros(n, dtype=np.uint32)
    for bit, flag in (
        (sep.OBJ_MERGED, Flag.BLENDED),
        (sep.OBJ_TRUNC, Flag.TRUNCATED),
        (sep.OBJ_DOVERFLOW, Flag.OVERFLOW),
    ):
        flags[(objects["flag"] & bit) != 0] |= flag
    masked, source = _masked_pixels_of(owner)
    inside = _within(masked, source, objects, owner.shape[1])
    flags[source[inside]] |= Flag.CROWDED
    every = np.concatenate([pixel, masked])
    whose = np.concatenate([owner.ravel()[pixel] - 1, source])
    if pixels.saturated is not None:
        flags[whose[pixels.saturated.ravel()[every]]] |= Flag.SATURATED
    if pixels.dq is not None:
        bits = pixels.dq.ravel()[every]
        np.bitwise_or.at(dq, whose[bits != 0], bits[bits != 0])
    return flags, dq.view(np.int32)


def _within(
    pixel: NDArray[np.int64], source: NDArray[np.int64], objects: NDArray[np.void], nx: int
) -> NDArray[np.bool_]:
    """Whether flat indices lie in the ellipse of the same shape and area as their source's isophote."""
    row, column = np.divmod(pixel, nx)
    found = objects[source]
    dx, dy = column - found["x"], row - found["y"]
    distance = found["cxx"] * dx * dx + found["cyy"] * dy * dy + found["cxy"] * dx * dy
    within: NDArray[np.bool_] = distance <= found["npix"] / (np.pi * found["a"] * found["b"])
    return within


def _masked_pixels_of(owner: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Flat indices of masked pixels that touch a source, through others at most, and the sources' indices.

    A bad pixel or a saturated core is no part of a segment, whatever the filter made of it, but it is inside
    the source all the same.
    """
    ny, nx = owner.shape
    reached = np.zeros((ny + 2, nx + 2), dtype=np.int32)
    reached[1:-1, 1:-1] = owner
    flat, steps = reached.ravel(), np.array([-nx - 2, nx + 2, -1, 1])
    waiting = np.flatnonzero(flat == -1)
    found = []
    for _ in range(_REACH):
        neighbours = flat[waiting[:, None] + steps].max(axis=1)
        new = waiting[neighbours > 0]
        if not len(new):
            break
        flat[new] = neighbours[neighbours > 0]
        found.append(new)
        near = (new[:, None] + steps).ravel()
        waiting = np.unique(near[flat[near] == -1])
    every = np.concatenate(found) if found else np.zeros(0, dtype=np.int64)
    row, column = np.divmod(every, nx + 2)
    return (row - 1) * nx + column - 1, flat[every].astype(np.int64) - 1
