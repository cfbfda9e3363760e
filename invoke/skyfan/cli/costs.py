"""skyfan costs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .common import SvgFile, as_json, console, echo, where, where_of

if TYPE_CHECKING:
    from ..bill.whatif import Variation


@click.command()
@click.argument("run", required=False, metavar="[RUN]")
@where
@click.option(
    "--log",
    multiple=True,
    metavar="FILE",
    help="A log file instead of the run's own; - is stdin; repeatable.",
)
@click.option("--model", default="today", show_default=True, help="How time is billed: today or 2018.")
@click.option("--region", help="AWS region whose prices apply (default: us-east-1).")
@click.option("--prices", type=click.Path(dir_okay=False, path_type=Path), help="Your own price file.")
@click.option("--arch", type=click.Choice(["x86_64", "arm64"]), help="Default: the stack's, or x86_64.")
@click.option(
    "--free-tier", is_flag=True, help="Subtract Lambda's monthly free tier, as if none of it were used."
)
@click.option(
    "--what-if",
    metavar="KEY=VALUE,...",
    help="Cost of the same work with other settings: memory=1024,arch=arm64,files=122078.",
)
@click.option("--advise", is_flag=True, help="Recommend a memory size, and say how certain that is.")
@click.option(
    "--csv",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a table with one row per invocation.",
)
@click.option(
    "--plot",
    metavar="FILE.svg",
    type=SvgFile(),
    help="Draw durations, memory, concurrency, and cost by part.",
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
    """Show what RUN cost, from its logs.

    Shows each part of the bill with its rule, what was wasted, and the cost per image. Reads the run's
    invocations from CloudWatch. For a local run, reads the log in the run's folder and shows what Lambda
    would have charged if it were as fast as this machine. --log reads files instead: an export of a log group
    in any form, or the output of aws, sam or skyfan; with RUN, only its invocations count.

    Exit code: 0 the bill is complete, 1 some reports cannot be read or are missing, 2 wrong use.
    """
    from ..api import bills as commands
    from ..bill import show
    from ..progress import Stages

    variation = _variation(what_if) if what_if else None
    options = commands.CostOptions(model, region, prices, arch, free_tier, variation, advise)
    with Stages() as stages:
        made = commands.costs(
            run,
            where_of(output, stack) if run else None,
            log=log,
            options=options,
            progress=stages,
        )
    if csv:
        show.write_csv(csv, made.records, made.prices, model)
    if plot:
        from ..report import page as figures

        figures.write_svg(plot, figures.costs_figure(made))
    if as_json:
        echo(json.dumps(show.document(made), indent=1))
    else:
        show.show(console(), made)
    sys.exit(1 if made.bill.unparsed or made.unreported else 0)


def _variation(text: str) -> Variation:
    from ..bill.whatif import Variation
    from ..errors import UsageError

    values: dict[str, str] = {}
    for pair in text.split(","):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or key not in {"memory", "arch", "files"}:
            raise UsageError(f"--what-if takes memory=MB, arch=NAME and files=NUMBER, not {pair.strip()!r}")
        values[key] = value
    try:
        memory, files = (int(values[key]) if key in values else None for key in ("memory", "files"))
    except ValueError as error:
        raise UsageError(f"--what-if {text}: memory and files are whole numbers") from error
    return Variation(memory, values.get("arch"), files)
