"""Files grouped into invocations, each with the payload that will be sent."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ..errors import UsageError
from ..task import Task

# Lambda's limit for an asynchronous event is 1 MB; whether that is 10**6 or 2**20 bytes is not said.
MAX_EVENT = 1_000_000


class Call(NamedTuple):
    """One Event invocation."""

    function: str
    """Deployed name."""
    uris: tuple[str, ...]
    payload: bytes


def calls(files: Iterable[tuple[str, str]], task: Task, batch: int = 1) -> Iterator[Call]:
    """The invocations for (URI, deployed function name) pairs, in order; `batch` files at most share one.

    Files of one invocation go to the same function. Payloads stay below MAX_EVENT; raises UsageError where
    one file alone is over it. With a batch of 1 the event is a single file's.
    """
    if batch < 1:
        raise UsageError(f"batch must be at least 1, not {batch}")
    if batch == 1:
        for uri, function in files:
            yield _checked(Call(function, (uri,), _bytes(task.event(uri))))
        return
    shared = {key: value for key, value in task.event("").items() if key != "input"}
    room = MAX_EVENT - len(_bytes({"inputs": [], **shared}))
    waiting: dict[str, list[str]] = {}
    sizes: dict[str, int] = {}
    for uri, function in files:
        uris, size = waiting.setdefault(function, []), len(_bytes(uri)) + 1
        if uris and (len(uris) == batch or sizes[function] + size > room):
            yield _batch(function, uris, shared)
            uris.clear()
        sizes[function] = (sizes[function] if uris else 0) + size
        uris.append(uri)
    for function, uris in waiting.items():
        if uris:
            yield _batch(function, uris, shared)


def _batch(function: str, uris: list[str], shared: dict[str, Any]) -> Call:
    return _checked(Call(function, tuple(uris), _bytes({"inputs": uris, **shared})))


def _checked(call: Call) -> Call:
    if len(call.payload) > MAX_EVENT:
        raise UsageError(
            f"the event for {call.uris[0]} has {len(call.payload)} bytes, more than the 1 MB that Lambda "
            "takes: make the configuration smaller"
        )
    return call


def _bytes(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
