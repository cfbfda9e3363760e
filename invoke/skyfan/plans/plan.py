"""The plan: a Parquet file with one row a file, those to be processed and those dropped, with the reason."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..errors import InputError

# Names of the observation's columns are MAST's own (CAOM), so that astroquery's documentation explains them.
SCHEMA = pa.schema(
    [
        ("uri", pa.string()),  # s3://bucket/key or file:///path; null where the file is not in the cloud
        ("size", pa.int64()),  # bytes; null where unknown
        ("tier", pa.string()),  # STANDARD or LARGE
        ("dropped", pa.string()),  # null for a file to be processed, else one of DROPS
        ("detail", pa.string()),  # what is to be said of this one file beside that
        ("dataURI", pa.string()),
        ("product", pa.string()),  # productSubGroupDescription: FLT, FLC, DRZ, DRC
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
    ]
)
STANDARD, LARGE = "standard", "large"
"""The memory tier: SepExtract, or the function of the same name with Large behind it."""
DROPS = {
    "proprietary": "not public yet",
    "not in the cloud": "MAST has it, the public bucket does not",
    "duplicate": "the same file is in the plan already",
    "wrong type": "not of the product types that were asked for",
    "too big": "larger than the largest function can hold",
    "missing": "named, but it does not exist or may not be read",
    "unresolved": "the archive did not answer: the same command asks for it again",
}
_ABOUT = b"skyfan"
_ROW_GROUP = 1 << 14


@dataclass(frozen=True)
class Item:
    """One file to be processed."""

    uri: str
    size: int | None
    """Bytes."""
    tier: str = STANDARD


@dataclass(frozen=True)
class Plan:
    """A plan file that was opened. Its rows stay on disk and are read a row group at a time."""

    path: Path
    about: dict[str, Any]
    """What was asked for and when: query, made, and the counts `files`, `bytes` and `dropped` (by reason)."""

    @property
    def files(self) -> int:
        """Number of files to be processed."""
        return int(self.about["files"])

    def digest(self) -> str:
        """SHA-256 of the plan file, first 16 hexadecimal digits: its name inside a run."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]

    def __iter__(self) -> Iterator[Item]:
        """The files to be processed, in the plan's order. Memory does not grow with the plan."""
        columns = ["uri", "size", "tier", "dropped"]
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(_ROW_GROUP, columns=columns):
                kept = batch.filter(pc.is_null(batch["dropped"]))
                for uri, size, tier in zip(
                    kept["uri"].to_pylist(), kept["size"].to_pylist(), kept["tier"].to_pylist(), strict=True
                ):
                    yield Item(uri, size, tier)

    def table(self) -> pa.Table:
        """All rows, dropped ones too, with SCHEMA's columns."""
        return pq.read_table(self.path)


def read(path: str | Path) -> Plan:
    """Opens a plan file. Raises InputError where it is missing or no plan of skyfan's."""
    path = Path(path)
    try:
        metadata = pq.read_schema(path).metadata or {}
    except FileNotFoundError as error:
        raise InputError(f"the plan {path} does not exist") from error
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} is no plan: {str(error).splitlines()[0]}") from error
    if _ABOUT not in metadata:
        raise InputError(f"{path} is no plan: make one with skyfan plan")
    return Plan(path, json.loads(metadata[_ABOUT]))


def write(path: str | Path, table: pa.Table, about: dict[str, Any]) -> Plan:
    """Writes a plan whole or not at all. `table` has SCHEMA's columns, missing ones become null.

    `about` says what was asked for; counts are added. Files to be processed come first, in the order of their
    URIs. The same table and `about` give the same bytes.
    """
    path = Path(path)
    for field in SCHEMA:
        if field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    table = table.select(SCHEMA.names).cast(SCHEMA)
    is_kept = pc.is_null(table["dropped"])
    kept = table.filter(is_kept).sort_by("uri")
    dropped = table.filter(pc.invert(is_kept)).sort_by([("dropped", "ascending"), ("dataURI", "ascending")])
    counts = {item["values"]: item["counts"] for item in dropped["dropped"].value_counts().to_pylist()}
    about = {**about, "files": len(kept), "bytes": pc.sum(kept["size"]).as_py() or 0, "dropped": counts}
    table = pa.concat_tables([kept, dropped]).replace_schema_metadata({_ABOUT: json.dumps(about)})
    part = path.with_name(f".{path.name}.part")
    try:
        pq.write_table(table, part, compression="zstd", row_group_size=_ROW_GROUP)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"cannot write the plan {path}: {error.strerror or error}") from error
    return Plan(path, about)
