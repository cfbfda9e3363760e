"""RUN as an argument, completed by the shell from the runs of a folder, without the network."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import click

from ..errors import UsageError
from ..task import RUN_NAME
from . import defaults


def run_argument(command: Callable[..., None]) -> Callable[..., None]:
    """The argument that names a run."""
    return click.argument("run", metavar="RUN", shell_complete=_complete)(command)


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    output = ctx.params.get("output")
    if not output and ctx.parent and isinstance(ctx.parent.command, click.Group):
        with contextlib.suppress(UsageError):
            output = defaults.read(ctx.parent.command).get(ctx.info_name or "", {}).get("output")
    if not output or str(output).startswith("s3://"):
        return []
    try:
        found = sorted(path.name for path in (Path(output) / "runs").iterdir() if path.is_dir())
    except OSError:
        return []
    return [name for name in found if name.startswith(incomplete) and RUN_NAME.fullmatch(name)]
