"""Reads template.yaml, the only registry of functions: their code, handler, limits and environment."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

try:  # libyaml, ten times as fast; PyYAML is also built without it
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]

from skyfan_contract import OUTPUT

from .errors import TemplateError

NAME = "template.yaml"
_PACKAGE = Path(__file__).resolve().parent
IS_INSTALLED = (_PACKAGE / "stack").is_dir()
OWN = _PACKAGE / "stack" if IS_INSTALLED else _PACKAGE.parents[1]
"""Folder of skyfan's own stack: inside an installed package, or the root of a clone."""
FUNCTION = "AWS::Serverless::Function"
WATCHER = "StandingQueries"
"""Key in the Metadata of the function that starts others."""
NO_MARK = "it has neither Metadata.Functions nor a function with SKYFAN_OUTPUT in its environment"
# Lambda's own defaults
MEMORY_MB = 128
TIMEOUT_S = 3.0
RETRIES = 2
AGE_S = 21600.0
# Other properties, policies above all, are not needed here and may hold what cannot be resolved.
_PROPERTIES = {"CodeUri", "Handler", "MemorySize", "Timeout", "EventInvokeConfig"}
_PSEUDO_PARAMETERS = {
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::AccountId": "000000000000",
    "AWS::StackName": "local",
    "AWS::NoValue": "",
}


@dataclass(frozen=True)
class Function:
    """A function of the template."""

    name: str
    """Logical ID in the template."""
    code: Path
    """Folder of the code (CodeUri)."""
    handler: str
    """Dotted path: package.module.function."""
    memory_mb: int
    timeout_s: float
    retries: int
    """Retries after a function error (EventInvokeConfig.MaximumRetryAttempts)."""
    environment: dict[str, str]
    """Environment variables; see Resolver for what replaces intrinsic functions."""
    age_s: float = AGE_S
    """Maximum age of a queued event (EventInvokeConfig.MaximumEventAgeInSeconds)."""

    @property
    def folders(self) -> list[Path]:
        """The import path: the code, and the runtime of all functions, which a build copies beside it."""
        runtime = self.code.parent / "runtime"
        return [self.code, runtime] if runtime.is_dir() else [self.code]


@dataclass(frozen=True)
class Template:
    """A template as plain data."""

    path: Path
    document: dict[str, Any]
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Values of parameters, instead of their defaults."""

    @property
    def functions(self) -> list[str]:
        """The logical IDs of all functions (AWS::Serverless::Function) that process files."""
        resources: dict[str, Any] = self.document["Resources"]
        return [
            name
            for name, item in resources.items()
            if item.get("Type") == FUNCTION and WATCHER not in (item.get("Metadata") or {})
        ]

    def function(self, name: str) -> Function:
        """The function with this logical ID. Raises TemplateError if it is missing or invalid."""
        if name not in self.functions:
            names = ", ".join(self.functions) or "none"
            raise TemplateError(f"{self.path} has no function {name!r}; its functions: {names}")
        try:
            return self._function(name)
        except TemplateError as error:
            raise TemplateError(f"{self.path}: {name} {error}") from error
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise TemplateError(f"{self.path}: {name} is invalid: {error!r}") from error

    def _function(self, name: str) -> Function:
        shared = (self.document.get("Globals") or {}).get("Function") or {}
        resource = self.document["Resources"][name].get("Properties") or {}
        resolve = Resolver(self.document, self.parameters)
        merged = {key: value for key, value in {**shared, **resource}.items() if key in _PROPERTIES}
        resolved = {key: resolve(value) for key, value in merged.items()}
        properties = {key: value for key, value in resolved.items() if value != ""}  # AWS::NoValue
        variables = {
            **resolve((shared.get("Environment") or {}).get("Variables") or {}),
            **resolve((resource.get("Environment") or {}).get("Variables") or {}),
        }
        for key in ("CodeUri", "Handler"):
            if not isinstance(properties.get(key), str):
                raise TemplateError(f"has no {key} that is a local path")
        code = (self.path.parent / properties["CodeUri"]).resolve()
        if not code.is_dir():
            raise TemplateError(f"has its code at {code}, which is not a folder")
        invoke = properties.get("EventInvokeConfig") or {}
        return Function(
            name=name,
            code=code,
            handler=properties["Handler"],
            memory_mb=int(properties.get("MemorySize", MEMORY_MB)),
            timeout_s=float(properties.get("Timeout", TIMEOUT_S)),
            retries=int(invoke.get("MaximumRetryAttempts", RETRIES)),
            environment={key: str(value) for key, value in variables.items()},
            age_s=float(invoke.get("MaximumEventAgeInSeconds", AGE_S)),
        )


def read(path: Path) -> Template:
    """Reads a template. Raises TemplateError if the file is missing or is not a template of skyfan's."""
    try:
        document = load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise TemplateError(f"{path} does not exist") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TemplateError) as error:
        raise TemplateError(f"{path} {error}") from error
    if not _is_ours(document):
        raise TemplateError(f"{path} is not a template of skyfan's: {NO_MARK}")
    return Template(path.resolve(), document)


def results(function: Function) -> str:
    """SKYFAN_OUTPUT, which says where the function writes results: s3://…{run}…{key}…

    Raises TemplateError if it is missing or invalid, because such a run could not be resumed.
    """
    output = function.environment.get(OUTPUT, "")
    if not output.startswith("s3://") or "{key}" not in output or "{run}" not in output:
        raise TemplateError(
            f"{function.name} needs SKYFAN_OUTPUT in its environment in template.yaml, such as "
            f"s3://${{OutputBucket}}/runs/{{run}}/results/{{key}}.json; it is {output!r}"
        )
    return output


@dataclass(frozen=True)
class Found:
    """Result of find()."""

    path: Path
    ignored: tuple[Path, ...]
    """Nearer files of the same name that are not skyfan's."""


def find(start: Path | None = None) -> Found:
    """skyfan's nearest template.yaml from `start` (the working folder) upwards, else the package's own.

    Raises TemplateError if the package lacks it.
    """
    here = (start or Path.cwd()).resolve()
    ignored: list[Path] = []
    for path in (folder / NAME for folder in (here, *here.parents)):
        if path.is_file():
            if _seems_ours(path):
                return Found(path, tuple(ignored))
            ignored.append(path)
    if not (OWN / NAME).is_file():
        raise TemplateError(f"{OWN / NAME} is missing: reinstall skyfan, or name another with --template")
    return Found(OWN / NAME, tuple(ignored))


def _is_ours(document: dict[str, Any]) -> bool:
    """Whether a template is one of skyfan's, by the marks that NO_MARK names."""
    metadata = document.get("Metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("Functions"), dict):
        return True
    resources = [item for item in document["Resources"].values() if isinstance(item, dict)]
    functions = [item for item in resources if item.get("Type") == FUNCTION]
    return bool(functions) and _has_key([document.get("Globals"), *functions], OUTPUT)


def _has_key(value: Any, key: str) -> bool:
    if isinstance(value, dict):
        return key in value or any(_has_key(item, key) for item in value.values())
    return isinstance(value, list) and any(_has_key(item, key) for item in value)


def _seems_ours(path: Path) -> bool:
    """Whether a file is one of skyfan's, or would be if it could be parsed: read() says why it cannot."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    try:
        return _is_ours(load(text))
    except (yaml.YAMLError, TemplateError):
        return OUTPUT in text


class _Loader(SafeLoader):
    """PyYAML's safe loader, with CloudFormation's short tags: !Ref, !Sub, !GetAtt…"""


def _tag(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _tag)


def load(text: str) -> dict[str, Any]:
    """The template as plain dicts and lists, with short tags written out: !Ref X is {"Ref": "X"}.

    Raises TemplateError for another kind of document, yaml.YAMLError for invalid YAML.
    """
    document = yaml.load(text, Loader=_Loader)  # builds plain data only, like SafeLoader
    if not isinstance(document, dict) or not isinstance(document.get("Resources"), dict):
        raise TemplateError("is not a CloudFormation template: it has no Resources")
    return document


class Resolver:
    """Replaces intrinsic functions without a deployed stack.

    A parameter becomes its value in `parameters`, or its default; a resource becomes its logical ID, as in
    sam local.
    """

    def __init__(self, document: dict[str, Any], parameters: Mapping[str, str] | None = None) -> None:
        self._conditions: dict[str, Any] = document.get("Conditions") or {}
        self._mappings: dict[str, Any] = document.get("Mappings") or {}
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        self._names: dict[str, Any] = {**_PSEUDO_PARAMETERS, "AWS::Region": region}
        for name, parameter in (document.get("Parameters") or {}).items():
            self._names[name] = (parameters or {}).get(name, parameter.get("Default", ""))

    def __call__(self, value: Any) -> Any:
        """`value` with every intrinsic function in it replaced. Raises TemplateError for an unknown one."""
        if isinstance(value, list):
            return [self(item) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (name, argument), *_ = value.items()
            if name == "Ref":
                return self._names.get(argument, argument)
            if name == "Condition" and isinstance(argument, str) and argument in self._conditions:
                return self(self._conditions[argument])
            if isinstance(name, str) and name.startswith("Fn::"):
                return self._function(name, argument)
        return {key: self(item) for key, item in value.items()}

    def _function(self, name: str, argument: Any) -> Any:
        match name:
            case "Fn::Sub":
                text, extra = argument if isinstance(argument, list) else (argument, {})
                names = {**self._names, **self(extra)}
                return re.sub(r"\$\{([^!}][^}]*)\}", lambda m: str(names.get(m[1], m[1])), text).replace(
                    "${!", "${"
                )
            case "Fn::GetAtt":
                return argument if isinstance(argument, str) else ".".join(argument)
            case "Fn::Join":
                return str(argument[0]).join(str(item) for item in self(argument[1]))
            case "Fn::Select":
                return self(argument[1])[int(self(argument[0]))]
            case "Fn::FindInMap":
                top, first, second = self(argument[:3])
                return self._mappings[top][first][second]
            case "Fn::If":
                return self(argument[1] if self.holds(argument[0]) else argument[2])
            case "Fn::Equals":
                first, second = self(argument)
                return str(first) == str(second)
            case "Fn::Not":
                return not self(argument[0])
            case "Fn::And":
                return all(self(argument))
            case "Fn::Or":
                return any(self(argument))
        raise TemplateError(f"uses {name}, which cannot be resolved without a deployed stack")

    def holds(self, condition: str) -> bool:
        """The value of a condition of the template. Raises TemplateError if the template lacks it."""
        if condition not in self._conditions:
            raise TemplateError(f"has no condition {condition}")
        return bool(self(self._conditions[condition]))
