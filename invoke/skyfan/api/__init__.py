"""skyfan from Python, for notebooks and scripts. The command line only parses and prints.

from skyfan.api import AwsOptions, Task, run
outcome = run(["images/*.fits"], "out", Task("first-light", config={"detect_thresh": 3}))
outcome = run(["plan.parquet"], AwsOptions(max_cost=20), Task("deep"))
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..doctor.diagnosis import doctor
    from ..engine import AwsOptions, LocalOptions, SamOptions, Selection
    from ..plans.make import PlanOptions, plan
    from ..task import Task
    from .bills import CostOptions, costs, history
    from .datasets import collect, find_damaged, find_stale, light_curve, report, search
    from .demos import demo
    from .drawing import show
    from .engines import completeness, preview, preview_retry, retry, run
    from .fetching import fetch
    from .matching import MatchOptions, check, match
    from .monitor import cancel, follow, restore, runs, status
    from .standing import (
        add_watch,
        pause_watch,
        remove_watch,
        resume_watch,
        run_watch,
        unknown_messages,
        watch_log,
        watches,
    )

__all__ = [
    "AwsOptions",
    "CostOptions",
    "LocalOptions",
    "MatchOptions",
    "PlanOptions",
    "SamOptions",
    "Selection",
    "Task",
    "add_watch",
    "cancel",
    "check",
    "collect",
    "completeness",
    "costs",
    "demo",
    "doctor",
    "fetch",
    "find_damaged",
    "find_stale",
    "follow",
    "history",
    "light_curve",
    "match",
    "pause_watch",
    "plan",
    "preview",
    "preview_retry",
    "remove_watch",
    "report",
    "restore",
    "resume_watch",
    "retry",
    "run",
    "run_watch",
    "runs",
    "search",
    "show",
    "status",
    "unknown_messages",
    "watch_log",
    "watches",
]
_MODULES = {
    "..doctor.diagnosis": ("doctor",),
    "..engine": ("AwsOptions", "LocalOptions", "SamOptions", "Selection"),
    "..plans.make": ("PlanOptions", "plan"),
    "..task": ("Task",),
    ".demos": ("demo",),
    ".bills": ("CostOptions", "costs", "history"),
    ".datasets": ("collect", "find_damaged", "find_stale", "light_curve", "report", "search"),
    ".drawing": ("show",),
    ".fetching": ("fetch",),
    ".engines": ("completeness", "preview", "preview_retry", "retry", "run"),
    ".matching": ("MatchOptions", "check", "match"),
    ".monitor": ("cancel", "follow", "restore", "runs", "status"),
    ".standing": (
        *("add_watch", "pause_watch", "remove_watch", "resume_watch", "run_watch"),
        *("unknown_messages", "watch_log", "watches"),
    ),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Imports what is used, when it is used: no command needs all of it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name], __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
