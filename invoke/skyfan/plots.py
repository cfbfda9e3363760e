"""Charts of results for notebooks and scripts, drawn by matplotlib into given axes or into new ones."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import extras, files
from .errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".png", ".svg", ".pdf")
"""Of files with a chart."""
BIN_MAG = 0.5
"""Width of the bins of number counts, magnitudes."""
_MAX_POINTS = 200_000
_NAMED = 8
"""Images whose names fit beside their curves."""
_LARGEST = 60.0
"""Area of the brightest source in a chart of positions, points squared."""


def axes_or_new(axes: "Axes | None") -> "Axes":
    """The axes that were given, or those of a new figure. Raises MissingExtraError without matplotlib."""
    if axes is not None:
        return axes
    with extras.needed("plot"):
        from matplotlib import pyplot
    made: Axes = pyplot.subplots(layout="constrained")[1]
    return made


def sky(
    axes: "Axes | None", ra: ArrayLike, dec: ArrayLike, magnitude: ArrayLike | None = None, *, title: str = ""
) -> "Axes":
    """Positions (degrees, ICRS), east to the left; brighter ones are larger if `magnitude` is given.

    Raises UsageError if no position is finite.
    """
    ra, dec = np.asarray(ra, float), np.asarray(dec, float)
    at = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    if not len(at):
        raise UsageError("nothing to plot: there are no positions on the sky")
    at = at[:: -(-len(at) // _MAX_POINTS)]
    # Around the first one, so that a field at 0 h is not torn apart.
    offset = (ra[at] - ra[at[0]] + 180) % 360 - 180
    size: Any = 8.0 if magnitude is None else _areas(np.asarray(magnitude, float)[at])
    axes = axes_or_new(axes)
    axes.scatter(ra[at[0]] + offset, dec[at], s=size, alpha=0.6, linewidths=0)
    axes.ticklabel_format(useOffset=False)
    axes.invert_xaxis()
    axes.set_aspect(1 / max(np.cos(np.radians(dec[at].mean())), 1e-3), adjustable="datalim")
    axes.set(xlabel="RA (degrees)", ylabel="Dec (degrees)", title=title)
    return axes


def bars(axes: "Axes | None", values: Mapping[str, float], label: str, *, title: str = "") -> "Axes":
    """One horizontal bar per name, the first on top, each with its value."""
    axes = axes_or_new(axes)
    drawn = axes.barh(list(values), list(values.values()))
    texts = [f"{value:,.3g}" if isinstance(value, float) else f"{value:,}" for value in values.values()]
    axes.bar_label(drawn, labels=texts, padding=3)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set(xlabel=label, title=title)
    return axes


def histogram(axes: "Axes | None", values: ArrayLike, label: str, *, title: str = "") -> "Axes":
    """Rows per bin of values. Raises UsageError if none is finite."""
    array = np.asarray(values, float)
    if not len(finite := array[np.isfinite(array)]):
        raise UsageError(f"nothing to plot: no row has a value of {label}")
    axes = axes_or_new(axes)
    axes.hist(finite, bins="auto" if len(finite) <= _MAX_POINTS else 100, histtype="stepfilled", alpha=0.6)
    axes.set(xlabel=label, ylabel="rows", title=title)
    return axes


def number_counts(axes: "Axes | None", magnitudes: Mapping[str, ArrayLike], *, title: str = "") -> "Axes":
    """Sources per BIN_MAG of AB magnitude, one line per filter, on a logarithmic scale.

    Raises UsageError if no magnitude is finite.
    """
    finite: dict[str, NDArray[np.float64]] = {}
    for name, values in magnitudes.items():
        array = np.asarray(values, float)
        if len(kept := array[np.isfinite(array)]):
            finite[name] = kept
    if not finite:
        raise UsageError("nothing to plot: no source has a magnitude")
    axes = axes_or_new(axes)
    for name, values in finite.items():
        low, high = np.floor(values.min() / BIN_MAG), np.floor(values.max() / BIN_MAG) + 1
        edges = np.arange(low, high + 1) * BIN_MAG
        axes.stairs(np.histogram(values, edges)[0], edges, label=name or "no filter", linewidth=1.5)
    axes.set_yscale("log")
    axes.set(xlabel="MAG_AUTO (AB)", ylabel=f"sources per {BIN_MAG:g} mag", title=title)
    axes.legend()
    return axes


def light_curve(
    axes: "Axes | None", bands: Sequence[str], columns: Mapping[str, NDArray[Any]], *, title: str = ""
) -> "Axes":
    """Magnitudes over time, brighter ones up, one colour per band.

    `columns` are MJD, MAG, MAGERR, LIMIT and USED, (n,) each. Points that are not used are open, limits are
    triangles that point down. Raises UsageError without any.
    """
    names = np.array(bands, str)
    time, mag, error, limit = (np.asarray(columns[n], float) for n in ("MJD", "MAG", "MAGERR", "LIMIT"))
    if not (np.isfinite(time) & (np.isfinite(mag) | np.isfinite(limit))).any():
        raise UsageError("nothing to plot: the object has neither magnitudes nor limits with a time")
    is_used = np.asarray(columns["USED"], bool)
    axes = axes_or_new(axes)
    for number, band in enumerate(np.unique(names)):
        colour, own = f"C{number % 10}", names == band
        style: dict[str, Any] = {"fmt": "o", "color": colour, "markersize": 5, "capsize": 2}
        fill: str | None
        label: str | None = str(band)
        for rows, fill in ((own & is_used, None), (own & ~is_used, "none")):
            if (rows := rows & np.isfinite(mag)).any():
                axes.errorbar(time[rows], mag[rows], error[rows], **style, markerfacecolor=fill, label=label)
                label = None
        if (rows := own & np.isfinite(limit)).any():
            axes.scatter(time[rows], limit[rows], marker="v", color=colour, s=25, alpha=0.6, label=label)
    axes.ticklabel_format(axis="x", useOffset=False)
    axes.invert_yaxis()
    axes.set(xlabel="MJD (days)", ylabel="magnitude (AB)", title=title)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))  # beside it: points can be anywhere in it
    return axes


def marked(axes: "Axes", x: ArrayLike, y: ArrayLike, is_marked: NDArray[np.bool_]) -> None:
    """Points, of which some are marked."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    axes.scatter(x[~is_marked], y[~is_marked], s=12, alpha=0.7, linewidths=0)
    if is_marked.any():
        axes.scatter(x[is_marked], y[is_marked], s=40, marker="x", color="C3", label="stands out")
        axes.legend()
    axes.ticklabel_format(useOffset=False)
    axes.grid(alpha=0.3)


def completeness(
    axes: "Axes | None", curves: Sequence[tuple[str, ArrayLike, ArrayLike]], *, title: str = ""
) -> "Axes":
    """Shares of stars that are found over their magnitude. For each image its name, magnitudes and shares
    (2, n) of its steps, and those of its limits, which get a dot. Names stand beside few of them.
    """
    axes = axes_or_new(axes)
    is_few = len(curves) <= _NAMED
    for number, (name, steps, limits) in enumerate(curves):
        color, alpha = f"C{number % 10}" if is_few else "C0", max(0.15, min(1.0, 8 / len(curves)))
        axes.step(
            *np.asarray(steps),
            where="mid",
            linewidth=1,
            color=color,
            alpha=alpha,
            label=name if is_few else None,
        )
        axes.plot(*np.asarray(limits), "o", color=color, alpha=alpha)
    axes.set(xlabel="magnitude (AB)", ylabel="share of stars that are found", ylim=(-0.02, 1.05), title=title)
    if is_few:
        axes.legend(fontsize="small")
    return axes


def check(path: Path) -> None:
    """Raises UsageError if a chart cannot be written to the file."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path} must end in one of {', '.join(SUFFIXES)}")
    files.require_folder(path)


def write(axes: "Axes", path: Path) -> None:
    """Writes the figure of axes in the format of the suffix, one of SUFFIXES, whole or not at all."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    body = BytesIO()
    figure.savefig(body, format=path.suffix[1:].lower(), dpi=150)
    with files.replace(path) as part:
        part.write_bytes(body.getvalue())


def _areas(magnitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Areas of markers: the largest for the brightest, down to a twentieth of it over five magnitudes."""
    if not np.isfinite(magnitude).any():
        return np.full(len(magnitude), 8.0)
    fainter = np.nan_to_num(magnitude - np.nanmin(magnitude), nan=5.0)
    return _LARGEST * np.maximum(10 ** (-0.26 * fainter), 0.05)
