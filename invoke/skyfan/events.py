"""What an engine tells while it works: it calls `on_event` with these, in the order of happening."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Started:
    """The run begins. `total` is None where the inputs cannot be counted beforehand."""

    total: int | None
    jobs: int


@dataclass(frozen=True)
class AlreadyDone:
    """An input has its result from an earlier run: nothing is invoked."""

    input: str


@dataclass(frozen=True)
class Done:
    """An input was processed. `result` is what the handler returned."""

    input: str
    result: Any
    seconds: float
    attempt: int


@dataclass(frozen=True)
class Retrying:
    """A try failed and another will follow after `delay` seconds."""

    input: str
    error: dict[str, Any]
    attempt: int
    delay: float


@dataclass(frozen=True)
class Failed:
    """The last try failed. `error` holds Lambda's errorType and errorMessage, `record` is where it lies."""

    input: str
    error: dict[str, Any]
    attempt: int
    record: Path


@dataclass(frozen=True)
class Dispatched:
    """How far the AWS engine is; told a few times a second, not for each file."""

    files: int
    """Of the plan that was given."""
    before: int
    """Files that were done or sent in an earlier call."""
    sent: int
    """Files that Lambda accepted in this call."""
    planned: int | None
    """Files of the whole run, all plans together; None until the bucket was looked at."""
    done: int
    failed: int
    late: int


Event = Started | AlreadyDone | Done | Retrying | Failed | Dispatched
OnEvent = Callable[[Event], None]


@dataclass
class FailureGroup:
    """All failures of one errorType, with the first as the example."""

    count: int
    input: str
    message: str
    record: Path
    permanent: bool
    """The function says that another try cannot help."""


@dataclass
class Summary:
    """What a run came to. Its size does not grow with the number of files."""

    total: int = 0
    done: int = 0
    already_done: int = 0
    retries: int = 0
    failures: dict[str, FailureGroup] = field(default_factory=dict)
    """By errorType."""
    unwritten: int = 0
    """Successes that left no result in SKYFAN_OUTPUT's place: another run would process them again."""
    seconds: float = 0.0
    log: Path | None = None

    @property
    def failed(self) -> int:
        return sum(group.count for group in self.failures.values())


class Interrupted(KeyboardInterrupt):
    """Ctrl-C: the workers are gone, and what was done before stays done."""

    def __init__(self, summary: Summary) -> None:
        super().__init__("interrupted")
        self.summary = summary
