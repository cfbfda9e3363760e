"""Stops one run: runs/<run>/cancel.json says that it is cancelled.

The sender reads it and stops. The functions read it before they begin a file, and record the file as
cancelled instead; files that are being processed finish. The cancel ends when nothing of the run is in flight
any more: until then nothing of it can be sent. Other runs of the stack go on.
"""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .. import session
from ..errors import Interrupted, RunBusyError, UsageError
from ..events import ignore
from ..runs import cancels, watch_state
from ..runs import run as runs
from ..runs.cancels import Cancel
from ..runs.state import Follower, RunState
from ..storage.place import Place
from .journal import Journal

# Lambda sends throttled events again after up to 5 minutes: what takes longer is being processed.
PATIENCE_S = 600.0
EVERY_S = 2.0
OnState = Callable[[RunState], None]


@dataclass(frozen=True)
class Cancelled:
    """The result of cancel()."""

    after: RunState

    @property
    def stopped(self) -> int:
        """Files of the run that were stopped before they ran, by this cancel or an earlier one."""
        return self.after.counts["cancelled"]

    @property
    def running(self) -> int:
        """Files still in flight: Lambda was processing them, or their records are late."""
        return in_flight(self.after)


def cancel(
    place: Place,
    lambdas: Place | None,
    run: str,
    *,
    patience_s: float = PATIENCE_S,
    on_state: OnState = ignore,
) -> Cancelled:
    """Stops the files of a run that the functions have not begun, and waits until none is in flight.

    It also returns when no state has changed for `patience_s` seconds. While files are in flight, and after
    Interrupted and errors, the cancel stays open; a second call continues it. Raises UsageError if the run
    cannot be cancelled, Interrupted[Cancel] on Ctrl-C.
    """
    if place.folder is not None:
        raise UsageError(f"{place.name} is a folder, where nothing is queued: use Ctrl-C to stop a local run")
    follower = Follower(place, run, lambdas)
    # Before the state is read, which may take long: meanwhile the run would go on.
    current = cancels.begin(place, run, Cancel(time.time(), {}))
    if current.reserved:
        raise UsageError(
            f"a cancel of run {run!r} by an earlier version of skyfan was interrupted, and its functions may "
            f"be stopped: first `skyfan cancel {run} --restore`"
        )
    if (watch := watch_state.read(place, run)) and watch.state in ("watching", "stopped"):
        warnings.warn(
            f"{run!r} is the run of a watch, which goes on: what it sends until the cancel ends is billed "
            f"and skipped, and later files are processed. `skyfan watch pause {run}` stops it",
            stacklevel=3,
        )
    try:
        with _nothing_sends(place, run, follower, on_state):
            after = _wait(follower, patience_s, on_state)
            if not in_flight(after):
                cancels.end(place, run, time.time())
    except KeyboardInterrupt as error:
        raise Interrupted(current) from error
    return Cancelled(after)


def restore(place: Place, run: str) -> dict[str, int | None]:
    """Withdraws an open cancel. Raises UsageError if there is none.

    Returns the reserved concurrency of functions that a cancel by an earlier version had stopped.
    """
    runs.read(place, run)
    current = cancels.unfinished(place, run)
    if current is None:
        raise UsageError(f"no cancel of run {run!r} is open: there is nothing to restore")
    for function, number in current.reserved.items():
        _reserve(function, number)
    cancels.end(place, run, time.time())
    return current.reserved


def in_flight(state: RunState) -> int:
    """Files that Lambda has accepted and that may still finish."""
    return state.counts["sent"] + state.counts["late"]


@contextmanager
def _nothing_sends(place: Place, run: str, follower: Follower, on_state: OnState) -> Iterator[None]:
    """Waits until the sender has noticed the cancel, and keeps others from sending.

    Warns while there is one. Uploads the receipts of a process that was killed on this machine.
    """
    is_warned = False
    while True:
        try:
            with Journal(place, run):
                yield
                return
        except RunBusyError:
            if not is_warned:
                is_warned = True
                warnings.warn(
                    f"a command sends run {run!r}: it stops as soon as it reads the cancel; the lease of one "
                    "that was killed on another machine ends after a minute",
                    stacklevel=5,
                )
            on_state(follower.read())
            time.sleep(EVERY_S)


def _wait(follower: Follower, patience_s: float, on_state: OnState) -> RunState:
    counts, since = None, time.monotonic()
    while True:
        state = follower.read()
        on_state(state)
        if state.counts != counts:
            counts, since = state.counts, time.monotonic()
        if not in_flight(state) or time.monotonic() - since >= patience_s:
            return state
        time.sleep(EVERY_S)


def _reserve(function: str, number: int | None) -> None:
    client = session.client("lambda")
    with session.aws_errors(function):
        if number is None:
            client.delete_function_concurrency(FunctionName=function)
        else:
            client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=number)
