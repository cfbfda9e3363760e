"""A run's own file, run.json, the same in a bucket and in a folder; and the plans that were given to it."""

import json
from typing import Any

from .. import task as tasks
from ..errors import InputError, RunConflictError, UsageError
from ..plans.plan import Plan
from ..task import Task
from .place import Place

SUFFIX = "Large"
"""The function of the same code with more memory has the function's name with this behind it."""
_COMPARED = ("function", "config", "outputs", "access")
# Of runs begun before run.json named the place of results.
_RESULTS = {
    "SepExtract": "runs/{run}/catalogs/{key}.cat.fits",
    "FitsSummary": "runs/{run}/summaries/{key}.json",
}


def begin(place: Place, task: Task, function: str, results: str, failures: str | None = None) -> bool:
    """Writes run.json (True), or checks that the run that is there has the same configuration (False).

    `function` is a logical ID, `results` its SKYFAN_OUTPUT, `failures` the place of Lambda's failure records.
    Both are kept so that whoever has the bucket can follow the run without the stack. Raises
    RunConflictError that names each key that differs.
    """
    asked = {**task.configuration(function), "results": results.removeprefix("s3://").partition("/")[2]}
    if failures:
        asked["failures"] = failures
    key = f"runs/{task.run}/run.json"
    body = place.get(key)
    if body is None:
        _write(place, key, asked)
        return True
    there = _parsed(body, place.uri(key))
    if differing := _differences(there, asked):
        raise RunConflictError(
            f"run {task.run!r} in {place.name} was started with another configuration: "
            f"{'; '.join(differing)}. Give the new one its own name with --run, or ask for the old one."
        )
    if there.keys() < asked.keys():  # begun by a skyfan that wrote less
        _write(place, key, {**asked, **there})
    return False


def read(place: Place, run: str) -> dict[str, Any]:
    """What run.json holds: function, config, outputs, access, results and, of a run on Lambda, failures.

    Raises UsageError for a run that is not there, naming those that are.
    """
    if not tasks.RUN_NAME.fullmatch(run):
        raise UsageError(f"{run!r} is no run's name: give the name alone, and its place with --output")
    key = f"runs/{run}/run.json"
    body = place.get(key)
    if body is None:
        there = names(place)
        raise UsageError(
            f"there is no run {run!r} in {place.name}; "
            + (f"there are: {_few(there)}" if there else "there is none at all")
        )
    about = _parsed(body, place.uri(key))
    if "results" not in about:
        about["results"] = _RESULTS.get(about.get("function", ""), "")
    if "{key}" not in about["results"]:
        raise UsageError(
            f"{place.uri(key)} does not say where results go: the same `skyfan run` command mends it"
        )
    return about


def names(place: Place) -> list[str]:
    """The runs of a place, by name: one listing, however many files they have."""
    return [prefix.rsplit("/", 1)[1] for prefix in place.prefixes("runs/")]


def task(run: str, about: dict[str, Any]) -> Task:
    """The task that run.json tells of."""
    return Task(run, about["access"], about["config"], tuple(about["outputs"]))


def add_plan(place: Place, run: str, plan: Plan) -> None:
    """Keeps a plan with its run. The same plan is kept once, however often it is given."""
    key = f"runs/{run}/plans/{plan.digest()}.parquet"
    if place.get(key) is None:
        place.put(key, plan.path.read_bytes())


def _write(place: Place, key: str, about: dict[str, Any]) -> None:
    place.put(key, (json.dumps(about, indent=1) + "\n").encode())


def _parsed(body: bytes, uri: str) -> dict[str, Any]:
    try:
        about = json.loads(body)
        if not isinstance(about, dict):
            raise ValueError("not an object")
    except ValueError as error:
        raise InputError(f"{uri} cannot be read ({error}): choose another --run, or remove it") from error
    return about


def _differences(there: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    then, now = _flat(there), _flat(asked)
    return [
        f"{key} was {_shown(then, key)} and is now {_shown(now, key)}"
        for key in sorted({**then, **now})
        if then.get(key) != now.get(key)
    ]


def _flat(configuration: dict[str, Any]) -> dict[str, Any]:
    rest = {key: configuration.get(key) for key in _COMPARED if key != "config"}
    return {**rest, **{f"config {key}": value for key, value in configuration.get("config", {}).items()}}


def _shown(values: dict[str, Any], key: str) -> str:
    return json.dumps(values[key]) if key in values else "not set"


def _few(there: list[str]) -> str:
    return ", ".join(there[:20]) + (f" and {len(there) - 20} more" if len(there) > 20 else "")
