"""Catalogs of stars that images are compared with: a table in a file, or a HATS catalog in a folder or on S3.

Columns are found by UCD, then by name (references.toml). Positions are moved to the epoch of an image where
the table has epochs and proper motions; `notes` say what it does not have, and what was left out.
"""

import hashlib
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..catalogs import healpix
from ..catalogs.dataset import Partition
from ..catalogs.schema import HEALPIX
from ..errors import InputError, UsageError
from ..formatting import count
from ..sky import footprints
from ..storage import s3
from . import tiles
from .groups import ARCSEC, Floats, Indices
from .overlaps import dot, tangents

ASSUMED = 0.01
"""Arcseconds: error of a position of a table that has none."""
_YEAR = 365.25
_J2000 = 51544.5
_SUFFIXES = {".parquet": "parquet", ".csv": "csv", ".fits": "fits", ".fit": "fits", ".vot": "votable",
             ".xml": "votable", ".ecsv": "ascii.ecsv"}  # fmt: skip
_SCALES = {
    "deg": 3600.0, "arcsec": 1.0, "mas": 1e-3, "mas/yr": 1e-3, "mas yr-1": 1e-3, "mas.yr**-1": 1e-3,
    "mas / yr": 1e-3, "arcsec/yr": 1.0, "arcsec / yr": 1.0,
}  # fmt: skip
"""Arcseconds, or arcseconds per year."""
ROW = np.dtype(
    [(name, "<f8") for name in ("ra", "dec", "epoch")]
    + [(name, "<f4") for name in ("error", "pm_ra", "pm_dec", "pm_error")]
)
"""Degrees, Julian years; arcseconds and arcseconds per year; pm_ra along the great circle; NaN if unknown."""


class Field(NamedTuple):
    """What a table says of a column."""

    unit: str
    ucd: str


@cache
def known() -> dict[str, Any]:
    """The contents of references.toml."""
    return tomllib.loads(Path(__file__).with_name("references.toml").read_text("utf-8"))


@dataclass(frozen=True)
class Reference:
    """The stars (n,) of a reference in some regions of the sky, in the order of their keys."""

    key: NDArray[np.int64]
    rows: NDArray[np.void]
    """(n,) of ROW."""
    magnitudes: dict[str, Floats]
    """By column, (n,); NaN if unknown."""
    notes: list[str] = field(default_factory=list)

    def near(self, ra: float, dec: float, radius: float) -> Indices:
        """The stars within `radius` of a position, and a few more; all in degrees."""
        return tiles.rows_in(self.key, healpix.circle(ra, dec, radius))

    def at(self, rows: Indices, year: float) -> tuple[Floats, Floats]:
        """Unit vectors (m, 3) of stars at a Julian year, and their errors per axis in arcseconds (m,).

        A star without a proper motion or an epoch, or all of an unknown year, stay where they are.
        """
        some = self.rows[rows]
        xyz = footprints.vectors(some["ra"], some["dec"])
        years = np.nan_to_num(year - some["epoch"])
        east, north = tangents(xyz)
        move = (np.nan_to_num(some["pm_ra"]) * years)[:, None] * east
        move += (np.nan_to_num(some["pm_dec"]) * years)[:, None] * north
        xyz = xyz + move * ARCSEC
        error = np.hypot(some["error"], np.nan_to_num(some["pm_error"]) * years)
        return xyz / np.sqrt(dot(xyz, xyz))[:, None], error.astype(np.float64)


def timeless(mjd: Floats) -> Iterator[str]:
    """What must be known if images of these times (n,) are compared with a reference; NaN is unknown."""
    if unknown := int((~np.isfinite(mjd)).sum()):
        yield f"{count(unknown, 'image')} without a time: compared with it as it was at its own epoch"


class Source:
    """A reference as the user names it; `access` is how S3 is read. Raises UsageError for what is no table of
    stars.
    """

    def __init__(self, name: str, access: str = "anonymous") -> None:
        about = known()["catalogs"].get(name.lower())
        self.name = name
        if about and Path(name).exists():
            raise UsageError(f"{name} is {about['title']}, and a file here: write ./{name} or {about['uri']}")
        place = about["uri"] if about else name
        self._table: _Table
        suffix = Path(place).suffix.lower()
        if place.startswith("s3://") or Path(place).is_dir():
            self._table = _Hats(place, access)
        elif suffix in _SUFFIXES and Path(place).is_file():
            self._table = _File(Path(place), _SUFFIXES[suffix])
        else:
            raise UsageError(
                f"{name} is no reference: name {', '.join(known()['catalogs'])}, a HATS catalog in a "
                f"folder or on s3://, or a file that ends in {', '.join(_SUFFIXES)}"
            )
        self.columns = {role: found for role in known()["columns"] if (found := self._column(role))}
        if missing := [role for role in ("ra", "dec") if role not in self.columns]:
            raise UsageError(
                f"{name} has no column of {' and '.join(missing)}, by UCD or by name; its columns are "
                f"{', '.join(list(self._table.fields)[:20])}"
            )

    @property
    def digest(self) -> str:
        """Changes with the reference."""
        return self._table.digest

    @property
    def names(self) -> list[str]:
        """Its columns."""
        return list(self._table.fields)

    def read(self, ranges: NDArray[np.int64], magnitudes: Sequence[str] = ()) -> Reference:
        """Its stars with HEALPix keys in ranges (n, 2), with these columns of magnitudes."""
        wanted = list(dict.fromkeys([*self.columns.values(), *magnitudes]))
        parts = list(self._table.read(wanted, ranges, (self.columns["ra"], self.columns["dec"])))
        whole = {name: np.concatenate([np.empty(0), *(part[name] for part in parts)]) for name in wanted}
        rows = np.full(len(whole[self.columns["ra"]]), np.nan, ROW)

        def values(role: str) -> Floats:
            if role not in self.columns:
                return np.full(len(rows), np.nan)
            return whole[self.columns[role]] * self._scale(role)

        rows["ra"], rows["dec"] = values("ra") / 3600 % 360, values("dec") / 3600
        rows["epoch"] = self._years(whole[self.columns["epoch"]]) if "epoch" in self.columns else np.nan
        rows["error"] = np.hypot(values("error_ra"), values("error_dec")) / np.sqrt(2)
        rows["pm_ra"], rows["pm_dec"] = values("pm_ra"), values("pm_dec")
        rows["pm_error"] = np.hypot(values("error_pm_ra"), values("error_pm_dec")) / np.sqrt(2)
        keys = healpix.keys(rows["ra"], rows["dec"])
        inside = np.argsort(keys, kind="stable")
        inside = inside[tiles.rows_in(keys[inside], ranges)]
        kept, notes = self._judged(rows[inside])
        inside = inside[kept]
        final = rows[inside]
        final["error"] = np.where(np.isfinite(final["error"]), final["error"], ASSUMED)
        return Reference(keys[inside], final, {name: whole[name][inside] for name in magnitudes}, notes)

    def _judged(self, rows: NDArray[np.void]) -> tuple[NDArray[np.bool_], list[str]]:
        """Which stars are used, and what a user must know of them."""
        has_motion = {"pm_ra", "pm_dec"} <= set(self.columns)
        keep = np.ones(len(rows), bool)
        notes = []
        if "epoch" not in self.columns:
            notes.append("it has no epochs: its positions are taken as those of the time of each image")
        elif not has_motion:
            notes.append("it has no proper motions: its positions are as they were at its own epoch")
        else:
            keep = np.isfinite(rows["pm_ra"]) & np.isfinite(rows["pm_dec"])
            if number := int((~keep).sum()):
                notes.append(f"{count(number, 'star')} of {len(rows):,} without a proper motion: not used")
        if number := int((~np.isfinite(rows["error"][keep])).sum()):
            notes.append(f"{count(number, 'star')} without an error of the position: 10 mas assumed")
        return keep, notes

    def _column(self, role: str) -> str | None:
        about, fields = known()["columns"][role], self._table.fields
        for ucd in about["ucds"]:
            for name, each in fields.items():
                if each.ucd.lower() == ucd:
                    return name
        return next((name for wanted in about["names"] for name in fields if name.lower() == wanted), None)

    def _unit(self, role: str) -> str:
        name = self.columns[role]
        unit = self._table.fields[name].unit or known()["columns"][role]["names"].get(name.lower(), "")
        return str(unit)

    def _scale(self, role: str) -> float:
        unit = self._unit(role)
        if unit not in _SCALES:
            raise UsageError(
                f"{self.name}: the column {self.columns[role]} has the unit {unit or '(none)'}, not one of "
                f"{', '.join(_SCALES)}"
            )
        return _SCALES[unit]

    def _years(self, values: Floats) -> Floats:
        unit = self._unit("epoch")
        if unit not in ("yr", "d"):
            raise UsageError(
                f"{self.name}: the column {self.columns['epoch']} has the unit {unit or '(none)'}, "
                "not yr or d"
            )
        return values if unit == "yr" else years(values)


class _Table:
    """A table of stars."""

    fields: dict[str, Field]
    digest: str

    def read(
        self, names: list[str], ranges: NDArray[np.int64], position: tuple[str, str]
    ) -> Iterator[dict[str, Floats]]:
        """Columns as numbers, NaN if unknown, of all stars with keys in the ranges, and of others."""
        raise NotImplementedError


class _File(_Table):
    """A file, which is read whole."""

    def __init__(self, path: Path, kind: str) -> None:
        with path.open("rb") as file:
            self.digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        try:
            self._table, self.fields = _read_file(path, kind)
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise InputError(f"{path} cannot be read as a table ({error})") from error

    def read(
        self, names: list[str], ranges: NDArray[np.int64], position: tuple[str, str]
    ) -> Iterator[dict[str, Floats]]:
        yield {name: _numbers(self._table[name], name) for name in names}


def _read_file(path: Path, kind: str) -> tuple[pa.Table, dict[str, Field]]:
    if kind in ("parquet", "csv"):
        table = pq.read_table(path, partitioning=None) if kind == "parquet" else pyarrow.csv.read_csv(path)
        return table, _arrow_fields(table.schema)
    from astropy.table import Table

    more = {"unit_parse_strict": "silent"} if kind == "fits" else {}
    read = Table.read(path, format=kind, **more)
    flat = [name for name in read.colnames if read[name].ndim == 1 and read[name].dtype.kind in "iuf"]
    fields = {}
    for number, name in enumerate(read.colnames, start=1):
        ucd = read[name].meta.get("ucd") or read.meta.get(f"TUCD{number}") or ""
        if name in flat:
            fields[name] = Field(str(read[name].unit or ""), str(ucd))
    return pa.table({name: np.ma.filled(read[name].astype(float), np.nan) for name in flat}), fields


class _Hats(_Table):
    """A HATS catalog, of which only what lies in the ranges is read."""

    def __init__(self, place: str, access: str) -> None:
        self._access = access
        self._place = place.rstrip("/")
        about = self._properties("collection.properties")
        if inner := about.get("hats_primary_table_url"):
            self._place += f"/{inner}"
        about = self._properties("hats.properties") or self._properties("properties")
        if not about:
            raise UsageError(f"{place} is no HATS catalog: it has no hats.properties")
        if about.get("hats_npix_suffix", ".parquet") != ".parquet":
            raise UsageError(
                f"{place} keeps partitions in folders, which is not supported: name a file of it"
            )
        info = self._bytes("partition_info.csv")
        table = pyarrow.csv.read_csv(pa.BufferReader(info)).to_pydict()
        self._partitions = [Partition(o, p, 0) for o, p in zip(table["Norder"], table["Npix"], strict=True)]
        self.digest = hashlib.sha256(info + repr(sorted(about.items())).encode()).hexdigest()[:16]
        with self._open(self._partitions[0].path) as file:
            self.fields = _arrow_fields(pq.read_schema(file))

    def _properties(self, name: str) -> dict[str, str]:
        try:
            text = self._bytes(name).decode("utf-8", "replace")
        except FileNotFoundError:
            return {}
        lines = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
        return {key.strip(): value.strip() for key, sign, value in lines if sign}

    def _bytes(self, name: str) -> bytes:
        with self._open(name) as file:
            return bytes(file.read())

    def _open(self, name: str) -> Any:
        if self._place.startswith("s3://"):
            return s3.open_file(f"{self._place}/{name}", self._access)
        return (Path(self._place) / name).open("rb")

    def read(
        self, names: list[str], ranges: NDArray[np.int64], position: tuple[str, str]
    ) -> Iterator[dict[str, Floats]]:
        for part in self._partitions:
            if ((ranges[:, 0] < part.stop) & (ranges[:, 1] > part.start)).any():
                with self._open(part.path) as opened, pq.ParquetFile(opened) as file:
                    for group in _groups(file, ranges):
                        places = file.read_row_group(group, columns=list(position))
                        keys = healpix.keys(*(_numbers(places[name], name) for name in position))
                        order = np.argsort(keys, kind="stable")
                        rows = np.sort(order[tiles.rows_in(keys[order], ranges)])
                        if len(rows):
                            table = file.read_row_group(group, columns=names).take(pa.array(rows))
                            yield {name: _numbers(table[name], name) for name in names}


def _groups(file: pq.ParquetFile, ranges: NDArray[np.int64]) -> Iterator[int]:
    """The row groups that can have keys in the ranges, by their statistics where there are any."""
    names = file.schema.names
    at = names.index(HEALPIX) if HEALPIX in names else None
    for group in range(file.num_row_groups):
        statistics = None if at is None else file.metadata.row_group(group).column(at).statistics
        low, high = (None, None) if statistics is None else (statistics.min, statistics.max)
        if low is None or high is None or ((ranges[:, 0] <= high) & (ranges[:, 1] > low)).any():
            yield group


def _arrow_fields(schema: pa.Schema) -> dict[str, Field]:
    fields = {}
    for each in schema:
        about = {key.decode().lower(): value.decode() for key, value in (each.metadata or {}).items()}
        fields[each.name] = Field(about.get("unit", ""), about.get("ucd", ""))
    return fields


def _numbers(column: pa.ChunkedArray, name: str) -> Floats:
    try:
        values: Floats = column.cast(pa.float64()).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(f"the column {name} of the reference is not of numbers: {error}") from error
    return values


def years(mjd: Floats) -> Floats:
    """Julian years of MJD."""
    return np.asarray(2000 + (mjd - _J2000) / _YEAR, np.float64)
