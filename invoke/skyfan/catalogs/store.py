"""A data set of sources on disk: the HATS layout, the table of images, and what skyfan keeps beside them.

dataset/Norder=K/Dir=D/Npix=N.parquet   sources, sorted by _healpix_29
dataset/_common_metadata                their columns with units
partition_info.csv  hats.properties  properties
unplaced.parquet                        sources without a position, if there are any
images.parquet                          one row an image
missing.csv                             files of the run that are not in it, and why
skyfan.json                             which run, and the format of all this
"""

import csv
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..errors import InputError, UsageError
from ..runs.place import Place
from .pixels import Pixel
from .schema import HEALPIX, described

FORMAT = 1
ROW_GROUP = 1 << 14
UNPLACED = "unplaced.parquet"
_ABOUT = "skyfan.json"


@dataclass(frozen=True)
class Store:
    """A data set that is there."""

    folder: Path
    about: dict[str, Any]
    """What skyfan.json holds: format, place, run, and counts."""

    @property
    def schema(self) -> pa.Schema:
        """The columns of its sources."""
        return pq.read_schema(self.folder / "dataset" / "_common_metadata")

    @property
    def images(self) -> pa.Table:
        """Its table of images."""
        return pq.read_table(self.folder / "images.parquet")

    @property
    def pixels(self) -> list[Pixel]:
        """Its partitions in the order of keys."""
        with (self.folder / "partition_info.csv").open(newline="") as file:
            return [Pixel(int(r["Norder"]), int(r["Npix"]), int(r["num_rows"])) for r in csv.DictReader(file)]


def find(folder: Path) -> Store | None:
    """The data set in a folder; None where there is no folder, or an empty one.

    Raises UsageError for a folder that holds something else, InputError where it is damaged.
    """
    try:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return None
        raise UsageError(
            f"{folder} is there and was not made by skyfan collect: choose another folder"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder / _ABOUT} cannot be read ({error}): remove {folder} and collect again"
        ) from error
    return Store(folder, about)


def write(table: pa.Table, path: Path) -> None:
    """Writes a partition, its row groups small enough that a search reads few rows."""
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


def writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A Parquet file of sources, to be written a table at a time."""
    # Few values repeat in columns of measurements; looking for them takes longer than compressing.
    words = [field.name for field in schema if field.type == pa.string() or pa.types.is_int16(field.type)]
    return pq.ParquetWriter(path, schema, compression="zstd", compression_level=1, use_dictionary=words)


def describe(folder: Path, pixels: list[Pixel], schema: pa.Schema, about: dict[str, Any]) -> None:
    """Writes all that stands beside the partitions."""
    (folder / "dataset").mkdir(parents=True, exist_ok=True)
    pq.write_metadata(schema, folder / "dataset" / "_common_metadata")
    rows = "".join(f"{p.order},{p.number},{p.rows}\n" for p in pixels)
    (folder / "partition_info.csv").write_text(f"Norder,Npix,num_rows\n{rows}", encoding="utf-8")
    size = sum((folder / p.path).stat().st_size for p in pixels)
    properties = {
        "obs_collection": about["run"],
        "dataproduct_type": "source",
        "hats_nrows": sum(p.rows for p in pixels),
        "hats_col_ra": "ALPHA_J2000",
        "hats_col_dec": "DELTA_J2000",
        "hats_col_healpix": HEALPIX,
        "hats_col_healpix_order": 29,
        "hats_npix_suffix": ".parquet",
        "hats_order": max((p.order for p in pixels), default=0),
        "hats_max_rows": max((p.rows for p in pixels), default=0),
        "hats_estsize": size // 1024,
        "hats_version": "v1.0",
        "hats_builder": f"skyfan v{version('skyfan')}",
        "hats_creation_date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%MUTC"),
        "moc_sky_fraction": f"{sum(1 / (12 * 4**p.order) for p in pixels):.5g}",
    }
    text = "#HATS catalog\n" + "".join(f"{key}={value}\n" for key, value in properties.items())
    for name in ("hats.properties", "properties"):
        (folder / name).write_text(text, encoding="utf-8")
    (folder / _ABOUT).write_text(json.dumps({"format": FORMAT, **about}, indent=1) + "\n", encoding="utf-8")


def folder_of(place: Place, run: str) -> Path:
    """Where the data set of a run goes: with the run in a folder, into the current folder from a bucket."""
    return Path(run) if place.folder is None else place.folder / "runs" / run / "collected"
