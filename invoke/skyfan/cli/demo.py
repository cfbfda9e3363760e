"""skyfan demo and doctor."""

import json
import os
import sys
import textwrap
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..doctor.check import PURPOSES
from ..formatting import count, usd
from .collect import show as show_collected
from .common import as_json, console, echo, stack_options
from .search import show as show_found

if TYPE_CHECKING:
    from ..doctor.check import Finding

_MARKS = {"ok": "ok", "doubtful": "limited", "missing": "MISSING", "unchecked": "?"}


@click.command()
@click.option(
    "--output",
    "-o",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("skyfan-demo"),
    show_default=True,
    help="Folder for images and results.",
)
@click.option("--no-open", is_flag=True, help="Do not open the report in a browser.")
@as_json
def demo(*, output: Path, no_open: bool, as_json: bool) -> None:
    """Show the whole story on a synthetic field.

    Needs neither images nor network nor an AWS account. Makes three images of one sky in two filters, runs
    them on this machine, and opens the report; each step is printed as the command that does it. Repeating it
    continues in the same folder.

    Exit code: 0 done, 1 some images failed, 2 wrong use, 130 Ctrl-C.
    """
    from ..api import demos
    from ..progress import RunProgress
    from ..runs import show_outcome

    with RunProgress() as progress:
        try:
            made = demos.demo(output, on_event=progress.on_event)
        except KeyboardInterrupt:
            echo("stopped; the same command continues", err=True)
            sys.exit(130)
    page = made.report.resolve()
    bill = made.costs.bill
    if as_json:
        document = {
            "folder": str(output.resolve()),
            "images": str(made.images.resolve()),
            "run": made.outcome.document(),
            "sources": made.collected.sources,
            "usd_on_lambda": bill.usd,
            "report": str(page),
        }
        echo(json.dumps(document, indent=1))
    else:
        where = f"{demos.RUN} --output {output}"
        around = " ".join(f"{angle:g}" for angle in demos.AROUND)
        echo(f"$ skyfan run {made.images} --run {where}")
        show_outcome.show(console(), made.outcome)
        echo(f"\n$ skyfan collect {where}")
        show_collected(made.collected)
        echo(f"\n$ skyfan search {where} --around {around} --radius {demos.RADIUS}")
        show_found(made.found, is_short=True)
        echo(f"\n$ skyfan costs {where}")
        echo(f"On Lambda the same work would have cost {usd(bill.usd)} for {count(bill.images, 'image')}.")
        echo(f"\n$ skyfan report {where}\n{page.as_uri()}")
    if not (no_open or as_json) and _has_window():
        webbrowser.open(page.as_uri())
    sys.exit(0 if made.outcome.is_complete else 1)


def _has_window() -> bool:
    """Whether somebody is at a terminal in a desktop: a browser of text would take the terminal."""
    has_desktop = sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(has_desktop) and sys.stdout is not None and sys.stdout.isatty()


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
