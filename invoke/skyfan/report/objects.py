"""A folder of objects in numbers: bands, a colour-magnitude diagram, scatter, and what varies most."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..catalogs import dataset
from ..catalogs.dataset import DataSet
from ..errors import InputError, UsageError
from ..events import OnProgress, ignore
from ..objects import output
from ..objects.images import USED
from ..objects.lightcurve import LightCurve, Objects
from ..objects.matched import Matched
from ..pictures import images as pictures
from ..pictures import plain
from ..sky.footprints import FootprintCollector, Footprints
from ..storage import uris
from . import rows
from .distribution import Floats, Grid, grid

CHANCE = 1e-4
"""Probability below which an object counts as variable: that of its most variable band times its bands."""
MAX_LISTED, MAX_CURVES, MAX_MARKED = 50, 12, 2000
"""Variable objects in the table, with a light curve, and marked in charts."""
CUT_ARCSEC, SIDE = 2.5, 150
"""Half the side of a picture of an object, and its side in pixels."""
_LARGEST = 300_000_000
"""Bytes of an image file that is still read for pictures."""
_GRID = (70, 45)
_PLACE = ("ALPHA_J2000", "DELTA_J2000")
_LIGHT = ("N", "MAG", "MAGRMS", "CHI2", "PCHI2", "ETA")
_IMAGES = [
    *("uri", "run", "band", "match_state", "offset_state", "offset_east", "offset_north", "offset_error"),
    *("s_ra", "s_dec", "s_region", "t_min"),
]


@dataclass(frozen=True)
class Band:
    """The objects in one instrument and filter."""

    name: str
    measured: int
    """Objects with a magnitude."""
    repeated: int
    """Those with two epochs or more, of which the scatter is known."""
    variable: int
    """Those of them that vary most in this band."""
    limits: int
    """Objects that it covers and does not see."""
    brightest: float
    median: float
    faintest: float
    """Magnitudes, of a sample if there are many objects."""
    scatter: Grid | None
    """Objects by MAG and the decimal logarithm of MAGRMS in millimagnitudes."""


@dataclass(frozen=True)
class Picture:
    """An object in one image."""

    jpeg: bytes
    image: str
    """URI."""
    mag: float
    mjd: float


@dataclass(frozen=True)
class Variable:
    """An object that varies."""

    ident: int
    ra: float
    dec: float
    band: str
    """In which it is most unlikely to be constant."""
    chance: float
    """That of a constant source in this band, times the number of bands with several epochs."""
    light: dict[str, float]
    """_LIGHT in this band."""
    curve: LightCurve | None = None
    pictures: tuple[Picture, ...] = ()
    """Where it is brightest and faintest, of images on this machine."""


@dataclass(frozen=True)
class Colour:
    """The colour-magnitude diagram."""

    bands: tuple[str, str]
    """The colour is the first less the second."""
    chosen: bool
    """False if they are those with the most objects."""
    cells: Grid | None
    """Objects by colour and magnitude in the second band; None if fewer than two have both."""


@dataclass(frozen=True)
class ObjectStory:
    """All that the page shows."""

    matched: Matched
    bands: list[Band]
    """The one with the most objects first."""
    colour: Colour | None
    """None with a single band."""
    variables: list[Variable]
    """The most unlikely to be constant first, MAX_MARKED at most."""
    variable: int
    """How many there are."""
    repeated: int
    """Objects with several epochs in a band."""
    sampled: int
    """Objects in the charts."""
    places: tuple[Floats, Floats]
    """Right ascension and declination of those, degrees."""
    footprints: Footprints
    """Of the images that are used."""
    images: pa.Table


def read(folder: Path, colour: Sequence[str] | None = None, progress: OnProgress = ignore) -> ObjectStory:
    """Reads a folder of objects; `colour` are two bands, or the ends of their names such as F606W.

    Raises UsageError if there are no objects or a band is unknown, InputError for a damaged folder.
    """
    found = dataset.objects(folder)
    matched = output.summary(folder, found.about, is_new=False)
    bands = matched.bands
    chosen = None if colour is None else (_band(colour[0], bands), _band(colour[1], bands))
    try:
        images = pq.read_table(folder / "images.parquet", columns=_IMAGES)
        progress("reading: objects", 0, 0)
        counts, variables = _scan(found, bands)
        names = [*_PLACE, *(f"{name}_{band}" for band in bands for name in ("MAG", "MAGRMS"))]
        values = dict(zip(names, rows.of_columns(found, names, unplaced=False), strict=True))
    except (OSError, pa.ArrowException, KeyError) as error:
        raise InputError(f"{folder} cannot be read ({error}): remove it and match again") from error
    numbers = sorted(
        (_numbers(band, counts, values) for band in bands), key=lambda band: (-band.measured, band.name)
    )
    most = sorted(band.name for band in numbers[:2])
    pair = chosen or ((most[0], most[1]) if len(most) == 2 else None)
    footprints = FootprintCollector()
    footprints.add(images.filter(pc.equal(images["match_state"], USED)))
    shown = list(_shown(Objects(found), variables[:MAX_CURVES], images, progress))
    return ObjectStory(
        matched=matched,
        bands=numbers,
        colour=_colour(pair, values, chosen=chosen is not None) if pair else None,
        variables=shown + variables[MAX_CURVES:],
        variable=counts["variable"],
        repeated=counts["repeated"],
        sampled=len(values[_PLACE[0]]),
        places=(values[_PLACE[0]], values[_PLACE[1]]),
        footprints=footprints.finish(),
        images=images,
    )


def _band(name: str, bands: list[str]) -> str:
    found = [band for band in bands if band == name] or [band for band in bands if band.endswith(f"_{name}")]
    if len(found) != 1:
        problem = "several bands end in" if found else "no band is named"
        raise UsageError(f"{problem} {name}: choose from {', '.join(bands)}")
    return found[0]


def _scan(found: DataSet, bands: list[str]) -> tuple[dict[str, int], list[Variable]]:
    """Counts of all objects, and the most variable ones, one partition at a time."""
    counts = dict.fromkeys(("variable", "repeated"), 0)
    for band in bands:
        counts |= dict.fromkeys(
            (f"{name}_{band}" for name in ("measured", "repeated", "variable", "limits")), 0
        )
    columns = [f"{name}_{band}" for band in bands for name in (*_LIGHT, "LIMIT")]
    best: list[Variable] = []
    for partition in found.partitions if bands else ():
        table = pq.read_table(
            found.folder / partition.path, columns=["OBJECT_ID", *_PLACE, *columns], partitioning=None
        )
        chance = np.column_stack([_floats(table, f"PCHI2_{band}") for band in bands])
        tested = np.isfinite(chance)
        several = tested.any(axis=1)
        place = np.argmin(np.where(tested, chance, np.inf), axis=1)
        least = chance[np.arange(len(place)), place] * tested.sum(axis=1)
        varies = several & (least < CHANCE)
        counts["variable"] += int(varies.sum())
        counts["repeated"] += int(several.sum())
        for number, band in enumerate(bands):
            counts[f"measured_{band}"] += int((_floats(table, f"N_{band}") > 0).sum())
            counts[f"repeated_{band}"] += int(tested[:, number].sum())
            counts[f"variable_{band}"] += int((varies & (place == number)).sum())
            unseen = ~(_floats(table, f"N_{band}") > 0)
            counts[f"limits_{band}"] += int((unseen & np.isfinite(_floats(table, f"LIMIT_{band}"))).sum())
        best += _variables(table.filter(pa.array(varies)), place[varies], least[varies], bands)
        best = sorted(best, key=_rank)[:MAX_MARKED]
    return counts, best


def _variables(
    table: pa.Table, place: NDArray[np.intp], chance: Floats, bands: list[str]
) -> Iterator[Variable]:
    rows = table.to_pylist()
    for row, number, value in zip(rows, place.tolist(), chance.tolist(), strict=True):
        band = bands[number]
        light = {
            name: float(np.nan if row[f"{name}_{band}"] is None else row[f"{name}_{band}"]) for name in _LIGHT
        }
        ra, dec = (row[name] for name in _PLACE)
        yield Variable(row["OBJECT_ID"], ra, dec, band, value, light)


def _rank(one: Variable) -> tuple[float, float, int]:
    """The least likely first; of those whose chance is too small for a number, the largest CHI2."""
    return one.chance, -one.light["CHI2"] / max(1.0, one.light["N"] - 1), one.ident


def _numbers(band: str, counts: dict[str, int], values: dict[str, Floats]) -> Band:
    mag, scatter = values[f"MAG_{band}"], values[f"MAGRMS_{band}"]
    known = mag[np.isfinite(mag)]
    ends = np.quantile(known, (0, 0.5, 1)) if len(known) else np.full(3, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        level = np.log10(1000 * scatter)
    number = {name: counts[f"{name}_{band}"] for name in ("measured", "repeated", "variable", "limits")}
    brightest, median, faintest = map(float, ends)
    scattered = grid(mag, level, _GRID, from_zero=False)
    return Band(band, **number, brightest=brightest, median=median, faintest=faintest, scatter=scattered)


def _colour(bands: tuple[str, str], values: dict[str, Floats], *, chosen: bool) -> Colour:
    first, second = (values[f"MAG_{band}"] for band in bands)
    return Colour(bands, chosen, grid(first - second, second, _GRID, from_zero=False))


def _shown(
    objects: Objects, variables: list[Variable], images: pa.Table, progress: OnProgress
) -> Iterator[Variable]:
    """The same with their light curves and pictures."""
    offsets = {row["uri"]: row for row in images.select(_IMAGES[:8]).to_pylist()}
    for number, one in enumerate(variables):
        progress("reading: light curves", number, len(variables))
        curve = objects.light_curve(one.ident)
        yield replace(one, curve=curve, pictures=tuple(_pictures(one, curve, offsets)))


def _pictures(one: Variable, curve: LightCurve, offsets: dict[str, dict[str, Any]]) -> Iterator[Picture]:
    """Where it is brightest and faintest in its band."""
    rows = [
        row
        for row in curve.table.to_pylist()
        if row["BAND"] == one.band and row["USED"] and row["MAG"] is not None and row["MJD"] is not None
    ]
    rows = [row for row in rows if _local(row["IMAGE"])]
    if not rows:
        return
    for row in (min(rows, key=lambda row: row["MAG"]), max(rows, key=lambda row: row["MAG"])):
        path = _local(row["IMAGE"])
        about = offsets[row["IMAGE"]]
        east, north = ((about[f"offset_{axis}"] or 0.0) / 3.6e6 for axis in ("east", "north"))
        ra = one.ra - east / max(np.cos(np.radians(one.dec)), 1e-6)
        try:
            exposure = pictures.cut(pictures.load(str(path)), ra, one.dec - north, CUT_ARCSEC / 3600)
        except UsageError:
            continue  # changed since, or without sky coordinates: the light curve is shown without it
        body = io.BytesIO()
        plain.picture(exposure.chips[:1], SIDE).save(body, "JPEG", quality=85)
        yield Picture(body.getvalue(), row["IMAGE"], row["MAG"], row["MJD"])


def _local(uri: str) -> Path | None:
    """The file of an image, if it is on this machine and not too large."""
    path = uris.local_path(uri)
    try:
        return path if path and path.stat().st_size <= _LARGEST else None
    except OSError:
        return None


def _floats(table: pa.Table, name: str) -> Floats:
    values: Floats = table[name].cast(pa.float64()).to_numpy()
    return values
