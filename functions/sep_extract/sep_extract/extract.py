"""The science core: one image plane in, measured sources out. Arrays, numpy and sep; no files, no cloud."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import sep
from numpy.typing import NDArray

from .background import measure_background
from .event import Config
from .flags import Flag
from .ladder import MEANING, Step, detect
from .photometry import photometry
from .shared_noise import SharedNoise, measure_shared_noise, widen

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

# float32 squares of what is smaller vanish, as in an image in erg/s/cm2/A: such an image is measured in units
# near its noise.
_LEAST_RMS = 1e-9
_FLUXES = (
    *("flux_iso", "fluxerr_iso", "peak", "flux_auto", "fluxerr_auto", "flux_aper", "fluxerr_aper"),
    *("background", "rms"),
)


@dataclass
class Measurement:
    """Sources of one plane and what was found out about it.

    ``columns``: one array a quantity, (n,) or (n, apertures); positions 0-based pixels, angles radians,
    fluxes in the image's unit. ``background`` and ``rms``: the background level and its one-sigma noise a
    pixel; ``shared``: the noise that neighbouring pixels share.
    """

    columns: dict[str, NDArray[Any]]
    background: float
    rms: float
    step: Step
    notes: list[str] = field(default_factory=list)
    shared: SharedNoise = field(default_factory=SharedNoise)

    def __len__(self) -> int:
        return len(self.columns["x"])


def measure(
    data: Image,
    mask: Mask,
    config: Config,
    *,
    error: Image | None = None,
    weight: Image | None = None,
    gain: float | None = None,
    dq: NDArray[np.int32] | None = None,
    saturated: Mask | None = None,
    scale: float | None = None,
) -> Measurement:
    """Find and measure the sources of an image of shape (ny, nx).

    ``data`` float32, overwritten with the background-subtracted image; ``mask`` True where not to be used.
    The noise is ``error`` (one sigma, the sources' Poisson noise included) where given, else the measured
    background noise, scaled by 1 / sqrt(``weight``), with the Poisson noise of ``gain`` electrons a data
    unit. ``dq`` int32 flags and ``saturated`` go to the columns. ``scale`` is in arcsec a pixel; without it
    there are no apertures. Raises ExtractionError.
    """
    notes: list[str] = []
    data[mask] = 0
    background = measure_background(data, mask, config)
    level, rms = background.level, background.rms
    if background.model is None:
        notes.append("no background mesh is half usable: one background for the whole image")
    if rms and not _LEAST_RMS < rms < 1 / _LEAST_RMS:
        unit = 2.0 ** round(math.log2(rms))
        data /= unit
        error = None if error is None else error / unit
        gain = None if gain is None else gain * unit
        found = measure(
            data,
            mask,
            config,
            error=error,
            weight=weight,
            gain=gain,
            dq=dq,
            saturated=saturated,
            scale=scale,
        )
        data *= unit
        for name in _FLUXES:
            found.columns[name] *= unit
        return replace(found, background=found.background * unit, rms=found.rms * unit)
    data -= background.image
    data[mask] = 0
    if not rms > 0:
        notes.append("the background has no noise: the scatter of all pixels stands in for it")
        rms = float(np.std(data, where=~mask, dtype=np.float64))
    if not rms > 0:
        why = ["the image is constant: no sources"]
        return Measurement(_empty(config), level, 0.0, Step.AS_ASKED, why)

    noise: float | Image = rms
    if weight is not None:
        noise = _noise_from_weight(background.local_rms(), weight, mask, config.back_size)
        rms = float(np.median(noise[~mask]))
    variance = _variance(data, noise, error, gain)
    variance[mask] = 0
    objects, segmentation, step = detect(data, noise, mask, config)
    if step > Step.AS_ASKED:
        notes.append(f"detection ran {MEANING[step]}")
    objects, segmentation = _drop_shapeless(objects, segmentation)

    columns = _empty(config)
    if len(objects):
        columns |= _isophotal(objects, segmentation, data, variance, mask, dq, saturated)
    segmentation[mask] = -1
    shared = measure_shared_noise(data, variance, segmentation)
    if not shared.measured:
        notes.append("too little blank sky to measure the noise that pixels share: errors leave it out")
    if len(objects):
        radii = [d / 2 / scale for d in config.phot_apertures] if scale else []
        columns |= photometry(columns, data, variance, segmentation, config, radii)
        at = np.rint(columns["y"]).astype(int), np.rint(columns["x"]).astype(int)
        columns["background"] = background.image[at].astype(np.float64)
        columns["rms"] = np.broadcast_to(noise, data.shape)[at].astype(np.float64)
        widen(columns, shared, radii)
    columns["step"] = np.full(len(objects), int(step), dtype=np.int16)
    return Measurement(columns, level, rms, step, notes, shared)


def _noise_from_weight(local_rms: Image, weight: Image, mask: Mask, size: int) -> Image:
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


def _variance(data: Image, noise: float | Image, error: Image | None, gain: float | None) -> Image:
    if error is not None:
        return np.square(error)
    square = np.float32(noise * noise) if isinstance(noise, float) else noise * noise
    if gain is None:
        return np.broadcast_to(square, data.shape).copy()
    return np.maximum(data, 0) / np.float32(gain) + square


def _drop_shapeless(
    objects: NDArray[np.void], segmentation: NDArray[np.int32]
) -> tuple[NDArray[np.void], NDArray[np.int32]]:
    keep = np.isfinite(objects["x"]) & np.isfinite(objects["y"]) & (objects["a"] > 0) & (objects["b"] > 0)
    keep &= np.isfinite(objects["a"]) & np.isfinite(objects["b"]) & np.isfinite(objects["flux"])
    if keep.all():
        return objects, segmentation
    number = np.zeros(len(objects) + 1, dtype=np.int32)
    number[1:][keep] = np.arange(1, keep.sum() + 1)
    return objects[keep], number[segmentation]


def _isophotal(
    objects: NDArray[np.void],
    segmentation: NDArray[np.int32],
    data: Image,
    variance: Image,
    mask: Mask,
    dq: NDArray[np.int32] | None,
    saturated: Mask | None,
) -> dict[str, NDArray[Any]]:
    """What comes from the pixels of each source's own segment."""
    n, nx = len(objects), data.shape[1]
    x, y = objects["x"].astype(np.float64), objects["y"].astype(np.float64)
    pixel = np.flatnonzero(segmentation)
    owner = segmentation.ravel()[pixel] - 1
    row, column = np.divmod(pixel, nx)
    dx, dy, var = column - x[owner], row - y[owner], variance.ravel()[pixel].astype(np.float64)
    flux = objects["flux"].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        x2, y2, xy = (np.bincount(owner, var * w, n) / flux**2 for w in (dx * dx, dy * dy, dx * dy))
    flags = np.zeros(n, dtype=np.int16)
    flags[(objects["flag"] & sep.OBJ_MERGED) != 0] |= Flag.BLENDED
    flags[(objects["flag"] & sep.OBJ_TRUNC) != 0] |= Flag.TRUNCATED
    flags[(objects["flag"] & sep.OBJ_DOVERFLOW) != 0] |= Flag.OVERFLOW
    if saturated is not None:
        flags[owner[saturated.ravel()[pixel]]] |= Flag.SATURATED
    imaflags = np.zeros(n, dtype=np.int32)
    if dq is not None:
        bits = dq.ravel()[pixel]
        for bit in (1 << b for b in range(16)):
            imaflags[owner[(bits & bit) != 0]] |= bit
    return {
        "x": x,
        "y": y,
        "x2": x2,
        "y2": y2,
        "xy": xy,
        "a": objects["a"].astype(np.float64),
        "b": objects["b"].astype(np.float64),
        # Rounding takes theta just past pi/2, which sep's own apertures then refuse.
        "theta": np.clip(objects["theta"].astype(np.float64), -np.pi / 2, np.pi / 2),
        "cxx": objects["cxx"].astype(np.float64),
        "cyy": objects["cyy"].astype(np.float64),
        "cxy": objects["cxy"].astype(np.float64),
        "isoarea": objects["tnpix"].astype(np.int32),
        "isoareaf": objects["npix"].astype(np.int32),
        "flux_iso": flux,
        "fluxerr_iso": np.sqrt(np.bincount(owner, var, n)),
        "peak": objects["peak"].astype(np.float64),
        "flags": flags,
        "imaflags_iso": imaflags,
    }


def _empty(config: Config) -> dict[str, NDArray[Any]]:
    """All columns with no rows."""
    names = (
        "x y x2 y2 xy a b theta cxx cyy cxy flux_iso fluxerr_iso peak kron_radius flux_auto fluxerr_auto "
        "flux_radius xwin ywin x2win y2win xywin background rms"
    )
    columns: dict[str, NDArray[Any]] = {name: np.zeros(0) for name in names.split()}
    columns |= {name: np.zeros((0, len(config.phot_apertures))) for name in ("flux_aper", "fluxerr_aper")}
    columns |= {name: np.zeros(0, dtype=np.int32) for name in ("isoarea", "isoareaf", "imaflags_iso")}
    return columns | {name: np.zeros(0, dtype=np.int16) for name in ("flags", "step")}
