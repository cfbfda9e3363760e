"""From the detections in a tile and its margin to the objects in the tile and their links."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..catalogs.dataset import Partition
from ..catalogs.schema import HEALPIX, array
from ..sky import footprints
from . import detections as detecting
from . import groups, limits, magnitudes, schema, tiles
from .detections import Detections
from .groups import ARCSEC, Floats, Indices
from .images import Images
from .limits import Outlines
from .tiles import Empty


@dataclass(frozen=True)
class Where:
    """The piece of the sky that is matched."""

    tile: Partition
    ring: int
    """Order of the pixels around it, whose detections are known too."""
    empty: Empty
    """Tiles without detections, into which an object of this one can have moved."""

    def has(self, keys: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether keys (n,) are in the tile."""
        return (keys >= self.tile.start) & (keys < self.tile.stop)


class NarrowMarginError(Exception):
    """A group of friends reaches from the tile to the end of what is known around it."""


@dataclass(frozen=True)
class _Places:
    """Mean positions of objects (n,)."""

    xyz: Floats
    weight: Floats
    """Sum of 1/arcsec**2."""
    chi2: Floats
    epoch: Floats
    used: Indices
    """Detections that count."""


def match(found: Detections, where: Where, images: Images, chips: Outlines) -> tuple[pa.Table, pa.Table]:
    """The objects that belong to the tile, and the links of their detections, both sorted by key.

    Raises NarrowMarginError if an object can have detections that are not among those that were `found`.
    """
    label, is_split = groups.group(found.xyz, found.sigma, images.scale[found.image], found.exposure)
    count = int(label.max(initial=-1)) + 1
    places = _places(found, label, count)
    keys = detecting.keys(places.xyz)
    first = _earliest(found, label)
    is_here = where.has(keys) | (where.empty.has(keys) & where.has(found.key[first]))
    _check_margin(found, label, is_here, where)
    chosen = np.flatnonzero(is_here)
    number = np.full(count, -1)
    ident = found.ident[first]
    order = chosen[np.lexsort((ident[chosen], keys[chosen]))]
    number[order] = np.arange(len(order))
    rows = np.flatnonzero(is_here[label])
    some, thing = found.take(rows), number[label[rows]]
    by_time = np.lexsort((some.ident, some.mjd, thing))
    some, thing, rows = some.take(by_time), thing[by_time], rows[by_time]
    about = {
        HEALPIX: keys[order],
        "OBJECT_ID": ident[order],
        **dict(zip(schema.POSITION, footprints.angles(places.xyz[order]), strict=True)),
    }
    objects = about | {
        "POSERR": 1000 / np.sqrt(places.weight[order]),
        "POSCHI2": np.where(places.used[order] > 1, places.chi2[order], np.nan),
        "EPOCH": places.epoch[order],
        "N_USED": places.used[order],
        "CROWDED": is_split[first][order],
    }
    objects |= _spans(some, thing, len(order))
    objects |= _bands(some, thing, places.xyz[order], images, chips)
    links = {name: values[thing] for name, values in about.items()} | {
        "SOURCE_ID": some.ident,
        "IMAGE": images.uri.take(pa.array(some.image)),
        "BAND": pa.array(images.bands, pa.string()).take(pa.array(images.band[some.image])),
        "MJD": some.mjd,
        "SEPARATION": groups.distance(some.xyz, places.xyz[order][thing]) * 1000,
        "MAG": some.mag,
        "MAGERR": some.error,
        "FLAGS": some.flags,
        "USED": some.is_fit,
    }
    longest = max((len(uri) for uri in images.uri.to_pylist()), default=1)
    return _table(objects, schema.of_objects(images.bands)), _table(links, schema.of_links(max(longest, 32)))


def _places(found: Detections, label: Indices, count: int) -> _Places:
    """Means weighted by errors, of detections that count; of all where an object has none of these.

    Sums run in the order of the detections, so that they do not depend on what else was found.
    """
    used = np.bincount(label, found.is_fit, count).astype(np.intp)
    counts = found.is_fit | (used[label] == 0)
    weight = np.where(counts, 1 / found.sigma**2, 0.0)
    total: Floats = np.bincount(label, weight, count).astype(np.float64)
    _, first = np.unique(label, return_index=True)
    origin = found.xyz[first]
    away = (found.xyz - origin[label]) / ARCSEC
    mean = np.stack([np.bincount(label, weight * away[:, axis], count) / total for axis in range(3)], axis=1)
    around = away - mean[label]
    chi2: Floats = np.bincount(label, weight * (around**2).sum(axis=1), count).astype(np.float64)
    has_time = np.isfinite(found.mjd)
    timed = np.bincount(label, weight * has_time, count)
    with np.errstate(invalid="ignore", divide="ignore"):
        epoch = np.bincount(label, weight * np.where(has_time, found.mjd, 0.0), count) / timed
    xyz = origin + mean * ARCSEC
    xyz /= np.sqrt(xyz[:, 0] ** 2 + xyz[:, 1] ** 2 + xyz[:, 2] ** 2)[:, None]
    return _Places(xyz, total, chi2, epoch, used)


def _check_margin(found: Detections, label: Indices, is_here: NDArray[np.bool_], where: Where) -> None:
    keys = detecting.keys(found.xyz)
    touches = where.has(keys)
    concerned = is_here.copy()
    concerned[label[touches]] = True
    outside = concerned[label] & ~touches
    if outside.any() and not tiles.is_near(where.tile, where.ring, keys[outside]).all():
        raise NarrowMarginError


def _earliest(found: Detections, label: Indices) -> Indices:
    """The row of the earliest detection of each object, of equally early ones that of the smallest
    SOURCE_ID.
    """
    order = np.lexsort((found.ident, found.mjd, label))
    _, first = np.unique(label[order], return_index=True)
    rows: Indices = order[first]
    return rows


def _spans(some: Detections, thing: Indices, count: int) -> dict[str, NDArray[Any]]:
    flags = np.zeros(count, np.int16)
    np.bitwise_or.at(flags, thing, some.flags)
    first, last = np.full(count, np.inf), np.full(count, -np.inf)
    np.fmin.at(first, thing, some.mjd)
    np.fmax.at(last, thing, some.mjd)
    return {
        "FLAGS": flags,
        "MJD_MIN": np.where(np.isfinite(first), first, np.nan),
        "MJD_MAX": np.where(np.isfinite(last), last, np.nan),
        "N_DET": np.bincount(thing, minlength=count),
    }


def _bands(
    some: Detections, thing: Indices, xyz: Floats, images: Images, chips: Outlines
) -> dict[str, NDArray[Any]]:
    """The columns per band; `some` are sorted by object and time."""
    count = len(xyz)
    covered, chip = limits.covered(chips, xyz)
    seen = thing.astype(np.int64) * len(images) + some.image
    with np.errstate(invalid="ignore"):
        is_measured = some.is_fit & np.isfinite(some.mag) & (some.error > 0) & np.isfinite(some.error)
    columns: dict[str, NDArray[Any]] = {"N_COVER": np.zeros(count, np.intp)}
    for number, band in enumerate(images.bands):
        rows = np.flatnonzero(is_measured & (images.band[some.image] == number))
        light = magnitudes.light(thing[rows], some.mjd[rows], some.mag[rows], some.error[rows], count)
        own = images.band[chips.image[chip]] == number
        sees = np.unique(seen[images.band[some.image] == number])
        cover, limit = limits.limits(covered[own], chip[own], chips, sees, count, len(images))
        columns["N_COVER"] = columns["N_COVER"] + cover
        values = {
            "N": light.epochs,
            "N_COVER": cover,
            "MAG": light.mag,
            "MAGERR": light.error,
            "MAGRMS": light.scatter,
            "LIMIT": limit,
            "CHI2": light.chi2,
            "PCHI2": light.chance,
            "ETA": light.eta,
            "STETSONJ": light.stetson,
        }
        columns |= {f"{name}_{band}": each for name, each in values.items()}
    return columns


def _table(values: dict[str, Any], columns: pa.Schema) -> pa.Table:
    arrays = []
    for field in columns:
        each = values[field.name]
        if isinstance(each, np.ndarray):
            each = array(each.astype(field.type.to_pandas_dtype()), field.type)
        arrays.append(each.cast(field.type))
    return pa.table(arrays, schema=columns)
