"""A picture of where a plan's images lie on the sky."""

import re
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..errors import InputError
from .plan import Plan

Corners = NDArray[np.float64]
"""(n, 2): right ascension and declination in degrees, ICRS."""
MOST = 20_000
"""Footprints drawn as outlines; of more, the centres are drawn."""
_SMALL = 5.0
_SHAPE = re.compile(r"(POLYGON|CIRCLE|ELLIPSE|BOX)((?:\s+(?!POLYGON|CIRCLE|ELLIPSE|BOX)\S+)*)")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


def parse(region: str | None) -> list[Corners]:
    """The outlines in an STC-S region: its polygons and circles, in degrees. Other shapes are passed over."""
    found: list[Corners] = []
    for shape, rest in _SHAPE.findall(region or ""):
        values = np.array([float(word) for word in rest.split() if _NUMBER.fullmatch(word)])
        if shape == "POLYGON" and len(values) >= 6 and len(values) % 2 == 0:
            found.append(values.reshape(-1, 2))
        elif shape == "CIRCLE" and len(values) == 3:
            angle = np.linspace(0, 2 * np.pi, 33)
            ra, dec, radius = values
            found.append(
                np.column_stack(
                    [
                        ra + radius * np.cos(angle) / max(np.cos(np.radians(dec)), 1e-6),
                        dec + radius * np.sin(angle),
                    ]
                )
            )
    return found


def draw(made: Plan, path: Path) -> None:
    """Writes a PNG: the whole sky (Mollweide), or a zoom where all images lie within a few degrees.

    Raises InputError where the plan's files have no positions, as those that were named by paths.
    """
    import matplotlib as mpl
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    table = made.table()
    table = table.filter(pc.and_(pc.is_null(table["dropped"]), pc.is_valid(table["s_ra"])))
    if len(table) == 0:
        raise InputError(f"{made.path} holds no file with a position on the sky: no footprints to draw")
    ra = table["s_ra"].to_numpy()
    dec = table["s_dec"].to_numpy()
    # The mean of unit vectors: right ascensions of 359 and 1 lie close.
    x, y = np.cos(np.radians(ra)).mean(), np.sin(np.radians(ra)).mean()
    middle = float(np.degrees(np.arctan2(y, x)) % 360)
    offset = (ra - middle + 180) % 360 - 180
    scale = float(np.cos(np.radians(dec.mean())))
    is_small = np.ptp(offset) * scale < _SMALL and np.ptp(dec) < _SMALL
    outlines = (
        [corners for text in table["s_region"].to_pylist() for corners in parse(text)]
        if len(ra) <= MOST
        else []
    )
    with mpl.rc_context({"font.size": 9}):
        figure = Figure(figsize=(8, 4.6) if not is_small else (6, 6), layout="constrained")
        if is_small:
            axes = figure.add_subplot(aspect=1 / max(scale, 0.02))
            axes.plot(middle + offset, dec, ".", ms=2, color="tab:blue")
            lines = [_near(corners, middle) for corners in outlines]
            axes.add_collection(LineCollection(lines, colors="tab:blue", linewidths=0.6, alpha=0.6))
            axes.autoscale_view()
            axes.invert_xaxis()
            axes.set_xlabel("right ascension (deg)")
            axes.set_ylabel("declination (deg)")
        else:
            axes = figure.add_subplot(projection="mollweide")
            axes.grid(alpha=0.3)
            # East is to the left on the sky; the axis runs from +180 to -180 degrees.
            axes.plot(np.radians(-((ra + 180) % 360 - 180)), np.radians(dec), ".", ms=2, color="tab:blue")
            axes.set_xticklabels([f"{(-hour) % 24}h" for hour in range(-10, 11, 2)])
        axes.set_title(f"{len(ra):,} images of {made.path.name}")
        part = path.with_name(f".{path.name}.part")
        try:
            figure.savefig(part, dpi=150, format="png")
            part.replace(path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise InputError(f"cannot write {path}: {error.strerror or error}") from error


def _near(corners: Corners, middle: float) -> Corners:
    ra = middle + (corners[:, 0] - middle + 180) % 360 - 180
    return np.column_stack([ra, corners[:, 1]])
