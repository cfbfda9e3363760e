"""The segments of a whole plane, also of one that is measured in tiles, by the numbers of its sources."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from .extract import Maps
from .pixels import strips
from .tiles import Tile
from .whole import Sky

Map = NDArray[np.int32]

BAND = 256
"""Rows whose segments are kept together."""


class Labels:
    """Source i of a plane of ``shape`` (ny, nx) has i + 1, no source 0. Bands of tiles are compressed."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape[0], shape[1]
        self._map: Map | None = None
        self._bands: dict[int, list[tuple[slice, slice, bytes]]] = {}
        self._number = np.zeros(1, np.int32)
        self._found = 0

    def whole(self, maps: Maps) -> None:
        """Take the maps of a plane that is measured as one."""
        self._map = maps.segments()

    def tile(self, tile: Tile) -> None:
        """Keep the segments of all that is a tile's core's, until the numbers of all are known."""
        number = np.zeros(int(max(tile.mine, default=0)) + 2, np.int32)
        number[tile.mine + 1] = self._found + 1 + np.arange(len(tile.mine))
        self._found += len(tile.mine)
        segments = tile.maps.segments()
        segments[segments >= len(number)] = 0
        segments = number[segments]
        top, left = tile.rows.start - tile.core[0].start, tile.columns.start - tile.core[1].start
        columns = slice(left, left + segments.shape[1])
        start, stop = top, top + len(segments)
        while start < stop:
            end = min((start // BAND + 1) * BAND, stop)
            part = segments[start - top : end - top]
            if part.any():
                kept = slice(start, end), columns, zlib.compress(part.tobytes(), 1)
                self._bands.setdefault(start // BAND, []).append(kept)
            start = end

    def empty(self, sky: Sky, rows: slice, columns: slice) -> None:
        """A core without usable pixels has no segment."""

    def end(self, order: NDArray[np.int64]) -> None:
        """All tiles have been seen, and the sources come in this order."""
        self._number = np.zeros(self._found + 1, np.int32)
        self._number[order + 1] = 1 + np.arange(len(order))

    def region(self, rows: slice, columns: slice) -> Map:
        """The segments of a part; a pixel that two tiles claim is the earlier one's."""
        if self._map is not None:
            return self._map[rows, columns].copy()
        labels = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.int32)
        for band in strips(slice(rows.start // BAND * BAND, rows.stop), BAND):
            for across, along, packed in self._bands.get(band.start // BAND, []):
                top, bottom = max(across.start, rows.start), min(across.stop, rows.stop)
                left, right = max(along.start, columns.start), min(along.stop, columns.stop)
                if top >= bottom or left >= right:
                    continue
                part = np.frombuffer(zlib.decompress(packed), np.int32).reshape(-1, along.stop - along.start)
                theirs = part[
                    top - across.start : bottom - across.start, left - along.start : right - along.start
                ]
                here = labels[
                    top - rows.start : bottom - rows.start, left - columns.start : right - columns.start
                ]
                np.copyto(here, self._number[theirs], where=(here == 0) & (theirs > 0))
        return labels
