"""Stops what a run has in Lambda's queue: reserved concurrency 0, until all of it became failure records.

Lambda sends a queued event straight to the failure destination where a function's reserved concurrency is 0;
what runs already runs to its end. The reservations of before are kept in runs/<run>/cancel.json first, so
that a cancel that was broken off can be undone from any machine.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ..errors import UsageError
from ..runs import cancels, receipts
from ..runs import run as runs
from ..runs.cancels import Cancel
from ..runs.judge import Limits
from ..runs.outcome import RunState
from ..runs.place import Place
from ..runs.state import Follower
from . import session

# A failed event waits one and two minutes for its next try; what is on its way for longer is running.
PATIENCE_S = 180.0
EVERY_S = 5.0
OnState = Callable[[RunState], None]


@dataclass(frozen=True)
class Cancelled:
    """What a cancel came to."""

    before: RunState
    after: RunState
    reserved: dict[str, int | None]
    """What each function has reserved, now as before; None for nothing. Empty where nothing was to stop."""

    @property
    def stopped(self) -> int:
        """Files that were stopped before they ran."""
        return self.after.counts["cancelled"] - self.before.counts["cancelled"]

    @property
    def running(self) -> int:
        """Files of which nothing has come yet: Lambda was at work on them, or their record is late."""
        return in_flight(self.after)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while the functions are stopped. They stay stopped until they are restored."""


def cancel(
    place: Place,
    lambdas: Place | None,
    run: str,
    *,
    force: bool = False,
    patience_s: float = PATIENCE_S,
    on_state: OnState = lambda state: None,
) -> Cancelled:
    """Stops what is queued of a run, waits until nothing changes for `patience_s` seconds, and restores.

    Functions are shared by all runs of a stack: it is refused while another is on its way, unless `force`.
    Goes on with a cancel of this run that was broken off. Raises UsageError for what cannot be, Interrupted
    on Ctrl-C; then, and after any other error, restore() puts back what was reserved.
    """
    if place.folder is not None:
        raise UsageError(f"{place.name} is a folder, where nothing is queued: Ctrl-C stops a run there")
    follower = Follower(place, run, lambdas)
    before = follower.read()
    open_ = cancels.unfinished(place, run)
    if open_ is None and not in_flight(before):
        return Cancelled(before, before, {})
    client = session.client("lambda")
    if open_ is None:
        open_ = Cancel(time.time(), _reserved(client, before.functions))
        if not force:
            _refuse_if_shared(place, lambdas, run, open_.reserved)
        cancels.begin(place, run, open_)
    try:
        for function in open_.reserved:
            _reserve(client, function, 0)
        after = _wait(follower, patience_s, on_state)
        _restore(client, place, run, open_)
    except KeyboardInterrupt as error:
        raise Interrupted from error
    except UsageError as error:
        told = f"{error}. The functions may be stopped: `skyfan cancel {run} --restore` starts them"
        raise UsageError(told) from error
    return Cancelled(before, after, open_.reserved)


def restore(place: Place, run: str) -> dict[str, int | None]:
    """Puts back what was reserved before a cancel that was broken off. Raises UsageError if none was."""
    runs.read(place, run)
    open_ = cancels.unfinished(place, run)
    if open_ is None:
        raise UsageError(f"no cancel of run {run!r} is unfinished: there is nothing to restore")
    _restore(session.client("lambda"), place, run, open_)
    return open_.reserved


def in_flight(state: RunState) -> int:
    """Files that Lambda has accepted and of which something may come."""
    return state.counts["sent"] + state.counts["late"]


def _wait(follower: Follower, patience_s: float, on_state: OnState) -> RunState:
    seen, since = None, time.monotonic()
    while True:
        state = follower.read()
        on_state(state)
        if state.counts != seen:
            seen, since = state.counts, time.monotonic()
        if not in_flight(state) or time.monotonic() - since >= patience_s:
            return state
        time.sleep(EVERY_S)


def _refuse_if_shared(place: Place, lambdas: Place | None, run: str, reserved: dict[str, int | None]) -> None:
    others = [name for name in runs.names(place) if name != run]
    for name in others:
        if cancels.unfinished(place, name):
            raise UsageError(
                f"a cancel of run {name!r} is under way or was broken off: wait for it, or undo it with "
                f"`skyfan cancel {name} --restore`"
            )
    if stopped := [function for function, number in reserved.items() if number == 0]:
        raise UsageError(
            f"{stopped[0]} is stopped already, its reserved concurrency is 0: --force goes on and keeps it so"
        )
    if busy := [name for name in others if _is_busy(place, lambdas, name, set(reserved))]:
        raise UsageError(
            f"run {busy[0]!r} is on its way through the same functions and would be stopped too: wait for "
            "it, or use --force"
        )


def _is_busy(place: Place, lambdas: Place | None, run: str, functions: set[str]) -> bool:
    since = time.time() - Limits().missing_s
    if not any(place.modified(key) > since for key in receipts.keys(place, run)[-1:]):
        return False
    state = Follower(place, run, lambdas).read()
    return bool(in_flight(state) and functions & set(state.functions))


def _reserved(client: Any, functions: Iterable[str]) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for function in functions:
        with session.told(function):
            told = client.get_function_concurrency(FunctionName=function)
        found[function] = told.get("ReservedConcurrentExecutions")
    return found


def _reserve(client: Any, function: str, number: int | None) -> None:
    with session.told(function):
        if number is None:
            client.delete_function_concurrency(FunctionName=function)
        else:
            client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=number)


def _restore(client: Any, place: Place, run: str, open_: Cancel) -> None:
    for function, number in open_.reserved.items():
        _reserve(client, function, number)
    cancels.end(place, run, time.time())
