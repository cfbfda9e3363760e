"""Sources of chips to the columns of the catalog, in SExtractor's conventions, and a summary of each chip."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .chip import Chip
from .columns import COLUMNS, Column
from .event import Config
from .extract import Measurement

Table = dict[str, NDArray[Any]]

_MAG = 2.5 / math.log(10)


@dataclass(frozen=True)
class Plane:
    """What the catalog says of one chip.

    ``depth`` is the 5-sigma AB magnitude in the aperture of diameter ``depth_aperture`` (arcsec), or None.
    """

    hdu: int
    extver: int
    sources: int
    background: float
    rms: float
    step: int
    unit: str | None
    zeropoint: float | None
    exptime: float | None
    scale: float | None
    depth: float | None
    depth_aperture: float
    corners: NDArray[np.float64]
    """Right ascension and declination of the four corners in degrees, (4, 2); NaN without a WCS."""


def plane_of(chip: Chip, found: Measurement, config: Config) -> Plane:
    """Sum up one chip."""
    aperture = config.phot_apertures[len(config.phot_apertures) // 2]
    depth = None
    if chip.sky.scale and chip.calibration.zeropoint is not None and found.rms > 0:
        pixels = math.pi * (aperture / 2 / chip.sky.scale) ** 2
        noise = found.rms * math.sqrt(pixels) * float(found.shared.factor(pixels))
        depth = chip.calibration.zeropoint - 2.5 * math.log10(5 * noise)
    return Plane(
        hdu=chip.hdu,
        extver=chip.extver,
        sources=len(found),
        background=found.background,
        rms=found.rms,
        step=int(found.step),
        unit=chip.calibration.unit,
        zeropoint=chip.calibration.zeropoint,
        exptime=chip.calibration.exptime,
        scale=chip.sky.scale,
        depth=depth,
        depth_aperture=aperture,
        corners=_corners(chip),
    )


def _corners(chip: Chip) -> NDArray[np.float64]:
    ny, nx = chip.data.shape
    right, top = nx - 0.5, ny - 0.5
    return chip.sky.world(np.array([-0.5, right, right, -0.5]), np.array([-0.5, -0.5, top, top]))


def table_of(chip: Chip, found: Measurement) -> Table:
    """The catalog's columns of one chip, in SExtractor's conventions: 1-based pixels, degrees, magnitudes."""
    c: dict[str, Any] = found.columns
    n = len(found)
    world, windowed = chip.sky.world(c["x"], c["y"]), chip.sky.world(c["xwin"], c["ywin"])
    jacobian = chip.sky.jacobian(c["x"], c["y"])
    error = _on_sky(jacobian, c["x2"], c["y2"], c["xy"])
    error_windowed = _on_sky(jacobian, c["x2win"], c["y2win"], c["xywin"])
    zero = math.nan if chip.calibration.zeropoint is None else chip.calibration.zeropoint
    area = math.nan if chip.sky.scale is None else chip.sky.scale**2
    table: Table = {
        "NUMBER": np.arange(1, n + 1),
        "EXT_NUMBER": np.full(n, chip.hdu),
        "X_IMAGE": c["x"] + 1,
        "Y_IMAGE": c["y"] + 1,
        "ERRX2_IMAGE": c["x2"],
        "ERRY2_IMAGE": c["y2"],
        "ERRXY_IMAGE": c["xy"],
        "XWIN_IMAGE": c["xwin"] + 1,
        "YWIN_IMAGE": c["ywin"] + 1,
        "ERRX2WIN_IMAGE": c["x2win"],
        "ERRY2WIN_IMAGE": c["y2win"],
        "ERRXYWIN_IMAGE": c["xywin"],
        "ALPHA_J2000": world[:, 0],
        "DELTA_J2000": world[:, 1],
        "ALPHAWIN_J2000": windowed[:, 0],
        "DELTAWIN_J2000": windowed[:, 1],
        "ERRX2_WORLD": error[:, 0],
        "ERRY2_WORLD": error[:, 1],
        "ERRX2WIN_WORLD": error_windowed[:, 0],
        "ERRY2WIN_WORLD": error_windowed[:, 1],
        "A_IMAGE": c["a"],
        "B_IMAGE": c["b"],
        "THETA_IMAGE": np.degrees(c["theta"]),
        "THETA_J2000": _position_angle(jacobian, c["a"], c["b"], c["theta"]),
        "ELONGATION": c["a"] / c["b"],
        "FWHM_IMAGE": 2 * np.sqrt(math.log(2) * (c["a"] ** 2 + c["b"] ** 2)),
        "ISOAREA_IMAGE": c["isoarea"],
        "ISOAREAF_IMAGE": c["isoareaf"],
        "SNR_AUTO": _divide(c["flux_auto"], c["fluxerr_auto"]),
        "KRON_RADIUS": c["kron_radius"],
        "FLUX_RADIUS": c["flux_radius"],
        "MU_MAX": _magnitude(c["peak"] / area, zero),
        "BACKGROUND": c["background"],
        "BACKGROUND_RMS": c["rms"],
        "FLAGS": c["flags"],
        "IMAFLAGS_ISO": c["imaflags_iso"],
        "EXTRACT_STEP": c["step"],
    }
    for name in ("ISO", "AUTO", "APER"):
        flux, error = c[f"flux_{name.lower()}"], c[f"fluxerr_{name.lower()}"]
        table |= {
            f"FLUX_{name}": flux,
            f"FLUXERR_{name}": error,
            f"MAG_{name}": _magnitude(flux, zero),
            f"MAGERR_{name}": np.where(np.isfinite(zero) & (flux > 0), _MAG * _divide(error, flux), np.nan),
        }
    return table


def _on_sky(jacobian: NDArray[np.float64], x2: Any, y2: Any, xy: Any) -> NDArray[np.float64]:
    """Variances (n, 2) along east and north in degrees^2 of pixel covariances."""
    covariance = np.moveaxis(np.array([[x2, xy], [xy, y2]]), -1, 0)
    turned: NDArray[np.float64] = np.einsum("nij,njk,nik->ni", jacobian, covariance, jacobian)
    return turned


def _position_angle(jacobian: NDArray[np.float64], a: Any, b: Any, theta: Any) -> NDArray[np.float64]:
    """Degrees from north to the major axis, eastwards, of the ellipse as the sky has it.

    The pixels of a raw chip can be lozenges on the sky, by 6 degrees on ACS/HRC: there the image of the major
    axis is not the major axis of the image, so all second moments are turned, as SExtractor does.
    """
    cos, sin = np.cos(theta), np.sin(theta)
    moments = np.array(
        [
            [(a * cos) ** 2 + (b * sin) ** 2, (a**2 - b**2) * sin * cos],
            [(a**2 - b**2) * sin * cos, (a * sin) ** 2 + (b * cos) ** 2],
        ]
    )
    (ee, en), (_, nn) = np.einsum("nij,jkn,nlk->iln", jacobian, moments, jacobian)
    angle: NDArray[np.float64] = np.degrees(0.5 * np.arctan2(2 * en, nn - ee)) % 180
    return angle


def _magnitude(flux: Any, zeropoint: float) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(flux > 0, zeropoint - 2.5 * np.log10(flux), np.nan)


def _divide(top: Any, bottom: Any) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: NDArray[np.float64] = np.divide(top, bottom)
    return ratio


def join(tables: Iterable[Table]) -> Table:
    """The tables of all chips under one another, numbered through."""
    parts = list(tables)
    whole = {column.name: np.concatenate([part[column.name] for part in parts]) for column in COLUMNS}
    whole["NUMBER"] = np.arange(1, len(whole["NUMBER"]) + 1)
    return whole


def columns_for(unit: str | None) -> tuple[Column, ...]:
    """The columns with the image's own flux unit, or none where it has none, in the place of ``flux``."""
    return tuple(c._replace(unit=unit or "") if c.unit == "flux" else c for c in COLUMNS)
