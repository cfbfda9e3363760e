"""skyfan check: what remains between the images of a run, or of objects, and a reference.

Each image is compared with the reference as two images are compared in a match: a shift on which its stars
agree, fitted with outliers left out. Magnitudes of the common stars then give its zero point.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from .. import extras, plots
from ..catalogs.dataset import DataSet
from ..catalogs.schema import array
from ..errors import UsageError
from ..events import OnProgress
from ..formatting import count, reasons
from ..sky import footprints
from ..tables import Tabular
from . import images as imaging
from . import offsets, references, stars
from .groups import Floats, Indices
from .images import NO_SKY, USED, Images
from .magnitudes import robust, zeropoint
from .overlaps import ROTATION
from .plan import LINKS, stars_path
from .references import Reference, Source
from .schema import CHECKED
from .stars import Places

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COMPARED, NOT_COMPARED = "compared", "not compared"
SIGMAS, LEAST_OFFSET, LEAST_ZEROPOINT = 5.0, 1.0, 0.005
RULE = (
    f"an image stands out if its offset is more than {SIGMAS:g} sigma from the median of all images, or its "
    "zero point from that of its band; sigma adds in squares its own error, the scatter of the images "
    f"(1.4826 times their median absolute deviation) and {LEAST_OFFSET:g} mas or {LEAST_ZEROPOINT} mag"
)
"""Which images are listed."""
_FEWEST = 3
"""Images without which no median says anything of one of them."""
_CHUNK = 200
_F8, _TEXT = pa.float64(), pa.string()


class Pair(NamedTuple):
    """A magnitude of the reference for a filter of images."""

    column: str
    add: float
    """For AB."""
    is_same: bool
    """Whether it is of the same filter, so that no colour comes in."""


@dataclass(frozen=True, repr=False)
class Checked(Tabular):
    """What remains between images and a reference, one row per image, with schema.CHECKED."""

    folder: Path
    kind: str
    """detections, or objects: their positions, which the match has corrected."""
    reference: str
    stars: int
    """Of the reference, where the images are."""
    table: pa.Table
    notes: list[str]
    """What must be known to read the numbers."""

    @property
    def images(self) -> dict[str, int]:
        """Images by state."""
        states = self.table["state"].to_pylist()
        return {state: states.count(state) for state in sorted(set(states))}

    @property
    def standing_out(self) -> pa.Table:
        """The images that stand out."""
        return self.table.filter(pc.not_equal(self.table["stands_out"], ""))

    @property
    def doubts(self) -> bool:
        """Whether an image stands out or was not compared."""
        return set(self.images) != {COMPARED} or len(self.standing_out) > 0

    def median(self, column: str, band: str | None = None) -> tuple[float, float, int]:
        """Median, scatter of images (1.4826 times the median absolute deviation), and their number."""
        table = self.table if band is None else self.table.filter(pc.equal(self.table["band"], band))
        values = table[column].to_numpy()
        values = values[np.isfinite(values)]
        return (*robust(values), len(values)) if len(values) else (np.nan, np.nan, 0)

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """Offsets of the images, those that stand out marked; in new axes, zero points are beside them.

        Raises UsageError if no image was compared.
        """
        if COMPARED not in self.images:
            raise UsageError(f"nothing to plot: no image could be compared with {self.reference}")
        rows = self.table.to_pylist()
        beside = None
        if axes is None and self.median("zeropoint")[2]:
            with extras.needed("plot"):
                from matplotlib import pyplot
            axes, beside = pyplot.subplots(1, 2, layout="constrained", figsize=(10, 4.5))[1]
        axes = plots.axes_or_new(axes)
        plots.marked(axes, *_points(rows, "east", "north", "offset"))
        axes.invert_xaxis()
        axes.set_aspect("equal", adjustable="datalim")
        axes.set(xlabel="east (mas)", ylabel="north (mas)", title=f"{self.reference} less images")
        if beside is not None:
            numbered = [row | {"number": number} for number, row in enumerate(rows)]
            plots.marked(beside, *_points(numbered, "number", "zeropoint", "zero point"))
            beside.set(xlabel="image", ylabel="reference less image (mag)", title="Zero points")
        return axes

    def _table(self) -> pa.Table:
        return self.table

    def _summary(self) -> str:
        return f"{count(len(self.table), 'image')} against {self.reference}: {reasons(self.images)}"


def _points(
    rows: Sequence[dict[str, Any]], x: str, y: str, kind: str
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    known = [row for row in rows if row[y] is not None and np.isfinite(row[y])]
    marked = np.array([kind in row["stands_out"] for row in known], bool)
    return np.array([row[x] for row in known]), np.array([row[y] for row in known]), marked


def check(existing: DataSet, source: Source, magnitude: str, progress: OnProgress) -> Checked:
    """Compares the images of a data set, or of the catalog of objects that is below a folder of a match."""
    is_objects = not (existing.folder / "images.parquet").exists()
    folder = existing.folder.parent if is_objects else existing.folder
    rows = pq.read_table(folder / "images.parquet")
    found, table = imaging.of_tables([rows.drop_columns("run") if is_objects else rows], doubtful=True)
    if is_objects:
        found = replace(found, state=table["match_state"].to_pylist())
    else:
        found = replace(found, state=[NO_SKY if state == NO_SKY else USED for state in found.state])
    used = np.flatnonzero(found.is_used)
    filters = [row or imaging.UNKNOWN for row in table["filter"].to_pylist()]
    pairs = {name: magnitude_for(name, source.names) for name in sorted(set(filters))}
    with TemporaryDirectory(prefix="skyfan-check-") as work:
        paths, places, mjd = _stars(existing, folder, found, magnitude, Path(work), progress, is_objects)
        progress("reading the reference", 0, 0)
        reference = source.read(
            stars.around(found, used), sorted({pair.column for pair in pairs.values() if pair})
        )
        columns = {field.name: np.full(len(found), np.nan) for field in CHECKED if field.type != _TEXT}
        for at in range(0, len(used), _CHUNK):
            numbers = used[at : at + _CHUNK]
            own_stars = stars.rows_of(paths, places.of(numbers))
            wanted = [pairs[filters[number]] for number in numbers.tolist()]
            for name, values in _measured(own_stars, reference, found, numbers, mjd[numbers], wanted).items():
                columns[name][numbers] = values
            progress("comparing with the reference", at + len(numbers), len(used))
    is_compared = columns["stars"] > 0
    state = [COMPARED if yes else NO_SKY if each == NO_SKY else NOT_COMPARED
             for yes, each in zip(is_compared.tolist(), found.state, strict=True)]  # fmt: skip
    bands = np.array([found.bands[number] for number in found.band])
    texts = {
        "uri": found.uri.to_pylist(), "band": bands.tolist(), "state": state,
        "magnitude": [pair.column if (pair := pairs[name]) else None for name in filters],
        "stands_out": _standing_out(columns, bands),
    }  # fmt: skip
    columns["stars"] = np.nan_to_num(columns["stars"])
    columns["mag_stars"] = np.nan_to_num(columns["mag_stars"])
    arrays = [
        pa.array(texts[field.name], _TEXT)
        if field.type == _TEXT
        else array(columns[field.name], _F8).cast(field.type)
        for field in CHECKED
    ]
    result = pa.table(arrays, schema=pa.schema(CHECKED))
    if is_objects:  # images that the match left out have no objects
        result = result.filter(pa.array(found.is_used))
    notes = [*reference.notes, *_notes(pairs, filters, mjd, used)]
    return Checked(
        folder, "objects" if is_objects else "detections", source.name, len(reference.key), result, notes
    )


def magnitude_for(name: str, columns: Sequence[str]) -> Pair | None:
    """The column of a reference for a filter: one that ends in its name, else the one of references.toml."""
    for column in columns:
        head, end = column[: -len(name)].upper(), column[-len(name) :].upper()
        if end == name.upper() and (head in ("", "MAG_") or (head.startswith("MAG_") and head.endswith("_"))):
            return Pair(column, 0.0, is_same=True)
    lower = {column.lower(): column for column in columns}
    for each in references.known()["magnitudes"]:
        if name in each["filters"] and each["column"] in lower:
            return Pair(lower[each["column"]], each["add"], is_same=False)
    return None


def _stars(
    existing: DataSet, folder: Path, found: Images, magnitude: str, work: Path, progress: OnProgress,
    is_objects: bool,
) -> tuple[dict[int, Path], Places, Floats]:  # fmt: skip
    """Writes the stars of all images; also the MJD (n,) at which their positions hold."""
    parts, paths = [], {}
    total, weight = np.zeros(len(found)), np.zeros(len(found))
    every = existing.partitions
    for number, part in enumerate(every):
        if is_objects:
            rows, mjd = _of_objects(folder, part.path, found)
            total += np.bincount(rows["image"], mjd, len(found))
            weight += np.bincount(rows["image"], minlength=len(found))
        else:
            rows = stars.of_partition(folder, 0, part.start, part.stop, found, magnitude)
        paths[number] = stars_path(work, number)
        parts.append(stars.write(rows, paths[number]))
        progress("reading stars", number + 1, len(every))
    with np.errstate(invalid="ignore"):
        return paths, Places.joined(parts), total / weight if is_objects else found.mjd


def _of_objects(folder: Path, path: str, found: Images) -> tuple[NDArray[np.void], Floats]:
    """Rows of stars.ROW of the detections of a partition, at the places of their objects, and the MJD of
    these places.
    """
    names = ["OBJECT_ID", "ALPHA_J2000", "DELTA_J2000", "SOURCE_ID", "IMAGE", "MAG", "MAGERR", "USED"]
    links = pq.read_table(folder / LINKS / path, columns=names, partitioning=None)
    about = pq.read_table(
        folder / "objects" / path, columns=["OBJECT_ID", "POSERR", "EPOCH", "CROWDED"], partitioning=None
    ).sort_by("OBJECT_ID")
    own = np.flatnonzero(found.is_used)
    at = pc.index_in(links["IMAGE"], value_set=found.uri.take(pa.array(own)))
    thing = np.searchsorted(about["OBJECT_ID"].to_numpy(), links["OBJECT_ID"].to_numpy())
    crowded = about["CROWDED"].to_numpy(zero_copy_only=False)[thing]
    kept = np.flatnonzero(links["USED"].to_numpy(zero_copy_only=False) & ~crowded)
    rows = np.empty(len(kept), stars.ROW)
    rows["image"] = own[at.to_numpy()[kept]]
    rows["ident"] = links["SOURCE_ID"].to_numpy()[kept]
    rows["xyz"] = footprints.vectors(*(links[name].to_numpy()[kept] for name in names[1:3]))
    rows["sigma"] = about["POSERR"].to_numpy()[thing[kept]] / 1000
    for name, column in (("mag", "MAG"), ("error", "MAGERR")):
        rows[name] = links[column].to_numpy(zero_copy_only=False)[kept]
    return rows, about["EPOCH"].to_numpy(zero_copy_only=False)[thing[kept]].astype(np.float64)


def _measured(
    rows: NDArray[np.void], reference: Reference, found: Images, numbers: Indices, mjd: Floats,
    pairs: Sequence[Pair | None],
) -> dict[str, Floats]:  # fmt: skip
    """The columns of numbers for some images (m,); NaN where one was not compared."""
    near = stars.near(reference, found, numbers)
    years = references.years(mjd).tolist()
    others = [reference.at(each, year) for each, year in zip(near, years, strict=True)]
    own = stars.of_rows(rows, len(numbers))
    ties = stars.ties(own, others)
    solution = offsets.own(ties.matrix, ties.vector)
    centre = found.centre[numbers]
    along = centre[:, :, None] * centre[:, None, :]
    inverse = np.linalg.inv(ties.matrix + along / ROTATION**2 + 1e-9 * np.eye(3))
    error = np.sqrt((inverse * (np.eye(3) - along)).sum(axis=(1, 2)) / 2)
    east, north, turn = offsets.shifts(solution, centre)
    columns = {"east": east * 1000, "north": north * 1000, "turn": turn, "error": error * 1000,
               "scatter": ties.scatter * 1000, "stars": ties.stars.astype(np.float64)}  # fmt: skip
    for values in columns.values():
        values[~ties.is_solved] = np.nan
    names = ("mag_stars", "zeropoint", "zeropoint_error", "zeropoint_scatter")
    columns |= {name: np.full(len(numbers), np.nan) for name in names}
    for n in np.flatnonzero(ties.is_solved).tolist():
        if (pair := pairs[n]) is None or not len(near[n]):
            continue
        mine = rows[own.start[n] : own.start[n + 1]]
        moved = offsets.corrected(mine["xyz"], np.broadcast_to(solution[n], (len(mine), 3)))
        mags = reference.magnitudes[pair.column][near[n]] + pair.add
        found_one = zeropoint(moved, mine["mag"], mine["error"], others[n][0], mags)
        for name, value in zip(names, found_one, strict=True):
            columns[name][n] = value
    return columns


def _standing_out(columns: dict[str, Floats], bands: NDArray[np.str_]) -> list[str]:
    """For each image what stands out, by RULE."""
    place = np.column_stack([columns["east"], columns["north"]])
    offset = _outliers(place, columns["error"], LEAST_OFFSET)
    zeropoint = np.zeros(len(bands), bool)
    for band in np.unique(bands):
        own = np.flatnonzero(bands == band)
        values, errors = columns["zeropoint"][own, None], columns["zeropoint_error"][own]
        zeropoint[own] = _outliers(values, errors, LEAST_ZEROPOINT)
    kinds = (("offset", offset), ("zero point", zeropoint))
    return [", ".join(name for name, which in kinds if which[n]) for n in range(len(bands))]


def _outliers(values: Floats, errors: Floats, least: float) -> NDArray[np.bool_]:
    """Which of values (n, k) with errors per axis (n,) are far from their median; none of too few."""
    known = np.flatnonzero(np.isfinite(values).all(axis=1))
    result = np.zeros(len(values), bool)
    if len(known) >= _FEWEST:
        middle, scatter = np.array([robust(axis) for axis in values[known].T]).T
        sigma = np.sqrt(errors[known] ** 2 + (scatter**2).mean() + least**2)
        result[known] = np.sqrt(((values[known] - middle) ** 2).sum(axis=1)) > SIGMAS * sigma
    return result


def _notes(pairs: dict[str, Pair | None], filters: list[str], mjd: Floats, used: Indices) -> Iterator[str]:
    own = [filters[number] for number in used.tolist()]
    for name, pair in pairs.items():
        if pair is None and name in own:
            yield f"it has no magnitude near {name}: no zero points of {count(own.count(name), 'image')}"
        elif pair and not pair.is_same:
            added = f" + {pair.add:.3f} (AB)" if pair.add else ""
            yield (
                f"{name} is compared with {pair.column}{added}, another filter: zero points contain the mean "
                "colour term of the stars, so compare images with each other, and do not calibrate with them"
            )
    yield from references.timeless(mjd[used])
    if len(used) < _FEWEST:
        yield f"with fewer than {_FEWEST} images none can stand out"
