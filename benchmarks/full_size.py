"""Whole frames of Hubble with stars and galaxies planted all over, written as files.

Sky, read noise, Poisson noise, bad pixels and their flags are drawn pixel by pixel; cards and planes are
those of the products. Not real: point spread functions are Gaussian and the same all over the frame; there
are no cosmic rays, no trails of charge transfer and no distortion. A drizzled mosaic is drawn as one
exposure: its neighbours share no noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from planting import Floats, Planted, Shape, star

# One source in so many is a galaxy.
_GALAXIES = 4
_BAD = 4  # bad detector pixel


@dataclass(frozen=True)
class Frame:
    """A product: its chips are ``shape`` (ny, nx) each; sky in electrons a pixel, pixels of ``arcsec``."""

    name: str
    cards: dict[str, str]
    shape: tuple[int, int]
    chips: int
    arcsec: float
    fwhm: float
    seconds: float
    sky: float
    read_noise: float
    weighted: bool = False
    """A drizzled image with WHT, in electrons a second, else with ERR and DQ, in electrons."""

    def write(self, path: Path, sources: int, seed: int = 1) -> None:
        """A file with so many sources on all chips together, that is with S/N 5 or more."""
        rng = np.random.default_rng(seed)
        primary = fits.Header(
            {"TELESCOP": "HST", "EXPTIME": self.seconds, "PHOTMODE": "made"}
            | self.cards
            | ({"DRIZCORR": "COMPLETE", "NDRIZIM": 4} if self.weighted else {})
        )
        hdus: list[fits.PrimaryHDU | fits.ImageHDU] = [fits.PrimaryHDU(header=primary)]
        for chip in range(1, self.chips + 1):
            light = self._sources(rng, sources // self.chips).model(self.shape)
            variance = (light + self.sky + self.read_noise**2).astype(np.float32)
            data = rng.poisson(light + self.sky) - self.sky
            data = (data + rng.normal(0, self.read_noise, self.shape)).astype(np.float32)
            hdus += self._planes(rng, chip, data, variance)
        fits.HDUList(hdus).writeto(path, overwrite=True)

    def _planes(
        self, rng: np.random.Generator, chip: int, data: Floats, variance: Floats
    ) -> list[fits.ImageHDU]:
        header = self._header(chip)
        if self.weighted:
            planes = {"SCI": data / np.float32(self.seconds), "WHT": np.full_like(data, self.seconds)}
        else:
            bad = rng.random(self.shape) < 0.005
            data[bad] += np.float32(500)
            dq = np.where(bad, _BAD, 0).astype(np.int16)
            planes = {"SCI": data, "ERR": np.sqrt(variance), "DQ": dq}
        return [fits.ImageHDU(plane, header, name=name, ver=chip) for name, plane in planes.items()]

    def _sources(self, rng: np.random.Generator, number: int) -> Planted:
        ny, nx = self.shape
        least = 5 * 3 * np.sqrt(np.pi) * np.sqrt(self.sky + self.read_noise**2)
        # As many stars of each brightness as in a real field, and none so bright that it fills the frame.
        flux = np.minimum(least * rng.pareto(0.8, number) + least, 1e3 * least)
        galaxy = Shape("gaussian", self.fwhm * 1.3, self.fwhm * 0.7)
        shapes = tuple(galaxy if i % _GALAXIES == 0 else star(self.fwhm) for i in range(number))
        return Planted(rng.uniform(5, nx - 6, number), rng.uniform(5, ny - 6, number), flux, shapes)

    def _header(self, chip: int) -> fits.Header:
        degrees = self.arcsec / 3600
        ny, nx = self.shape
        return fits.Header(
            {
                "BUNIT": "ELECTRONS/S" if self.weighted else "ELECTRONS",
                "PHOTFLAM": 1.2e-19,
                "PHOTPLAM": 5900.0,
                "CTYPE1": "RA---TAN",
                "CTYPE2": "DEC--TAN",
                "CRVAL1": 80.5,
                "CRVAL2": -69.5,
                "CRPIX1": nx / 2,
                "CRPIX2": ny / 2 + (chip - 1) * (ny + 40),
                "CD1_1": -degrees,
                "CD1_2": 0.0,
                "CD2_1": 0.0,
                "CD2_2": degrees,
            }
        )


_IR = {"INSTRUME": "WFC3", "DETECTOR": "IR", "FILTER": "F160W"}
_UVIS = {"INSTRUME": "WFC3", "DETECTOR": "UVIS", "FILTER": "F606W"}
_ACS = {"INSTRUME": "ACS", "DETECTOR": "WFC", "FILTER1": "F606W", "FILTER2": "CLEAR2L"}
IR = Frame("wfc3_ir", _IR, (1014, 1014), 1, 0.128, 1.2, 500.0, 400.0, 15.0)
UVIS = Frame("wfc3_uvis", _UVIS, (2051, 4096), 2, 0.04, 2.0, 500.0, 40.0, 3.5)
ACS = Frame("acs_wfc", _ACS, (2048, 4096), 2, 0.05, 2.0, 500.0, 50.0, 4.0)
MOSAIC = Frame("uvis_mosaic", _UVIS, (8192, 8192), 1, 0.04, 2.2, 2000.0, 160.0, 7.0, weighted=True)

# Frames and how many sources each gets.
FULL_SIZE = ((IR, 1000), (UVIS, 4000), (UVIS, 40_000), (ACS, 4000), (ACS, 40_000), (MOSAIC, 40_000))
