"""skyfan stack, new-function and deploy: a copy of the stack, changes to it, and what sam does with it."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import platformdirs

from .. import template
from ..errors import UsageError
from ..local import sam
from ..template import Resolver, Template

PARTS = (template.NAME, "samconfig.toml", "functions", "layers", "build")
_OMITTED = shutil.ignore_patterns("__pycache__", "tests")
# Of the folder build, what only a clone needs; as in pyproject.toml.
_OMITTED_TOOLS = shutil.ignore_patterns(
    "access.py", "audit.py", "docs.py", "links.py", "mutants*", "permissions.py", "sbom.py", "structure.py"
)
# What Lambda keeps for functions without a reservation, or the whole limit of an account that has less.
_UNRESERVED = 100
# Exit code of build/new_function.py; its stderr is then written for a person.
_REFUSED = 2
_STDERR = 2
"""The file descriptor: in notebooks, sys.stderr has none."""
# Options of `sam deploy` that would contradict what is printed before it.
_OURS = {
    "--stack-name": "--stack",
    "--region": "--region",
    "--parameter-overrides": "--parameter",
    "--config-env": "--parameter",
    "--template": "--template",
    "--template-file": "--template",
}


@dataclass(frozen=True)
class Deployment:
    """A stack that is about to be created or updated."""

    template: Template
    """With the values that its parameters will have."""
    stack: str
    region: str
    account: str
    parameters: Mapping[str, str]
    """The values that were named for this deployment; others keep what they have."""
    exists: bool
    """Whether this updates a stack that exists."""

    def resources(self) -> dict[str, list[str]]:
        """Logical IDs by type, in the template's order, without those whose condition does not hold."""
        holds = Resolver(self.template.document, self.template.parameters).holds
        found: dict[str, list[str]] = {}
        for name, resource in self.template.document["Resources"].items():
            if "Condition" not in resource or holds(resource["Condition"]):
                found.setdefault(resource["Type"], []).append(name)
        return found


def copy(folder: str | Path) -> Path:
    """Writes an editable copy of the package's stack; returns the path of its template.

    Raises UsageError if `folder` exists and is not an empty folder.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not an empty folder: name one that is, or a new one")
    if any(folder.resolve().is_relative_to(template.OWN / part) for part in PARTS):
        raise UsageError(f"{folder} is inside the stack that is to be copied")
    _write(folder)
    return folder / template.NAME


@dataclass(frozen=True)
class NewFunction:
    """A function that was added to a stack."""

    name: str
    """Logical ID in template.yaml."""
    folder: Path
    template: Path
    """The template.yaml that has an entry for it now."""
    text: str
    """What was created, and the commands to try."""


def new_function(name: str, template_file: str | Path | None = None) -> NewFunction:
    """Adds a function to the stack of the working folder.

    `name` is StarCounts or star_counts. Raises UsageError for a name that is refused, before anything is
    written, and if the working folder is not in a stack that can be changed.
    """
    path, here = Path(template_file or template.find().path).resolve(), Path.cwd().resolve()
    root = path.parent
    if not here.is_relative_to(root) or (template.IS_INSTALLED and root == template.OWN):
        raise UsageError(
            f"{here} is not in a stack that can be changed: work in a clone of skyfan, or make a copy of its "
            "stack with `skyfan stack copy DIR` and work in DIR"
        )
    # A stack brings its own copy of this script, which fits its template.
    script = root / "build/new_function.py"
    if not script.is_file():
        raise UsageError(
            f"{script} is missing: {root} is not a stack of this version of skyfan. Make a copy of its stack "
            "with `skyfan stack copy DIR` and work in DIR"
        )
    before = template.read(path).functions
    done = subprocess.run([sys.executable, script, name], capture_output=True, text=True, check=False)
    if done.returncode == _REFUSED:
        raise UsageError(done.stderr.strip())
    if done.returncode:
        raise OSError(f"{script} failed: {done.stderr.strip()}")
    after = template.read(path)
    (made,) = set(after.functions) - set(before)
    return NewFunction(made, after.function(made).code, path, done.stdout)


def prepare(
    stack: str = "skyfan",
    *,
    region: str | None = None,
    parameters: Mapping[str, str] | None = None,
    template_file: str | Path | None = None,
) -> Deployment:
    """What deploy() would do. Asks AWS which account it is and whether the stack exists; changes nothing.

    `region` defaults to that of the AWS configuration, or us-east-1. Raises UsageError for a parameter that
    the template does not have or that is outside its limits, and for missing credentials or programs.
    """
    from .. import session

    parameters = dict(parameters or {})
    registry = template.read(Path(template_file or template.find().path))
    known = registry.document.get("Parameters") or {}
    for name, value in parameters.items():
        _check(name, value, known, registry.path)
    sam.program()
    sam.check_build_tools()
    with session.aws_errors("AWS"):
        account = session.client("sts", region).get_caller_identity()["Account"]
    client = session.client("cloudformation", region)
    existing = _existing(client, stack)
    values = {name: value for name, value in (existing or {}).items() if name in known} | parameters
    registry = replace(registry, parameters=values)
    _check_concurrency(registry, existing or {}, client.meta.region_name)
    return Deployment(registry, stack, client.meta.region_name, account, parameters, existing is not None)


def deploy(deployment: Deployment, options: Iterable[str] = (), *, to_stderr: bool = False) -> int:
    """Runs `sam build` and `sam deploy`, which print to this process's stdout; returns the exit code of sam.

    With `to_stderr` they print to stderr. `options` are passed to `sam deploy`. The template's own folder is
    built in place; the one inside an installed package is copied to the cache first.
    """
    options = list(options)
    for option in options:
        if ours := _OURS.get(option.partition("=")[0]):
            raise UsageError(f"{option} of sam is set by skyfan deploy: use {ours} before the --")
    folder = _workplace(deployment.template, deployment.stack)
    build = ["build", *_overrides(deployment.template.parameters)]
    send = ["deploy", "--stack-name", deployment.stack, "--region", deployment.region]
    send += [*_overrides(deployment.parameters), *options]
    return _sam(folder, build, to_stderr=to_stderr) or _sam(folder, send, to_stderr=to_stderr)


def build(registry: Template) -> Path:
    """Runs `sam build`, which prints to stderr, unless nothing has changed since it ran; returns the built
    template. Raises UsageError if the build fails.
    """
    folder = _workplace(registry, "local")
    built = folder / ".aws-sam/build" / template.NAME
    parts = [path for part in PARTS for path in (folder / part, *(folder / part).rglob("*"))]
    newest = max(path.stat().st_mtime for path in parts if path.suffix != ".pyc" and path.is_file())
    if not built.is_file() or built.stat().st_mtime < newest:
        code = _sam(folder, ["build"], {"SAM_CLI_TELEMETRY": "0"}, to_stderr=True)
        if code:
            raise UsageError(f"sam build failed with exit code {code}; its output is above")
    return built


def _sam(
    folder: Path,
    words: Iterable[str],
    variables: Mapping[str, str] | None = None,
    *,
    to_stderr: bool = False,
) -> int:
    """Runs a command of sam in a folder, with the Makefiles' Python, which has pip; returns its exit code."""
    environment = {**os.environ, "PYTHON": sys.executable, **(variables or {})}
    command = [sam.program(), *words]
    stdout = _STDERR if to_stderr else None
    return subprocess.run(command, cwd=folder, env=environment, stdout=stdout, check=False).returncode


def _workplace(registry: Template, name: str) -> Path:
    """The folder to build in: the template's own; of an installed package, a copy in the cache."""
    folder = registry.path.parent
    if template.IS_INSTALLED and folder == template.OWN:
        folder = platformdirs.user_cache_path("skyfan") / "deploy" / name
        _write(folder)
    return folder


def _write(folder: Path) -> None:
    for part in PARTS:
        source, target = template.OWN / part, folder / part
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target, ignore=_omitted)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def _omitted(folder: str, names: list[str]) -> set[str]:
    tools = _OMITTED_TOOLS(folder, names) if Path(folder).name == "build" else set()
    return _OMITTED(folder, names) | tools


def _existing(client: Any, stack: str) -> dict[str, str] | None:
    """The parameters of a stack that can be updated; None if there is none. Raises UsageError for others."""
    from ..aws import stack as stacks

    found = stacks.described(client, stack)
    if found is None:
        return None
    state = stacks.state_of(client, found)
    if state and not state.deploy:
        raise UsageError(state.message)
    if state and state.use == "none":  # prepared, and never created
        return None
    return {item["ParameterKey"]: item.get("ParameterValue", "") for item in found.get("Parameters", [])}


def _check_concurrency(registry: Template, existing: Mapping[str, str], region: str) -> None:
    """Raises UsageError if the account cannot reserve what the parameters say: some must stay for others."""
    from .. import session

    functions = (registry.document.get("Metadata") or {}).get("Functions") or {}
    entries = [part for entry in functions.values() for part in (entry, entry.get("Large") or {})]
    names = [entry["ReservedConcurrency"] for entry in entries if "ReservedConcurrency" in entry]
    wanted = sum(int(registry.parameters.get(name) or 0) for name in names)
    if not wanted:
        return
    try:
        with session.aws_errors("Lambda"):
            limit = session.client("lambda", region, patient=False).get_account_settings()["AccountLimit"]
    except UsageError:  # not everybody may ask
        return
    own = sum(int(existing.get(name) or 0) for name in names)
    least = min(_UNRESERVED, limit["ConcurrentExecutions"])
    most = max(0, limit["UnreservedConcurrentExecutions"] + own - least)
    if wanted > most:
        raise UsageError(
            f"{' and '.join(names)} reserve {wanted} concurrent invocations, and this account can reserve "
            f"{most}: of its {limit['ConcurrentExecutions']}, {least} must stay unreserved. Reserve nothing, "
            "or ask AWS for more (Service Quotas, AWS Lambda, Concurrent executions)"
        )


def _overrides(parameters: Mapping[str, str]) -> list[str]:
    if not parameters:
        return []
    return ["--parameter-overrides", *(f'{name}="{value}"' for name, value in parameters.items())]


def _check(name: str, value: str, known: Mapping[str, Any], path: Path) -> None:
    """The limits that CloudFormation would check after a build of minutes."""
    if name not in known:
        meant = get_close_matches(name, known, 1)
        hint = f": is {meant[0]} meant?" if meant else f"; it has: {', '.join(known)}"
        raise UsageError(f"{path} has no parameter {name!r}{hint}")
    limits = known[name]
    allowed, pattern = limits.get("AllowedValues"), limits.get("AllowedPattern")
    is_allowed = not allowed or value in map(str, allowed)
    if pattern:
        is_allowed &= re.fullmatch(pattern, value) is not None
    if limits.get("Type") == "Number":
        number = re.fullmatch(r"\d+(\.\d+)?", value) and float(value)
        least, most = limits.get("MinValue", 0), limits.get("MaxValue", float("inf"))
        is_allowed &= number is not None and float(least) <= number <= float(most)
    if not is_allowed:
        wanted = limits.get("ConstraintDescription") or f"must be one of {', '.join(map(str, allowed or ()))}"
        raise UsageError(f"the parameter {name}={value} {wanted}")
