"""skyfan search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..formatting import Column, count, file_name
from ..formatting import table as format_table
from .common import FOLDER, as_json, console, default_place, echo

if TYPE_CHECKING:
    from ..catalogs.search import SearchResult

_OPTIONAL = ("MAGERR_AUTO", "SNR_AUTO", "FWHM_IMAGE")
_MAX_ROWS = 50
_DECIMALS = {
    "ALPHA_J2000": 7,
    "DELTA_J2000": 7,
    "DISTANCE": 3,
    "MJD": 5,
}


@click.command()
@click.argument("run", metavar="RUN|FOLDER")
@click.option(
    "--around",
    metavar='"RA DEC"|NAME',
    help="Degrees, 3h32m39s -27d46m48s, 03:32:39 -27:46:48, or a name such as M31 (from CDS).",
)
@click.option("--radius", metavar="5s|2m|1d", help="Arcseconds, arcminutes or degrees.")
@click.option("--output", "-o", metavar="FOLDER", help=f"Folder that contains RUN (default: ./{FOLDER}).")
@click.option("--columns", metavar="NAME,...", help="Columns besides the distance (default for files: all).")
@click.option(
    "--to",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write all rows to a .csv, .ecsv, .fits, .parquet or .vot file, or their ellipses to .reg or .crtf.",
)
@as_json
def search(
    *,
    run: str,
    around: str | None,
    radius: str | None,
    output: str | None,
    columns: str | None,
    to: Path | None,
    as_json: bool,
) -> None:
    """Find the sources within a circle, nearest first.

    RUN must have been collected with skyfan collect; the folder of a data set works as well. Only data near
    the circle is read. The rows of another function's tables are found in the same way; without a circle,
    these are all rows. Exit code: 0 even without any, 2 wrong use.
    """
    from ..api import datasets as commands
    from ..catalogs import export
    from ..catalogs.kinds import SHORT
    from ..sky import angles

    if to:
        export.check(to)
    if not Path(run).exists():
        output = default_place(output)
    selected = [name.strip() for name in columns.split(",") if name.strip()] if columns else None
    shown = selected if selected or as_json or to else SHORT
    ra, dec = angles.position(around) if around else (None, None)
    centre = None if ra is None or dec is None else (ra, dec)
    result = commands.search(run, centre, radius, where=output, columns=shown)
    kind = result.kind
    if to:
        result.write(to)
    if as_json:
        document = {
            "ra": ra,
            "dec": dec,
            "radius": angles.radius(radius) if radius else None,
            "read": {"partitions": result.partitions, "row_groups": result.row_groups, "rows": result.rows},
            f"{kind.row}s": export.to_rows(result.table),
        }
        echo(json.dumps(document, indent=1))
        return
    if not to:
        show(result, is_short=not selected)
    within = f" within {radius}" if radius else ""
    echo(f"{count(len(result.table), kind.row)}{within}" + (f": {to}" if to else ""))


def show(found: SearchResult, *, is_short: bool) -> None:
    """Prints rows; `is_short` if the columns were not chosen."""
    import pyarrow as pa

    from ..catalogs import export, kinds

    table, uri = found.table, found.kind.uri_column
    if not len(table):
        return
    decimals = dict.fromkeys(kinds.position(table.schema) or (), 7) | _DECIMALS
    rows = []
    for row in export.to_rows(table.slice(0, _MAX_ROWS)):
        if is_short and uri in row:
            row[uri] = file_name(row[uri])
        rows.append([_text(value, decimals.get(name)) for name, value in row.items()])
    columns = [
        Column(
            field.name,
            "name" if field.name == uri else "text" if pa.types.is_string(field.type) else "number",
            optional=is_short and field.name in _OPTIONAL,
        )
        for field in table.schema
    ]
    for line in format_table(columns, rows, console().width):
        echo(line)
    if len(table) > _MAX_ROWS:
        echo(f"and {len(table) - _MAX_ROWS:,} more: --to FILE writes them all")


def _text(value: Any, decimals: int | None) -> str:
    if isinstance(value, list):
        return " ".join(_text(item, decimals) for item in value)
    if isinstance(value, float):
        return f"{value:.5g}" if decimals is None else f"{value:.{decimals}f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
