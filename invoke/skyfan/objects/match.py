"""skyfan match: from the detections of runs to objects.

Offsets of images come first, then the sky is matched tile by tile. What a tile gives depends on nothing but
its detections, so that any division of the sky and any order gives the same objects. Pieces that are done are
kept beside the result until it is complete; a later call with the same inputs and settings goes on from them.
"""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .. import files
from ..catalogs import dataset, partitions
from ..catalogs.dataset import Partition
from ..events import OnProgress, ignore
from ..workers import Workers
from . import groups, images, inputs, limits, offsets, output, plan, references, stars, tiles
from .groups import Indices
from .images import Images
from .inputs import Input
from .matched import Matched
from .offsets import Offsets
from .overlaps import Overlaps
from .plan import Plan
from .references import Source
from .stars import Places
from .tiles import Empty

MAGNITUDE = "MAG_TOTAL"
LIMIT = 1 << 18
"""Detections in a tile, where it is not smaller than its margin; 250 MB of memory for them."""
_PAIRS = 1000
"""Pairs of images per piece."""
_IMAGES = 200
"""Images per piece that compares them with the reference."""
_SLACK = 0.5
"""Arcseconds added to the margin."""


@dataclass(frozen=True)
class Settings:
    """What decides about the result."""

    magnitude: str = MAGNITUDE
    doubtful: bool = False
    limit: int = LIMIT
    reference: str | None = None
    """Name of the catalog that positions are tied to, see references.py."""
    access: str = "anonymous"
    """How it is read from S3."""


def match(
    data_sets: list[Input], folder: Path, settings: Settings, workers: Workers, progress: OnProgress = ignore
) -> Matched:
    """Matches data sets and writes the objects to `folder`.

    The existing result stays complete until the new one replaces it. Raises UsageError for data sets that
    cannot be matched, and for a folder with other contents.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100  (does not follow links)
    with files.replace_folder(folder) as work:
        existing = output.find(folder)
        inputs.check(data_sets, settings.magnitude)
        source = Source(settings.reference, settings.access) if settings.reference else None
        digest = _digest(data_sets, settings, source)
        if existing and existing["digest"] == digest:
            return output.summary(folder, existing, is_new=False)
        parts = _parts(folder, digest)
        matching = _Matching(data_sets, settings, source, parts, digest, workers, progress)
        about = matching.run(work / "new")
        done = output.summary(folder, about, is_new=True)
    shutil.rmtree(parts)
    return done


def _digest(data_sets: list[Input], settings: Settings, source: Source | None) -> str:
    """Of inputs, reference and settings, and of the version that matches."""
    about = [[data_set.name, str(data_set.folder), data_set.digest] for data_set in data_sets]
    whole = [version("skyfan"), dataset.OBJECTS_FORMAT, vars(settings), about, source and source.digest]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:16]


def _parts(folder: Path, digest: str) -> Path:
    """Where pieces are kept; those of other inputs or settings are removed."""
    for other in folder.parent.glob(f".{folder.name}.match-*"):
        if other.name != f".{folder.name}.match-{digest}":
            shutil.rmtree(other)
    parts = folder.with_name(f".{folder.name}.match-{digest}")
    parts.mkdir(exist_ok=True)
    return parts


@dataclass(frozen=True)
class _Matching:
    """One call of match()."""

    data_sets: list[Input]
    settings: Settings
    source: Source | None
    parts: Path
    digest: str
    workers: Workers
    progress: OnProgress

    def run(self, new: Path) -> dict[str, Any]:
        """Writes the result to the folder `new`; returns what its skyfan.json holds."""
        found, table = images.of_tables(
            [each.images for each in self.data_sets], doubtful=self.settings.doubtful
        )
        inputs.check_ids(found, table, self.data_sets)
        solved, pairs, tied = self._offsets(found, table)
        found = found.corrected(solved.vector)
        used = np.flatnonzero(found.is_used)
        chips = limits.outlines(
            table["s_region"].take(pa.array(used)).to_pylist(),
            table["chip_depth"].take(pa.array(used)).to_pylist(),
            found.scale[used],
            found.vector[used],
            used,
        )
        ring = tiles.ring_order(self._margin(found, used))
        folders = {n: each.folder for n, each in enumerate(self.data_sets)}
        every = tiles.split(self._count_below(), self.settings.limit, ring)
        empty = Empty.of(every)
        plan.write(Plan(folders, self.settings.magnitude, found, chips, ring, empty), self.parts, plan.PLAN)
        self._tiles([tile for tile in every if tile.rows])
        rows = output.image_table(table, found, solved, pairs, tied, [each.name for each in self.data_sets])
        about = {"digest": self.digest, "runs": [each.name for each in self.data_sets], **vars(self.settings)}
        about["notes"] = tied.notes if tied else []
        return output.assemble(self.parts, new, every, rows, found, about)

    def _margin(self, found: Images, used: Indices) -> float:
        """Arcseconds from a tile to the farthest detection that matters: a link and the largest offsets."""
        shift = np.sqrt((found.vector**2).sum(axis=1)).max(initial=0.0)
        return groups.reach(float(found.scale[used].max(initial=0.0))) + float(shift) + _SLACK

    def _offsets(self, found: Images, table: pa.Table) -> tuple[Offsets, Indices, output.Tied | None]:
        """The corrections of all images, the pairs of images that were compared, and what is known of the
        reference.
        """
        used = np.flatnonzero(found.is_used)
        pairs = offsets.partners(found.centre[used], found.radius[used])
        held = np.where(np.array(table["gaia"].to_pylist())[used] == "yes", offsets.GAIA, np.inf)
        done = self.parts / "overlaps.pickle"
        if not done.exists():
            plan.write(self._shifts(found, pairs, used), self.parts, done.name)
        shifts, ties, tied = plan.read(self.parts, done.name, self.digest)
        if ties:
            held[:] = np.inf  # the reference says more than a header that mentions one
        solved = offsets.solve(found.centre[used], pairs, shifts, held, ties).among(used, len(found))
        return solved, used[pairs], tied

    def _shifts(
        self, found: Images, pairs: Indices, used: Indices
    ) -> tuple[Overlaps, Overlaps | None, output.Tied | None]:
        """Of pairs of the images (n,) that are used, and of each of these with the reference."""
        folders = {n: each.folder for n, each in enumerate(self.data_sets)}
        plan.write(Plan(folders, "", found, limits.NONE, 0, Empty.of(())), self.parts, plan.FIRST)
        parts = [(n, part) for n, each in enumerate(self.data_sets) for part in each.existing.partitions]
        calls = [
            (self.parts, self.digest, n, part.start, part.stop, file) for file, (n, part) in enumerate(parts)
        ]
        places = Places.joined(self._map("reading stars", plan.find_stars, calls))
        chunks = []
        for at in range(0, len(pairs), _PAIRS):
            numbers, local = np.unique(used[pairs[at : at + _PAIRS]], return_inverse=True)
            chunks.append((self.parts, self.digest, local.reshape(-1, 2), places.of(numbers), len(numbers)))
        shifts = Overlaps.joined(self._map("comparing images", plan.find_shifts, chunks))
        ties, tied = self._ties(found, used, places) if self.source else (None, None)
        for file in range(len(calls)):
            plan.stars_path(self.parts, file).unlink()
        return shifts, ties, tied

    def _ties(self, found: Images, used: Indices, places: Places) -> tuple[Overlaps, output.Tied]:
        """What the images (n,) that are used say of the reference."""
        assert self.source is not None
        self.progress("reading the reference", 0, 0)
        reference = self.source.read(stars.around(found, used))
        plan.write(reference, self.parts, plan.REFERENCE)
        chunks = [used[at : at + _IMAGES] for at in range(0, len(used), _IMAGES)]
        calls = [(self.parts, self.digest, numbers, places.of(numbers)) for numbers in chunks]
        ties = Overlaps.joined(self._map("comparing with the reference", plan.find_ties, calls))
        scatter = np.full(len(found), np.nan)
        scatter[used] = np.where(ties.is_solved, ties.scatter, np.nan)
        return ties, output.Tied(
            self.source.name,
            len(reference.key),
            [*reference.notes, *references.timeless(found.mjd[used])],
            scatter,
        )

    def _count_below(self) -> tiles.CountBelow:
        parts = [
            part for each in self.data_sets for part in partitions.existing_parts(each.existing, frozenset())
        ]

        def below(edges: tiles.Keys) -> tiles.Keys:
            total = np.zeros(len(edges), np.int64)
            for part in parts:
                if part.partition:
                    total += part.count_below(edges)
            return total

        return below

    def _tiles(self, every: list[Partition]) -> None:
        """Matches all tiles but those that an earlier call has done."""
        done = output.done_tiles(self.parts)
        waiting = [tile for tile in every if tile not in done]
        calls = [(self.parts, self.digest, tile) for tile in waiting]
        for at, (number, _) in enumerate(self.workers.map(plan.match_tile, calls), start=1):
            output.mark_done(self.parts, waiting[number])
            self.progress("matching tiles", len(every) - len(waiting) + at, len(every))

    def _map(self, stage: str, function: Any, calls: list[tuple[Any, ...]]) -> list[Any]:
        """Results in the order of the calls."""
        results: list[Any] = [None] * len(calls)
        for at, (number, result) in enumerate(self.workers.map(function, calls), start=1):
            results[number] = result
            self.progress(stage, at, len(calls))
        return results
