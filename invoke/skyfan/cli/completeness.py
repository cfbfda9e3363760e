"""skyfan completeness."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..formatting import Column, file_name
from ..formatting import table as format_table
from .common import (
    as_json,
    console,
    echo,
    local_of,
    local_options,
    refuse,
    run_argument,
    where,
    where_of,
)

if TYPE_CHECKING:
    from ..catalogs.completeness import Completeness

_MAX_ROWS = 50


@click.command()
@run_argument
@where
@click.option(
    "--to",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The table of limits, a .parquet, .fits, .csv, .ecsv or .vot file (default: completeness.parquet in "
    "the run's folder).",
)
@click.option(
    "--curve",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the stars planted and found by image and magnitude, as a table likewise.",
)
@click.option(
    "--plot",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw the curves as a .png, .svg or .pdf file (extra `plot`).",
)
@local_options
@as_json
@click.pass_context
def completeness(
    ctx: click.Context,
    /,
    *,
    run: str,
    to: Path | None,
    curve: Path | None,
    plot: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure how faint stars are found in the images of RUN.

    Plants artificial stars into each image and runs the same extraction on it, on this machine, as the run
    RUN-completeness; repeat the command to continue. The table has, for each image, the magnitudes at which
    90 and 50 % of the stars are found, with errors, and the bias of MAG_AUTO. A run made with
    --outputs completeness, here or on AWS, is only read.

    Exit code: 0 all images have limits, 1 some have not (the table says why), 2 wrong use, 130 Ctrl-C.
    """
    from .. import plots
    from ..api import engines
    from ..catalogs import export
    from ..progress import RunProgress

    for path in filter(None, (to, curve)):
        export.check(path)
    if plot:
        plots.check(plot)
    output = options["output"]
    is_folder = output and not output.startswith("s3://")
    if not is_folder:
        refuse(ctx, ("jobs", "retries", "timeout", "memory"), "is for a run in a folder")
    place = local_of(output, options) if is_folder else where_of(output, options["stack"])
    with RunProgress() as progress:
        try:
            found = engines.completeness(run, place, to=to, on_event=progress.on_event)
        except KeyboardInterrupt:
            echo("stopped; the same command continues", err=True)
            sys.exit(130)
    if curve:
        export.write(found.curve, curve)
    if plot:
        plots.write(found.plot(), plot)
    if as_json:
        rows = export.to_rows(found.table)
        document = {"run": found.run, "planted": found.planted, "images": rows, "details": found.documents}
        echo(json.dumps(document, indent=1))
    else:
        show(found)
    sys.exit(1 if found.unmeasured else 0)


def show(found: "Completeness") -> None:
    """Prints the limits of the first images, and why others have none."""
    columns = [
        Column("image", "name"),
        *(Column(name, "number") for name in ("90 %", "50 %", "bias", "bias at 90 %", "stars")),
        Column("profile", "text", optional=True),
    ]
    rows = [
        [
            file_name(row["uri"]),
            *(_number(row[name], 2) for name in ("limit_90", "limit_50")),
            *(_number(row[name], 3) for name in ("bias_bright", "bias_90")),
            "" if row["trials"] is None else f"{row['trials']:,}",
            row["psf"] or "",
        ]
        for row in found.table.slice(0, _MAX_ROWS).to_pylist()
    ]
    for line in format_table(columns, rows, console().width):
        echo(line)
    if len(found.table) > _MAX_ROWS:
        echo(f"and {len(found.table) - _MAX_ROWS:,} more: the table has them all")
    for row in found.table.to_pylist():
        if row["reason"]:
            echo(f"{file_name(row['uri'])}: {row['reason']}")
    echo(found._summary())


def _number(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:.{decimals}f}"
