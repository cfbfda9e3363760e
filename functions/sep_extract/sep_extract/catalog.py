"""Sources of chips to the columns of the catalog, in SExtractor's conventions, and a summary of each chip."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .chip import Chip
from .classes import Class, classify, kinds
from .columns import COLUMNS, Column
from .event import Config
from .exposures import Exposure
from .extract import Measurement
from .ladder import Step
from .noise import SharedNoise
from .pixels import PAIR
from .pointsource import PointSource, concentration, totals
from .quality import Quality

Table = dict[str, NDArray[Any]]

_MAG = 2.5 / math.log(10)


@dataclass(frozen=True)
class ChipSummary:
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
    apertures: tuple[float, ...]
    """Diameters in arcsec."""
    contrast: float
    """The least of a deblended component."""
    system: str
    """Of the magnitudes: AB, or the instrument's own."""
    quality: Quality
    corners: NDArray[np.float64]
    """Right ascension and declination of the four corners in degrees, (4, 2); NaN without a WCS."""
    poisson: float
    """Variance that a source adds per unit of its flux, in ``unit``."""
    exposure: Exposure = field(default_factory=Exposure)
    shared: SharedNoise = field(default_factory=SharedNoise)
    shared_factor: float | None = None
    """In the aperture of the depth."""
    pair: tuple[float, float] = PAIR
    """Radii in pixels of the circles of the concentration index."""
    point: PointSource = field(default_factory=PointSource)
    zeropoint_st: float | None = None
    zeropoint_vega: float | None = None


def summary_of(chip: Chip, found: Measurement, config: Config) -> ChipSummary:
    """Sum up one chip."""
    aperture = config.phot_apertures[len(config.phot_apertures) // 2]
    depth = factor = None
    pixels = math.pi * (aperture / 2 / chip.sky.scale) ** 2 if chip.sky.scale else math.nan
    if chip.sky.scale and found.shared.measured:
        factor = float(found.shared.factor(pixels))
    if chip.sky.scale and chip.calibration.zeropoint is not None and found.rms > 0:
        noise = found.rms * math.sqrt(pixels) * float(found.shared.factor(pixels))
        depth = chip.calibration.zeropoint - 2.5 * math.log10(5 * noise)
    return ChipSummary(
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
        apertures=config.phot_apertures,
        contrast=config.contrast,
        system=chip.calibration.system,
        quality=chip.quality | _quality_of(found),
        corners=_corners(chip),
        exposure=chip.exposure,
        shared=found.shared,
        shared_factor=factor,
        poisson=found.poisson * found.unit,
        pair=chip.pair,
        point=found.point,
        zeropoint_st=chip.calibration.zeropoint_st,
        zeropoint_vega=chip.calibration.zeropoint_vega,
    )


def _quality_of(found: Measurement) -> Quality:
    quality = found.quality
    if found.step > Step.AS_ASKED:
        quality |= Quality.DETECTION_STEP
    return quality if len(found) else quality | Quality.NO_SOURCES


def _corners(chip: Chip) -> NDArray[np.float64]:
    ny, nx = chip.shape
    right, top = nx - 0.5, ny - 0.5
    return chip.sky.world(np.array([-0.5, right, right, -0.5]), np.array([-0.5, -0.5, top, top]))


def table_of(
    chip: Chip,
    found: Measurement,
    counts: Mapping[str, NDArray[Any]] | None = None,
    known: Callable[[NDArray[np.int16]], NDArray[np.int16]] | None = None,
) -> Table:
    """The catalog's columns of one chip, in SExtractor's conventions: 1-based pixels, degrees, magnitudes.

    ``counts`` of exposures and reads at the sources are those of exposures.counts_at(). ``known`` gives the
    bits of CLASS instead of those that this image tells.
    """
    sources, n, unit = found.sources, len(found), found.unit
    c, p = sources.isophotal, sources.photometry
    world, windowed = chip.sky.world(c.x, c.y), chip.sky.world(p.xwin, p.ywin)
    jacobian = chip.sky.jacobian(c.x, c.y)
    error = _on_sky(jacobian, c.x2, c.y2, c.xy)
    error_windowed = _on_sky(jacobian, p.x2win, p.y2win, p.xywin)
    zero = math.nan if chip.calibration.zeropoint is None else chip.calibration.zeropoint
    area = math.nan if chip.sky.scale is None else chip.sky.scale**2
    bits = kinds(sources, found.point)
    bits = known(bits) if known else bits
    total, total_error = totals(sources, found.point, (bits & Class.EXTENDED) != 0)
    index, index_error = concentration(p.flux_pair, p.flux_error_pair)
    table: Table = {
        "NUMBER": np.arange(1, n + 1),
        "EXT_NUMBER": np.full(n, chip.hdu),
        "EXPOSURE": np.full(n, chip.exposure.number),
        "MJD_START": np.full(n, chip.exposure.start),
        "MJD_END": np.full(n, chip.exposure.end),
        "NEXP": (counts or {}).get("context", np.full(n, np.nan)),
        "NSAMP": (counts or {}).get("samples", np.full(n, np.nan)),
        "X_IMAGE": c.x + 1,
        "Y_IMAGE": c.y + 1,
        "ERRX2_IMAGE": c.x2,
        "ERRY2_IMAGE": c.y2,
        "ERRXY_IMAGE": c.xy,
        "XWIN_IMAGE": p.xwin + 1,
        "YWIN_IMAGE": p.ywin + 1,
        "ERRX2WIN_IMAGE": p.x2win,
        "ERRY2WIN_IMAGE": p.y2win,
        "ERRXYWIN_IMAGE": p.xywin,
        "ALPHA_J2000": world[:, 0],
        "DELTA_J2000": world[:, 1],
        "ALPHAWIN_J2000": windowed[:, 0],
        "DELTAWIN_J2000": windowed[:, 1],
        "ERRX2_WORLD": error[:, 0],
        "ERRY2_WORLD": error[:, 1],
        "ERRX2WIN_WORLD": error_windowed[:, 0],
        "ERRY2WIN_WORLD": error_windowed[:, 1],
        "A_IMAGE": c.a,
        "B_IMAGE": c.b,
        "THETA_IMAGE": np.degrees(c.theta),
        "THETA_J2000": _position_angle(jacobian, c.a, c.b, c.theta),
        "ELONGATION": c.a / c.b,
        "FWHM_IMAGE": 2 * np.sqrt(math.log(2) * (c.a**2 + c.b**2)),
        "ISOAREA_IMAGE": c.area,
        "ISOAREAF_IMAGE": c.area_filtered,
        "SNR_AUTO": _divide(p.flux_auto, p.flux_error_auto),
        "BLENDED_SHARE": p.blended_share,
        "KRON_RADIUS": p.kron_radius,
        "FLUX_RADIUS": p.half_light_radius,
        "CI": index,
        "CIERR": index_error,
        "MU_MAX": _magnitude(c.peak * unit / area, zero),
        "BACKGROUND": sources.background * unit,
        "BACKGROUND_RMS": sources.rms * unit,
        "FLAGS": sources.flags,
        "CLASS": classify(sources) | bits,
        "IMAFLAGS_ISO": c.dq,
        "EXTRACT_STEP": np.full(n, int(found.step)),
    }
    for name, flux, flux_error in (
        ("ISO", c.flux * unit, c.flux_error * unit),
        ("AUTO", p.flux_auto * unit, p.flux_error_auto * unit),
        ("APER", p.flux_aper * unit, p.flux_error_aper * unit),
        ("APER1", p.flux_pair[:, 0] * unit, p.flux_error_pair[:, 0] * unit),
        ("APER2", p.flux_pair[:, 1] * unit, p.flux_error_pair[:, 1] * unit),
        ("TOTAL", total * unit, total_error * unit),
    ):
        relative = _divide(flux_error, flux)
        if name not in ("APER1", "APER2"):
            table |= {f"FLUX_{name}": flux, f"FLUXERR_{name}": flux_error}
        table |= {
            f"MAG_{name}": _magnitude(flux, zero),
            f"MAGERR_{name}": np.where(np.isfinite(zero) & (flux > 0), _MAG * relative, np.nan),
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
