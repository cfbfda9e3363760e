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
    import pyarrow as pa

_OPTIONAL = ("MAGERR_AUTO", "SNR_AUTO", "FWHM_IMAGE")
_MAX_ROWS = 50
_DECIMALS = {
    "ALPHA_J2000": 7,
    "DELTA_J2000": 7,
    "ALPHAWIN_J2000": 7,
    "DELTAWIN_J2000": 7,
    "DISTANCE": 3,
    "MJD": 5,
}


@click.command()
@click.argument("run", metavar="RUN|FOLDER")
@click.option(
    "--around",
    required=True,
    metavar='"RA DEC"|NAME',
    help="Degrees, 3h32m39s -27d46m48s, 03:32:39 -27:46:48, or a name such as M31 (from CDS).",
)
@click.option("--radius", required=True, metavar="5s|2m|1d", help="Arcseconds, arcminutes or degrees.")
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
    around: str,
    radius: str,
    output: str | None,
    columns: str | None,
    to: Path | None,
    as_json: bool,
) -> None:
    """Find the sources within a circle, nearest first.

    RUN must have been collected with skyfan collect; the folder of a data set works as well. Only data near
    the circle is read. Exit code: 0 even without any source, 2 wrong use.
    """
    from ..api import datasets as commands
    from ..catalogs import export
    from ..catalogs.search import SHORT
    from ..sky import angles

    if to:
        export.check(to)
    if not Path(run).exists():
        output = default_place(output)
    ra, dec = angles.position(around)
    selected = [name.strip() for name in columns.split(",") if name.strip()] if columns else None
    shown = selected if selected or as_json or to else SHORT
    result = commands.search(run, (ra, dec), radius, where=output, columns=shown)
    if to:
        result.write(to)
    if as_json:
        document = {
            "ra": ra,
            "dec": dec,
            "radius": angles.radius(radius),
            "read": {"partitions": result.partitions, "row_groups": result.row_groups, "rows": result.rows},
            "sources": export.to_rows(result.table),
        }
        echo(json.dumps(document, indent=1))
        return
    if not to:
        show(result.table, is_short=not selected)
    echo(f"{count(len(result.table), 'source')} within {radius}" + (f": {to}" if to else ""))


def show(table: pa.Table, *, is_short: bool) -> None:
    """Prints sources; `is_short` if the columns were not chosen."""
    from ..catalogs import export

    if not len(table):
        return
    rows = []
    for row in export.to_rows(table.slice(0, _MAX_ROWS)):
        if is_short and "IMAGE" in row:
            row["IMAGE"] = file_name(row["IMAGE"])
        rows.append([_text(name, value) for name, value in row.items()])
    columns = [
        Column(
            name,
            "name" if name == "IMAGE" else "text" if name in ("FILTER", "INSTRUMENT") else "number",
            optional=is_short and name in _OPTIONAL,
        )
        for name in table.column_names
    ]
    for line in format_table(columns, rows, console().width):
        echo(line)
    if len(table) > _MAX_ROWS:
        echo(f"and {len(table) - _MAX_ROWS:,} more: --to FILE writes them all")


def _text(name: str, value: Any) -> str:
    if isinstance(value, list):
        return " ".join(_text(name, item) for item in value)
    if isinstance(value, float):
        return f"{value:.{_DECIMALS[name]}f}" if name in _DECIMALS else f"{value:.5g}"
    return "" if value is None else str(value)
