"""What the commands share: how mistakes are told, and options that several of them take."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from . import defaults

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

ACCESS = click.Choice(["anonymous", "signed", "requester-pays"])


class Group(click.Group):
    """Tells what skyfan raises on purpose in one line, and exits with 2 for wrong use."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Each option can be set by the environment, as SKYFAN_<COMMAND>_<OPTION>."""
        for option in cmd.params:
            if isinstance(option, click.Option):
                own = f"skyfan_{cmd.name}_{defaults.long_name(option)}".upper().replace("-", "_")
                others = [option.envvar] if isinstance(option.envvar, str) else option.envvar or []
                option.envvar = [own, *others]
        super().add_command(cmd, name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            ctx.default_map = defaults.read(self)
            return super().invoke(ctx)
        except UsageError as error:
            click.echo(f"skyfan: {error}", err=True)
            sys.exit(2)
        except BrokenPipeError:
            raise
        except OSError as error:  # a full disk, a folder that was taken away
            click.echo(f"skyfan: {error}", err=True)
            sys.exit(1)


def where(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say where a run lies: a folder or bucket, else the results bucket of a stack."""
    command = click.option(
        "--stack",
        default="skyfan",
        show_default=True,
        envvar="SKYFAN_STACK",
        help="Name of the deployed stack.",
    )(command)
    return click.option(
        "--output",
        "-o",
        metavar="FOLDER|s3://BUCKET",
        help="Where runs lie, in the place of the stack's bucket.",
    )(command)


as_json = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document on stdout in the table's place."
)


def console() -> Console:
    """Where tables go. In a pipe rich assumes 80 columns, too few for names of files."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 120)
