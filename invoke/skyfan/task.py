"""The task of a run: its function, and what every engine passes to it with each file."""

import json
from dataclasses import dataclass, field
from typing import Any

from skyfan_contract import ACCESS, RUN_NAME, RUN_RULE

from .errors import UsageError

# Lambda takes asynchronous events of up to 1 MB, but bills one request for the first 256 KB and one more for
# each further 64 KB (aws.amazon.com/lambda/pricing, November 2026): two smaller batches cost less, and every
# event is one request. The page does not say 1000 or 1024 bytes.
MAX_EVENT = 256_000
"""Bytes of an event."""


@dataclass(frozen=True)
class Task:
    """The name of a run, its function, and what its events have in common.

    Raises UsageError for invalid values.

    >>> Task("deep", config={"detect_thresh": 3}).function
    'SepExtract'
    """

    run: str = "default"
    access: str = "anonymous"
    """How S3 inputs are read: anonymous, signed or requester-pays."""
    config: dict[str, Any] = field(default_factory=dict)
    """Settings of the function, which checks them itself."""
    outputs: tuple[str, ...] = ()
    """Further results besides the main one, by name: of SepExtract, see its README."""
    function: str = "SepExtract"
    """Logical ID in the template."""

    def __post_init__(self) -> None:
        if not RUN_NAME.fullmatch(self.run):
            raise UsageError(f"{self.run!r} cannot be the name of a run: use {RUN_RULE}")
        if self.access not in ACCESS:
            raise UsageError(f"access must be one of {', '.join(ACCESS)}, not {self.access!r}")
        for name, value in self.config.items():
            _check_json(name, value)

    def event(self, uri: str, detect: str | None = None) -> dict[str, Any]:
        """The event for one input; `detect` is its detection image."""
        return {"input": uri, **self.shared} | ({"detect": detect} if detect else {})

    @property
    def shared(self) -> dict[str, Any]:
        """What all events have in common. Defaults are left out: not every function takes every key."""
        event: dict[str, Any] = {"run": self.run}
        if self.access != "anonymous":
            event["access"] = self.access
        if self.config:
            event["config"] = self.config
        if self.outputs:
            event["outputs"] = list(self.outputs)
        return event

    @property
    def room(self) -> int:
        """Bytes for the inputs in the event of a batch, each with a comma."""
        return MAX_EVENT - len(encoded({"inputs": [], **self.shared})) + 1

    def configuration(self) -> dict[str, Any]:
        """The part of run.json that must be the same whenever a run of this name is continued."""
        return {
            "function": self.function,
            "config": self.config,
            "outputs": sorted(self.outputs),
            "access": self.access,
        }


def _check_json(name: object, value: Any) -> None:
    """Raises UsageError for a setting that no event can hold."""
    if not isinstance(name, str):
        raise UsageError(f"the name of a setting must be text, not {name!r}")
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            f"the setting {name!r} is nothing that JSON can hold ({str(error)[:100]}): use finite numbers, "
            "text, true, false, and lists or tables of these"
        ) from error


class Filling:
    """Divides inputs into the events of batches: up to `batch` inputs and `room` bytes in each."""

    def __init__(self, batch: int, room: int) -> None:
        self.events = 0
        """Number of events so far."""
        self._batch, self._room = batch, room
        self._inputs = self._bytes = 0
        self._detect: str | None = None

    def begins(self, uri: str, detect: str | None = None) -> bool:
        """Adds an input and its detection image, which those of one event share; whether it is the first of
        an event.
        """
        size = len(encoded(uri)) + 1
        is_full = self._inputs in (0, self._batch) or self._bytes + size > self._room
        is_first = is_full or detect != self._detect
        if is_first:
            self.events += 1
            self._inputs, self._detect = 0, detect
            self._bytes = len(encoded({"detect": detect})) if detect else 0
        self._inputs += 1
        self._bytes += size
        return is_first


def encoded(value: Any) -> bytes:
    """JSON as it is sent."""
    return json.dumps(value, separators=(",", ":")).encode()
