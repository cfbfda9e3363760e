"""The detections of a piece of the sky, read from collected data sets, with the offsets of their images
applied.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..catalogs import healpix
from ..catalogs.chips import POSITION
from ..catalogs.dataset import DataSet, Partition
from ..catalogs.schema import HEALPIX
from ..sky import footprints
from . import tiles
from .groups import Floats, Indices
from .images import Images
from .offsets import corrected

ERRORS = ("ERRX2WIN_WORLD", "ERRY2WIN_WORLD")
COLUMNS = (
    HEALPIX, "SOURCE_ID", "IMAGE", "EXPOSURE", "MJD", "MJD_START", "MJD_END", *POSITION, *ERRORS, "FLAGS",
    "CLASS",
)  # fmt: skip
"""Columns that every data set must have, and the magnitude with its error."""
BAD_FLAGS = 4 | 8 | 16 | 64
"""FLAGS of detections that count in no mean: saturated, cut by the edge, too many to deblend."""
BAD_CLASS = 4 | 8 | 16 | 32
"""CLASS likewise: sharp as a cosmic ray, saturated, part of a swarm, at the edge."""
CROWDED = 1 | 2 | 512
"""FLAGS of detections that are not used for offsets either: their positions lean on neighbours."""
_FLOOR = 0.1
"""Pixels: error of a position that is added to the formal one, for the shape of undersampled images."""
_UNKNOWN = 0.5
"""Pixels: error of a position without a formal one."""


@dataclass(frozen=True)
class Detections:
    """Detections (n,) in the order of SOURCE_ID."""

    ident: NDArray[np.int64]
    key: NDArray[np.int64]
    """HEALPix key before correction."""
    image: Indices
    exposure: NDArray[np.int64]
    """Number of the exposure: of the image, and within it."""
    xyz: Floats
    """(n, 3) unit vectors, corrected."""
    sigma: Floats
    """Error of the position per axis in arcseconds."""
    mjd: Floats
    mag: Floats
    error: Floats
    flags: NDArray[np.int16]
    is_fit: NDArray[np.bool_]
    """Whether it counts in means."""

    def __len__(self) -> int:
        return len(self.ident)

    def take(self, rows: Indices) -> "Detections":
        """Some of them."""
        return Detections(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


_NONE = pa.table(
    [pa.array([], kind) for kind in (pa.int64(), pa.int64(), pa.int32())], [HEALPIX, "SOURCE_ID", "image"]
)


def read(
    folders: Mapping[int, Path], key_ranges: NDArray[np.int64], images: Images, magnitude: str | None
) -> Detections:
    """The detections with keys in the ranges (n, 2), of images that are used.

    `folders` are data sets by number, `magnitude` is a column MAG_X with an error MAGERR_X; without it
    magnitudes are NaN. The ranges are of positions before correction.
    """
    names = (*COLUMNS, *((magnitude, error_of(magnitude)) if magnitude else ()))
    tables = [_NONE]
    for number, folder in folders.items():
        numbers = images.numbers(number)
        for partition in DataSet(folder, {}).partitions:
            if _overlaps(partition, key_ranges):
                for table in _groups(folder / partition.path, key_ranges, names):
                    image = numbers(table["IMAGE"])
                    numbered = table.drop_columns("IMAGE").append_column("image", pa.array(image))
                    tables.append(numbered.filter(pa.array(image >= 0)))
    return _detections(pa.concat_tables(tables, promote_options="permissive"), images, magnitude)


def error_of(magnitude: str) -> str:
    """The column of the error of a magnitude."""
    return magnitude.replace("MAG", "MAGERR", 1)


def _overlaps(partition: Partition, key_ranges: NDArray[np.int64]) -> bool:
    return bool(((key_ranges[:, 0] < partition.stop) & (key_ranges[:, 1] > partition.start)).any())


def _groups(path: Path, key_ranges: NDArray[np.int64], names: tuple[str, ...]) -> Iterator[pa.Table]:
    """Rows in the ranges, of the row groups that can have some."""
    with pq.ParquetFile(path, read_dictionary=["IMAGE"]) as file:
        for group in range(file.num_row_groups):
            statistics = file.metadata.row_group(group).column(0).statistics
            if ((key_ranges[:, 0] <= statistics.max) & (key_ranges[:, 1] > statistics.min)).any():
                table = file.read_row_group(group, columns=list(names))
                rows = tiles.rows_in(table[HEALPIX].to_numpy(), key_ranges)
                if len(rows):
                    yield table if len(rows) == len(table) else table.take(pa.array(rows))


def _detections(table: pa.Table, images: Images, magnitude: str | None) -> Detections:
    table = table.sort_by("SOURCE_ID")

    def column(name: str | None) -> Floats:
        if name not in table.column_names:
            return np.full(len(table), np.nan)
        values: Floats = table[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
        return values

    image = table["image"].to_numpy()
    pixel = images.scale[image]
    variance = (column(ERRORS[0]) + column(ERRORS[1])) / 2 * 3600**2
    variance = np.where(np.isfinite(variance), variance, (_UNKNOWN * pixel) ** 2)
    flags, kind, number = (
        np.nan_to_num(column(name)).astype(np.int64) for name in ("FLAGS", "CLASS", "EXPOSURE")
    )
    middle = (column("MJD_START") + column("MJD_END")) / 2
    xyz = footprints.vectors(*(column(name) for name in POSITION))
    return Detections(
        table["SOURCE_ID"].to_numpy(),
        table[HEALPIX].to_numpy(),
        image,
        (image.astype(np.int64) << 16) + number,
        corrected(xyz, images.vector[image]),
        np.sqrt(variance + (_FLOOR * pixel) ** 2),
        np.where(np.isfinite(middle), middle, column("MJD")),
        column(magnitude),
        column(magnitude and error_of(magnitude)),
        flags.astype(np.int16),
        ((flags & BAD_FLAGS) == 0) & ((kind & BAD_CLASS) == 0),
    )


def keys(xyz: Floats) -> NDArray[np.int64]:
    """HEALPix keys (n,) of unit vectors (n, 3)."""
    return healpix.keys(*footprints.angles(xyz))
