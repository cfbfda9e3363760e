"""The configuration of a run (run.json) and its plans; the same in a bucket and in a folder."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pyarrow as pa

from skyfan_contract import RUN_NAME

from .. import concurrency, files
from ..concurrency import chunks
from ..errors import InputError, RunConflictError, UsageError
from ..files import from_json
from ..plans import bucket
from ..plans import plan as plans
from ..plans.limits import ArchiveLimits
from ..plans.plan import STANDARD, Plan
from ..storage import uris
from ..storage.place import Place
from ..storage.uris import below_bucket
from ..task import Task

LOCK = "engine.lock"
"""The file in the folder of a run that an engine on this machine locks while it works."""
LOCKING = ("local", "sam")
"""The engines, in run.json, that do."""
LARGE_SUFFIX = "Large"
"""The variant of a function with more memory has the function's name with this suffix."""
_COMPARED = ("function", "config", "outputs", "access", "engine")
_KINDS: dict[str, type] = {"function": str, "config": dict, "outputs": list, "access": str, "failures": str}
_MAX_NAMES = 20
_CHUNK = 1 << 14


def begin(
    place: Place,
    task: Task,
    results: str,
    failures: str | None = None,
    *,
    engine: str | None = None,
    marks: bool = False,
    watch: bool = False,
) -> bool:
    """Writes run.json and returns True, or compares the existing one and returns False.

    `results` is SKYFAN_OUTPUT of the function, `failures` the place of Lambda's failure records, `engine` the
    one that processes the files, `marks` whether the function marks doubtful results, `watch` whether a watch
    adds files to the run. All are kept in
    run.json so that the run can be followed without the stack, and the time in `began`. Of several processes
    that start a run at once, one returns True. Raises RunConflictError if the configurations or the engines
    differ; the message names each key that does.
    """
    about = {**task.configuration(), "results": below_bucket(results)}
    if engine:
        about["engine"] = engine
    if failures:
        about["failures"] = failures
    if marks:
        about["doubtful"] = True
    if watch:
        about["watch"] = True
    key = f"runs/{task.run}/run.json"
    body = place.get(key)
    if body is None:
        new = {**about, "began": datetime.now(UTC).isoformat(timespec="milliseconds")}
        if place.put_if(key, (json.dumps(new, indent=1) + "\n").encode(), None) is not None:
            return True
        body = place.get(key) or b""  # another process has started the run since
    before = _parse(body, place.uri(key))
    if engine:
        before.setdefault("engine", engine)  # earlier versions did not record it
    if differences := _differences(before, about):
        raise RunConflictError(
            f"run {task.run!r} in {place.name} was started with another configuration: "
            f"{'; '.join(differences)}. Choose another name with --run, or use the old configuration."
        )
    return False


def read(place: Place, run: str) -> dict[str, Any]:
    """The content of run.json: function, config, outputs, access, results, engine, began; if the function
    marks doubtful results, doubtful; for Lambda, failures.

    Raises UsageError if there is no such run; the message names the existing runs.
    """
    if not RUN_NAME.fullmatch(run):
        raise UsageError(f"{run!r} is not a run's name: give the name alone, and the place with --output")
    key = f"runs/{run}/run.json"
    body = place.get(key)
    if body is None:
        known = names(place)
        if run in known:
            raise UsageError(
                f"{place.uri(key)} is missing: the run was never begun, or the file was lost; the same "
                "`skyfan run` command writes it, and what is done stays done"
            )
        hint = "".join(f"is {name!r} meant? " for name in get_close_matches(run, known, 1))
        raise UsageError(f"there is no run {run!r} in {place.name}; {hint}existing runs: {_some(known)}")
    return _parse(body, place.uri(key))


def began(place: Place, run: str, about: dict[str, Any]) -> float:
    """When a run began, Unix seconds; `about` is the content of its run.json.

    Without `began` in run.json, and for a clock that was ahead, the time of the object counts: a copy or a
    second write of run.json never makes a run younger.
    """
    modified = place.modified(f"runs/{run}/run.json")
    if (text := about.get("began")) is None:
        return modified
    return min(modified, datetime.fromisoformat(text).timestamp())


def names(place: Place) -> list[str]:
    """The names of all runs of a place, from one listing."""
    return [prefix.rsplit("/", 1)[1] for prefix in place.prefixes("runs/")]


def task(run: str, about: dict[str, Any]) -> Task:
    """The task of a run, from the content of its run.json."""
    return Task(run, about["access"], about["config"], tuple(about["outputs"]), about["function"])


@contextmanager
def as_plan(inputs: Iterable[str] | Plan, access: str = "anonymous") -> Iterator[Plan]:
    """The plan, or one of these URIs, with the sizes that the file system and their buckets tell."""
    if isinstance(inputs, Plan):
        yield inputs
        return
    inputs = list(inputs)
    remote = (uri for uri in inputs if uri.startswith("s3://"))
    found, _ = concurrency.run(bucket.statuses(remote, ArchiveLimits(), access=access))
    sizes = {uri: status.size for uri, status in found.items() if status.size is not None}
    with files.scratch() as folder:
        yield of_uris(inputs, folder / "plan.parquet", sizes)


def add_plan(place: Place, run: str, plan: Plan) -> None:
    """Stores a plan with its run. Adding the same plan again mends the stored one if it was damaged."""
    key, body = f"runs/{run}/plans/{plan.digest()}.parquet", plan.path.read_bytes()
    if place.get(key) != body:
        place.put(key, body)


def of_uris(names: Iterable[str], path: Path, sizes: Mapping[str, int] | None = None) -> Plan:
    """Writes a plan of URIs without duplicates, with sizes of local files and those in `sizes`, in bytes.

    Equal URIs and sizes give equal plans.
    """
    known = sizes or {}
    tables: list[pa.Table] = []
    for chunk in chunks(names, _CHUNK):
        size = pa.array([known[uri] if uri in known else _size(uri) for uri in chunk], pa.int64())
        tables.append(pa.table({"uri": pa.array(chunk, pa.string()), "size": size}))
    table = pa.concat_tables(tables) if tables else plans.SCHEMA.empty_table().select(["uri", "size"])
    table = table.group_by("uri", use_threads=False).aggregate([("size", "max")])
    table = table.rename_columns(["uri", "size"])
    return plans.write(path, table.append_column("tier", pa.array([STANDARD] * len(table), pa.string())), {})


def _parse(body: bytes, uri: str) -> dict[str, Any]:
    try:
        about = from_json(body)
        if not isinstance(about, dict):
            raise ValueError("not an object")
        if "{key}" not in str(about.get("results")):
            raise ValueError("it does not say where results are")
        if "began" in about and datetime.fromisoformat(about["began"]).tzinfo is None:
            raise ValueError('the time in "began" has no time zone')
        for key, kind in _KINDS.items():
            if not isinstance(about.get(key, kind()), kind):
                raise ValueError(f"{key!r} is not what it must be: {str(about[key])[:60]!r}")
    except (ValueError, TypeError) as error:
        raise InputError(f"{uri} cannot be read ({error}): choose another --run, or remove it") from error
    return about


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    old, new = _flat(before), _flat(now)
    return [
        f"{key} was {_value(old, key)} and is now {_value(new, key)}"
        for key in sorted({**old, **new})
        if old.get(key) != new.get(key)
    ]


def _flat(about: dict[str, Any]) -> dict[str, Any]:
    rest = {key: about.get(key) for key in _COMPARED if key != "config"}
    return {**rest, **{f"config {key}": value for key, value in about.get("config", {}).items()}}


def _value(values: dict[str, Any], key: str) -> str:
    return json.dumps(values[key]) if key in values else "not set"


def _some(runs: list[str]) -> str:
    more = f" and {len(runs) - _MAX_NAMES} more" if len(runs) > _MAX_NAMES else ""
    return ", ".join(runs[:_MAX_NAMES]) + more if runs else "none"


def _size(uri: str) -> int | None:
    path = uris.local_path(uri)
    try:
        return path.stat().st_size if path else None
    except OSError:
        return None
