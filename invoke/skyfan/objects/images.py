"""The images of all runs that are matched: which are used, in which filter, and where they lie."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..sky import footprints
from . import exposures
from .groups import Floats, Indices

USED, REPEATED, DOUBTFUL, NO_SKY = "used", "repeated", "doubtful", "no sky"
UNKNOWN = "UNKNOWN"
"""Stands for the name of a filter or an instrument that an image does not have."""


@dataclass(frozen=True)
class Images:
    """All images (n,), in the order of their URIs."""

    run: Indices
    """(n,) number of the run."""
    uri: pa.Array
    state: list[str]
    """(n,) USED, or why it is not."""
    kept: Indices
    """(n,) the image that is kept for its exposure."""
    is_identified: NDArray[np.bool_]
    """(n,) whether anything says of which exposure it is."""
    bands: list[str]
    """Instruments with filters, sorted, as they are in names of columns."""
    band: Indices
    """(n,) number of its band."""
    scale: Floats
    """(n,) side of a pixel in arcseconds; NaN without a sky."""
    centre: Floats
    """(n, 3) unit vectors; NaN without a sky."""
    radius: Floats
    """(n,) to its corners, in radians."""
    mjd: Floats
    """(n,) middle of its exposures; NaN if unknown."""
    vector: Floats
    """(n, 3) correction of its positions, see overlaps.py."""

    def __len__(self) -> int:
        return len(self.run)

    @property
    def is_used(self) -> NDArray[np.bool_]:
        """(n,)."""
        return np.array([state == USED for state in self.state], bool)

    def numbers(self, run: int) -> Callable[[pa.ChunkedArray], NDArray[np.int32]]:
        """Gives the numbers of images from a dictionary column of URIs in a run; -1 for one that is not
        used.
        """
        own = np.flatnonzero((self.run == run) & self.is_used)
        names = self.uri.take(pa.array(own))
        own = np.append(own, -1).astype(np.int32)

        def of(uris: pa.ChunkedArray) -> NDArray[np.int32]:
            column = uris.combine_chunks()
            at = pc.fill_null(pc.index_in(column.dictionary, value_set=names), -1).to_numpy()
            numbers: NDArray[np.int32] = own[at][column.indices.to_numpy()]
            return numbers

        return of

    def corrected(self, vector: Floats) -> "Images":
        """The images with these corrections."""
        return replace(self, vector=vector)


def of_tables(tables: Sequence[pa.Table], *, doubtful: bool) -> tuple[Images, pa.Table]:
    """The images of the tables of images, one per run, and all their rows in the same order."""
    parts = [
        table.append_column("run", pa.array(np.full(len(table), n, np.int32)))
        for n, table in enumerate(tables)
    ]
    table = pa.concat_tables(parts, promote_options="permissive").sort_by(
        [("uri", "ascending"), ("run", "ascending")]
    )
    rows = table.to_pylist()
    bands = [band_name(row["instrument"], row["filter"]) for row in rows]
    names = sorted(set(bands))
    centre, radius = _places(rows)
    scale = np.array([row["scale"] or np.nan for row in rows], np.float64)
    has_sky = np.isfinite(centre).all(axis=1) & (scale > 0)
    state = [
        NO_SKY if not sky else DOUBTFUL if row["doubts"] else USED
        for row, sky in zip(rows, has_sky, strict=True)
    ]
    if doubtful:
        state = [USED if each == DOUBTFUL else each for each in state]
    candidates = [n for n, each in enumerate(state) if each == USED]
    described = [_described(rows[n], centre[n], radius[n]) for n in candidates]
    kept = np.arange(len(rows))
    is_identified = np.ones(len(rows), bool)
    for n, best, image in zip(candidates, exposures.kept(described).tolist(), described, strict=True):
        kept[n] = candidates[best]
        is_identified[n] = image.is_identified
        if kept[n] != n:
            state[n] = REPEATED
    uri = table["uri"].combine_chunks()
    run = table["run"].to_numpy().astype(np.intp)
    band = np.searchsorted(names, bands) if names else np.empty(0, np.intp)
    mjd = (_numbers(table, "t_min") + _numbers(table, "t_max")) / 2
    vector = np.zeros((len(rows), 3))
    images = Images(run, uri, state, kept, is_identified, names, band, scale, centre, radius, mjd, vector)
    return images, table


def _numbers(table: pa.Table, name: str) -> Floats:
    values: Floats = table[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
    return values


def band_name(instrument: str | None, filters: str | None) -> str:
    """ACS_WFC_F606W: instrument, detector and filter as part of a name of a column."""
    return re.sub(r"\W+", "_", f"{instrument or UNKNOWN}_{filters or UNKNOWN}")


def _described(row: dict[str, Any], centre: Floats, radius: float) -> exposures.Image:
    def time(name: str) -> float:
        return np.nan if row[name] is None else float(row[name])

    return exposures.Image(
        row["uri"],
        row["run"],
        (row["telescope"] or "", row["instrument"] or "", row["filter"] or ""),
        row["rootname"] or "",
        time("t_min"),
        time("t_max"),
        len((row["doubts"] or "").split()),
        centre,
        radius,
    )


def _places(rows: list[dict[str, Any]]) -> tuple[Floats, Floats]:
    """Centres (n, 3) of the outlines and angles to the farthest corner (n,); NaN without an outline."""
    centre, radius = np.full((len(rows), 3), np.nan), np.full(len(rows), np.nan)
    for n, row in enumerate(rows):
        if shapes := footprints.parse(row["s_region"]):
            xyz = footprints.vectors(*np.concatenate(shapes).T)
            if np.isfinite(xyz).all():
                middle = xyz.mean(axis=0)
                centre[n] = middle / np.sqrt((middle**2).sum())
                radius[n] = 2 * np.arcsin(min(1.0, np.sqrt(((xyz - centre[n]) ** 2).sum(axis=1).max()) / 2))
    return centre, radius
