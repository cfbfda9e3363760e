"""skyfan collect."""

import json
import sys
from pathlib import Path

import click

from .common import as_json, console, where


@click.command()
@click.argument("run")
@where
@click.option(
    "--to",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="The data set's folder. collected/ in the run's folder if not given, ./RUN for a run in a bucket.",
)
@as_json
def collect(*, run: str, output: str | None, stack: str, to: Path | None, as_json: bool) -> None:
    """Gather all catalogs of RUN in one data set of sources and a table of images.

    The data set is Parquet, parted by HEALPix pixel as LSDB and HATS read it. Call it again at any time:
    only catalogs that are new or changed are read. Files of the run that have no catalog are counted, and
    listed with their reasons in missing.csv. Exit code: 0 also when there are such files, 2 wrong use.
    """
    from rich.console import Console

    from ..catalogs.stages import Stages
    from ..commands import collect as commands

    try:
        with Stages(Console(stderr=True)) as stages:
            done = commands.collect(run, output, stack=stack, to=to, progress=stages)
    except KeyboardInterrupt:
        click.echo("stopped; the data set is what it was, the same command makes it anew", err=True)
        sys.exit(130)
    if as_json:
        document = {
            "run": done.run,
            "folder": str(done.folder),
            "images": done.images,
            "sources": done.sources,
            "unplaced": done.unplaced,
            "partitions": done.partitions,
            "read": done.read,
            "removed": done.removed,
            "left_out": done.left_out,
            "missing": str(done.missing_file),
        }
        click.echo(json.dumps(document, indent=1))
        return
    out = console()
    out.print(
        f"{done.sources:,} sources of {done.images:,} images in {done.partitions:,} partitions: "
        f"{done.folder}",
        soft_wrap=True,
    )
    if done.unplaced:
        out.print(
            f"{done.unplaced:,} more have no position on the sky: {done.folder / 'unplaced.parquet'}",
            soft_wrap=True,
        )
    removed = f", {done.removed:,} taken out: their catalogs are gone" if done.removed else ""
    out.print(
        f"{done.read:,} catalogs read, {done.images - done.read:,} were there already{removed}"
        if done.read or removed
        else "Nothing was new"
    )
    if done.left_out:
        kinds = ", ".join(f"{count:,} {state}" for state, count in sorted(done.left_out.items()))
        out.print(f"Files that are not in it: {kinds}; listed in {done.missing_file}", soft_wrap=True)
