"""The cancels of a run, kept in runs/<run>/cancel.json.

While the last one has no end, the functions begin no file of the run, and nothing is sent.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..errors import InputError, UsageError
from ..files import from_json
from ..storage.place import Place

_ATTEMPTS = 5


@dataclass(frozen=True)
class Cancel:
    """One cancel."""

    began: float
    """Unix time in seconds."""
    reserved: dict[str, int | None]
    """Of a cancel by an earlier version, which stopped the functions: their reserved concurrency before it,
    None if there was none. Otherwise empty.
    """
    ended: float | None = None
    """When nothing of the run ran any more, or the cancel was withdrawn; None until then."""


def read(place: Place, run: str) -> list[Cancel]:
    """The cancels of a run, oldest first. Raises InputError if the file is damaged."""
    return _read(place, run)[0]


def begin(place: Place, run: str, cancel: Cancel) -> Cancel:
    """Adds a cancel and returns it, or returns the one that another process has begun since."""

    def add(existing: list[Cancel]) -> list[Cancel]:
        return existing if _is_open(existing) else [*existing, cancel]

    return _change(place, run, add)[-1]


def unfinished(place: Place, run: str) -> Cancel | None:
    """The cancel that began and did not end, if any."""
    existing = read(place, run)
    return existing[-1] if _is_open(existing) else None


def refuse_if_open(place: Place, run: str) -> None:
    """Raises UsageError if a cancel of the run is open."""
    if unfinished(place, run):
        raise UsageError(
            f"a cancel of run {run!r} is open: `skyfan cancel {run}` completes it, "
            f"`skyfan cancel {run} --restore` withdraws it"
        )


def end(place: Place, run: str, when: float) -> None:
    """Marks the newest cancel as ended at the Unix time `when`, unless it has ended before."""

    def mark(existing: list[Cancel]) -> list[Cancel]:
        return [*existing[:-1], replace(existing[-1], ended=when)] if _is_open(existing) else existing

    _change(place, run, mark)


def windows(place: Place, run: str) -> list[tuple[float, float]]:
    """Start and end of each cancel, Unix times in milliseconds; the end is infinite if it has not ended."""
    return [
        (cancel.began * 1000, float("inf") if cancel.ended is None else cancel.ended * 1000)
        for cancel in read(place, run)
    ]


def _key(run: str) -> str:
    return f"runs/{run}/cancel.json"


def _is_open(existing: list[Cancel]) -> bool:
    return bool(existing) and existing[-1].ended is None


def _read(place: Place, run: str) -> tuple[list[Cancel], str | None]:
    tagged = place.get_tagged(_key(run))
    if tagged is None:
        return [], None
    try:
        found = from_json(tagged[0])
        if not isinstance(found, list):
            raise TypeError("it is not a list")
        return [_cancel(**item) for item in found], tagged[1]
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{place.uri(_key(run))} cannot be read ({error}): remove it, and nothing else. "
            f"The run then goes on; `skyfan cancel {run}` stops it again"
        ) from error


def _cancel(began: Any, reserved: Any, ended: Any = None) -> Cancel:
    if not all(isinstance(time, int | float) and 0 <= time < 1e11 for time in (began, ended or 0.0)):
        raise TypeError("a time in it is not a Unix time")
    if not isinstance(reserved, dict):
        raise TypeError("its functions are not an object")
    return Cancel(began, reserved, ended)


def _change(place: Place, run: str, change: Callable[[list[Cancel]], list[Cancel]]) -> list[Cancel]:
    """Writes what `change` makes of the cancels; applies it again if another process was first."""
    for _ in range(_ATTEMPTS):
        before, etag = _read(place, run)
        after = change(before)
        if after == before:
            return after
        body: list[dict[str, Any]] = [asdict(cancel) for cancel in after]
        if place.put_if(_key(run), (json.dumps(body, indent=1) + "\n").encode(), etag) is not None:
            return after
    raise InputError(f"{place.uri(_key(run))} is being changed by several processes at once: try again")
