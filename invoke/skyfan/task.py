"""What is asked of a function for every file of a run: the same for each engine."""

import re
from dataclasses import dataclass, field
from typing import Any

from . import s3
from .errors import UsageError

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Task:
    """A run's name and the part of the event that all its files share."""

    run: str = "default"
    access: str = "anonymous"
    """How S3 inputs are read: anonymous, signed or requester-pays."""
    config: dict[str, Any] = field(default_factory=dict)
    """Settings of the function; the function itself knows which there are."""
    outputs: tuple[str, ...] = ()
    """Further results beside the main one: preview, parquet."""

    def __post_init__(self) -> None:
        if not RUN_NAME.fullmatch(self.run):
            raise UsageError(
                "a run's name is 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit: "
                f"{self.run!r} will not do"
            )
        if self.access not in s3.ACCESS:
            raise UsageError(f"access is one of {', '.join(s3.ACCESS)}, not {self.access!r}")

    def event(self, uri: str) -> dict[str, Any]:
        """The event for one input, without keys at their defaults: not every function takes every key."""
        event: dict[str, Any] = {"input": uri, "run": self.run}
        if self.access != "anonymous":
            event["access"] = self.access
        if self.config:
            event["config"] = self.config
        if self.outputs:
            event["outputs"] = list(self.outputs)
        return event

    def configuration(self, function: str) -> dict[str, Any]:
        """What run.json holds: all that makes two runs of one name the same run."""
        return {
            "function": function,
            "config": self.config,
            "outputs": sorted(self.outputs),
            "access": self.access,
        }
