"""skyfan show."""

import json
from pathlib import Path

import click

from .common import ACCESS, as_json


@click.command()
@click.argument("image")
@click.argument("catalog", required=False)
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The PNG to write; named after the image if not given.",
)
@click.option("--chip", type=int, metavar="EXTVER", help="One chip of several; all of them if not given.")
@click.option("--no-sources", is_flag=True, help="The image alone.")
@click.option(
    "--stretch",
    type=click.Choice(["asinh", "log", "linear", "zscale"]),
    default="asinh",
    show_default=True,
    help="How brightness becomes grey.",
)
@click.option("--cmap", default="gray", show_default=True, help="A colour map of matplotlib.")
@click.option("--access", type=ACCESS, default="anonymous", show_default=True, help="How S3 is read.")
@as_json
def show(
    *,
    image: str,
    catalog: str | None,
    output: Path | None,
    chip: int | None,
    no_sources: bool,
    stretch: str,
    cmap: str,
    access: str,
    as_json: bool,
) -> None:
    """Draw an image with the sources of its catalog, as a PNG.

    IMAGE and CATALOG are local files or s3:// objects. Sources are drawn as their Kron ellipses; those with
    flags in another colour. North, east, a scale bar and a sky grid are drawn where the header knows the sky.
    """
    from ..pictures.picture import Look
    from ..pictures.show import show as draw

    catalog = None if no_sources else catalog
    picture = draw(image, catalog, output, chip=chip, look=Look(stretch, cmap), access=access)
    told = {"image": image, "catalog": catalog, "picture": str(picture)}
    click.echo(json.dumps(told, indent=1) if as_json else picture)
