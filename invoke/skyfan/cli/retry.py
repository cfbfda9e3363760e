"""skyfan retry."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import formatting
from ..errors import UsageError
from .common import (
    AWS,
    LOCAL,
    as_json,
    aws_of,
    aws_options,
    console,
    echo,
    exit_code,
    folder_of,
    local_of,
    local_options,
    refuse,
    run_argument,
    send,
    strict,
    template_file,
    where,
)
from .run import print_calls, selected

if TYPE_CHECKING:
    from ..engine import AwsOptions, LocalOptions, Selection


@click.command()
@run_argument
@click.option(
    "--engine",
    type=click.Choice(["local", "sam", "aws"]),
    help="The engine of the run (default: the one that it records).",
)
@where
@click.option("--late", is_flag=True, help="Also late files.")
@click.option("--all", "everything", is_flag=True, help="Also permanent failures.")
@click.option(
    "--damaged",
    is_flag=True,
    help="Read all results, and send again exactly the files whose result is not the one that the run made.",
)
@click.option(
    "--stale",
    is_flag=True,
    help="Compare all sources, and send again exactly the files that have changed since they were processed.",
)
@local_options
@aws_options(wait=False)
@click.option("--template", type=click.Path(dir_okay=False, path_type=Path), help="The template.yaml to use.")
@click.option("--dry-run", is_flag=True, help="Print the invocations without sending them.")
@strict
@as_json
@click.pass_context
def retry(
    ctx: click.Context,
    /,
    *,
    run: str,
    engine: str | None,
    output: str | None,
    late: bool,
    everything: bool,
    damaged: bool,
    stale: bool,
    template: Path | None,
    dry_run: bool,
    strict: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Send failed, missing and cancelled files of RUN again.

    Files that are done are never sent, but with --stale; those whose result has another size than was
    recorded are not done. With --stale a result stays until the new one replaces it in one step, and it stays
    if the new attempt fails.
    Files that ran out of memory or time go to the function with more
    memory. Permanent failures, such as a file that is not FITS, are skipped. Of a run on this machine, files
    that have not begun are sent, too. The configuration and the engine are those of the run. A run in a
    folder is processed on this machine; a run in a bucket is sent, and `skyfan status --follow` shows the
    results.

    Exit code: 0 all sent (local, or with --wait: all done), 1 some files were not sent or failed, 2 wrong
    use, 130 Ctrl-C.
    """
    from ..api import engines
    from ..engine import Selection
    from ..runs import show_outcome

    folder = folder_of(output)
    is_local = folder is not None
    refuse(ctx, *((AWS, "is for runs in a bucket") if is_local else (LOCAL, "is for runs on this machine")))
    if engine and (engine == "aws") == is_local:
        kept = f"the folder {folder}" if is_local else "a bucket"
        raise UsageError(f"--engine {engine} has no runs in {kept}: --output names the place of the run")
    if damaged + stale > 1 or ((damaged or stale) and (everything or late)):
        name = "stale" if stale else "damaged"
        raise UsageError(f"--{name} selects {name} files only: use other selections in a call of their own")
    where: AwsOptions | LocalOptions = aws_of(options, output)
    if folder:
        recorded = engines.engine_of(run, folder)
        if not recorded and not engine:
            echo(f"skyfan: run {run} does not record its engine; --engine local is used", err=True)
        where = local_of(folder, options, sam=(engine or recorded) == "sam")
    file = template_file(template) if is_local else template
    found = _find_damaged(run, where) if damaged else None
    old = _find_stale(run, where) if stale else None
    selection = Selection(everything=everything, late=late, damaged=found, stale=old)
    if dry_run:
        preview = engines.preview_retry(run, where, selection, template_file=file)
        print_calls(preview, as_json=as_json, selection=selection)
        echo("\n".join(_lines(run, selection, "would be sent again")), err=True)
        return
    outcome = send(
        lambda on_event: engines.retry(run, where, selection, template_file=file, on_event=on_event)
    )
    if as_json:
        echo(json.dumps({**outcome.document(), **selected(selection)}, indent=1))
    else:
        for line in _lines(run, selection, "retried" if is_local else "sent again"):
            echo(line)
        if outcome.files:
            show_outcome.show(console(), outcome)
        if selection.stale and outcome.state is None:
            echo("The old results count until new ones replace them: `--stale` of status shows which remain.")
    sys.exit(exit_code(outcome, strict=strict))


def _find_damaged(run: str, where: "AwsOptions | LocalOptions") -> dict[str, str]:
    from ..api import datasets
    from ..progress import Stages

    with Stages() as stages:
        found = datasets.find_damaged(run, where, progress=stages)
    for key, why in found.items():
        echo(formatting.one_line(f"skyfan: damaged: the result of {key}: {why}"), err=True)
    return found


def _find_stale(run: str, where: "AwsOptions | LocalOptions") -> dict[str, float]:
    from ..api import datasets
    from ..catalogs import freshness
    from ..progress import Stages

    with Stages() as stages:
        found = datasets.find_stale(run, where, progress=stages)
    for source in found.sources:
        what = source.message or f"made from {source.made_from}, now {source.now}"
        echo(formatting.one_line(f"skyfan: {source.state}: {source.uri}: {what}"), err=True)
    for line in freshness.lines(found):
        echo(f"skyfan: {line}", err=True)
    return found.stale


def _lines(run: str, selection: "Selection", action: str) -> list[str]:
    """What was selected and skipped, for people."""
    large = selection.selected["large"]
    lines = [
        f"{formatting.count(selection.files)} {action}"
        + (f", {large} of them with the most memory" if large else "")
    ]
    if not selection.files:
        lines = [f"No files of run {run} to send again."]
    for kind, number in sorted(selection.permanent.items()):
        lines.append(f"skipped: {number} x {kind}, a permanent error (--all sends these files too)")
    for kind, number in sorted(selection.exhausted.items()):
        lines.append(f"skipped: {number} x {kind} with the most memory (--all sends these files too)")
    return lines
