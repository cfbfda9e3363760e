"""skyfan collect."""

import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import formatting
from ..formatting import count, reasons
from .common import as_json, console, echo, where, where_of

if TYPE_CHECKING:
    from ..catalogs.collected import Collected

_NAMED = 5
"""Damaged catalogs that are named; the list has all."""


@click.command()
@click.argument("run")
@where
@click.option(
    "--to",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the data set (default: collected/ in the run's folder, ./RUN for a run in a bucket).",
)
@click.option("--good", is_flag=True, help="Leave doubtful images out; missing.csv lists them with reasons.")
@click.option(
    "--moc",
    metavar="FILE.fits",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write the sky that the images cover, as a MOC.",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Write the partitions on the Dask cluster with this scheduler, such as tcp://host:8786. Its workers "
    "must see the same folders.",
)
@click.option("--strict", is_flag=True, help="Exit code 1 if images are doubtful or left out.")
@as_json
def collect(
    *,
    run: str,
    output: str | None,
    stack: str,
    to: Path | None,
    good: bool,
    moc: Path | None,
    scheduler: str | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Merge all catalogs of RUN into one data set.

    Writes a table of sources and a table of images; of another function that makes tables, their rows and a
    table of inputs. The data set is Parquet, partitioned by HEALPix pixel as
    in HATS, which LSDB reads. Repeat the command at any time: it reads only catalogs that are new or have
    changed. Files of the run without a catalog are counted, and listed with reasons in missing.csv; doubtful
    images are counted by reason.

    A catalog is damaged if it is not the one that the run made: other bytes than were recorded, of another
    image, or made with other settings. It is named and left out; `skyfan retry --damaged` makes it again.

    Exit code: 0 even if files are left out or doubtful, 1 if catalogs are damaged, 2 wrong use; with --strict
    1 also if images are doubtful.
    """
    from ..api import datasets as commands
    from ..catalogs import images
    from ..progress import Stages

    if moc:
        images.check_moc(moc)
    try:
        with Stages() as stages:
            done = commands.collect(
                run, where_of(output, stack), to=to, good=good, scheduler=scheduler, progress=stages
            )
    except KeyboardInterrupt:
        echo("stopped; the data set has not changed, repeat the command to update it", err=True)
        sys.exit(130)
    if moc:
        images.write_moc(done.image_table(), moc)
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
            "doubtful": done.doubtful,
            "doubts": done.doubts,
            "left_out": done.left_out,
            "damaged": done.damaged,
            "missing": str(done.missing_file),
            "moc": str(moc) if moc else None,
        }
        echo(json.dumps(document, indent=1))
    else:
        show(done)
        if moc:
            echo(f"coverage: {moc}")
    is_refused = strict and (done.doubtful or done.left_out)
    sys.exit(1 if is_refused or "damaged" in done.left_out else 0)


def show(done: "Collected") -> None:
    """Prints what was collected."""
    say, kind = partial(formatting.say, console()), done.kind
    if done.sources or not done.unplaced:
        say(
            f"{count(done.sources, kind.row)} of {count(done.images, kind.input)} in "
            f"{count(done.partitions, 'partition')}: {done.folder}"
        )
    else:
        say(f"{count(done.unplaced, kind.row)} of {count(done.images, kind.input)}: {done.folder}")
    if done.unplaced and not done.sources:
        say(f"none has a position on the sky: {done.folder / 'unplaced.parquet'}")
    elif done.unplaced:
        say(f"{done.unplaced:,} more without a position on the sky: {done.folder / 'unplaced.parquet'}")
    removed = (
        f", {count(done.removed, kind.input)} removed: their {kind.result}s no longer exist"
        if done.removed
        else ""
    )
    say(
        f"{count(done.read, kind.result)} read, {done.images - done.read:,} unchanged{removed}"
        if done.read or removed
        else f"no {kind.result} is new"
    )
    if done.doubtful:
        say(
            f"doubtful: {count(done.doubtful, kind.input)} ({reasons(done.doubts)}); "
            f"the column doubts of {done.folder / 'images.parquet'} says which"
        )
    if done.left_out:
        kinds = ", ".join(f"{count:,} {state}" for state, count in sorted(done.left_out.items()))
        say(f"not in the data set: {kinds}; listed in {done.missing_file}")
    for name, why in list(done.damaged.items())[:_NAMED]:
        say(formatting.one_line(f"damaged: {name}: {why}"))
    if done.damaged:
        say(f"`skyfan retry {done.run} --damaged` makes the damaged {kind.result}s again, and only these.")
