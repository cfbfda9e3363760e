"""A watch of an archive's announcements, kept by the function Watcher of a stack."""

import re
from typing import Any

from skyfan_watch.definition import AWS, Watch

from ..aws import stack as stacks
from ..aws.budget import conditions_of
from ..aws.stack import Functions, Stack
from ..errors import UsageError
from ..plans.plan import STANDARD
from ..runs import run as runs
from ..task import Task
from ..template import Template, results
from . import costs, manage, queries

PARAMETER = "StandingQueries"
"""Of the template; also the output that says that a stack keeps watches."""
_BUDGET = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*(?:USD)?\s*/\s*month", re.IGNORECASE)


def budget(text: str) -> float:
    """USD per month in 5USD/month. Raises UsageError for anything else."""
    match = _BUDGET.fullmatch(text.strip())
    if not match:
        raise UsageError(f"--budget takes USD per month, such as 5USD/month, not {text!r}")
    return float(match[1])


def prepare(
    stack: Stack, registry: Template, task: Task, usd: float, criteria: dict[str, Any]
) -> tuple[Watch, Functions]:
    """The watch that add() would store, and the functions that it starts. Only reads.

    Raises UsageError if the stack keeps no watches, for criteria as `skyfan plan` does, and for a name that
    is taken.
    """
    manage.check_name(task.run)
    query = queries.of_archive(**criteria)
    if task.access != "anonymous":
        raise UsageError(f"a watch reads the public archive anonymously: --access {task.access} has no use")
    stack.check()
    if PARAMETER not in stack.outputs:
        raise UsageError(
            f"the stack {stack.name!r} in {stack.region} keeps no watches: "
            f"`skyfan deploy --stack {stack.name} --region {stack.region} --parameter {PARAMETER}=on` adds "
            "what they need"
        )
    functions = stacks.deployed(stack, registry, task.function)
    conditions = conditions_of(stack, functions, task, batch=1)
    watch = Watch(
        name=task.run,
        query=query,
        created=manage.now(),
        where=AWS,
        budget=usd,
        functions={tier: function.name for tier, function in functions.tiers.items()},
        event=task.shared,
        costs=costs.file_costs(conditions),
        limits=costs.standard_limits(functions.memory_mb, task.outputs),
        task=task.configuration(),
    )
    return manage.check_new(stack.results, watch), functions


def add(stack: Stack, registry: Template, task: Task, watch: Watch, functions: Functions) -> None:
    """Begins the run of a watch and stores it. Raises UsageError if the function may not run or write."""
    functions.check(task.run)
    stacks.prove_writable(functions.tiers[STANDARD], task.run)
    runs.begin(
        stack.results,
        task,
        results(registry.function(task.function)),
        stack.failures.name,
        engine=AWS,
        marks=stack.marks_doubtful,
        watch=True,
    )
    manage.store(stack.results, watch)
