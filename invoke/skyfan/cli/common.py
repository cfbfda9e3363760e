"""Shared by the commands: error messages, and options that several of them have."""

from __future__ import annotations

import contextlib
import difflib
import functools
import io
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import skyfan_contract as contract

from ..errors import Interrupted, UsageError, of_system
from ..formatting import ENCODING_ERRORS, one_line, printable
from ..sky import angles
from . import defaults

if TYPE_CHECKING:
    from rich.console import Console

    from ..engine import AwsOptions, LocalOptions
    from ..events import OnEvent
    from ..runs.outcome import Outcome

FOLDER = Path("skyfan-output")
"""Default folder for runs on this machine, below the working folder."""
ACCESS = click.Choice(contract.ACCESS)
LOCAL = ("jobs", "retries", "timeout", "memory")
"""Parameters of local_options."""
AWS = ("batch", "max_cost", "max_files", "concurrency", "connections", "wait")
"""Parameters of aws_options."""
_RENAMED = {"--out": "--to"}
"""Options of earlier versions, which are not near the new ones."""


class Group(click.Group):
    """Prints errors of skyfan in one line; exits with 2 for wrong use and 1 for errors of the system."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Adds a command; each of its options can be set by the variable SKYFAN_<COMMAND>_<OPTION>."""
        for option in cmd.params:
            if isinstance(option, click.Option):
                own = f"skyfan_{cmd.name}_{defaults.long_name(option)}".upper().replace("-", "_")
                others = [option.envvar] if isinstance(option.envvar, str) else option.envvar or []
                option.envvar = [own, *others]
        super().add_command(cmd, name)

    def main(self, *args: Any, **more: Any) -> Any:
        """Prints what the encoding of a stream does not have in ASCII."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors=ENCODING_ERRORS)
        return super().main(*args, **more)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands and not ctx.resilient_parsing:
            close = difflib.get_close_matches(args[0], self.commands, 1)
            hint = f"is {close[0]!r} meant?" if close else f"commands are {', '.join(self.commands)}."
            raise click.UsageError(f"No such command {args[0]!r}: {hint}", ctx)
        defaults.refuse_empty(args)
        name, command, words = super().resolve_command(ctx, args)
        return name, command, angles.join_words(words)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which they were added."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            ctx.default_map = defaults.read(self)
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            if (name := error.option_name) in _RENAMED:
                raise click.NoSuchOption(name, possibilities=[_RENAMED[name]], ctx=error.ctx) from error
            raise
        except (UsageError, KeyboardInterrupt) as error:
            echo(f"skyfan: {one_line(str(error)) or 'interrupted'}", err=True)
            sys.exit(2 if isinstance(error, UsageError) else 130)
        except BrokenPipeError:
            raise
        except OSError as error:  # such as a full disk
            echo(f"skyfan: {one_line(of_system(error))}", err=True)
            sys.exit(1)


def echo(text: str, *, err: bool = False) -> None:
    """Prints a text, which may name files of others: all commands print with this, or with formatting.say."""
    click.echo(printable(text), err=err)


def default_place(output: str | None) -> str | None:
    """The place of runs for the current command: `output`, FOLDER if it contains runs, or None for the stack.

    FOLDER is not used if a stack was named; its use is reported on stderr.
    """
    context = click.get_current_context()
    by_default = context.get_parameter_source("stack") in (None, click.core.ParameterSource.DEFAULT)
    if output or not by_default or not (FOLDER / "runs").is_dir():
        return output
    echo(f"skyfan: reading runs in ./{FOLDER} (--output or --stack sets another place)", err=True)
    return str(FOLDER)


def stack_options(help_text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The option for the name of a stack, and the one for the region of all requests to AWS.

    A command with a region of its own, such as that of prices, has no second one.
    """

    def add(command: Callable[..., None]) -> Callable[..., None]:
        stack = click.option(
            "--stack", default="skyfan", show_default=True, envvar="SKYFAN_STACK", help=help_text
        )
        if "region" in {parameter.name for parameter in getattr(command, "__click_params__", [])}:
            return stack(command)
        region = click.option(
            "--region",
            callback=_set_region,
            expose_value=False,
            help="AWS region (default: that of the AWS configuration, else us-east-1).",
        )
        return stack(region(command))

    return add


def _set_region(ctx: click.Context, _: click.Parameter, region: str | None) -> None:
    """Every client reads AWS_REGION, those of worker processes too."""
    if region is None or ctx.resilient_parsing:
        return
    before = os.environ.get("AWS_REGION")
    os.environ["AWS_REGION"] = region

    def restore() -> None:
        os.environ.pop("AWS_REGION")
        if before is not None:
            os.environ["AWS_REGION"] = before

    ctx.call_on_close(restore)


def where(command: Callable[..., None]) -> Callable[..., None]:
    """The options for the place of a run: a folder or bucket, else FOLDER, else the bucket of a stack."""

    @functools.wraps(command)
    def found(**options: Any) -> None:
        if options.get("run", "") is not None:  # skyfan costs --log reads no run
            options["output"] = default_place(options["output"])
        command(**options)

    with_stack = stack_options("Name of the deployed stack.")(found)
    return click.option(
        "--output",
        "-o",
        metavar="FOLDER|s3://BUCKET",
        help=f"Place of the runs (default: ./{FOLDER} if it exists, else the stack's bucket).",
    )(with_stack)


def local_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of the local engine, besides the folder."""
    for option in (
        click.option(
            "--memory",
            type=int,
            metavar="MB",
            help="local: memory limit per worker (default: the template's).",
        ),
        click.option(
            "--timeout",
            type=float,
            metavar="SECONDS",
            help="local: time limit per file (default: the template's).",
        ),
        click.option("--retries", type=int, help="local: retries after a failure (default: the template's)."),
        click.option(
            "--jobs", "-j", type=int, help="local: worker processes (default: by CPUs and free memory)."
        ),
    ):
        command = option(command)
    return command


def aws_options(*, wait: bool) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options of the AWS engine, besides the stack; `wait` is the default of --wait."""

    def add(command: Callable[..., None]) -> Callable[..., None]:
        for option in (
            click.option(
                "--wait/--no-wait",
                default=wait,
                show_default=True,
                help="aws: wait until every file is done, failed or late.",
            ),
            click.option(
                "--connections",
                type=int,
                default=256,
                show_default=True,
                help="aws: maximum connections to Lambda.",
            ),
            click.option(
                "--concurrency",
                type=click.IntRange(1),
                metavar="N",
                help="aws: invocations at once (default: what the account and the stack allow).",
            ),
            click.option(
                "--max-files", type=int, metavar="N", help="aws: send at most N files in this call."
            ),
            click.option(
                "--max-cost",
                type=float,
                metavar="USD",
                help="aws: limit on the cost of the whole run: each file counts at the upper limit of its "
                "estimate.",
            ),
            click.option(
                "--batch", type=int, default=1, show_default=True, help="aws: files per invocation."
            ),
        ):
            command = option(command)
        return command

    return add


def refuse(ctx: click.Context, names: Iterable[str], reason: str) -> None:
    """Raises click's UsageError if one of these options was typed; `reason` continues its name."""
    for parameter in ctx.command.params:
        typed = ctx.get_parameter_source(parameter.name or "") is click.core.ParameterSource.COMMANDLINE
        if parameter.name in names and typed:
            raise click.UsageError(f"{parameter.opts[0]} {reason}.", ctx)


def local_of(output: str | Path, options: Mapping[str, Any], *, sam: bool = False) -> LocalOptions:
    """The options of the local engine from those of a command; with `sam` those of the sam engine."""
    from ..engine import LocalOptions, SamOptions

    jobs, retries, timeout, memory = (options[name] for name in LOCAL)
    return (SamOptions if sam else LocalOptions)(output, jobs, retries, timeout, memory)


def aws_of(options: Mapping[str, Any], bucket: str | None = None) -> AwsOptions:
    """The options of the AWS engine from those of a command."""
    from ..engine import AwsOptions

    return AwsOptions(options["stack"], **{name: options[name] for name in AWS}, bucket=bucket)


def folder_of(output: str | None) -> str | None:
    """The folder that --output names; None for a bucket, or without the option."""
    return None if output is None or output.startswith("s3://") else output


def where_of(output: str | None, stack: str) -> AwsOptions | str:
    """Where runs are kept, from the options of `where`."""
    from ..engine import AwsOptions

    return folder_of(output) or AwsOptions(stack, bucket=output)


def send(call: Callable[[OnEvent], Outcome]) -> Outcome:
    """Calls an engine, with progress on stderr. After Ctrl-C, returns what was done before it."""
    from ..progress import RunProgress

    with RunProgress() as progress:
        try:
            return call(progress.on_event)
        except Interrupted as interrupted:
            partial: Outcome = interrupted.partial
            return partial


def exit_code(outcome: Outcome, *, strict: bool) -> int:
    """130 after Ctrl-C, 0 if all files were sent and none has failed or, if `strict`, is doubtful; else 1."""
    is_refused = strict and outcome.may_be_doubtful
    return 130 if outcome.interrupted else 0 if outcome.is_complete and not is_refused else 1


def template_file(chosen: Path | None) -> Path:
    """The template to use: `chosen`, else that of template.find(). Ignored files are reported on stderr."""
    if chosen:
        return chosen
    from .. import template

    found = template.find()
    for path in found.ignored:
        echo(f"skyfan: {path} is ignored: {template.NO_MARK}; using {found.path}", err=True)
    return found.path


class SvgFile(click.Path):
    """The file of a figure, which ends in .svg."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = Path(str(super().convert(value, param, ctx)))
        if path.suffix.lower() != ".svg":
            self.fail(
                f"{path} does not end in .svg: figures are written as SVG, which any browser shows",
                param,
                ctx,
            )
        return path


strict = click.option(
    "--strict",
    is_flag=True,
    help="Exit code 1 also if results are doubtful, or it is not known whether they are.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")


def console() -> Console:
    """The console for tables: as wide as the terminal or COLUMNS says; tables in a pipe are never cut."""
    from rich.console import Console

    is_limited = "COLUMNS" in os.environ or (sys.stdout is not None and sys.stdout.isatty())
    return Console(width=None if is_limited else 10_000)


def run_argument(command: Callable[..., None]) -> Callable[..., None]:
    """The argument that names a run."""
    return click.argument("run", metavar="RUN", shell_complete=_complete)(command)


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    output = ctx.params.get("output")
    if not output and ctx.parent and isinstance(ctx.parent.command, click.Group):
        with contextlib.suppress(UsageError):
            output = defaults.read(ctx.parent.command).get(ctx.info_name or "", {}).get("output")
    if str(output).startswith("s3://"):
        return []
    try:
        found = sorted(path.name for path in (Path(output or FOLDER) / "runs").iterdir() if path.is_dir())
    except OSError:
        return []
    return [name for name in found if name.startswith(incomplete) and contract.RUN_NAME.fullmatch(name)]
