"""skyfan run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .common import ACCESS, as_json, console

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOCAL = ("output", "jobs", "retries", "timeout", "memory")
_AWS = ("stack", "batch", "max_cost", "max_files", "connections", "wait", "dry_run")


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PLAN|PATHS...")
@click.option(
    "--engine",
    type=click.Choice(["local", "aws"]),
    default="local",
    show_default=True,
    help="Where it runs: on this machine, or in Lambda.",
)
@click.option(
    "--run", default="default", show_default=True, help="Name of the run: results go to runs/NAME/."
)
@click.option("--function", default="SepExtract", show_default=True, help="Logical ID in template.yaml.")
@click.option(
    "--config", "-c", multiple=True, metavar="KEY=VALUE", help="A setting of the function; repeatable."
)
@click.option(
    "--config-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Settings of the function, in TOML.",
)
@click.option("--outputs", default="", metavar="NAME,...", help="Further results, such as preview,parquet.")
@click.option("--access", type=ACCESS, default="anonymous", show_default=True, help="How S3 inputs are read.")
@click.option("--template", type=click.Path(dir_okay=False, path_type=Path), help="The template.yaml to use.")
@click.option(
    "--output",
    "-o",
    type=click.Path(file_okay=False, path_type=Path),
    help="local: folder that takes the place of the output bucket.",
)
@click.option("--jobs", "-j", type=int, help="local: worker processes; one a CPU if not given.")
@click.option("--retries", type=int, help="local: further tries after a failure, in the template's place.")
@click.option(
    "--timeout", type=float, metavar="SECONDS", help="local: time limit of a file, in the template's place."
)
@click.option(
    "--memory", type=int, metavar="MB", help="local: memory size of a worker, in the template's place."
)
@click.option(
    "--stack",
    default="skyfan",
    show_default=True,
    envvar="SKYFAN_STACK",
    help="aws: name of the deployed stack.",
)
@click.option("--batch", type=int, default=1, show_default=True, help="aws: files that share an invocation.")
@click.option(
    "--max-cost",
    type=float,
    metavar="USD",
    help="aws: sends no file whose estimated cost, at its high end, would pass this; counts the whole run.",
)
@click.option("--max-files", type=int, metavar="N", help="aws: sends so many files in this call.")
@click.option(
    "--connections", type=int, default=256, show_default=True, help="aws: connections to Lambda, at most."
)
@click.option(
    "--wait/--no-wait", default=True, show_default=True, help="aws: stay until something came of every file."
)
@click.option("--dry-run", is_flag=True, help="aws: print each invocation, send nothing, write nothing.")
@as_json
@click.pass_context
def run(
    ctx: click.Context,
    /,
    *,
    paths: tuple[str, ...],
    engine: str,
    config: tuple[str, ...],
    config_file: Path | None,
    outputs: str,
    template: Path | None,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Run a function on FITS files: on each file once, however often it is called.

    PLAN is a plan file of `skyfan plan`. PATHS are files, folders (searched for .fits, .fit and .fz, gzipped
    too), patterns in quotes, s3://bucket/key, s3://bucket/prefix/ and file:// URIs, @list.txt for a list of
    these, or - for a list on standard input.

    Files that have their result are passed over, and so are those that Lambda has accepted: the same
    command goes on after Ctrl-C or a crash. The local engine tries failed files again; `skyfan retry` does
    so in Lambda.
    Exit code: 0 all done, 1 some files failed or were not sent, 2 wrong use.
    """
    from .. import settings

    _refuse(ctx, engine, _AWS if engine == "local" else _LOCAL)
    shared = {
        "function": options["function"],
        "run": options["run"],
        "config": settings.read(config, config_file),
        "outputs": [name.strip() for name in outputs.split(",") if name.strip()],
        "access": options["access"],
        "template_file": template,
    }
    if engine == "local":
        if not options["output"]:
            raise click.UsageError("Missing option '--output' / '-o': --engine local needs a folder.", ctx)
        _local(paths, shared, {name: options[name] for name in _LOCAL}, as_json=as_json)
    elif dry_run:
        names = ("stack", "batch", "max_cost", "max_files")
        _preview(paths, shared, {name: options[name] for name in names}, as_json=as_json)
    else:
        _aws(paths, shared, {name: options[name] for name in _AWS if name != "dry_run"}, as_json=as_json)


def _refuse(ctx: click.Context, engine: str, others: tuple[str, ...]) -> None:
    for parameter in ctx.command.params:
        typed = ctx.get_parameter_source(parameter.name or "") is click.core.ParameterSource.COMMANDLINE
        if parameter.name in others and typed:
            other = "aws" if engine == "local" else "local"
            raise click.UsageError(f"{parameter.opts[0]} is for --engine {other}.", ctx)


def _local(
    paths: tuple[str, ...], shared: Mapping[str, Any], options: dict[str, Any], *, as_json: bool
) -> None:
    from rich.console import Console

    from .. import events, report
    from ..commands import run as commands
    from ..progress import Watcher

    results = report.Results()
    stopped = False
    output = options.pop("output")
    with Watcher(Console(stderr=True)) as watcher:

        def on_event(event: events.Event) -> None:
            results(event)
            watcher(event)

        try:
            summary = commands.run(paths, output, **shared, **options, on_event=on_event)
        except events.Interrupted as interrupted:
            summary, stopped = interrupted.summary, True
    folder = output.resolve() / "runs" / shared["run"]
    if as_json:
        click.echo(json.dumps(report.document(summary, results, folder, stopped), indent=1))
    else:
        report.show(console(), summary, results, folder, stopped)
    sys.exit(130 if stopped else 1 if summary.failed else 0)


def _aws(
    paths: tuple[str, ...], shared: Mapping[str, Any], options: Mapping[str, Any], *, as_json: bool
) -> None:
    from rich.console import Console

    from ..aws import outcome as outcomes
    from ..aws import report
    from ..commands import run as commands
    from ..progress import Bars

    stopped = False
    with Bars(Console(stderr=True)) as bars:
        try:
            outcome = commands.run_on_aws(paths, **shared, **options, on_event=bars)
        except outcomes.Interrupted as interrupted:
            outcome, stopped = interrupted.outcome, True
    if as_json:
        click.echo(json.dumps(outcome.document(interrupted=stopped), indent=1))
    else:
        report.show(console(), outcome, interrupted=stopped)
    sys.exit(130 if stopped else 1 if outcome.stopped or outcome.trouble else 0)


def _preview(
    paths: tuple[str, ...], shared: Mapping[str, Any], options: Mapping[str, Any], *, as_json: bool
) -> None:
    from ..commands import run as commands

    invocations = files = 0
    made = []
    with commands.preview_on_aws(paths, **shared, **options) as preview:
        for call in preview.calls:
            payload = call.payload.decode()
            invocations, files = invocations + 1, files + len(call.uris)
            if as_json:
                made.append({"function": call.function, "payload": json.loads(payload)})
            else:
                click.echo(f"{call.function} {payload}")
        left, told = preview.left, preview.estimate
    if as_json:
        document = {
            "files": files,
            "done_before": left.done_before,
            "sent_before": left.sent_before,
            "estimate": {
                "usd": [told.usd_low, told.usd_high],
                "seconds": [told.seconds_low, told.seconds_high],
            },
            "assumptions": told.assumptions,
            "invocations": made,
        }
        click.echo(json.dumps(document, indent=1))
    click.echo(
        f"{files} files in {invocations} invocations would be sent; {left.done_before} are done, "
        f"{left.sent_before} were sent before. The whole plan: {told.usd_low:.2f} to {told.usd_high:.2f} "
        f"USD, {told.seconds_low / 60:.0f} to {told.seconds_high / 60:.0f} minutes",
        err=True,
    )
