"""skyfan collect: the catalogs of a run to one data set of sources and a table of images.

Catalogs are read once, many at once, and their rows lie on disk, sorted, until they are written partition by
partition; so memory is that of one partition (ROWS) and of what is read ahead, plus about 2 kB an image.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import UsageError
from ..runs import run as runs
from ..runs.place import Object, Place
from . import images, missing, reading, schema, store, swap, writing
from .gather import Gatherer
from .intake import Intake
from .parts import parts
from .rows import Spill
from .store import Store

ROWS = 1 << 18
"""Sources in a partition at most, some 80 MB of them."""
_SUFFIX = ".cat.fits"

Progress = Callable[[str, int, int], None]
"""Is told what is under way, how much of it is done, and of how much; 0 where nobody knows."""


@dataclass(frozen=True)
class Collected:
    """What a data set holds, and what this call did."""

    folder: Path
    run: str
    images: int
    sources: int
    """With a position."""
    unplaced: int
    """Without one, in unplaced.parquet."""
    partitions: int
    read: int
    """Images whose catalogs were read now; the others were in the data set already."""
    removed: int
    """Images whose catalogs are gone, and so are their sources."""
    left_out: dict[str, int]
    """Files of the run that are not in it, by state: damaged, failed, missing, late, sent…"""

    @property
    def missing_file(self) -> Path:
        """The list of those files, with reasons."""
        return self.folder / missing.NAME


def collect(
    place: Place, run: str, folder: Path, *, rows: int = ROWS, progress: Progress = lambda *_: None
) -> Collected:
    """Makes the data set of a run in `folder`, or brings the one that is there up to date.

    Catalogs that are new or were changed are read; those that are gone take their sources with them. Equal
    catalogs give the same rows in the same partitions, in one call or in many. The old data set stays whole
    until the new one takes its place. `rows` is the limit of a partition. Raises UsageError for a run without
    catalogs, or a folder that holds something else.
    """
    about = runs.read(place, run)
    if not about["results"].endswith(_SUFFIX):
        raise UsageError(f"the run {run} is of {about.get('function')}, which makes no catalogs")
    prefix = about["results"].replace("{run}", run).split("{key}")[0]
    folder = Path(os.path.abspath(folder))  # noqa: PTH100  (links are kept)
    with swap.replacing(folder) as work:
        return _Collection(place, run, prefix, folder, work, rows, progress).make()


@dataclass(frozen=True)
class _Collection:
    place: Place
    run: str
    prefix: str
    folder: Path
    work: Path
    limit: int
    progress: Progress

    def make(self) -> Collected:
        old = self._old()
        listed = self._listed()
        if not listed and old is None:
            raise UsageError(
                f"the run {self.run} in {self.place.name} has no catalogs yet: see `skyfan status {self.run}`"
            )
        there = old.images if old else images.SCHEMA.empty_table()
        is_same = pa.array([_is_same(row, listed) for row in _listing(there)], pa.bool_())
        known, gone = there.filter(is_same), there.filter(pc.invert(is_same))
        names = set(known["catalog"].to_pylist())
        new = {name: item for name, item in listed.items() if name not in names}
        intake = self._read(new, known, old)
        if old and not intake.rows and not len(gone):
            left_out = missing.tell(self.place, self.run, intake.damaged, old.folder)
            return _collected(self.folder, old.about, left_out, 0, 0)
        if intake.known is None:
            raise UsageError(f"no catalog of the run {self.run} can be read: {intake.damaged[0][1]}")
        read = pa.Table.from_batches(intake.rows, images.SCHEMA)
        kept = list(parts(old, frozenset(gone["uri"].to_pylist()))) if old else []
        gatherer = Gatherer(intake.spill.chunks, intake.spill.ids, _of_sources(read), kept)
        about = self._write(gatherer, pa.concat_tables([known, read]), intake.known, old)
        left_out = missing.tell(self.place, self.run, intake.damaged, self.work / "new")
        removed = len(set(gone["catalog"].to_pylist()) - set(new))
        return _collected(self.folder, about, left_out, len(read), removed)

    def _old(self) -> Store | None:
        old = store.find(self.folder)
        if old is None:
            return None
        theirs = old.about["place"], old.about["run"]
        if theirs != (self.place.name, self.run):
            raise UsageError(
                f"{self.folder} holds the run {theirs[1]} of {theirs[0]}: choose another folder with --to"
            )
        return old if (old.about["format"], old.about["limit"]) == (store.FORMAT, self.limit) else None

    def _listed(self) -> dict[str, Object]:
        """The catalogs that there are, by name, in one order."""
        listed = {}
        for item in self.place.list(self.prefix):
            if item.key.endswith(_SUFFIX):
                listed[item.key.removeprefix(self.prefix)] = item
                self.progress("listing catalogs", len(listed), 0)
        return dict(sorted(listed.items()))

    def _read(self, new: dict[str, Object], known: pa.Table, old: Store | None) -> Intake:
        (self.work / "rows").mkdir()
        intake = Intake(Spill(self.work / "rows"), set(known["uri"].to_pylist()), old.schema if old else None)
        found = reading.bodies(self.place, new.values())
        for done, (name, (item, body)) in enumerate(zip(new, found, strict=True), start=1):
            if body is not None:
                intake.add(name, item, body)
            self.progress("reading catalogs", done, len(new))
        intake.flush()
        return intake

    def _write(
        self, gatherer: Gatherer, table: pa.Table, columns: pa.Schema, old: Store | None
    ) -> dict[str, Any]:
        folder = self.work / "new"
        folder.mkdir()
        columns = schema.described(columns, _lengths(table))
        link = old is not None and columns.equals(old.schema, check_metadata=True)
        leaves = []
        for pixel, total in writing.partitions(gatherer, columns, folder, self.limit, link=link):
            leaves.append(pixel)
            self.progress("writing partitions", len(leaves), total)
        unplaced = writing.unplaced(gatherer, columns, folder, self.limit)
        store.write_images(table.sort_by("catalog"), folder)
        about = {
            "run": self.run,
            "place": self.place.name,
            "limit": self.limit,
            "images": len(table),
            "sources": sum(pixel.rows for pixel in leaves),
            "unplaced": unplaced,
            "partitions": len(leaves),
        }
        store.describe(folder, leaves, columns, about)
        shutil.rmtree(self.work / "rows")
        return about


def _collected(
    folder: Path, about: dict[str, Any], left_out: dict[str, int], read: int, removed: int
) -> Collected:
    counts = {name: int(about[name]) for name in ("images", "sources", "unplaced", "partitions")}
    return Collected(folder, about["run"], **counts, read=read, removed=removed, left_out=left_out)


def _listing(table: pa.Table) -> Iterator[tuple[str, int, float]]:
    columns = (table[name].to_pylist() for name in ("catalog", "catalog_size", "catalog_modified"))
    yield from zip(*columns, strict=True)


def _is_same(row: tuple[str, int, float], listed: dict[str, Object]) -> bool:
    name, size, modified = row
    item = listed.get(name)
    return item is not None and (item.size, item.modified) == (size, modified)


def _of_sources(table: pa.Table) -> pa.Table:
    """What of its image a source carries: the columns of schema.FROM_IMAGE."""
    middle = pc.divide(pc.add(table["t_min"], table["t_max"]), 2)
    columns = [table["uri"], table["instrument"], table["filter"], middle, table["flux_unit"]]
    return pa.table(columns, names=[field.name for field in schema.FROM_IMAGE]).combine_chunks()


def _lengths(table: pa.Table) -> dict[str, int]:
    """How long the strings of the sources' columns can be, in steps, so that it seldom changes."""
    names = {"IMAGE": "uri", "INSTRUMENT": "instrument", "FILTER": "filter", "FLUX_UNIT": "flux_unit"}
    longest = {name: pc.max(pc.utf8_length(table[of])).as_py() or 0 for name, of in names.items()}
    return {name: int(np.ceil((length + 1) / 32)) * 32 for name, length in longest.items()}
