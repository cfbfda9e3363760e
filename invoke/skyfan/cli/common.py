"""What the commands share: how mistakes are told, and options that several of them take."""

import sys
from typing import Any

import click

from ..errors import UsageError

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
