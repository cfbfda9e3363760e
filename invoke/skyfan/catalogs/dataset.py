"""A data set on disk: the HATS layout, the table of images or other inputs, and skyfan's own files.

dataset/Norder=K/Dir=D/Npix=N.parquet   sources or rows by HEALPix pixel, sorted by _healpix_29
dataset/_common_metadata                their columns with units
partition_info.csv  hats.properties  properties
unplaced.parquet                        those without a position, if there are any
images.parquet                          one row per image or other input
missing.csv                             files of the run that are not in the data set, and why
skyfan.json                             format, run and place, and counts
"""

import csv
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .. import files
from ..errors import InputError, UsageError
from ..files import from_json
from ..formatting import csv_text
from ..storage.place import Place
from . import healpix, kinds
from .kinds import Kind
from .schema import HEALPIX, described

FORMAT = 6
"""Format of the data set. One of another format is replaced by the next collect."""
OBJECTS = "objects"
"""The kind in skyfan.json of what skyfan match makes, and the folder of its objects."""
OBJECTS_FORMAT = 2
"""Format of what skyfan match makes. One of another format is replaced."""
ROW_GROUP = 1 << 14
UNPLACED = "unplaced.parquet"
MISSING = "missing.csv"
_ABOUT = "skyfan.json"


class Partition(NamedTuple):
    """The sources in a nested HEALPix pixel."""

    order: int
    pixel: int
    rows: int

    @property
    def start(self) -> int:
        """Its first key."""
        return healpix.first_key(self.order, self.pixel)

    @property
    def stop(self) -> int:
        """The end of its keys, exclusive."""
        return healpix.first_key(self.order, self.pixel + 1)

    @property
    def path(self) -> str:
        """Its file in the data set, named as in HATS."""
        folder = self.pixel // 10_000 * 10_000
        return f"dataset/Norder={self.order}/Dir={folder}/Npix={self.pixel}.parquet"


@dataclass(frozen=True)
class DataSet:
    """An existing data set."""

    folder: Path
    about: dict[str, Any]
    """Contents of skyfan.json: format, place, run, and counts."""

    @property
    def schema(self) -> pa.Schema:
        """The columns of its sources."""
        return pq.read_schema(self.folder / "dataset" / "_common_metadata")

    @property
    def kind(self) -> Kind:
        """What its rows and inputs are."""
        return kinds.of_schema(self.schema)

    @property
    def images(self) -> pa.Table:
        """Its table of images."""
        return pq.read_table(self.folder / "images.parquet")

    def read(self, rows: int | None = None, columns: Iterable[str] | None = None) -> pa.Table:
        """Its sources, those without a position last; at most `rows`, with some of the columns.

        Memory is that of all of them.
        """
        names = [name for name in self.schema.names if name != HEALPIX]
        if columns is not None:
            names = [name for name in columns if name in names]
        paths = [self.folder / partition.path for partition in self.partitions]
        unplaced = self.folder / UNPLACED
        tables = [pa.schema([self.schema.field(name) for name in names]).empty_table()]
        for path in (*paths, *([unplaced] if unplaced.exists() else [])):
            with pq.ParquetFile(path) as file:
                groups = range(file.num_row_groups if rows is None else min(file.num_row_groups, 1))
                part = file.read_row_groups(list(groups), columns=names).select(names)
            tables.append(part.cast(tables[0].schema))
            if rows is not None and sum(map(len, tables)) >= rows:
                break
        return pa.concat_tables(tables).slice(0, rows)

    @property
    def partitions(self) -> list[Partition]:
        """Its partitions, in the order of keys."""
        with (self.folder / "partition_info.csv").open(newline="") as file:
            return [
                Partition(int(row["Norder"]), int(row["Npix"]), int(row["num_rows"]))
                for row in csv.DictReader(file)
            ]


def find(folder: Path) -> DataSet | None:
    """The data set in a folder; None if the folder is missing or empty.

    Raises UsageError for a folder with other contents, InputError for a damaged data set.
    """
    try:
        about = from_json((folder / _ABOUT).read_bytes())
        if not isinstance(about, dict):
            raise ValueError("it is no object")
        if about.get("kind") == OBJECTS:
            raise UsageError(f"{folder} has the objects of skyfan match, not the sources of a run")
    except (FileNotFoundError, NotADirectoryError):
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return None
        raise UsageError(f"{folder} was not made by skyfan collect: choose another folder") from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder / _ABOUT} cannot be read ({error}): remove {folder} and collect again"
        ) from error
    return DataSet(folder, about)


def is_objects(folder: Path) -> bool:
    """Whether a folder was made by skyfan match."""
    try:
        about = from_json((folder / _ABOUT).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(about, dict) and about.get("kind") == OBJECTS


def objects(folder: Path) -> DataSet:
    """The catalog of objects in a folder of skyfan match; `about` says what they were made of.

    Raises UsageError if there is none, or one of another version of skyfan.
    """
    files.recover_folder(folder)
    if not is_objects(folder):
        raise UsageError(f"there are no objects in {folder}: skyfan match makes them")
    about: dict[str, Any] = from_json((folder / _ABOUT).read_bytes())
    if about.get("format") != OBJECTS_FORMAT:
        raise UsageError(f"{folder} has the format of another version of skyfan: match its runs again")
    return DataSet(folder / OBJECTS, about)


def default_folder(place: Place, run: str) -> Path:
    """Where the data set of a run goes: next to a run in a folder, to ./RUN for a run in a bucket."""
    return Path(run) if place.folder is None else place.folder / "runs" / run / "collected"


def writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer for a Parquet file of sources."""
    # Values rarely repeat in columns of measurements: building a dictionary takes longer than compression.
    repetitive = [
        field.name for field in schema if field.type == pa.string() or pa.types.is_int16(field.type)
    ]
    return pq.ParquetWriter(path, schema, compression="zstd", compression_level=1, use_dictionary=repetitive)


def write_partition(table: pa.Table, path: Path) -> None:
    """Writes the sources of a partition, in row groups so small that a search reads few rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with writer(path, table.schema) as file:
        file.write_table(table, row_group_size=ROW_GROUP)


def write_images(table: pa.Table, folder: Path) -> None:
    """Writes the table of images."""
    lengths = {
        field.name: max(1, pc.max(pc.utf8_length(table[field.name])).as_py() or 0)
        for field in table.schema
        if field.type == pa.string()
    }
    metadata = described(table.schema, lengths).metadata
    pq.write_table(table.replace_schema_metadata(metadata), folder / "images.parquet", compression="zstd")


def write_missing(rows: Iterable[tuple[str, str, str, str]], folder: Path) -> dict[str, int]:
    """Writes missing.csv from rows of file, state, error and message; counts the files by state."""
    counts: Counter[str] = Counter()
    with files.replace(folder / MISSING) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "state", "error", "message"])
        for row in rows:
            writer.writerow(map(csv_text, row))
            counts[row[1]] += 1
    return dict(counts)


def write_metadata(
    folder: Path, partitions: list[Partition], schema: pa.Schema, about: dict[str, Any]
) -> None:
    """Writes the metadata of HATS and skyfan.json."""
    properties = {
        "obs_collection": about["run"],
        "dataproduct_type": "source",
        **dict(zip(("hats_col_ra", "hats_col_dec"), kinds.position(schema) or (), strict=False)),
    }
    write_hats(folder, partitions, schema, properties)
    (folder / _ABOUT).write_text(json.dumps({"format": FORMAT, **about}, indent=1) + "\n", encoding="utf-8")


def write_hats(
    folder: Path, partitions: list[Partition], schema: pa.Schema, properties: dict[str, Any]
) -> None:
    """Writes the metadata of HATS; `properties` are its name, its type and the columns of the position."""
    (folder / "dataset").mkdir(parents=True, exist_ok=True)
    pq.write_metadata(schema, folder / "dataset" / "_common_metadata")
    rows = "".join(f"{part.order},{part.pixel},{part.rows}\n" for part in partitions)
    (folder / "partition_info.csv").write_text(f"Norder,Npix,num_rows\n{rows}", encoding="utf-8")
    size = sum((folder / part.path).stat().st_size for part in partitions)
    properties = properties | {
        "hats_nrows": sum(part.rows for part in partitions),
        "hats_col_healpix": HEALPIX,
        "hats_col_healpix_order": healpix.ORDER,
        "hats_npix_suffix": ".parquet",
        "hats_order": max((part.order for part in partitions), default=0),
        "hats_max_rows": max((part.rows for part in partitions), default=0),
        "hats_estsize": size // 1024,
        "hats_version": "v1.0",
        "hats_builder": f"skyfan v{version('skyfan')}",
        "hats_creation_date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%MUTC"),
        "moc_sky_fraction": f"{sum(1 / (12 * 4**part.order) for part in partitions):.5g}",
    }
    text = "#HATS catalog\n" + "".join(f"{key}={value}\n" for key, value in properties.items())
    for name in ("hats.properties", "properties"):
        (folder / name).write_text(text, encoding="utf-8")
