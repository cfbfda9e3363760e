"""A made-up survey at the level of collected data sets: known stars, seen by images with known offsets.

The data set is written with skyfan's own code, with the columns that `match` reads.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyfan.catalogs import dataset, healpix, images, kinds, partitions, schema
from skyfan.catalogs.chips import POSITION
from skyfan.catalogs.ids import Ids
from skyfan.objects.groups import ARCSEC
from skyfan.objects.overlaps import tangent
from skyfan.sky import footprints

Floats = NDArray[np.float64]
COLUMNS = {
    schema.HEALPIX: pa.int64(), "SOURCE_ID": pa.int64(), "EXPOSURE": pa.int16(), "MJD_START": pa.float64(),
    "MJD_END": pa.float64(), POSITION[0]: pa.float64(), POSITION[1]: pa.float64(),
    "ERRX2WIN_WORLD": pa.float32(), "ERRY2WIN_WORLD": pa.float32(),
    "MAG_AUTO": pa.float32(), "MAGERR_AUTO": pa.float32(), "MAG_TOTAL": pa.float32(),
    "MAGERR_TOTAL": pa.float32(), "FLAGS": pa.int16(), "CLASS": pa.int16(),
}  # fmt: skip
PIXEL = 0.05
FWHM = 0.1
"""Arcseconds, below which two stars are one source."""
ZEROPOINT = 26.0


@dataclass
class Sky:
    """A tangent plane in arcseconds around a position."""

    ra: float
    dec: float

    def __post_init__(self) -> None:
        (self.centre,) = footprints.vectors(np.array([self.ra]), np.array([self.dec]))
        self.plane = tangent(self.centre)

    def degrees(self, xy: Floats) -> tuple[Floats, Floats]:
        """Positions of points (n, 2)."""
        return footprints.angles(
            self.centre + (xy[:, :1] * self.plane[0] + xy[:, 1:] * self.plane[1]) * ARCSEC
        )


@dataclass
class Exposure:
    """An image of the survey: where it is, and how wrong its header is."""

    uri: str
    sky: Sky
    centre: Floats
    """(2,) arcseconds."""
    filter: str
    mjd: float
    depth: float
    """Magnitude at 5 sigma."""
    offset: Floats = field(default_factory=lambda: np.zeros(2))
    """(2,) arcseconds that its header is off, to be undone."""
    turn: float = 0.0
    """Radians likewise."""
    size: float = 202.0
    more: dict[str, Any] = field(default_factory=dict)
    """Other values of its row in the table of images."""

    def shifted(self, xy: Floats) -> Floats:
        """Points as its header says."""
        dx, dy = (xy - self.centre).T
        return np.column_stack([dx - self.turn * dy, dy + self.turn * dx]) + self.centre + self.offset

    def outline(self) -> str:
        """Both chips as STC-S, with a gap of 2.5 arcsec."""
        half = self.size / 2
        text = []
        for low, high in ((-half, -1.25), (1.25, half)):
            corners = np.array([(-half, low), (half, low), (half, high), (-half, high)]) + self.centre
            ra, dec = self.sky.degrees(self.shifted(corners))
            text.append("POLYGON ICRS " + " ".join(f"{a:.8f} {d:.8f}" for a, d in zip(ra, dec, strict=True)))
        return " ".join(text)

    def covers(self, xy: Floats) -> NDArray[np.bool_]:
        """Whether points are on a chip."""
        dx, dy = np.abs(xy - self.centre).T
        return (dx < self.size / 2) & (dy < self.size / 2) & (dy > 1.25)

    def row(self, sources: int, source_id: int) -> images.Row:
        """Its row in the table of images."""
        name = self.uri.rsplit("/", 1)[-1].split("_")[0]
        (ra,), (dec,) = self.sky.degrees(self.shifted(self.centre[None]))
        return {
            "uri": self.uri, "telescope": "HST", "instrument": "ACS/WFC", "filter": self.filter,
            "rootname": name, "t_min": self.mjd - 0.002, "t_max": self.mjd + 0.002,
            "sources": sources, "source_id": source_id,
            "unplaced": 0, "chips": 2, "exposures": 1, "gaia": "no", "zeropoint": ZEROPOINT, "scale": PIXEL,
            "depth": self.depth, "chip_depth": f"{self.depth:.4f} {self.depth:.4f}",
            "s_region": self.outline(), "s_ra": ra, "s_dec": dec,
            "doubts": "", "config": "c0ffee", "flux_unit": "electron/s",
        } | self.more  # fmt: skip


@dataclass
class Survey:
    """Takes exposures with their sources and writes a data set."""

    rows: list[images.Row] = field(default_factory=list)
    columns: list[dict[str, NDArray[Any]]] = field(default_factory=list)
    _ids: Ids = field(default_factory=Ids)

    def add(self, exposure: Exposure, xy: Floats, mag: Floats, snr: Floats, **columns: NDArray[Any]) -> None:
        """Sources at true points (n, 2) that are measured with magnitudes and a signal-to-noise ratio."""
        base = self._ids.assign(exposure.uri, len(xy))
        ra, dec = exposure.sky.degrees(exposure.shifted(xy))
        sigma2 = (FWHM / 2.3548 / snr / 3600) ** 2
        error = 2.5 / np.log(10) / snr
        number = len(self.rows)
        self.columns.append(
            {
                "image": np.full(len(xy), number, np.int32),
                schema.HEALPIX: healpix.keys(ra, dec),
                "SOURCE_ID": base + np.arange(1, len(xy) + 1),
                "EXPOSURE": np.ones(len(xy), np.int16),
                "MJD_START": np.full(len(xy), exposure.mjd - 0.002),
                "MJD_END": np.full(len(xy), exposure.mjd + 0.002),
                **dict(zip(POSITION, (ra, dec), strict=True)),
                **dict.fromkeys(("ERRX2WIN_WORLD", "ERRY2WIN_WORLD"), sigma2.astype(np.float32)),
                **dict.fromkeys(("MAG_AUTO", "MAG_TOTAL"), mag.astype(np.float32)),
                **dict.fromkeys(("MAGERR_AUTO", "MAGERR_TOTAL"), error.astype(np.float32)),
                "FLAGS": np.zeros(len(xy), np.int16),
                "CLASS": np.ones(len(xy), np.int16),
            }
            | columns
        )
        self.rows.append(exposure.row(len(xy), base))

    def write(self, folder: Path, run: str = "survey", limit: int = 1 << 18) -> Path:
        """Writes the data set of a run; gives its folder."""
        whole = {name: np.concatenate([part[name] for part in self.columns]) for name in self.columns[0]}
        self.columns.clear()
        order = np.lexsort((whole["SOURCE_ID"], whole[schema.HEALPIX]))
        keys = whole[schema.HEALPIX][order]
        table = pa.Table.from_pylist(self.rows, images.SCHEMA)
        about = pa.table(
            {
                "IMAGE": table["uri"],
                "INSTRUMENT": table["instrument"],
                "FILTER": table["filter"],
                "MJD": pa.array((table["t_min"].to_numpy() + table["t_max"].to_numpy()) / 2),
                "FLUX_UNIT": table["flux_unit"],
            }
        ).combine_chunks()
        fields = [pa.field(name, kind) for name, kind in COLUMNS.items()]
        columns = schema.described(
            pa.schema([*fields, *schema.from_input(kinds.SOURCES)]), dict.fromkeys(about.column_names, 128)
        )
        folder.mkdir(parents=True)
        written = []
        for part in partitions.split(lambda edges: np.searchsorted(keys, edges), limit):
            low, high = np.searchsorted(keys, [part.start, part.stop])
            rows = order[low:high]
            image = pa.array(whole["image"][rows])
            arrays = [schema.array(whole[name][rows], kind) for name, kind in COLUMNS.items()]
            arrays += [about[name].take(image).combine_chunks() for name in about.column_names]
            dataset.write_partition(pa.table(arrays, schema=columns), folder / part.path)
            written.append(part)
        dataset.write_images(table, folder)
        counts = {"run": run, "place": str(folder), "limit": limit, "good": False, "images": len(table)}
        counts |= {"sources": len(keys), "unplaced": 0, "partitions": len(written)}
        dataset.write_metadata(folder, written, columns, counts)
        return folder
