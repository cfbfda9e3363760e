"""skyfan plan."""

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from ..errors import UsageError
from ..plans.criteria import PROVENANCES
from .common import (
    ACCESS,
    FOLDER,
    SvgFile,
    as_json,
    console,
    default_place,
    echo,
    refuse,
    stack_options,
    where_of,
)


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATHS...]")
@click.option(
    "--to",
    metavar="FILE",
    show_default="plan.parquet, or FILE of --resume",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The plan file to write.",
)
@click.option(
    "--resume",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Ask again for the unresolved files of this plan only.",
)
@click.option("--csv", type=click.Path(dir_okay=False, path_type=Path), help="Also write the rows as CSV.")
@click.option(
    "--mission",
    type=click.Choice(["HST", "JWST", "TESS", "HLSP"], case_sensitive=False),
    show_default="HST",
)
@click.option("--instrument", multiple=True, metavar="NAME", help="WFC3/IR, ACS/WFC, 'WFC3*'; repeatable.")
@click.option("--filter", "filters", multiple=True, metavar="NAME", help="F160W; repeatable.")
@click.option("--proposal", multiple=True, metavar="ID", help="12498; repeatable.")
@click.option(
    "--target", multiple=True, metavar="NAME", help="Name of the target in the proposal; repeatable."
)
@click.option("--around", metavar="'RA DEC'|NAME", help="A position, or a name that MAST resolves.")
@click.option(
    "--radius", show_default="0.2d", help="Radius of --around: 30s, 5m, 0.2d (arcsec, arcmin, degrees)."
)
@click.option("--dates", metavar="FROM..TO", help="Start of the observation, UTC: 2010-01-01..2010-06-30")
@click.option("--exptime", metavar="MIN..MAX", help="Exposure time in seconds; one end may be missing.")
@click.option(
    "--product",
    "products",
    multiple=True,
    metavar="TYPE",
    help="DRZ, DRC, FLT, FLC…; repeatable (default: the combined image, for HST DRZ or DRC).",
)
@click.option(
    "--provenance",
    type=click.Choice(PROVENANCES),
    show_default="pipeline",
    help="Products of HST: the pipeline's, HAP's of single visits, HAP's mosaics (mvm), or any.",
)
@click.option(
    "--calib-level", multiple=True, type=click.IntRange(0, 4), help="Calibration level of CAOM; repeatable."
)
@click.option(
    "--sector",
    type=click.IntRange(1),
    metavar="N",
    help="TESS: full-frame images of this sector, from listings of the bucket.",
)
@click.option("--camera", type=click.IntRange(1, 4), help="Camera of the sector (default: all four).")
@click.option("--ccd", type=click.IntRange(1, 4), help="CCD of the camera (default: all four).")
@click.option("--every", type=click.IntRange(1), metavar="K", help="Every K-th image of each CCD.")
@click.option("--where", multiple=True, metavar="KEY=VALUE", help="Any other criterion of MAST; repeatable.")
@click.option(
    "--proprietary", is_flag=True, help="Keep files that are not public, if the bucket serves them."
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Maximum number of observations.")
@click.option("--yes", is_flag=True, help="Allow more than 50,000 observations.")
@click.option("--refresh", is_flag=True, help="Ignore cached answers of the archive.")
@click.option("--read-headers", is_flag=True, help="Read the headers of objects, too: ranges of bytes only.")
@click.option(
    "--detect",
    metavar="total|URI",
    help="Measure the sources of another image: of the deepest of each visit, or of this one.",
)
@click.option("--footprints", type=SvgFile(), metavar="FILE.svg", help="Draw a map of the images on the sky.")
@click.option("--like", metavar="RUN", help="Estimate time and cost from this past run.")
@click.option(
    "--output",
    "-o",
    metavar="FOLDER|s3://BUCKET",
    help=f"Place of RUN of --like (default: ./{FOLDER} if it exists, else the stack's bucket).",
)
@stack_options("The stack to estimate for, and of RUN.")
@click.option(
    "--concurrency",
    type=click.IntRange(1),
    metavar="N",
    help="Estimate with N invocations at once (default: what the account and the stack allow).",
)
@click.option("--access", type=ACCESS, default="anonymous", show_default=True, help="How S3 PATHS are read.")
@as_json
@click.pass_context
def plan(
    ctx: click.Context,
    /,
    *,
    paths: tuple[str, ...],
    to: Path | None,
    resume: Path | None,
    csv: Path | None,
    limit: int | None,
    yes: bool,
    proprietary: bool,
    refresh: bool,
    read_headers: bool,
    detect: str | None,
    footprints: Path | None,
    like: str | None,
    output: str | None,
    stack: str,
    concurrency: int | None,
    access: str,
    as_json: bool,
    **criteria: Any,
) -> None:
    """Select the files of a run, and estimate time and cost.

    Writes a plan file: which files, their sizes, which were dropped and why. The files are those of
    observations in MAST that match all criteria, or PATHS: files, folders, patterns, s3://bucket/prefix/,
    @list.txt. Criteria may contain * as a wildcard.

    Answers of the archive are cached for some days, so that an interrupted command continues when it is
    repeated. If the archive gives no usable answer for a file, the plan lists it as unresolved, with what
    came instead; --resume asks again for these files.

    Exit code: 0 all files resolved, 1 some are not, 2 wrong use.
    """
    from ..api import bills
    from ..bill.show import estimate_lines
    from ..plans import make as commands
    from ..plans.limits import UnansweredError
    from ..plans.show import preview, show
    from ..progress import Stages

    if not like:
        refuse(ctx, ("output",), "is the place of the run of --like: --to names the plan file")
    history = bills.history(like, where_of(default_place(output), stack)) if like else None
    if like and history is None:
        raise UsageError(f"the logs of the run {like} have no times of single files: plan without --like")
    stages = Stages()
    try:
        with stages:
            result = commands.plan(
                paths,
                to,
                resume=resume,
                csv=csv,
                options=commands.PlanOptions(access, limit, yes, proprietary, refresh, read_headers, detect),
                progress=stages,
                **_used_criteria(criteria),
            )
    except UnansweredError as error:
        echo(f"skyfan: {error}. Earlier answers are cached: repeat the command to continue", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        echo("stopped; answers of the archive are cached, repeat the command to continue", err=True)
        sys.stderr.flush()
        os._exit(130)  # threads may wait for the archive for minutes
    if footprints:
        from ..report import page as figures

        figures.write_svg(footprints, figures.footprints_figure(result))
    document = preview(result)
    estimate, notices = None, list[str]()
    if result.files:
        estimate, notices = bills.forecast(result, stack=stack, concurrency=concurrency, history=history)
    if as_json:
        document["estimate"] = dataclasses.asdict(estimate) if estimate else None
        document["notices"] = notices
        echo(json.dumps(document, indent=1))
    else:
        show(console(), document, [*estimate_lines(estimate), *notices] if estimate else ())
    sys.exit(1 if document["unresolved"] else 0)


def _used_criteria(criteria: dict[str, Any]) -> dict[str, Any]:
    """The criteria without empty ones."""
    used = {name: value for name, value in criteria.items() if value}
    return used | ({"mission": used["mission"].upper()} if "mission" in used else {})
