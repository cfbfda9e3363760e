"""Failure records: Lambda's own in their bucket, and those of single files beside a run's results."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from sys import intern
from typing import Any

from .fetch import fetch
from .place import Place

LAMBDA = "aws/lambda/async"
# What ran out of memory or time; the last word of each is Lambda's, ours or Python's.
EXHAUSTED = {"Runtime.OutOfMemory", "Sandbox.Timedout", "ImageTooLargeError", "MemoryError"}
_EXHAUSTED_WORDS = ("task timed out", "signal: killed")
# Errors of skyfan's functions that no further try can mend. Lambda's own record does not say so.
PERMANENT = {
    "EventError",
    "ConfigurationError",
    "InputError",
    "InputNotFoundError",
    "AccessDeniedError",
    "NotFitsError",
    "TruncatedError",
    "UnreadableError",
    "NotAnImageError",
    "NoScienceDataError",
    "ShapeMismatchError",
    "ImageTooSmallError",
    "NoValidPixelsError",
    "ExtractionError",
}
STOPPED = "ZeroReservedConcurrency"
_TOLD = 500
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Failure:
    """What one record says, of one file or of a batch."""

    record: str
    """The record's key in its place."""
    request_id: str
    function: str
    """Deployed name."""
    time: int
    """Unix time in milliseconds."""
    condition: str
    """Why Lambda gave up: RetriesExhausted, EventAgeExceeded, ZeroReservedConcurrency, FailedInBatch."""
    error_type: str
    message: str
    """Cut to 500 characters."""
    told_permanent: bool | None
    """Whether the function said that no further try can mend it; None where the record does not say."""

    @property
    def never_ran(self) -> bool:
        """Lambda gave the event up without an answer of the function."""
        return self.error_type == self.condition

    @property
    def is_exhausted(self) -> bool:
        """It ran out of memory or time: a larger function may do it."""
        low = self.message.lower()
        return self.error_type in EXHAUSTED or any(words in low for words in _EXHAUSTED_WORDS)

    @property
    def is_permanent(self) -> bool | None:
        """Whether no further try of the same function can mend it; None where nobody knows."""
        if self.is_exhausted or self.told_permanent is not None:
            return bool(self.told_permanent) and not self.is_exhausted
        return True if self.error_type in PERMANENT else False if self.never_ran else None


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it was read: the failure, and the files and the run that it names."""

    failure: Failure
    inputs: tuple[str, ...]
    run: str


def parse(key: str, body: bytes, modified: float = 0.0) -> Record:
    """Reads a record. Nothing in it is trusted: what cannot be read is a failure of its own kind.

    `modified` is the object's time, Unix seconds, for a record that tells none.
    """
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        told = "the failure record is no JSON object"
        failure = Failure(key, "", "", int(modified * 1000), "", "UnreadableRecord", told, None)
        return Record(failure, (), "")
    context, request = _table(document, "requestContext"), _table(document, "requestPayload")
    answer = _table(document, "responsePayload")
    condition = str(context.get("condition") or "")
    error_type = str(answer.get("errorType") or "") or condition or "Unknown"
    message = str(answer.get("errorMessage") or "") or _WHY.get(condition, condition)
    permanent = answer.get("permanent")
    failure = Failure(
        record=key,
        request_id=str(context.get("requestId") or ""),
        function=intern(_function(str(context.get("functionArn") or ""))),
        time=_time(document.get("timestamp"), modified),
        condition=intern(condition),
        error_type=intern(error_type),
        message=message[:_TOLD],
        told_permanent=permanent if isinstance(permanent, bool) else None,
    )
    many = request.get("inputs")
    inputs = [request.get("input")] if "input" in request else many if isinstance(many, list) else []
    return Record(failure, tuple(map(str, inputs)), str(request.get("run", "default")))


def lambdas(place: Place, functions: Iterable[str], since: float) -> Iterator[tuple[str, float]]:
    """Keys and times of Lambda's records of some functions, from the day of `since` (Unix seconds) on."""
    day = datetime.fromtimestamp(since, UTC).strftime("%Y/%m/%d/")
    for function in sorted(functions):
        prefix = f"{LAMBDA}/{function}/"
        # Keys begin with the date, so one listing can begin there; a folder knows no beginning.
        for item in place.list(prefix, after=prefix + day):
            if item.key > prefix + day:
                yield item.key, item.modified


def read(place: Place, found: Iterable[tuple[str, float]]) -> Iterator[Record]:
    """The records of some keys, many at once."""
    times = dict(found)
    for key, body in fetch(place, times):
        yield parse(key, body, times[key])


_WHY = {
    STOPPED: "stopped before it ran: the function's reserved concurrency was 0",
    "EventAgeExceeded": "waited in Lambda's queue for longer than the maximum event age",
}


def _table(document: dict[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _function(arn: str) -> str:
    parts = arn.split(":")
    return parts[6] if len(parts) > 6 else arn


def _time(text: object, otherwise: float) -> int:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return int(otherwise * 1000)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round((moment - datetime.fromtimestamp(0, UTC)) / _SECOND * 1000)
