"""The event of one invocation, validated."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Self, cast

from skyfan_contract import ACCESS, RUN_NAME, RUN_RULE, Access, key_of, quoted, shortened

from .errors import EventError


def choice(name: str, value: object, known: Sequence[str]) -> str:
    """Return ``value`` if it is one of ``known``; raise EventError otherwise."""
    if not isinstance(value, str) or value not in known:
        raise EventError(f"event: '{name}' must be one of {', '.join(known)}, not {quoted(value)}")
    return value


def refuse_unknown(where: str, keys: Mapping[Any, Any], known: Sequence[str]) -> None:
    """Raise EventError for the first key that is not ``known``; the message names the nearest known key."""
    for name in keys:
        if name not in known:
            short = shortened(str(name), 200)
            near = difflib.get_close_matches(short, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known keys are {', '.join(known)}"
            raise EventError(f"{where}: unknown key '{short}'; {hint}")


def checked_input(name: str, value: object) -> str:
    """The URI of an input, the value of a key. Raises EventError if it is not one."""
    if not isinstance(value, str):
        raise EventError(
            f"event: '{name}' must be s3://bucket/key or file:///absolute/path, not {quoted(value)}"
        )
    try:
        key_of(value)
    except ValueError as exc:
        raise EventError(f"event: '{name}': {exc}") from exc
    return value


def _input(value: object) -> str:
    return checked_input("input", value)


def checked_run(value: object) -> str:
    """The name of a run. Raises EventError if it is not one."""
    if not isinstance(value, str) or not RUN_NAME.fullmatch(value):
        raise EventError(f"event: 'run' must be {RUN_RULE}, not {quoted(value)}")
    return value


def _access(value: object) -> Access:
    return cast("Access", choice("access", value, ACCESS))


@dataclass(frozen=True)
class Request:
    """The keys that every function takes. A subclass adds keys of its own.

    A field's metadata holds its ``check``, a function from the value in the event to the field's value that
    raises EventError. A field without a default (``kw_only`` in a subclass) is required.
    """

    input: str = field(metadata={"check": _input})
    run: str = field(metadata={"check": checked_run}, default="default")
    access: Access = field(metadata={"check": _access}, default="anonymous")

    @property
    def key(self) -> str:
        """The {key} of everything that is written for this input."""
        return key_of(self.input)

    @property
    def others(self) -> tuple[str, ...]:
        """Further inputs that the result is made from, read with the same access; for subclasses."""
        return ()

    @classmethod
    def parse(cls, event: object) -> Self:
        """Validate a Lambda event.

        Raises EventError for a wrong type, a missing or unknown key, or a value that its check refuses; the
        message names the key.
        """
        if not isinstance(event, Mapping):
            raise EventError(
                f"the event must be a JSON object such as {{'input': 's3://…'}}, not {type(event).__name__}"
            )
        checks = {f.name: f.metadata["check"] for f in fields(cls)}
        refuse_unknown("event", event, list(checks))
        for f in fields(cls):
            if f.name not in event and f.default is f.default_factory is MISSING:
                raise EventError(f"event: '{f.name}' is missing")
        return cls(**{name: check(event[name]) for name, check in checks.items() if name in event})
