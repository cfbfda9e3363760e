"""Catalogs without images: made-up sources through sep_extract's own writer, and copies of real ones."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from sep_extract.catalog import Plane, columns_for
from sep_extract.event import Request
from sep_extract.fitsfile import _datasum, to_fits
from sep_extract.storage import Source, key_of

RUN = {
    "function": "SepExtract",
    "config": {},
    "outputs": [],
    "access": "anonymous",
    "results": "runs/{run}/catalogs/{key}.cat.fits",
}


def run_folder(output: Path, run: str = "default") -> Path:
    """Begins a run on disk; gives its folder."""
    folder = output / "runs" / run
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(RUN))
    return folder


def path(folder: Path, uri: str) -> Path:
    """Where the catalog of an image lies in a run's folder."""
    return folder / "catalogs" / f"{key_of(uri)}.cat.fits"


def put(folder: Path, uri: str, body: bytes) -> Path:
    """Writes a catalog into a run's folder."""
    where = path(folder, uri)
    where.parent.mkdir(parents=True, exist_ok=True)
    where.write_bytes(body)
    return where


def catalog(
    uri: str,
    ra: Sequence[float],
    dec: Sequence[float],
    *,
    unit: str | None = "electron/s",
    mag: Sequence[float] | None = None,
    version: str = "abc",
    **header: Any,
) -> bytes:
    """The catalog of an image with sources at these positions in degrees, NaN for none."""
    request = Request(uri)
    apertures = len(request.config.phot_apertures)
    table: dict[str, NDArray[Any]] = {}
    for i, column in enumerate(columns_for(unit)):
        shape = (len(ra), apertures) if column.per_aperture else (len(ra),)
        table[column.name] = np.add.outer(np.arange(len(ra)), np.full(shape[1:], i)).astype(float)
    table |= {"NUMBER": np.arange(1, len(ra) + 1), "ALPHA_J2000": np.array(ra), "DELTA_J2000": np.array(dec)}
    if mag is not None:
        table["MAG_AUTO"] = np.array(mag)
    plane = Plane(1, 1, len(ra), 0.5, 0.1, 0, unit, 26.0, 100.0, 0.05, 25.0, 0.8, np.full((4, 2), np.nan))
    about = {"INSTRUME": "WFC3", "DETECTOR": "IR", "FILTER": "F160W", "EXPSTART": 55000.0, "EXPEND": 55000.5}
    primary = fits.Header([*(about | header).items()])
    return to_fits(table, [plane], request, Source(uri, io.BytesIO(), 1, version), primary, ["a note"])


class Copies:
    """Makes many catalogs of one real one: each with an image's name and a place on the sky of its own."""

    _PLACE = "s3://stpubdata/hst/public/copy/########/copy########_flt.fits"

    def __init__(self, body: bytes) -> None:
        with fits.open(io.BytesIO(body)) as hdus:
            hdus[0].header["SRCURI"] = self._PLACE
            hdus[0].header.remove("S_REGION", ignore_missing=True)
            top = hdus[0].header.tostring().encode()
            self._rows = np.array(hdus[1].data).view(hdus[1].data.dtype)
            table = hdus[1].header.tostring().encode()
        self._head = top + table
        at = self._head.index(b"DATASUM =")
        self._sum = slice(at, at + 80)

    def __len__(self) -> int:
        return len(self._rows)

    def make(self, number: int, ra: float, dec: float) -> tuple[str, bytes]:
        """URI and catalog of a copy, its sources moved by so many degrees."""
        rows = self._rows.copy()
        for name in ("ALPHA_J2000", "ALPHAWIN_J2000"):
            rows[name] = (rows[name] + ra) % 360
        for name in ("DELTA_J2000", "DELTAWIN_J2000"):
            rows[name] += dec
        body = rows.tobytes()
        body += b"\0" * (-len(body) % 2880)
        card = f"DATASUM = '{_datasum(body):<10}'".ljust(80).encode()
        head = self._head[: self._sum.start] + card + self._head[self._sum.stop :]
        name = f"{number:08}"
        return self._PLACE.replace("########", name), head.replace(b"########", name.encode()) + body
