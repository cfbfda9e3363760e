"""A run's state, read from its place alone, a bucket or a folder: nothing is kept anywhere else."""

import contextlib
import time as clock
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from .. import uris
from ..errors import InputError
from . import cancels, digests, failures, planned, receipts
from . import run as runs
from .failures import Failure
from .judge import Limits, Records, judge
from .outcome import RunState, Times
from .place import Place

_CHUNK = 1 << 16


def read(
    place: Place,
    run: str,
    lambdas: Place | None = None,
    *,
    limits: Limits | None = None,
    now: float | None = None,
) -> RunState:
    """The state of a run now.

    `lambdas` is the place of Lambda's failure records; None takes the one that run.json names. `now` is Unix
    time in seconds. Raises UsageError for a run that is not there.
    """
    return Follower(place, run, lambdas).read(limits=limits, now=now)


class Follower:
    """Reads a run's state again and again: what cannot have changed is not read twice."""

    def __init__(self, place: Place, run: str, lambdas: Place | None = None) -> None:
        self.place, self.run, self.about = place, run, runs.read(place, run)
        named = self.about.get("failures")
        self._lambdas = lambdas or (Place.at(named) if named else None)
        self._started = place.modified(f"runs/{run}/run.json")
        self._plans: list[str] = []
        self._planned = planned.read(place, [])
        self._receipts = receipts.NONE
        self._seen: set[str] = set()
        self._records: list[tuple[Failure, NDArray[np.uint64]]] = []
        self._own: dict[str, tuple[float, Failure]] = {}

    def read(self, *, limits: Limits | None = None, now: float | None = None) -> RunState:
        """The state now."""
        # Results last: what ends while this reads is then done, not failed or missing.
        if (plans := planned.keys(self.place, self.run)) != self._plans:
            self._plans, self._planned = plans, planned.read(self.place, plans)
        chunks = self._unseen((key, 0.0) for key in receipts.keys(self.place, self.run))
        self._receipts += receipts.read(self.place, [key for key, _ in chunks])
        self._read_lambdas()
        own = self._list_own()
        done, times, unplanned = self._done()
        self._read_own(own, done)
        records, told = self._rows()
        verdict = judge(
            self._planned.digests, done, self._receipts, records, now or clock.time(), limits or Limits()
        )
        return RunState(
            run=self.run,
            place=self.place,
            about=self.about,
            functions=tuple(sorted(self._receipts.functions)),
            times=Times(self._started, *_ends(self._receipts.sent / 1000), *times),
            unplanned=unplanned,
            lambdas=self._lambdas,
            _plans=self._plans,
            _planned=self._planned,
            _verdict=verdict,
            _failures=told,
        )

    def _unseen(self, found: Iterable[tuple[str, float]]) -> list[tuple[str, float]]:
        new = [(key, modified) for key, modified in found if key not in self._seen]
        self._seen.update(key for key, _ in new)
        return new

    def _read_lambdas(self) -> None:
        if self._lambdas is None or not self._receipts.functions:
            return
        found = failures.lambdas(self._lambdas, self._receipts.functions, self._started)
        for record in failures.read(self._lambdas, self._unseen(found)):
            if record.run == self.run:
                files = digests.each(_keys(record.inputs))
                self._records.append((record.failure, files))

    def _list_own(self) -> dict[str, float]:
        found = self.place.list(f"runs/{self.run}/failures/")
        return {item.key: item.modified for item in found if item.key.endswith(".json")}

    def _read_own(self, listed: dict[str, float], done: NDArray[np.bool_]) -> None:
        """Records of single files: read where the file is not done and the record is not known yet."""
        names = list(listed)
        at = digests.find(self._planned.digests, digests.each(map(self._own_name, names)))
        open_ = {name for name, where in zip(names, at, strict=True) if where >= 0 and not done[where]}
        self._own = {key: value for key, value in self._own.items() if key in open_}
        new = [key for key in names if key in open_ and self._own.get(key, (0.0,))[0] != listed[key]]
        for record in failures.read(self.place, ((key, listed[key]) for key in new)):
            key = record.failure.record
            self._own[key] = listed[key], record.failure

    def _own_name(self, key: str) -> str:
        return key.removeprefix(f"runs/{self.run}/failures/").removesuffix(".json")

    def _done(self) -> tuple[NDArray[np.bool_], tuple[float | None, float | None], int]:
        """Which planned files have their result, first and last time, and the number of other results."""
        head, tail = self.about["results"].replace("{run}", self.run).split("{key}", 1)
        done = np.zeros(len(self._planned), bool)
        results = 0
        ends: list[float | None] = []
        found = (
            item for item in self.place.list(head[: head.rfind("/") + 1]) if _is_in(item.key, head, tail)
        )
        while some := list(islice(found, _CHUNK)):
            at = digests.find(
                self._planned.digests,
                digests.each(item.key[len(head) : len(item.key) - len(tail)] for item in some),
            )
            done[at[at >= 0]] = True
            results += len(some)
            ends += _ends(np.array([item.modified for item in some])[at >= 0])
        known = [end for end in ends if end is not None]
        return done, (min(known, default=None), max(known, default=None)), results - int(done.sum())

    def _rows(self) -> tuple[Records, list[Failure]]:
        """All records as judge takes them, and the failures that its verdict points to."""
        windows = cancels.windows(self.place, self.run)
        told: list[Failure] = []
        rows = Records()
        own = [(failure, digests.each([self._own_name(key)])) for key, (_, failure) in self._own.items()]
        # In the order of their keys: a folder is listed in no order, and the answer is to be the same.
        for failure, files in sorted(self._records + own, key=lambda record: record[0].record):
            request, alone = digests.digest(failure.request_id), len(files) == 1
            stopped = failure.condition == failures.STOPPED or (
                failure.never_ran and any(start <= failure.time <= end for start, end in windows)
            )
            for file in files:
                rows.add(int(file), failure.time, request, alone, len(told), stopped)
            told.append(failure)
        return rows, told


def _keys(inputs: Iterable[str]) -> Iterator[str]:
    for uri in inputs:
        with contextlib.suppress(InputError):  # a record can hold what somebody sent by hand
            yield uris.key(uri)


def _is_in(key: str, head: str, tail: str) -> bool:
    return key.startswith(head) and key.endswith(tail)


def _ends(times: NDArray[np.float64]) -> tuple[float | None, float | None]:
    return (float(times.min()), float(times.max())) if len(times) else (None, None)
