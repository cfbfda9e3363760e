"""The runs of a place at a glance: a few listings each, however many files they have."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import UsageError
from . import run as runs
from .place import Object, Place

MOST = 1000
"""Results and failures are counted among so many objects: what one request of S3 lists."""
_FOOTER = 1 << 17


@dataclass(frozen=True)
class Count:
    """How many objects of a kind there are, at least."""

    number: int
    is_all: bool


@dataclass(frozen=True)
class Overview:
    """What a glance tells of one run."""

    run: str
    function: str
    files: int
    """In all plans together; a file that two plans name counts twice."""
    done: Count
    failed: Count
    """Failure records beside the results; Lambda's own are not among them."""
    started: float
    """Unix seconds."""
    active: float
    """When something was last seen to be written, Unix seconds."""


def read(place: Place) -> list[Overview]:
    """All runs of a place, the latest active first."""
    with ThreadPoolExecutor(16, "skyfan-glance") as threads:
        found = list(threads.map(lambda name: _glance(place, name), runs.names(place)))
    return sorted((one for one in found if one), key=lambda one: (-one.active, one.run))


def _glance(place: Place, run: str) -> Overview | None:
    try:
        about = runs.read(place, run)
    except UsageError:  # a folder of something else, or a run of which only parts are left
        return None
    started = place.modified(f"runs/{run}/run.json")
    plans = [item for item in place.list(f"runs/{run}/plans/") if item.key.endswith(".parquet")]
    head, _, tail = about["results"].replace("{run}", run).partition("{key}")
    done, last_done = _count(place, head[: head.rfind("/") + 1], tail)
    failed, last_failed = _count(place, f"runs/{run}/failures/", ".json")
    written = [item.modified for item in (*plans, *place.list(f"runs/{run}/receipts/"))]
    return Overview(
        run=run,
        function=about["function"],
        files=sum(_files(place, item) for item in plans),
        done=done,
        failed=failed,
        started=started,
        active=max(started, last_done, last_failed, *written),
    )


def _count(place: Place, prefix: str, tail: str) -> tuple[Count, float]:
    found = list(islice(place.list(prefix), MOST + 1))
    kept = [item.modified for item in found[:MOST] if item.key.endswith(tail)]
    return Count(len(kept), len(found) <= MOST), max(kept, default=0.0)


def _files(place: Place, plan: Object) -> int:
    """The plan's own count of files, from its footer."""
    tail = place.part(plan.key, max(0, plan.size - _FOOTER), plan.size)
    try:
        metadata = pq.read_metadata(pa.BufferReader(tail)).metadata
        return int(json.loads(metadata[b"skyfan"])["files"])
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
        return 0
