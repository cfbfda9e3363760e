"""Writes sources as region files of DS9 and CASA (CARTA), as Kron ellipses on the sky; other rows as points.

DS9: the angle of an ellipse counts from the right of an image with north up, so it is the position angle
plus 90 degrees (ds9.si.edu/doc/ref/region.html). CASA: [[x, y], [bmaj, bmin], pa] with half-axes and the
position angle (casadocs, "Region File Format").
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from .. import files
from ..errors import UsageError
from . import kinds

SUFFIXES = (".reg", ".crtf")
COLUMNS = ("ALPHAWIN_J2000", "DELTAWIN_J2000", "A_IMAGE", "B_IMAGE", "THETA_J2000", "KRON_RADIUS", "IMAGE")
"""What a region is made of."""
_HEADS = {
    ".reg": ["# Region file format: DS9", "global color=green", "icrs"],
    ".crtf": ["#CRTFv0", "global coord=ICRS, color=green"],
}
_ELLIPSES = {
    ".reg": 'ellipse({ra:.7f},{dec:.7f},{a:.4f}",{b:.4f}",{turned:.2f})',
    ".crtf": "ellipse[[{ra:.7f}deg, {dec:.7f}deg], [{a:.4f}arcsec, {b:.4f}arcsec], {angle:.2f}deg]",
}
_POINTS = {".reg": "point({ra:.7f},{dec:.7f}) # point=x", ".crtf": "symbol[[{ra:.7f}deg, {dec:.7f}deg], x]"}


def write(table: pa.Table, scales: Mapping[str, float | None], path: Path) -> None:
    """Writes one region per source that has a position: its Kron ellipse, or a point if it has no shape.

    `scales` are the sides of a pixel in arcsec by the URI of an image. A comment counts what is no ellipse.
    Raises UsageError if the table lacks one of COLUMNS.
    """
    if missing := [name for name in COLUMNS if name not in table.column_names]:
        raise UsageError(f"{path}: regions need the column {', '.join(missing)}: search without --columns")
    ra, dec, a, b, angle, kron = (table[name].to_numpy().astype(float) for name in COLUMNS[:-1])
    scale = np.array([scales.get(uri) or np.nan for uri in table["IMAGE"].to_pylist()], float)
    # Without a Kron radius, as for a source beside the edge, the ellipse is that of the moments.
    size = np.where(np.isfinite(kron) & (kron > 0), kron, 1.0) * scale
    placed = np.isfinite(ra) & np.isfinite(dec)
    shaped = np.isfinite(size * a * b * angle) & (a * size > 0) & (b * size > 0)
    ellipse, point = _ELLIPSES[path.suffix], _POINTS[path.suffix]
    lines = list(_HEADS[path.suffix])
    lines += _counted((~placed).sum(), "sources without a position: left out")
    lines += _counted((placed & ~shaped).sum(), "sources without a shape: points")
    for i in np.flatnonzero(placed):
        form = ellipse if shaped[i] else point
        lines.append(
            form.format(
                ra=ra[i],
                dec=dec[i],
                a=a[i] * size[i],
                b=b[i] * size[i],
                angle=angle[i],
                turned=(angle[i] + 90) % 360,
            )
        )
    _write(lines, path)


def write_points(table: pa.Table, path: Path) -> None:
    """Writes a point per row that has a position. Raises UsageError if the table lacks the columns of one."""
    names = kinds.position(table.schema)
    if names is None:
        raise UsageError(f"{path}: regions need the columns of the position: search without --columns")
    ra, dec = (table[name].to_numpy().astype(float) for name in names)
    placed = np.isfinite(ra) & np.isfinite(dec)
    lines = [*_HEADS[path.suffix], *_counted((~placed).sum(), "rows without a position: left out")]
    lines += [_POINTS[path.suffix].format(ra=ra[i], dec=dec[i]) for i in np.flatnonzero(placed)]
    _write(lines, path)


def _counted(number: int, what: str) -> list[str]:
    return [f"# {number:,} {what}"] if number else []


def _write(lines: list[str], path: Path) -> None:
    with files.replace(path) as part:
        part.write_text("\n".join([*lines, ""]), encoding="ascii")
