"""Adds, changes and reads watches of a place: s3://bucket of a stack, or a folder."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from skyfan_contract import RUN_NAME, RUN_RULE
from skyfan_watch.definition import Watch, folder

from ..errors import InputError, RunConflictError, UsageError
from ..runs import watch_state
from ..runs.watch_state import WatchState
from ..storage.place import Place

_FIXED = ("query", "task", "where", "source")
_UNKNOWN = "watches/.unknown/"


def check_name(name: str) -> None:
    """Raises UsageError for what cannot be the name of a watch, which is that of its run."""
    if not RUN_NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot be the name of a watch: use {RUN_RULE}")


def check_new(place: Place, watch: Watch) -> Watch:
    """The watch as it would be stored, with what an earlier one of its name keeps.

    A watch that exists gets another budget. Raises RunConflictError if it has another query or configuration,
    or if its name is that of a run.
    """
    check_name(watch.name)
    key = f"{folder(watch.name)}watch.json"
    if (body := place.get(key)) is None:
        if (run := place.get(f"runs/{watch.name}/run.json")) and not _is_watched(run):
            raise RunConflictError(
                f"{place.name} has a run {watch.name!r}, and the results of a watch go to the run of its "
                "name: choose another name"
            )
        return watch
    before = watch_state.parse(body, place.uri(key))
    if differs := [name for name in _FIXED if _plain(before, name) != _plain(watch, name)]:
        what = {"query": "criteria", "task": "function or configuration"}
        raise RunConflictError(
            f"the watch {watch.name!r} exists with {' and '.join(what.get(name, name) for name in differs)} "
            "that differ: choose another name; its budget alone can be changed by `skyfan watch add`"
        )
    return replace(watch, created=before.created, paused=before.paused)


def store(place: Place, watch: Watch) -> None:
    """Writes a watch. Raises RunConflictError if somebody else writes it at the same time."""
    key = f"{folder(watch.name)}watch.json"
    found = place.get_tagged(key)
    _write(place, watch, found[1] if found else None)


def change(place: Place, name: str, **values: Any) -> Watch:
    """Changes some fields of a watch. Raises UsageError if there is none."""
    before = read(place, name).watch
    found = place.get_tagged(f"{folder(name)}watch.json")
    after = replace(before, **values)
    _write(place, after, found[1] if found else None)
    return after


def _write(place: Place, watch: Watch, etag: str | None) -> None:
    key, body = f"{folder(watch.name)}watch.json", watch.body()
    if place.put_if(key, body, etag) is None and place.get(key) != body:
        raise RunConflictError(f"the watch {watch.name!r} is being changed by somebody else: try again")


def read(place: Place, name: str) -> WatchState:
    """A watch and its ledger. Raises UsageError if there is none, InputError if one of both is damaged."""
    check_name(name)
    if (found := watch_state.read(place, name)) is None:
        raise UsageError(f"there is no watch {name!r} in {place.name}; {_existing(place)}")
    return found


def read_all(place: Place, *, removed: bool = False) -> list[WatchState]:
    """All watches of a place by name; those that were removed only on request."""
    found = [read(place, name) for name in names(place)]
    return [one for one in found if removed or not one.watch.removed]


def names(place: Place) -> list[str]:
    """The names of all watches of a place, removed ones included."""
    listed = (name.rpartition("/")[2] for name in place.prefixes("watches/"))
    return sorted(name for name in listed if RUN_NAME.fullmatch(name))


def log(place: Place, name: str, limit: int) -> list[dict[str, Any]]:
    """The last decisions of a watch, at most `limit`, oldest first; see skyfan_watch.standing."""
    read(place, name)
    objects = sorted(place.list(f"{folder(name)}log/"), key=lambda item: item.key)
    lines: list[dict[str, Any]] = []
    for item, body in place.fetch(objects[-limit:]):  # each has at least one line
        try:
            lines += [json.loads(line) for line in body.splitlines()]
        except ValueError as error:
            raise InputError(f"{place.uri(item.key)} is damaged: {error}") from error
    return lines[-limit:]


def unknown(place: Place) -> Iterator[str]:
    """The URIs of messages of unknown shape, which the Watcher kept."""
    return (place.uri(item.key) for item in place.list(_UNKNOWN))


def now() -> str:
    """This moment, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _plain(watch: Watch, name: str) -> Any:
    return json.loads(watch.body())[name]


def _is_watched(run: bytes) -> bool:
    try:
        return bool(json.loads(run).get("watch"))
    except (ValueError, AttributeError):
        return False


def _existing(place: Place) -> str:
    return f"existing watches: {', '.join(names(place)) or 'none'}"
