"""skyfan status and skyfan runs."""

import json
import sys

import click

from ..errors import UsageError
from .common import as_json, console, run_argument, strict, where, where_of


@click.command()
@run_argument
@where
@click.option("--failed", is_flag=True, help="List every file that failed, is missing or was cancelled.")
@click.option("--doubtful", is_flag=True, help="List every doubtful file with the reasons.")
@strict
@click.option(
    "--follow", "-f", is_flag=True, help="Poll until every file is done, failed, missing or cancelled."
)
@as_json
def status(
    *,
    run: str,
    output: str | None,
    stack: str,
    failed: bool,
    doubtful: bool,
    strict: bool,
    follow: bool,
    as_json: bool,
) -> None:
    """Show how far RUN is, what failed and why, and what to do.

    Reads only the place of the run, so it works on any machine and while the run is in progress. With
    --failed, prints one line per file: input, state, errorType, message, record and time of sending,
    separated by tabs, or one JSON array of these; with --doubtful: input, reasons and result.

    Exit code: 0 all done or in progress, 1 some failed, are missing or were cancelled, 2 no such run.
    """
    from ..api import monitor
    from ..progress import Stages
    from ..runs import show

    if failed and doubtful:
        raise UsageError("--failed and --doubtful print different columns: use one at a time")
    place = where_of(output, stack)
    if follow:
        try:
            with Stages() as stages:
                state = monitor.follow(run, place, on_state=show.on_state(stages))
        except KeyboardInterrupt:
            sys.exit(130)
    else:
        state = monitor.status(run, place)
    doubts = None if failed and not strict else state.doubts()
    if failed or doubtful:
        files = show.doubtful_files(state, doubts) if doubtful else show.failed_files(state)
        for line in show.listing(files, as_json=as_json):
            click.echo(line)
    elif as_json:
        click.echo(json.dumps(show.document(state, doubts), indent=1))
    else:
        show.show(console(), state, doubts)
    is_refused = strict and (doubts is None or len(doubts) > 0)
    sys.exit(1 if is_refused or show.has_unsuccessful(state) else 0)


@click.command()
@where
@as_json
def runs(*, output: str | None, stack: str, as_json: bool) -> None:
    """List the runs of a place, most recently active first.

    A quick overview: a file in two plans counts twice, and results are counted up to 1000, one page of an S3
    listing. `skyfan status` counts exactly.
    """
    from ..api import monitor
    from ..runs import show

    found = monitor.runs(where_of(output, stack))
    if as_json:
        click.echo(json.dumps([show.overview_document(one) for one in found], indent=1))
    else:
        show.show_overview(console(), found)
