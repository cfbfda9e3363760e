"""Several images in one invocation: each gets its catalog or its failure record, whatever else fails."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from .errors import EventError, OutOfTimeError, SepExtractError
from .event import parse
from .storage import key_of, output_uri, write

# The next image is begun only if the longest so far would fit into the time left, with this to spare.
_SPARE_S = 5.0


def split(event: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The events of the images of a batch: each with its `input` in the place of `inputs`.

    Raises EventError where any of them is not valid: then nothing of the batch has run.
    """
    if "input" in event:
        raise EventError("event: give 'input' or 'inputs', not both")
    inputs = event["inputs"]
    if not isinstance(inputs, list | tuple) or not inputs:
        raise EventError(f"event: 'inputs' must be a list of images, not {inputs!r}")
    shared = {key: value for key, value in event.items() if key != "inputs"}
    events = [{"input": uri, **shared} for uri in inputs]
    for one in events:
        parse(one)
    return events


def process(
    event: Mapping[str, Any], one: Callable[[dict[str, Any]], dict[str, Any]], context: Any
) -> dict[str, Any]:
    """Call `one` for every image of the batch; failures that may pass are tried once more at the end.

    Returns {"results": [summary…], "failures": [{"input", "errorType", "errorMessage", "record"}…]}. Raises
    EventError, or StorageError where a failure cannot be recorded: then Lambda tries the whole batch again.
    """
    events = split(event)
    for one_event in events:
        _record_uri(one_event)  # refuse before the work, not after it
    results: list[dict[str, Any]] = []
    failed: list[tuple[dict[str, Any], Exception]] = []
    longest = 0.0

    def attempt(todo: list[dict[str, Any]]) -> list[tuple[dict[str, Any], Exception]]:
        nonlocal longest
        missed = []
        for one_event in todo:
            start = time.monotonic()
            try:
                _check_time(context, longest)
                results.append(one(one_event))
            except Exception as error:  # a fault of our own too costs one image, not the batch
                missed.append((one_event, error))
            longest = max(longest, time.monotonic() - start)
        return missed

    for one_event, error in attempt(events):
        failed += [(one_event, error)] if _is_permanent(error) else attempt([one_event])
    return {"results": results, "failures": [_recorded(*pair, context) for pair in failed]}


def _is_permanent(error: Exception) -> bool:
    return isinstance(error, SepExtractError) and error.permanent


def _check_time(context: Any, longest: float) -> None:
    if context is None:
        return
    left = context.get_remaining_time_in_millis() / 1000
    if longest and left < longest + _SPARE_S:
        raise OutOfTimeError(
            f"not begun: {left:.0f} s were left, and an image of this batch took {longest:.0f} s"
        )


def _record_uri(event: Mapping[str, Any]) -> str:
    return output_uri(event.get("run", "default"), key_of(event["input"]), "SKYFAN_FAILURES")


def _recorded(event: dict[str, Any], error: Exception, context: Any) -> dict[str, Any]:
    """Write what Lambda would have written had the image been alone; say so in the result."""
    told = {"errorType": type(error).__name__, "errorMessage": str(error), "permanent": _is_permanent(error)}
    record = {
        "version": "1.0",
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "requestContext": {
            "requestId": getattr(context, "aws_request_id", None),
            "functionArn": getattr(context, "invoked_function_arn", None),
            "condition": "FailedInBatch",
            "approximateInvokeCount": 1,
        },
        "requestPayload": event,
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Handled"},
        "responsePayload": told,
    }
    uri = _record_uri(event)
    write(uri, json.dumps(record, indent=1).encode())
    return {"input": event["input"], **told, "record": uri}
