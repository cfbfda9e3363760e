"""The state of each file of a run, as a pure function of plans, receipts, failure records and results."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from . import digests
from .receipts import Receipts

STATES = ("unsent", "sent", "late", "missing", "cancelled", "damaged", "failed", "done")
"""Each file is in exactly one. From missing to failed they are final unless the file is sent again."""
UNSENT, SENT, LATE, MISSING, CANCELLED, DAMAGED, FAILED, DONE = range(len(STATES))
_MIX = np.uint64(0x9E3779B97F4A7C15)  # odd: file * _MIX ^ request is one-to-one in `file`


@dataclass(frozen=True)
class Limits:
    """How long a file may take. The defaults are the longest times that Lambda allows."""

    timeout_s: float = 900.0
    retries: int = 2
    queue_s: float = 600.0
    """Normal waiting time for a free execution environment."""
    age_s: float = 21600.0
    """Maximum event age: Lambda drops an event that has waited longer."""

    @property
    def late_s(self) -> float:
        """Seconds after which a file is late: all retries should be over. Lambda pauses 1 and 2 minutes."""
        return (self.retries + 1) * self.timeout_s + 180.0 + self.queue_s

    @property
    def missing_s(self) -> float:
        """Seconds after which a file is missing: neither a result nor a failure record can follow."""
        return self.age_s + self.late_s


@dataclass
class FailureRows:
    """Failure records as columns, one row per record and file; of tied rows the highest `failure` decides."""

    file: list[int] = field(default_factory=list)
    """Digest of the input's key."""
    time: list[int] = field(default_factory=list)
    """Unix time in milliseconds."""
    request: list[int] = field(default_factory=list)
    """Digest of Lambda's request ID."""
    alone: list[bool] = field(default_factory=list)
    """Whether the record is about this file alone, not about a batch."""
    failure: list[int] = field(default_factory=list)
    """Index of the failure in a list of the caller's."""
    stopped: list[bool] = field(default_factory=list)
    """Whether a cancel stopped it: then the file is cancelled, not failed."""

    def add(self, file: int, time: int, request: int, alone: bool, failure: int, stopped: bool) -> None:
        """Appends one row."""
        self.file.append(file)
        self.time.append(time)
        self.request.append(request)
        self.alone.append(alone)
        self.failure.append(failure)
        self.stopped.append(stopped)


@dataclass(frozen=True)
class FileStates:
    """(n,) arrays in the order of the planned files."""

    state: NDArray[np.uint8]
    """Index into STATES."""
    sent: NDArray[np.int64]
    """Time of the newest receipt, Unix milliseconds; -1 without a receipt."""
    failure: NDArray[np.int64]
    """`failure` of the record that decided the state; -1 if none did."""


def judge(
    files: digests.Digests,
    done: NDArray[np.bool_],
    receipts: Receipts,
    records: FailureRows,
    now: float,
    limits: Limits,
    damaged: NDArray[np.bool_] | None = None,
) -> FileStates:
    """The state of each of `files`; `done` (n,) says which have results, `damaged` (n,) which have one
    that is not the recorded one; `now` is in Unix seconds.

    A failure record counts if it belongs to the invocation of the file's newest receipt, or to an invocation
    without a receipt that is not older than the newest receipt. Any other record is history. The result does
    not depend on the order of receipts and records, nor on duplicates.
    """
    sent, request, superseded = _newest(files, receipts)
    state = np.where(sent < 0, UNSENT, SENT).astype(np.uint8)
    age = now * 1000 - sent
    state[(sent >= 0) & (age > limits.late_s * 1000)] = LATE
    state[(sent >= 0) & (age > limits.missing_s * 1000)] = MISSING
    if damaged is not None:
        state[damaged] = DAMAGED
    failure = np.full(len(files), -1, np.int64)
    at, row = _decisive(files, sent, request, superseded, records)
    failure[at] = np.asarray(records.failure, np.int64)[row]
    state[at] = np.where(np.asarray(records.stopped, bool)[row], CANCELLED, FAILED)
    state[done] = DONE
    failure[done] = -1
    return FileStates(state, sent, failure)


def _newest(
    files: digests.Digests, receipts: Receipts
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint64]]:
    """Time and request of each file's newest receipt, and the (file, request) pairs of all older receipts."""
    sent = np.full(len(files), -1, np.int64)
    request = np.zeros(len(files), np.uint64)
    at = digests.find(files, receipts.file)
    order = np.lexsort((receipts.request, receipts.sent, at))
    order = order[at[order] >= 0]
    at = at[order]
    last = np.append(at[1:] != at[:-1], True) if len(at) else np.empty(0, bool)
    sent[at[last]] = receipts.sent[order][last]
    request[at[last]] = receipts.request[order][last]
    pairs = _pairs(files[at], receipts.request[order])
    return sent, request, np.setdiff1d(pairs[~last], pairs[last])  # sorts few: most have one receipt


def _decisive(
    files: digests.Digests,
    sent: NDArray[np.int64],
    request: NDArray[np.uint64],
    superseded: NDArray[np.uint64],
    records: FailureRows,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of the files with a record that counts, and the row of the record that decides."""
    at = digests.find(files, np.asarray(records.file, np.uint64))
    row = np.flatnonzero(at >= 0)
    at = at[row]
    time, request_of = np.asarray(records.time, np.int64)[row], np.asarray(records.request, np.uint64)[row]
    own = (sent[at] >= 0) & (request_of == request[at])
    later = (time >= sent[at]) & ~np.isin(_pairs(files[at], request_of), superseded)
    counts = own | later
    at, row = at[counts], row[counts]
    alone, which = np.asarray(records.alone, bool)[row], np.asarray(records.failure, np.int64)[row]
    order = np.lexsort((which, request_of[counts], time[counts], alone, at))
    at, row = at[order], row[order]
    last = np.append(at[1:] != at[:-1], True) if len(at) else np.empty(0, bool)
    return at[last], row[last]


def _pairs(file: NDArray[np.uint64], request: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return (file * _MIX) ^ request
