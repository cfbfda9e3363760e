"""What was measured, as the collected data set of a run tells it."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..catalogs import store
from ..errors import InputError
from .distribution import Distribution, Floats, distribution
from .footprints import Footprints, Gatherer

ROW_GROUPS = 64
"""Row groups of sources (16,384 rows) whose magnitudes are read at most, evenly chosen."""
_COLUMNS = [
    "uri",
    "catalog",
    "instrument",
    "filter",
    "sources",
    "t_exptime",
    "depth",
    "depth_aperture",
    "step",
    "t_min",
    "t_max",
    "s_ra",
    "s_dec",
    "s_region",
    "config",
    "skyfan",
    "sep",
    "numpy",
    "astropy",
]
_VERSIONS = ("skyfan", "sep", "numpy", "astropy", "config")


@dataclass(frozen=True)
class Group:
    """The images of one instrument and filter."""

    instrument: str
    filter: str
    images: int
    sources: int
    exposure_s: float
    depth: tuple[float, float, float]
    """Least, median, most, in AB magnitudes; NaN where no image has one."""


@dataclass(frozen=True)
class Picked:
    """An image that stands for its like."""

    uri: str
    catalog: str
    """Its name below the run's results."""
    told: str
    sources: int
    depth: float


@dataclass(frozen=True)
class Measured:
    """A data set in numbers."""

    images: int
    sources: int
    unplaced: int
    """Sources without a position."""
    began: float
    """MJD of the first exposure; NaN where none is known."""
    ended: float
    groups: list[Group]
    depth_aperture: float
    """Diameter in arcsec; NaN where images differ or none is known."""
    steps: dict[int, int]
    """Images by EXTRACT_STEP."""
    depth: Distribution | None
    per_image: Distribution | None
    magnitudes: Distribution | None
    versions: list[tuple[tuple[str, ...], int]]
    """(skyfan, sep, numpy, astropy, config) and the images made with them."""
    footprints: Footprints
    picked: list[Picked]


def read(folder: Path, place: str, run: str, pictures: int) -> Measured | None:
    """Reads the data set of a run, None where there is none; picks `pictures` images, some of each group.

    Raises InputError for a data set of another run, or one that is damaged.
    """
    found = store.find(folder)
    if found is None:
        return None
    theirs = found.about.get("place"), found.about.get("run")
    if theirs != (place, run):
        raise InputError(f"{folder} holds the run {theirs[1]} of {theirs[0]}, not {run} of {place}")
    try:
        table = pq.read_table(folder / "images.parquet", columns=_COLUMNS)
        magnitudes = _magnitudes(found)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise InputError(f"{folder} cannot be read ({error}): remove it and collect again") from error
    sky = Gatherer()
    sky.add(table)
    began, ended = _floats(table, "t_min"), _floats(table, "t_max")
    apertures = np.unique(_finite(_floats(table, "depth_aperture")))
    versions = Counter(zip(*(table[name].to_pylist() for name in _VERSIONS), strict=True))
    return Measured(
        images=len(table),
        sources=int(found.about["sources"]),
        unplaced=int(found.about["unplaced"]),
        began=float(min(_finite(began), default=np.nan)),
        ended=float(max(_finite(ended), default=np.nan)),
        groups=_groups(table),
        depth_aperture=float(apertures[0]) if len(apertures) == 1 else float("nan"),
        steps=dict(sorted(Counter(table["step"].to_pylist()).items())),
        depth=distribution(_floats(table, "depth"), "5σ depth", "AB mag"),
        per_image=distribution(_floats(table, "sources"), "number of sources", "", whole=True),
        magnitudes=magnitudes,
        versions=versions.most_common(),
        footprints=sky.finish(),
        picked=_picked(table, pictures),
    )


def _magnitudes(found: store.Store) -> Distribution | None:
    """MAG_AUTO of all sources, or of row groups that lie evenly among all."""
    if "MAG_AUTO" not in found.schema.names:
        return None
    paths = [found.folder / pixel.path for pixel in found.pixels]
    # Partitions before row groups: opening a file costs more than reading one more of its row groups.
    paths = [paths[i] for i in _evenly(len(paths), ROW_GROUPS)]
    values = [np.empty(0)]
    each = max(1, ROW_GROUPS // max(1, len(paths)))
    for path in paths:
        with pq.ParquetFile(path) as file:
            groups = _evenly(file.num_row_groups, each)
            read = file.read_row_groups(groups, columns=["MAG_AUTO"])["MAG_AUTO"]
            values.append(read.to_numpy().astype(np.float64))
    column = np.concatenate(values)
    return distribution(column, "MAG_AUTO", "AB mag", of=max(len(column), found.about["sources"]))


def _groups(table: pa.Table) -> list[Group]:
    rows: dict[tuple[str, str], list[tuple[int, float, float]]] = {}
    columns = (table[name].to_pylist() for name in ("instrument", "filter", "sources", "t_exptime", "depth"))
    for instrument, name, sources, seconds, depth in zip(*columns, strict=True):
        rows.setdefault((instrument, name), []).append((sources, seconds, depth))
    groups = []
    for (instrument, name), some in rows.items():
        numbers = np.array(some, np.float64)
        depths = _finite(numbers[:, 2])
        low, middle, high = np.quantile(depths, (0, 0.5, 1)) if len(depths) else (np.nan,) * 3
        exposure = float(_finite(numbers[:, 1]).sum())
        total = int(numbers[:, 0].sum())
        groups.append(
            Group(instrument, name, len(some), total, exposure, (float(low), float(middle), float(high)))
        )
    return sorted(groups, key=lambda group: (-group.images, group.instrument, group.filter))


def _picked(table: pa.Table, most: int) -> list[Picked]:
    """Images of every instrument and filter by turns; of each first the one with the most sources."""
    turns: dict[tuple[str, str], list[int]] = {}
    sources = table["sources"].to_numpy()
    kinds = list(zip(table["instrument"].to_pylist(), table["filter"].to_pylist(), strict=True))
    for row in np.argsort(-sources, kind="stable"):
        some = turns.setdefault(kinds[row], [])
        if len(some) < most:
            some.append(int(row))
    chosen = [some[turn] for turn in range(most) for some in turns.values() if turn < len(some)][:most]
    return [_pick(row) for row in table.take(chosen).to_pylist()] if chosen else []


def _pick(row: dict[str, Any]) -> Picked:
    told = " ".join(filter(None, (row["instrument"], row["filter"])))
    return Picked(row["uri"], row["catalog"], told, row["sources"], row["depth"])


def _evenly(number: int, most: int) -> list[int]:
    """At most so many of the first whole numbers, evenly spread."""
    return list(range(number)) if number <= most else [int(i) for i in np.linspace(0, number - 1, most)]


def _floats(table: pa.Table, name: str) -> Floats:
    found: Floats = table[name].to_numpy().astype(np.float64)
    return found


def _finite(values: Floats) -> Floats:
    return values[np.isfinite(values)]
