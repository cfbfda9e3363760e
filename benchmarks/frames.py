"""Blank frames of JWST and TESS, made from what is known of their pixels and headers.

Sky, read noise and the noise of the flat field are drawn pixel by pixel; cards, planes and flags are those of
the products. What the planes hold:

- JWST cal: MJy/sr in distorted pixels. A star in a pixel twice as large is half as bright there, and AREA
  says how large each is. ERR is the root of VAR_POISSON + VAR_RNOISE + VAR_FLAT, and no card tells the gain.
  One pixel in seventy must not be used, one in fifteen had a jump that was corrected.
- JWST i2d: four exposures resampled to one grid by the area that their pixels share with it, so that
  neighbours share noise; two of them cover a part only, none the border. Its variances, as the pipeline makes
  them, are those of exposures before they are resampled.
- TESS ffic: electrons per second under a bright sky, in extensions called after the camera, with the
  columns and rows that see no sky, and a table of cosmic rays behind them.

Not real: point spread functions do not change over the frame; there are no 1/f noise, persistence, snowballs
or stray light.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from planting import Floats, Planted, Scene, Shape

Cards = dict[str, Any]

AB_OF_MICROJANSKY = -2.5 * math.log10(1e-6 / 3631)
TESS_OF_ELECTRON = 20.44  # per second; TESS Instrument Handbook 2018
DO_NOT_USE, JUMP_DET = 1, 4


@dataclass(frozen=True)
class Optics:
    """A JWST detector in one filter."""

    instrument: str
    detector: str
    filter: str
    arcsec: float
    """Side of a pixel."""
    mjy_sr: float
    """PHOTMJSR: MJy/sr of 1 DN/s."""
    gain: float
    """Electrons per DN."""
    sky: float
    """MJy/sr."""
    read_noise: float
    """Electrons, of the whole ramp."""
    seconds: float

    @property
    def steradian(self) -> float:
        """Of a pixel."""
        return math.radians(self.arcsec / 3600) ** 2

    @property
    def microjansky(self) -> float:
        """Of a pixel with 1 MJy/sr."""
        return self.steradian * 1e12

    @property
    def electrons(self) -> float:
        """Per microjansky, of a whole exposure."""
        return self.gain * self.seconds / (self.mjy_sr * self.microjansky)


NIRCAM = Optics("NIRCAM", "NRCB1", "F200W", 0.0309, 2.0, 2.1, 0.35, 14.0, 837.0)
MIRI = Optics("MIRI", "MIRIMAGE", "F770W", 0.1107, 0.47, 3.1, 8.0, 20.0, 277.0)
# Of the noise of a pixel, the share of its signal that the flat field leaves.
_FLAT = 0.002


def nircam_cal(rng: np.random.Generator, side: int = 1024) -> Scene:
    """A NIRCam cal: distorted pixels whose area grows by a twelfth from corner to corner."""
    optics = NIRCAM
    header = _wcs(optics.arcsec, side, sip={"A_2_0": 1.0e-5, "A_1_1": 6e-6, "B_1_1": 8e-6, "B_0_2": 7e-6})
    area = _areas(header, side)
    header |= {"PHOTMJSR": optics.mjy_sr, "PIXAR_SR": optics.steradian * float(area.mean())}
    area /= area.mean()
    variance = {k: v / area for k, v in _variances(optics, side, header["PIXAR_SR"]).items()}
    data = optics.sky + rng.normal(size=area.shape) * np.sqrt(sum(variance.values()))
    dq = np.where(rng.random(area.shape) < 0.065, JUMP_DET, 0).astype(np.uint32)
    for bad in _clusters(rng, side):
        dq[bad] |= DO_NOT_USE
        data[bad] = rng.choice([np.nan, 0.0, 40 * optics.sky])
    others = [fits.ImageHDU(area.astype(np.float32), name="AREA")]
    others += [fits.ImageHDU(v.astype(np.float32), name=name) for name, v in variance.items()]
    return Scene(
        data,
        optics.electrons,
        _cards(header, optics),
        _jwst(optics),
        error=np.sqrt(sum(variance.values())),
        dq=dq,
        response=header["PIXAR_SR"] * 1e12 * area,
        magnitude_of_one=AB_OF_MICROJANSKY,
        harmless=~DO_NOT_USE,
        others=tuple(others),
    )


@dataclass(frozen=True)
class Resampled(Scene):
    """A mean of exposures, each moved by a part of a pixel; ``covers`` says where each counts."""

    moves: tuple[tuple[float, float], ...] = ()
    """Pixels to the right and up, 0 to 1."""
    covers: tuple[Floats, ...] = ()
    optics: Optics = MIRI

    def plant(self, sources: Planted, rng: np.random.Generator) -> Scene:
        """Each exposure takes its own electrons of the sources, before it is resampled."""
        drawn, variances = [], []
        for right, up in self.moves:
            model = sources.model(self.data.shape, -right, -up)
            drawn.append(rng.poisson(model * self.gain) / self.gain / self.response)
            variances.append(model / self.gain / np.square(self.response))
        assert self.error is not None
        error = np.sqrt(self.error**2 + self._mean(variances, 2))
        return replace(self, data=self.data + self._mean(drawn), error=error)

    def share_within(self, shape: Shape, radius: float, x: float, y: float) -> float:
        """Resampling leaves a source in the same place, wider by what it takes from neighbours."""
        half, column, row, found = 24, round(x), round(y), 0.0
        side = 2 * half + 1
        fine = (np.arange(side * 5) + 0.5) / 5 - half - 0.5
        inside = np.hypot(fine[None, :] + column - x, fine[:, None] + row - y) < radius
        circle = inside.reshape(side, 5, side, 5).mean(axis=(1, 3))
        shares = np.array([cover[row, column] for cover in self.covers])
        for (right, up), share in zip(self.moves, shares / shares.sum(), strict=True):
            light, left, bottom = shape.stamp(x - right, y - up)
            first, below = left - column + half, bottom - row + half
            alone = np.zeros((side, side))
            alone[below : below + len(light), first : first + len(light)] = light
            found += share * float((_moved(alone, right, up) * circle).sum())
        return found

    def _mean(self, frames: list[Floats], power: int = 1) -> Floats:
        """Of what is covered; with ``power`` 2, the variance of the mean of exposures with such variances."""
        weight = sum(self.covers)
        total = sum(
            cover * _moved(frame, *move)
            for frame, move, cover in zip(frames, self.moves, self.covers, strict=True)
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            mean: Floats = total / weight**power
        return mean


def miri_i2d(rng: np.random.Generator, side: int = 640) -> Scene:
    """A MIRI i2d of four dithered exposures; on the right there are only two."""
    optics, border = MIRI, 25
    header = _wcs(optics.arcsec, side) | {"PHOTMJSR": optics.mjy_sr, "PIXAR_SR": optics.steradian}
    covers = np.zeros((4, side, side))
    covers[:2, border:-border, border:-border] = 1
    covers[2:, border:-border, border : int(0.6 * side)] = 1
    scene = Resampled(
        np.zeros((side, side)),
        optics.electrons,
        _cards(header, optics),
        _jwst(optics),
        response=optics.microjansky,
        magnitude_of_one=AB_OF_MICROJANSKY,
        moves=((0.0, 0.0), (0.5, 0.5), (0.25, 0.75), (0.75, 0.3)),
        covers=tuple(covers),
        optics=optics,
    )
    one = _variances(optics, side, optics.steradian)
    frames = [optics.sky + rng.normal(size=(side, side)) * np.sqrt(sum(one.values())) for _ in covers]
    # Variances of one exposure are the same everywhere, so that resampling leaves them.
    variance = {name: scene._mean([v] * 4, 2) for name, v in one.items()}
    context = (covers.astype(np.int32) * np.array([1, 2, 4, 8])[:, None, None]).sum(axis=0, dtype=np.int32)
    others = [fits.ImageHDU(context[None], name="CON")]
    others += [fits.ImageHDU(v.astype(np.float32), name=name) for name, v in variance.items()]
    return replace(
        scene,
        data=scene._mean(frames),
        error=np.sqrt(sum(variance.values())),
        weight=sum(covers) * optics.seconds,
        others=tuple(others),
    )


def tess_ffic(rng: np.random.Generator, side: int = 700) -> Scene:
    """A corner of a TESS full frame image of half an hour, with the 44 columns beside and 30 rows above."""
    seconds, sky, per_frame = 1425.6, 120.0, 10.0
    ny, nx = side + 30, side + 44
    header = _wcs(20.6, side, sip={"A_2_0": 2.014e-5, "A_1_1": 1.747e-5, "A_0_2": 3.14e-6, "B_0_2": 2.019e-5})
    header |= {
        "TELESCOP": "TESS",
        "INSTRUME": "TESS Photometer",
        "CAMERA": 4,
        "CCD": 3,
        "BUNIT": "electrons/s",
        "EXPOSURE": seconds / 86400,
        "INT_TIME": 1.98 / 86400,
        "NUM_FRM": 900,
        "SCCSA": 45,
        "SCCED": nx,
        "SCIROWS": 1,
        "SCIROWE": side,
    }
    outside = np.zeros((ny, nx), dtype=bool)
    outside[:, :44] = outside[side:] = True
    gradient = sky * (1 + 0.05 * np.mgrid[:ny, :nx][1] / nx)
    variance = gradient / seconds + 720 * per_frame**2 / seconds**2
    data = gradient + rng.normal(size=(ny, nx)) * np.sqrt(variance)
    # Overscan and smear: dark, with columns and rows that ring.
    rings = (np.arange(nx) % 11 == 0) | (np.arange(ny) % 13 == 0)[:, None]
    dark = rng.normal(0, 0.3, (ny, nx)) + 40.0 * rings
    data[outside] = dark[outside]
    cosmic_rays = fits.BinTableHDU.from_columns(
        [fits.Column("RAWX", "I", array=[7]), fits.Column("RAWY", "I", array=[9])], name="COSMIC RAYS 4.3"
    )
    primary = fits.Header({"TELESCOP": "TESS", "INSTRUME": "TESS Photometer", "SECTOR": 1, "NEXTEND": 3})
    return Scene(
        data,
        seconds,
        fits.Header(header),
        primary,
        error=np.sqrt(variance),
        magnitude_of_one=TESS_OF_ELECTRON,
        outside=outside,
        names={"SCI": "CAMERA.CCD 4.3 cal", "ERR": "CAMERA.CCD 4.3 uncert"},
        others=(cosmic_rays,),
    )


def _variances(optics: Optics, side: int, steradian: float) -> dict[str, Floats]:
    """Of a pixel of blank sky in (MJy/sr)^2, (side, side), as JWST's extensions have them."""
    unit = 1 / (optics.electrons * steradian * 1e12)  # MJy/sr of one electron
    values = {
        "VAR_POISSON": optics.sky * unit,
        "VAR_RNOISE": (optics.read_noise * unit) ** 2,
        "VAR_FLAT": (_FLAT * optics.sky) ** 2,
    }
    return {name: np.full((side, side), value) for name, value in values.items()}


def _clusters(rng: np.random.Generator, side: int) -> list[tuple[slice, slice]]:
    """Squares of four pixels, 1.4 % of all."""
    corners = rng.integers(0, side - 1, (int(0.0035 * side * side), 2))
    return [(slice(y, y + 2), slice(x, x + 2)) for y, x in corners]


def _wcs(arcsec: float, side: int, sip: dict[str, float] | None = None) -> Cards:
    kind = "-SIP" if sip else ""
    degrees = arcsec / 3600
    cards: Cards = {
        "CTYPE1": "RA---TAN" + kind, "CTYPE2": "DEC--TAN" + kind, "CUNIT1": "deg", "CUNIT2": "deg",
        "CRPIX1": side / 2, "CRPIX2": side / 2, "CRVAL1": 80.5, "CRVAL2": -69.5, "RADESYS": "ICRS",
        "CD1_1": -0.8 * degrees, "CD1_2": 0.6 * degrees, "CD2_1": 0.6 * degrees, "CD2_2": 0.8 * degrees,
    }  # fmt: skip
    if sip:
        cards |= {"A_ORDER": 2, "B_ORDER": 2, **sip}
    return cards


def _areas(header: Cards, side: int) -> Floats:
    """Area of each pixel on the sky, (side, side), relative to the linear part of its WCS."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wcs = WCS(fits.Header(header))
    edges = np.arange(side + 1) - 0.5
    x, y = np.meshgrid(edges, edges)
    # Pixels of the linear WCS; the projection itself changes areas by 1e-9 over such a field.
    u, v = (w.reshape(x.shape) for w in wcs.sip_pix2foc(x.ravel(), y.ravel(), 0))
    right_u, right_v = (np.diff(w, axis=1)[:-1] for w in (u, v))
    up_u, up_v = (np.diff(w, axis=0)[:, :-1] for w in (u, v))
    return np.abs(right_u * up_v - right_v * up_u)


def _moved(frame: Floats, right: float, up: float) -> Floats:
    """The frame moved by part of a pixel: each pixel gets of others what they share with it."""
    for axis, by in ((1, right), (0, up)):
        frame = (1 - by) * frame + by * np.roll(frame, 1, axis=axis)
    return frame


def _cards(header: Cards, optics: Optics) -> fits.Header:
    """A SCI header of JWST; its outline is that of the corners."""
    header = fits.Header(header | {"BUNIT": "MJy/sr", "XPOSURE": optics.seconds})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        side = 2 * header["CRPIX1"]
        corners = WCS(header).all_pix2world([[0, 0], [0, side], [side, side], [side, 0]], 0)
    header["S_REGION"] = "POLYGON ICRS  " + " ".join(f"{v:.9f}" for v in corners.ravel())
    return header


def _jwst(optics: Optics) -> fits.Header:
    cards = {
        "TELESCOP": "JWST", "INSTRUME": optics.instrument, "DETECTOR": optics.detector, "PUPIL": "CLEAR",
        "FILTER": optics.filter, "EFFEXPTM": optics.seconds, "S_PHOTOM": "COMPLETE",
    }  # fmt: skip
    if optics.instrument == "MIRI":
        del cards["PUPIL"]
    return fits.Header(cards)
