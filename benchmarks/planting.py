"""Sources of known flux, place and shape planted in real pixels, run through the real handler.

How real it is. The background is a real image, left where it is, with its own sources, gradients, bad pixels and
whatever else is in it; sources are planted only where that image shows nothing, so that what is measured there is known.
Faint sources below its limit stay in and count as noise, as they do in life. The planted light is drawn electron by
electron and adds its variance to ERR. What is not real: the profiles are smooth functions, integrated over
pixels, and each pixel reacts to light alike.
"""

from __future__ import annotations

import math
import os
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import sep
from astropy.io import fits
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Kind = Literal["gaussian", "exponential", "moffat"]
MOFFAT_BETA = 3.0

# Stamps end where less than a thousandth of the light is missing: at this many times the longer half axis.
_REACH = {"gaussian": 6.0, "exponential": 11.0, "moffat": 12.0}
_OVERSAMPLE = 9


class Shape(NamedTuple):
    """A profile with elliptical isophotes: its kind, half axes in pixels and angle from x in radians.

    The half axes are rms widths of a Gaussian, scale lengths of an exponential, core radii (alpha) of a Moffat.
    """

    kind: Kind
    a: float
    b: float
    theta: float = 0.0

    @property
    def matrix(self) -> Floats:
        """[[xx, xy], [xy, yy]] in pixels^2: the second moments of a Gaussian."""
        c, s = math.cos(self.theta), math.sin(self.theta)
        turn = np.array([[c, -s], [s, c]])
        return turn @ np.diag([self.a**2, self.b**2]) @ turn.T


def gaussian(fwhm: float) -> Shape:
    """A round Gaussian with this full width at half maximum in pixels."""
    sigma = fwhm / math.sqrt(8 * math.log(2))
    return Shape("gaussian", sigma, sigma)


def moffat(fwhm: float) -> Shape:
    """A round Moffat profile, beta = 3, with this full width at half maximum in pixels."""
    alpha = fwhm / 2 / math.sqrt(2 ** (1 / MOFFAT_BETA) - 1)
    return Shape("moffat", alpha, alpha)


def ellipse(kind: Kind, matrix: Floats) -> Shape:
    """The shape with this matrix (2, 2)."""
    values, vectors = np.linalg.eigh(matrix)
    return Shape(kind, *np.sqrt(values[::-1]), math.atan2(vectors[1, 1], vectors[0, 1]))


def profile(shape: Shape, dx: Floats, dy: Floats) -> Floats:
    """Share of the light a pixel^2 at an offset from the centre."""
    inverse = np.linalg.inv(shape.matrix)
    r2 = inverse[0, 0] * dx * dx + 2 * inverse[0, 1] * dx * dy + inverse[1, 1] * dy * dy
    if shape.kind == "gaussian":
        light = np.exp(-r2 / 2) / 2
    elif shape.kind == "exponential":
        light = np.exp(-np.sqrt(r2)) / 2
    else:
        light = (MOFFAT_BETA - 1) * (1 + r2) ** -MOFFAT_BETA
    return light / (math.pi * shape.a * shape.b)


def stamp(shape: Shape, x: float, y: float) -> tuple[Floats, int, int]:
    """The light of a source of flux 1 at ``x``, ``y`` (0-based), integrated over pixels, and the stamp's first column and row."""
    half = math.ceil(_REACH[shape.kind] * shape.a) + 1
    left, bottom = round(x) - half, round(y) - half
    count = 2 * half + 1
    fine = (np.arange(count * _OVERSAMPLE) + 0.5) / _OVERSAMPLE - 0.5
    light = profile(shape, fine[None, :] + left - x, fine[:, None] + bottom - y)
    return light.reshape(count, _OVERSAMPLE, count, _OVERSAMPLE).mean(axis=(1, 3)), left, bottom


@dataclass(frozen=True)
class Planted:
    """What was planted: flux (n,) in the image's unit, 0-based positions (n,), one shape each."""

    x: Floats
    y: Floats
    flux: Floats
    shapes: tuple[Shape, ...]

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Scene:
    """One science plane and what comes with it.

    ``data`` (ny, nx) with ``gain`` electrons a unit; ``error``, ``weight``, ``dq`` (ny, nx) or None;
    ``header`` of the plane and ``primary`` of the file; ``tables`` are further extensions, such as lookup tables.
    """

    data: Floats
    gain: float
    header: fits.Header
    primary: fits.Header
    error: Floats | None = None
    weight: Floats | None = None
    dq: NDArray[np.int16] | None = None
    tables: tuple[fits.ImageHDU, ...] = ()
    model: Floats | None = field(default=None, repr=False)

    @classmethod
    def read(cls, path: Path, gain: float) -> Scene:
        """A real file: SCI with ERR and DQ where there are any, else the primary plane."""
        with warnings.catch_warnings(), fits.open(path) as hdus:
            warnings.simplefilter("ignore")
            named = {hdu.name: hdu for hdu in reversed(list(hdus))}
            science = named.get("SCI", hdus[0])
            planes = {
                name: np.array(named[name].data, dtype=kind) if name in named else None
                for name, kind in {"ERR": float, "WHT": float, "DQ": np.int16}.items()
            }
            return cls(
                np.array(science.data, dtype=float),
                gain,
                science.header.copy(),
                hdus[0].header.copy(),
                planes["ERR"],
                planes["WHT"],
                planes["DQ"],
            )

    def occupied(self, threshold: float = 1.2, margin: int = 8) -> NDArray[np.bool_]:
        """Where the image already shows sources, ``margin`` pixels around them included."""
        data = np.ascontiguousarray(self.data, dtype=np.float32)
        bad = ~np.isfinite(data)
        if self.dq is not None:
            bad |= (self.dq & ~0x0210) != 0
        data[bad] = 0
        background = sep.Background(data, mask=bad)
        sep.set_extract_pixstack(1_000_000)
        _, found = sep.extract(
            data - background, threshold, err=background.globalrms, mask=bad, minarea=5, deblend_cont=1.0, segmentation_map=True
        )
        return _grown(found > 0, margin)

    def places(self, rng: np.random.Generator, spacing: int, edge: int = 16, margin: int = 8) -> tuple[Floats, Floats]:
        """0-based positions on a grid shaken by up to a quarter of its spacing, where the image shows nothing."""
        ny, nx = self.data.shape
        y, x = np.mgrid[edge : ny - edge : spacing, edge : nx - edge : spacing].astype(float).reshape(2, -1)
        shift = spacing / 4
        x, y = (np.clip(v + rng.uniform(-shift, shift, len(v)), edge, n - 1 - edge) for v, n in ((x, nx), (y, ny)))
        free = ~self.occupied(margin=margin)[np.rint(y).astype(int), np.rint(x).astype(int)]
        return x[free], y[free]

    def plant(self, sources: Planted, rng: np.random.Generator) -> Scene:
        """The scene with the sources in it, each electron drawn; ERR knows of them."""
        model = np.zeros(self.data.shape)
        for x, y, flux, shape in zip(sources.x, sources.y, sources.flux, sources.shapes, strict=True):
            light, left, bottom = stamp(shape, x, y)
            ny, nx = model.shape
            rows, columns = np.arange(bottom, bottom + len(light)), np.arange(left, left + len(light))
            inside = np.ix_((rows >= 0) & (rows < ny), (columns >= 0) & (columns < nx))
            part = flux * light[inside]
            model[np.ix_(rows[inside[0].ravel()], columns[inside[1].ravel()])] += part
        drawn = rng.poisson(model * self.gain) / self.gain
        error = None if self.error is None else np.sqrt(self.error**2 + model / self.gain)
        return replace(self, data=self.data + drawn, error=error, model=model)

    def shuffled(self, rng: np.random.Generator, block: int = 40) -> Scene:
        """The scene's blank pixels, less the local median, dealt out anew within blocks, each with its ERR.

        Every value is one that the detector gave, hot and cold pixels and non-Gaussian tails included, but what neighbours
        have in common is gone: faint sources, the structure of the sky and, in drizzled images, correlated noise.
        """
        data, taken = self.data.copy(), self.occupied()
        bad = ~np.isfinite(data) | ((self.dq & ~0x0210) != 0 if self.dq is not None else False)
        error = None if self.error is None else self.error.copy()
        dq = None if self.dq is None else np.zeros_like(self.dq)
        ny, nx = data.shape
        blank = [np.flatnonzero(~taken & ~bad)]
        for bottom in range(0, ny, block):
            for left in range(0, nx, block):
                area = np.ix_(np.arange(bottom, min(bottom + block, ny)), np.arange(left, min(left + block, nx)))
                pixels = (area[0] * nx + area[1]).ravel()
                own = pixels[~(taken | bad).ravel()[pixels]]
                if len(own) < block * block / 10:
                    own = blank[0]
                deal = rng.choice(own, len(pixels), replace=len(own) < len(pixels))
                data.ravel()[pixels] = self.data.ravel()[deal] - np.median(self.data.ravel()[own])
                if error is not None and self.error is not None:
                    error.ravel()[pixels] = self.error.ravel()[deal]
        return replace(self, data=data, error=error, dq=dq)

    def negative(self) -> Scene:
        """The scene mirrored about its median: what is found in it is noise, or what bad pixels leave."""
        return replace(self, data=2 * np.nanmedian(self.data) - self.data)

    def write(self, path: Path) -> Path:
        """A FITS file laid out as the archive does: a primary plane alone, or SCI with what there is of ERR, WHT and DQ."""
        science = self.data.astype(np.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self.error is None and self.weight is None:
                hdus = [fits.PrimaryHDU(science, self.header + self.primary)]
            else:
                hdus = [fits.PrimaryHDU(header=self.primary), fits.ImageHDU(science, self.header, name="SCI", ver=1)]
                for name, plane in {"ERR": self.error, "WHT": self.weight, "DQ": self.dq}.items():
                    if plane is not None:
                        kind = np.int16 if name == "DQ" else np.float32
                        hdus.append(fits.ImageHDU(plane.astype(kind), name=name, ver=1))
            fits.HDUList([*hdus, *self.tables]).writeto(path, overwrite=True, output_verify="silentfix")
        return path


def _grown(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """The mask with a square of this half side around each pixel."""
    for axis in (0, 1):
        padded = np.pad(mask, [(by, by) if axis == i else (0, 0) for i in (0, 1)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * by + 1, axis=axis)
        mask = windows.any(axis=-1)
    return mask


def measured(path: Path, output: Path, **config: Any) -> fits.FITS_rec:
    """The catalog that the handler writes of a file."""
    from sep_extract.handler import handler

    before = os.environ.get("SKYFAN_OUTPUT")
    os.environ["SKYFAN_OUTPUT"] = f"file://{output}/runs/{{run}}/catalogs/{{key}}.cat.fits"
    try:
        summary = handler({"input": path.as_uri(), "config": config}, None)
    finally:
        if before is None:
            del os.environ["SKYFAN_OUTPUT"]
        else:
            os.environ["SKYFAN_OUTPUT"] = before
    return fits.getdata(summary["output"].removeprefix("file://"), 1)


def match(x: Floats, y: Floats, catalog: fits.FITS_rec, radius: float = 1.5) -> NDArray[np.int64]:
    """Index of the catalog's row nearest to each 0-based position, -1 where none is within ``radius`` pixels."""
    if not len(catalog):
        return np.full(len(x), -1)
    distance = np.hypot(x[:, None] - (catalog["X_IMAGE"] - 1), y[:, None] - (catalog["Y_IMAGE"] - 1))
    nearest = distance.argmin(axis=1)
    return np.where(distance[np.arange(len(x)), nearest] < radius, nearest, -1)


def width(pulls: Floats) -> float:
    """Robust width: 1.4826 times the median distance from the median; 1 for errors that are right."""
    return float(1.4826 * np.median(np.abs(pulls - np.median(pulls))))
