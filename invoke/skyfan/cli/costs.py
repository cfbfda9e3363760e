"""skyfan costs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .common import as_json, console, where

if TYPE_CHECKING:
    from ..bill.whatif import Elsewhere


@click.command()
@click.argument("run", required=False, metavar="[RUN]")
@where
@click.option(
    "--log", multiple=True, metavar="FILE", help="A log in the run's place, - for stdin; repeatable."
)
@click.option("--model", default="today", show_default=True, help="How time is billed: today or 2018.")
@click.option("--region", help="Whose prices; us-east-1 if not given.")
@click.option("--prices", type=click.Path(dir_okay=False, path_type=Path), help="A price file of your own.")
@click.option("--arch", type=click.Choice(["x86_64", "arm64"]), help="The stack's if not given, else x86_64.")
@click.option("--free-tier", is_flag=True, help="Take off Lambda's monthly free tier, as if all were left.")
@click.option(
    "--what-if", metavar="KEY=VALUE,...", help="The same work elsewhere: memory=1024,arch=arm64,files=122078."
)
@click.option("--advise", is_flag=True, help="Say which memory size to use, and how sure that is.")
@click.option(
    "--csv", type=click.Path(dir_okay=False, path_type=Path), help="Write a table, one row an invocation."
)
@click.option(
    "--plot",
    metavar="FILE.png",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw durations, memory, how many ran at once, and cost by part.",
)
@as_json
def costs(
    *,
    run: str | None,
    output: str | None,
    stack: str,
    log: tuple[str, ...],
    model: str,
    region: str | None,
    prices: Path | None,
    arch: str | None,
    free_tier: bool,
    what_if: str | None,
    advise: bool,
    csv: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Say what RUN cost, from its logs: each part with its rule, what was lost, and what one image cost.

    Reads the run's own invocations from CloudWatch or, of a local run, from its folder: what it would have
    cost on Lambda, were Lambda as fast. --log reads files instead: a log group's export in any form, the
    output of sam or of skyfan.

    Exit code: 0 all lines read, 1 some lines look like reports and could not be read, 2 wrong use.
    """
    from rich.console import Console

    from ..bill import document, show
    from ..bill.pages import Pages
    from ..commands import costs as commands

    elsewhere = _elsewhere(what_if) if what_if else None
    with Pages(Console(stderr=True)) as pages:
        made = commands.costs(
            run,
            output,
            stack=stack,
            log=log,
            model=model,
            region=region,
            price_file=prices,
            arch=arch,
            free_tier=free_tier,
            elsewhere=elsewhere,
            advise=advise,
            on_page=pages,
        )
    if csv:
        document.write_csv(csv, made.records, made.prices, model)
    if plot:
        from ..bill import plots

        plots.write(plot, made)
    if as_json:
        click.echo(json.dumps(document.document(made), indent=1))
    else:
        show.show(console(), made)
    sys.exit(1 if made.bill.unparsed else 0)


def _elsewhere(text: str) -> Elsewhere:
    from ..bill.whatif import Elsewhere
    from ..errors import UsageError

    given: dict[str, str] = {}
    for pair in text.split(","):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or key not in {"memory", "arch", "files"}:
            raise UsageError(f"--what-if takes memory=MB, arch=NAME and files=NUMBER, not {pair.strip()!r}")
        given[key] = value
    try:
        memory, files = (int(given[key]) if key in given else None for key in ("memory", "files"))
    except ValueError as error:
        raise UsageError(f"--what-if {text}: memory and files are whole numbers") from error
    return Elsewhere(memory, given.get("arch"), files)
