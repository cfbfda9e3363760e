"""The outcome of one call of an engine: the same class, and the same JSON document, for both engines.

The document that `skyfan run --json` prints; `skyfan retry --json` adds `selected` and `skipped` to it:

    run, place, folder  the run's name, the bucket or folder that holds runs, and the run's own folder in it
    log                 log file of this call; null on AWS, where CloudWatch has the logs
    interrupted         whether Ctrl-C ended the call
    stopped             why not all files were sent; null if there was no reason but Ctrl-C
    files               files in the inputs of this call; each is in exactly one of the next four
    done_before           had a result before the call
    sent_before           were accepted by Lambda in an earlier call; 0 on this machine
    sent                  were accepted by Lambda in this call; on this machine: were processed
    remaining             still have to be sent; null if that is unknown after Ctrl-C
    done, failed        files of the inputs that were done since the call began, and that have failed; null
                        without waiting
    retries, unwritten  retries, and files that succeeded without leaving a result; null on AWS, where neither
                        is known
    damaged             results that were not the recorded ones, so that this call removed them; null on AWS,
                        where an object is whole or missing
    kept                old results that stay, since the attempt to replace them failed; null on AWS, where
                        these files count as failed, too
    unchecked           files of done_before on S3, whose versions were not compared with those that the
                        results are from; `skyfan status --stale` compares them
    invocations         invocations accepted by Lambda; on this machine: attempts
    throttled, errors, broken
                        requests that Lambda throttled (or whose function was not ready) or answered with 5xx,
                        and broken connections: all sent again; 0 on this machine
    sources             sources in all results; null on AWS, and for functions that count none
    doubtful, doubts    results of the whole run that the function calls doubtful, and their number by reason,
                        of which a result can have several; null without waiting, and for functions of
                        earlier versions, which do not mark them
    send_seconds, seconds
                        time until the last file was sent (0 on this machine), and of the whole call
    state               files of the whole run in each state, as in `skyfan status`; null without waiting
    failures            failed files of the inputs by errorType: count, cure (retry, larger, never; null if
                        unknown), permanent (no retry can succeed), exhausted (memory or time ran out), and an
                        example with input, message and record
    results             what the function returned for the first files, at most 20; empty on AWS
"""

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from .. import formatting
from ..errors import Interrupted, UsageError
from ..storage.place import Place
from ..tables import Tabular
from . import run_file
from .doubts import Doubts
from .failures import FailureGroup
from .state import UNSUCCESSFUL, RunState

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_RESULTS = 20
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(repr=False)
class Outcome(Tabular):
    """What one call of an engine did, and the state of the run after it. The module describes the fields."""

    run: str
    place: Place
    files: int = 0
    done_before: int = 0
    sent_before: int = 0
    sent: int = 0
    remaining: int | None = 0
    stopped: str = ""
    interrupted: bool = False
    done: int = 0
    unsuccessful: int = 0
    """Files of the inputs that failed, are missing, damaged or late, or were cancelled; 0 without waiting."""
    failures: dict[str, FailureGroup] = field(default_factory=dict)
    """Failures of the inputs by errorType, most frequent first."""
    retries: int = 0
    unwritten: int = 0
    damaged: int = 0
    kept: int = 0
    unchecked: int = 0
    invocations: int = 0
    throttled: int = 0
    errors: int = 0
    broken: int = 0
    sources: int | None = None
    doubts: Doubts | None = None
    results: list[dict[str, Any]] = field(default_factory=list)
    log: Path | None = None
    send_seconds: float = 0.0
    seconds: float = 0.0
    state: RunState | None = None

    @property
    def folder(self) -> str:
        """The folder of the run in its place."""
        return f"{self.place.name}/runs/{self.run}"

    @property
    def failed(self) -> int:
        """Failed files of the inputs."""
        return sum(group.count for group in self.failures.values())

    @property
    def is_complete(self) -> bool:
        """Whether all files of the inputs were sent and, as far as the call waited, are done."""
        return not (self.stopped or self.remaining or self.unwritten or self.unsuccessful)

    @property
    def may_be_doubtful(self) -> bool:
        """Whether results of the run are doubtful, or it is not known that none is."""
        return self.doubts is None or len(self.doubts) > 0

    def _known_state(self) -> RunState:
        if self.state is None:
            raise UsageError(f"the call did not wait for run {self.run}: status() reads its state")
        return self.state

    def _table(self) -> pa.Table:
        """The files of the whole run; see RunState."""
        return self._known_state()._table()

    def _head(self) -> tuple[pa.Table, int]:
        return self.state._head() if self.state else (run_file.table([]), 0)

    def _summary(self) -> str:
        parts = [f"{self.done + self.done_before:,} of {formatting.count(self.files)} done"]
        if self.unsuccessful:
            causes = formatting.reasons({name: group.count for name, group in self.failures.items()})
            parts.append(f"{self.unsuccessful:,} without a result" + (f" ({causes})" if causes else ""))
        if self.remaining:
            parts.append(f"{self.remaining:,} not sent")
        if self.sources is not None:
            parts.append(formatting.count(self.sources, "source"))
        if self.doubts:
            parts.append(f"{len(self.doubts):,} doubtful")
        ended = "interrupted" if self.interrupted else self.stopped
        return f"run {self.run}: {', '.join([*parts, *([ended] if ended else [])])}"

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """The number of files of the whole run in each state. Raises UsageError if that is not known."""
        return self._known_state().plot(axes)

    def add_result(self, uri: str, result: Any, seconds: float) -> None:
        """Adds what the function returned for one file; keeps the first MAX_RESULTS."""
        values = result if isinstance(result, dict) else {"result": result}
        if isinstance(values.get("sources"), int):
            self.sources = (self.sources or 0) + values["sources"]
        if len(self.results) < MAX_RESULTS:
            self.results.append({"input": uri, **values, "seconds": round(seconds, 3)})

    def set_state(self, state: RunState, inputs: Iterable[str]) -> int:
        """Takes the run's state, and from it what became of `inputs`, the URIs of this call.

        Returns how many of these are done.
        """
        own = state.restrict(inputs)
        self.state, self.doubts = state, state.doubts()
        self.failures = {group.error_type: group for group in own.groups()}
        self.unsuccessful = sum(own.counts[name] for name in (*UNSUCCESSFUL, "late"))
        return own.counts["done"]

    def document(self) -> dict[str, Any]:
        """The outcome as plain data, for JSON; see the module."""
        is_local, is_known = self.place.folder is not None, self.state is not None
        return {
            "run": self.run,
            "place": self.place.name,
            "folder": self.folder,
            "log": str(self.log) if self.log else None,
            "interrupted": self.interrupted,
            "stopped": self.stopped or None,
            "files": self.files,
            "done_before": self.done_before,
            "sent_before": self.sent_before,
            "sent": self.sent,
            "remaining": self.remaining,
            "done": self.done if is_known else None,
            "failed": self.failed if is_known else None,
            "retries": self.retries if is_local else None,
            "unwritten": self.unwritten if is_local else None,
            "damaged": self.damaged if is_local else None,
            "kept": self.kept if is_local else None,
            "unchecked": self.unchecked,
            "invocations": self.invocations,
            "throttled": self.throttled,
            "errors": self.errors,
            "broken": self.broken,
            "sources": self.sources,
            "doubtful": None if self.doubts is None else len(self.doubts),
            "doubts": None if self.doubts is None else self.doubts.reasons,
            "send_seconds": round(self.send_seconds, 3),
            "seconds": round(self.seconds, 3),
            "state": self.state.counts if self.state else None,
            "failures": [group.document() for group in self.failures.values()],
            "results": self.results,
        }


@contextmanager
def finishing(outcome: Outcome, finish: Callable[[], None]) -> Iterator[None]:
    """Calls `finish` after the work of a call, also if Ctrl-C ended it: then raises Interrupted[Outcome]."""
    try:
        yield
    except KeyboardInterrupt as error:
        outcome.interrupted = True
        finish()
        raise Interrupted(outcome) from error
    finish()


@contextmanager
def stopping(outcome: Outcome, folder: Path) -> Iterator[None]:
    """Ends the work, not the call, at such a fault: the outcome has the counts, and says why."""
    try:
        yield
    except (OSError, UsageError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        if not isinstance(cause, OSError):
            raise
        outcome.stopped = f"{cause.filename or folder}: {cause.strerror or cause}"
        if cause.errno in _FULL:
            outcome.stopped += "; what is done is whole, and nothing half-written counts; free space there"


def raise_if_full(message: str) -> None:
    """Raises OSError if a function says that it could not write: nor could it the next result."""
    for number in _FULL:
        if os.strerror(number) in message:
            raise OSError(number, os.strerror(number))
