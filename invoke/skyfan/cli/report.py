"""skyfan report and show."""

import json
import sys
from pathlib import Path

import click

from ..errors import UsageError
from .common import ACCESS, as_json, echo, refuse, where, where_of


@click.command()
@click.argument("run", metavar="RUN|OBJECTS")
@where
@click.option(
    "--to",
    metavar="FILE.html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The page (default: report.html in the run's folder, or ./RUN.html for a run in a bucket).",
)
@click.option(
    "--data",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="The data set of skyfan collect, if it was written elsewhere with --to.",
)
@click.option(
    "--colour",
    nargs=2,
    metavar="BLUE RED",
    help="Bands of the colour-magnitude diagram of OBJECTS, such as F606W F814W (default: those with the "
    "most objects).",
)
@as_json
def report(
    *,
    run: str,
    output: str | None,
    stack: str,
    to: Path | None,
    data: Path | None,
    colour: tuple[str, str] | None,
    as_json: bool,
) -> None:
    """Write the story of RUN, or of OBJECTS, as one HTML page.

    The page shows the outcome, a table of all images with their failures and notes, pictures that enlarge,
    maps of the sky, depth, number counts, the work over time, costs and versions. It opens from disk without
    network, and prints. Large pictures, and the table of many images, are in the folder <name>-data beside
    it. Run `skyfan collect` first: maps, depth and magnitudes need it. The page says which parts are missing.

    OBJECTS is a folder of skyfan match. Its page, which is one file, shows counts, the sky, a
    colour-magnitude diagram, scatter against magnitude, and the most variable objects with light curves, and
    with pictures if their images are on this machine.

    Exit code: 0 even if files of the run failed, 2 wrong use.
    """
    from ..api import datasets as commands
    from ..progress import Stages

    try:
        with Stages() as stages:
            path = commands.report(
                run, where_of(output, stack), to=to, data=data, colour=colour, progress=stages
            )
    except KeyboardInterrupt:
        echo("stopped; no page was written", err=True)
        sys.exit(130)
    size = path.stat().st_size
    document = {"run": run, "report": str(path.resolve()), "bytes": size}
    echo(json.dumps(document, indent=1) if as_json else f"{path} ({size / 1e6:.1f} MB)")


@click.command()
@click.argument("image")
@click.argument("catalog", required=False)
@click.option("--run", metavar="RUN", help="Take the catalog of IMAGE from this run, instead of CATALOG.")
@where
@click.option(
    "--to",
    metavar="FILE.png",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The PNG to write (default: the name of the image).",
)
@click.option("--chip", type=int, metavar="EXTVER", help="Only this chip (default: all of them).")
@click.option("--around", metavar='"RA DEC"|NAME', help="Only what is near a position, as in skyfan search.")
@click.option("--radius", metavar="5s|2m|1d", help="How near: half the side of the picture.")
@click.option(
    "--rgb",
    nargs=2,
    metavar="GREEN BLUE",
    help="In colours: IMAGE is the red, and these are images in two other filters.",
)
@click.option("--no-sources", is_flag=True, help="Draw the image alone.")
@click.option(
    "--stretch",
    type=click.Choice(["asinh", "log", "linear", "zscale"]),
    default="asinh",
    show_default=True,
    help="From pixel values to brightness.",
)
@click.option(
    "--cmap", default="gray", show_default=True, help="A colour map: gray, gray_r, or any of matplotlib."
)
@click.option("--access", type=ACCESS, default="anonymous", show_default=True, help="How S3 is read.")
@as_json
@click.pass_context
def show(
    ctx: click.Context,
    /,
    *,
    image: str,
    catalog: str | None,
    run: str | None,
    output: str | None,
    stack: str,
    to: Path | None,
    chip: int | None,
    around: str | None,
    radius: str | None,
    rgb: tuple[str, str] | None,
    no_sources: bool,
    stretch: str,
    cmap: str,
    access: str,
    as_json: bool,
) -> None:
    """Draw an image with the sources of its catalog, as a PNG.

    IMAGE and CATALOG are local files or s3:// objects; with --run, IMAGE may be the name of a file of RUN.
    Sources are drawn as their Kron ellipses, those with flags in another colour; of a crowded field only the
    brightest are. Pixels that are masked or without data are hatched, saturated ones coloured. North, east, a
    scale bar and a sky grid are drawn if the header has sky coordinates.
    """
    from .. import extras
    from ..api import drawing
    from ..pictures.plain import Look
    from ..pictures.show import has_axes

    if (around is None) != (radius is None):
        raise UsageError("--around and --radius belong together: give both")
    if rgb:
        refuse(ctx, ("stretch", "cmap"), "does not apply to colours: --rgb has a stretch of its own")
    if not run:
        refuse(ctx, ("output", "stack"), "is the place of the run of --run: --to names the picture")
    elif catalog:
        raise UsageError(f"give a catalog or --run, not both: {catalog}, {run}")
    picture = drawing.show(
        image,
        run,
        where_of(output, stack) if run else None,
        catalog=catalog,
        to=to,
        around=around,
        radius=radius,
        rgb=rgb or None,
        chip=chip,
        sources=not no_sources,
        look=Look(stretch, cmap),
        access=access,
    )
    if not has_axes():
        echo(f"skyfan: without axes, grid and legend: for those, {extras.command('plot')}", err=True)
    document = {"image": picture.image, "catalog": picture.catalog, "picture": str(picture.path)}
    echo(json.dumps(document, indent=1) if as_json else str(picture.path))
