"""The folder of objects: a HATS catalog of objects, one of links, and the table of images.

objects/dataset/Norder=K/Dir=D/Npix=N.parquet   objects, by HEALPix pixel and sorted by _healpix_29
links/dataset/Norder=K/Dir=D/Npix=N.parquet     one row per detection, in the partition of its object
images.parquet                                  one row per image of the runs: used or not, and its offset
skyfan.json
"""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..catalogs import dataset
from ..catalogs.dataset import Partition
from ..catalogs.schema import HEALPIX, array
from ..errors import InputError, UsageError
from ..files import from_json
from . import offsets, schema
from .groups import Floats, Indices
from .images import REPEATED, UNKNOWN, USED, Images
from .matched import Matched
from .offsets import Offsets
from .plan import LINKS, MOVED, OBJECTS

TIED, BY_OVERLAPS, NOT_TIED = "tied", "by overlaps", "not tied"
"""How an image is tied to the reference."""
_ABOUT = "skyfan.json"
_DONE = "done"
_ORDER = ("OBJECT_ID", "MJD", "SOURCE_ID")


@dataclass(frozen=True)
class Tied:
    """What is known of a reference that positions are tied to."""

    name: str
    stars: int
    """Of the reference, where the images are."""
    notes: list[str]
    scatter: Floats
    """(n,) root mean square per axis of the stars of each image around it in arcseconds; NaN if not tied."""


def find(folder: Path) -> dict[str, Any] | None:
    """What skyfan.json of an existing folder of objects holds; None if the folder is missing or empty.

    Raises UsageError for a folder with other contents.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    try:
        about = from_json((folder / _ABOUT).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{folder} was not made by skyfan match: choose another folder") from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder / _ABOUT} cannot be read ({error}): remove {folder} and match again"
        ) from error
    if not isinstance(about, dict) or about.get("kind") != dataset.OBJECTS:
        raise UsageError(f"{folder} is a data set of a run, not objects: choose another folder")
    return about if about.get("format") == dataset.OBJECTS_FORMAT else {"digest": ""}


def done_tiles(parts: Path) -> set[Partition]:
    """Tiles that an earlier call has matched."""
    try:
        lines = (parts / _DONE).read_text(encoding="utf-8").split("\n")[:-1]
    except FileNotFoundError:
        return set()
    return {Partition(*map(int, line.split())) for line in lines}


def mark_done(parts: Path, tile: Partition) -> None:
    """Notes that the files of a tile are written; half a line of a killed process counts as none."""
    with (parts / _DONE).open("a", encoding="utf-8") as file:
        file.write(f"{tile.order} {tile.pixel} {tile.rows}\n")


def image_table(
    table: pa.Table, found: Images, solved: Offsets, pairs: Indices, tied: Tied | None, runs: list[str]
) -> pa.Table:
    """The table of images of all runs with what match did with each; `pairs` were compared for offsets."""
    centre = np.nan_to_num(found.centre)
    east, north, turn = offsets.shifts(solved.vector, centre)
    compared = np.bincount(pairs.ravel(), minlength=len(found))
    is_tied = solved.stars > 0
    is_solved = (solved.overlaps > 0) | is_tied
    held = (np.array(table["gaia"].to_pylist()) == "yes") & (tied is None)
    state = np.where(is_solved, np.where(held, "held", "solved"), np.where(compared > 0, "unsolved", "alone"))
    state = np.where(is_tied, "tied", state)
    is_used = found.is_used
    anchored = np.where(is_tied, TIED, np.where(solved.is_anchored, BY_OVERLAPS, NOT_TIED))
    rest = offsets.shifts(solved.rest, centre)

    def milliarcsec(values: Any) -> Any:
        return np.where(is_solved, values, np.nan) * 1000

    def of_tied(values: Any) -> Any:
        return np.where(is_tied, values, np.nan) * 1000

    columns: dict[str, Any] = {
        "run": [runs[n] for n in found.run],
        "band": [found.bands[n] for n in found.band],
        "match_state": found.state,
        "match_kept": [
            found.uri[int(k)].as_py() if each == REPEATED else None
            for k, each in zip(found.kept, found.state, strict=True)
        ],
        "offset_state": [each if used else None for each, used in zip(state.tolist(), is_used, strict=True)],
        "offset_east": milliarcsec(east),
        "offset_north": milliarcsec(north),
        "offset_turn": np.where(is_solved, turn, np.nan),
        "offset_error": milliarcsec(solved.error),
        "offset_overlaps": solved.overlaps,
        "offset_rejected": solved.rejected,
        "offset_group": solved.group,
        "reference_state": [
            each if use and tied else None for each, use in zip(anchored.tolist(), is_used, strict=True)
        ],
        "reference_stars": solved.stars,
        "reference_scatter": of_tied(np.nan if tied is None else tied.scatter),
        "reference_east": of_tied(rest[0]),
        "reference_north": of_tied(rest[1]),
    }
    table = table.drop_columns("run")
    for field in schema.IMAGE:
        each = columns[field.name]
        made = (
            pa.array(each, field.type) if isinstance(each, list) else array(each, field.type).cast(field.type)
        )
        table = table.append_column(field, made)
    return table


def assemble(
    parts: Path, new: Path, every: list[Partition], table: pa.Table, found: Images, about: dict[str, Any]
) -> dict[str, Any]:
    """Moves the files of all tiles to the folder `new` and writes all else; returns what skyfan.json
    holds.
    """
    longest = max([32, *(len(uri) for uri in found.uri.to_pylist())])
    columns = {OBJECTS: schema.of_objects(found.bands), LINKS: schema.of_links(longest)}
    counts: dict[str, int] = {}
    for name, source, below in ((OBJECTS, parts, new / OBJECTS), (LINKS, parts / LINKS, new / LINKS)):
        written = _moved_tiles(source, below, every)
        dataset.write_hats(below, written, columns[name], _properties(name))
        counts |= {name: sum(part.rows for part in written), "partitions": len(written)}
    dataset.write_images(table, new)
    unknown = {found.bands[n] for n in found.band[found.is_used] if UNKNOWN in found.bands[n]}
    about = {
        "kind": dataset.OBJECTS,
        **about,
        **counts,
        "unmeasured": _unmeasured(new / LINKS),
        "images": _counted(found.state),
        "bands": found.bands,
        "offsets": _counted(each for each in table["offset_state"].to_pylist() if each),
        "tied": _counted(each for each in table["reference_state"].to_pylist() if each),
        "unknown_bands": sorted(unknown),
        "unidentified": int((found.is_used & ~found.is_identified).sum()),
        "settings": _settings(table),
    }
    (new / _ABOUT).write_text(
        json.dumps({"format": dataset.OBJECTS_FORMAT, **about}, indent=1) + "\n", encoding="utf-8"
    )
    return about


def _unmeasured(links: Path) -> int:
    """Detections without a magnitude, from the statistics of the files."""
    number = 0
    for path in links.rglob("Npix=*.parquet"):
        about = pq.read_metadata(path)
        at = about.schema.names.index("MAG")
        number += sum(
            about.row_group(n).column(at).statistics.null_count for n in range(about.num_row_groups)
        )
    return number


def _moved_tiles(source: Path, below: Path, every: list[Partition]) -> list[Partition]:
    """Moves the files of tiles from a folder into a folder, and writes those of tiles without detections."""
    below.mkdir(parents=True)
    strays = sorted((source / MOVED).rglob("*.parquet"))
    moved = pa.concat_tables([pq.read_table(path, partitioning=None) for path in strays]) if strays else None
    if moved is not None:
        moved = moved.sort_by(
            [(name, "ascending") for name in (HEALPIX, *_ORDER) if name in moved.column_names]
        )
    written = []
    for tile in every:
        path = below / tile.path
        if tile.rows and (source / tile.path).exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            (source / tile.path).rename(path)
        elif moved is not None and not tile.rows:
            low, high = np.searchsorted(moved[HEALPIX].to_numpy(), [tile.start, tile.stop])
            if high > low:
                dataset.write_partition(moved.slice(low, high - low), path)
        if path.exists():
            written.append(Partition(tile.order, tile.pixel, pq.read_metadata(path).num_rows))
    return written


def _properties(name: str) -> dict[str, str]:
    return {
        "obs_collection": name,
        "dataproduct_type": "source" if name == LINKS else "object",
        "hats_col_ra": schema.POSITION[0],
        "hats_col_dec": schema.POSITION[1],
    }


def _counted(states: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for state in states:
        counts[state] = counts.get(state, 0) + 1
    return dict(sorted(counts.items()))


def _settings(table: pa.Table) -> dict[str, list[str]]:
    """Digests of the settings that the catalogs of each run were made with."""
    used = table.filter(pc.equal(table["match_state"], USED))
    pairs = sorted(
        {
            (run, config or "")
            for run, config in zip(used["run"].to_pylist(), used["config"].to_pylist(), strict=True)
        }
    )
    digests: dict[str, list[str]] = {}
    for run, config in pairs:
        digests.setdefault(run, []).append(config)
    return digests


def summary(folder: Path, about: dict[str, Any], *, is_new: bool) -> Matched:
    """What match() returns."""
    known = {field.name: about[field.name] for field in fields(Matched) if field.name in about}
    return Matched(folder=folder, is_new=is_new, **known)
