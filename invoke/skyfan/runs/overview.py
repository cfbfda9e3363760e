"""A quick overview of all runs in a place: a few listings per run, however many files it has."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq

from skyfan_contract import NO_DOUBTS

from ..errors import UsageError
from ..files import from_json
from ..storage.listing import Object
from ..storage.place import Place
from ..storage.uris import Results
from . import run as runs
from . import watched

MAX_COUNTED = 1000
"""Results and failures are counted up to this number of objects: one page of an S3 listing."""
_FOOTER = 1 << 17


@dataclass(frozen=True)
class Count:
    """A number of objects."""

    number: int
    is_all: bool
    """Whether all objects were counted; otherwise `number` is a lower limit."""


@dataclass(frozen=True)
class Overview:
    """One run in the overview."""

    run: str
    function: str
    files: int | None
    """In all plans together; a file in two plans counts twice. None if a plan cannot be read."""
    done: Count
    doubtful: Count | None
    """Results whose newest mark has a doubt; None if the functions of the run do not mark them."""
    failed: Count
    """Failure records beside the results. Lambda's own records are elsewhere and are not counted."""
    started: float
    """Unix seconds."""
    active: float
    """Time of the newest object that was seen, Unix seconds."""


def read(place: Place) -> list[Overview]:
    """All runs of a place, most recently active first."""
    with ThreadPoolExecutor(16, "skyfan-overview") as threads:
        overviews = list(threads.map(lambda name: _overview(place, name), runs.names(place)))
    return sorted((one for one in overviews if one), key=lambda one: (-one.active, one.run))


def _overview(place: Place, run: str) -> Overview | None:
    try:
        about = runs.read(place, run)
    except UsageError:  # not a run, or one that was partly deleted
        return None
    started = runs.began(place, run, about)
    plans = place.tables(f"runs/{run}/plans/")
    results = Results.of(about["results"], run)
    done, last_done = _count(place, results.prefix, lambda key: results.key(key) is not None)
    failed, last_failed = _count(place, f"runs/{run}/failures/", lambda key: key.endswith(".json"))
    doubtful = _doubtful(place, run) if about.get("doubtful") else None
    files = [_files(place, item) for item in plans]
    written = [item.modified for item in (*plans, *place.tables(f"runs/{run}/receipts/"))]
    return Overview(
        run=run,
        function=about["function"],
        files=None if None in files else sum(filter(None, files)),
        done=done,
        doubtful=doubtful,
        failed=failed,
        started=started,
        active=max(started, last_done, last_failed, *written),
    )


def _count(place: Place, prefix: str, is_counted: Callable[[str], bool]) -> tuple[Count, float]:
    """The number of objects with certain keys, and the newest of their times (0 if there are none)."""
    found = list(islice(place.list(prefix), MAX_COUNTED + 1))
    times = [item.modified for item in found[:MAX_COUNTED] if is_counted(item.key)]
    return Count(len(times), len(found) <= MAX_COUNTED), max(times, default=0.0)


def _doubtful(place: Place, run: str) -> Count:
    """The number of results whose newest mark has a doubt; of two marks of one second the doubt counts."""
    prefix = f"runs/{run}/doubtful/"
    found = list(islice(place.list(prefix), MAX_COUNTED + 1))
    newest: dict[str, tuple[float, bool]] = {}
    for item in found[:MAX_COUNTED]:
        doubts, _, key = item.key.removeprefix(prefix).partition("/")
        newest[key] = max(newest.get(key, (0.0, False)), (item.modified, doubts != NO_DOUBTS))
    return Count(sum(has_doubt for _, has_doubt in newest.values()), len(found) <= MAX_COUNTED)


def _files(place: Place, plan: Object) -> int | None:
    """The number of files that a plan's footer states; None if it cannot be read."""
    if watched.is_plan(plan.key):
        return 1
    if not plan.size:
        return None
    tail = place.get_range(plan.key, max(0, plan.size - _FOOTER), plan.size)
    try:
        metadata = pq.read_metadata(pa.BufferReader(tail)).metadata
        return int(from_json(metadata[b"skyfan"])["files"])
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
        return None
