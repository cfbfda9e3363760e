"""One chip drawn on axes: stretched pixels, source ellipses, sky grid, compass and scale bar."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.stats import mad_std
from astropy.visualization import AsinhStretch, ImageNormalize, LinearStretch, LogStretch, ZScaleInterval
from astropy.wcs import WCS
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.colors import Colormap
from matplotlib.patches import Circle, Rectangle
from numpy.typing import NDArray

from .chips import Chip
from .sources import Ellipses

GOOD, FLAGGED, INK = "#5ef2c2", "#ffa94d", "#f4f4f4"
STRETCHES = ("asinh", "log", "linear", "zscale")
# Longest side that is drawn, in pixels; larger images are averaged down, for matplotlib makes many copies.
SIDE = 3000


@dataclass(frozen=True)
class Look:
    """How pixels become colours."""

    stretch: str = "asinh"
    cmap: str = "gray"


def draw(axes: Axes, chip: Chip, ellipses: Ellipses | None, look: Look) -> None:
    """Draws a chip; row 0 is at the bottom, and pixel centres are whole numbers from 0."""
    data, extent = _reduced(chip.data)
    colours = _colours(look.cmap)
    axes.imshow(data, origin="lower", extent=extent, cmap=colours, norm=norm(data, look.stretch))
    ny, nx = chip.data.shape
    if ellipses is not None:
        _outline(axes, ellipses)
    axes.set_xlim(-0.5, nx - 0.5)
    axes.set_ylim(-0.5, ny - 0.5)
    if chip.wcs is None:
        axes.set_xlabel("x [pixel, from 0]")
        axes.set_ylabel("y [pixel, from 0]")
        return
    _grid(axes)
    _compass(axes, chip.wcs, nx, ny)
    _scale_bar(axes, chip.wcs, nx, ny)


def norm(data: NDArray[np.float32], stretch: str) -> ImageNormalize:
    """Colour scale of an image (ny, nx). All but zscale begin just below the background, in its noise."""
    values = data[np.isfinite(data)]
    if not values.size:
        return ImageNormalize(vmin=0.0, vmax=1.0)
    if values.size > 500_000:
        values = values[:: values.size // 500_000 + 1]
    if stretch == "zscale":
        low, high = ZScaleInterval().get_limits(values)
        return ImageNormalize(vmin=low, vmax=max(high, np.nextafter(low, np.inf)), stretch=LinearStretch())
    level, sigma = float(np.median(values)), float(mad_std(values)) or float(values.std()) or 1.0
    low = level - 1.5 * sigma
    high = max(float(np.percentile(values, 99.8)), level + 20 * sigma)
    span = {
        "asinh": AsinhStretch(min(0.5, 2.5 * sigma / (high - low))),
        "log": LogStretch(min(1e4, max(10.0, (high - low) / sigma))),
        "linear": LinearStretch(),
    }[stretch]
    return ImageNormalize(vmin=low, vmax=high, stretch=span)


def _reduced(data: NDArray[np.float32]) -> tuple[NDArray[np.float32], tuple[float, float, float, float]]:
    ny, nx = data.shape
    step = -(-max(ny, nx) // SIDE)
    rows, columns = max(1, ny // step), max(1, nx // step)
    extent = (-0.5, columns * step - 0.5, -0.5, rows * step - 0.5)
    if step == 1:
        return data, extent
    blocks = data[: rows * step, : columns * step].reshape(rows, step, columns, step)
    with warnings.catch_warnings(action="ignore"):  # a block without a pixel is NaN, as it should be
        return np.nanmean(blocks, axis=(1, 3)), extent


def _colours(name: str) -> Colormap:
    from matplotlib import colormaps

    return colormaps[name].with_extremes(bad="#3a3f4a")


def _outline(axes: Axes, ellipses: Ellipses) -> None:
    # A crowded field needs thinner lines, or the lines are all one sees.
    width = float(np.clip(22 / max(len(ellipses), 1) ** 0.5, 0.45, 1.3))
    for colour, chosen in ((GOOD, ~ellipses.flagged), (FLAGGED, ellipses.flagged)):
        axes.add_collection(
            EllipseCollection(
                2 * ellipses.a[chosen],
                2 * ellipses.b[chosen],
                ellipses.theta[chosen],
                units="xy",
                offsets=np.column_stack([ellipses.x, ellipses.y])[chosen],
                offset_transform=axes.transData,
                facecolors="none",
                edgecolors=colour,
                linewidths=width,
            ),
            autolim=False,
        )


def _grid(axes: Any) -> None:
    for coordinate, name in zip(axes.coords, ("Right ascension", "Declination"), strict=True):
        coordinate.set_axislabel(name)
        coordinate.grid(color="white", alpha=0.22, linewidth=0.6)
        coordinate.set_ticklabel(exclude_overlapping=True, size=8)


def _compass(axes: Axes, wcs: WCS, nx: int, ny: int) -> None:
    centre = np.array([(nx - 1) / 2, (ny - 1) / 2])
    ra, dec = wcs.all_pix2world([centre], 0)[0]
    step = 1 / 3600
    east = ra + step / max(np.cos(np.radians(dec)), 1e-6)
    tips = wcs.all_world2pix([[ra, dec + step], [east, dec]], 0, quiet=True) - centre
    length = 0.075 * min(nx, ny)
    directions = tips / np.hypot(*tips.T)[:, None]
    # The middle of its disc stands in the corner, wherever the arrows point.
    middle = np.array([nx, ny]) - 0.5 - 1.35 * length
    foot = middle - directions.mean(axis=0) * length * 0.75
    axes.add_patch(Circle(tuple(middle), 1.05 * length, color="black", alpha=0.45, linewidth=0, zorder=2.5))
    for direction, name in zip(directions, "NE", strict=True):
        tip = foot + direction * length
        arrow = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", xy=tip, xytext=foot, arrowprops=arrow, zorder=3)
        x, y = foot + direction * length * 1.3
        axes.text(x, y, name, color=INK, ha="center", va="center", size=9, zorder=3)


def _scale_bar(axes: Axes, wcs: WCS, nx: int, ny: int) -> None:
    y = (ny - 1) / 2
    ends = wcs.all_pix2world([[(nx - 2) / 2, y], [nx / 2, y]], 0)
    across = (ends[1, 0] - ends[0, 0] + 180) % 360 - 180
    arcsec = 3600 * np.hypot(across * np.cos(np.radians(ends[0, 1])), ends[1, 1] - ends[0, 1])
    length, label = round_length(0.22 * nx * arcsec)
    pixels = length / arcsec
    left, low, high = 0.05 * nx, 0.045 * min(nx, ny), 0.05 * min(nx, ny)
    corner, size = (left - 0.02 * nx, low - 0.6 * high), (pixels + 0.04 * nx, 1.9 * high)
    axes.add_patch(Rectangle(corner, *size, color="black", alpha=0.45, linewidth=0, zorder=2.5))
    ends_x = [left, left + pixels]
    axes.plot(ends_x, [low, low], color=INK, linewidth=2, solid_capstyle="butt", zorder=3)
    middle = left + pixels / 2
    axes.text(middle, low + 0.25 * high, label, color=INK, ha="center", va="bottom", size=9, zorder=3)


def round_length(arcsec: float) -> tuple[float, str]:
    """The largest round angle of at most `arcsec`, in arcsec, and how it is written."""
    for unit, mark in ((3600, "°"), (60, "′")):
        if arcsec >= unit:
            length, label = round_length(arcsec / unit)
            return unit * length, f"{label[:-1]}{mark}"
    power = 10.0 ** np.floor(np.log10(max(arcsec, 1e-9)))
    length = float(max(m * power for m in (1, 2, 5) if m * power <= arcsec))
    return length, f"{length:g}″"
