"""The command line: parses and prints, nothing else."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from .errors import UsageError

ACCESS = click.Choice(["anonymous", "signed", "requester-pays"])


class Group(click.Group):
    """Tells what skyfan raises on purpose in one line, and exits with 2 for wrong use."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UsageError as error:
            click.echo(f"skyfan: {error}", err=True)
            sys.exit(2)
        except BrokenPipeError:
            raise
        except OSError as error:  # a full disk, a folder that was taken away
            click.echo(f"skyfan: {error}", err=True)
            sys.exit(1)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="skyfan")
def main() -> None:
    """Source extraction fanned out over a sky archive."""


@main.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATHS...")
@click.option(
    "--engine", type=click.Choice(["local"]), default="local", show_default=True, help="Where it runs."
)
@click.option(
    "--output",
    "-o",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that takes the place of the output bucket.",
)
@click.option(
    "--run", default="default", show_default=True, help="Name of the run: results go to runs/NAME/."
)
@click.option("--function", default="SepExtract", show_default=True, help="Logical ID in template.yaml.")
@click.option(
    "--config", "-c", multiple=True, metavar="KEY=VALUE", help="A setting of the function; repeatable."
)
@click.option(
    "--config-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Settings of the function, in TOML.",
)
@click.option("--outputs", default="", metavar="NAME,...", help="Further results, such as preview,parquet.")
@click.option("--access", type=ACCESS, default="anonymous", show_default=True, help="How S3 inputs are read.")
@click.option("--jobs", "-j", type=int, help="Worker processes; one a CPU if not given.")
@click.option("--retries", type=int, help="Further tries after a failure, in the template's place.")
@click.option(
    "--timeout", type=float, metavar="SECONDS", help="Time limit of one file, in the template's place."
)
@click.option("--memory", type=int, metavar="MB", help="Memory size of a worker, in the template's place.")
@click.option("--template", type=click.Path(dir_okay=False, path_type=Path), help="The template.yaml to use.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout in the table's place.")
def run(
    *,
    paths: tuple[str, ...],
    engine: str,
    output: Path,
    run: str,
    function: str,
    config: tuple[str, ...],
    config_file: Path | None,
    outputs: str,
    access: str,
    jobs: int | None,
    retries: int | None,
    timeout: float | None,
    memory: int | None,
    template: Path | None,
    as_json: bool,
) -> None:
    """Run a function on FITS files: on each file once, however often it is called.

    PATHS are files, folders (searched for .fits, .fit and .fz, gzipped too), patterns in quotes, s3://bucket/key,
    s3://bucket/prefix/ and file:// URIs, @list.txt for a list of these, or - for a list on standard input.

    Files that have their result are passed over, so the same command goes on after Ctrl-C or a crash and
    tries failed files again. Exit code: 0 all done, 1 some files failed, 2 wrong use.
    """
    from rich.console import Console

    from . import api, events, report, settings
    from .progress import Watcher

    results = report.Results()
    stopped = False
    with Watcher(Console(stderr=True)) as watcher:

        def on_event(event: events.Event) -> None:
            results(event)
            watcher(event)

        try:
            summary = api.run(
                paths,
                output,
                function=function,
                run=run,
                config=settings.read(config, config_file),
                outputs=[name.strip() for name in outputs.split(",") if name.strip()],
                access=access,
                jobs=jobs,
                retries=retries,
                timeout=timeout,
                memory=memory,
                template_file=template,
                on_event=on_event,
            )
        except events.Interrupted as interrupted:
            summary, stopped = interrupted.summary, True
    folder = output.resolve() / "runs" / run
    if as_json:
        click.echo(json.dumps(report.document(summary, results, folder, stopped), indent=1))
    else:
        # In a pipe rich assumes 80 columns, too few for names of files.
        console = Console(width=None if sys.stdout.isatty() else 120)
        report.show(console, summary, results, folder, stopped)
    sys.exit(130 if stopped else 1 if summary.failed else 0)


@main.command()
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
) -> None:
    """Draw an image with the sources of its catalog, as a PNG.

    IMAGE and CATALOG are local files or s3:// objects. Sources are drawn as their Kron ellipses; those with
    flags in another colour. North, east, a scale bar and a sky grid are drawn where the header knows the sky.
    """
    from .picture import Look
    from .show import show as draw

    catalog = None if no_sources else catalog
    click.echo(draw(image, catalog, output, chip=chip, look=Look(stretch, cmap), access=access))
