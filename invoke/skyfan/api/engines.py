"""skyfan run and retry: on this machine or on AWS."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .. import events, inputs, progress, template
from ..engine import AwsOptions, Engine, LocalOptions, Preview, SamOptions, Selection
from ..errors import RunBusyError, UsageError
from ..local.engine import LocalEngine
from ..plans import plan as plans
from ..plans.plan import Plan
from ..runs import receipts, watched
from ..runs import run as runs
from ..runs.outcome import Outcome
from ..runs.state import Follower
from ..storage.place import Place
from ..storage.uris import Results
from ..task import Task
from . import stacks

if TYPE_CHECKING:
    from ..catalogs.completeness import Completeness

Where = LocalOptions | AwsOptions | str | Path
"""Where files are processed and runs are kept. A folder stands for LocalOptions(folder). What only reads a
run takes s3://bucket, too, for AwsOptions(bucket="s3://bucket").
"""


@progress.shown
def run(
    paths: inputs.Paths | Plan,
    where: Where,
    task: Task | str | None = None,
    *,
    template_file: str | Path | None = None,
    on_event: events.OnEvent = events.ignore,
) -> Outcome:
    """Runs the function of `task` on every file in `paths` that has no result yet.

    `paths` are files, folders, globs, s3:// objects, s3:// prefixes that end in /, and @lists; or one plan or
    plan file; or a table of astropy, pandas or Arrow with a column `uri`. `where` is a folder or LocalOptions
    for this machine, SamOptions for containers on it, which process local files only, or AwsOptions for a
    stack, which processes s3:// files only. `task` can be the name of the run alone. Results go to <folder or
    bucket>/runs/<run>/. `template_file` replaces template.find(). Without `on_event` a notebook shows bars.

    Call it again to continue a run. Raises UsageError if the run is not possible, Interrupted[Outcome] on
    Ctrl-C.

    >>> run("images/*.fits", "out", "first")
    <Outcome: run first: 2 of 2 files done, 73 sources, 1 doubtful>
    """
    task = _as_task(task)
    engine = _engine(where, template_file)
    with _planned(paths, task) as plan:
        return engine.send(task, plan, on_event)


@contextmanager
def preview(
    paths: inputs.Paths | Plan,
    where: Where,
    task: Task | str | None = None,
    *,
    template_file: str | Path | None = None,
) -> Iterator[Preview]:
    """What run() with the same arguments would send: invocations in order, and on AWS the estimate.

    >>> with preview("images/*.fits", "out", "first") as would:
    ...     calls = list(would.calls)
    >>> would.done_before, len(calls)
    (2, 0)
    """
    task = _as_task(task)
    engine = _engine(where, template_file)
    with _planned(paths, task) as plan:
        yield engine.plan(task, plan)


@progress.shown
def retry(
    run: str,
    where: Where,
    selection: Selection | None = None,
    *,
    template_file: str | Path | None = None,
    on_event: events.OnEvent = events.ignore,
) -> Outcome:
    """Sends the failed, missing, damaged and cancelled files of a run again, but never a file that is done.

    `where` as in run(), which must be where the run is; a folder stands for the engine of its run. Files that
    ran out of memory or time go to the function with the most memory. Permanent failures are skipped.
    `selection` selects more, and counts what was selected and skipped; the results of the damaged files that
    it names are emptied first, so that whatever happens they do not count.

    Raises UsageError if there is no such run or stack, or if the run has another engine;
    Interrupted[Outcome] on Ctrl-C.

    >>> retry("first", "out").sent
    0
    """
    engine = _engine(_of_run(run, where), template_file)
    task, selection = _task(engine, run), selection or Selection()
    if selection.damaged:
        if engine.state(run).running:
            raise RunBusyError(f"another process works on run {run!r}: wait until it has ended")
        results = Results.of(runs.read(engine.place, run)["results"], run)
        for key in selection.damaged:
            engine.place.put(results.object_key(key), b"")
    try:
        return engine.send(task, selection, on_event)
    finally:
        if engine.place.folder is None and runs.read(engine.place, run).get("watch"):
            sent = receipts.tables(engine.place, receipts.chunks(engine.place, run))
            watched.confirm(engine.place, run, sent)


def preview_retry(
    run: str,
    where: Where,
    selection: Selection | None = None,
    *,
    template_file: str | Path | None = None,
) -> Preview:
    """What retry() with the same arguments would send. The selection counts while the calls are read.

    >>> list(preview_retry("first", "out").calls)
    []
    """
    engine = _engine(_of_run(run, where), template_file)
    return engine.plan(_task(engine, run), selection or Selection())


@progress.shown
def completeness(
    run: str, where: Where, *, to: str | Path | None = None, on_event: events.OnEvent = events.ignore
) -> "Completeness":
    """How deep the images of a run are complete: artificial stars are planted into them and searched for.

    Runs SepExtract once more on the done images, on this machine, as the run <run>-completeness with the same
    settings and the output `completeness`; call it again to continue. `where` is the folder of the run or
    LocalOptions. A run that was made with this output, here or on AWS, is only read. The table of limits is
    written to the file `to`, in the format of its suffix (default: completeness.parquet in the run's folder).

    Raises UsageError if the run does not exist, is of another function or has detection images;
    Interrupted[Outcome] on Ctrl-C.

    >>> limits = completeness("first", "out")
    >>> limits
    <Completeness: run first: limits of 1 of 2 images>
    >>> limits.to_table()["limit_50"].unit
    Unit("mag")
    """
    from ..catalogs import completeness as planting

    place, lambdas = find_place(where)
    about = runs.read(place, run)
    if about["function"] != Task.function:
        raise UsageError(f"run {run} is of {about['function']}: stars are planted by {Task.function} alone")
    state = Follower(place, run, lambdas).read()
    wanted = None
    if planting.OUTPUT not in about["outputs"]:
        done = list(state.files("done"))
        if not done:
            raise UsageError(f"run {run} has no image that is done")
        if any(file.detect for file in done):
            raise UsageError(f"run {run} has detection images: stars are planted into single images only")
        if place.folder is None:
            raise UsageError(
                f"run {run} is in a bucket: run its images there with --outputs {planting.OUTPUT}, and name "
                "that run"
            )
        task = Task(f"{run}-{planting.OUTPUT}", about["access"], about["config"], (planting.OUTPUT,))
        wanted = {file.uri for file in done}
        with runs.as_plan(wanted, task.access) as plan:
            _engine(where, None).send(task, plan, on_event)
        state = Follower(place, task.run).read()
    found = planting.gather(run, state, wanted)
    default = Path(f"{run}-{planting.OUTPUT}.parquet")
    if place.folder:
        default = place.folder / "runs" / run / f"{planting.OUTPUT}.parquet"
    found.write(to or default)
    return found


def engine_of(run: str, folder: str | Path) -> str | None:
    """The engine of a run in a folder, local or sam; None if its run.json is of a version that did not record
    it. Raises UsageError if there is no such run.
    """
    engine: str | None = runs.read(Place.at(folder), run).get("engine")
    return engine


def find_place(where: Where) -> tuple[Place, Place | None]:
    """The place of runs, and the place of Lambda's failure records if a stack names it.

    Raises UsageError if the folder, bucket or stack does not exist.
    """
    if not isinstance(where, AwsOptions):
        return Place.at(where.output if isinstance(where, LocalOptions) else where), None
    if where.bucket:
        return Place.at(where.bucket), None
    from ..aws import stack as stacks  # boto3 is slow to import, and a folder does not need it

    try:
        found = stacks.find(where.stack)
    except UsageError as error:
        raise UsageError(f"{error}. For a run on this machine name its folder with --output") from error
    return found.results, found.failures


def registry(template_file: str | Path | None) -> template.Template:
    """The template in a file (default: see template.find()). Warns about ignored files."""
    if template_file:
        return template.read(Path(template_file))
    found = template.find()
    for path in found.ignored:
        warnings.warn(f"{path} is not skyfan's template and is ignored", stacklevel=4)
    return template.read(found.path)


def _engine(where: Where, template_file: str | Path | None) -> Engine:
    if isinstance(where, AwsOptions):
        from ..aws.engine import AwsEngine  # boto3 takes half a second, which a local run need not wait for

        return AwsEngine(registry(template_file), where)
    found = registry(template_file)
    if isinstance(where, SamOptions):
        from ..local.sam import SamEngine

        return SamEngine(found, where, lambda: stacks.build(found))
    return LocalEngine(found, _local(where))


def local_folder(where: LocalOptions | str | Path) -> Path:
    """The folder of runs on this machine. Raises UsageError for a bucket."""
    return Path(_local(where).output).resolve()


def _local(where: LocalOptions | str | Path) -> LocalOptions:
    if isinstance(where, LocalOptions):
        return where
    if str(where).startswith("s3://"):
        raise UsageError(f"{where} is a bucket: AwsOptions name the stack that processes its runs")
    return LocalOptions(where)


def _of_run(run: str, where: Where) -> LocalOptions | AwsOptions:
    """`where` with the engine of the run: another one would give results that differ in silence."""
    if isinstance(where, AwsOptions):
        return where
    options = _local(where)
    recorded = engine_of(run, options.output)
    if not isinstance(where, LocalOptions):
        return SamOptions(where) if recorded == SamOptions.engine else options
    if recorded not in (None, where.engine):
        raise UsageError(
            f"run {run!r} has the engine {recorded}, so it cannot be retried with {where.engine}"
        )
    return where


def _as_task(task: Task | str | None) -> Task:
    return task if isinstance(task, Task) else Task(task) if task else Task()


def _task(engine: Engine, run: str) -> Task:
    return runs.task(run, runs.read(engine.place, run))


@contextmanager
def _planned(paths: inputs.Paths | Plan, task: Task) -> Iterator[Plan]:
    """The plan in `paths`, or one of all their inputs."""
    if isinstance(paths, Plan):
        yield paths
        return
    paths = inputs.as_paths(paths)
    if not paths:
        raise UsageError("there are no paths: the list is empty, or each row of the table is dropped")
    if len(paths) == 1 and paths[0].endswith(".parquet"):
        yield plans.read(paths[0])
        return
    if files := [path for path in paths if path.endswith(".parquet")]:
        raise UsageError(f"{files[0]}: give a plan alone, without other paths")
    with runs.as_plan(inputs.expand(paths, access=task.access), task.access) as plan:
        yield plan
