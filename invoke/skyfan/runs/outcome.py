"""What came of a run up to now: counts, failures by kind, times, and the files of each state."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import planned
from .failures import Failure
from .judge import FAILED, STATES, Verdict
from .place import Place
from .planned import Planned

TROUBLE = ("failed", "missing", "cancelled")
"""States of files that nothing will come of by itself."""


@dataclass(frozen=True)
class File:
    """One file of a run."""

    uri: str
    size: int | None
    """Bytes."""
    tier: str
    """What the plan says: standard or large."""
    state: str
    """One of judge.STATES."""
    sent: float | None
    """Unix time of the newest receipt."""
    failure: Failure | None


@dataclass(frozen=True)
class Group:
    """All failures of one errorType, with the first in the order of the plans as the example."""

    error_type: str
    count: int
    input: str
    message: str
    record: str
    """URI of the example's failure record."""
    permanent: bool | None
    """No further try can mend it; None where nobody knows."""
    exhausted: bool
    """It ran out of memory or time: the large-memory function may do it."""


@dataclass(frozen=True)
class Times:
    """Unix seconds; None where nothing of the kind was."""

    started: float
    first_sent: float | None
    last_sent: float | None
    first_done: float | None
    last_done: float | None


@dataclass(frozen=True)
class RunState:
    """A run's files, each in one of judge.STATES. A million of them take some 60 MB."""

    run: str
    place: Place
    about: dict[str, Any]
    """What run.json holds."""
    functions: tuple[str, ...]
    """Deployed names that files were sent to."""
    times: Times
    unplanned: int
    """Results that no plan names."""
    lambdas: Place | None
    """Where Lambda's failure records lie; without it, what failed on Lambda seems to be on its way."""
    _plans: list[str]
    _planned: Planned
    _verdict: Verdict
    _failures: list[Failure]

    @property
    def counts(self) -> dict[str, int]:
        """Files in each state; they sum to `planned`, which is there too."""
        counts = np.bincount(self._verdict.state, minlength=len(STATES))
        return {"planned": len(self._planned), **dict(zip(STATES, map(int, counts), strict=True))}

    @property
    def bytes(self) -> dict[str, int]:
        """The same in bytes; a file whose size is not known adds none."""
        size = np.maximum(self._planned.size, 0)
        sums = [int(size[self._verdict.state == number].sum()) for number in range(len(STATES))]
        return {"planned": int(size.sum()), **dict(zip(STATES, sums, strict=True))}

    def files(self, *states: str) -> Iterator[File]:
        """The files in some states, in the order of the plans. Reads the plans again, a batch at a time."""
        wanted = [STATES.index(state) for state in states]
        yield from self._files(np.flatnonzero(np.isin(self._verdict.state, wanted)))

    def groups(self) -> list[Group]:
        """Failures by errorType, the most frequent first."""
        failed = np.flatnonzero(self._verdict.state == FAILED)
        failed = failed[np.argsort(self._planned.row[failed])]
        causes, first, counts = np.unique(
            self._verdict.failure[failed], return_index=True, return_counts=True
        )
        number: dict[str, int] = {}
        example: dict[str, int] = {}
        for cause, at, count in zip(causes, first, counts, strict=True):
            kind = self._failures[cause].error_type
            number[kind] = number.get(kind, 0) + int(count)
            example[kind] = min(example.get(kind, len(failed)), int(at))
        files = self._files(failed[sorted(example.values())])
        groups = [
            Group(
                error_type=told.error_type,
                count=number[told.error_type],
                input=file.uri,
                message=told.message,
                record=self.record_uri(told),
                permanent=told.is_permanent,
                exhausted=told.is_exhausted,
            )
            for file in files
            if (told := file.failure)
        ]
        return sorted(groups, key=lambda group: (-group.count, group.error_type))

    def record_uri(self, failure: Failure) -> str:
        """The URI of a failure's record."""
        place = self.place if failure.record.startswith("runs/") else self.lambdas
        return place.uri(failure.record) if place else failure.record

    def _files(self, wanted: "np.ndarray[Any, np.dtype[np.intp]]") -> Iterator[File]:
        wanted = wanted[np.argsort(self._planned.row[wanted])]
        found = planned.items(self.place, self._plans, self._planned.row[wanted])
        for at, item in zip(wanted, found, strict=True):
            sent, cause = int(self._verdict.sent[at]), int(self._verdict.failure[at])
            yield File(
                uri=item.uri,
                size=item.size,
                tier=item.tier,
                state=STATES[self._verdict.state[at]],
                sent=sent / 1000 if sent >= 0 else None,
                failure=self._failures[cause] if cause >= 0 else None,
            )
