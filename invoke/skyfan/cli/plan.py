"""skyfan plan."""

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from ..errors import UsageError
from .common import ACCESS, as_json, console


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATHS...]")
@click.option(
    "--out",
    "-o",
    default="plan.parquet",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The plan file to write.",
)
@click.option("--csv", type=click.Path(dir_okay=False, path_type=Path), help="The same rows as text, too.")
@click.option(
    "--mission",
    type=click.Choice(["HST", "JWST", "TESS"], case_sensitive=False),
    default="HST",
    show_default=True,
)
@click.option("--instrument", multiple=True, metavar="NAME", help="WFC3/IR, ACS/WFC, 'WFC3*'; repeatable.")
@click.option("--filter", "filters", multiple=True, metavar="NAME", help="F160W; repeatable.")
@click.option("--proposal", multiple=True, metavar="ID", help="12498; repeatable.")
@click.option(
    "--target", multiple=True, metavar="NAME", help="The proposal's name of the target; repeatable."
)
@click.option("--around", metavar="'RA DEC'|NAME", help="A position, or an object that MAST can find.")
@click.option(
    "--radius", default="0.2d", show_default=True, help="Of --around: 0.2d, 5m (arcmin), 30s (arcsec)."
)
@click.option("--dates", metavar="FROM..TO", help="Start of the observation, UTC: 2010-01-01..2010-06-30")
@click.option("--exptime", metavar="MIN..MAX", help="Exposure time in seconds; either end may be left out.")
@click.option(
    "--product",
    "products",
    multiple=True,
    metavar="TYPE",
    help="DRZ, DRC, FLT, FLC…; repeatable. If not given, the combined image: DRZ or DRC for HST.",
)
@click.option("--calib-level", multiple=True, type=click.IntRange(0, 4), help="CAOM's; repeatable.")
@click.option("--where", multiple=True, metavar="KEY=VALUE", help="Any other criterion of MAST; repeatable.")
@click.option("--proprietary", is_flag=True, help="Keep what is not public, if the bucket shows it.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="The first N observations only.")
@click.option("--yes", is_flag=True, help="Fetch more than 50,000 observations without asking back.")
@click.option(
    "--refresh", is_flag=True, help="Ask the archive again, though answers of the last days are there."
)
@click.option(
    "--footprints", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.png", help="Draw them."
)
@click.option("--like", metavar="RUN", help="Estimate by what the files of this past run took.")
@click.option("--output", metavar="FOLDER|s3://BUCKET", help="Where RUN lies, if not in the stack's bucket.")
@click.option("--stack", default="skyfan", show_default=True, envvar="SKYFAN_STACK", help="The stack of RUN.")
@click.option("--access", type=ACCESS, default="anonymous", show_default=True, help="How S3 PATHS are read.")
@as_json
def plan(
    *,
    paths: tuple[str, ...],
    out: Path,
    csv: Path | None,
    limit: int | None,
    yes: bool,
    proprietary: bool,
    refresh: bool,
    footprints: Path | None,
    like: str | None,
    output: str | None,
    stack: str,
    access: str,
    as_json: bool,
    **criteria: Any,
) -> None:
    """Plan a run: which files, how large, what was left out and why, and what it will cost.

    The files are those of observations in MAST that match all criteria, or PATHS: files, folders,
    s3://bucket/prefix/, @list.txt. * in a criterion stands for anything.

    Answers of the archive are kept for some days: after an interruption the same command goes on.
    Exit code: 0 all resolved, 1 the archive did not answer for some files (the plan holds the rest), 2 wrong
    use.
    """
    from rich.console import Console

    from ..commands import costs as bills
    from ..commands import plan as commands
    from ..plans import footprints as pictures
    from ..plans.limits import UnansweredError
    from ..plans.preview import cost, preview
    from ..plans.stages import Stages
    from ..plans.tables import show

    history = bills.history(like, output, stack=stack) if like else None
    if like and history is None:
        raise UsageError(f"the logs of the run {like} do not tell what its files took: plan without --like")
    told = Stages(Console(stderr=True))
    asked = _asked(criteria, paths)
    try:
        with told:
            made = commands.plan(
                paths,
                out,
                csv=csv,
                limit=limit,
                huge=yes,
                proprietary=proprietary,
                refresh=refresh,
                access=access,
                progress=told,
                **asked,
            )
    except UnansweredError as error:
        click.echo(f"skyfan: {error}. Nothing is lost: the same command goes on", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo("stopped; what the archive answered is kept, the same command goes on", err=True)
        sys.stderr.flush()
        os._exit(130)  # threads may wait for answers of the archive for minutes
    if footprints:
        pictures.draw(made, footprints)
    document, estimate = preview(made), cost(made, history) if made.files else None
    if as_json:
        document["estimate"] = dataclasses.asdict(estimate) if estimate else None
        click.echo(json.dumps(document, indent=1))
    else:
        show(console(), document, estimate)
    sys.exit(1 if document["unresolved"] else 0)


def _asked(criteria: dict[str, Any], paths: tuple[str, ...]) -> dict[str, Any]:
    """The criteria that were given; none, where paths were given in their place."""
    given = {
        name: value
        for name, value in criteria.items()
        if value and (name not in {"mission", "radius"} or not paths)
    }
    return given | ({"mission": given["mission"].upper()} if "mission" in given else {})
