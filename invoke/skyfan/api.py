"""skyfan from Python, for notebooks and scripts. The command line is a thin shell of these functions.

from skyfan.api import run
summary = run(["images/*.fits"], "out", run="first-light", config={"detect_thresh": 3})
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from . import cancelling, costing, following, retrying, running
from .catalogs import calls
from .page import calls as pages
from .plans import make
from .plans.criteria import Criteria
from .plans.plan import Plan
from .plans.stages import Watch

run = running.run
run_on_aws = running.run_on_aws
preview_on_aws = running.preview_on_aws
collect = calls.collect
search = calls.search
status = following.status
follow = following.follow
runs = following.runs
retry = retrying.retry
costs = costing.costs
history = costing.history
cancel = cancelling.cancel
restore = cancelling.restore
report = pages.report


def plan(
    paths: Iterable[str] = (),
    out: str | Path = "plan.parquet",
    *,
    csv: str | Path | None = None,
    access: str = "anonymous",
    limit: int | None = None,
    huge: bool = False,
    proprietary: bool = False,
    refresh: bool = False,
    progress: Watch = lambda what, done, total: None,
    **criteria: Any,
) -> Plan:
    """Plans the files that `paths` name, or those that `criteria` find in MAST, into a plan file.

    `criteria` are the fields of skyfan.plans.criteria.Criteria: plan(instrument=("WFC3/IR",),
    filters=("F160W",)). `limit` takes the first so many observations, `huge` allows more than 50,000,
    `proprietary` keeps what is not public, `refresh` passes over the answers that are kept on disk.
    `progress` is called with a stage's name, how many of it are there, and of how many. Raises UsageError for
    what cannot be done, UnansweredError when the archive is down. What it did not answer in part is dropped
    as unresolved; the same call asks for it again.
    """
    return make.make(
        out,
        paths=paths,
        criteria=Criteria.of(**criteria) if criteria else None,
        csv=csv,
        access=access,
        limit=limit,
        huge=huge,
        proprietary=proprietary,
        refresh=refresh,
        progress=progress,
    )
