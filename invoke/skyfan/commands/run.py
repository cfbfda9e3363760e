"""skyfan run: on this machine, or on AWS."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import events, inputs, template
from ..errors import UsageError
from ..local import engine as local
from ..plans import plan as plans
from ..plans.plan import Plan
from ..task import Task

if TYPE_CHECKING:  # boto3 takes half a second to import, which a run on this machine need not wait for
    from ..aws.engine import AwsOptions, Preview
    from ..aws.outcome import Outcome


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

    `paths` are files, folders, globs, s3:// objects, s3:// prefixes that end in /, and @lists, or one plan
    file; results go to <output>/runs/<run>/. `timeout` is in seconds, `memory` in MB; None takes the
    template's value. Raises UsageError for what cannot be done, Interrupted on Ctrl-C. Call it again to go
    on.
    """
    chosen = _registry(template_file).function(function)
    task = Task(run=run, access=access, config=dict(config or {}), outputs=tuple(outputs))
    options = local.LocalOptions(Path(output), jobs, retries, timeout, memory)
    return local.run(_given(paths, access, Path(output) / "runs"), chosen, task, options, on_event)


def run_on_aws(
    paths: Iterable[str],
    *,
    stack: str = "skyfan",
    function: str = "SepExtract",
    run: str = "default",
    config: Mapping[str, Any] | None = None,
    outputs: Iterable[str] = (),
    access: str = "anonymous",
    batch: int = 1,
    max_cost: float | None = None,
    max_files: int | None = None,
    connections: int = 256,
    wait: bool = True,
    template_file: str | Path | None = None,
    on_event: Callable[[events.Event], None] = lambda event: None,
) -> "Outcome":
    """The same on AWS: sends what is left of a plan, or of s3:// inputs, and waits for what comes of it.

    `max_cost` is in USD for all calls of the run, at the estimate's high end, `max_files` for this call;
    `batch` files share an invocation. Raises UsageError for what cannot be done, aws.outcome.Interrupted on
    Ctrl-C. Call it again to go on.
    """
    from ..aws import engine as aws

    task = Task(run=run, access=access, config=dict(config or {}), outputs=tuple(outputs))
    options = _options(stack, max_cost, batch, max_files, connections=connections, wait=wait)
    return aws.run(_given(paths, access), _registry(template_file), function, task, options, on_event)


def preview_on_aws(
    paths: Iterable[str],
    *,
    stack: str = "skyfan",
    function: str = "SepExtract",
    run: str = "default",
    config: Mapping[str, Any] | None = None,
    outputs: Iterable[str] = (),
    access: str = "anonymous",
    batch: int = 1,
    max_cost: float | None = None,
    max_files: int | None = None,
    template_file: str | Path | None = None,
) -> "AbstractContextManager[Preview]":
    """What run_on_aws would send now: invocations in order, and the estimate. Sends and writes nothing."""
    from ..aws import engine as aws

    task = Task(run=run, access=access, config=dict(config or {}), outputs=tuple(outputs))
    options = _options(stack, max_cost, batch, max_files)
    return aws.preview(_given(paths, access), _registry(template_file), function, task, options)


def _options(
    stack: str,
    max_cost: float | None,
    batch: int,
    max_files: int | None,
    *,
    connections: int = 256,
    wait: bool = True,
) -> "AwsOptions":
    from ..aws import dispatch, engine

    sending = dispatch.Options(batch=batch, connections=connections, max_files=max_files)
    return engine.AwsOptions(stack, max_cost, wait, sending=sending)


def _given(paths: Iterable[str], access: str, skip: Path | None = None) -> list[str] | Plan:
    """The plan that `paths` name, or the URIs of all inputs that they do."""
    paths = list(paths)
    if len(paths) == 1 and paths[0].endswith(".parquet"):
        return plans.read(paths[0])
    if named := [path for path in paths if path.endswith(".parquet")]:
        raise UsageError(f"{named[0]}: a plan is run alone, without other paths beside it")
    return inputs.expand(paths, access=access, skip=skip)


def _registry(template_file: str | Path | None) -> template.Template:
    return template.read(Path(template_file) if template_file else template.find())
