"""What a point source looks like in an image: its concentration index, and its light in circles.

From the stars of the image where there are enough that stand alone. A drizzled or blurred image has its own
point source, which no table knows. The table of the instrument serves where there are too few, and for the
light beyond the reach of the stars where it agrees with them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .brightness import MEDIANS
from .encircled import Encircled
from .flags import Flag
from .noise import NoiseModel
from .photometry import SKY
from .pixels import Pixels
from .sources import Photometry, Sources
from .stamps import stamps

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_MAG = 2.5 / math.log(10)
# Indices this well known make up the locus of stars; it is where more of them meet than around.
_SHARP, _LEAST_STARS = 0.05, 5
_NARROWEST, _WIDEST = 0.02, 0.12
# A single hot pixel has an index near 0. The published range may be off by so much: sharper, more blurred.
_HOT, _SHARPER, _BLURRED = 0.12, 0.15, 1.5
# Annuli around the larger circle, in units of its radius, and the largest radius in pixels.
_EDGES, _FARTHEST = (1.0, 1.5, 2.25, 3.375, 5.0625, 7.59375), 32.0
_MOST_STARS = 80
_LEAST_COVER = 0.3
# Relative to the light in the larger circle: what weights take for the scatter between perfect stars.
_SCATTER = 0.01
# What faint neighbours in the halo of a single star, undetected, make of its light.
_NEIGHBOURS = 0.1
# Halos fall as such powers of the radius. The table serves instead, unless it is less likely by this factor.
_POWERS = (2.5, 3.0, 3.5, 4.0, 5.0, 6.0)
_AGREES = 0.01
_DOUBTFUL = 0.1
_UNUSABLE = Flag.CROWDED | Flag.SATURATED | Flag.TRUNCATED | Flag.APERTURE


@dataclass(frozen=True)
class PointSource:
    """``index`` of a point source, NaN if unknown, and the ``width`` of the locus of stars, in magnitudes.

    ``light``: shares in circles, None if unknown; ``stars``: how many stars say so, 0 if only the table does.
    ``extrapolated``: the share beyond the stars' reach if nothing but they themselves say it.
    """

    index: float = math.nan
    width: float = math.nan
    locus_stars: int = 0
    light: Encircled | None = None
    stars: int = 0
    extrapolated: float = 0.0
    radius: float = math.nan
    """Of the larger circle, in pixels."""

    @property
    def notes(self) -> list[str]:
        """What neither stars of the image nor a table tell."""
        if self.light is not None:
            return []
        return ["too few stars that stand alone, and no table for them: total fluxes are unknown"]


def concentration(flux: Floats, error: Floats) -> tuple[Floats, Floats]:
    """Magnitude in the first less that in the second of two circles (n, 2), and its error; NaN if unknown.

    The second holds the first: only the light of the ring between them is independent.
    """
    (inner, outer), (inner_error, outer_error) = flux.T, error.T
    with np.errstate(divide="ignore", invalid="ignore"):
        index = np.where((inner > 0) & (outer > 0), -_MAG * np.log(inner / outer), np.nan)
        ring = np.maximum(outer_error**2 - inner_error**2, 0)
        variance = (inner_error * (1 / inner - 1 / outer)) ** 2 + ring / outer**2
    return index, np.where(np.isfinite(index), _MAG * np.sqrt(variance), np.nan)


def point_source(
    sources: Sources, data: NDArray[np.float32], owner: NDArray[np.int32], noise: NoiseModel, pixels: Pixels
) -> PointSource:
    """The point source of an image, from its sources; ``data`` and ``owner`` as in photometry()."""
    found, measured = sources.isophotal, sources.photometry
    radius, expected, table = pixels.pair[1], pixels.expected, pixels.table
    if pixels.dispersed or not len(sources):
        return PointSource(radius=radius)
    index, error = concentration(measured.flux_pair, measured.flux_error_pair)
    usable = ((found.flags | measured.flags) & _UNUSABLE) == 0
    least, most = (expected[0] - _SHARPER, expected[1] + _BLURRED) if expected else (_HOT, np.inf)
    sharp = usable & (error < _SHARP) & (index > max(least, _HOT)) & (index < most)
    centre, width, number = _locus(index[sharp])
    if not number and expected:
        # The range is that of perfect measurements: 2.5 widths either way.
        centre, width = (expected[0] + expected[1]) / 2, (expected[1] - expected[0]) / 5
    light, stars, beyond = None, 0, 0.0
    # In a crowded field the background holds the halos of the stars, and takes them away.
    if number and noise.shared.measured:
        near = np.flatnonzero(sharp & (np.abs(index - centre) < 2.5 * np.hypot(width, error)))
        brightest = near[np.argsort(-measured.flux_pair[near, 1])][:_MOST_STARS]
        grown = _growth(brightest, measured, data, owner, noise, radius, table)
        if grown is not None:
            light, stars, beyond = grown
    if light is None or (table is not None and light.error > _DOUBTFUL):
        # A table without the larger circle in it says nothing of it.
        light, stars, beyond = table, 0, 0.0
    if light is table and number and expected:
        # Stars that are sharper or broader than the instrument's are not those of its table.
        off = max(expected[0] - centre, centre - expected[1])
        light = None if off > 2.5 * width else light
    if light is not None and not np.isfinite(light.share(radius)):
        light = None
    return PointSource(centre, width, number, light, stars, beyond, radius)


def totals(sources: Sources, point: PointSource, extended: Bools) -> tuple[Floats, Floats]:
    """Total fluxes (n,) and their errors, NaN where the light of a point source in circles is unknown.

    Of point sources from the larger circle less the local sky, in which a known share of their own light is;
    of ``extended`` ones from the Kron ellipse, corrected as a point source would be, which is the least.
    """
    if point.light is None:
        return np.full(len(extended), np.nan), np.full(len(extended), np.nan)
    found, measured = sources.isophotal, sources.photometry
    light, radius = point.light, point.radius
    area = math.pi * radius**2
    inner, outer = (float(light.share(radius * r)) for r in SKY)
    share = float(light.share(radius)) - (outer - inner) / (SKY[1] ** 2 - SKY[0] ** 2)
    total = (measured.flux_pair[:, 1] - area * measured.sky) / share
    error = np.hypot(measured.flux_error_pair[:, 1], area * measured.sky_error) / share
    error = np.hypot(error, light.error * total)
    kron = measured.kron_radius * np.sqrt(found.a * found.b)
    within = light.share(np.maximum(kron, light.radii[0]))
    whole = measured.flux_auto / within
    whole_error = np.hypot(measured.flux_error_auto / within, whole * (1 - within) / 2)
    return np.where(extended, whole, total), np.where(extended, whole_error, error)


def _locus(index: Floats) -> tuple[float, float, int]:
    """Centre and robust width of where indices meet, and how many do; NaN and 0 if they meet nowhere."""
    index = np.sort(index)
    half = 0.04

    def within(reach: float) -> NDArray[np.int64]:
        return np.searchsorted(index, index + reach) - np.searchsorted(index, index - reach)

    if len(index) < _LEAST_STARS:
        return math.nan, math.nan, 0
    near, around = within(half), (within(4 * half) - within(half)) / 3
    excess = near - around
    clear = (near >= _LEAST_STARS) & (excess > 5 * np.sqrt(around + 1))
    if not clear.any():
        return math.nan, math.nan, 0
    at = int(np.argmax(np.where(clear, excess, -np.inf)))
    members = index[np.abs(index - index[at]) < half]
    for _ in range(3):
        centre = float(np.median(members))
        width = float(np.clip(MEDIANS * np.median(np.abs(members - centre)), _NARROWEST, _WIDEST))
        members = index[np.abs(index - centre) < 2.5 * width]
    return centre, width, len(members)


def _growth(
    stars: NDArray[np.int64],
    measured: Photometry,
    data: NDArray[np.float32],
    owner: NDArray[np.int32],
    noise: NoiseModel,
    radius: float,
    table: Encircled | None,
) -> tuple[Encircled, int, float] | None:
    """Shares of a star's light in circles from ``radius`` on, and in the smaller one; None if too few."""
    edges = radius * np.array(_EDGES)
    edges = edges[edges <= max(_FARTHEST, _EDGES[4] * radius + 0.1)]
    areas = np.pi * np.diff(edges**2)
    ring, sigma = _rings(stars, measured, data, owner, noise, edges, areas)
    enough = np.count_nonzero(np.isfinite(ring), axis=0) >= _LEAST_STARS
    # Beyond the first annulus with too few stars nothing is known.
    reach = len(areas) if enough.all() else int(np.argmin(enough))
    if reach < 4:
        return None
    ring, sigma, edges = ring[:, :reach], sigma[:, :reach], edges[: reach + 1]
    mean, mean_error = _means(ring, sigma)
    fitted = _tail(edges, mean, mean_error, table)
    mean = np.maximum(mean + fitted.offset * np.pi * np.diff(edges**2), 0)
    total = 1 + fitted.offset * np.pi * radius**2 + mean.sum() + fitted.light
    cumulative = np.cumsum([1 + fitted.offset * np.pi * radius**2, *mean]) / total
    # Stars differ from one another by what noise does not explain.
    first = ring[:, :2].sum(axis=1)
    spread = MEDIANS * np.nanmedian(np.abs(first - np.nanmedian(first)))
    explained = np.nanmedian(np.sqrt((sigma[:, :2] ** 2).sum(axis=1)))
    variance = max(spread**2 - explained**2, 0) + (mean_error[:2] ** 2).sum() + fitted.error**2
    used = int(np.isfinite(ring).all(axis=1).sum())
    variance += _NEIGHBOURS**2 / max(used, 1)
    curve = Encircled(edges, cumulative, math.sqrt(float(variance)) / float(total))
    return curve, used, 0.0 if fitted.by_table else float(fitted.light / total)


@dataclass(frozen=True)
class _Tail:
    """Light beyond the last annulus, and background offset per pixel, relative to the circle's light."""

    light: float
    offset: float
    error: float
    by_table: bool = False


def _tail(edges: Floats, mean: Floats, error: Floats, table: Encircled | None) -> _Tail:
    """The halo beyond the first annulus as a power of the radius, or as the table has it, on an offset.

    The background of an image with halos in it is too high, so that light in annuli is that of the halo less
    a level that is the same everywhere.
    """
    inner, outer = edges[1:-1], edges[2:]
    areas = np.pi * (outer**2 - inner**2)
    values, sigma = mean[1:], np.maximum(error[1:], 1e-5)
    shapes = [(_power(inner, outer, p), _power(edges[-1:], np.array([np.inf]), p)[0]) for p in _POWERS]
    if table is not None and np.isfinite(table.share(edges[1])):
        within = table.share(edges[1:])
        shapes.insert(0, (np.diff(within), 1 - within[-1]))
    fits = []
    for shape, beyond in shapes:
        design = np.column_stack([shape, -areas]) / sigma[:, None]
        (scale, offset), *_ = np.linalg.lstsq(design, values / sigma, rcond=None)
        if scale < 0:
            scale, offset = 0.0, float(-(values * areas / sigma**2).sum() / (areas**2 / sigma**2).sum())
        residual = (values - scale * shape + offset * areas) / sigma
        fits.append((float((residual**2).sum()), scale * beyond, offset))
    chi2, light, offset = np.array(fits).T
    # Residuals larger than the errors widen these.
    unit = max(1.0, float(chi2.min()) / max(1, len(values) - 2))
    likely = np.exp(-0.5 * (chi2 - chi2.min()) / unit)
    whole = light + offset * np.pi * edges[-1] ** 2
    by_table = len(shapes) > len(_POWERS) and likely[0] > _AGREES
    best = likely * (np.arange(len(likely)) == 0) if by_table else likely
    best = best / best.sum()
    middle = float((best * whole).sum())
    spread = math.sqrt(float((best * (whole - middle) ** 2).sum()))
    return _Tail(float((best * light).sum()), float((best * offset).sum()), spread, by_table)


def _power(inner: Floats, outer: Floats, power: float) -> Floats:
    """Light between radii of a surface brightness r**-power, power above 2."""
    with np.errstate(divide="ignore"):
        return 2 * np.pi / (power - 2) * (inner ** (2 - power) - outer ** (2 - power))


def _rings(
    stars: NDArray[np.int64],
    measured: Photometry,
    data: NDArray[np.float32],
    owner: NDArray[np.int32],
    noise: NoiseModel,
    edges: Floats,
    areas: Floats,
) -> tuple[Floats, Floats]:
    """Light of stars in annuli relative to that in the circle inside, and its error, (m, annuli).

    From pixels that are the star's own or no source's; NaN where these are too few.
    """
    x, y, flux = measured.xwin[stars], measured.ywin[stars], measured.flux_pair[stars, 1]
    cut = stamps(owner, stars, x, y, math.ceil(edges[-1]) + 1)
    distance = np.hypot(cut.dy[:, :, None], cut.dx[:, None, :])
    annulus = np.searchsorted(edges, distance)  # 1 is the first beyond the circle
    number = len(areas)
    key = np.where(cut.own & (annulus >= 1) & (annulus <= number), annulus, 0)
    key += (np.arange(len(stars)) * (number + 1))[:, None, None]
    shape, size = (len(stars), number + 1), len(stars) * (number + 1)
    count = np.bincount(key.ravel(), minlength=size).reshape(shape)[:, 1:]
    light, variance = (
        np.bincount(key.ravel(), cut.of(image).ravel(), size).reshape(shape)[:, 1:]
        for image in (data, noise.background)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        known = count >= _LEAST_COVER * areas
        scale = np.where(known, areas / count, np.nan) / flux[:, None]
        return light * scale, np.sqrt(variance) * scale * noise.shared.factor(areas)


def _means(ring: Floats, sigma: Floats) -> tuple[Floats, Floats]:
    """Weighted means over stars without outliers, and their errors, (annuli,)."""
    middle = np.nanmedian(ring, axis=0)
    spread = MEDIANS * np.nanmedian(np.abs(ring - middle), axis=0)
    keep = np.isfinite(ring) & (np.abs(ring - middle) <= 3 * np.hypot(np.maximum(spread, _SCATTER), sigma))
    weight = np.where(keep, 1 / (np.nan_to_num(sigma, nan=1.0) ** 2 + _SCATTER**2), 0.0)
    filled = np.where(keep, ring, 0.0)
    total = weight.sum(axis=0)
    mean = (weight * filled).sum(axis=0) / total
    error = np.sqrt((weight**2 * np.where(keep, ring - mean, 0.0) ** 2).sum(axis=0)) / total
    return mean, error
