"""What was asked of a run: its configuration and its plans."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..errors import InputError
from ..plans.plan import DROPS
from ..runs import planned
from ..runs.place import Place
from .footprints import Footprints, Gatherer

MOST = 20
"""Plans that are told one by one; most runs have one."""
_SKY = ["s_ra", "s_dec", "s_region", "dropped"]
Group = tuple[str, str, int, int]
"""Instrument, filter, files and bytes."""


@dataclass(frozen=True)
class PlanTold:
    """One plan, as it says of itself."""

    name: str
    query: dict[str, Any] | None
    """None where files were named without a plan."""
    made: str
    files: int
    bytes: int


@dataclass(frozen=True)
class Asked:
    """What run.json and the plans hold."""

    about: dict[str, Any]
    plans: list[PlanTold]
    """The first MOST."""
    number: int
    """Plans that there are."""
    dropped: list[tuple[str, str, int]]
    """Reason, its meaning, and the files that no plan kept for it."""
    groups: list[Group]
    """Of planned files whose instrument is known, the most frequent first."""
    footprints: Footprints


def read(place: Place, run: str, about: dict[str, Any]) -> Asked:
    """Reads the plans of a run, one at a time. A file in two plans counts in both."""
    keys = planned.keys(place, run)
    plans: list[PlanTold] = []
    dropped: Counter[str] = Counter()
    groups: dict[tuple[str, str], tuple[int, int]] = {}
    sky = Gatherer()
    for number, key in enumerate(keys):
        body = place.get(key)
        if body is None:
            continue
        try:
            with pq.ParquetFile(pa.BufferReader(body)) as file:
                told = json.loads((file.schema_arrow.metadata or {}).get(b"skyfan", b"{}"))
                for batch in file.iter_batches(columns=[*_SKY, "instrument_name", "filters", "size"]):
                    kept = batch.filter(pc.is_null(batch["dropped"]))
                    sky.add(kept)
                    _count(groups, kept)
        except (pa.ArrowException, ValueError) as error:
            raise InputError(f"{place.uri(key)} is no plan: {str(error).splitlines()[0]}") from error
        dropped.update(told.get("dropped", {}))
        if number < MOST:
            plans.append(
                PlanTold(
                    key.rpartition("/")[2].removesuffix(".parquet"),
                    told.get("query"),
                    str(told.get("made", "")),
                    int(told.get("files", 0)),
                    int(told.get("bytes", 0)),
                )
            )
    return Asked(
        about,
        plans,
        len(keys),
        [(reason, DROPS.get(reason, ""), number) for reason, number in dropped.most_common()],
        sorted(((*key, *sums) for key, sums in groups.items()), key=lambda row: (-row[2], row)),
        sky.finish(),
    )


def _count(groups: dict[tuple[str, str], tuple[int, int]], batch: pa.RecordBatch) -> None:
    table = pa.table([batch[name] for name in ("instrument_name", "filters", "size")], ["i", "f", "s"])
    table = table.filter(pc.is_valid(table["i"]))
    sums = table.group_by(["i", "f"]).aggregate([("s", "sum"), ("i", "count")])
    for row in sums.to_pylist():
        key = row["i"], row["f"] or ""
        files, size = groups.get(key, (0, 0))
        groups[key] = files + row["i_count"], size + (row["s_sum"] or 0)
