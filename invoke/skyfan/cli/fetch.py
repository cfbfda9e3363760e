"""skyfan fetch."""

import dataclasses
import json
import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from .. import formatting
from ..errors import Interrupted
from ..formatting import count
from .common import ACCESS, as_json, console, echo

if TYPE_CHECKING:
    from ..fetch.result import File, Result

_NAMED = 10
"""Files of one state that are named; the JSON document has all."""


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PLAN|URI...")
@click.option("--to", required=True, metavar="FOLDER|s3://BUCKET/PREFIX", help="Where the files go.")
@click.option(
    "--extensions",
    metavar="NAME,...",
    help="Only these HDUs, by EXTNAME, or EXTNAME,EXTVER: SCI,DQ or SCI,1.",
)
@click.option(
    "--cutout", metavar='"RA DEC"|NAME', help="Only the pixels around a position, or a name that CDS knows."
)
@click.option("--size", metavar="5s|1arcmin|0.1d", help="Side of the square of --cutout.")
@click.option(
    "--mast",
    is_flag=True,
    help="Download from MAST itself what is not in the cloud, with the token in MAST_API_TOKEN if it is set.",
)
@click.option(
    "--keep-paths", is_flag=True, help="Keep bucket and key as folders (default: file names alone)."
)
@click.option(
    "--limit-egress",
    metavar="SIZE",
    default="50GB",
    show_default=True,
    help="Refuse to start if more than this must be transferred from S3.",
)
@click.option(
    "--connections",
    type=click.IntRange(1, 256),
    default=32,
    show_default=True,
    help="Requests at once.",
)
@click.option("--verify", is_flag=True, help="Read the files that are there, and repair damaged ones.")
@click.option(
    "--overwrite", is_flag=True, help="Replace files that were changed here, or came from elsewhere."
)
@click.option("--access", type=ACCESS, default="anonymous", show_default=True, help="How S3 is read.")
@as_json
def fetch(
    *,
    paths: tuple[str, ...],
    to: str,
    extensions: str | None,
    cutout: str | None,
    size: str | None,
    mast: bool,
    keep_paths: bool,
    limit_egress: str,
    connections: int,
    verify: bool,
    overwrite: bool,
    access: str,
    as_json: bool,
) -> None:
    """Download the files of a plan, or objects of S3.

    PLAN is a plan file. URI is an object s3://bucket/key, a prefix that ends in / (its FITS files), a pattern
    such as s3://bucket/folder/*_drz.fits, a URI of MAST such as mast:HST/product/NAME, or @list.txt with one
    of these per line.

    With --extensions or --cutout only the ranges of bytes that these need are transferred, and the files are
    valid FITS with what they hold in their names. A cut-out has the rows of every image that contains part of
    the square, cut at its edges, and its WCS with all distortions.

    Files arrive in parallel. Each gets its name when it is whole and verified. Repeat an interrupted command:
    partial files continue where they stopped, and complete ones are not transferred again unless they have
    changed at the source. FOLDER/manifest.jsonl says where each file is from, its version and checksum;
    `md5sum --check MD5SUMS` and `sha256sum --check SHA256SUMS` check the files.

    Exit code: 0 every file is there, 1 some are not, 2 wrong use or beyond a limit.
    """
    from ..api import fetching as commands
    from ..progress import Stages

    try:
        with Stages() as stages:
            result = commands.fetch(
                paths,
                to,
                extensions=extensions,
                cutout=cutout,
                size=size,
                access=access,
                keep_paths=keep_paths,
                mast=mast,
                limit_egress=limit_egress,
                connections=connections,
                verify=verify,
                overwrite=overwrite,
                progress=stages,
            )
    except Interrupted as interrupted:
        result = interrupted.partial
    if as_json:
        echo(json.dumps(_document(result), indent=1))
    else:
        show(result)
    if result.interrupted:
        echo("stopped; partial files are kept, repeat the command to continue", err=True)
    sys.exit(130 if result.interrupted else 0 if result.is_complete else 1)


def _document(result: "Result") -> dict[str, object]:
    return {
        "to": result.destination,
        "counts": result.counts,
        "left_out": result.unwanted,
        "egress": dataclasses.asdict(result.egress) if result.egress else None,
        "transferred": result.received,
        "whole": result.whole,
        "requests": result.requests,
        "retries": result.retries,
        "stopped": result.stopped,
        "interrupted": result.interrupted,
        "files": [dataclasses.asdict(file) for file in result.files],
    }


def show(result: "Result") -> None:
    """Prints what was fetched, and each file that was not."""
    from ..fetch.result import STATES, UNCHANGED

    say = partial(formatting.say, console())
    by_state: dict[str, list[File]] = {state: [] for state in STATES}
    for file in result.files:
        by_state[file.state].append(file)
    for state, files in by_state.items():
        told = [file for file in files if file.reason or (file.notes and state != UNCHANGED)]
        for file in told[:_NAMED]:
            about = formatting.one_line("; ".join(filter(None, (file.reason, *file.notes))))
            say(f"{state}: {formatting.one_line(file.name or file.source)}: {about}")
        if len(told) > _NAMED:
            say(f"{state}: and {len(told) - _NAMED:,} more; --json lists them")
    if result.unwanted:
        say(f"left out by the plan: {formatting.reasons(result.unwanted)}")
    if result.egress:
        say(result.egress.text)
        part = f" of {formatting.size(result.whole)}" if result.received < result.whole else ""
        retries = f", {result.retries:,} of them repeated" if result.retries else ""
        requests = count(result.requests, "request")
        say(f"{formatting.size(result.received)}{part} transferred in {requests}{retries}")
    if result.stopped:
        say(f"stopped: {result.stopped}. Partial files are kept: make room, and repeat the command")
    counts = ", ".join(f"{number:,} {state}" for state, number in result.counts.items())
    say(f"{counts or 'no files'}: {result.destination}")
