"""skyfan send."""

import dataclasses
import json
import sys
from pathlib import Path

import click

from .common import as_json, echo


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
