"""What every piece of a match must know, on disk: the data sets, the images with their offsets, the
settings.
"""

import pickle
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .. import files
from ..catalogs import dataset
from ..catalogs.dataset import Partition
from ..catalogs.schema import HEALPIX
from . import detections, objects, overlaps, references, stars, tiles
from .groups import Indices
from .images import Images
from .limits import Outlines
from .objects import Where
from .overlaps import Overlaps
from .references import Reference
from .stars import Places
from .tiles import Empty

OBJECTS, LINKS = "objects", "links"
"""Folders of the two catalogs, side by side: HATS takes all below a catalog for its own."""
MOVED = "moved"
"""Objects that belong to a tile, and have moved into one without detections."""
PLAN, FIRST, REFERENCE = "plan.pickle", "first.pickle", "reference.pickle"
"""The plan with offsets and without them, and the stars of the reference."""


@dataclass(frozen=True)
class Plan:
    """All that decides about the objects in a tile."""

    folders: dict[int, Path]
    """Data sets by number."""
    magnitude: str
    images: Images
    chips: Outlines
    ring: int
    """Order of the pixels of the ring around a tile."""
    empty: Empty


def write(value: Any, folder: Path, name: str) -> None:
    """Writes what pieces read."""
    folder.mkdir(parents=True, exist_ok=True)
    with files.replace(folder / name) as part:
        part.write_bytes(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))


@lru_cache(maxsize=2)
def read(folder: Path, name: str, digest: str) -> Any:
    """Reads what write() wrote, once per process and match."""
    del digest
    return pickle.loads((folder / name).read_bytes())


def find_stars(
    folder: Path, digest: str, number: int, start: int, stop: int, file: int
) -> tuple[Indices, Indices, Indices]:
    """A piece: writes the best stars of the images in a partition of data set `number` to a file."""
    plan: Plan = read(folder, FIRST, digest)
    rows = stars.of_partition(plan.folders[number], number, start, stop, plan.images, plan.magnitude or None)
    return stars.write(rows, stars_path(folder, file))


def read_stars(folder: Path, places: Places) -> NDArray[np.void]:
    """Rows of stars.ROW, by image."""
    paths = {number: stars_path(folder, number) for number in np.unique(places.file).tolist()}
    return stars.rows_of(paths, places)


def find_shifts(folder: Path, digest: str, pairs: Indices, places: Places, count: int) -> Overlaps:
    """A piece: the overlaps of pairs (m, 2) of `count` images, whose stars lie at `places`."""
    del digest
    return overlaps.solve(stars.of_rows(read_stars(folder, places), count), pairs)


def find_ties(folder: Path, digest: str, numbers: Indices, places: Places) -> Overlaps:
    """A piece: the overlaps of images (m,), whose stars lie at `places`, with the reference."""
    plan: Plan = read(folder, FIRST, digest)
    reference: Reference = read(folder, REFERENCE, digest)
    years = references.years(plan.images.mjd[numbers]).tolist()
    near = stars.near(reference, plan.images, numbers)
    others = [reference.at(rows, year) for rows, year in zip(near, years, strict=True)]
    return stars.ties(stars.of_rows(read_stars(folder, places), len(numbers)), others)


def stars_path(folder: Path, file: int) -> Path:
    """The file with the stars of a partition."""
    return folder / f"stars-{file}.bin"


def match_tile(folder: Path, digest: str, tile: Partition) -> None:
    """A piece: writes the objects of a tile and their links below `folder`."""
    plan: Plan = read(folder, PLAN, digest)
    made, links = _matched(plan, tile, plan.ring)
    for table, below in ((links, folder / LINKS), (made, folder)):
        if not len(table):
            continue
        keys = table[HEALPIX].to_numpy()
        low, high = np.searchsorted(keys, [tile.start, tile.stop])
        inside = table.slice(low, high - low)
        if len(inside):
            _write(inside, below / tile.path)
        if len(inside) < len(table):
            moved = pa.concat_tables([table.slice(0, low), table.slice(high)])
            _write(moved, below / MOVED / tile.path)


def _matched(plan: Plan, tile: Partition, ring: int) -> tuple[pa.Table, pa.Table]:
    """Objects and links, with a wider margin where friends reach through it."""
    found = detections.read(plan.folders, tiles.ranges(tile, ring), plan.images, plan.magnitude)
    if not len(found):
        return [], []
    try:
        return objects.match(found, Where(tile, ring, plan.empty), plan.images, plan.chips)
    except objects.NarrowMarginError:
        if ring == 0:
            raise
        return _matched(plan, tile, ring - 1)


def _write(table: pa.Table, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.replace(path) as part:
        dataset.write_partition(table, part)
