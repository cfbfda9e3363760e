"""skyfan doctor."""

import json
import sys
import textwrap
from typing import TYPE_CHECKING

import click

from ..doctor.check import PURPOSES
from .common import as_json, console, echo, stack_options

if TYPE_CHECKING:
    from ..doctor.check import Finding

_MARKS = {"ok": "ok", "doubtful": "limited", "missing": "MISSING", "unchecked": "?"}


@click.command()
@click.option(
    "--for",
    "purposes",
    multiple=True,
    type=click.Choice(PURPOSES),
    default=("laptop",),
    show_default=True,
    help="What must work for exit code 0; repeatable.",
)
@stack_options("Name of the deployed stack.")
@as_json
def doctor(*, purposes: tuple[str, ...], stack: str, as_json: bool) -> None:
    """Check what works here, with advice on what does not.

    Checks this machine, the archive, and your AWS account with its stack. Each line says what it is needed
    for: laptop is `skyfan run` on this machine, which needs neither network nor account; pictures, axes
    around them; plan, queries of the archive; aws, runs on a deployed stack; deploy, `skyfan deploy`; sam,
    containers on this machine. Changes nothing, and ends within a minute or two whatever hangs.

    Exit code: 0 all works that --for names, 1 something that it needs is missing, 2 wrong use.
    """
    from ..api import doctor as diagnose

    found = diagnose(stack)
    works = all(map(found.works, purposes))
    if as_json:
        echo(json.dumps({"for": list(purposes), **found.document()}, indent=1))
        sys.exit(0 if works else 1)
    width = console().width
    for item in found.findings:
        for line in _lines(item, width):
            echo(line)
    echo("")
    for purpose in PURPOSES:
        missing = [f.check for f in found.findings if f.blocks(purpose)]
        echo(f"{purpose:9} {'not yet: ' + ', '.join(missing) if missing else 'works'}")
    sys.exit(0 if works else 1)


def _lines(finding: "Finding", width: int) -> list[str]:
    """Mark, name and text, and below them the advice, wrapped at blanks."""
    lines = [f"{_MARKS[finding.state]:9}{finding.check:20}{finding.text}"]
    if finding.advice:
        lines.append(f"{'':29}-> {finding.advice}")
    wrapped = [
        textwrap.wrap(line, width, subsequent_indent=" " * 29, break_long_words=False, break_on_hyphens=False)
        for line in lines
    ]
    return [line for part in wrapped for line in part]
