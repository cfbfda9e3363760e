"""Sources of known flux, place and shape planted in real pixels.

How real it is. A background is a real image in one of two forms:

- as it is (`Scene.read`), with its own sources, gradients, bad pixels and faint light; sources are planted
  only where it shows nothing, so that what is measured there is known;
- dealt out anew (`Scene.shuffled`): the same pixel values with their own errors, hot and cold ones
  included, but at other places, so that nothing is left that neighbours have in common: no undetected
  sources, no structure of the sky, no noise correlated by drizzling. Only there can the error of a sum of
  pixels be put to the test.

benchmarks/frames.py makes backgrounds of other telescopes, pixels and headers, from what is known of them.

The planted light is drawn electron by electron and adds its variance to ERR. Not real: profiles are smooth
functions and every pixel responds alike.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import sep
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Kind = Literal["gaussian", "exponential", "moffat"]

MOFFAT_BETA = 3.0
# Stamps end at this many times the longer half axis: less than 0.05 % of the light is missing.
_REACH = {"gaussian": 6.0, "exponential": 11.0, "moffat": 8.0}
_OVERSAMPLE = 5
# Bits of DQ that do not spoil a pixel of WFC3/IR.
_HARMLESS = 512 | 16
PLANES = ("SCI", "ERR", "WHT", "DQ")


class Shape(NamedTuple):
    """A profile with elliptical isophotes: its kind, half axes in pixels and angle from x in radians.

    The half axes are rms widths of a Gaussian, scale lengths of an exponential, core radii (alpha) of a
    Moffat.
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

    def light(self, dx: Floats, dy: Floats) -> Floats:
        """Share of the light a pixel^2 at an offset from the centre."""
        inverse = np.linalg.inv(self.matrix)
        r2 = inverse[0, 0] * dx * dx + 2 * inverse[0, 1] * dx * dy + inverse[1, 1] * dy * dy
        if self.kind == "gaussian":
            light = np.exp(-r2 / 2) / 2
        elif self.kind == "exponential":
            light = np.exp(-np.sqrt(r2)) / 2
        else:
            light = (MOFFAT_BETA - 1) * (1 + r2) ** -MOFFAT_BETA
        return light / (math.pi * self.a * self.b)

    def stamp(self, x: float, y: float) -> tuple[Floats, int, int]:
        """Flux 1 at ``x``, ``y`` (0-based) integrated over pixels; their first column and row."""
        half = math.ceil(_REACH[self.kind] * self.a) + 1
        left, bottom = round(x) - half, round(y) - half
        count = 2 * half + 1
        fine = (np.arange(count * _OVERSAMPLE) + 0.5) / _OVERSAMPLE - 0.5
        light = self.light(fine[None, :] + left - x, fine[:, None] + bottom - y)
        return _binned(light), left, bottom

    def share_within(self, radius: float, x: float, y: float) -> float:
        """Share of the light that a circle about ``x``, ``y`` gets, where it shares pixels by area."""
        light, left, bottom = self.stamp(x, y)
        fine = (np.arange(len(light) * _OVERSAMPLE) + 0.5) / _OVERSAMPLE - 0.5
        inside = np.hypot(fine[None, :] + left - x, fine[:, None] + bottom - y) < radius
        return float((light * _binned(inside.astype(float))).sum())


def _binned(fine: Floats) -> Floats:
    """Means over the squares of sub-pixels that make a pixel."""
    count = len(fine) // _OVERSAMPLE
    return fine.reshape(count, _OVERSAMPLE, count, _OVERSAMPLE).mean(axis=(1, 3))


def star(fwhm: float) -> Shape:
    """A round Gaussian with this full width at half maximum in pixels."""
    sigma = fwhm / math.sqrt(8 * math.log(2))
    return Shape("gaussian", sigma, sigma)


def winged_star(fwhm: float) -> Shape:
    """A round Moffat profile, beta = 3, with this full width at half maximum in pixels."""
    alpha = fwhm / 2 / math.sqrt(2 ** (1 / MOFFAT_BETA) - 1)
    return Shape("moffat", alpha, alpha)


@dataclass(frozen=True)
class Planted:
    """What was planted: 0-based positions (n,), fluxes (n,) in the image's unit, and n shapes."""

    x: Floats
    y: Floats
    flux: Floats
    shapes: tuple[Shape, ...]

    def model(self, shape: tuple[int, ...], right: float = 0.0, up: float = 0.0) -> Floats:
        """Their light in an image of ``shape``, moved by pixels, in units of flux a pixel."""
        frame = 200
        model = np.zeros([n + 2 * frame for n in shape])
        for x, y, flux, profile in zip(self.x, self.y, self.flux, self.shapes, strict=True):
            light, left, bottom = profile.stamp(x + right, y + up)
            rows, columns = (slice(first + frame, first + frame + len(light)) for first in (bottom, left))
            model[rows, columns] += flux * light
        return model[frame:-frame, frame:-frame]


@dataclass(frozen=True)
class Scene:
    """One science plane (ny, nx) with ``gain`` electrons a unit, and what comes with it.

    ``error``, ``weight`` and ``dq`` have its shape or are None; ``header`` is the plane's, ``primary`` the
    file's. Fluxes of sources are in the catalog's unit, ``response`` of which is one unit of a pixel, a
    number or (ny, nx); ``gain`` is in electrons per unit of the catalog.
    """

    data: Floats
    gain: float
    header: fits.Header
    primary: fits.Header
    error: Floats | None = None
    weight: Floats | None = None
    dq: NDArray[Any] | None = None
    response: Floats | float = 1.0
    magnitude_of_one: float | None = None
    """Of one unit of flux, if it is not that of PHOTFLAM."""
    harmless: int = _HARMLESS
    """Bits of ``dq`` that do not spoil a pixel."""
    outside: NDArray[np.bool_] | None = None
    """Pixels that see no sky."""
    names: Mapping[str, str] = field(default_factory=lambda: {name: name for name in PLANES})
    """What the file calls its planes."""
    others: tuple[fits.ImageHDU | fits.BinTableHDU, ...] = ()
    """What the file holds behind them."""

    @classmethod
    def read(cls, path: Path, gain: float | None = None) -> Scene:
        """A real file in electrons/s: SCI with ERR and DQ where there are any, else the primary plane.

        ``gain`` is its exposure time unless given.
        """
        with warnings.catch_warnings(), fits.open(path) as hdus:
            warnings.simplefilter("ignore")
            named = {hdu.name: hdu for hdu in reversed(list(hdus))}
            science = named.get("SCI", hdus[0])
            error, dq = (np.array(named[n].data) if n in named else None for n in ("ERR", "DQ"))
            primary = hdus[0].header.copy()
            return cls(
                np.array(science.data, dtype=float),
                gain or primary["EXPTIME"],
                primary if science is hdus[0] else science.header.copy(strip=True),
                primary,
                error if error is None else error.astype(float),
                None,
                dq,
            )

    @property
    def scale(self) -> float:
        """Side of a pixel in arcsec."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return float(np.sqrt(np.prod(proj_plane_pixel_scales(WCS(self.header, naxis=2))))) * 3600

    @property
    def zeropoint(self) -> float:
        """Magnitude of one unit of flux: AB of one electron/s, after the ACS Data Handbook, unless given."""
        if self.magnitude_of_one is not None:
            return self.magnitude_of_one
        photflam, photplam = (self.header.get(k) or self.primary[k] for k in ("PHOTFLAM", "PHOTPLAM"))
        return -2.5 * math.log10(photflam) - 5 * math.log10(photplam) - 2.408

    @cached_property
    def bad(self) -> NDArray[np.bool_]:
        """Pixels that hold nothing."""
        bad = ~np.isfinite(self.data)
        if self.dq is not None:
            bad |= (self.dq.astype(np.int64) & ~self.harmless) != 0
        return bad if self.outside is None else bad | self.outside

    @property
    def noise(self) -> float:
        """One sigma of a pixel in units of flux."""
        return self.residual[1] * float(np.median(self.response))

    @cached_property
    def residual(self) -> tuple[NDArray[np.float32], float]:
        """The image less its background (0 where bad), and the noise a pixel."""
        bad = self.bad
        data = np.where(bad, 0, self.data).astype(np.float32)
        background = sep.Background(data, mask=bad)
        return np.where(bad, np.float32(0), data - background.back()), float(background.globalrms)

    @cached_property
    def occupied(self) -> NDArray[np.bool_]:
        """Where the image already shows sources at 1.2 sigma, and 8 pixels around them."""
        data, noise = self.residual
        before = sep.get_extract_pixstack()
        sep.set_extract_pixstack(1_000_000)
        try:
            _, found = sep.extract(
                data, 1.2, err=noise, mask=self.bad, minarea=5, deblend_cont=1.0, segmentation_map=True
            )
        finally:
            sep.set_extract_pixstack(before)  # the setting is the whole process's
        return grown(found > 0, 8)

    def free_places(self, rng: np.random.Generator, spacing: int, edge: int = 20) -> tuple[Floats, Floats]:
        """0-based positions on a shaken grid (by up to a quarter), where the image shows nothing."""
        ny, nx = self.data.shape
        y, x = np.mgrid[edge : ny - edge : spacing, edge : nx - edge : spacing].astype(float).reshape(2, -1)
        x, y = (v + rng.uniform(-spacing / 4, spacing / 4, len(v)) for v in (x, y))
        x, y = np.clip(x, edge, nx - 1 - edge), np.clip(y, edge, ny - 1 - edge)
        free = ~self.occupied[np.rint(y).astype(int), np.rint(x).astype(int)]
        return x[free], y[free]

    def plant(self, sources: Planted, rng: np.random.Generator) -> Scene:
        """The scene with the sources in it, each electron drawn; ERR knows of them."""
        model = sources.model(self.data.shape)
        drawn = rng.poisson(model * self.gain) / self.gain
        error = self.error
        if error is not None:
            error = np.sqrt(error**2 + model / self.gain / np.square(self.response))
        return replace(self, data=self.data + drawn / self.response, error=error)

    def share_within(self, shape: Shape, radius: float, x: float, y: float) -> float:
        """Share of a source's light that a circle about ``x``, ``y`` gets, as the pixels have it."""
        return shape.share_within(radius, x, y)

    def shuffled(self, rng: np.random.Generator, block: int = 40) -> Scene:
        """The blank pixels, less their local median, dealt out anew in blocks, each with its error."""
        data, taken = np.empty_like(self.data), self.occupied | self.bad
        error = None if self.error is None else np.empty_like(self.error)
        everywhere = np.flatnonzero(~taken)
        ny, nx = data.shape
        for bottom in range(0, ny, block):
            for left in range(0, nx, block):
                here = np.ix_(range(bottom, min(bottom + block, ny)), range(left, min(left + block, nx)))
                pixels = (here[0] * nx + here[1]).ravel()
                blank = pixels[~taken.ravel()[pixels]]
                if len(blank) < block * block / 10:
                    blank = everywhere
                deal = rng.choice(blank, len(pixels), replace=len(blank) < len(pixels))
                data.ravel()[pixels] = self.data.ravel()[deal] - np.median(self.data.ravel()[blank])
                if error is not None and self.error is not None:
                    error.ravel()[pixels] = self.error.ravel()[deal]
        return replace(self, data=data, error=error, dq=None)

    def negative(self) -> Scene:
        """The scene mirrored about its median: what is found in it is noise, or what bad pixels leave."""
        return replace(self, data=2 * np.nanmedian(self.data) - self.data)

    def plain(self) -> Scene:
        """The science plane alone."""
        return replace(self, error=None, weight=None, dq=None)

    def weighted(self) -> Scene:
        """As if drizzled: no ERR but WHT, here exposure in an arbitrary unit, four times as deep to the
        right.

        The deeper a pixel, the smaller its noise; the scene must be a shuffled one, whose pixels scatter
        about 0.
        """
        weight = np.full(self.data.shape, 7.0)
        weight[:, self.data.shape[1] // 2 :] *= 4
        return replace(self, data=self.data * np.sqrt(7.0 / weight), weight=weight, error=None, dq=None)

    def write(self, path: Path) -> Path:
        """A FITS file as the archive lays it out: the plane alone, or SCI with ERR, WHT, DQ."""
        science = self.data.astype(np.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self.error is None and self.weight is None:
                cards = list(self.header.cards)
                if self.primary is not self.header:
                    known = {card.keyword for card in cards}
                    cards += [card for card in self.primary.cards if card.keyword not in known]
                hdus = [fits.PrimaryHDU(science, fits.Header(cards))]
            else:
                hdus = [fits.PrimaryHDU(header=self.primary), fits.ImageHDU(science, self.header)]
                hdus[1].header["EXTNAME"] = self.names["SCI"]  # as it is, where name= makes capitals of it
                for name, plane in (("ERR", self.error), ("WHT", self.weight), ("DQ", self.dq)):
                    if plane is not None:
                        values = plane if plane.dtype.kind in "iu" else plane.astype(np.float32)
                        hdus.append(fits.ImageHDU(values))
                        hdus[-1].header["EXTNAME"] = self.names[name]
                hdus += self.others
            fits.HDUList(hdus).writeto(path, overwrite=True, output_verify="silentfix")
        return path


def grown(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """The mask with a square of this half side around each of its pixels."""
    for axis in (0, 1):
        padded = np.pad(mask, [(by, by) if axis == i else (0, 0) for i in (0, 1)])
        mask = np.lib.stride_tricks.sliding_window_view(padded, 2 * by + 1, axis=axis).any(axis=-1)
    return mask
