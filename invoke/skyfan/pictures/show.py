"""A picture of an image with its sources, good enough for a talk."""

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from ..errors import InputError, UsageError
from . import chips, picture, sources
from .chips import Chip
from .picture import Look

WIDTH_IN, DPI = 9.0, 160


def show(
    image: str,
    catalog: str | None = None,
    output: str | Path | None = None,
    *,
    chip: int | None = None,
    look: Look = Look(),  # noqa: B008  (frozen)
    access: str = "anonymous",
) -> Path:
    """Writes a PNG of `image` with the sources of `catalog`; gives its path.

    `chip` is an EXTVER; all chips are drawn otherwise. Without `output` the PNG has the image's name, in the
    working folder. Raises UsageError for what cannot be read or drawn.
    """
    figure = draw(image, catalog, chip=chip, look=look, access=access)
    path = Path(output) if output else Path(f"{_stem(image)}.png")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=DPI)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def draw(
    image: str,
    catalog: str | None = None,
    *,
    chip: int | None = None,
    look: Look = Look(),  # noqa: B008
    access: str = "anonymous",
) -> Figure:
    """The same as a matplotlib figure, for notebooks."""
    if look.stretch not in picture.STRETCHES:
        raise UsageError(f"a stretch is one of {', '.join(picture.STRETCHES)}, not {look.stretch!r}")
    from matplotlib import colormaps

    if look.cmap not in colormaps:
        raise UsageError(f"matplotlib has no colour map {look.cmap!r}; try gray, gray_r, magma or viridis")
    planes, header = chips.read(image, access, chip)
    found = sources.read(catalog, access) if catalog else {}
    strange = set(found) - {None} - {plane.ext for plane in planes}
    if strange and chip is None:
        raise InputError(f"{catalog} has sources on HDU {min(map(str, strange))}, where {image} has no image")
    by_plane = [found.get(plane.ext, found.get(None)) for plane in planes]

    ny, nx = planes[0].data.shape
    rows, columns = layout(len(planes), ny / nx)
    height = (WIDTH_IN - 0.9 * columns) / columns * ny / nx * rows + 1.3 + 0.5 * (rows - 1)
    height = min(WIDTH_IN * 1.6, max(3.5, height))
    figure = Figure(figsize=(WIDTH_IN, height), facecolor="white")
    figure.set_layout_engine(ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.08))
    FigureCanvasAgg(figure)
    for number, (plane, ellipses) in enumerate(zip(planes, by_plane, strict=True)):
        # The first chip is the lower one on the detector.
        place = number + 1 if rows == 1 else len(planes) - number
        options: dict[str, Any] = {"projection": plane.wcs} if plane.wcs is not None else {}
        axes = figure.add_subplot(rows, columns, place, **options)
        picture.draw(axes, plane, ellipses, look)
        if len(planes) > 1:
            axes.set_title(f"chip {plane.version}", size=9, loc="left")
    figure.suptitle(title(header) or _stem(image), size=13, weight="bold")
    drawn = [ellipses for ellipses in by_plane if ellipses is not None]
    if catalog:
        flagged = sum(int(ellipses.flagged.sum()) for ellipses in drawn)
        _legend(figure, sum(map(len, drawn)) - flagged, flagged)
    return figure


def layout(chips: int, aspect: float) -> tuple[int, int]:
    """Rows and columns for chips whose height is `aspect` times their width: whichever is nearer to 3:4."""
    stacked, beside = chips * aspect, aspect / chips
    return (chips, 1) if abs(np.log(stacked / 0.75)) <= abs(np.log(beside / 0.75)) else (1, chips)


def title(header: fits.Header) -> str:
    """Target, instrument, filter and exposure time, as far as the header tells."""
    instrument = "/".join(str(header[card]) for card in ("INSTRUME", "DETECTOR") if header.get(card))
    names = [str(header.get(card, "")) for card in ("FILTER", "FILTER1", "FILTER2")]
    filters = "+".join(name for name in names if name and not name.startswith(("CLEAR", "N/A")))
    exposure = header.get("EXPTIME")
    seconds = f"{exposure:,.0f} s" if isinstance(exposure, int | float) and exposure > 0 else ""
    target = str(header.get("TARGNAME") or header.get("OBJECT") or "")
    parts = [target, " ".join(part for part in (instrument, filters) if part), seconds]
    return "  ·  ".join(part for part in parts if part)


def _legend(figure: Figure, good: int, flagged: int) -> None:
    told = {picture.GOOD: f"{good} sources" + (" without flags" if flagged else "")}
    if flagged:
        told[picture.FLAGGED] = f"{flagged} with flags"
    shape: dict[str, Any] = {"marker": "o", "markerfacecolor": "none", "linestyle": "none", "markersize": 8}
    lines = [Line2D([], [], color=colour, label=label, **shape) for colour, label in told.items()]
    figure.legend(handles=lines, loc="outside lower center", ncols=2, frameon=False)


def _stem(uri: str) -> str:
    name = uri.rpartition("/")[2]
    for suffix in (".gz", ".fz", ".fits", ".fit"):
        name = name.removesuffix(suffix)
    return name


__all__ = ["Chip", "Look", "draw", "show", "title"]
