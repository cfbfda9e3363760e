"""skyfan status."""

import json
import sys

import click

from .common import as_json, console, where
from .names import run_argument


@click.command()
@run_argument
@where
@click.option("--failed", is_flag=True, help="List every file that failed, is missing or was cancelled.")
@click.option("--follow", "-f", is_flag=True, help="Look again and again until something has come of all.")
@as_json
def status(*, run: str, output: str | None, stack: str, failed: bool, follow: bool, as_json: bool) -> None:
    """Say how far RUN is, who failed and why, and what to do about it.

    Reads the run's place alone, so it works from any machine and while the run goes on. With --failed, one
    line a file: input, state, errorType, message, record and time of sending, in JSON or between tabs.

    Exit code: 0 all done or on their way, 1 some failed, are missing or were cancelled, 2 no such run.
    """
    from rich.console import Console

    from ..commands import status as following
    from ..runs import tell

    if follow:
        try:
            with tell.Ticker(Console(stderr=True)) as ticker:
                state = following.follow(run, output, stack=stack, on_state=ticker)
        except KeyboardInterrupt:
            sys.exit(130)
    else:
        state = following.status(run, output, stack=stack)
    if failed:
        for line in tell.lines(state, as_json=as_json):
            click.echo(line)
    elif as_json:
        click.echo(json.dumps(tell.document(state), indent=1))
    else:
        tell.show(console(), state)
    sys.exit(1 if tell.is_in_trouble(state) else 0)
