"""Several inputs in one invocation: each gets its result or its failure record, whatever else fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from skyfan_contract import MAX_INPUTS

from .errors import EventError, OutOfTimeError, TooSlowError
from .failures import record, record_uri
from .time_limit import SPARE_S

# The next input is begun only if the longest so far would fit into the remaining time, with this to spare and
# with time for the record of each input that has neither result nor record yet.
_RECORD_S = 0.2


def process(event: Mapping[str, Any], one: Callable[..., dict[str, Any]], context: Any) -> dict[str, Any]:
    """Call ``one`` with the event of every input of a batch; an input for which it raises is retried once.

    Its ``spare`` are the seconds it must leave, ``late`` the error if it would not: only of the first it is
    certain that another invocation would not have more time for it.
    A failure is recorded as soon as it is final, so that nothing is lost if a later input ends the function.
    Returns {"results": [result, …], "failures": [recorded failure, …]}. Raises EventError and
    ConfigurationError before any work, StorageError if a failure cannot be recorded: the batch is retried.
    """
    answers: list[dict[str, Any]] = []
    missed: list[dict[str, Any]] = []
    longest = 0.0

    def attempt(single: dict[str, Any], unfinished: int, *, is_last: bool) -> None:
        nonlocal longest
        start = time.monotonic()
        try:
            _check_time(context, longest, unfinished)
            late = OutOfTimeError if longest else TooSlowError
            answers.append(one(single, spare=SPARE_S + _RECORD_S * unfinished, late=late))
        except Exception as error:  # an unforeseen error, too, costs one input and not the batch
            if is_last or isinstance(error, OutOfTimeError):
                answers.append(record(record_uri(single), single, error, context))
            else:
                missed.append(single)
        longest = max(longest, time.monotonic() - start)

    events = _split(event)
    for position, single in enumerate(events):
        attempt(single, len(missed) + len(events) - position, is_last=False)
    for position, single in enumerate(missed):
        attempt(single, len(missed) - position, is_last=True)
    return {
        "results": [answer for answer in answers if "errorType" not in answer],
        "failures": [answer for answer in answers if "errorType" in answer],
    }


def _split(event: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The events of the inputs, each with `input` instead of `inputs`.

    Raises EventError if an input or the run is not valid, ConfigurationError if SKYFAN_FAILURES is not: a
    failure could not be recorded.
    """
    if "input" in event:
        raise EventError("event: give 'input' or 'inputs', not both")
    inputs = event["inputs"]
    if not isinstance(inputs, list | tuple) or not inputs:
        raise EventError(f"event: 'inputs' must be a list of images, not {inputs!r}")
    if len(inputs) > MAX_INPUTS:
        raise EventError(f"event: 'inputs' must have at most {MAX_INPUTS} images, not {len(inputs)}")
    shared = {key: value for key, value in event.items() if key != "inputs"}
    events = [{"input": uri, **shared} for uri in inputs]
    for single in events:
        record_uri(single)
    return events


def _check_time(context: Any, longest: float, unfinished: int) -> None:
    if context is None:
        return
    remaining = context.get_remaining_time_in_millis() / 1000
    if longest and remaining < longest + SPARE_S + _RECORD_S * unfinished:
        raise OutOfTimeError(
            f"not begun: {remaining:.0f} s remained, and an input of this batch took {longest:.0f} s"
        )
