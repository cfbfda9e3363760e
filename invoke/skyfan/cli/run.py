"""skyfan run."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import formatting
from ..errors import UsageError
from .common import (
    ACCESS,
    AWS,
    FOLDER,
    LOCAL,
    as_json,
    aws_of,
    aws_options,
    console,
    echo,
    exit_code,
    local_of,
    local_options,
    refuse,
    send,
    stack_options,
    strict,
    template_file,
)

if TYPE_CHECKING:
    from ..engine import AwsOptions, LocalOptions, Preview, Selection
_NEEDS = {"local": "needs --engine aws", "sam": "needs --engine aws", "aws": "needs --engine local"}


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PLAN|PATHS...")
@click.option(
    "--engine",
    type=click.Choice(["local", "sam", "aws"]),
    default="local",
    show_default=True,
    help="Where it runs: on this machine, in containers on it, or in Lambda.",
)
@click.option(
    "--run", default="default", show_default=True, help="Name of the run; its folder is runs/NAME/."
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
@click.option(
    "--outputs",
    default="",
    metavar="NAME,...",
    help="Additional results: preview, parquet, completeness, segmentation, background, background_rms, "
    "residual.",
)
@click.option("--access", type=ACCESS, default="anonymous", show_default=True, help="How S3 inputs are read.")
@click.option("--template", type=click.Path(dir_okay=False, path_type=Path), help="The template.yaml to use.")
@click.option(
    "--output",
    "-o",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"local: folder for the results (default: ./{FOLDER}).",
)
@local_options
@stack_options("aws: name of the deployed stack.")
@aws_options(wait=True)
@click.option("--dry-run", is_flag=True, help="Print the invocations without sending them.")
@strict
@as_json
@click.pass_context
def run(
    ctx: click.Context,
    /,
    *,
    paths: tuple[str, ...],
    engine: str,
    config: tuple[str, ...],
    config_file: Path | None,
    outputs: str,
    template: Path | None,
    dry_run: bool,
    strict: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Run a function on FITS files, on each file once.

    PLAN is a plan file of `skyfan plan`. PATHS are files, folders (searched for .fits, .fit and .fz, also
    gzipped, without the folders of runs in them), patterns in quotes, s3://bucket/key, s3://bucket/prefix/
    and file:// URIs, @list.txt for a list of these, or - for a list on standard input.

    --engine sam runs the built stack on local files, each in a container as Lambda has it, and copies the
    results into the folder. It needs Docker and sam, and builds the stack if it has changed.

    Files that are done, and files that Lambda has accepted, are skipped: after Ctrl-C or a crash, the same
    command continues. The local engine also retries failed files; for Lambda use `skyfan retry`.

    A result can be doubtful, for example because a gain had to be assumed. The doubtful results of the run
    are counted by reason, and `skyfan status --doubtful` lists them.

    Exit code: 0 all done, 1 some files failed or were not sent, 2 wrong use, 130 Ctrl-C.
    """

    from ..api import engines
    from ..runs import show_outcome
    from ..task import Task

    if strict and engine == "aws" and not options["wait"]:
        raise UsageError("--strict needs the results, which --no-wait does not wait for: use `skyfan status`")
    refuse(ctx, (*LOCAL, "output") if engine == "aws" else (*AWS, "stack"), _NEEDS[engine])
    names = tuple(name.strip() for name in outputs.split(",") if name.strip())
    task = Task(
        options["run"], options["access"], read(config, config_file), names, function=options["function"]
    )
    if engine != "aws" and not options["output"]:
        options["output"] = FOLDER
        echo(
            f"skyfan: results go to ./{FOLDER}/runs/{options['run']} (--output sets another folder, "
            "--engine aws uses Lambda)",
            err=True,
        )
    if engine == "aws":
        where: AwsOptions | LocalOptions = aws_of(options)
    else:
        where = local_of(options["output"], options, sam=engine == "sam")
    file = template_file(template)
    if dry_run:
        with engines.preview(paths, where, task, template_file=file) as preview:
            number, files = print_calls(preview, as_json=as_json)
        summary = (
            f"{formatting.count(files)} in {formatting.count(number, 'invocation')} would be sent; "
            f"{preview.done_before:,} done and {preview.sent_before:,} sent before."
        )
        if estimate := preview.estimate:
            cost = f"{estimate.usd_low:.2f} to {estimate.usd_high:.2f} USD"
            minutes = f"{estimate.seconds_low / 60:.0f} to {estimate.seconds_high / 60:.0f} minutes"
            summary += f" The whole plan: {cost}, {minutes}"
        echo(summary, err=True)
        return
    outcome = send(lambda on_event: engines.run(paths, where, task, template_file=file, on_event=on_event))
    if as_json:
        echo(json.dumps(outcome.document(), indent=1))
    else:
        show_outcome.show(console(), outcome)
    sys.exit(exit_code(outcome, strict=strict))


def print_calls(preview: Preview, *, as_json: bool, selection: Selection | None = None) -> tuple[int, int]:
    """Prints what would be sent, and the notices on stderr; returns the numbers of invocations and files.

    A line per invocation, or one JSON document: the same for run and retry, which adds its selection.
    """
    number = files = 0
    invocations = []
    for call in preview.calls:
        payload = call.payload.decode()
        number, files = number + 1, files + len(call.uris)
        if as_json:
            invocations.append({"function": call.function, "payload": json.loads(payload)})
        else:
            echo(f"{call.function} {payload}")
    if as_json:
        estimate = preview.estimate
        document = {
            "files": files,
            "done_before": preview.done_before,
            "sent_before": preview.sent_before,
            "estimate": estimate
            and {
                "usd": [estimate.usd_low, estimate.usd_high],
                "seconds": [estimate.seconds_low, estimate.seconds_high],
            },
            "assumptions": estimate.assumptions if estimate else [],
            "notices": preview.notices,
            **(selected(selection) if selection else {}),
            "invocations": invocations,
        }
        echo(json.dumps(document, indent=1))
    for notice in preview.notices:
        echo(formatting.one_line(f"skyfan: {notice}"), err=True)
    return number, files


def selected(selection: Selection) -> dict[str, Any]:
    """What a retry selected and skipped, for JSON."""
    return {
        "selected": dict(selection.selected),
        "skipped": dict(selection.permanent + selection.exhausted),
    }


def read(pairs: Iterable[str], file: Path | None = None) -> dict[str, Any]:
    """The settings in `file`, overridden by `pairs`. A dotted key sets a key of a nested table.

    The keys are not checked here but by the function.
    """
    settings = _file(file) if file else {}
    seen = set()
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--config takes KEY=VALUE, such as thresh=3, not {pair!r}")
        if name.strip() in seen:
            raise UsageError(f"--config gives {name.strip()!r} twice")
        seen.add(name.strip())
        *tables, key = name.strip().split(".")
        place = settings
        for table in tables:
            place = place.setdefault(table, {})
            if not isinstance(place, dict):
                raise UsageError(f"--config {pair}: {table!r} is already a value and cannot contain {key!r}")
        place[key] = value(text.strip())
    return settings


def value(text: str) -> Any:
    """`text` as a TOML value if it is one (3, 1.5, true, [0.1, 0.2]), else as a string."""
    if text.startswith(("'", '"', "[", "{")) or not set(text) & set("\"'\n#"):
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except (ValueError, RecursionError):  # also numbers of thousands of digits, and brackets in thousands
            pass
    return text


def _file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"the settings file {path} does not exist") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"the settings file {path} cannot be read: {error}") from error
