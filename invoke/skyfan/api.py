"""skyfan from Python, for notebooks and scripts. The command line is a thin shell of these functions.

from skyfan.api import run
summary = run(["images/*.fits"], "out", run="first-light", config={"detect_thresh": 3})
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from . import events, following, inputs, retrying, template
from .catalogs import calls
from .local import engine
from .plans import make
from .plans.criteria import Criteria
from .plans.plan import Plan
from .plans.stages import Watch
from .task import Task

collect = calls.collect
search = calls.search
status = following.status
follow = following.follow
runs = following.runs
retry = retrying.retry


def run(
    paths: Iterable[str],
    output: str | Path,
    *,
    function: str = "SepExtract",
    run: str = "default",
    config: Mapping[str, Any] | None = None,
    outputs: Iterable[str] = (),
    access: str = "anonymous",
    jobs: int | None = None,
    retries: int | None = None,
    timeout: float | None = None,
    memory: int | None = None,
    template_file: str | Path | None = None,
    on_event: Callable[[events.Event], None] = lambda event: None,
) -> events.Summary:
    """Runs a function of template.yaml on every input that `paths` name, on this machine.

    `paths` are files, folders, globs, s3:// objects, s3:// prefixes that end in /, and @lists; results go to
    <output>/runs/<run>/. `timeout` is in seconds, `memory` in MB; None takes the template's value. Raises
    UsageError for what cannot be done, Interrupted on Ctrl-C. Call it again to go on.
    """
    registry = template.read(Path(template_file) if template_file else template.find())
    chosen = registry.function(function)
    task = Task(run=run, access=access, config=dict(config or {}), outputs=tuple(outputs))
    options = engine.LocalOptions(Path(output), jobs, retries, timeout, memory)
    found = inputs.expand(paths, access=access, skip=Path(output) / "runs")
    return engine.run(found, chosen, task, options, on_event)


def plan(
    paths: Iterable[str] = (),
    out: str | Path = "plan.parquet",
    *,
    csv: str | Path | None = None,
    access: str = "anonymous",
    limit: int | None = None,
    huge: bool = False,
    proprietary: bool = False,
    refresh: bool = False,
    progress: Watch = lambda what, done, total: None,
    **criteria: Any,
) -> Plan:
    """Plans the files that `paths` name, or those that `criteria` find in MAST, into a plan file.

    `criteria` are the fields of skyfan.plans.criteria.Criteria: plan(instrument=("WFC3/IR",),
    filters=("F160W",)). `limit` takes the first so many observations, `huge` allows more than 50,000,
    `proprietary` keeps what is not public, `refresh` passes over the answers that are kept on disk.
    `progress` is called with a stage's name, how many of it are there, and of how many. Raises UsageError for
    what cannot be done, UnansweredError when the archive is down. What it did not answer in part is dropped
    as unresolved; the same call asks for it again.
    """
    return make.make(
        out,
        paths=paths,
        criteria=Criteria.of(**criteria) if criteria else None,
        csv=csv,
        access=access,
        limit=limit,
        huge=huge,
        proprietary=proprietary,
        refresh=refresh,
        progress=progress,
    )
