"""The deployed functions that a run is sent to, by the tier of its files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import UsageError
from ..plans.plan import LARGE, STANDARD
from ..runs.run import SUFFIX
from ..template import Template
from . import session
from .stack import Stack


@dataclass(frozen=True)
class Deployed:
    """One function of a stack."""

    name: str
    memory_mb: int
    timeout_s: float


def read(stack: Stack, registry: Template, function: str) -> Mapping[str, Deployed]:
    """The function of each tier; one that has no variant with more memory serves both.

    `function` is a logical ID. Limits are those that Lambda tells, or where the person may not ask for them,
    the template's.
    """
    client = session.client("lambda")
    standard = _ask(client, stack.function(function), registry, function)
    large = function + SUFFIX
    if large not in stack.functions:
        return {STANDARD: standard, LARGE: standard}
    return {STANDARD: standard, LARGE: _ask(client, stack.function(large), registry, large)}


def _ask(client: Any, name: str, registry: Template, logical_id: str) -> Deployed:
    try:
        with session.told(name):
            told = client.get_function_configuration(FunctionName=name)
        return Deployed(name, int(told["MemorySize"]), float(told["Timeout"]))
    except (UsageError, KeyError):
        described = registry.function(logical_id)
        return Deployed(name, described.memory_mb, described.timeout_s)
