"""skyfan run."""

import json
import sys
from pathlib import Path

import click

from .common import ACCESS


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATHS...")
@click.option(
    "--engine", type=click.Choice(["local"]), default="local", show_default=True, help="Where it runs."
)
@click.option(
    "--output",
    "-o",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that takes the place of the output bucket.",
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
@click.option("--jobs", "-j", type=int, help="Worker processes; one a CPU if not given.")
@click.option("--retries", type=int, help="Further tries after a failure, in the template's place.")
@click.option(
    "--timeout", type=float, metavar="SECONDS", help="Time limit of one file, in the template's place."
)
@click.option("--memory", type=int, metavar="MB", help="Memory size of a worker, in the template's place.")
@click.option("--template", type=click.Path(dir_okay=False, path_type=Path), help="The template.yaml to use.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout in the table's place.")
def run(
    *,
    paths: tuple[str, ...],
    engine: str,
    output: Path,
    run: str,
    function: str,
    config: tuple[str, ...],
    config_file: Path | None,
    outputs: str,
    access: str,
    jobs: int | None,
    retries: int | None,
    timeout: float | None,
    memory: int | None,
    template: Path | None,
    as_json: bool,
) -> None:
    """Run a function on FITS files: on each file once, however often it is called.

    PATHS are files, folders (searched for .fits, .fit and .fz, gzipped too), patterns in quotes, s3://bucket/key,
    s3://bucket/prefix/ and file:// URIs, @list.txt for a list of these, or - for a list on standard input.

    Files that have their result are passed over, so the same command goes on after Ctrl-C or a crash and
    tries failed files again. Exit code: 0 all done, 1 some files failed, 2 wrong use.
    """
    from rich.console import Console

    from .. import api, events, report, settings
    from ..progress import Watcher

    results = report.Results()
    stopped = False
    with Watcher(Console(stderr=True)) as watcher:

        def on_event(event: events.Event) -> None:
            results(event)
            watcher(event)

        try:
            summary = api.run(
                paths,
                output,
                function=function,
                run=run,
                config=settings.read(config, config_file),
                outputs=[name.strip() for name in outputs.split(",") if name.strip()],
                access=access,
                jobs=jobs,
                retries=retries,
                timeout=timeout,
                memory=memory,
                template_file=template,
                on_event=on_event,
            )
        except events.Interrupted as interrupted:
            summary, stopped = interrupted.summary, True
    folder = output.resolve() / "runs" / run
    if as_json:
        click.echo(json.dumps(report.document(summary, results, folder, stopped), indent=1))
    else:
        # In a pipe rich assumes 80 columns, too few for names of files.
        console = Console(width=None if sys.stdout.isatty() else 120)
        report.show(console, summary, results, folder, stopped)
    sys.exit(130 if stopped else 1 if summary.failed else 0)
