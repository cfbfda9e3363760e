"""skyfan runs."""

import json

import click

from .common import as_json, console, where


@click.command()
@where
@as_json
def runs(*, output: str | None, stack: str, as_json: bool) -> None:
    """List the runs of a place, the latest active first.

    A glance only: files are those of all plans, and results are counted up to a thousand, which is where a
    listing of S3 ends; `skyfan status` counts all.
    """
    from ..commands import status as following
    from ..runs import glances

    found = following.runs(output, stack=stack)
    if as_json:
        click.echo(json.dumps([glances.document(one) for one in found], indent=1))
    else:
        glances.show(console(), found)
