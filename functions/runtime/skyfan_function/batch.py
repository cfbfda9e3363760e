"""Several inputs in one invocation: each gets its result or its failure record, whatever else fails."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from skyfan_contract import MAX_INPUTS, quoted

from .errors import EventError, FunctionError, OutOfTimeError, TooSlowError
from .failures import record, record_uri
from .time_limit import SPARE_S

# The next input is begun only if the longest so far would fit into the remaining time, with this to spare and
# with time for the record of each input that has neither result nor record yet.
_RECORD_S = 0.2
_RECORDERS = 8

Log = Callable[[dict[str, Any], Exception], None]


def process(
    event: Mapping[str, Any], one: Callable[..., dict[str, Any]], context: Any, log: Log
) -> dict[str, Any]:
    """Call ``one`` with the event of every input of a batch; an input for which it raises is retried once.

    Its ``spare`` are the seconds it must leave, ``late`` the error if it would not: only of the first it is
    certain that another invocation would not have more time for it. ``one`` logs its results and the errors
    of functions, ``log`` those that it does not foresee and inputs that were not begun.
    A failure is recorded as soon as it is final, so that nothing is lost if a later input ends the function.
    Returns {"results": [result, …], "failures": [recorded failure, …]}. Raises EventError and
    ConfigurationError before any work, StorageError if a failure cannot be recorded: the batch is retried.
    """
    answers: list[dict[str, Any]] = []
    longest = 0.0
    waiting = deque((single, False) for single in _split(event))
    while waiting and not (late := _lateness(context, longest, len(waiting))):
        start, unfinished = time.monotonic(), len(waiting)
        single, is_last = waiting.popleft()
        kind = OutOfTimeError if longest else TooSlowError
        try:
            answers.append(one(single, spare=SPARE_S + _RECORD_S * unfinished, late=kind))
        except Exception as error:  # an unforeseen error, too, costs one input and not the batch
            if not isinstance(error, FunctionError | MemoryError):
                log(single, error)
            if is_last or isinstance(error, OutOfTimeError):
                answers.append(record(record_uri(single), single, error, context))
            else:
                waiting.append((single, True))
        longest = max(longest, time.monotonic() - start)
    if waiting:
        answers += _not_begun([single for single, _ in waiting], OutOfTimeError(late), context, log)
    return {
        "results": [answer for answer in answers if "errorType" not in answer],
        "failures": [answer for answer in answers if "errorType" in answer],
    }


def _split(event: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The events of the inputs, each with `input` instead of `inputs`; of equal inputs one.

    Raises EventError if an input or the run is not valid, ConfigurationError if SKYFAN_FAILURES is not: a
    failure could not be recorded.
    """
    if "input" in event:
        raise EventError("event: give 'input' or 'inputs', not both")
    inputs = event["inputs"]
    if not isinstance(inputs, list | tuple) or not inputs:
        raise EventError(f"event: 'inputs' must be a list of images, not {quoted(inputs)}")
    if len(inputs) > MAX_INPUTS:
        raise EventError(f"event: 'inputs' must have at most {MAX_INPUTS} images, not {len(inputs)}")
    shared = {key: value for key, value in event.items() if key != "inputs"}
    events: dict[str, dict[str, Any]] = {}
    for position, uri in enumerate(inputs):
        single = {"input": uri, **shared}
        try:
            record_uri(single)
        except EventError as error:
            raise EventError(f"inputs[{position}]: {error}") from error
        events[uri] = single
    return list(events.values())


def _lateness(context: Any, longest: float, unfinished: int) -> str:
    """Why no further input is begun; empty while there is time for one."""
    if context is None or not longest:
        return ""
    remaining = context.get_remaining_time_in_millis() / 1000
    if remaining >= longest + SPARE_S + _RECORD_S * unfinished:
        return ""
    return f"not begun: {remaining:.0f} s remained, and an input of this batch took {longest:.0f} s"


def _not_begun(
    events: list[dict[str, Any]], error: OutOfTimeError, context: Any, log: Log
) -> Iterable[dict[str, Any]]:
    """Record these inputs at once: a hundred requests one after the other may take longer than remains."""
    for single in events:
        log(single, error)
    with ThreadPoolExecutor(_RECORDERS) as pool:
        return list(pool.map(lambda single: record(record_uri(single), single, error, context), events))
