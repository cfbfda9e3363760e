"""One file of a run, and files as a table."""

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from .failures import Failure


@dataclass(frozen=True)
class RunFile:
    """One file of a run."""

    uri: str
    size: int | None
    """Bytes."""
    tier: str
    """Memory tier in the plan: standard or large."""
    state: str
    """One of judge.STATES."""
    sent: float | None
    """Unix time of the newest receipt."""
    failure: Failure | None
    pixels: int | None = None
    """Of its largest plane, if the plan says so."""
    detect: str | None = None
    """URI of its detection image, if the plan names one."""
    detect_size: int | None = None
    """Bytes of that."""


_SCHEMA = pa.schema(
    [
        pa.field("uri", pa.string(), metadata={"description": "The input"}),
        pa.field("state", pa.string(), metadata={"description": "done, failed, sent…"}),
        pa.field("size", pa.int64(), metadata={"unit": "byte", "description": "Size of the input"}),
        pa.field("tier", pa.string(), metadata={"description": "Memory tier in the plan"}),
        pa.field("sent", pa.float64(), metadata={"unit": "s", "description": "Unix time"}),
        pa.field("error_type", pa.string(), metadata={"description": "Why it has failed"}),
        pa.field("message", pa.string(), metadata={"description": "Error message"}),
    ]
)


def table(files: Iterable[RunFile]) -> pa.Table:
    """One row per file; null for what is not known."""
    rows = [
        {
            **{name: getattr(file, name) for name in ("uri", "state", "size", "tier", "sent")},
            "error_type": file.failure.error_type if file.failure else None,
            "message": file.failure.message if file.failure else None,
        }
        for file in files
    ]
    return pa.Table.from_pylist(rows, _SCHEMA)
