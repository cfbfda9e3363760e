"""Pictures with sky grid, compass, scale bar and legend, drawn by matplotlib."""

from typing import Any

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from .. import extras
from ..errors import UsageError
from ..sky.angles import round_length
from .images import Chip, Ellipses, Exposure, blocks_any, reduced
from .plain import DEFAULT_LOOK, FLAGGED, GOOD, HATCH, NO_DATA, SATURATED, Look, stretch

with extras.needed("plot"):
    from matplotlib import colormaps
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import EllipseCollection
    from matplotlib.colors import to_rgba
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.patheffects import withStroke

SIDE = 3000
"""Longest side that is drawn, in pixels. Larger images are averaged down: matplotlib makes many copies."""
DPI = 160
_WIDTH_IN = 9.0
_INK = "#f4f4f4"
_EDGE = [withStroke(linewidth=2.5, foreground="black", alpha=0.75)]


def figure(exposure: Exposure, look: Look = DEFAULT_LOOK) -> Figure:
    """The chips of an exposure, one axes each. Raises UsageError for a colour map that matplotlib lacks."""
    if look.cmap not in colormaps:
        raise UsageError(f"matplotlib has no colour map {look.cmap!r}; try gray, gray_r, magma or viridis")
    chips = exposure.chips
    ny, nx = chips[0].data.shape
    rows, columns = layout(len(chips), ny / nx)
    height = (_WIDTH_IN - 0.9 * columns) / columns * ny / nx * rows + 1.3 + 0.5 * (rows - 1)
    height = min(_WIDTH_IN * 1.6, max(3.5, height))
    page = Figure(figsize=(_WIDTH_IN, height), facecolor="white")
    page.set_layout_engine(ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.08))
    FigureCanvasAgg(page)
    for number, chip in enumerate(chips):
        # The first chip is the lower one on the detector.
        place = number + 1 if rows == 1 else len(chips) - number
        options: dict[str, Any] = {"projection": chip.wcs} if chip.wcs is not None else {}
        axes = page.add_subplot(rows, columns, place, **options)
        _chip(axes, chip, look)
        if len(chips) > 1:
            axes.set_title(f"chip {chip.version}", size=9, loc="left")
    page.suptitle(exposure.title, size=13 if "\n" not in exposure.title else 10, weight="bold")
    _legend(page, exposure)
    return page


def layout(chips: int, aspect: float) -> tuple[int, int]:
    """Rows and columns for chips whose height is `aspect` times their width: whichever is nearer to 3:4."""
    stacked, beside = chips * aspect, aspect / chips
    return (chips, 1) if abs(np.log(stacked / 0.75)) <= abs(np.log(beside / 0.75)) else (1, chips)


def _chip(axes: Axes, chip: Chip, look: Look) -> None:
    """Row 0 is at the bottom, and pixel centres are whole numbers from 0."""
    ny, nx = chip.data.shape
    step = -(-max(ny, nx) // SIDE)
    data = reduced(chip.data, step)
    left, bottom = chip.corner[0] - 0.5, chip.corner[1] - 0.5
    edges = (left, left + data.shape[1] * step, bottom, bottom + data.shape[0] * step)
    # Pixels without data are transparent, so that the hatched ground shows.
    axes.patch.set(facecolor=NO_DATA, edgecolor=HATCH, hatch="////", linewidth=0)
    colours = colormaps[look.cmap].with_extremes(bad=(0, 0, 0, 0))
    if chip.colours is not None:
        seen = np.dstack([chip.colours, np.isfinite(chip.data)])[::step, ::step]
        axes.imshow(seen, origin="lower", extent=edges)
    else:
        brightness = stretch(data, look.stretch)(data)
        axes.imshow(brightness, origin="lower", extent=edges, cmap=colours, vmin=0, vmax=1)
    if chip.saturated is not None and chip.saturated.any():
        full = np.zeros((*data.shape, 4))
        full[blocks_any(chip.saturated, step)] = to_rgba(SATURATED)
        axes.imshow(full, origin="lower", extent=edges, interpolation="nearest")
    if chip.marked is not None:
        _outline(axes, chip.marked)
    axes.set_xlim(left, left + nx)
    axes.set_ylim(bottom, bottom + ny)
    if chip.wcs is None:
        axes.set_xlabel("x [pixel, from 0]")
        axes.set_ylabel("y [pixel, from 0]")
        return
    _grid(axes)
    _compass(axes, chip.wcs, nx, ny, np.array(chip.corner))
    _scale_bar(axes, chip.wcs, nx, ny, np.array(chip.corner))


def _outline(axes: Axes, sources: Ellipses) -> None:
    # A crowded field needs thinner lines, or the lines are all one sees.
    width = float(np.clip(22 / max(len(sources), 1) ** 0.5, 0.45, 1.3))
    for colour, chosen in ((GOOD, ~sources.flagged), (FLAGGED, sources.flagged)):
        if not chosen.any():
            continue
        axes.add_collection(
            EllipseCollection(
                2 * sources.a[chosen],
                2 * sources.b[chosen],
                sources.theta[chosen],
                units="xy",
                offsets=np.column_stack([sources.x, sources.y])[chosen],
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


def _compass(axes: Axes, wcs: WCS, nx: int, ny: int, corner: NDArray[np.int_]) -> None:
    centre = corner + np.array([(nx - 1) / 2, (ny - 1) / 2])
    ra, dec = wcs.all_pix2world([centre], 0)[0]
    step = 1 / 3600
    east = ra + step / max(np.cos(np.radians(dec)), 1e-6)
    tips = wcs.all_world2pix([[ra, dec + step], [east, dec]], 0, quiet=True) - centre
    length = 0.075 * min(nx, ny)
    directions = tips / np.hypot(*tips.T)[:, None]
    # The middle of the arrows stands in the corner, wherever they point.
    foot = corner + np.array([nx, ny]) - 0.5 - 1.35 * length - directions.mean(axis=0) * length * 0.75
    for direction, name in zip(directions, "NE", strict=True):
        tip = foot + direction * length
        arrow = {"arrowstyle": "-|>", "color": _INK, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}
        arrow["path_effects"] = _EDGE
        axes.annotate("", xy=tip, xytext=foot, arrowprops=arrow, zorder=3)
        x, y = foot + direction * length * 1.3
        _text(axes, x, y, name, va="center")


def _scale_bar(axes: Axes, wcs: WCS, nx: int, ny: int, corner: NDArray[np.int_]) -> None:
    y = (ny - 1) / 2
    ends = wcs.all_pix2world(corner + np.array([[(nx - 2) / 2, y], [nx / 2, y]]), 0)
    across = (ends[1, 0] - ends[0, 0] + 180) % 360 - 180
    arcsec = 3600 * np.hypot(across * np.cos(np.radians(ends[0, 1])), ends[1, 1] - ends[0, 1])
    length, label = round_length(0.22 * nx * arcsec)
    pixels = length / arcsec
    left, low, high = corner[0] + 0.05 * nx, corner[1] + 0.045 * min(nx, ny), 0.05 * min(nx, ny)
    ends_x = [left, left + pixels]
    bar: dict[str, Any] = {
        "color": _INK,
        "linewidth": 2,
        "solid_capstyle": "butt",
        "path_effects": _EDGE,
        "zorder": 3,
    }
    axes.plot(ends_x, [low, low], **bar)
    _text(axes, left + pixels / 2, low + 0.25 * high, label, va="bottom")


def _text(axes: Axes, x: float, y: float, label: str, va: str) -> None:
    # A dark ground, so that no source behind it makes it hard to read.
    ground = {"facecolor": "black", "alpha": 0.55, "linewidth": 0, "boxstyle": "round,pad=0.15"}
    axes.text(x, y, label, color=_INK, ha="center", va=va, size=9, zorder=4, path_effects=_EDGE, bbox=ground)


def _legend(page: Figure, exposure: Exposure) -> None:
    circle: dict[str, Any] = {"marker": "o", "markerfacecolor": "none", "linestyle": "none", "markersize": 8}
    handles: list[Artist] = []
    if exposure.sources is not None:
        good, flagged = exposure.sources
        label = f"{good:,} sources" + (" without flags" if flagged else "")
        handles.append(Line2D([], [], color=GOOD, label=label, **circle))
        if flagged:
            handles.append(Line2D([], [], color=FLAGGED, label=f"{flagged:,} with flags", **circle))
        marked = sum(len(chip.marked or ()) for chip in exposure.chips)
        if marked < good + flagged:
            label = f"only the {marked:,} brightest are marked"
            handles.append(Line2D([], [], linestyle="none", label=label))
    if any(np.isnan(chip.data).any() for chip in exposure.chips):
        label = "masked or no data"
        handles.append(Patch(facecolor=NO_DATA, edgecolor=HATCH, hatch="////", linewidth=0, label=label))
    if any(chip.saturated is not None and chip.saturated.any() for chip in exposure.chips):
        handles.append(Patch(facecolor=SATURATED, linewidth=0, label="saturated"))
    if handles:
        page.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 3), frameon=False)
