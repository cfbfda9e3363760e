"""template.yaml, the only registry of functions: their code, handler, limits and environment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from . import cfn
from .errors import TemplateError

FUNCTION = "AWS::Serverless::Function"
# Lambda's own defaults, for what a template leaves out.
MEMORY_MB = 128
TIMEOUT_S = 3.0
RETRIES = 2


@dataclass(frozen=True)
class Function:
    """A function as template.yaml describes it."""

    name: str
    """Logical ID in the template."""
    code: Path
    """Folder that goes on the import path (CodeUri)."""
    handler: str
    """Dotted path: package.module.function."""
    memory_mb: int
    timeout_s: float
    retries: int
    """Further tries after a function error (EventInvokeConfig.MaximumRetryAttempts)."""
    environment: dict[str, str]
    """Environment variables, resolved as far as a machine without a stack can."""


@dataclass(frozen=True)
class Template:
    """A template that was read. `functions` has one entry per AWS::Serverless::Function, by logical ID."""

    path: Path
    document: dict[str, Any]

    @property
    def functions(self) -> list[str]:
        resources: dict[str, Any] = self.document["Resources"]
        return [name for name, item in resources.items() if item.get("Type") == FUNCTION]

    def function(self, name: str) -> Function:
        """The function with this logical ID. Raises TemplateError, naming those that there are."""
        if name not in self.functions:
            there = ", ".join(self.functions) or "none"
            raise TemplateError(f"{self.path} has no function {name!r}; it has: {there}")
        try:
            return self._function(name)
        except TemplateError as error:
            raise TemplateError(f"{self.path}: {name} {error}") from error
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise TemplateError(f"{self.path}: {name} cannot be understood: {error!r}") from error

    def _function(self, name: str) -> Function:
        shared = (self.document.get("Globals") or {}).get("Function") or {}
        resource = self.document["Resources"][name].get("Properties") or {}
        resolve = cfn.Resolver(self.document)
        read = {key: resolve(value) for key, value in {**shared, **resource}.items() if key in _READ}
        given = {key: value for key, value in read.items() if value != ""}  # AWS::NoValue
        variables = {
            **resolve((shared.get("Environment") or {}).get("Variables") or {}),
            **resolve((resource.get("Environment") or {}).get("Variables") or {}),
        }
        for key in ("CodeUri", "Handler"):
            if not isinstance(given.get(key), str):
                raise TemplateError(f"has no {key} that is a local path")
        code = (self.path.parent / given["CodeUri"]).resolve()
        if not code.is_dir():
            raise TemplateError(f"has its code at {code}, which is no folder")
        return Function(
            name=name,
            code=code,
            handler=given["Handler"],
            memory_mb=int(given.get("MemorySize", MEMORY_MB)),
            timeout_s=float(given.get("Timeout", TIMEOUT_S)),
            retries=int((given.get("EventInvokeConfig") or {}).get("MaximumRetryAttempts", RETRIES)),
            environment={key: str(value) for key, value in variables.items()},
        )


# The rest, policies above all, means nothing here and may hold what cannot be resolved.
_READ = {"CodeUri", "Handler", "MemorySize", "Timeout", "EventInvokeConfig"}


def read(path: Path) -> Template:
    """Reads a template. Raises TemplateError where the file is missing or is not a template."""
    try:
        return Template(path.resolve(), cfn.load(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise TemplateError(f"{path} does not exist") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TemplateError) as error:
        raise TemplateError(f"{path} {error}") from error


def find(start: Path | None = None) -> Path:
    """The nearest template.yaml from `start` (the working folder) upwards, else the one of skyfan's clone."""
    here = (start or Path.cwd()).resolve()
    own = Path(__file__).resolve().parents[2]
    for folder in (here, *here.parents, own):
        if (folder / "template.yaml").is_file():
            return folder / "template.yaml"
    raise TemplateError(
        f"no template.yaml in {here} or above: give --template, or work inside a clone of skyfan"
    )
