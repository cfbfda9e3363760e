"""Events of an engine, passed to the callback `on_event` as they happen; and callbacks for progress."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Started:
    """The run begins. `total` is None if the number of inputs is not known yet."""

    total: int | None
    jobs: int
    note: str = ""
    """Why there are fewer workers than CPUs, if that was not the caller's choice."""
    bytes: int | None = None
    """Of all inputs; None if the size of one is unknown."""


@dataclass(frozen=True)
class AlreadyDone:
    """An earlier run has made the result of this input, so that nothing is invoked."""

    input: str
    size: int = 0
    """Bytes; 0 if unknown."""


@dataclass(frozen=True)
class Done:
    """An input was processed. `result` is what the handler returned, `size` in bytes, 0 if unknown."""

    input: str
    result: Any
    seconds: float
    attempt: int
    size: int = 0


@dataclass(frozen=True)
class Retrying:
    """An attempt failed; the next one follows after `delay` seconds."""

    input: str
    error: dict[str, Any]
    attempt: int
    delay: float


@dataclass(frozen=True)
class Failed:
    """The last attempt failed. `error` has Lambda's errorType and errorMessage, `record` is a path, `size` in
    bytes, 0 if unknown.
    """

    input: str
    error: dict[str, Any]
    attempt: int
    record: Path
    size: int = 0


@dataclass(frozen=True)
class Dispatched:
    """Progress of the AWS engine; sent a few times per second, not once per file."""

    files: int
    """Files in the plan of this call."""
    before: int
    """Files that were done or sent in an earlier call."""
    sent: int
    """Files that Lambda accepted in this call."""
    planned: int | None
    """Files of the whole run, all plans together; None until the first poll of the bucket."""
    done: int
    failed: int
    late: int
    send_wait: str = ""
    """Why Lambda accepts nothing now: what, since when, until when; empty if it does."""
    result_wait: str = ""
    """What results are being waited for, likewise; empty while files are sent."""


@dataclass(frozen=True)
class Notice:
    """What the user should know before it costs time or money, in one line."""

    text: str


Event = Notice | Started | AlreadyDone | Done | Retrying | Failed | Dispatched
OnEvent = Callable[[Event], None]

OnProgress = Callable[[str, int, int], None]
"""Progress callback: (stage, done, total); total is 0 if unknown."""


class _Ignore:
    """A class so that the signature of a function shows a word."""

    def __call__(self, *_: object) -> None: ...

    def __repr__(self) -> str:
        return "ignore"


ignore = _Ignore()
"""A callback for events or progress that does nothing."""
