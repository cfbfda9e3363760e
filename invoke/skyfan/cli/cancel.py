"""skyfan cancel."""

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from .common import as_json, where
from .names import run_argument

if TYPE_CHECKING:
    from ..aws.cancel import Cancelled


@click.command()
@run_argument
@where
@click.option("--force", is_flag=True, help="Even while another run of the stack is on its way.")
@click.option(
    "--patience",
    type=float,
    default=180.0,
    show_default=True,
    metavar="SECONDS",
    help="How long nothing may change until what is still on its way is taken to be running.",
)
@click.option("--restore", is_flag=True, help="Undo a cancel that was broken off, and do nothing else.")
@as_json
def cancel(
    *, run: str, output: str | None, stack: str, force: bool, patience: float, restore: bool, as_json: bool
) -> None:
    """Stop what RUN has in Lambda's queue, and say what had run.

    Reserves no concurrency at all for the run's functions, waits until the queued events have gone to the
    failures bucket, and restores what was reserved. What runs already runs to its end. The functions are
    shared by all runs of the stack: none starts meanwhile. `skyfan retry` sends what was stopped again.

    Exit code: 0 nothing is left on its way, 1 something is, 2 wrong use, 130 broken off by Ctrl-C.
    """
    from rich.console import Console

    from ..aws.cancel import Interrupted
    from ..commands import cancel as cancelling
    from ..runs import tell

    if restore:
        reserved = cancelling.restore(run, output, stack=stack)
        click.echo(json.dumps({"run": run, "reserved": reserved}) if as_json else _reservations(reserved))
        return
    click.echo(
        "No function of this run starts anything until this is over, for no run of the stack.", err=True
    )
    try:
        with tell.Ticker(Console(stderr=True)) as ticker:
            done = cancelling.cancel(
                run, output, stack=stack, force=force, patience=patience, on_state=ticker
            )
    except Interrupted:
        where = f"--output {output}" if output else f"--stack {stack}"
        click.echo(
            "\nskyfan: broken off, and the functions are stopped. Start them again with\n"
            f"  skyfan cancel {run} {where} --restore\nor go on with the same command without --restore.",
            err=True,
        )
        sys.exit(130)
    if as_json:
        click.echo(json.dumps(_document(done), indent=1))
    else:
        click.echo(_told(run, done))
    sys.exit(1 if done.running else 0)


def _told(run: str, done: "Cancelled") -> str:
    if not done.reserved:
        return f"Nothing of run {run} is on its way: there is nothing to stop."
    counts = done.after.counts
    lines = [
        f"{done.stopped} files stopped before they ran; {counts['done']} done, {counts['failed']} failed.",
        _reservations(done.reserved),
    ]
    if done.running:
        lines.append(f"{done.running} are still on their way: Lambda was at work on them, and ends them.")
    if counts["unsent"]:
        lines.append(
            f"{counts['unsent']} were never sent; a `skyfan run` that still sends them goes on with it."
        )
    if done.stopped:
        lines.append(f"`skyfan retry {run}` sends what was stopped again.")
    return "\n".join(lines)


def _reservations(reserved: dict[str, int | None]) -> str:
    told = [f"{name}: {'none' if number is None else number}" for name, number in reserved.items()]
    return f"Reserved concurrency is as before: {', '.join(told)}."


def _document(done: "Cancelled") -> dict[str, Any]:
    return {
        "run": done.after.run,
        "stopped": done.stopped,
        "running": done.running,
        "before": done.before.counts,
        "after": done.after.counts,
        "reserved": done.reserved,
    }
