"""The cancels of a run, as runs/<run>/cancel.json keeps them: what was reserved before, and when it was."""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..errors import InputError
from .place import Place


@dataclass(frozen=True)
class Cancel:
    """One cancel. It is written before anything is changed, so that whatever happens can be undone."""

    began: float
    """Unix time in seconds."""
    reserved: dict[str, int | None]
    """Reserved concurrency of each deployed function before; None where it had none."""
    ended: float | None = None
    """When everything was as before again; None until then."""


def read(place: Place, run: str) -> list[Cancel]:
    """The cancels of a run, the newest last. Raises InputError for a file that is damaged."""
    body = place.get(_key(run))
    if body is None:
        return []
    try:
        return [Cancel(**item) for item in json.loads(body)]
    except (ValueError, TypeError) as error:
        raise InputError(f"{place.uri(_key(run))} cannot be read: {error}") from error


def begin(place: Place, run: str, cancel: Cancel) -> None:
    """Adds a cancel."""
    _write(place, run, [*read(place, run), cancel])


def unfinished(place: Place, run: str) -> Cancel | None:
    """The cancel that was begun and not ended: the functions may be stopped still."""
    found = read(place, run)
    return found[-1] if found and found[-1].ended is None else None


def end(place: Place, run: str, when: float) -> None:
    """Notes that the newest cancel is over."""
    *before, last = read(place, run)
    _write(place, run, [*before, replace(last, ended=when)])


def windows(place: Place, run: str) -> list[tuple[float, float]]:
    """When this run was being cancelled: Unix times in milliseconds, an open end infinite."""
    return [
        (cancel.began * 1000, float("inf") if cancel.ended is None else cancel.ended * 1000)
        for cancel in read(place, run)
    ]


def _key(run: str) -> str:
    return f"runs/{run}/cancel.json"


def _write(place: Place, run: str, cancels: list[Cancel]) -> None:
    body: list[dict[str, Any]] = [asdict(cancel) for cancel in cancels]
    place.put(_key(run), (json.dumps(body, indent=1) + "\n").encode())
