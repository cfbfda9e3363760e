"""The collected data set of a run in numbers: images, depths, magnitudes, versions."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..catalogs import dataset, images
from ..errors import InputError
from ..sky.footprints import FootprintCollector, Footprints
from .distribution import Distribution, Floats, Grid, distribution, grid
from .images import MEASURED

ROW_GROUPS = 64
"""Row groups of sources (16,384 rows each) whose magnitudes are read, at most."""
_PER_GROUP = 1 << 12
"""Magnitudes of each of them that count, if not all are read."""
_GRID = (70, 45)
_COLUMNS = [
    "uri",
    *MEASURED,
    "depth_aperture",
    "step",
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
    """Minimum, median and maximum in AB magnitudes; NaN if no image has one."""


@dataclass(frozen=True)
class Example:
    """An image whose picture is shown."""

    uri: str
    catalog: str
    """Key of its catalog below the run's results."""
    kind: str
    """Instrument and filter."""
    sources: int
    """-1 if unknown."""
    depth: float
    """AB magnitudes; NaN if unknown."""


@dataclass(frozen=True)
class Doubted:
    """A doubtful image as an example."""

    uri: str
    notes: str
    """What its catalog says about it."""


@dataclass(frozen=True)
class Measured:
    """A data set in numbers."""

    images: int
    sources: int
    unplaced: int
    """Sources without a position."""
    began: float
    """MJD of the first exposure's start; NaN if unknown."""
    ended: float
    """MJD of the last exposure's end."""
    groups: list[Group]
    depth_aperture: float
    """Diameter in arcsec; NaN if images differ or none is known."""
    steps: dict[int, int]
    """Images by EXTRACT_STEP."""
    doubtful: int
    """Images that their catalogs call doubtful."""
    doubts: dict[str, int]
    """Images by reason, of which one can have several."""
    doubted: dict[str, Doubted]
    """An example for each reason."""
    depth: Distribution | None
    per_image: Distribution | None
    magnitudes: Distribution | None
    widths: Grid | None
    """FWHM_IMAGE against MAG_AUTO of the same sources."""
    versions: list[tuple[tuple[str, ...], int]]
    """(skyfan, sep, numpy, astropy, digest of the settings) and the number of images made with them."""
    footprints: Footprints
    examples: list[Example]
    table: pa.Table
    """The _COLUMNS of images.parquet."""


def read(folder: Path, place: str, run: str, max_examples: int) -> Measured | None:
    """Reads the data set of a run; None if there is none. Chooses examples from all groups.

    Raises InputError for a data set of another run, or a damaged one.
    """
    found = dataset.find(folder)
    if found is None:
        return None
    origin = found.about.get("place"), found.about.get("run")
    if origin != (place, run):
        raise InputError(f"{folder} holds the run {origin[1]} of {origin[0]}, not {run} of {place}")
    try:
        table = pq.read_table(folder / "images.parquet", columns=_COLUMNS)
        magnitudes, widths = _magnitudes(found)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise InputError(
            f"{folder} cannot be read ({error}): remove it and run skyfan collect again"
        ) from error
    sky = FootprintCollector()
    sky.add(table)
    began, ended = _floats(table, "t_min"), _floats(table, "t_max")
    apertures = np.unique(_finite(_floats(table, "depth_aperture")))
    doubtful, doubts = images.doubtful(table)
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
        doubtful=doubtful,
        doubts=doubts,
        doubted=_doubted(table),
        depth=distribution(_floats(table, "depth"), "5σ depth", "AB mag"),
        per_image=distribution(_floats(table, "sources"), "number of sources", "", integers=True),
        magnitudes=magnitudes,
        widths=widths,
        versions=versions.most_common(),
        footprints=sky.finish(),
        examples=_examples(table, max_examples),
        table=table,
    )


def _magnitudes(found: dataset.DataSet) -> tuple[Distribution | None, Grid | None]:
    """MAG_AUTO and widths of all sources, or of a sample in which each source is as likely as any other.

    A row group holds the sources of one place on the sky. So groups are chosen at equal steps through all
    rows, which makes large ones likelier, and as many rows of each count.
    """
    columns = [name for name in ("MAG_AUTO", "FWHM_IMAGE") if name in found.schema.names]
    if "MAG_AUTO" not in columns:
        return None, None
    rows = np.array([pixel.rows for pixel in found.partitions], np.int64)
    groups = -(-rows // dataset.ROW_GROUP)
    is_sample = int(groups.sum()) > ROW_GROUPS
    ends = np.cumsum(rows)
    chosen: dict[int, list[int]] = {
        number: list(range(count)) for number, count in enumerate(groups.tolist())
    }
    if is_sample:
        chosen = {}
        for row in ((np.arange(ROW_GROUPS) + 0.5) / ROW_GROUPS * ends[-1]).astype(int).tolist():
            partition = int(np.searchsorted(ends, row, side="right"))
            within = row - int(ends[partition] - rows[partition])
            chosen.setdefault(partition, []).append(within // dataset.ROW_GROUP)
    each = max(1, min(_PER_GROUP, dataset.ROW_GROUP, int(rows.sum()) // ROW_GROUPS))
    values = [np.empty((len(columns), 0))]
    for partition, numbers in chosen.items():
        with pq.ParquetFile(found.folder / found.partitions[partition].path) as file:
            for number in numbers:
                read = file.read_row_group(number, columns=columns)
                group = np.stack([read[name].to_numpy().astype(np.float64) for name in columns])
                spread = np.linspace(0, group.shape[1] - 1, each).astype(int)
                values.append(group[:, spread] if is_sample else group)
    magnitudes, *widths = np.concatenate(values, axis=1)
    total = max(len(magnitudes), found.about["sources"])
    return (
        distribution(magnitudes, "MAG_AUTO", "AB mag", total=total),
        grid(magnitudes, widths[0], _GRID) if widths else None,
    )


def _groups(table: pa.Table) -> list[Group]:
    images: dict[tuple[str, str], list[tuple[int, float, float]]] = {}
    columns = (table[name].to_pylist() for name in ("instrument", "filter", "sources", "t_exptime", "depth"))
    for instrument, name, sources, seconds, depth in zip(*columns, strict=True):
        images.setdefault((instrument, name), []).append((sources, seconds, depth))
    groups = []
    for (instrument, name), rows in images.items():
        numbers = np.array(rows, np.float64)
        depths = _finite(numbers[:, 2])
        low, middle, high = np.quantile(depths, (0, 0.5, 1)) if len(depths) else (np.nan,) * 3
        exposure = float(_finite(numbers[:, 1]).sum())
        total = int(numbers[:, 0].sum())
        groups.append(
            Group(instrument, name, len(rows), total, exposure, (float(low), float(middle), float(high)))
        )
    return sorted(groups, key=lambda group: (-group.images, group.instrument, group.filter))


def _examples(table: pa.Table, maximum: int) -> list[Example]:
    """Images of each instrument and filter in turn, in each those with the most sources first."""
    turns: dict[tuple[str, str], list[int]] = {}
    sources = table["sources"].to_numpy()
    kinds = list(zip(table["instrument"].to_pylist(), table["filter"].to_pylist(), strict=True))
    for row in np.argsort(-sources, kind="stable"):
        rows = turns.setdefault(kinds[row], [])
        if len(rows) < maximum:
            rows.append(int(row))
    chosen = [rows[turn] for turn in range(maximum) for rows in turns.values() if turn < len(rows)][:maximum]
    return [_example(row) for row in table.take(chosen).to_pylist()] if chosen else []


def _doubted(table: pa.Table) -> dict[str, Doubted]:
    """For each reason the first of the images with the fewest other reasons: its notes are to the point."""
    found: dict[str, tuple[int, Doubted]] = {}
    columns = (table[name].to_pylist() for name in ("doubts", "uri", "notes"))
    for doubts, uri, notes in zip(*columns, strict=True):
        reasons = (doubts or "").split()
        for reason in reasons:
            if reason not in found or len(reasons) < found[reason][0]:
                found[reason] = len(reasons), Doubted(uri, notes or "")
    return {reason: example for reason, (_, example) in found.items()}


def _example(row: dict[str, Any]) -> Example:
    kind = " ".join(filter(None, (row["instrument"], row["filter"])))
    depth = np.nan if row["depth"] is None else row["depth"]
    return Example(row["uri"], row["catalog"], kind, row["sources"], depth)


def _floats(table: pa.Table, name: str) -> Floats:
    column: Floats = table[name].to_numpy().astype(np.float64)
    return column


def _finite(values: Floats) -> Floats:
    return values[np.isfinite(values)]
