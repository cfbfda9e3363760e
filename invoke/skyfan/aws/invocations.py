"""Invocations of Lambda: the payloads of files, alone or in batches, and the meaning of the responses."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from enum import Enum, auto
from typing import Any

from skyfan_contract import MAX_INPUTS

from ..engine import Call, File
from ..errors import UsageError, explain
from ..files import from_json
from ..task import MAX_EVENT, Filling, Task, encoded
from .connection import Response

# Titles of pages that are no answer of Lambda.
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.DOTALL | re.IGNORECASE)
_HINTS = {
    "AccessDeniedException": "your AWS identity needs lambda:InvokeFunction on it",
    "ResourceNotFoundException": "the stack's outputs name a function that does not exist: deploy it again",
    "RequestTooLargeException": "the event exceeds Lambda's limit: make --batch or the configuration smaller",
}


class Verdict(Enum):
    """What a response means for the invocation."""

    ACCEPTED = auto()
    THROTTLED = auto()
    """Not accepted: send again, at a lower rate."""
    NOT_READY = auto()
    """Not accepted: the function is being created, updated or restored. Send again later."""
    EXPIRED = auto()
    """Not accepted: the credentials have expired."""
    UNCERTAIN = auto()
    """Unknown: send again; the invocation may then be accepted twice."""
    FATAL = auto()
    """Not accepted, and no other invocation would be."""


def calls(files: Iterable[File], task: Task, batch: int = 1) -> Iterator[Call]:
    """The invocations for files, in order, with up to `batch` files each.

    Files of one invocation have the same function and detection image, and their event has at most MAX_EVENT
    bytes. A file that is sent alone, as all are with a batch of 1, has "input" in its event instead of
    "inputs". Raises UsageError if the event of a single file is larger.
    """
    if not 1 <= batch <= MAX_INPUTS:
        raise UsageError(f"batch must be 1 to {MAX_INPUTS}, not {batch}")
    waiting: dict[str, tuple[str | None, list[str]]] = {}
    room = task.room
    fillings: defaultdict[str, Filling] = defaultdict(lambda: Filling(batch, room))
    for uri, function, is_alone, detect in files:
        if batch == 1 or is_alone:
            yield _checked(Call(function, (uri,), encoded(task.event(uri, detect))))
            continue
        shared, uris = waiting.setdefault(function, (detect, []))
        if fillings[function].begins(uri, detect) and uris:
            yield _batch(function, uris, task, shared)
            uris = []
        uris.append(uri)
        waiting[function] = detect, uris
    for function, (shared, uris) in waiting.items():
        if uris:
            yield _batch(function, uris, task, shared)


def _batch(function: str, uris: list[str], task: Task, detect: str | None) -> Call:
    event = {"inputs": uris, **task.shared} | ({"detect": detect} if detect else {})
    return _checked(Call(function, tuple(uris), encoded(event)))


def _checked(call: Call) -> Call:
    if len(call.payload) > MAX_EVENT:
        raise UsageError(
            f"the event for {call.uris[0]} has {len(call.payload)} bytes, and at most {MAX_EVENT} are sent: "
            "make the configuration smaller"
        )
    return call


# By the error types of Invoke in Lambda's API reference. What is wrong with a function's key or network does
# not mend by itself, whatever the status.
_BY_TYPE = {
    **dict.fromkeys(
        (
            "TooManyRequestsException",
            "ThrottlingException",
            "Throttling",
            "RequestLimitExceeded",
            "EC2ThrottledException",
            "ENILimitReachedException",
            "SubnetIPAddressLimitReachedException",
        ),
        Verdict.THROTTLED,
    ),
    **dict.fromkeys(
        ("ResourceConflictException", "SnapStartNotReadyException", "ResourceNotReadyException"),
        Verdict.NOT_READY,
    ),
    **dict.fromkeys(("ExpiredTokenException", "ExpiredToken", "RequestExpired"), Verdict.EXPIRED),
    **dict.fromkeys(
        (
            "KMSAccessDeniedException",
            "KMSDisabledException",
            "KMSInvalidStateException",
            "KMSNotFoundException",
            "EC2AccessDeniedException",
            "InvalidRuntimeException",
            "InvalidSecurityGroupIDException",
            "InvalidSubnetIDException",
            "InvalidZipFileException",
        ),
        Verdict.FATAL,
    ),
}
_BY_STATUS = {202: Verdict.ACCEPTED, 408: Verdict.UNCERTAIN, 409: Verdict.NOT_READY, 429: Verdict.THROTTLED}


def verdict(response: Response) -> Verdict:
    """The meaning of a response: by its error type, else by its status."""
    by_status = Verdict.UNCERTAIN if response.status >= 500 else Verdict.FATAL
    return _BY_TYPE.get(_kind(response)) or _BY_STATUS.get(response.status, by_status)


def request_id(response: Response) -> str:
    """The request ID of the invocation; empty if the server sends none."""
    return response.headers.get("x-amzn-requestid", "")


def error_message(call: Call, response: Response) -> str:
    """What a response other than "accepted" says, and its advice, in one line."""
    kind = _kind(response) or f"HTTP {response.status}"
    document = _document(response)
    said = ": ".join(str(document[key]) for key in ("Reason", "Message", "message") if document.get(key))
    if page := _TITLE.search(response.body.decode("utf-8", "replace")):
        title = " ".join(page[1].split())
        said = f"a page with the title {title!r}, which is not Lambda's: a proxy's?"
    said = said or response.body[:200].decode("utf-8", "replace").strip()
    hint = _HINTS.get(kind) or explain([kind], said)
    return f"Lambda refused {call.function}: {kind}: {said}" + (f" ({hint})" if hint else "")


def _kind(response: Response) -> str:
    named = response.headers.get("x-amzn-errortype", "")
    if not named and response.status != 202:
        document = _document(response)
        named = str(document.get("__type") or document.get("Type") or "")
    return named.partition(":")[0].rpartition("#")[2]


def _document(response: Response) -> dict[str, Any]:
    try:
        document = from_json(response.body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
