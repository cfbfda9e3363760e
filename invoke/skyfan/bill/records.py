"""Many reports in columns, so that a million of them take little memory."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
class Results:
    """What the handlers' own lines say of images that were done, each once: (n,) arrays."""

    file: NDArray[np.uint64]
    """Digest of the input's key, sorted."""
    sources: NDArray[np.int64]
    seconds: Floats
    """What the handler took for this image; NaN where it does not say."""

    @classmethod
    def of(cls, file: ArrayLike, sources: ArrayLike, seconds: ArrayLike) -> "Results":
        """Of an image that was done twice, by a retry or a second delivery, the longer counts."""
        files, found, took = np.array(file, np.uint64), np.array(sources, np.int64), np.array(seconds, float)
        order = np.lexsort((-found, -took, files))
        unique, first = np.unique(files[order], return_index=True)
        return cls(unique, found[order][first], took[order][first])


NO_RESULTS = Results.of([], [], [])


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
    results: Results = NO_RESULTS

    def __len__(self) -> int:
        return len(self.request_id)

    @property
    def invoked(self) -> NDArray[np.bool_]:
        """True for invocations, False for starts that failed: those have no Billed Duration."""
        return ~np.isnan(self.billed_ms)

    def different(self, which: NDArray[np.bool_]) -> int:
        """How many request IDs some have. By 64-bit hashes: sorting text takes ten times as long."""
        ids = self.request_id[which].tolist()
        hashes = np.sort(np.fromiter(map(hash, ids), np.int64, len(ids)))
        return int((np.diff(hashes) != 0).sum()) + bool(ids)

    def __add__(self, other: "Records") -> "Records":
        """Both together."""
        kinds = tuple(dict.fromkeys([*self.kinds, *other.kinds]))
        new = np.array([kinds.index(kind) for kind in other.kinds], np.int32)
        names = ("request_id", *NUMBERS)
        mine, others = self.results, other.results
        return Records(
            **{name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in names},
            kind=np.concatenate([self.kind, new[other.kind] if len(new) else other.kind]),
            kinds=kinds,
            events=self.events + other.events,
            log_bytes=self.log_bytes + other.log_bytes,
            unparsed=self.unparsed + other.unparsed,
            examples=(*self.examples, *other.examples),
            results=Results.of(
                np.concatenate([mine.file, others.file]),
                np.concatenate([mine.sources, others.sources]),
                np.concatenate([mine.seconds, others.seconds]),
            ),
        )

    def only(self, which: NDArray[Any], log_bytes: int | None = None) -> "Records":
        """These reports alone, by mask or index, with all else that the log told; its bytes can be given."""
        names = ("request_id", *NUMBERS, "kind")
        columns = {name: getattr(self, name)[which] for name in names}
        return replace(self, **columns, log_bytes=self.log_bytes if log_bytes is None else log_bytes)

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
