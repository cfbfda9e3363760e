"""skyfan demo."""

import json
import os
import sys
import webbrowser
from pathlib import Path

import click

from ..formatting import count, usd
from .collect import show as show_collected
from .common import as_json, console, echo
from .search import show as show_found


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
