"""Many reports in columns, so that a million of them take little memory."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .reports import Report

Floats = NDArray[np.float64]
Kind = tuple[str, str]
"""Status and error type."""

NUMBERS = (
    "duration_ms",
    "billed_ms",
    "memory_mb",
    "used_mb",
    "init_ms",
    "restore_ms",
    "billed_restore_ms",
    "time",
)


@dataclass(frozen=True)
class Records:
    """Reports in columns of equal length; NaN where a report has no such field. Their order means nothing."""

    request_id: NDArray[np.bytes_]
    """Empty for a start that failed (INIT_REPORT)."""
    duration_ms: Floats
    billed_ms: Floats
    """As logged."""
    memory_mb: Floats
    used_mb: Floats
    init_ms: Floats
    restore_ms: Floats
    billed_restore_ms: Floats
    time: Floats
    """When it ended, Unix seconds."""
    kind: NDArray[np.int32]
    """Index into `kinds`."""
    kinds: tuple[Kind, ...]
    events: int = 0
    """Events read, reports or not."""
    log_bytes: int = 0
    unparsed: int = 0
    examples: tuple[str, ...] = ()
    """The first of those that look like reports and could not be read."""
    images: int | None = None
    """Different images that handlers' own lines say were done, where such lines are in the log."""
    sources: int | None = None
    """Sources in them."""

    def __len__(self) -> int:
        return len(self.request_id)

    def only(self, which: NDArray[np.bool_]) -> "Records":
        """These reports alone, beside all else that the log told."""
        names = ("request_id", *NUMBERS, "kind")
        return replace(self, **{name: getattr(self, name)[which] for name in names})

    def reports(self) -> Iterator[Report]:
        """One by one, for tables and tests."""
        for row in range(len(self)):
            number = {name: float(getattr(self, name)[row]) for name in NUMBERS}
            memory, used = int(number.pop("memory_mb")), int(number.pop("used_mb"))
            status, error_type = self.kinds[self.kind[row]]
            yield Report(
                request_id=self.request_id[row].decode(),
                memory_mb=memory,
                used_mb=used,
                status=status,
                error_type=error_type,
                **number,
            )
