"""skyfan status, runs and cancel."""

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from ..formatting import count
from .common import as_json, console, echo, run_argument, strict, where, where_of

if TYPE_CHECKING:
    from ..api.engines import Where
    from ..aws.cancel import Cancelled


@click.command()
@run_argument
@where
@click.option("--failed", is_flag=True, help="List every file that failed, is missing or was cancelled.")
@click.option("--doubtful", is_flag=True, help="List every doubtful file with the reasons.")
@click.option(
    "--stale",
    is_flag=True,
    help="Compare the source of each result with the version it was made from; list all that are not fresh.",
)
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
    stale: bool,
    strict: bool,
    follow: bool,
    as_json: bool,
) -> None:
    """Show how far RUN is, what failed and why, and what to do.

    Reads only the place of the run, so it works on any machine and while the run is in progress. With
    --failed, prints one line per file: input, state, errorType, message, record and time of sending,
    separated by tabs, or one JSON array of these; with --doubtful: input, reasons and result.

    With --stale, asks where the sources are for their versions now, and prints for each result whose source
    is not the same: input, state, version it was made from, version now, size in the plan, size now, message;
    with --json one document with counts and requests. The states are stale, source gone, not checked, and
    unknown version of results that do not name one. `skyfan retry --stale` processes the stale ones again.

    Exit code: 0 all done or in progress, 1 some failed, are missing or were cancelled, or have not begun in a
    folder in which no process works on the run, 2 no such run; with --stale: 0 all sources are fresh, 1 some
    are not or could not be checked, 130 Ctrl-C.
    """
    from ..api import monitor
    from ..progress import Stages
    from ..runs import show

    if failed + doubtful + stale > 1:
        raise UsageError("--failed, --doubtful and --stale print different columns: use one at a time")
    if stale and (follow or strict):
        raise UsageError("--stale compares once, and has an exit code of its own: omit --follow and --strict")
    place = where_of(output, stack)
    if stale:
        sys.exit(_stale(run, place, as_json=as_json))
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
            echo(line)
    elif as_json:
        echo(json.dumps(show.document(state, doubts), indent=1))
    else:
        show.show(console(), state, doubts)
    is_refused = strict and (doubts is None or len(doubts) > 0)
    sys.exit(1 if is_refused or show.has_unsuccessful(state) else 0)


def _stale(run: str, place: "Where", *, as_json: bool) -> int:
    """Prints the sources that are not fresh; returns the exit code."""
    from ..api import datasets
    from ..catalogs import freshness
    from ..progress import Stages
    from ..runs import show

    with Stages() as stages:
        found = datasets.find_stale(run, place, progress=stages)
    files = [{**vars(source), "input": source.uri} for source in found.sources]
    names = ("input", "state", "made_from", "now", "planned_size", "size", "message")
    rows = [{name: file[name] for name in names} for file in files]
    if as_json:
        document = {"run": run, "counts": found.counts, "requests": found.requests, "files": rows}
        echo(json.dumps(document, indent=1))
    else:
        for line in show.listing(rows, as_json=False):
            echo(line)
        for line in freshness.lines(found):
            echo(line, err=True)
    return 0 if found.is_fresh else 1


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
        echo(json.dumps([show.overview_document(one) for one in found], indent=1))
    else:
        show.show_overview(console(), found)


@click.command()
@run_argument
@where
@click.option(
    "--patience",
    type=float,
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="Time without any change after which files in flight count as running.",
)
@click.option("--restore", is_flag=True, help="Only withdraw a cancel that is open.")
@as_json
def cancel(
    *, run: str, output: str | None, stack: str, patience: float, restore: bool, as_json: bool
) -> None:
    """Stop the files of RUN that have not begun on AWS.

    Stops the command that sends the run, on any machine. Files that are being processed finish; the functions
    skip all others. Waits until no file is in flight, and prints how many were stopped. Until then the cancel
    is open, and no file of RUN can be sent; other runs are not affected. `skyfan retry` sends the stopped
    files again.

    Exit code: 0 no file is in flight any more, 1 some are, 2 wrong use, 130 Ctrl-C.
    """
    from ..api import monitor
    from ..errors import Interrupted
    from ..progress import Stages
    from ..runs import show

    place = where_of(output, stack)
    if restore:
        reserved = monitor.restore(run, place)
        echo(json.dumps({"run": run, "reserved": reserved}) if as_json else _restored_text(run, reserved))
        return
    try:
        with Stages() as stages:
            done = monitor.cancel(run, place, patience=patience, on_state=show.on_state(stages))
    except Interrupted:
        where = f"--output {output}" if output else f"--stack {stack}"
        echo(
            "\nskyfan: interrupted. The cancel stays open: no file of the run begins. Withdraw it with\n"
            f"  skyfan cancel {run} {where} --restore\nor continue with the same command without --restore.",
            err=True,
        )
        sys.exit(130)
    if as_json:
        echo(json.dumps(_cancelled_document(done), indent=1))
    else:
        echo(_cancelled_text(run, done))
    sys.exit(1 if done.running else 0)


def _cancelled_text(run: str, done: "Cancelled") -> str:
    counts = done.after.counts
    stopped = f"{count(done.stopped)} stopped before they ran"
    lines = [f"{stopped}; {counts['done']:,} done, {counts['failed']:,} failed."]
    if counts["unsent"]:
        lines.append(f"{count(counts['unsent'])} not sent.")
    if done.running:
        lines.append(
            f"{count(done.running)} still in flight, and the cancel stays open: Lambda processes or skips "
            f"them. "
            f"`skyfan cancel {run}` waits for them, with --restore it withdraws the cancel."
        )
    elif done.stopped:
        lines.append(f"`skyfan retry {run}` sends the stopped files again.")
    return "\n".join(lines)


def _restored_text(run: str, reserved: dict[str, int | None]) -> str:
    if not reserved:
        return f"The cancel of run {run} is withdrawn."
    values = [f"{name}: {'none' if number is None else number}" for name, number in reserved.items()]
    return f"Reserved concurrency was restored: {', '.join(values)}."


def _cancelled_document(done: "Cancelled") -> dict[str, Any]:
    return {
        "run": done.after.run,
        "stopped": done.stopped,
        "running": done.running,
        "after": done.after.counts,
    }
