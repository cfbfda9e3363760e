"""A synthetic field for skyfan demo: three exposures of stars and galaxies, with headers like WFC3/IR's.

Nothing in it is real, and its headers say so. The same version makes the same sky.
"""

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from .. import files
from ..events import OnProgress, ignore

Floats = NDArray[np.float64]
SIDE = 512
"""Pixels of each image along x and y."""
CENTRE = (53.1625, -27.7914)
"""Right ascension and declination in degrees."""
_SCALE = 0.128 / 3600
_FWHM = 2.2
_SKY, _READ_NOISE = 0.7, 14.0  # electrons per second and pixel; electrons per exposure
_FULL_WELL = 78_000.0
_SATURATED, _BAD = 256, 4
_SEED = 20260


@dataclass(frozen=True)
class Band:
    """A filter: magnitudes are AB."""

    name: str
    photflam: float
    photplam: float

    @property
    def zero_point(self) -> float:
        """Magnitude of one electron per second."""
        return -2.5 * math.log10(self.photflam) - 5 * math.log10(self.photplam) - 2.408


F125W = Band("F125W", 2.2483e-20, 12486.0)
F160W = Band("F160W", 1.9276e-20, 15369.0)


@dataclass(frozen=True)
class Exposure:
    """One image: its centre is moved by `east` and `north` arcseconds and its y axis turned by `turn` degrees
    from north to east.
    """

    name: str
    band: Band
    seconds: float
    east: float = 0.0
    north: float = 0.0
    turn: float = 0.0


EXPOSURES = (
    Exposure("demo01_f160w_flt.fits", F160W, 1200.0),
    Exposure("demo02_f160w_flt.fits", F160W, 900.0, 4.0, -3.0, 12.0),
    Exposure("demo03_f125w_flt.fits", F125W, 1200.0),
)


@dataclass(frozen=True)
class Sources:
    """What is planted, (n,) each. Stars have radius 0."""

    ra: Floats
    dec: Floats
    mag: dict[str, Floats]
    """By filter."""
    radius: Floats
    """Scale length in pixels."""
    ratio: Floats
    """Minor to major axis."""
    angle: Floats
    """Radians from north to east."""
    spiral: Floats
    """Strength of two spiral arms, 0 to 1."""
    bulge: Floats
    """Share of the light in a bulge."""


@cache
def sources() -> Sources:
    """The same for all exposures: field galaxies, a cluster of red ones about two giants, a spiral, stars."""
    rng = np.random.default_rng(_SEED)
    stars, field, cluster = 60, 210, 55
    half = 0.62 * SIDE * _SCALE
    east, north = rng.uniform(-half, half, (2, stars + field))
    spread = np.abs(rng.standard_cauchy(cluster)).clip(0.4, 6) * 7 / 3600
    turn = rng.uniform(0, 2 * np.pi, cluster)
    giants = (
        np.array([[-13.0, -10.5, 17.0], [7.0, 10.0, -15.0]]) / 3600
    )  # east, north; the last is the spiral
    east = np.concatenate([east, giants[0, 0] + spread * np.cos(turn), giants[0]])
    north = np.concatenate([north, giants[1, 0] + spread * np.sin(turn), giants[1]])
    mag = np.concatenate(
        [
            17.0 + 8.5 * rng.power(1.6, stars),
            20.5 + 6.5 * rng.power(4.0, field),
            20.3 + 4.5 * rng.power(2.0, cluster),
            [17.2, 18.4, 16.9],
        ]
    )
    size = np.clip(10 ** (0.15 * (24.0 - mag)) * 1.6 * rng.lognormal(0, 0.25, len(mag)), 0.6, 6.0)
    size[:stars] = 0
    size[-3:] = 8.0, 5.0, 17.0
    colour = np.concatenate(
        [
            rng.normal(0.1, 0.25, stars),
            rng.normal(0.35, 0.3, field),
            rng.normal(0.8, 0.05, cluster),
            [0.85, 0.8, 0.3],
        ]
    )
    ratio = np.concatenate(
        [np.ones(stars), rng.uniform(0.3, 1.0, field), rng.uniform(0.6, 1, cluster), [0.75, 0.85, 0.7]]
    )
    bulge = np.concatenate(
        [np.zeros(stars), rng.uniform(0, 0.4, field), np.full(cluster, 0.5), [0.4, 0.5, 0.18]]
    )
    spiral = np.zeros(len(mag))
    spiral[-1] = 0.75
    dec = CENTRE[1] + north
    return Sources(
        CENTRE[0] + east / np.cos(np.radians(dec)),
        dec,
        {F160W.name: mag, F125W.name: mag + colour},
        size,
        ratio,
        np.concatenate([rng.uniform(0, np.pi, len(mag) - 3), [0.9, 2.2, 0.5]]),
        spiral,
        bulge,
    )


def write(folder: Path, progress: OnProgress = ignore) -> list[Path]:
    """Writes the exposures that are missing into a folder; returns the paths of all."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, exposure in enumerate(EXPOSURES):
        if not (path := folder / exposure.name).exists():
            with files.replace(path) as part:
                _hdus(exposure, np.random.default_rng([_SEED, number])).writeto(part, checksum=True)
        progress("images", number + 1, len(EXPOSURES))
    return [folder / exposure.name for exposure in EXPOSURES]


def wcs(exposure: Exposure) -> WCS:
    """Sky coordinates of an exposure."""
    made = WCS(naxis=2)
    turn = np.radians(exposure.turn)
    made.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    made.wcs.crpix = [SIDE / 2 + 0.5, SIDE / 2 + 0.5]
    dec = CENTRE[1] + exposure.north / 3600
    made.wcs.crval = [CENTRE[0] + exposure.east / 3600 / math.cos(math.radians(dec)), dec]
    cos, sin = math.cos(turn) * _SCALE, math.sin(turn) * _SCALE
    made.wcs.cd = [[-cos, sin], [sin, cos]]
    made.wcs.cunit = ["deg", "deg"]
    made.wcs.radesys = "ICRS"
    return made


def _hdus(exposure: Exposure, rng: np.random.Generator) -> fits.HDUList:
    """The file: PRIMARY, SCI, ERR and DQ, in electrons per second."""
    light, seconds = _light(exposure) + _SKY, exposure.seconds
    electrons = rng.poisson(light * seconds) + rng.normal(0, _READ_NOISE, light.shape)
    error = np.sqrt(light * seconds + _READ_NOISE**2) / seconds
    dq = np.zeros(light.shape, np.int16)
    dq[electrons > _FULL_WELL] |= _SATURATED
    hot = rng.random(light.shape) < 2e-4
    electrons[hot] += rng.exponential(3000, light.shape)[hot]
    dq[hot] |= _BAD
    y, x = np.mgrid[:SIDE, :SIDE]
    dead = np.hypot(x - 0.86 * SIDE, y - 0.12 * SIDE) < 13
    dq[dead] |= _BAD
    electrons[dead] *= 0.2
    data = np.minimum(electrons, _FULL_WELL) / seconds
    header = wcs(exposure).to_header()
    for old in [name for name in header if name.startswith(("PC", "CDELT"))]:
        del header[old]
    matrix = wcs(exposure).wcs.cd
    for row, column in np.ndindex(2, 2):
        header[f"CD{row + 1}_{column + 1}"] = matrix[row, column]
    header["BUNIT"] = "ELECTRONS/S"
    planes = {"SCI": data.astype(np.float32), "ERR": error.astype(np.float32), "DQ": dq}
    hdus = [fits.ImageHDU(plane, header, name, ver=1) for name, plane in planes.items()]
    hdus[-1].header["BUNIT"] = "UNITLESS"
    return fits.HDUList([fits.PrimaryHDU(header=_primary(exposure)), *hdus])


def _primary(exposure: Exposure) -> fits.Header:
    cards: dict[str, Any] = {
        "TELESCOP": "HST",
        "INSTRUME": "WFC3",
        "DETECTOR": "IR",
        "TARGNAME": "SYNTHETIC-FIELD",
        "ROOTNAME": exposure.name.partition("_")[0],
        "FILENAME": exposure.name,
        "FILTER": exposure.band.name,
        "EXPTIME": exposure.seconds,
        "EXPSTART": 61000.0,
        "EXPEND": 61000.0 + exposure.seconds / 86400,
        "CCDGAIN": 2.5,
        "PHOTFLAM": exposure.band.photflam,
        "PHOTPLAM": exposure.band.photplam,
        "NEXTEND": 3,
    }
    header = fits.Header(list(cards.items()))
    header["COMMENT"] = "Synthetic: made by skyfan demo. No telescope took this image."
    return header


def _light(exposure: Exposure) -> Floats:
    """Electrons per second of all sources, through the point spread function."""
    planted = sources()
    x, y = wcs(exposure).all_world2pix(planted.ra, planted.dec, 0)
    flux = 10 ** (-0.4 * (planted.mag[exposure.band.name] - exposure.band.zero_point))
    light, stars = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))
    for i in np.flatnonzero((x > -40) & (x < SIDE + 40) & (y > -40) & (y < SIDE + 40)):
        if planted.radius[i]:
            _add(light, x[i], y[i], flux[i], int(11 * planted.radius[i]) + 4, _galaxy(int(i), exposure.turn))
        else:
            _add(stars, x[i], y[i], flux[i], int(np.clip(3 * flux[i] ** 0.43, 12, 110)), _star)
    return stars + _blurred(light)


def _add(image: Floats, x: float, y: float, flux: float, half: int, profile: Any) -> None:
    """Adds a source, of which a pixel has the mean of 3 x 3 places; its light within the stamp is `flux`."""
    left, bottom = round(x) - half, round(y) - half
    fine = (np.arange(3 * (2 * half + 1)) + 0.5) / 3 - 0.5
    stamp = profile(fine[None, :] + left - x, fine[:, None] + bottom - y)
    count = 2 * half + 1
    stamp = stamp.reshape(count, 3, count, 3).mean(axis=(1, 3))
    stamp *= flux / stamp.sum()
    rows, columns = (slice(max(0, first), max(0, first + count)) for first in (bottom, left))
    part = image[rows, columns]
    down, right = rows.start - bottom, columns.start - left
    part += stamp[down : down + part.shape[0], right : right + part.shape[1]]


def _star(dx: Floats, dy: Floats) -> Floats:
    """A core, wings, and the four spikes that the mirror's supports make."""
    r2 = dx * dx + dy * dy
    sigma = _FWHM / 2.355
    core = np.exp(-r2 / (2 * sigma**2)) / (2 * np.pi * sigma**2)
    wings = (1 + r2 / 9) ** -1.6 * 0.6 / (np.pi * 9)
    along, across = (dx + dy) / math.sqrt(2), (dx - dy) / math.sqrt(2)
    spikes = sum(
        np.exp(-((b / 0.9) ** 2)) * (1 + np.abs(a) / 2) ** -1.7 for a, b in ((along, across), (across, along))
    )
    return 0.82 * core + 0.15 * wings + 0.0035 * spikes


def _galaxy(i: int, turn: float) -> Any:
    """The profile of a galaxy: an exponential disc with arms, and a bulge."""
    planted = sources()
    # Position angles are from north to east, which is to the left of north.
    theta = math.pi / 2 + planted.angle[i] - math.radians(turn)
    cos, sin, radius = math.cos(theta), math.sin(theta), planted.radius[i]

    def profile(dx: Floats, dy: Floats) -> Floats:
        a, b = dx * cos + dy * sin, (dy * cos - dx * sin) / planted.ratio[i]
        r = np.hypot(a, b) / radius
        disc = np.exp(-r)
        if planted.spiral[i]:
            phase = 2 * (np.arctan2(b, a) - 2.6 * np.log(r + 0.15))
            disc *= 1 + planted.spiral[i] * np.cos(phase) * np.minimum(1, r)
        core = np.exp(-7.67 * ((r / 0.9 + 0.02) ** 0.25))
        share: Floats = disc / disc.sum() * (1 - planted.bulge[i]) + core / core.sum() * planted.bulge[i]
        return share

    return profile


def _blurred(light: Floats) -> Floats:
    """Galaxies through the telescope."""
    fy, fx = np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None, :]
    sigma = _FWHM / 2.355
    transfer = np.exp(-2 * (np.pi * sigma) ** 2 * (fx**2 + fy**2))
    blurred: Floats = np.fft.irfft2(np.fft.rfft2(light) * transfer, light.shape)
    return np.maximum(blurred, 0)
