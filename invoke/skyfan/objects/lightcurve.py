"""A folder of objects, and the light curve of one of them: detections, and limits where it was not seen."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from .. import plots
from ..catalogs import export, healpix, regions
from ..catalogs.dataset import DataSet
from ..catalogs.schema import HEALPIX, described, new_field
from ..catalogs.search import key_range, overlap
from ..errors import UsageError
from ..formatting import count
from ..sky import footprints
from ..tables import Tabular
from . import limits, schema
from .images import USED
from .overlaps import tangent
from .plan import LINKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINK = {field.name: field for field in schema.LINK}
LIMIT = new_field(
    "LIMIT", pa.float32(), "mag", "phot.mag;stat.max", "5-sigma depth of an image that does not see it"
)
COLUMNS = pa.schema(
    [
        *(_LINK[name] for name in ("MJD", "BAND", "MAG", "MAGERR")),
        LIMIT,
        *(_LINK[name] for name in ("FLAGS", "USED", "SEPARATION", "SOURCE_ID", "IMAGE")),
    ]
)
_IMAGE = [
    *("uri", "band", "match_state", "s_region", "chip_depth", "scale", "t_min", "t_max"),
    *("offset_east", "offset_north", "offset_turn", "source_id", "sources"),
]
_SKY = np.array([[0, 12 << (2 * healpix.ORDER)]], np.int64)
_MARGIN, _PIXELS = 10.0, 10.0
"""Arcseconds and pixels from an image within which the objects of its detections are."""


@dataclass(frozen=True, repr=False)
class LightCurve(Tabular):
    """The detections of an object and the images that cover but do not see it, in the order of time."""

    folder: Path
    """Of the objects."""
    values: dict[str, Any]
    """All columns of the object, by name."""
    table: pa.Table
    """COLUMNS. A row without SOURCE_ID is an image that does not see it; LIMIT is null if its depth is not
    known."""

    @property
    def object_id(self) -> int:
        """Its id."""
        ident: int = self.values["OBJECT_ID"]
        return ident

    def _table(self) -> pa.Table:
        return self.table

    def _summary(self) -> str:
        missed = self.table["SOURCE_ID"].null_count
        seen = count(len(self.table) - missed, "detection")
        return f"object {self.object_id}: {seen}" + (f", not seen in {count(missed, 'image')}" * bool(missed))

    def write(self, path: str | Path) -> None:
        """Writes the rows to a file in the format of its suffix. Raises UsageError for another one."""
        path = Path(path)
        export.check(path)
        if path.suffix in regions.SUFFIXES:
            raise UsageError(f"{path}: a light curve has no regions; choose {', '.join(export.SUFFIXES)}")
        export.write(self.table, path)

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """Magnitudes over time, one colour per band; limits are arrows, open circles count in no mean.

        Raises UsageError if it has neither magnitudes nor limits.
        """
        columns = {name: self.table[name].to_numpy() for name in ("MJD", "MAG", "MAGERR", "LIMIT")}
        columns["USED"] = pc.fill_null(self.table["USED"], False).to_numpy()
        bands = self.table["BAND"].to_pylist()
        return plots.light_curve(axes, bands, columns, title=self._summary())


@dataclass(frozen=True)
class Objects:
    """A folder that skyfan match wrote."""

    objects: DataSet
    """Its catalog of objects, from dataset.objects()."""

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self.objects.folder.parent

    @property
    def links(self) -> DataSet:
        """The catalog of links from objects to detections."""
        return DataSet(self.folder / LINKS, self.objects.about)

    @cached_property
    def images(self) -> pa.Table:
        """What is needed of the table of images."""
        return pq.read_table(self.folder / "images.parquet", columns=_IMAGE)

    def light_curve(self, ident: int) -> LightCurve:
        """The light curve of the object with this OBJECT_ID. Raises UsageError if there is none."""
        for ranges in (self._near(ident), _SKY):
            rows = _read(self.objects, ranges, ident)
            if len(rows):
                break
        else:
            raise UsageError(
                f"{self.folder} has no object {ident}: ids are in the column OBJECT_ID, which "
                "skyfan search --around shows"
            )
        values: dict[str, Any] = rows.to_pylist()[0]
        key = int(values.pop(HEALPIX))
        seen = _read(self.links, np.array([[key, key + 1]], np.int64), ident)
        missed = self._missed(values, set(seen["IMAGE"].to_pylist()))
        parts = [part.cast(COLUMNS) for part in (_seen(seen), missed)]
        table = pa.concat_tables(parts).sort_by([(name, "ascending") for name in ("MJD", "IMAGE")])
        longest = max((len(uri) for uri in table["IMAGE"].to_pylist()), default=1)
        about = described(COLUMNS, {"IMAGE": longest, "BAND": longest}).metadata
        return LightCurve(self.folder, values, table.replace_schema_metadata(about))

    def _near(self, ident: int) -> NDArray[np.int64]:
        """Ranges of keys around the image with the earliest detection of the object, which has its id."""
        first = self.images["source_id"]
        own = pc.and_(pc.less(first, ident), pc.greater_equal(pc.add(first, self.images["sources"]), ident))
        for row in self.images.filter(own).to_pylist():
            if shapes := footprints.parse(row["s_region"]):
                xyz = footprints.vectors(*np.concatenate(shapes).T)
                (ra,), (dec,) = footprints.angles(xyz.mean(axis=0)[None])
                radius = float(footprints.separation(xyz, xyz.mean(axis=0)).max())
                margin = (_MARGIN + _PIXELS * (row["scale"] or 0)) / 3600
                return healpix.circle(float(ra), float(dec), min(180.0, radius + margin))
        return _SKY

    def _missed(self, values: dict[str, Any], seen: set[str]) -> pa.Table:
        """Images that cover the object and do not see it, by the rule that its LIMIT columns are made by."""
        used = self.images.filter(pc.equal(self.images["match_state"], USED)).to_pylist()
        rows = [row for row in used if row["uri"] not in seen]
        xyz = footprints.vectors(*(np.array([values[name]]) for name in schema.POSITION))
        chips = limits.outlines(
            [row["s_region"] for row in rows],
            [row["chip_depth"] for row in rows],
            np.array([row["scale"] for row in rows], np.float64),
            np.array([_vector(row) for row in rows]).reshape(-1, 3),
            np.arange(len(rows)),
        )
        deepest: dict[int, float] = {}
        for chip in limits.covered(chips, xyz)[1].tolist():
            number, depth = int(chips.image[chip]), float(chips.depth[chip])
            deepest[number] = np.fmax(deepest.get(number, np.nan), depth)
        found = [
            {
                "MJD": (rows[n]["t_min"] + rows[n]["t_max"]) / 2 if _has_time(rows[n]) else None,
                "BAND": rows[n]["band"],
                "LIMIT": float(depth) if np.isfinite(depth) else None,
                "IMAGE": rows[n]["uri"],
            }
            for n, depth in deepest.items()
        ]
        return pa.Table.from_pylist(found, COLUMNS)


def _read(data: DataSet, ranges: NDArray[np.int64], ident: int) -> pa.Table:
    """The rows of an object, of the partitions and row groups that overlap ranges of keys."""
    tables = [data.schema.empty_table()]
    for path in _paths(data, ranges):
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                if overlap(ranges, *key_range(file, group)):
                    ids = file.read_row_group(group, columns=["OBJECT_ID"])["OBJECT_ID"].to_numpy()
                    rows = np.flatnonzero(ids == ident)
                    if len(rows):
                        tables.append(file.read_row_group(group).take(pa.array(rows)).cast(data.schema))
    return pa.concat_tables(tables)


def _paths(data: DataSet, ranges: NDArray[np.int64]) -> Iterator[Path]:
    for partition in data.partitions:
        if overlap(ranges, partition.start, partition.stop - 1):
            yield data.folder / partition.path


def _seen(links: pa.Table) -> pa.Table:
    limit = pa.nulls(len(links), LIMIT.type)
    return links.append_column(LIMIT, limit).select(COLUMNS.names)


def _has_time(row: dict[str, Any]) -> bool:
    return row["t_min"] is not None and row["t_max"] is not None


def _vector(row: dict[str, Any]) -> NDArray[np.float64]:
    """The rotation vector (3,) of an image in arcseconds, from its offset at the centre and its turn."""
    values = [row[f"offset_{name}"] for name in ("east", "north", "turn")]
    if None in values:
        return np.zeros(3)
    xyz = footprints.vectors(*np.concatenate(footprints.parse(row["s_region"])).T)
    centre = xyz.mean(axis=0) / np.linalg.norm(xyz.mean(axis=0))
    east, north = tangent(centre)
    moved = (values[0] * east + values[1] * north) / 1000
    vector: NDArray[np.float64] = np.cross(centre, moved) + values[2] * 3600 * centre
    return vector
