"""skyfan plan."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..plans import make
from ..plans.criteria import Criteria
from ..plans.plan import Plan
from ..plans.stages import Watch


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
