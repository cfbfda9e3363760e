"""Light curves of TESS, made: stars, their noise and what the spacecraft adds; and transits to plant in them.

Figures are of the mission: see each constant. Times are days of BJD - 2457000, fluxes relative to the star's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# A sector is two orbits of 13.7 days, with a gap of about a day between them (Ricker et al. 2015).
SECTOR, GAP = 27.4, 1.2
# Noise of an hour at TESS magnitude 11.5 is 450 ppm: that of the real light curves of TIC 55652896 and TIC
# 160148385 (magnitudes 11.5 and 11.9); photons scale it, and 60 ppm are the mission's own limit.
HOURLY, MAGNITUDE, FLOOR = 450e-6, 11.5, 60e-6
# Days from one momentum dump to the next: 2.5 in sector 1, 3.375 in sector 13 (their data release notes).
DUMPS = (2.5, 3.4)
# Rotation of FGK stars: days, and log10 of the scatter of their flux (McQuillan, Mazeh & Aigrain 2014).
ROTATION, SPOTS = (3.0, 25.0), (-4.3, -2.2)
# Solar limb darkening in the band of TESS (Claret 2017).
LIMB = (0.30, 0.25)
DUMP_BIT, OUTLIER_BIT = 32, 512


@dataclass(frozen=True)
class LightCurve:
    """One sector of one star."""

    time: Floats
    flux: Floats
    """About 1."""
    error: Floats
    quality: NDArray[np.int32]
    cadence: float
    """Days."""
    hourly: float
    """White noise of an hour."""
    magnitude: float


@dataclass(frozen=True)
class Planet:
    """A transiting planet."""

    period: float
    """Days."""
    epoch: float
    ratio: float
    """Of its radius to the star's."""
    impact: float
    """Of the chord, in radii of the star."""
    crossing: float
    """Days that the star's diameter takes to be crossed."""

    @property
    def duration(self) -> float:
        """Days from the middle of ingress to the middle of egress."""
        return self.crossing * float(np.sqrt(max(1 - self.impact**2, 0.02)))

    def flux(self, time: Floats, exposure: float = 0.0) -> Floats:
        """Relative flux at each time, averaged over an exposure; a small planet on a limb-darkened star
        (Mandel & Agol 2002, section 5).
        """
        if exposure:
            steps = exposure * ((np.arange(7) + 0.5) / 7 - 0.5)
            return np.mean([self.flux(time + step) for step in steps], axis=0)
        phase = (time - self.epoch + self.period / 2) % self.period - self.period / 2
        away = np.hypot(2 * phase / self.crossing, self.impact)
        covered = np.clip((1 + self.ratio - away) / (2 * self.ratio), 0, 1)
        mu = np.sqrt(np.clip(1 - np.clip(away, 0, 1 - self.ratio / 2) ** 2, 0, 1))
        bright = (1 - LIMB[0] * (1 - mu) - LIMB[1] * (1 - mu) ** 2) / (1 - LIMB[0] / 3 - LIMB[1] / 6)
        return 1 - self.ratio**2 * covered * bright

    @property
    def width(self) -> float:
        """Days of the width at half of the greatest loss: shorter than the duration, for limbs are dark."""
        times = np.linspace(-0.5, 0.5, 2001) * self.crossing
        loss = 1 - self.flux(self.epoch + times)
        return float((loss > loss.max() / 2).mean() * self.crossing)

    @property
    def depth(self) -> float:
        """Mean loss of flux over the duration."""
        inside = self.epoch + np.linspace(-0.5, 0.5, 201) * self.duration
        return float(1 - self.flux(inside).mean())


def make(
    rng: np.random.Generator,
    cadence: float = 120.0,
    magnitude: float | None = None,
    quiet: bool = False,
    spots: float | None = None,
) -> LightCurve:
    """One sector of a star, ``cadence`` in seconds; ``quiet`` leaves white noise alone.

    ``spots`` is the scatter of the star's own flux, by chance if None.
    """
    step = cadence / 86400
    start = 1325.3 + 27.4 * rng.integers(0, 60)
    grid = np.arange(0, SECTOR, step)
    tmag = float(rng.uniform(7, 13)) if magnitude is None else magnitude
    hourly = float(np.hypot(HOURLY * 10 ** (0.2 * (tmag - MAGNITUDE)), FLOOR))
    white = hourly * np.sqrt(1 / 24 / step)
    noise = np.ones(len(grid))
    flux = np.ones(len(grid))
    quality = np.zeros(len(grid), np.int32)
    if not quiet:
        flux += _spots(rng, grid, spots) + _shared(rng, grid, 0.35 * hourly, 0.15)
        noise *= 1 + rng.uniform(0, 1.5) * np.exp(-((grid % (SECTOR / 2)) / 0.6))
        for at in np.arange(rng.uniform(0.5, 2.5), SECTOR, rng.uniform(*DUMPS)):
            during = np.abs(grid - at) < max(0.004, 0.51 * step)
            quality[during] |= DUMP_BIT
            behind = (grid > at) & (grid < at + 0.6)
            flux[behind] += rng.normal(0, 0.5 * hourly) * np.exp(-(grid[behind] - at) / 0.15)
    values = flux + white * noise * rng.normal(size=len(grid))
    if not quiet:
        hit = rng.random(len(grid)) < 3e-4
        values[hit] += white * rng.uniform(4, 15, hit.sum()) * rng.choice([-1, 1, 1], hit.sum())
        quality[rng.random(len(grid)) < 1e-3] |= OUTLIER_BIT
        values[(quality & OUTLIER_BIT) > 0] *= 0.98
        values[(quality & DUMP_BIT) > 0] *= rng.uniform(0.97, 1.0)
    kept = np.abs(grid - SECTOR / 2) > GAP / 2
    error = np.full(len(grid), white)
    return LightCurve(start + grid[kept], values[kept], error[kept], quality[kept], step, hourly, tmag)


def _spots(rng: np.random.Generator, grid: Floats, scatter: float | None) -> Floats:
    """A rotating star with spots that come and go."""
    period = float(np.exp(rng.uniform(*np.log(ROTATION))))
    chance = 10 ** rng.uniform(*SPOTS)
    scatter = chance if scatter is None else scatter
    wave = sum(
        weight * np.sin(2 * np.pi * harmonic * grid / period + rng.uniform(0, 2 * np.pi))
        for harmonic, weight in ((1, 1.0), (2, rng.uniform(0.2, 0.9)), (3, rng.uniform(0, 0.2)))
    )
    life = 1 + 0.4 * np.sin(2 * np.pi * grid / (4 * period) + rng.uniform(0, 2 * np.pi))
    shaped = wave * life
    return np.asarray(scatter * shaped / np.std(shaped))


def _shared(rng: np.random.Generator, grid: Floats, scatter: float, memory: float) -> Floats:
    """Noise that neighbours share: an Ornstein-Uhlenbeck process of ``memory`` days."""
    coarse = np.arange(grid[0], grid[-1] + 0.02, 10 / 1440)
    keep = np.exp(-(10 / 1440) / memory)
    kicks = rng.normal(size=len(coarse)) * scatter * np.sqrt(1 - keep**2)
    value, values = rng.normal() * scatter, np.empty(len(coarse))
    for i, kick in enumerate(kicks):
        value = keep * value + kick
        values[i] = value
    return np.interp(grid, coarse, values)


def planet(rng: np.random.Generator, curve: LightCurve, snr: float, longest: float = 12.0) -> Planet:
    """A planet whose transits have ``snr``: their mean depth over its white noise, in all good cadences."""
    period = float(np.exp(rng.uniform(np.log(0.6), np.log(longest))))
    crossing = 0.0757 * period ** (1 / 3) * float(np.exp(rng.normal(0.0, 0.25)))
    made = Planet(
        period, float(curve.time[0] + rng.uniform(0, period)), 0.03, float(rng.uniform(0, 0.85)), crossing
    )
    good = np.isfinite(curve.flux) & (curve.quality == 0)
    inside = np.abs((curve.time - made.epoch + period / 2) % period - period / 2) < made.duration / 2
    cadences = max(int((inside & good).sum()), 1)
    depth = snr * float(np.median(curve.error)) / np.sqrt(cadences)
    return Planet(period, made.epoch, 0.03 * float(np.sqrt(depth / made.depth)), made.impact, crossing)


def planted(curve: LightCurve, *planets: Planet) -> LightCurve:
    """The light curve with these planets."""
    flux = curve.flux.copy()
    for each in planets:
        flux = flux * each.flux(curve.time, curve.cadence)
    return LightCurve(
        curve.time, flux, curve.error, curve.quality, curve.cadence, curve.hourly, curve.magnitude
    )


def write(path: Path, curve: LightCurve, kind: str = "SPOC", tic: int = 25155310, sector: int = 14) -> Path:
    """A file as the pipeline ``kind`` writes it: SPOC, QLP, or QLP-DET as of sector 56."""
    electrons = 10 ** (
        0.4 * (20.44 - curve.magnitude)
    )  # TESS Instrument Handbook: 20.44 is one electron per second
    top = fits.Header([
        ("TELESCOP", "TESS"), ("INSTRUME", "TESS Photometer"), ("OBJECT", f"TIC {tic}"), ("TICID", tic),
        ("SECTOR", sector), ("CAMERA", 2), ("CCD", 3), ("RADESYS", "ICRS"), ("RA_OBJ", 63.3739),
        ("DEC_OBJ", -69.2268), ("TESSMAG", curve.magnitude), ("TEFF", 5800.0), ("LOGG", 4.3), ("RADIUS", 1.1),
        ("ORIGIN", "NASA/Ames" if kind == "SPOC" else "MIT/QLP"),
    ])  # fmt: skip
    below = fits.Header([
        ("TIMEREF", "SOLARSYSTEM"), ("TIMESYS", "TDB"), ("BJDREFI", 2457000), ("BJDREFF", 0.0),
        ("TIMEUNIT", "d"), ("TICID", tic), ("TELESCOP", "TESS"),
    ])  # fmt: skip
    whole = np.arange(len(curve.time))
    time = fits.Column("TIME", "D", unit="BJD - 2457000, days", array=curve.time)
    cadence = fits.Column("CADENCENO", "J", array=whole)
    quality = fits.Column("QUALITY", "J", array=curve.quality)
    if kind == "SPOC":
        flux, error = curve.flux * electrons, curve.error * electrons
        flux = np.where(curve.quality & 0x2A0, np.nan, flux)
        columns = [
            time, fits.Column("TIMECORR", "E", unit="d", array=0 * curve.time), cadence,
            fits.Column("SAP_FLUX", "E", unit="e-/s", array=flux),
            fits.Column("SAP_FLUX_ERR", "E", unit="e-/s", array=error),
            fits.Column("SAP_BKG", "E", unit="e-/s", array=0 * flux),
            fits.Column("PDCSAP_FLUX", "E", unit="e-/s", array=flux),
            fits.Column("PDCSAP_FLUX_ERR", "E", unit="e-/s", array=error),
            quality,
        ]  # fmt: skip
    else:
        name = "KSPSAP" if kind == "QLP" else "DET"
        columns = [
            time, cadence,
            fits.Column("SAP_FLUX", "E", array=curve.flux),
            fits.Column(f"{name}_FLUX", "E", array=curve.flux),
            fits.Column(f"{name}_FLUX_ERR", "E", array=curve.error),
            quality, fits.Column("ORBITID", "J", array=35 + (whole > len(whole) / 2)),
        ]  # fmt: skip
    table = fits.BinTableHDU.from_columns(columns, below, name="LIGHTCURVE")
    fits.HDUList([fits.PrimaryHDU(header=top), table]).writeto(path, overwrite=True, checksum=True)
    return path
