"""skyfan match and check."""

import json
import sys
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import formatting
from ..formatting import count, reasons
from .common import ACCESS, FOLDER, as_json, console, default_place, echo

if TYPE_CHECKING:
    from ..objects.checks import Checked
    from ..objects.matched import Matched

_NAMED = 20
"""Images that stand out and are printed; --json and --to have all."""
_CATALOG = (
    "a table (.fits, .parquet, .csv, .ecsv, .vot), a HATS catalog in a folder or on s3://, or Gaia DR3 or "
    "PS1 from their public bucket"
)
_access = click.option(
    "--access", type=ACCESS, default="anonymous", show_default=True, help="How a reference on S3 is read."
)


def _magnitude(help_text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(
        "--magnitude", default="MAG_TOTAL", show_default=True, metavar="MAG_X", help=help_text
    )


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
@_magnitude("Magnitude of the detections that means are of.")
@click.option("--doubtful", is_flag=True, help="Also use images that their catalogs call doubtful.")
@click.option(
    "--reference",
    metavar="FILE|gaia|ps1",
    help=f"Tie positions to the stars of this catalog: {_CATALOG}.",
)
@_access
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
    access: str,
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
            options = commands.MatchOptions(magnitude, doubtful, jobs, scheduler, reference, access)
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


@click.command()
@click.argument("run", metavar="RUN|FOLDER|OBJECTS")
@click.option(
    "--against",
    required=True,
    metavar="FILE|gaia|ps1",
    help=f"The reference: {_CATALOG}.",
)
@_access
@click.option("--output", "-o", metavar="FOLDER", help=f"Folder that has the run (default: ./{FOLDER}).")
@_magnitude("Magnitude of the detections; objects have the one that they were matched with.")
@click.option(
    "--plot",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw offsets and zero points as a .png, .svg or .pdf file (extra `plot`).",
)
@click.option(
    "--to",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the table of images to a .csv, .ecsv, .fits, .parquet or .vot file.",
)
@click.option("--strict", is_flag=True, help="Exit code 1 if images stand out or could not be compared.")
@as_json
def check(
    *,
    run: str,
    against: str,
    access: str,
    output: str | None,
    magnitude: str,
    plot: Path | None,
    to: Path | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Compare positions and magnitudes with a reference catalog.

    For each image: the offset to the reference and, where it has a magnitude near the filter, the zero point,
    with numbers of stars, scatter and errors. Images that stand out are listed, by a rule that is
    printed. A run is compared as its headers say, doubtful images included, and is collected first if it was
    not yet; objects of `skyfan match` as the match has corrected them.

    Exit code: 0 even if images stand out, 2 wrong use; with --strict 1 also if images stand out or could not
    be compared.
    """
    from .. import plots
    from ..api import matching as commands
    from ..catalogs import export
    from ..objects.checks import RULE
    from ..progress import Stages

    if plot:
        plots.check(plot)
    if to:
        export.check(to)
    where = None if (Path(run) / "skyfan.json").exists() else default_place(output)
    try:
        with Stages() as stages:
            done = commands.check(run, against, where, magnitude, access=access, progress=stages)
    except KeyboardInterrupt:
        echo("stopped; nothing was written", err=True)
        sys.exit(130)
    if plot:
        plots.write(done.plot(), plot)
    if to:
        export.write(done.table, to)
    if as_json:
        document = {
            "folder": str(done.folder),
            "kind": done.kind,
            "reference": done.reference,
            "stars": done.stars,
            "states": done.images,
            "standing_out": done.standing_out["uri"].to_pylist(),
            "rule": RULE,
            "notes": done.notes,
            "images": export.to_rows(done.table),
        }
        echo(json.dumps(document, indent=1))
    else:
        show_checked(done, RULE)
    sys.exit(1 if strict and done.doubts else 0)


def show_checked(done: "Checked", rule: str) -> None:
    """Prints what remains between images and the reference."""
    say = partial(formatting.say, console())
    say(f"{done.kind} of {done._summary()}; {count(done.stars, 'star')} of the reference there")
    (east, spread, number), north = done.median("east"), done.median("north")
    if number:
        scatter = (spread**2 + north[1] ** 2) ** 0.5
        say(
            f"offset, reference less image: median {east:+.1f} mas east, {north[0]:+.1f} mas north, "
            f"scatter of images {scatter:.1f} mas"
        )
    for band in sorted(set(done.table["band"].to_pylist())):
        middle, spread, number = done.median("zeropoint", band)
        if number:
            say(
                f"zero point of {band}: median {middle:+.3f} mag, scatter of images {spread:.3f}, "
                f"{count(number, 'image')}"
            )
    for note in done.notes:
        say(f"{done.reference}: {note}")
    rows = done.standing_out.to_pylist()
    say(f"{count(len(rows), 'image')} that stand out" if rows else "no image stands out")
    for row in rows[:_NAMED]:
        zeropoint = "" if row["zeropoint"] is None else f", zero point {row['zeropoint']:+.3f} mag"
        say(
            f"  {row['uri']}: {row['stands_out']}: {row['east']:+.1f} mas east, {row['north']:+.1f} north, "
            f"{count(row['stars'], 'star')}{zeropoint}"
        )
    if len(rows) > _NAMED:
        say(f"  and {len(rows) - _NAMED:,} more: --to FILE writes them all")
    say(f"rule: {rule}")
