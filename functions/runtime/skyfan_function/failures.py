"""The record of a failure, in the shape of those that Lambda sends to an on-failure destination."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from skyfan_contract import CANCELLED, FAILURES, IN_BATCH, PERMANENT, RETRY, failure_record

from .errors import RunCancelledError, cure_of
from .event import Request
from .storage import output_uri, write


def record_uri(event: object) -> str:
    """The URI of the failure record of an event with one input, whatever its other keys hold.

    Raises EventError if the event has no valid input and run, ConfigurationError if SKYFAN_FAILURES is not a
    valid place.
    """
    place = {k: event[k] for k in ("input", "run") if k in event} if isinstance(event, Mapping) else event
    request = Request.parse(place)
    return output_uri(request.run, request.key, FAILURES)


def described(error: Exception) -> dict[str, Any]:
    """An error as a result and a log line hold it."""
    cure = cure_of(error)
    about = {"errorType": type(error).__name__, "errorMessage": str(error)}
    return {**about, "cure": cure, "permanent": cure != RETRY}


def record(uri: str, event: Mapping[str, Any], error: Exception, context: Any) -> dict[str, Any]:
    """Write the failure record of one input to ``uri`` and return the failure as the input's result.

    Raises StorageError if it cannot be written.
    """
    failure = described(error)
    document = failure_record(
        event,
        failure,
        _condition(error, permanent=failure["permanent"]),
        request_id=getattr(context, "aws_request_id", None),
        function_arn=getattr(context, "invoked_function_arn", None),
    )
    write(uri, json.dumps(document, indent=1, default=str, skipkeys=True).encode())
    return {"input": event["input"], **failure, "record": uri}


def _condition(error: Exception, *, permanent: bool) -> str:
    if isinstance(error, RunCancelledError):
        return CANCELLED
    return PERMANENT if permanent else IN_BATCH
