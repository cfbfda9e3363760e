"""The catalog of an image whose sources are those of a detection image: one row for each, in its order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .catalog import Table, join, table_of
from .chip import Chip
from .classes import Class
from .columns import COLUMNS
from .detection import Detection, Grid
from .dual import Seen, measure_placed
from .errors import NoOverlapError
from .event import Config
from .extract import Measurement
from .flags import Flag
from .quality import Quality

# What the detection image alone says.
_OF_DETECTION = (
    *("ALPHA_J2000", "DELTA_J2000", "ALPHAWIN_J2000", "DELTAWIN_J2000"),
    *("ERRX2_WORLD", "ERRY2_WORLD", "ERRX2WIN_WORLD", "ERRY2WIN_WORLD", "THETA_J2000"),
    *("KRON_RADIUS", "EXTRACT_STEP"),
)
_OUTSIDE = {"EXT_NUMBER": -1, "FLAGS": int(Flag.OUTSIDE)}
_SHAPES = np.int16(Class.STAR | Class.EXTENDED | Class.SHARP | Class.SWARM)
_CARRIED = (
    Quality.SKY_LOST
    | Quality.SKY_FALLBACK
    | Quality.NO_SKY
    | Quality.MASKED
    | Quality.PLANE_SKIPPED
    | Quality.DETECTION_STEP
    | Quality.CUT_OFF
    | Quality.TILE_CUT
    | Quality.DATASUM
)
"""Doubts about the detection image that are doubts about the sources."""


class DualImage:
    """Measures, chip by chip of an image, the sources of a detection image."""

    def __init__(self, detection: Detection) -> None:
        self._detection = detection
        self._waiting = np.ones(len(detection), dtype=bool)
        self._tables: list[Table] = []
        self._indices: list[NDArray[np.int64]] = []
        self._same: list[bool] = []

    def measure(self, chip: Chip, config: Config, seen: Seen | None) -> Measurement:
        """The sources that lie on a chip. Raises ExtractionError."""
        grid = Grid(self._detection, chip, len(self._same))
        self._same.append(grid.same is not None)
        placed = grid.placed(self._waiting)
        found, index = measure_placed(chip, placed, grid, config, seen)
        self._waiting[index] = False
        self._indices.append(index)
        return found

    def add(self, chip: Chip, found: Measurement, counts: Mapping[str, NDArray[Any]]) -> None:
        """Keep the rows of the chip that was measured last."""

        def known(own: NDArray[np.int16]) -> NDArray[np.int16]:
            # What a source is, its light in the detection image says.
            theirs: NDArray[np.int16] = self._detection.bits[self._indices[-1]]
            return (theirs & _SHAPES) | (own & ~_SHAPES)

        self._tables.append(table_of(chip, found, counts, known))

    def table(self, name: str) -> Table:
        """The rows of all sources. Raises NoOverlapError if none lies on the image of this name."""
        detection, index = self._detection, np.concatenate(self._indices)
        if not len(index) and len(detection):
            raise NoOverlapError(
                f"{name}: none of the {len(detection)} sources of the detection image {detection.source.uri} "
                "lies on it: they do not show the same sky, or a WCS is missing or wrong"
            )
        whole: Table = {}
        for column in COLUMNS:
            key = column.name
            values = np.concatenate([table[key] for table in self._tables])
            missing: Any = _OUTSIDE.get(key, 0) if column.kind in "IJ" else np.nan
            rows = np.full((len(detection), *values.shape[1:]), missing, values.dtype)
            rows[index] = values
            whole[key] = detection.table[key] if key in _OF_DETECTION else rows
        return join([whole])

    def cards(self) -> dict[str, object]:
        """What the header says of the detection image."""
        return self._detection.cards(int(self._waiting.sum()), same=all(self._same))

    def notes(self) -> list[str]:
        """Those of the detection image, and on how both go together."""
        detection, outside = self._detection, int(self._waiting.sum())
        how = "on the same grid" if all(self._same) else "placed here by both WCS"
        notes = [f"{len(detection)} sources and their apertures are those of {detection.source.uri}, {how}"]
        if outside:
            notes.append(f"{outside} of them lie outside this image: null, FLAGS {Flag.OUTSIDE:d}")
        if any(self._same) and all(plane.sky.wcs is None for plane in detection.planes):
            notes.append("neither image has a WCS: taken for one grid, for their shapes are equal")
        return notes + [f"detection image: {note}" for note in detection.notes]

    @property
    def quality(self) -> Quality:
        """The bits that the detection image adds."""
        return Quality.DUAL_IMAGE | (self._detection.quality & _CARRIED)
