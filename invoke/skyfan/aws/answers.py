"""What an answer of Lambda's means for the invocation that was sent, and for the run."""

import json
from enum import Enum, auto

from .calls import Call
from .connection import Response


class Verdict(Enum):
    ACCEPTED = auto()
    THROTTLED = auto()
    """Not taken: go slower, send again."""
    EXPIRED = auto()
    """Not taken: the credentials have run out."""
    UNCERTAIN = auto()
    """Lambda failed: send again, and it may then have been taken twice."""
    FATAL = auto()
    """Not taken, and no other would be."""


_THROTTLES = {"TooManyRequestsException", "ThrottlingException", "Throttling", "RequestLimitExceeded"}
_EXPIRED = {"ExpiredTokenException", "ExpiredToken", "RequestExpired"}
_HINTS = {
    "AccessDeniedException": "your AWS identity needs lambda:InvokeFunction on it",
    "ResourceNotFoundException": "the stack's outputs name a function that is not there: deploy it again",
    "RequestTooLargeException": "the event is over Lambda's limit: make --batch or the configuration smaller",
    "UnrecognizedClientException": "the credentials are not valid: run `aws configure` or `aws sso login`",
    "InvalidSignatureException": "the credentials are not valid, or this machine's clock is wrong",
}


def verdict(response: Response) -> Verdict:
    """Lambda's status codes and error types, as its API reference lists them for Invoke."""
    status, kind = response.status, _kind(response)
    if status == 202:
        return Verdict.ACCEPTED
    if status == 429 or kind in _THROTTLES:
        return Verdict.THROTTLED
    if kind in _EXPIRED:
        return Verdict.EXPIRED
    if status >= 500 or status == 408:
        return Verdict.UNCERTAIN
    return Verdict.FATAL


def request_id(response: Response) -> str:
    """The ID that Lambda gave the invocation; empty from servers that give none."""
    return response.headers.get("x-amzn-requestid", "")


def told(call: Call, response: Response) -> str:
    """A refusal in one line for people."""
    kind = _kind(response) or f"HTTP {response.status}"
    try:
        document = json.loads(response.body)
        message = str(document.get("Message") or document.get("message") or "")
    except (ValueError, AttributeError):
        message = response.body[:200].decode("utf-8", "replace").strip()
    hint = _HINTS.get(kind)
    return f"Lambda refused {call.function}: {kind}: {message}" + (f" ({hint})" if hint else "")


def _kind(response: Response) -> str:
    named = response.headers.get("x-amzn-errortype", "")
    if not named and response.status != 202:
        try:
            document = json.loads(response.body)
            named = str(document.get("__type") or document.get("Type") or "")
        except (ValueError, AttributeError):
            pass
    return named.partition(":")[0].rpartition("#")[2]
