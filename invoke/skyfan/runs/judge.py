"""What state each file of a run is in: a pure function of what was read."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from . import digests
from .receipts import Receipts

STATES = ("unsent", "sent", "late", "missing", "cancelled", "failed", "done")
"""Each file is in one of them; those from `missing` to `failed` were not processed and will not be."""
UNSENT, SENT, LATE, MISSING, CANCELLED, FAILED, DONE = range(len(STATES))
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Limits:
    """How long a file may take until something must have come of it. The defaults are Lambda's longest."""

    timeout_s: float = 900.0
    retries: int = 2
    queue_s: float = 600.0
    """Waiting for a free environment is no reason to worry for this long."""
    age_s: float = 21600.0
    """Lambda drops an event that has waited for this long."""

    @property
    def late_s(self) -> float:
        """Seconds after which a file is late. Lambda waits one and two minutes before its two retries."""
        return (self.retries + 1) * self.timeout_s + 180.0 + self.queue_s

    @property
    def missing_s(self) -> float:
        """Seconds after which a file is missing: nothing will come any more."""
        return self.age_s + self.late_s


@dataclass
class Records:
    """Failure records, one row a file that a record names: lists. Of equal rows the last decides."""

    file: list[int] = field(default_factory=list)
    """Digest of the input's key."""
    time: list[int] = field(default_factory=list)
    """Unix time in milliseconds."""
    request: list[int] = field(default_factory=list)
    """Digest of Lambda's request ID."""
    alone: list[bool] = field(default_factory=list)
    """Whether the record is about this file, not about a batch with it."""
    failure: list[int] = field(default_factory=list)
    """Which failure: for the caller."""
    stopped: list[bool] = field(default_factory=list)
    """Whether a person stopped it: cancelled is not failed."""

    def add(self, file: int, time: int, request: int, alone: bool, failure: int, stopped: bool) -> None:
        """One more row."""
        self.file.append(file)
        self.time.append(time)
        self.request.append(request)
        self.alone.append(alone)
        self.failure.append(failure)
        self.stopped.append(stopped)


@dataclass(frozen=True)
class Verdict:
    """(n,) arrays in the order of the planned files."""

    state: NDArray[np.uint8]
    """Index into STATES."""
    sent: NDArray[np.int64]
    """Newest receipt, Unix time in milliseconds; -1 where there is none."""
    failure: NDArray[np.int64]
    """The `failure` of the record that decided; -1 where none did."""


def judge(
    files: digests.Digests,
    done: NDArray[np.bool_],
    receipts: Receipts,
    records: Records,
    now: float,
    limits: Limits,
) -> Verdict:
    """The state of each of `files`, with `done` beside them; `now` in Unix seconds.

    A record counts while it is the last word: where it is of the newest receipt's invocation, or of one that
    is not known here and is not older than the newest receipt. Doubled receipts and records change nothing,
    nor does the order of any.
    """
    sent, request, superseded = _newest(files, receipts)
    state = np.where(sent < 0, UNSENT, SENT).astype(np.uint8)
    age = now * 1000 - sent
    state[(sent >= 0) & (age > limits.late_s * 1000)] = LATE
    state[(sent >= 0) & (age > limits.missing_s * 1000)] = MISSING
    failure = np.full(len(files), -1, np.int64)
    at, row = _last_words(files, sent, request, superseded, records)
    failure[at] = np.asarray(records.failure, np.int64)[row]
    state[at] = np.where(np.asarray(records.stopped, bool)[row], CANCELLED, FAILED)
    state[done] = DONE
    failure[done] = -1
    return Verdict(state, sent, failure)


def _newest(
    files: digests.Digests, receipts: Receipts
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint64]]:
    """Each file's newest receipt: time and request; and the pairs of file and request that came before."""
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
    return sent, request, np.setdiff1d(pairs, pairs[last])


def _last_words(
    files: digests.Digests,
    sent: NDArray[np.int64],
    request: NDArray[np.uint64],
    superseded: NDArray[np.uint64],
    records: Records,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Files that have a record that counts, and which row it is."""
    at = digests.find(files, np.asarray(records.file, np.uint64))
    row = np.flatnonzero(at >= 0)
    at = at[row]
    time, asked = np.asarray(records.time, np.int64)[row], np.asarray(records.request, np.uint64)[row]
    own = (sent[at] >= 0) & (asked == request[at])
    later = (time >= sent[at]) & ~np.isin(_pairs(files[at], asked), superseded)
    counts = own | later
    at, row = at[counts], row[counts]
    alone, which = np.asarray(records.alone, bool)[row], np.asarray(records.failure, np.int64)[row]
    order = np.lexsort((which, asked[counts], time[counts], alone, at))
    at, row = at[order], row[order]
    last = np.append(at[1:] != at[:-1], True) if len(at) else np.empty(0, bool)
    return at[last], row[last]


def _pairs(file: NDArray[np.uint64], request: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return (file * _MIX) ^ request
