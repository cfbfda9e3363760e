"""skyfan status and skyfan runs."""

import time
from collections.abc import Callable
from pathlib import Path

from ..runs import overview
from ..runs.outcome import RunState
from ..runs.overview import Overview
from ..runs.state import Follower
from . import where

EVERY_S = 5.0
# A look takes a tenth of the time at most: listing a million results costs 0.005 USD.
_SHARE = 10


def status(run: str, output: str | Path | None = None, *, stack: str = "skyfan") -> RunState:
    """The state of a run, whose place is a folder, s3://bucket, or the results bucket of a stack.

    status("first-light", "out").counts["done"]; its files(state) and groups() tell more. Raises UsageError
    for a run or place that is not there.
    """
    place, lambdas = where.find(output, stack)
    return Follower(place, run, lambdas).read()


def follow(
    run: str,
    output: str | Path | None = None,
    *,
    stack: str = "skyfan",
    every_s: float = EVERY_S,
    on_state: Callable[[RunState], None] = lambda state: None,
) -> RunState:
    """Looks again and again, `every_s` seconds apart or more, until something has come of every file.

    What cannot have changed is not read twice. Raises UsageError like status().
    """
    place, lambdas = where.find(output, stack)
    follower = Follower(place, run, lambdas)
    while True:
        began = time.monotonic()
        state = follower.read()
        on_state(state)
        if not any(state.counts[name] for name in ("unsent", "sent", "late")):
            return state
        time.sleep(max(every_s, _SHARE * (time.monotonic() - began)))


def runs(output: str | Path | None = None, *, stack: str = "skyfan") -> list[Overview]:
    """The runs of a place at a glance, the latest active first."""
    place, _ = where.find(output, stack)
    return overview.read(place)
