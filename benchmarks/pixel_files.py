"""Target pixel files of TESS and Kepler, and TESSCut's cut-outs, with stars whose place and flux are known.

Columns, units, TDIM and the keywords of the WCS of pixels in a table are those of SPOC's target pixel files
and of astrocut. Stars are Gaussians with sigma of 0.9 pixels, integrated over each pixel. A frame with a
QUALITY bit is spoilt by light that must not get into any stack. Not real: stars do not move nor vary, but for
the factor of `brightening`, and noise is Gaussian.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SIGMA = 0.9
SCALE_DEG = 20.25 / 3600
START = 1500.0
"""TIME of the first frame, BJD - 2457000."""


@dataclass(frozen=True)
class Star:
    """``x``, ``y`` 0-based pixels; ``flux`` in electrons per second."""

    x: float
    y: float
    flux: float
    brightening: float = 1.0
    """Factor of its flux in the last frames, from the third third on."""


STARS = (Star(4.3, 5.1, 9000.0), Star(12.2, 9.7, 3000.0), Star(8.8, 15.4, 1200.0, 2.0))


def wcs(shape: tuple[int, int], ra: float = 84.3, dec: float = -80.5) -> WCS:
    """A gnomonic WCS turned by 30 degrees, with this position in the middle."""
    made = WCS(naxis=2)
    made.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    made.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    made.wcs.crval = [ra, dec]
    made.wcs.cdelt = [-SCALE_DEG, SCALE_DEG]
    cos, sin = math.cos(math.radians(30)), math.sin(math.radians(30))
    made.wcs.pc = [[cos, -sin], [sin, cos]]
    return made


def light(shape: tuple[int, int], stars: tuple[Star, ...], *, late: bool = False) -> Floats:
    """The stars (ny, nx), in electrons per second."""
    total = np.zeros(shape)
    for star in stars:
        edges = [
            [0.5 * math.erf((edge - 0.5 - centre) / (SIGMA * math.sqrt(2))) for edge in range(side + 1)]
            for centre, side in ((star.y, shape[0]), (star.x, shape[1]))
        ]
        profile = np.outer(np.diff(edges[0]), np.diff(edges[1]))
        total += star.flux * (star.brightening if late else 1.0) * profile
    return total


def make(  # noqa: PLR0913
    shape: tuple[int, int] = (20, 18),
    frames: int = 90,
    stars: tuple[Star, ...] = STARS,
    *,
    sky: float = 0.0,
    noise: float = 3.0,
    mission: str = "TESS",
    columns_wcs: bool = True,
    bad: tuple[int, ...] = (7, 40),
    seed: int = 1,
) -> fits.HDUList:
    """A target pixel file; with ``sky`` above 0 a cut-out, whose background was not subtracted.

    ``bad`` frames have a QUALITY bit and wrong pixels; frame 3 has no TIME, and pixel (0, 0) no value.
    """
    random = np.random.default_rng(seed)
    kepler = mission == "Kepler"
    step = (1765.46 if kepler else 120.0) / 86400
    times = START + step * (0.5 + np.arange(frames))
    quality = np.zeros(frames, np.int32)
    flux = np.empty((frames, *shape), np.float32)
    for number in range(frames):
        late = number >= 2 * frames // 3
        flux[number] = light(shape, stars, late=late) + sky + random.normal(0, noise, shape)
    for number in bad:
        quality[number] = 32
        flux[number] += 1e5
    times[3] = np.nan
    flux[3] += 1e5
    flux[:, 0, 0] = np.nan
    error = np.full(flux.shape, noise, np.float32)
    taken = np.zeros(flux.shape, np.float32) if sky else np.full(flux.shape, 80, np.float32)
    dim, cells = f"({shape[1]},{shape[0]})", shape[0] * shape[1]
    columns = [
        fits.Column("TIME", "D", unit="BJD - 2457000, days", array=times),
        fits.Column("TIMECORR", "E", unit="d", array=np.zeros(frames)),
        fits.Column("CADENCENO", "J", array=np.arange(frames)),
        fits.Column("RAW_CNTS", f"{cells}J", dim=dim, array=np.full(flux.shape, -1, np.int32)),
    ]
    for name, values in (("FLUX", flux), ("FLUX_ERR", error), ("FLUX_BKG", taken)):
        columns.append(fits.Column(name, f"{cells}E", dim=dim, unit="e-/s", array=values))
    if kepler:
        columns.append(fits.Column("COSMIC_RAYS", f"{cells}E", dim=dim, array=np.full(flux.shape, np.nan)))
    columns.append(fits.Column("QUALITY", "J", array=quality))
    table = fits.BinTableHDU.from_columns(columns, name="TARGETTABLES" if kepler else "PIXELS")
    place = wcs(shape)
    numbers: dict[str, Any] = {"INT_TIME": 1.98, "NUM_FRM": 60, "FRAMETIM": 2.0}
    if kepler:
        numbers = {"INT_TIME": 6.02, "NUM_FRM": 270, "FRAMETIM": 6.54}
    numbers |= {"BJDREFI": 2454833 if kepler else 2457000, "BJDREFF": 0.0}
    table.header.update(numbers)
    if columns_wcs:
        table.header.update(_of_column(place, 1 + columns.index(columns[4])))
    aperture = fits.ImageHDU(np.ones(shape, np.int32), place.to_header(), name="APERTURE")
    primary = fits.PrimaryHDU()
    primary.header.update(
        {
            "TELESCOP": mission,
            "INSTRUME": f"{mission} Photometer",
            "OBJECT": "planted",
            "RA_OBJ": place.wcs.crval[0],
            "DEC_OBJ": place.wcs.crval[1],
            "NEXTEND": 2,
        }
    )
    if not kepler:
        primary.header.update({"CRMITEN": True, "CRBLKSZ": 10, "SECTOR": 5, "CAMERA": 1, "CCD": 2})
    return fits.HDUList([primary, table, aperture])


def _of_column(place: WCS, number: int) -> dict[str, Any]:
    """The WCS as keywords of the pixels in a column, and its place on the detector."""
    found: dict[str, Any] = {}
    for axis in (1, 2):
        found |= {
            f"{axis}CTYP{number}": place.wcs.ctype[axis - 1],
            f"{axis}CRPX{number}": place.wcs.crpix[axis - 1],
            f"{axis}CRVL{number}": place.wcs.crval[axis - 1],
            f"{axis}CUNI{number}": "deg",
            f"{axis}CDLT{number}": place.wcs.cdelt[axis - 1],
            f"{axis}CRV{number}P": (200, 300)[axis - 1],
        }
        found |= {f"{axis}{other}PC{number}": place.wcs.pc[axis - 1, other - 1] for other in (1, 2)}
    return found
