"""The collected data set of a run in numbers: images, depths, magnitudes, versions."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..catalogs import dataset, images
from ..catalogs.kinds import ROWS, SOURCES, Kind
from ..errors import InputError
from ..sky.footprints import FootprintCollector, Footprints
from . import rows
from .distribution import Distribution, Floats, Grid, distribution, grid
from .images import MEASURED
from .rows import RowCharts

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
    """A data set in numbers. Of rows and inputs, what only sources and images have is NaN, None or empty."""

    kind: Kind
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
    rows: RowCharts | None
    """What is drawn of the tables of any other function."""
    versions: list[tuple[tuple[str, ...], int]]
    """(skyfan, sep, numpy, astropy, digest of the settings) and the number of images made with them; without
    sep for the tables of other functions."""
    footprints: Footprints
    examples: list[Example]
    table: pa.Table
    """The _COLUMNS of images.parquet; all of them, if its inputs are no images."""


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
        kind = found.kind
        table = pq.read_table(folder / "images.parquet", columns=_COLUMNS if kind is SOURCES else None)
        drawn = None if kind is SOURCES else rows.read(found, table)
        magnitudes, widths = _magnitudes(found) if kind is SOURCES else (None, None)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise InputError(
            f"{folder} cannot be read ({error}): remove it and run skyfan collect again"
        ) from error
    sky = FootprintCollector()
    sky.add(table)
    began, ended = _floats(table, "t_min"), _floats(table, "t_max")
    apertures = np.unique(_finite(_floats(table, "depth_aperture")))
    noun = "sources" if kind is SOURCES else "rows"
    doubtful, doubts = images.doubtful(table)
    names = [name for name in _VERSIONS if name in table.column_names]
    versions = Counter(zip(*(table[name].to_pylist() for name in names), strict=True))
    return Measured(
        kind=kind,
        images=len(table),
        sources=int(found.about["sources"]),
        unplaced=int(found.about["unplaced"]),
        began=float(min(_finite(began), default=np.nan)),
        ended=float(max(_finite(ended), default=np.nan)),
        groups=_groups(table),
        depth_aperture=float(apertures[0]) if len(apertures) == 1 else float("nan"),
        steps=dict(sorted(Counter(table["step"].to_pylist()).items())) if kind is SOURCES else {},
        doubtful=doubtful,
        doubts=doubts,
        doubted=_doubted(table),
        depth=distribution(_floats(table, "depth"), "5σ depth", "AB mag"),
        per_image=distribution(_floats(table, "sources"), f"number of {noun}", "", integers=True),
        magnitudes=magnitudes,
        widths=widths,
        rows=drawn,
        versions=versions.most_common(),
        footprints=sky.finish(),
        examples=_examples(table, max_examples),
        table=table,
    )


def _magnitudes(found: dataset.DataSet) -> tuple[Distribution | None, Grid | None]:
    """MAG_AUTO and widths of all sources, or of a sample."""
    columns = [name for name in ("MAG_AUTO", "FWHM_IMAGE") if name in found.schema.names]
    if "MAG_AUTO" not in columns:
        return None, None
    magnitudes, *widths = rows.of_columns(found, columns, unplaced=False)
    total = max(len(magnitudes), found.about["sources"])
    return (
        distribution(magnitudes, "MAG_AUTO", "AB mag", total=total),
        grid(magnitudes, widths[0], _GRID) if widths else None,
    )


def _groups(table: pa.Table) -> list[Group]:
    grouped: dict[tuple[str, str], list[tuple[int, float, float]]] = {}
    columns: list[Iterable[Any]] = [table[name].to_pylist() for name in ("instrument", "filter", "sources")]
    columns += [_floats(table, "t_exptime"), _floats(table, "depth")]
    for instrument, name, sources, seconds, depth in zip(*columns, strict=True):
        grouped.setdefault((instrument, name), []).append((sources, seconds, depth))
    groups = []
    for (instrument, name), members in grouped.items():
        numbers = np.array(members, np.float64)
        depths = _finite(numbers[:, 2])
        low, middle, high = np.quantile(depths, (0, 0.5, 1)) if len(depths) else (np.nan,) * 3
        exposure = float(_finite(numbers[:, 1]).sum())
        total = int(numbers[:, 0].sum())
        groups.append(
            Group(instrument, name, len(members), total, exposure, (float(low), float(middle), float(high)))
        )
    return sorted(groups, key=lambda group: (-group.images, group.instrument, group.filter))


def _examples(table: pa.Table, maximum: int) -> list[Example]:
    """Images of each instrument and filter in turn, in each those with the most sources first."""
    turns: dict[tuple[str, str], list[int]] = {}
    sources = table["sources"].to_numpy()
    kinds = list(zip(table["instrument"].to_pylist(), table["filter"].to_pylist(), strict=True))
    for row in np.argsort(-sources, kind="stable"):
        turn = turns.setdefault(kinds[row], [])
        if len(turn) < maximum:
            turn.append(int(row))
    chosen = [turn[i] for i in range(maximum) for turn in turns.values() if i < len(turn)][:maximum]
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
    depth = row.get("depth") if "depth_aperture" in row else None  # a fact may have that name
    return Example(row["uri"], row["catalog"], kind, row["sources"], np.nan if depth is None else depth)


def _floats(table: pa.Table, name: str) -> Floats:
    """A column of numbers; NaN where only images have it: a fact of another function may have its name."""
    if name not in (images.SCHEMA if "depth_aperture" in table.column_names else images.schema(ROWS)).names:
        return np.full(len(table), np.nan)
    column: Floats = table[name].to_numpy().astype(np.float64)
    return column


def _finite(values: Floats) -> Floats:
    return values[np.isfinite(values)]
