"""The state of a run, read from its place alone, a bucket or a folder: nothing is kept anywhere else."""

import contextlib
import time as clock
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .. import plots
from ..errors import InputError
from ..files import is_locked
from ..formatting import reasons
from ..storage import uris
from ..storage.listing import Object
from ..storage.place import Place
from ..storage.uris import Results
from ..tables import SHOWN_ROWS, Tabular
from . import cancels, digests, doubts, failures, planned, receipts, run_file, watch_state
from . import run as runs
from .digests import Replaced
from .doubts import Doubts
from .failures import Failure, FailureGroup
from .judge import DONE, FAILED, STATES, FailureRows, FileStates, Limits, judge
from .local_receipts import LocalReceipts
from .planned import Planned
from .run_file import RunFile
from .times import Times
from .watch_state import WatchState

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNSUCCESSFUL = ("failed", "damaged", "missing", "cancelled")
"""Final states without a result."""


@dataclass(frozen=True, repr=False)
class RunState(Tabular):
    """The files of a run, each in one of judge.STATES. Takes about 60 MB for a million files."""

    run: str
    place: Place
    about: dict[str, Any]
    """The content of run.json."""
    functions: tuple[str, ...]
    """Deployed names of the functions that files were sent to."""
    times: Times
    unplanned: int
    """Results of files that are in no plan."""
    accepted: int
    """Receipts of files; a file that was sent twice has two."""
    lambdas: Place | None
    """Place of Lambda's failure records; if None, files that failed on Lambda appear as sent."""
    running: bool | None
    """Whether a process works on the run in its folder; None if that is not known, as for a bucket."""
    unrecorded: int
    """Results in a folder whose size and digest an engine did not record, as earlier versions."""
    watch: WatchState | None
    """The watch that adds files to the run, if one does."""
    _plans: list[str]
    _planned: Planned
    _states: FileStates
    _failures: list[Failure]

    @property
    def counts(self) -> dict[str, int]:
        """Number of files in each state, and in total as `planned`."""
        counts = np.bincount(self._states.state, minlength=len(STATES))
        return {"planned": len(self._planned), **dict(zip(STATES, map(int, counts), strict=True))}

    @property
    def is_abandoned(self) -> bool:
        """Whether files have not begun, and no process is at work that would begin them."""
        return self.running is False and self.counts["unsent"] > 0

    @property
    def remaining_s(self) -> float | None:
        """Seconds until the remaining files are done, at the rate so far; None if that is unknown.

        By bytes, because large files take longer; by number, if the sizes of some are unknown.
        """
        counts, sizes = self.counts, self.bytes
        if not counts["done"] or not self.times.worked_s:
            return None
        is_sized = not len(self._planned) or int(self._planned.size.min()) >= 0
        values = sizes if is_sized and sizes["done"] else counts
        waiting = sum(values[name] for name in ("sent", "late", "unsent"))
        return self.times.worked_s * waiting / values["done"]

    @property
    def bytes(self) -> dict[str, int]:
        """Bytes of the files in each state, and in total as `planned`. Files of unknown size count as 0."""
        size = np.maximum(self._planned.size, 0)
        sums = [int(size[self._states.state == number].sum()) for number in range(len(STATES))]
        return {"planned": int(size.sum()), **dict(zip(STATES, sums, strict=True))}

    def restrict(self, names: Iterable[str]) -> "RunState":
        """The state of some of the files, given by their URIs."""
        at = digests.find(self._planned.digests, np.unique(digests.of_uris(names)).astype(np.uint64))
        at = at[at >= 0]
        files, states = self._planned, self._states
        return replace(
            self,
            _planned=Planned(files.digests[at], files.size[at], files.row[at]),
            _states=FileStates(states.state[at], states.sent[at], states.failure[at]),
        )

    def files(self, *states: str) -> Iterator[RunFile]:
        """The files in some states, in the order of the plans. Reads the plans again, a batch at a time."""
        wanted = [STATES.index(state) for state in states]
        yield from self._files(np.flatnonzero(np.isin(self._states.state, wanted)))

    def groups(self) -> list[FailureGroup]:
        """Failures by errorType, most frequent first; the first file in the plans is the example."""
        failed = np.flatnonzero(self._states.state == FAILED)
        failed = failed[np.argsort(self._planned.row[failed])]
        causes, first, counts = np.unique(self._states.failure[failed], return_index=True, return_counts=True)
        number: dict[str, int] = {}
        example: dict[str, int] = {}
        for cause, at, count in zip(causes, first, counts, strict=True):
            kind = self._failures[cause].error_type
            number[kind] = number.get(kind, 0) + int(count)
            example[kind] = min(example.get(kind, len(failed)), int(at))
        groups = [
            FailureGroup(
                error_type=failure.error_type,
                count=number[failure.error_type],
                input=file.uri,
                message=failure.message,
                record=self.record_uri(failure),
                cure=failure.cure,
            )
            for file in self._files(failed[sorted(example.values())])
            if (failure := file.failure)
        ]
        return sorted(groups, key=lambda group: (-group.count, group.error_type))

    def _table(self) -> pa.Table:
        return run_file.table(self._files(np.arange(len(self._planned))))

    def _head(self) -> tuple[pa.Table, int]:
        """First the files without a result, in the order of the plans: people look for those."""
        order = np.lexsort((self._planned.row, self._states.state == DONE))
        return run_file.table(self._files(order[:SHOWN_ROWS])), len(self._planned)

    def _summary(self) -> str:
        return f"run {self.run}: {reasons({name: n for name, n in self.counts.items() if n}) or 'no files'}"

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """The number of files in each state."""
        counts = {name: n for name, n in self.counts.items() if n and name != "planned"}
        return plots.bars(axes, counts or {"planned": 0}, "files", title=f"run {self.run}")

    def unstarted(self) -> NDArray[np.uint64]:
        """Digests of the requests that Lambda gave up before the function ran: cancelled, or too old."""
        ids = (failure.request_id for failure in self._failures if failure.never_ran)
        return np.unique(digests.each(ids))

    def doubts(self) -> Doubts | None:
        """Lists which of the files that are done are doubtful; None if the run's functions mark none."""
        if not self.about.get("doubtful"):
            return None
        done: NDArray[np.bool_] = self._states.state == DONE
        return doubts.read(self.place, self.run, self._planned.digests, done)

    def doubtful(self, found: Doubts) -> Iterator[tuple[RunFile, list[str]]]:
        """The files that `found` names, each with its reasons, in the order of the plans."""
        order = np.argsort(self._planned.row[found.files])
        reasons = (found.combinations[number].split("-") for number in found.which[order])
        yield from zip(self._files(found.files), reasons, strict=True)

    def record_uri(self, failure: Failure) -> str:
        """The URI of a failure's record."""
        place = self.place if failure.record.startswith("runs/") else self.lambdas
        return place.uri(failure.record) if place else failure.record

    def _files(self, wanted: NDArray[np.intp]) -> Iterator[RunFile]:
        wanted = wanted[np.argsort(self._planned.row[wanted])]
        found = planned.items(self.place, self._plans, self._planned.row[wanted])
        for at, item in zip(wanted, found, strict=True):
            sent, cause = int(self._states.sent[at]), int(self._states.failure[at])
            yield RunFile(
                **vars(item),
                state=STATES[self._states.state[at]],
                sent=sent / 1000 if sent >= 0 else None,
                failure=self._failures[cause] if cause >= 0 else None,
            )


class Follower:
    """Reads the state of a run repeatedly; what cannot have changed is read only once."""

    def __init__(
        self, place: Place, run: str, lambdas: Place | None = None, replaced: Replaced | None = None
    ) -> None:
        """`lambdas` is the place of Lambda's failure records (default: the one in run.json); the results in
        `replaced` do not count.

        Raises UsageError if the run does not exist.
        """
        self.place, self.run, self.about = place, run, runs.read(place, run)
        failure_place = self.about.get("failures")
        self._lambdas = lambdas or (Place.at(failure_place) if failure_place else None)
        self._started = runs.began(place, run, self.about)
        self._plans: list[str] = []
        self._read_plans = planned.Plans(place).read
        self._planned = self._read_plans([])
        self._receipts = receipts.NONE
        self._read_keys: set[str] = set()
        """Receipts and Lambda's records that were read; they never change."""
        results = Results.of(self.about["results"], run)
        self.results = digests.Watched(place, results.prefix, results.key_of, replaced)
        self._local_receipts = LocalReceipts(place, run)
        self._lambda_records: list[tuple[Failure, NDArray[np.uint64]]] = []
        self._file_records: dict[str, tuple[float, Failure]] = {}

    def read(self, *, limits: Limits | None = None, now: float | None = None) -> RunState:
        """The current state. `now` is Unix time in seconds (default: this machine's clock)."""
        running, is_local = None, self.about.get("engine") in runs.LOCKING
        if self.place.folder and is_local:
            running = is_locked(self.place.folder / "runs" / self.run / runs.LOCK)
        if (plans := planned.keys(self.place, self.run)) != self._plans:
            self._plans, self._planned = plans, self._read_plans(plans)
        self._read_receipts()
        self._read_lambda_records()
        listed = self._list_file_records()
        # Results last: a file that finishes while this reads is then done, not failed or missing.
        done, damaged, ended, unplanned = self._done()
        self._read_file_records(listed, done)
        records, known_failures = self._records()
        moment, limits = now or clock.time(), limits or Limits()
        states = judge(self._planned.digests, done, self._receipts, records, moment, limits, damaged)
        return RunState(
            run=self.run,
            place=self.place,
            about=self.about,
            functions=tuple(sorted(self._receipts.functions)),
            times=Times.of(self._started, self._receipts.sent / 1000, ended),
            unplanned=unplanned,
            accepted=len(self._receipts.file),
            lambdas=self._lambdas,
            running=running,
            watch=watch_state.read(self.place, self.run) if self.about.get("watch") else None,
            unrecorded=self._local_receipts.missing(self._planned.digests[done]) if is_local else 0,
            _plans=self._plans,
            _planned=self._planned,
            _states=states,
            _failures=known_failures,
        )

    def _unread(self, found: Iterable[Object]) -> list[Object]:
        return [item for item in found if item.key not in self._read_keys]

    def _read_receipts(self) -> None:
        unread = self._unread(receipts.chunks(self.place, self.run))
        # Keys count as read only after the read: what fails now is read by the next call.
        self._receipts += receipts.read(self.place, unread)
        self._read_keys.update(item.key for item in unread)

    def _read_lambda_records(self) -> None:
        if self._lambdas is None or not self._receipts.functions:
            return
        found = failures.list_lambda(self._lambdas, self._receipts.functions, self._started)
        for record in failures.read(self._lambdas, self._unread(found)):
            if record.run == self.run:
                self._lambda_records.append((record.failure, digests.each(_valid_keys(record.inputs))))
            self._read_keys.add(record.failure.record)

    def _list_file_records(self) -> list[Object]:
        found = self.place.list(f"runs/{self.run}/failures/")
        return [item for item in found if item.key.endswith(".json")]

    def _read_file_records(self, listed: list[Object], done: NDArray[np.bool_]) -> None:
        """Reads new and changed records of planned files that are not done, and forgets all others."""
        named = failures.digests_of(self._input_key(item.key) for item in listed)
        at = digests.find(self._planned.digests, named)
        relevant = {
            item.key: item for item, where in zip(listed, at, strict=True) if where >= 0 and not done[where]
        }
        self._file_records = {key: known for key, known in self._file_records.items() if key in relevant}
        held = self._file_records
        new = [item for key, item in relevant.items() if held.get(key, (0.0,))[0] != item.modified]
        for record in failures.read(self.place, new):
            key = record.failure.record
            self._file_records[key] = relevant[key].modified, record.failure

    def _input_key(self, record: str) -> str:
        return record.removeprefix(f"runs/{self.run}/failures/").removesuffix(".json")

    def _done(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float64], int]:
        """Which planned files have results, which damaged ones, when; and the number of unplanned results."""
        self.results.update()
        self._local_receipts.update()  # afterwards: a result is recorded after it was written
        found = self.results
        done, damaged = np.zeros((2, len(self._planned)), bool)
        at = digests.find(self._planned.digests, found.digests)
        differs = self._local_receipts.differ(found.digests, found.size)
        done[at[(at >= 0) & ~differs]] = True
        damaged[at[(at >= 0) & differs]] = True
        return done, damaged, found.modified[at >= 0], int((at < 0).sum())

    def _records(self) -> tuple[FailureRows, list[Failure]]:
        """All failure records as judge() takes them, and the failures that its result refers to."""
        windows = cancels.windows(self.place, self.run)
        known: list[Failure] = []
        rows = FailureRows()
        file_records = [
            (failure, failures.digests_of([self._input_key(key)]))
            for key, (_, failure) in self._file_records.items()
        ]
        # Sorted by key, so that the result does not depend on the order in which a folder is listed.
        for failure, files in sorted(self._lambda_records + file_records, key=lambda pair: pair[0].record):
            request, alone = digests.digest(failure.request_id), len(files) == 1
            stopped = failure.is_cancelled or (
                failure.never_ran and any(start <= failure.time <= end for start, end in windows)
            )
            for file in files:
                rows.add(int(file), failure.time, request, alone, len(known), stopped)
            known.append(failure)
        return rows, known


def read(
    place: Place,
    run: str,
    lambdas: Place | None = None,
    *,
    limits: Limits | None = None,
    now: float | None = None,
    replaced: Replaced | None = None,
) -> RunState:
    """The current state of a run; see Follower. Raises UsageError if the run does not exist."""
    return Follower(place, run, lambdas, replaced).read(limits=limits, now=now)


def _valid_keys(inputs: Iterable[str]) -> Iterator[str]:
    for uri in inputs:
        with contextlib.suppress(InputError):  # a record may name anything: events can be sent by hand
            yield uris.key(uri)
