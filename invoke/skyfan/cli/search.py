"""skyfan search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .common import as_json, console

if TYPE_CHECKING:
    import pyarrow as pa

_SHOWN = (
    "ALPHA_J2000", "DELTA_J2000", "MAG_AUTO", "MAGERR_AUTO", "SNR_AUTO", "FWHM_IMAGE", "FLAGS", "FILTER",
    "IMAGE",
)  # fmt: skip
_MOST = 50
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
    metavar='"RA DEC"',
    help="Degrees, or 3h32m39s -27d46m48s, or 03:32:39 -27:46:48.",
)
@click.option("--radius", required=True, metavar="5s|2m|1d", help="Arcseconds, arcminutes or degrees.")
@click.option(
    "--output", "-o", metavar="FOLDER", help="Folder of the run, for one whose data set lies with it."
)
@click.option(
    "--columns", metavar="NAME,...", help="Columns, beside the distance; all of them in a file if not given."
)
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A .csv, .fits or .parquet file for what is found.",
)
@as_json
def search(
    *,
    run: str,
    around: str,
    radius: str,
    output: str | None,
    columns: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Find the sources within a circle, the nearest first.

    RUN was collected with skyfan collect; a data set's folder will do as well. Only what lies around the
    circle is read. Exit code: 0 also when there are no sources, 2 wrong use.
    """
    from ..catalogs import export, position
    from ..commands import collect as commands

    if out:
        export.check(out)
    ra, dec = position.around(around)
    wanted = [name.strip() for name in columns.split(",") if name.strip()] if columns else None
    shown = wanted if wanted or as_json or out else list(_SHOWN)
    found = commands.search(run, ra, dec, position.radius(radius), output=output, columns=shown)
    if out:
        export.write(found.table, out)
    if as_json:
        document = {
            "ra": ra,
            "dec": dec,
            "radius": position.radius(radius),
            "read": {"partitions": found.partitions, "row_groups": found.row_groups, "rows": found.rows},
            "sources": export.to_rows(found.table),
        }
        click.echo(json.dumps(document, indent=1))
        return
    if not out:
        _show(found.table, not wanted)
    click.echo(f"{len(found.table):,} sources within {radius}" + (f": {out}" if out else ""))


def _show(table: pa.Table, is_short: bool) -> None:
    from rich.table import Table

    from ..catalogs import export

    if not len(table):
        return
    shown = Table(box=None, header_style="bold", pad_edge=False)
    for name in table.column_names:
        shown.add_column(
            name, justify="left" if name in ("IMAGE", "FILTER", "INSTRUMENT") else "right", overflow="fold"
        )
    for row in export.to_rows(table.slice(0, _MOST)):
        if is_short:
            row["IMAGE"] = row["IMAGE"].rpartition("/")[2]
        shown.add_row(*(_text(name, value) for name, value in row.items()))
    console().print(shown)
    if len(table) > _MOST:
        click.echo(f"and {len(table) - _MOST:,} more: --out FILE has them all")


def _text(name: str, value: Any) -> str:
    if isinstance(value, list):
        return " ".join(_text(name, each) for each in value)
    if isinstance(value, float):
        return f"{value:.{_DECIMALS[name]}f}" if name in _DECIMALS else f"{value:.5g}"
    return "" if value is None else str(value)
