"""skyfan collect: merges the catalogs of a run into one data set of sources and a table of images.

The tables of any other function become rows and inputs instead (see kinds.py). Each table is read once,
several at the same time. Their rows are sorted on disk (see spill.py) until they are written partition by
partition, so that memory is that of one partition (ROWS) and of the tables in flight, plus about 2 kB per
image.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from skyfan_contract import TABLE

from .. import files
from ..errors import UsageError
from ..events import OnProgress, ignore
from ..runs import run as runs
from ..runs import state
from ..runs.judge import STATES
from ..storage.listing import Object
from ..storage.place import Place
from ..storage.uris import Results
from ..workers import Workers
from . import dataset, facts, images, partitions, schema
from .check import NOTHING_THERE, Check
from .collected import Collected
from .dataset import DataSet
from .ids import Ids
from .intake import Intake, input_columns, string_lengths
from .kinds import SOURCES
from .partitions import Job, Sources
from .spill import Spill

ROWS = 1 << 18
"""Maximum sources in a partition; 80 MB of them."""


def collect(
    place: Place,
    run: str,
    folder: Path,
    *,
    good: bool = False,
    rows: int = ROWS,
    workers: Workers | None = None,
    progress: OnProgress = ignore,
) -> Collected:
    """Creates the data set of a run in `folder`, or updates it.

    Reads catalogs that are new or have changed; removes the sources of catalogs that no longer exist. Equal
    catalogs give the same rows in the same partitions, whether in one call or in several. The existing data
    set stays complete until the new one replaces it. With `good`, doubtful images are left out and listed in
    missing.csv. `rows` is the limit of a partition; `workers` write the partitions, else this process does.
    Raises UsageError for a run without catalogs, and for a folder with other contents.
    """
    about = runs.read(place, run)
    if not about["results"].endswith(TABLE):
        raise UsageError(
            f"the function {about.get('function')} of the run {run} makes no tables: its results are "
            f"{about['results']}. A function whose process() returns a Table, and whose Results in "
            f"template.yaml end in {TABLE}, can be collected (functions/runtime/README.md)"
        )
    results = Results.of(about["results"], run)
    folder = Path(os.path.abspath(folder))  # noqa: PTH100  (does not follow links)
    with files.replace_folder(folder) as work:
        collection = _Collection(
            place, run, about["config"], results, folder, work, good, rows, workers, progress
        )
        return collection.update()


@dataclass(frozen=True)
class _Collection:
    """One call of collect()."""

    place: Place
    run: str
    config: dict[str, Any]
    results: Results
    folder: Path
    work: Path
    good: bool
    limit: int
    workers: Workers | None
    progress: OnProgress

    def update(self) -> Collected:
        existing = self._existing()
        listed = self._listed()
        if not listed and existing is None:
            raise UsageError(
                f"the run {self.run} in {self.place.name} has no catalogs yet: see `skyfan status {self.run}`"
            )
        table = existing.images if existing else images.SCHEMA.empty_table()
        is_same = pa.array([_is_same(row, listed) for row in _listing(table)], pa.bool_())
        kept, outdated = table.filter(is_same), table.filter(pc.invert(is_same))
        kept_names = set(kept["catalog"].to_pylist())
        new = {name: item for name, item in listed.items() if name not in kept_names}
        intake = self._read(new, kept, existing)
        if existing and not intake.has_images and not len(outdated):
            return self._result(existing.about, table, intake, existing.folder, 0, 0)
        if intake.columns is None and not intake.left_out:
            raise UsageError(f"the catalogs of the run {self.run} were deleted while they were read")
        if intake.columns is None:
            _, why, _, message = intake.left_out[0]
            cure = f"; `skyfan retry {self.run} --damaged` makes these again" if why == "damaged" else ""
            raise UsageError(
                f"no catalog of the run {self.run} can be used; the first is {why}: {message}{cure}"
            )
        columns = images.schema(intake.kind or SOURCES, facts.known(intake.known))
        kept, read = facts.fitted(kept, columns), intake.table(columns)
        outdated_images = frozenset(outdated["uri"].to_pylist())
        parts = list(partitions.existing_parts(existing, outdated_images)) if existing else []
        kind = intake.kind or SOURCES
        inputs = input_columns(read, kind)
        sources = Sources(intake.spill.chunks, intake.spill.ids, inputs, parts, kind)
        table = pa.concat_tables([kept, read])
        about = self._write(sources, table, intake.columns, existing)
        removed = len(set(outdated["catalog"].to_pylist()) - set(new))
        return self._result(about, table, intake, self.work / "new", len(read), removed)

    def _existing(self) -> DataSet | None:
        """The existing data set, if it can be updated."""
        existing = dataset.find(self.folder)
        if existing is None:
            return None
        place, run = existing.about["place"], existing.about["run"]
        if (place, run) != (self.place.name, self.run):
            raise UsageError(f"{self.folder} holds the run {run} of {place}: choose another folder with --to")
        made = existing.about["format"], existing.about["limit"], existing.about.get("good")
        return existing if made == (dataset.FORMAT, self.limit, self.good) else None

    def _listed(self) -> dict[str, Object]:
        """The catalogs of the run, sorted by name."""
        listed = {}
        for _, item in self.results.list(self.place):
            listed[self._name(item)] = item
            self.progress("listing catalogs", len(listed), 0)
        return dict(sorted(listed.items()))

    def _name(self, item: Object) -> str:
        return item.key.removeprefix(self.results.head)

    def _read(self, new: dict[str, Object], kept: pa.Table, existing: DataSet | None) -> "Intake":
        (self.work / "rows").mkdir()
        columns = existing.schema if existing else None
        ids = Ids()
        for base, sources in zip(kept["source_id"].to_pylist(), kept["sources"].to_pylist(), strict=True):
            ids.keep(base, sources)
        before = next(iter(kept["config"].to_pylist()), "")
        check = Check(self.place, self.run, self.config, before)
        intake = Intake(Spill(self.work / "rows"), check, columns, ids, self.good)
        if existing:
            intake.kind = existing.kind
            intake.known = facts.of_table(kept, images.schema(existing.kind))
        gone = set(new)
        for done, (item, body) in enumerate(self.place.fetch(new.values()), start=1):
            gone.remove(name := self._name(item))
            intake.add(name, self.results.key(item.key) or "", item, body)
            self.progress("reading catalogs", done, len(new))
        intake.flush()
        for name in sorted(gone & self._listed().keys()) if gone else ():  # others were deleted meanwhile
            intake.left_out.append((name, "damaged", "", NOTHING_THERE))
        return intake

    def _write(
        self, sources: Sources, table: pa.Table, columns: pa.Schema, existing: DataSet | None
    ) -> dict[str, Any]:
        """Writes the new data set except for missing.csv; returns what skyfan.json holds."""
        folder = self.work / "new"
        folder.mkdir()
        columns = schema.described(columns, string_lengths(table))
        reuse = existing is not None and columns.equals(existing.schema, check_metadata=True)
        written = []
        job = Job(sources, columns, folder)
        for partition, total in partitions.write_partitions(job, self.limit, self.workers, reuse=reuse):
            written.append(partition)
            self.progress("writing partitions", len(written), total)
        written.sort(key=lambda partition: partition.start)
        unplaced = partitions.write_unplaced(sources, columns, folder, self.limit)
        dataset.write_images(table.sort_by("catalog"), folder)
        about = {
            "run": self.run,
            "place": self.place.name,
            "limit": self.limit,
            "good": self.good,
            "images": len(table),
            "sources": sum(partition.rows for partition in written),
            "unplaced": unplaced,
            "partitions": len(written),
        }
        dataset.write_metadata(folder, written, columns, about)
        shutil.rmtree(self.work / "rows")
        return about

    def _missing(self, intake: "Intake") -> Iterator[tuple[str, str, str, str]]:
        """File, state, error and message of each file of the run that is not in the data set."""
        yield from intake.left_out
        others = (name for name in STATES if name not in {"done", "damaged"})
        for file in state.read(self.place, self.run).files(*others):
            error = (file.failure.error_type, file.failure.message) if file.failure else ("", "")
            yield file.uri, file.state, *error

    def _result(
        self, about: dict[str, Any], table: pa.Table, intake: "Intake", folder: Path, read: int, removed: int
    ) -> Collected:
        """Writes missing.csv into `folder` and sums up."""
        left_out = dataset.write_missing(self._missing(intake), folder)
        counts = {name: int(about[name]) for name in ("images", "sources", "unplaced", "partitions")}
        doubtful, doubts = images.doubtful(table)
        return Collected(
            self.folder,
            about["run"],
            **counts,
            read=read,
            removed=removed,
            doubtful=doubtful,
            doubts=doubts,
            left_out=left_out,
            damaged={name: why for name, state, _, why in intake.left_out if state == "damaged"},
        )


def _listing(table: pa.Table) -> Iterator[tuple[str, int, float, str]]:
    """Name, size, time and ETag of the catalog of each image."""
    names = ("catalog", "catalog_size", "catalog_modified", "catalog_etag")
    yield from zip(*(table[name].to_pylist() for name in names), strict=True)


def _is_same(row: tuple[str, int, float, str], listed: dict[str, Object]) -> bool:
    """Whether the catalog still exists and has not changed."""
    name, *before = row
    item = listed.get(name)
    return item is not None and [item.size, item.modified, item.etag] == before
