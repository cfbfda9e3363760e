"""skyfan from Python, for notebooks and scripts. The command line is a thin shell of these functions.

from skyfan.api import run
summary = run(["images/*.fits"], "out", run="first-light", config={"detect_thresh": 3})
"""

from .commands.cancel import cancel, restore
from .commands.collect import collect, search
from .commands.costs import costs, history
from .commands.plan import plan
from .commands.report import report
from .commands.retry import retry
from .commands.run import preview_on_aws, run, run_on_aws
from .commands.status import follow, runs, status

__all__ = [
    "cancel",
    "collect",
    "costs",
    "follow",
    "history",
    "plan",
    "preview_on_aws",
    "report",
    "restore",
    "retry",
    "run",
    "run_on_aws",
    "runs",
    "search",
    "status",
]
