"""Failure records: Lambda's own in their bucket, and those of single files beside the results."""

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from sys import intern
from typing import Any

import numpy as np
from numpy.typing import NDArray

import skyfan_contract as contract
from skyfan_contract import CURES, LARGER, NEVER, RETRY

from ..files import from_json
from ..storage.listing import Object
from ..storage.place import Place
from . import digests

LAMBDA = "aws/lambda/async"
CANCELLED = (contract.CANCELLED, "ZeroReservedConcurrency")
"""Conditions of files that a cancel stopped: the function's, and that of cancels of earlier versions."""
RUN_CANCELLED = "RunCancelledError"
"""The function's error for such a file; Lambda's record has it where the function cannot write its own."""
# For records that name no cure: Lambda's own, and those of functions that did not know it.
_CURES = {
    "Runtime.OutOfMemory": LARGER,
    "Sandbox.Timedout": LARGER,
    "MemoryError": LARGER,
    "ImageTooLargeError": LARGER,
    # Raised, and so in Lambda's record, only where the function cannot record a failure itself.
    "EventError": NEVER,
    "ConfigurationError": NEVER,
    "OutputRefusedError": NEVER,
}
_LARGER_WORDS = ("task timed out", "signal: killed")
# Messages for conditions under which the function did not run and gave no message of its own.
_CONDITIONS = {
    "ZeroReservedConcurrency": "stopped before it ran: the function's reserved concurrency was 0",
    "EventAgeExceeded": "waited in Lambda's queue for longer than the maximum event age",
}
_MAX_MESSAGE = 500
_ERROR_NAME = re.compile(r"\b(?:Runtime|Sandbox|Extension|Function)\.\w+")
_MILLISECOND = timedelta(milliseconds=1)
_LONG = "name-too-long"
_OF_LONG = re.compile(rf"{_LONG}/([0-9a-f]{{16}})")


def long_name(key: str) -> str:
    """The key of the failure record of an input for whose key a folder has no name of that length."""
    return f"{_LONG}/{digests.digest(key):016x}"


def digests_of(keys: Iterable[str]) -> NDArray[np.uint64]:
    """The digests of inputs, from the keys of their failure records; see digests.each()."""
    keys = list(keys)
    found = digests.each(keys).copy()
    for at, key in enumerate(keys):
        if match := _OF_LONG.fullmatch(key):
            found[at] = int(match[1], 16)
    return found


def cure_of(error: Mapping[str, Any]) -> str | None:
    """The cure of an error, as Lambda, a function or the local engine reports it; None if it is unknown."""
    if (cure := error.get("cure")) in CURES:
        return str(cure)
    message = str(error.get("errorMessage")).lower()
    if any(words in message for words in _LARGER_WORDS):
        return LARGER
    permanent = error.get("permanent")
    known = {True: NEVER, False: RETRY}.get(permanent) if isinstance(permanent, bool) else None
    return _CURES.get(str(error.get("errorType")), known)


@dataclass(frozen=True, slots=True)
class Failure:
    """The content of one failure record, of one file or of a batch."""

    record: str
    """The record's key in its place."""
    request_id: str
    function: str
    """Deployed name."""
    time: int
    """Unix time in milliseconds."""
    condition: str
    """Why Lambda gave up: RetriesExhausted, EventAgeExceeded, ZeroReservedConcurrency; or what the function
    recorded: PermanentFailure, FailedInBatch.
    """
    error_type: str
    message: str
    """At most 500 characters."""
    cure: str | None
    """One of skyfan_contract.CURES; None if the record does not say."""
    is_shared: bool = False
    """Whether a batch ended the function: which of its files did is not known; others may not have begun."""

    @property
    def is_cancelled(self) -> bool:
        """Whether a cancel stopped the file before the function began it."""
        return self.condition in CANCELLED or self.error_type == RUN_CANCELLED

    @property
    def never_ran(self) -> bool:
        """Whether Lambda gave up without a response of the function."""
        return self.error_type == self.condition

    @property
    def is_exhausted(self) -> bool:
        """Whether it ran out of memory or time."""
        return self.cure == LARGER

    @property
    def is_permanent(self) -> bool | None:
        """Whether no retry can succeed; None if unknown."""
        return None if self.cure is None else self.cure == NEVER


@dataclass
class FailureGroup:
    """Failures of one errorType, with one of them as the example."""

    error_type: str
    count: int
    input: str
    message: str
    record: str
    """URI of the example's failure record."""
    cure: str | None
    """One of skyfan_contract.CURES; None if unknown."""

    @property
    def permanent(self) -> bool | None:
        """Whether no retry can succeed; None if unknown."""
        return None if self.cure is None else self.cure == NEVER

    @property
    def exhausted(self) -> bool:
        """Whether it ran out of memory or time: the function with more memory may succeed."""
        return self.cure == LARGER

    def document(self) -> dict[str, Any]:
        """The group as plain data, for JSON."""
        return {
            "errorType": self.error_type,
            "count": self.count,
            "cure": self.cure,
            "permanent": self.permanent,
            "exhausted": self.exhausted,
            "example": {"input": self.input, "message": self.message, "record": self.record},
        }


@dataclass(frozen=True, slots=True)
class Record:
    """A failure record: the failure, and the files and the run that it names."""

    failure: Failure
    inputs: tuple[str, ...]
    run: str


def list_lambda(place: Place, functions: Iterable[str], since: float) -> Iterator[Object]:
    """Lambda's records of some functions, from the day of `since` (Unix seconds) on."""
    day = datetime.fromtimestamp(since, UTC).strftime("%Y/%m/%d/")
    for function in sorted(functions):
        prefix = f"{LAMBDA}/{function}/"
        # Keys begin with the date, so the listing of a bucket can start there; a folder is listed whole.
        for item in place.list(prefix, after=prefix + day):
            if item.key > prefix + day:
                yield item


def read(place: Place, objects: Iterable[Object]) -> Iterator[Record]:
    """Reads records, several at once."""
    for item, body in place.fetch(objects):
        yield parse(item.key, body, item.modified)


def parse(key: str, body: bytes, modified: float = 0.0) -> Record:
    """Parses a record. Never raises: a record that cannot be read is a failure of type UnreadableRecord.

    `modified` is the object's time in Unix seconds, used if the record has no valid time.
    """
    try:
        document = from_json(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        message = "the failure record is not a JSON object"
        failure = Failure(key, "", "", int(modified * 1000), "", "UnreadableRecord", message, None)
        return Record(failure, (), "")
    context, request = _table(document, "requestContext"), _table(document, "requestPayload")
    response = _response(document)
    condition = str(context.get("condition") or "")
    error_type = str(response.get("errorType") or "") or condition or "Unknown"
    message = str(response.get("errorMessage") or "") or _CONDITIONS.get(condition, condition)
    never_ran = bool(condition) and error_type == condition
    batch = request.get("inputs")
    inputs = [request.get("input")] if "input" in request else batch if isinstance(batch, list) else []
    failure = Failure(
        record=key,
        request_id=str(context.get("requestId") or ""),
        function=intern(_function(str(context.get("functionArn") or ""))),
        time=_time(document.get("timestamp"), modified),
        condition=intern(condition),
        error_type=intern(error_type),
        message=message[:_MAX_MESSAGE],
        cure=RETRY if never_ran else cure_of(response),
        is_shared=len(inputs) > 1 and not never_ran,
    )
    return Record(failure, tuple(map(str, inputs)), str(request.get("run", "default")))


def _response(document: dict[str, Any]) -> dict[str, Any]:
    """The function's error; the type of a text is the name in it, or how the function ended."""
    payload = document.get("responsePayload")
    if isinstance(payload, str):
        with contextlib.suppress(ValueError):
            payload = from_json(payload)
    if isinstance(payload, dict):
        return payload
    ended = str(_table(document, "responseContext").get("functionError") or "")
    if not isinstance(payload, str):
        return {"errorType": ended, "errorMessage": ended} if ended else {}
    name = _ERROR_NAME.search(payload)
    return {"errorType": name[0] if name else ended or "Unhandled", "errorMessage": payload.strip()}


def _table(document: dict[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _function(arn: str) -> str:
    parts = arn.split(":")
    return parts[6] if len(parts) > 6 else arn


def _time(text: object, modified: float) -> int:
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        return int(modified * 1000)
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return round((time - datetime.fromtimestamp(0, UTC)) / _MILLISECOND)
