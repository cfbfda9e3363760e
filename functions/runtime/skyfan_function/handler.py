"""Makes a Lambda handler of process(): event -> opened input -> process() -> result in one PUT, one log line.

An author writes ``def process(job: Job[Request]) -> dict[str, Any]: ...`` and, below it,
``handler = lambda_handler(process)``.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from skyfan_contract import DOUBTFUL, FAILURES, INPUT_VERSION, NO_DOUBTS, PROBE, RETRY, mark_key, quoted

from .errors import (
    AccessDeniedError,
    EventError,
    FunctionError,
    OutputRefusedError,
    RunCancelledError,
    StorageError,
    TooSlowError,
    cure_of,
)
from .event import Request, checked_run
from .failures import described, record, record_uri
from .patience import of_invocation
from .s3_client import prepare
from .storage import Source, open_input, origin_of, output_uri, prove_writable, read_own, replaces, write
from .time_limit import SPARE_S, in_time

R = TypeVar("R", bound=Request)

# Characters of an event that a log line holds as it is: it is billed by the byte, and cut where it is long.
_LONGEST_EVENT = 4000


@dataclass(frozen=True)
class Job(Generic[R]):
    """What process() works on."""

    request: R
    source: Source
    """The input, opened for reading."""
    output: str
    """URI of the result."""
    memory: int | None
    """Bytes that the function may use; None if nothing limits it."""
    others: tuple[Source, ...] = ()
    """The request's further inputs, opened."""


@dataclass(frozen=True)
class Result:
    """What process() returns if its result is not JSON."""

    body: bytes
    """Content of the result."""
    summary: Mapping[str, Any]
    """Facts about it, as JSON; "notes" are the ones that a person should read, "doubts" the reasons to doubt
    it, words separated by spaces.
    """
    beside: Mapping[str, bytes] = field(default_factory=dict)
    """Further files by URI. They are written first: an existing result means that everything exists."""


class Convertible(Protocol):
    """What process() may return as well: a Table of skyfan_function.table."""

    def to_result(self, job: Job[Any]) -> Result:
        """The result that is written."""


Process = Callable[[Job[R]], Result | Convertible | dict[str, Any]]


def lambda_handler(
    process: Process[R],
    request: type[R] = Request,  # type: ignore[assignment]  # mypy knows no default for a type variable
) -> Callable[[Any, Any], dict[str, Any]]:
    """Make a Lambda handler of ``process``, for events that ``request`` validates.

    A dict is written as JSON, with the input's URI and version; a Table as FITS. The handler returns it, or
    the Result's summary, with `input`, `output` and `seconds`. With SKYFAN_FAILURES set, an error that this
    function cannot get past is recorded and returned as {"input", "errorType", "errorMessage", "cure",
    "permanent", "record"}; any other is raised. An input of a cancelled run is recorded too, without any
    work. The event {"probe": run} only proves that results can be written.
    """

    def handler(event: Any, context: Any) -> dict[str, Any]:
        with of_invocation(context):
            return answer(event, context)

    def answer(event: Any, context: Any) -> dict[str, Any]:
        one = partial(_answer, process, request, context)
        if isinstance(event, Mapping) and "inputs" in event:
            from . import batch

            try:
                return batch.process(event, partial(one, resumes=True), context, _log_error)
            except FunctionError as error:
                _log_error(event, error)
                raise
        if isinstance(event, Mapping) and list(event) == [PROBE]:
            return {PROBE: prove_writable(checked_run(event[PROBE]))}
        # Logged with the result or failure of this invocation; a batch has several.
        return one(event, requestId=getattr(context, "aws_request_id", None))

    prepare()
    return handler


def _answer(
    process: Process[R],
    kind: type[R],
    context: Any,
    event: Any,
    *,
    resumes: bool = False,
    spare: float = SPARE_S,
    late: type[FunctionError] = TooSlowError,
    **extra: Any,
) -> dict[str, Any]:
    """The result of one input, or its recorded failure; ``extra`` are more fields of the log line.

    With ``resumes``, an input is finished if its result exists: a batch that was killed is delivered again.
    An input that would not leave ``spare`` seconds fails as ``late``.
    """
    start, place = time.perf_counter(), None
    try:
        with suppress(EventError):  # of an event with no place for a record: parse() raises it again
            place = record_uri(event) if os.environ.get(FAILURES) else None
        request = kind.parse(event)
        _refuse_if_cancelled(request)
        prove_writable(request.run)
        answer, logged = _work(process, request, context, resumes, partial(in_time, context, spare, late))
    except (FunctionError, MemoryError) as error:
        if place is None or (cure_of(error) == RETRY and not isinstance(error, RunCancelledError)):
            _log_error(event, error, **extra)
            raise
        _log_error(event, error, **extra, record=place)
        try:
            return record(place, event, error, context)
        except OutputRefusedError as refused:  # as results are: Lambda records it elsewhere
            raise (error if isinstance(error, OutputRefusedError) else refused) from None
    answer["seconds"] = logged["seconds"] = round(time.perf_counter() - start, 3)
    _log(level="INFO", run=request.run, **extra, **logged)
    return answer


def _refuse_if_cancelled(request: Request) -> None:
    """Raise RunCancelledError while the last cancel in runs/<run>/cancel.json has no end.

    Raises StorageError if it cannot be read. Runs on a local disk have no cancels.
    """
    output = output_uri(request.run, request.key)
    if not output.startswith("s3://"):
        return
    uri = f"s3://{output.split('/')[2]}/runs/{request.run}/cancel.json"
    try:
        body = read_own(uri)
    except AccessDeniedError:
        _log(level="WARNING", message=f"cancels go unnoticed: the role may not s3:GetObject {uri}")
        return
    try:
        cancels = json.loads(body) if body else []
        is_open = bool(len(cancels)) and cancels[-1]["ended"] is None
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise StorageError(f"{uri} is damaged: {error!r}") from error
    if is_open:
        raise RunCancelledError(f"run {request.run} was cancelled before this input was begun")


def _work(
    process: Process[R],
    request: R,
    context: Any,
    resumes: bool,
    limited: Callable[[str], AbstractContextManager[None]],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Process one input and write its results; returns what the invocation returns and what it logs."""
    output = output_uri(request.run, request.key)
    megabytes = getattr(context, "memory_limit_in_mb", None)
    about: dict[str, Any] = {"input": request.input, "output": output}
    with ExitStack() as opened:
        source, *others = (
            opened.enter_context(open_input(uri, request.access)) for uri in (request.input, *request.others)
        )
        origin = _origin(request, source, *others)
        if resumes and origin_of(output) == origin:
            about["finished"] = "by an earlier delivery of this batch"
            return dict(about), about
        with limited(source.name):
            memory = int(megabytes) << 20 if megabytes else None
            job = Job(request, source, output, memory, tuple(others))
            result = process(job)
            if not isinstance(result, Result | dict):
                result = result.to_result(job)
    if isinstance(result, Result):
        for uri, body in result.beside.items():
            write(uri, body)
        _write_marked(request, output, result.body, origin, result.summary)
        return {**about, **result.summary}, {**about, **result.summary}
    # `skyfan status --stale` reads the version in the first bytes.
    named = {"input": request.input, INPUT_VERSION: source.version}
    document = json.dumps(named | result | {INPUT_VERSION: source.version}, indent=1).encode()
    _write_marked(request, output, document, origin, result)
    # A document may be large, and every byte of log is billed.
    logged: dict[str, Any] = {key: result[key] for key in ("notes", "doubts") if key in result}
    return {**about, **result}, {**about, **logged}


def _write_marked(request: Request, output: str, body: bytes, origin: str, about: Mapping[str, Any]) -> None:
    """Write a result and, with SKYFAN_DOUBTFUL set, its mark.

    In case of a crash between both a result is doubtful: the mark of a doubtful result is written before it,
    one that outvotes an earlier mark after it.
    """
    if not os.environ.get(DOUBTFUL):
        write(output, body, origin)
        return

    def mark(doubts: str) -> None:
        write(output_uri(request.run, mark_key(doubts, request.key), DOUBTFUL), b"")

    if doubts := str(about.get("doubts") or "").strip():
        mark(doubts)
        write(output, body, origin)
    elif replaces(output, body, origin):
        mark(NO_DOUBTS)


def _origin(request: Request, *sources: Source) -> str:
    """A digest of all that a result is made from: the configuration, and the inputs and their versions."""
    versions = " ".join(source.version for source in sources)
    return hashlib.sha256(f"{request!r} {versions}".encode()).hexdigest()


def _log_error(event: Any, error: Exception, **fields: Any) -> None:
    """Log an error with its event, or with the beginning and end of one that is long."""
    is_long = len(json.dumps(event, default=str, skipkeys=True)) > _LONGEST_EVENT
    _log(level="ERROR", event=quoted(event) if is_long else event, **described(error), **fields)


def _log(**fields: Any) -> None:
    print(json.dumps(fields, default=str, skipkeys=True), flush=True)
