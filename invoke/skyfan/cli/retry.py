"""skyfan retry."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .common import as_json, console, where
from .names import run_argument

if TYPE_CHECKING:
    from ..commands.retry import Retried
    from ..runs.again import Again


@click.command()
@run_argument
@where
@click.option("--late", is_flag=True, help="Files that are late too.")
@click.option(
    "--all", "everything", is_flag=True, help="Files too that no try can mend, as far as anybody knows."
)
@click.option("--batch", type=int, default=1, show_default=True, help="AWS: files that share an invocation.")
@click.option("--jobs", "-j", type=int, help="Local: worker processes; one a CPU if not given.")
@click.option("--timeout", type=float, metavar="SECONDS", help="Local: time limit of one file.")
@click.option("--memory", type=int, metavar="MB", help="Local: memory size of a worker.")
@click.option("--template", type=click.Path(dir_okay=False, path_type=Path), help="The template.yaml to use.")
@click.option(
    "--dry-run", is_flag=True, help="Print what would be sent, an invocation a line, and send nothing."
)
@as_json
def retry(
    *,
    run: str,
    output: str | None,
    stack: str,
    late: bool,
    everything: bool,
    batch: int,
    jobs: int | None,
    timeout: float | None,
    memory: int | None,
    template: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send the failed, missing and cancelled files of RUN again, and never one that is done.

    What ran out of memory or time goes to the function with more memory. What no further try can mend, such
    as a file that is no FITS, is passed over. The configuration is the run's own. A run in a folder is done
    on this machine; one in a bucket is sent, and `skyfan status --follow` says what comes of it.

    Exit code: 0 all sent (local: all done), 1 some not, 2 wrong use.
    """
    from rich.console import Console

    from ..commands import retry as retrying

    options = retrying.LocalOptions(jobs, timeout, memory, template)
    asked: dict[str, Any] = {
        "stack": stack,
        "everything": everything,
        "late": late,
        "batch": batch,
        "local_options": options,
    }
    if dry_run:
        again, calls = retrying.preview(run, output, **asked)
        for call in calls:
            click.echo(json.dumps(call))
        click.echo("\n".join(_told(run, again, "would be sent again")), err=True)
        return
    from ..progress import Watcher

    stopped = False
    with Watcher(Console(stderr=True)) as watcher:
        try:
            retried = retrying.retry(run, output, **asked, on_event=watcher)
        except retrying.Interrupted as interrupted:
            retried, stopped = interrupted.retried, True
    if as_json:
        click.echo(json.dumps(_document(retried, stopped), indent=1))
    else:
        _show(retried, stopped)
    sent, summary = retried.sent, retried.summary
    is_short = (sent is not None and bool(sent.left or sent.stopped)) or bool(summary and summary.failed)
    sys.exit(130 if stopped else 1 if is_short else 0)


def _show(retried: "Retried", stopped: bool) -> None:
    from .. import report

    for line in _told(retried.run, retried.again, "sent again" if retried.sent else "tried again"):
        click.echo(line)
    if retried.summary is not None and retried.files:
        folder = Path(retried.place) / "runs" / retried.run
        report.show(console(), retried.summary, report.Results(), folder, stopped)
    if sent := retried.sent:
        if sent.stopped:
            click.echo(f"Stopped: {sent.stopped}")
        if sent.files:
            click.echo(f"`skyfan status {retried.run} --follow` says what comes of them.")


def _told(run: str, again: "Again", done: str) -> list[str]:
    count = sum(again.taken.values())
    large = again.taken["large"]
    lines = [
        f"{count} file{'s' * (count != 1)} {done}"
        + (f", {large} of them with the most memory" if large else "")
    ]
    if not count:
        lines = [f"Nothing of run {run} is to be sent again."]
    for kind, number in sorted(again.permanent.items()):
        lines.append(f"passed over: {number} x {kind}, which no try can mend (--all sends them all the same)")
    for kind, number in sorted(again.beyond.items()):
        lines.append(f"passed over: {number} x {kind} with the most memory there is (--all sends them)")
    return lines


def _document(retried: "Retried", stopped: bool) -> dict[str, Any]:
    again, sent, summary = retried.again, retried.sent, retried.summary
    return {
        "run": retried.run,
        "place": retried.place,
        "interrupted": stopped,
        "taken": dict(again.taken),
        "passed_over": {**again.permanent, **again.beyond},
        "sent": sent.files if sent else None,
        "left": sent.left if sent else None,
        "stopped": (sent.stopped or None) if sent else None,
        "done": summary.done if summary else None,
        "failed": summary.failed if summary else None,
    }
