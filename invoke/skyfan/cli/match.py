"""skyfan match."""

import json
import sys
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import formatting
from ..formatting import count, reasons
from .common import FOLDER, as_json, console, default_place, echo

if TYPE_CHECKING:
    from ..objects.matched import Matched


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN|FOLDER...")
@click.option(
    "--to",
    required=True,
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the objects.",
)
@click.option("--output", "-o", metavar="FOLDER", help=f"Folder that has the runs (default: ./{FOLDER}).")
@click.option(
    "--magnitude",
    default="MAG_TOTAL",
    show_default=True,
    metavar="MAG_X",
    help="Magnitude of the detections that means are of.",
)
@click.option("--doubtful", is_flag=True, help="Also use images that their catalogs call doubtful.")
@click.option(
    "--reference",
    metavar="FILE|gaia|ps1",
    help="Tie positions to the stars of this catalog: a table (.fits, .parquet, .csv, .ecsv, .vot), a HATS "
    "catalog in a folder or on s3://, or Gaia DR3 or PS1 from their public bucket.",
)
@click.option(
    "--jobs", "-j", type=click.IntRange(1), help="Processes (default: by detections, CPUs and free memory)."
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Run the pieces on the Dask cluster with this scheduler, such as tcp://host:8786. Its workers "
    "must see the same folders.",
)
@click.option("--strict", is_flag=True, help="Exit code 1 if images are doubtful or not known well.")
@as_json
def match(
    *,
    runs: tuple[str, ...],
    to: Path,
    output: str | None,
    magnitude: str,
    doubtful: bool,
    reference: str | None,
    jobs: int | None,
    scheduler: str | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Match the detections of runs to objects.

    One row per star or galaxy: its position, and per instrument and filter its mean magnitude, how much it
    varies, and a limit where it is covered but not seen; and one row per detection, with the object that it
    is of. RUN is collected first if it was not yet; the folder of a data set works as well.

    Images are moved onto each other first: their offsets are in the table of images. Files of the same
    exposure count once. Doubtful images and those without sky coordinates are left out. All are counted, and
    the table of images says which. An interrupted match continues when the command is repeated.

    Exit code: 0 even if images are left out, 2 wrong use; with --strict 1 also if images are left out as
    doubtful or without sky, if a filter or an exposure is not known, if an offset was not found, or an image
    is not tied to the reference.
    """
    from ..api import matching as commands
    from ..progress import Stages

    where = None if all((Path(run) / "skyfan.json").exists() for run in runs) else default_place(output)
    try:
        with Stages() as stages:
            options = commands.MatchOptions(magnitude, doubtful, jobs, scheduler, reference)
            done = commands.match(runs, to, where, options, progress=stages)
    except KeyboardInterrupt:
        echo(f"stopped; what is done is kept beside {to}, repeat the command to continue", err=True)
        sys.exit(130)
    if as_json:
        document = {field.name: getattr(done, field.name) for field in fields(done)}
        echo(json.dumps(document | {"folder": str(done.folder)}, indent=1))
    else:
        show(done)
    sys.exit(1 if strict and done.doubts else 0)


def show(done: "Matched") -> None:
    """Prints what was matched, and what is doubtful about it."""
    say = partial(formatting.say, console())
    say(
        f"{count(done.objects, 'object')} of {count(done.links, 'detection')} in "
        f"{count(done.images.get('used', 0), 'image')}: {done.folder}"
    )
    if not done.is_new:
        say("nothing is new: the same data sets and settings")
    others = {state: number for state, number in done.images.items() if state != "used"}
    where = f"the columns match_state and match_kept of {done.folder / 'images.parquet'} say which"
    if others:
        say(f"images not used: {reasons(others)}; {where}")
    say(f"offsets of images: {reasons(done.offsets)}")
    if done.reference:
        say(f"tied to {done.reference}: {reasons(done.tied)}")
    for note in done.notes:
        say(f"{done.reference}: {note}")
    for doubt in done.doubts:
        say(doubt)
