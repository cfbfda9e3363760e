"""What every engine offers, and the options of each: this machine, or the functions of a stack on AWS."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol

from skyfan_contract import MAX_INPUTS

from .bill.estimate import Estimate
from .errors import UsageError
from .events import OnEvent
from .plans.plan import LARGE, STANDARD, Item, Plan
from .plans.tiers import sending_tier
from .runs.judge import STATES
from .runs.outcome import Outcome
from .runs.run_file import RunFile
from .runs.state import UNSUCCESSFUL, RunState
from .storage import uris
from .storage.place import Place
from .task import Task


@dataclass(frozen=True)
class LocalOptions:
    """How this machine runs a function. None stands for the template's value, and for `jobs` for as many
    workers as there are CPUs and memory for.

    >>> LocalOptions("out", jobs=2, memory_mb=1024).timeout_s is None
    True
    """

    engine: ClassVar[str] = "local"
    """As --engine and run.json name it."""
    output: str | Path
    """Folder that replaces the output bucket."""
    jobs: int | None = None
    """Worker processes."""
    retries: int | None = None
    timeout_s: float | None = None
    memory_mb: int | None = None
    """For every file, whatever its memory tier."""

    def __post_init__(self) -> None:
        for name, value, least in (("jobs", self.jobs, 1), ("retries", self.retries, 0)):
            _check(name, value, least)
        for name, limit in (("timeout", self.timeout_s), ("memory", self.memory_mb)):
            if limit is not None and limit <= 0:
                raise UsageError(f"{name} must be more than 0, not {limit}")


@dataclass(frozen=True)
class SamOptions(LocalOptions):
    """As LocalOptions, with each file in a container of Lambda's own image, by `sam local invoke`.

    >>> SamOptions("out").engine
    'sam'
    """

    engine: ClassVar[str] = "sam"


@dataclass(frozen=True)
class AwsOptions:
    """Where files are sent on AWS, and how.

    >>> AwsOptions(stack="skyfan", max_cost=20, batch=10).wait
    True
    """

    engine: ClassVar[str] = "aws"
    stack: str = "skyfan"
    batch: int = 1
    """Maximum number of files per invocation."""
    max_cost: float | None = None
    """USD, for all calls of the run together, at the upper limit of the estimate."""
    max_files: int | None = None
    """Maximum number of files in this call."""
    concurrency: int | None = None
    """Invocations at once, instead of what the account and the stack allow: it counts in the estimate and in
    the length of the queue.
    """
    connections: int = 256
    wait: bool = True
    """Whether to wait until every file is done, has failed, or is late."""
    every_s: float = 2.0
    """Minimum seconds between two polls of the bucket."""
    timeout_s: float = 30.0
    """Maximum time for one response of Lambda."""
    patience_s: float = 300.0
    """Maximum time without any accepted invocation; then the call ends."""
    bucket: str | None = None
    """The results bucket, s3://name; a stack with another one is refused."""

    def __post_init__(self) -> None:
        for name, value, least in (
            ("batch", self.batch, 1),
            ("connections", self.connections, 1),
            ("max-files", self.max_files, 0),
            ("max-cost", self.max_cost, 0),
        ):
            _check(name, value, least)
        if self.batch > MAX_INPUTS:
            raise UsageError(f"batch must be at most {MAX_INPUTS}, not {self.batch}: functions refuse more")


def _check(name: str, value: float | None, least: int) -> None:
    if value is not None and not value >= least:
        raise UsageError(f"{name} must be at least {least}, not {value}")


class Selection:
    """The files that a retry sends: failed, missing, damaged and cancelled ones, and in a folder, or of
    a watch, those that have not begun. Counts while select() is iterated.

    >>> Selection(late=True).files
    0
    """

    def __init__(
        self,
        *,
        everything: bool = False,
        late: bool = False,
        damaged: Collection[str] | None = None,
        stale: Mapping[str, float] | None = None,
    ) -> None:
        """`everything` also selects permanent failures, `late` also late files. `damaged` selects the files
        with these keys instead, whose results are to be replaced; see api.find_damaged(). `stale` likewise,
        with the times of the results, which stay until they are replaced; see Freshness.stale.
        """
        self._everything = everything
        self.damaged = None if damaged is None else frozenset(damaged)
        self.stale = dict(stale or {})
        self.is_named = damaged is not None or stale is not None
        """Whether it selects files by their keys, even if they are done."""
        self._names = frozenset({*(damaged or ()), *self.stale})
        self._states = (*UNSUCCESSFUL, "late") if late else UNSUCCESSFUL
        self.selected = Counter[str]()
        """Selected files by tier."""
        self.permanent = Counter[str]()
        """Skipped files by errorType: retries cannot succeed."""
        self.exhausted = Counter[str]()
        """Skipped files by errorType: they ran out of memory or time in the largest function."""
        self.alone = set[str]()
        """URIs of selected files that must not share an invocation: one of their batch ended the function,
        and kept those after it from being processed.
        """

    @property
    def files(self) -> int:
        """Number of files selected so far."""
        return sum(self.selected.values())

    def select(
        self,
        state: RunState,
        functions: Mapping[str, str],
        memory_mb: Mapping[str, int],
        outputs: Sequence[str] = (),
    ) -> Iterator[Item]:
        """The selected files, in the order of the run's plans. Counts from 0 each time.

        `functions` are the functions of the tiers as failure records name them, the same if there is only
        one, and `memory_mb` their memory sizes. `outputs` are the run's further results of each file.
        """
        for counts in (self.selected, self.permanent, self.exhausted):
            counts.clear()
        self.alone.clear()
        # In a folder, the engine that retries has the run's lock, so that nothing else will begin these.
        # Those of a watch, which wait for its budget, have no other command.
        waiting = ("unsent",) if state.place.folder is not None or state.watch else ()
        wanted = STATES if self.is_named else (*self._states, *waiting)
        for file in state.files(*wanted):
            if self._is_selected(file, functions[LARGE]):
                item = replace(_item(file), tier=_tier(file, functions, memory_mb, outputs))
                self.selected[item.tier] += 1
                if file.failure and file.failure.is_shared:
                    self.alone.add(file.uri)
                yield item

    def _is_selected(self, file: RunFile, largest: str) -> bool:
        failure = file.failure
        if self.is_named:
            return uris.key(file.uri) in self._names
        if failure is None or self._everything:
            return True
        if failure.is_permanent:
            self.permanent[failure.error_type] += 1
            return False
        if failure.is_exhausted and failure.function == largest and not failure.is_shared:
            self.exhausted[failure.error_type] += 1
            return False
        return True


def _tier(
    file: RunFile, functions: Mapping[str, str], memory_mb: Mapping[str, int], outputs: Sequence[str]
) -> str:
    failure, large = file.failure, functions[LARGE]
    has_larger = large != functions[STANDARD]
    if failure and has_larger and (failure.is_exhausted or failure.function == large):
        return LARGE
    return sending_tier(_item(file), memory_mb, outputs)


def _item(file: RunFile) -> Item:
    return Item(file.uri, file.size, file.tier, file.pixels, file.detect, file.detect_size)


class File(NamedTuple):
    """A file to send."""

    uri: str
    function: str
    """Deployed name."""
    is_alone: bool = False
    """Whether it must not share an invocation."""
    detect: str | None = None
    """URI of its detection image, if it has one."""


class Call(NamedTuple):
    """One invocation."""

    function: str
    """Deployed name; on this machine the logical ID."""
    uris: tuple[str, ...]
    payload: bytes


@dataclass
class Preview:
    """What a call would send."""

    calls: Iterator[Call]
    """The invocations in order, made while this is iterated; the counts are complete at its end."""
    done_before: int = 0
    sent_before: int = 0
    estimate: Estimate | None = None
    """Cost and time of all files, those of earlier calls included; None on this machine."""
    notices: list[str] = field(default_factory=list)
    """What the user should know before sending, one line each."""


class Engine(Protocol):
    """Processes files of runs. `files` are those of a plan, or a selection among the files of the run.

    Each file goes to the function of its memory tier, by its size and the memory that the functions have. A
    file is done if its result exists.
    """

    @property
    def place(self) -> Place:
        """The place of the runs. Raises InputError if it does not exist."""

    def plan(self, task: Task, files: Plan | Selection) -> Preview:
        """What send() would send now. Only reads."""

    def send(self, task: Task, files: Plan | Selection, on_event: OnEvent) -> Outcome:
        """Processes the files that have no result yet; a plan is first stored with the run.

        Whenever the call ends, the same call continues where it stopped. Raises UsageError, before anything
        is processed, if the run is not possible; Interrupted[Outcome] on Ctrl-C.
        """

    def state(self, run: str) -> RunState:
        """The current state of a run. Raises UsageError if there is none of this name."""
