"""A run's story: everything that the page shows, gathered from the run's place."""

import time as clock
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..bill.show import Costs
from ..catalogs.dataset import default_folder
from ..catalogs.kinds import SOURCES
from ..errors import InputError, UsageError
from ..events import OnProgress, ignore
from ..files import from_json
from ..plans.plan import DROPS
from ..runs import planned, state, watched
from ..runs.doubts import Doubts
from ..runs.run_file import RunFile
from ..runs.state import RunState
from ..sky.footprints import FootprintCollector, Footprints
from ..storage import uris
from ..storage.place import Place
from ..storage.uris import Results
from . import images, measured, thumbnails
from .images import ImageTable
from .measured import Example, Measured
from .thumbnails import Thumbnail

MAX_PLANS = 20
"""Plans that are described one by one; most runs have one."""
MAX_MISSING = 5
"""Missing files that are named."""
_SKY = ["s_ra", "s_dec", "s_region", "dropped"]
_GROUP = ["instrument_name", "filters", "size"]
UNKNOWN = "unknown"
"""Instrument of planned files whose plan names none."""
PlannedGroup = tuple[str, str, int, int]
"""Instrument, filter, number of files and bytes."""


@dataclass(frozen=True)
class PlanSummary:
    """One plan, by its own metadata."""

    query: dict[str, Any] | None
    """None for files that were named without a query."""
    created: str
    files: int
    bytes: int


@dataclass(frozen=True)
class Request:
    """What the run was asked to do, from run.json and the plans."""

    about: dict[str, Any]
    """The content of run.json."""
    plans: list[PlanSummary]
    """The first MAX_PLANS."""
    number_of_plans: int
    dropped: list[tuple[str, str, int]]
    """Reason, its meaning, and the number of products left out of the plans for it."""
    groups: list[PlannedGroup]
    """Planned files of known instrument, the largest group first."""
    footprints: Footprints


@dataclass(frozen=True)
class Story:
    """The content of the page. A part that is None is missing, and `absent` says why."""

    run: str
    place: str
    created: float
    """Unix time of the page."""
    skyfan: str
    """Version that made the page."""
    request: Request
    state: RunState
    missing: list[RunFile]
    """The first MAX_MISSING."""
    doubts: Doubts | None
    """The doubtful files; None if that is not known from the run itself."""
    images: ImageTable
    measured: Measured | None
    thumbnails: list[Thumbnail]
    costs: Costs | None
    absent: dict[str, str]
    """A sentence by the name of the part: measured or costs."""


def gather(
    place: Place,
    run: str,
    lambdas: Place | None = None,
    *,
    costs: Callable[[], Costs],
    data: Path | None = None,
    progress: OnProgress = ignore,
) -> Story:
    """Gathers a run's story.

    `lambdas` is the place of Lambda's failure records if that is not `place`; `costs` reads the bill; `data`
    is the collected data set if that is not in its usual place. Raises UsageError if there is no such run.
    """
    progress("reading: state of the run", 0, 0)
    found = state.read(place, run, lambdas)
    progress("reading: plans", 0, 0)
    request = read_request(place, run, found.about)
    absent: dict[str, str] = {}
    progress("reading: collected sources", 0, 0)
    collected = None
    try:
        collected = measured.read(
            data or default_folder(place, run), place.name, run, thumbnails.MAX_PICTURES
        )
        if collected is None:
            absent["measured"] = f"Nothing has been collected yet: run `skyfan collect {run}`."
    except UsageError as error:
        absent["measured"] = f"The collected sources cannot be shown: {error}."
    progress("reading: logs", 0, 0)
    bill = None
    try:
        bill = costs()
    except UsageError as error:
        absent["costs"] = f"There is no bill: {error}."
    results = Results.of(found.about["results"], run)
    progress("reading: pictures", 0, 0)
    doubts = found.doubts()
    examples = collected.examples if collected else _first_done(found, results.tail)
    return Story(
        run=run,
        place=place.name,
        created=clock.time(),
        skyfan=version("skyfan"),
        request=request,
        state=found,
        missing=list(islice(found.files("missing"), MAX_MISSING)),
        doubts=doubts,
        images=images.table(
            found, collected.table if collected else None, doubts, collected.kind if collected else SOURCES
        ),
        measured=collected,
        thumbnails=list(
            thumbnails.make(place, results, examples, draw=collected is None or collected.kind is SOURCES)
        ),
        costs=bill,
        absent=absent,
    )


def read_request(place: Place, run: str, about: dict[str, Any]) -> Request:
    """Reads the plans of a run, one at a time. A file in two plans counts in both.

    Raises InputError for a plan that cannot be read.
    """
    keys = planned.keys(place, run)
    plans: list[PlanSummary] = []
    dropped: Counter[str] = Counter()
    groups: dict[tuple[str, str], tuple[int, int]] = {}
    sky = FootprintCollector()
    single = [key for key in keys if watched.is_plan(key)]
    for table in watched.plan_tables(place, single):
        for batch in table.select([*_SKY, *_GROUP]).combine_chunks().to_batches():
            sky.add(batch)
            _count(groups, batch)
    for key in keys[: len(keys) - len(single)]:
        body = place.get(key)
        if body is None:
            continue
        try:
            with pq.ParquetFile(pa.BufferReader(body)) as file:
                metadata = from_json((file.schema_arrow.metadata or {}).get(b"skyfan", b"{}"))
                for batch in file.iter_batches(columns=[*_SKY, *_GROUP]):
                    kept = batch.filter(pc.is_null(batch["dropped"]))
                    sky.add(kept)
                    _count(groups, kept)
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise InputError(f"{place.uri(key)} is not a plan: {str(error).splitlines()[0]}") from error
        dropped.update(metadata.get("dropped", {}))
        if len(plans) < MAX_PLANS:
            size = int(metadata.get("files", 0)), int(metadata.get("bytes", 0))
            plans.append(PlanSummary(metadata.get("query"), str(metadata.get("made", "")), *size))
    return Request(
        about=about,
        plans=plans,
        number_of_plans=len(keys),
        dropped=[(reason, DROPS.get(reason, ""), number) for reason, number in dropped.most_common()],
        groups=sorted(((*key, *sums) for key, sums in groups.items()), key=lambda row: (-row[2], row)),
        footprints=sky.finish(),
    )


def _count(groups: dict[tuple[str, str], tuple[int, int]], batch: pa.RecordBatch) -> None:
    table = pa.table([batch[name] for name in _GROUP], ["i", "f", "s"])
    sums = table.group_by(["i", "f"]).aggregate([("s", "sum"), ([], "count_all")])
    for row in sums.to_pylist():
        key = row["i"] or UNKNOWN, row["f"] or ""
        files, size = groups.get(key, (0, 0))
        groups[key] = files + row["count_all"], size + (row["s_sum"] or 0)


def _first_done(run: RunState, suffix: str) -> list[Example]:
    """The first images that are done, if no table of images tells which have the most sources."""
    done = islice(run.files("done"), thumbnails.MAX_PICTURES)
    return [Example(file.uri, uris.key(file.uri) + suffix, "", -1, float("nan")) for file in done]
