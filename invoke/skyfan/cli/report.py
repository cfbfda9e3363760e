"""skyfan report."""

import json
import sys
from pathlib import Path

import click

from .common import as_json, where


@click.command()
@click.argument("run")
@where
@click.option(
    "--to",
    metavar="FILE.html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The page. If not given: report.html in the run's folder, or ./RUN.html for a run in a bucket.",
)
@click.option(
    "--data",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="What skyfan collect made, where its --to was given.",
)
@as_json
def report(
    *, run: str, output: str | None, stack: str, to: Path | None, data: Path | None, as_json: bool
) -> None:
    """Tell the story of RUN on one HTML page.

    What was asked, what came of it and why not all, maps of the sky, pictures with their sources, depth,
    what it cost, versions. The page is one file that opens from disk, without network or scripts, and prints.

    What is not there is told on the page: `skyfan collect` first, for maps, depth and magnitudes. Exit code:
    0 also where files of the run failed, 2 wrong use.
    """
    from rich.console import Console

    from ..commands import report as commands

    told = Console(stderr=True)
    try:
        with told.status("reading") as status:
            path = commands.report(run, output, stack=stack, to=to, data=data, progress=status.update)
    except KeyboardInterrupt:
        click.echo("stopped; no page was written", err=True)
        sys.exit(130)
    size = path.stat().st_size
    document = {"run": run, "report": str(path.resolve()), "bytes": size}
    click.echo(json.dumps(document, indent=1) if as_json else f"{path} ({size / 1e6:.1f} MB)")
