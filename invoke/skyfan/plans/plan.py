"""The plan: a Parquet file with one row per file, either to be processed or dropped with a reason."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .. import files, formatting, plots
from ..errors import InputError
from ..tables import Tabular

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Columns of the observation have the names of MAST (CAOM), which astroquery documents.
SCHEMA = pa.schema(
    [
        ("uri", pa.string()),  # s3://bucket/key or file:///path; null if not in the cloud
        ("size", pa.int64()),  # bytes; null if unknown
        ("tier", pa.string()),  # STANDARD or LARGE
        ("dropped", pa.string()),  # null for a file to be processed, otherwise a key of DROPS
        ("detail", pa.string()),  # more about why this file was dropped
        ("dataURI", pa.string()),
        ("product", pa.string()),  # productSubGroupDescription: FLT, FLC, DRZ, DRC
        ("pixels", pa.int64()),  # of the largest plane, if the headers were read
        ("obs_id", pa.string()),
        ("obs_collection", pa.string()),
        ("instrument_name", pa.string()),
        ("filters", pa.string()),
        ("proposal_id", pa.string()),
        ("target_name", pa.string()),
        ("calib_level", pa.int8()),
        ("dataRights", pa.string()),
        ("t_min", pa.float64()),  # MJD
        ("t_max", pa.float64()),  # MJD
        ("t_exptime", pa.float64()),  # seconds
        ("s_ra", pa.float64()),  # degrees, ICRS
        ("s_dec", pa.float64()),
        ("s_region", pa.string()),  # STC-S footprint
        ("obsid", pa.string()),  # MAST's number of the observation, which product lists are requested by
        ("provenance_name", pa.string()),  # the pipeline that made the observation: CALWF3, HAP-SVM
        ("detect", pa.string()),  # the detection image whose sources are measured; null for the file's own
        ("detect_size", pa.int64()),  # its bytes; null if unknown
    ]
)
STANDARD, LARGE = "standard", "large"
"""Tiers by memory: the function itself, or the one with the suffix Large."""
DROPS = {
    "proprietary": "not public yet",
    "not in the cloud": "MAST has it, the public bucket does not",
    "duplicate": "already in the plan",
    "wrong type": "not of the wanted product types",
    "other provenance": "the same pixels from another pipeline",
    "too big": "too large for every function",
    "missing": "does not exist or cannot be read",
    "unresolved": "no usable answer, or access refused",
}
UNRESOLVED = "unresolved"
"""The reason that is not final: `skyfan plan --resume` asks again."""
_ABOUT = b"skyfan"
_ROW_GROUP = 1 << 14


@dataclass(frozen=True)
class Item:
    """One file to be processed."""

    uri: str
    size: int | None
    """Bytes."""
    tier: str = STANDARD
    pixels: int | None = None
    """Of its largest plane, if its headers were read."""
    detect: str | None = None
    """URI of its detection image, if it has one."""
    detect_size: int | None = None
    """Bytes of that."""

    @property
    def bytes_read(self) -> int | None:
        """Size of all images that are read for it; None if one is unknown."""
        sizes = (self.size, self.detect_size if self.detect else 0)
        return None if None in sizes else sum(size or 0 for size in sizes)


ITEM_COLUMNS = ("uri", "size", "tier", "pixels", "detect", "detect_size")
"""Columns of an Item, in its order. Plans of earlier versions lack the last ones."""


@dataclass(frozen=True, repr=False)
class Plan(Tabular):
    """A plan file. Its rows stay on disk and are read one row group at a time."""

    path: Path
    about: dict[str, Any]
    """The `query`, the time `made`, and counts: `files`, `bytes`, `dropped` (by reason)."""

    @property
    def files(self) -> int:
        """Number of files to be processed."""
        return int(self.about["files"])

    def digest(self) -> str:
        """First 16 hexadecimal digits of the file's SHA-256: the name of the plan inside a run."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]

    def __iter__(self) -> Iterator[Item]:
        """The files to be processed, in the order of the plan. Memory does not grow with the plan."""
        with pq.ParquetFile(self.path) as file:
            names = [name for name in ITEM_COLUMNS if name in file.schema_arrow.names]
            for batch in file.iter_batches(_ROW_GROUP, columns=[*names, "dropped"]):
                kept = batch.filter(pc.is_null(batch["dropped"]))
                for values in zip(*(kept[name].to_pylist() for name in names), strict=True):
                    yield Item(*values)

    def table(self) -> pa.Table:
        """All rows, including dropped files, with the columns of SCHEMA."""
        with pq.ParquetFile(self.path) as file:  # read_table would import pandas
            return file.read()

    def _table(self) -> pa.Table:
        return self.table()

    def _head(self) -> tuple[pa.Table, int]:
        with pq.ParquetFile(self.path) as file:
            rows = file.metadata.num_rows
            return (file.read_row_group(0) if rows else file.read()), rows

    def _summary(self) -> str:
        dropped = sum(self.about.get("dropped", {}).values())
        sized = f", {formatting.size(self.about['bytes'])}" if self.about.get("bytes") else ""
        return f"{self.path}: {formatting.count(self.files)}{sized}; {dropped:,} dropped"

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """The positions of the observations whose files will be processed.

        Raises UsageError if the plan knows none, as for paths whose headers were not read.
        """
        table = self.table()
        kept = table.filter(pc.is_null(table["dropped"]))
        return plots.sky(axes, kept["s_ra"], kept["s_dec"], title=formatting.count(self.files))


def read(path: str | Path) -> Plan:
    """Opens a plan file. Raises InputError if it is missing or not a plan."""
    path = Path(path)
    try:
        metadata = pq.read_schema(path).metadata or {}
    except FileNotFoundError as error:
        raise InputError(f"the plan {path} does not exist") from error
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} is not a plan: {str(error).splitlines()[0]}") from error
    if _ABOUT not in metadata:
        raise InputError(f"{path} is not a plan: make one with skyfan plan")
    try:
        about = files.from_json(metadata[_ABOUT])
        if not isinstance(about, dict):
            raise ValueError("it is no object")
    except ValueError as error:
        raise InputError(f"{path} is damaged: what it says of itself cannot be read ({error})") from error
    return Plan(path, about)


def complete(tables: Iterable[pa.Table]) -> pa.Table:
    """One table with the columns of SCHEMA, of tables that may lack some, which become null."""
    return pa.concat_tables(
        pa.table(
            [
                table[field.name] if field.name in table.column_names else pa.nulls(len(table), field.type)
                for field in SCHEMA
            ],
            names=SCHEMA.names,
        ).cast(SCHEMA)
        for table in tables
    )


def write(path: str | Path, table: pa.Table, about: dict[str, Any]) -> Plan:
    """Writes a plan file in one step. `table` may lack columns of SCHEMA, which become null.

    `about` describes the query; counts are added to it. Files to be processed come first, sorted by URI.
    Equal arguments give equal bytes. Raises UsageError if the file cannot be written.
    """
    path = Path(path)
    table = complete([table])
    is_kept = pc.is_null(table["dropped"])
    kept = table.filter(is_kept).sort_by("uri")
    dropped = table.filter(pc.invert(is_kept)).sort_by([("dropped", "ascending"), ("dataURI", "ascending")])
    counts = {item["values"]: item["counts"] for item in dropped["dropped"].value_counts().to_pylist()}
    about = {**about, "files": len(kept), "bytes": pc.sum(kept["size"]).as_py() or 0, "dropped": counts}
    table = pa.concat_tables([kept, dropped]).replace_schema_metadata({_ABOUT: json.dumps(about)})
    with files.replace(path) as part:
        pq.write_table(table, part, compression="zstd", row_group_size=_ROW_GROUP)
    return Plan(path, about)


def extent(items: Iterable[Item]) -> tuple[int, int | None]:
    """Number of files, and their bytes: None if the size of one is unknown."""
    files, size, is_known = 0, 0, True
    for item in items:
        files, size, is_known = files + 1, size + (item.size or 0), is_known and item.size is not None
    return files, size if is_known else None
