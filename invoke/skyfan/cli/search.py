"""skyfan search and send."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..formatting import Column, count, file_name
from ..formatting import table as format_table
from .common import FOLDER, as_json, console, default_place, echo, refuse

if TYPE_CHECKING:
    import pyarrow as pa

    from ..catalogs.search import SearchResult
    from ..objects.lightcurve import LightCurve

_OPTIONAL = ("MAGERR_AUTO", "SNR_AUTO", "FWHM_IMAGE", "SEPARATION")
_MAX_ROWS = 50
_DECIMALS = {
    "ALPHA_J2000": 7,
    "DELTA_J2000": 7,
    "DISTANCE": 3,
    "MJD": 5,
    "MAG": 3,
    "MAGERR": 3,
    "LIMIT": 3,
    "SEPARATION": 1,
}


@click.command()
@click.argument("run", metavar="RUN|FOLDER|OBJECTS")
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
@click.option(
    "--object", "ident", type=int, metavar="ID", help="The light curve of this OBJECT_ID of OBJECTS."
)
@click.option(
    "--plot",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw the light curve, or the positions, as a .png, .svg or .pdf file (extra `plot`).",
)
@as_json
@click.pass_context
def search(
    ctx: click.Context,
    /,
    *,
    run: str,
    around: str | None,
    radius: str | None,
    output: str | None,
    columns: str | None,
    to: Path | None,
    ident: int | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Find sources or objects in a circle, or a light curve.

    The nearest come first. RUN must have been collected with skyfan collect; the folder of a data set works
    as well. Only data near the circle is read. The rows of another function's tables are found in the same
    way; without a circle, these are all rows.

    OBJECTS is a folder of skyfan match. With --object, the rows are the detections of an object in the order
    of time, and the images that cover but do not see it, with their 5-sigma depth as LIMIT. A detection with
    USED no counts in no mean. Exit code: 0 even without any row, 2 wrong use.
    """
    from .. import plots
    from ..api import datasets as commands
    from ..catalogs import export
    from ..catalogs.kinds import SHORT
    from ..sky import angles

    if to:
        export.check(to)
    if plot:
        plots.check(plot)
    if ident is not None:
        refuse(ctx, ("around", "radius", "output", "columns"), "does not go with --object")
        _light_curve(commands.light_curve(run, ident), to, plot, as_json=as_json)
        return
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
    if plot:
        plots.write(result.plot(), plot)
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
    echo(f"{count(len(result.table), kind.row)}{within}{_written(to, plot)}")


def _written(*paths: Path | None) -> str:
    names = ", ".join(str(path) for path in paths if path)
    return f": {names}" if names else ""


def _light_curve(curve: LightCurve, to: Path | None, plot: Path | None, *, as_json: bool) -> None:
    """Writes and prints a light curve."""
    from .. import plots
    from ..catalogs import export

    if to:
        curve.write(to)
    if plot:
        plots.write(curve.plot(), plot)
    if as_json:
        values = {name: export.plain(value) for name, value in curve.values.items()}
        echo(json.dumps({"object": values, "detections": export.to_rows(curve.table)}, indent=1))
        return
    if not to:
        _print(curve.table, "IMAGE", is_short=True, decimals=_DECIMALS, most=len(curve.table))
    echo(f"{curve._summary()}{_written(to, plot)}")


def show(found: SearchResult, *, is_short: bool) -> None:
    """Prints rows; `is_short` if the columns were not chosen."""
    from ..catalogs import kinds

    decimals = dict.fromkeys(kinds.position(found.table.schema) or (), 7) | _DECIMALS
    _print(found.table, found.kind.uri_column, is_short=is_short, decimals=decimals, most=_MAX_ROWS)


def _print(table: pa.Table, uri: str, *, is_short: bool, decimals: dict[str, int], most: int) -> None:
    """Prints the first rows of a table, at most `most`."""
    import pyarrow as pa

    from ..catalogs import export

    if not len(table):
        return
    rows = []
    for row in export.to_rows(table.slice(0, most)):
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
    if len(table) > most:
        echo(f"and {len(table) - most:,} more: --to FILE writes them all")


def _text(value: Any, decimals: int | None) -> str:
    if isinstance(value, list):
        return " ".join(_text(item, decimals) for item in value)
    if isinstance(value, float):
        return f"{value:.5g}" if decimals is None else f"{value:.{decimals}f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--to", metavar="PROGRAM", help="Only to this program, such as TOPCAT (default: all that can).")
@as_json
def send(*, files: tuple[Path, ...], to: str | None, as_json: bool) -> None:
    """Load files into TOPCAT, Aladin or DS9 over SAMP.

    FILE is a VOTable, or a FITS file with a table, an image or a MOC: what skyfan search --to and skyfan
    collect --moc write, a catalog of a run, or an image. The programs must be running. Each FILE goes to all
    that can load it.

    Exit code: 0 if all files were loaded, 1 if a program did not load one, 2 wrong use.
    """
    from ..api import sharing

    sent = sharing.send(files, to)
    if as_json:
        rows = [{**dataclasses.asdict(one), "file": str(one.file)} for one in sent]
        echo(json.dumps({"sent": rows}, indent=1))
    else:
        for one in sent:
            echo(f"{one.program}: {one.file.name} {f'not loaded: {one.error}' if one.error else 'loaded'}")
    sys.exit(1 if any(one.error for one in sent) else 0)
