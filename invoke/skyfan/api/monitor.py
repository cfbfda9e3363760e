"""skyfan status, runs and cancel."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..events import ignore
from ..runs import overview
from ..runs.overview import Overview
from ..runs.state import Follower, RunState
from . import engines
from .engines import Where

if TYPE_CHECKING:
    from ..aws.cancel import Cancelled

EVERY_S = 5.0
# Polling takes at most a tenth of the time: listing a million results costs 0.005 USD.
_SHARE = 10
_OPEN = ("unsent", "sent", "late")


def status(run: str, where: Where) -> RunState:
    """The current state of a run.

    `where` is the folder of the run, s3://bucket, or AwsOptions for the bucket of a stack.
    status("first-light", "out").counts["done"] is the number of files that are done; its methods files(state)
    and groups() give details. Raises UsageError if the run or the place does not exist.

    >>> status("first", "out")
    <RunState: run first: planned 2, done 2>
    """
    place, lambdas = engines.find_place(where)
    return Follower(place, run, lambdas).read()


def follow(
    run: str,
    where: Where,
    *,
    every_s: float = EVERY_S,
    on_state: Callable[[RunState], None] = ignore,
) -> RunState:
    """Polls the state of a run until every file is done, failed, missing or cancelled; see status().

    In a folder also until no process works on the run.

    `every_s` is the minimum time between two polls in seconds; `on_state` is called with each state.

    >>> follow("first", "out").counts["done"]
    2
    """
    place, lambdas = engines.find_place(where)
    follower = Follower(place, run, lambdas)
    while True:
        began = time.monotonic()
        state = follower.read()
        on_state(state)
        if state.is_abandoned or not any(state.counts[name] for name in _OPEN):
            return state
        time.sleep(max(every_s, _SHARE * (time.monotonic() - began)))


def runs(where: Where) -> list[Overview]:
    """An overview of the runs of a place, most recently active first; `where` as in status().

    >>> [one.run for one in runs("out")]
    ['first']
    """
    place, _ = engines.find_place(where)
    return overview.read(place)


def cancel(
    run: str,
    where: Where,
    *,
    patience: float = 600.0,
    on_state: Callable[[RunState], None] = ignore,
) -> "Cancelled":
    """Stops the files of a run on AWS that the functions have not begun, and waits until none is in flight.

    `where` as in status(). It also returns when no state has changed for `patience` seconds. While files are
    in flight, and after Ctrl-C, the cancel stays open: nothing of the run is begun or sent. Raises UsageError
    if the run cannot be cancelled, Interrupted[Cancel] on Ctrl-C.

    >>> cancel("deep", AwsOptions(stack="skyfan"))  # doctest: +SKIP
    """
    from ..aws import cancel as cancels

    place, lambdas = engines.find_place(where)
    return cancels.cancel(place, lambdas, run, patience_s=patience, on_state=on_state)


def restore(run: str, where: Where) -> dict[str, int | None]:
    """Withdraws an open cancel, so that files of the run begin and can be sent again.

    Returns the reserved concurrency of each function that a cancel by an earlier version had stopped.

    >>> restore("deep", AwsOptions(stack="skyfan"))  # doctest: +SKIP
    {}
    """
    from ..aws import cancel as cancels

    place, _ = engines.find_place(where)
    return cancels.restore(place, run)
