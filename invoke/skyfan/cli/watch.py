"""skyfan watch."""

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from ..plans.criteria import PROVENANCES
from .common import (
    FOLDER,
    as_json,
    console,
    echo,
    folder_of,
    local_of,
    local_options,
    stack_options,
    template_file,
    where,
    where_of,
)
from .run import read

if TYPE_CHECKING:
    from ..runs.watch_state import WatchState

_NAME = click.argument("name", metavar="NAME")


@click.group()
def watch() -> None:
    """Process new files as they appear.

    A watch is a standing query of the archive, or of a folder, with a run of the same name: status, collect,
    retry, costs and report work on it as on any other. On AWS it needs a stack that was deployed with
    --parameter StandingQueries=on.
    """


def _criteria(command: Callable[..., None]) -> Callable[..., None]:
    """The criteria of `skyfan plan` that announcements and headers can tell."""
    for option in (
        click.option("--sector", type=click.IntRange(1), metavar="N", help="TESS: full-frame images of it."),
        click.option("--provenance", type=click.Choice(PROVENANCES), show_default="pipeline"),
        click.option("--exptime", metavar="MIN..MAX", help="Exposure time in seconds."),
        click.option("--dates", metavar="FROM..TO", help="Start of the observation, UTC."),
        click.option("--radius", help="Radius of --around: 30s, 5m, 0.2d (default: 0.2d)."),
        click.option("--around", metavar="'RA DEC'|NAME", help="The position of the target."),
        click.option("--target", multiple=True, metavar="NAME", help="Name in the proposal; repeatable."),
        click.option("--proposal", multiple=True, metavar="ID", help="Repeatable."),
        click.option("--filter", "filters", multiple=True, metavar="NAME", help="F160W; repeatable."),
        click.option("--product", "products", multiple=True, metavar="TYPE", help="FLT, FLC…; repeatable."),
        click.option("--instrument", multiple=True, metavar="NAME", help="WFC3/IR, 'WFC3*'; repeatable."),
        click.option("--mission", type=click.Choice(["HST", "JWST", "TESS"], case_sensitive=False)),
    ):
        command = option(command)
    return command


@watch.command()
@_NAME
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path))
@_criteria
@click.option("--budget", metavar="USD/month", help="5USD/month: what the watch may spend; needed on AWS.")
@click.option("--function", default="SepExtract", show_default=True, help="Logical ID in template.yaml.")
@click.option(
    "--config", "-c", multiple=True, metavar="KEY=VALUE", help="A setting of the function; repeatable."
)
@click.option(
    "--config-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Settings of the function, in TOML.",
)
@click.option("--outputs", default="", metavar="NAME,...", help="Additional results: preview,parquet.")
@click.option("--output", "-o", metavar="DIR", help=f"Place of the run of a FOLDER (default: ./{FOLDER}).")
@stack_options("The stack that keeps the watch.")
@click.option("--template", type=click.Path(dir_okay=False, path_type=Path), help="The template.yaml to use.")
@click.option("--dry-run", is_flag=True, help="Check everything, and print the watch without adding it.")
@as_json
def add(
    *,
    name: str,
    folder: Path | None,
    budget: str | None,
    function: str,
    config: tuple[str, ...],
    config_file: Path | None,
    outputs: str,
    output: str | None,
    stack: str,
    template: Path | None,
    dry_run: bool,
    as_json: bool,
    **criteria: Any,
) -> None:
    """Add the watch NAME, or change its budget.

    Without FOLDER, the stack's Watcher processes each file that the archive announces from now on and that
    meets all criteria, until the month's budget is reached. With FOLDER, `skyfan watch run NAME` processes
    its files on this machine. Criteria may contain * as a wildcard.

    Exit code: 0 added, 2 wrong use.
    """
    from ..api import standing
    from ..engine import AwsOptions
    from ..task import Task
    from ..watches import show

    if output and output.startswith("s3://"):
        raise UsageError("a watch of the archive is kept by a stack: --stack names it, --output a folder")
    if output and folder is None:
        raise UsageError("--output is the place of a watch of a FOLDER: name the folder to watch")
    place = AwsOptions(stack) if folder is None else output or str(FOLDER)
    extra = tuple(word.strip() for word in outputs.split(",") if word.strip())
    used = {key: value for key, value in criteria.items() if value}
    if "mission" in used:
        used["mission"] = used["mission"].upper()
    one = standing.add_watch(
        Task(name, config=read(config, config_file), outputs=extra, function=function),
        place,
        folder,
        budget=budget,
        dry_run=dry_run,
        template_file=template_file(template),
        **used,
    )
    if as_json:
        echo(json.dumps(show.document(one), indent=1))
        return
    verb = "would be added" if dry_run else "is added"
    echo(f"The watch {name} {verb}: {show.describe(one.watch)}.")
    for line in show.cost_lines(one):
        echo(line)
    if dry_run:
        return
    echo(
        f"`skyfan watch run {name} --output {output or FOLDER}` processes its files."
        if folder
        else f"`skyfan watch list` and `skyfan status {name}` show what it does."
    )


@watch.command(name="list")
@where
@click.option("--removed", is_flag=True, help="Also watches that were removed.")
@as_json
def list_(*, output: str | None, stack: str, removed: bool, as_json: bool) -> None:
    """List the watches of a place, with what they spent, sent, and left waiting."""
    from ..api import standing
    from ..runs import watch_state
    from ..watches import show

    place = where_of(output, stack)
    found, kept = standing.watches(place, removed=removed), standing.unknown_messages(place)
    if as_json:
        documents = [show.document(one) for one in found]
        echo(json.dumps({"watches": documents, "unknown_messages": kept}, indent=1))
        return
    out = console()
    if not found:
        echo("There is no watch; `skyfan watch add` adds one.")
    else:
        echo("\n".join(show.table(found, out.width)))
    for one in found:
        for line in watch_state.notices(one):
            echo(line)
    if kept:
        echo(f"{len(kept)} messages of unknown shape were kept, for example {kept[-1]}")


@watch.command()
@_NAME
@where
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Decisions to print.")
@as_json
def log(*, name: str, output: str | None, stack: str, limit: int, as_json: bool) -> None:
    """Print the last decisions of the watch NAME: which files, and why.

    accepted: its function was started. waiting: budget or pause. gone, refused, undecided, malformed: not
    processed, for the stated reason. unreachable: it comes again. What the query does not want is counted.
    """
    from ..api import standing
    from ..watches import show

    place = where_of(output, stack)
    decisions = standing.watch_log(name, place, limit=limit)
    (one,) = (found for found in standing.watches(place, removed=True) if found.watch.name == name)
    if as_json:
        counts = {"counts": one.ledger.counts, "skipped": one.ledger.skipped}
        echo(json.dumps({"watch": name, "decisions": decisions, **counts}, indent=1))
        return
    for line in show.log_lines(decisions):
        echo(line)
    for line in show.skipped_lines(one):
        echo(line)


def _changing(text: str) -> Callable[[Callable[..., Any]], click.Command]:
    """A command that changes one watch; `text` is printed after it, with {name}."""

    def make(change: Callable[..., Any]) -> click.Command:
        @functools.wraps(change)
        def command(*, name: str, output: str | None, stack: str, as_json: bool) -> None:
            from ..watches import show

            one: WatchState = change(name, where_of(output, stack))
            echo(json.dumps(show.document(one), indent=1) if as_json else text.format(name=name))

        return watch.command(name=change.__name__)(_NAME(where(_json(command))))

    return make


_json = as_json


@_changing("The watch {name} is paused: files that match wait. `skyfan watch resume {name}` ends the pause.")
def pause(name: str, place: Any) -> Any:
    """Pause the watch NAME: files that match wait, and none is lost. On AWS within a minute."""
    from ..api import standing

    return standing.pause_watch(name, place)


@_changing("The watch {name} goes on. What waited is sent with the next file that is announced or found.")
def resume(name: str, place: Any) -> Any:
    """End the pause of the watch NAME."""
    from ..api import standing

    return standing.resume_watch(name, place)


@_changing("The watch {name} is removed. Its run, results and log stay: `skyfan status {name}` shows them.")
def remove(name: str, place: Any) -> Any:
    """Remove the watch NAME. Its run keeps all results."""
    from ..api import standing

    return standing.remove_watch(name, place)


@watch.command()
@_NAME
@click.option("--output", "-o", metavar="DIR", help=f"Place of the watch (default: ./{FOLDER}).")
@click.option(
    "--every",
    type=click.FloatRange(0.05),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two listings.",
)
@click.option(
    "--settle",
    type=click.FloatRange(0.0),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="For so long a file must not have changed.",
)
@click.option("--until-idle", is_flag=True, help="End when no file is new or incomplete in two listings.")
@local_options
@click.option("--template", type=click.Path(dir_okay=False, path_type=Path), help="The template.yaml to use.")
@as_json
def run(
    *,
    name: str,
    output: str | None,
    every: float,
    settle: float,
    until_idle: bool,
    template: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Process the new files of the watched folder of NAME, until Ctrl-C.

    Lists the folder again and again, and so works on every file system. A file is taken when it has not
    changed for a while; a file that is renamed into the folder is whole at once. One that changes later is
    processed again. What was done is kept, and the same command goes on.

    Exit code: 0 with --until-idle, 2 wrong use, 130 Ctrl-C.
    """
    from ..api import standing
    from ..watches import show

    place = output or str(FOLDER)
    if folder_of(place) is None:
        raise UsageError("a stack keeps the watches of a bucket by itself: --output names a folder")

    def on_done(done: Any) -> None:
        for line in show.log_lines(done.decisions):
            echo(line, err=as_json)

    try:
        one = standing.run_watch(
            name,
            local_of(place, options),
            every_s=every,
            settle_s=settle,
            until_idle=until_idle,
            template_file=template_file(template),
            on_done=on_done,
        )
    except KeyboardInterrupt:
        echo("stopped; the same command goes on", err=True)
        sys.exit(130)
    if as_json:
        echo(json.dumps(show.document(one), indent=1))
