"""skyfan deploy, skyfan stack and skyfan new-function."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from .common import as_json, echo, template_file

if TYPE_CHECKING:
    from ..api.stacks import Deployment

# CloudFormation's type: the noun for people. A type that is not here is printed as it is.
_NOUNS = {
    "AWS::Serverless::Function": "function",
    "AWS::Serverless::LayerVersion": "layer",
    "AWS::S3::Bucket": "bucket",
    "AWS::S3::BucketPolicy": "bucket policy",
    "AWS::IAM::Role": "role",
    "AWS::IAM::ManagedPolicy": "policy",
    "AWS::Logs::LogGroup": "log group",
    "AWS::CloudWatch::Dashboard": "dashboard",
}
_NEW_ACCOUNT_MB = 3008
_DASHBOARD_MONTH = 3.0
"""USD, for each dashboard of an account after the third."""


@click.command()
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[-- SAM OPTIONS...]")
@click.option(
    "--stack", default="skyfan", show_default=True, envvar="SKYFAN_STACK", help="Name of the stack."
)
@click.option("--region", help="AWS region (default: that of the AWS configuration, else us-east-1).")
@click.option(
    "--parameter", "-p", multiple=True, metavar="NAME=VALUE", help="A parameter of the template; repeatable."
)
@click.option("--template", type=click.Path(dir_okay=False, path_type=Path), help="The template.yaml to use.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
@as_json
def deploy(
    *,
    options: tuple[str, ...],
    stack: str,
    region: str | None,
    parameter: tuple[str, ...],
    template: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Create or update the stack in your AWS account, with sam.

    Prints what the stack consists of, where it goes and what it costs while idle, and asks before it runs
    `sam build` and `sam deploy`. Options after -- are passed to `sam deploy`. The template is the nearest
    template.yaml that is skyfan's, else the package's own; `skyfan stack copy` writes a copy to edit. With
    --json, everything but the document is printed on stderr, the output of sam too.

    Exit code: 0 deployed, 1 sam failed or the answer was no, 2 wrong use.
    """
    from ..api import stacks

    values = dict(_pair(text) for text in parameter)
    deployment = stacks.prepare(
        stack, region=region, parameters=values, template_file=template_file(template)
    )
    echo("\n".join(_description(deployment)), err=as_json)
    is_ready = False
    if yes or click.confirm("\nDeploy?", err=as_json):
        code = stacks.deploy(deployment, options, to_stderr=as_json)
        is_ready = code == 0
        if code:
            echo(f"skyfan: sam failed with exit code {code}; its output is above", err=True)
    if as_json:
        echo(json.dumps({**_document(deployment), "deployed": is_ready}, indent=1))
    elif is_ready:
        named = "" if stack == "skyfan" else f" --stack {stack}"
        echo(f"\nThe stack {stack} is ready: skyfan run PLAN --engine aws{named}")
    sys.exit(0 if is_ready else 1)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--parameter takes NAME=VALUE, such as MemorySize=3008; {text!r} is not that")
    return name, value


def _document(deployment: "Deployment") -> dict[str, Any]:
    return {
        "stack": deployment.stack,
        "region": deployment.region,
        "account": deployment.account,
        "template": str(deployment.template.path),
        "updates": deployment.exists,
        "parameters": dict(deployment.parameters),
        "resources": deployment.resources(),
    }


def _description(deployment: "Deployment") -> list[str]:
    verb = "Updates" if deployment.exists else "Creates"
    found = deployment.resources()
    lines = [
        f"{verb} the stack {deployment.stack} in account {deployment.account}, {deployment.region},",
        f"from {deployment.template.path}:",
        "",
    ]
    for kind, names in found.items():
        noun = _NOUNS.get(kind, kind)
        plural = noun if len(names) == 1 else noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
        texts = [_limits(deployment, name) if noun == "function" else name for name in names]
        lines.append(f"{len(names):3} {plural:16} {', '.join(texts)}")
    lines += ["", "sam keeps the packages in a bucket of its own, which it creates if the account has none."]
    others = "keep the values that they have" if deployment.exists else "have their defaults"
    named = ", ".join(f"{name}={value}" for name, value in deployment.parameters.items())
    lines.append(f"Parameters: {named}; others {others}." if named else f"All parameters {others}.")
    functions = map(deployment.template.function, found.get("AWS::Serverless::Function", []))
    if large := [function.name for function in functions if function.memory_mb > _NEW_ACCOUNT_MB]:
        lines.append(
            f"{' and '.join(large)}: a new AWS account may allow {_NEW_ACCOUNT_MB:,} MB at most, and the "
            "deployment would fail there."
        )
    return lines + _costs(deployment, found)


def _limits(deployment: "Deployment", name: str) -> str:
    function = deployment.template.function(name)
    return f"{name} ({function.memory_mb:,} MB, {function.timeout_s:g} s)"


def _costs(deployment: "Deployment", found: dict[str, list[str]]) -> list[str]:
    from ..bill import prices
    from ..session import REGION

    rates = prices.load()
    lines = [
        f"While nothing runs, only stored bytes cost anything: {rates.s3_gb_month:g} USD per GB-month in S3,",
        f"{rates.log_gb_month:g} for logs (prices of {rates.region}, {rates.collected}).",
    ]
    if boards := len(found.get("AWS::CloudWatch::Dashboard", [])):
        usd = boards * _DASHBOARD_MONTH
        lines.append(f"Dashboard: an account's first three are free, others {usd:g} USD per month.")
    if unknown := [kind for kind in found if kind not in _NOUNS]:
        lines.append(f"Not known to skyfan, so they may cost more: {', '.join(unknown)}.")
    if deployment.region != REGION:
        here = deployment.region
        lines.append(f"The archive is in {REGION}: reading it from {here} is slower and may be billed.")
    return lines


@click.group()
def stack() -> None:
    """Copy the package's own stack: template.yaml and all code."""


@stack.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@as_json
def copy(*, folder: Path, as_json: bool) -> None:
    """Write an editable copy of the stack into DIR.

    DIR must be empty or new. In it or below, skyfan run, retry, new-function and deploy use the copy, and so
    does sam.

    Exit code: 0 written, 2 wrong use.
    """
    from ..api import stacks

    written = stacks.copy(folder)
    if as_json:
        echo(json.dumps({"template": str(written.resolve())}, indent=1))
    else:
        echo(f"{written}\nIn {folder}, skyfan run, retry, new-function and deploy use this copy.")


@click.command("new-function")
@click.argument("name")
@as_json
def new_function(*, name: str, as_json: bool) -> None:
    """Add a function of your own to a stack.

    NAME is written StarCounts, as in template.yaml, or star_counts, as its folder. The function works at
    once: it has a small process(), which you replace by your own. The working folder is in a clone of skyfan,
    or in a copy of its stack that `skyfan stack copy` wrote.

    Exit code: 0 created, 2 wrong use.
    """
    from ..api import stacks

    made = stacks.new_function(name, template_file(None))
    document = {"function": made.name, "folder": str(made.folder), "template": str(made.template)}
    echo(json.dumps(document, indent=1) if as_json else made.text.rstrip("\n"))
