"""skyfan from Python, for notebooks and scripts. The command line only parses and prints.

from skyfan.api import AwsOptions, Task, run
outcome = run(["images/*.fits"], "out", Task("first-light", config={"detect_thresh": 3}))
outcome = run(["plan.parquet"], AwsOptions(max_cost=20), Task("deep"))
"""

from ..engine import AwsOptions, LocalOptions, SamOptions, Selection
from ..plans.make import PlanOptions, plan
from ..task import Task
from .bills import CostOptions, costs, history
from .datasets import collect, report, search
from .engines import preview, preview_retry, retry, run
from .monitor import cancel, follow, restore, runs, status

__all__ = [
    "AwsOptions",
    "CostOptions",
    "LocalOptions",
    "PlanOptions",
    "SamOptions",
    "Selection",
    "Task",
    "cancel",
    "collect",
    "costs",
    "follow",
    "history",
    "plan",
    "preview",
    "preview_retry",
    "report",
    "restore",
    "retry",
    "run",
    "runs",
    "search",
    "status",
]
