"""Catalogs without images: made-up sources through sep_extract's own writer, and copies of real ones."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from sep_extract.catalog import ChipSummary, columns_for
from sep_extract.event import Request
from sep_extract.fitsfile import to_fits
from sep_extract.quality import Quality
from skyfan_contract import key_of
from skyfan_function.fits_table import datasum
from skyfan_function.storage import Source

RUN = {
    "function": "SepExtract",
    "config": {},
    "outputs": [],
    "access": "anonymous",
    "results": "runs/{run}/catalogs/{key}.cat.fits",
}


def run_folder(output: Path, run: str = "default", **config: Any) -> Path:
    """Begins a run with these settings on disk; gives its folder."""
    folder = output / "runs" / run
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({**RUN, "config": config}))
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
    columns: Mapping[str, Sequence[float]] | None = None,
    version: str = "abc",
    apertures: Sequence[float] | None = None,
    quality: Quality = Quality.NONE,
    **header: Any,
) -> bytes:
    """The catalog of an image with sources at these positions in degrees, NaN for none.

    `columns` replaces values, `header` adds cards of the primary header.
    """
    config = {"phot_apertures": list(apertures)} if apertures else {}
    request = Request.parse({"input": uri, "config": config})
    table: dict[str, NDArray[Any]] = {}
    for i, column in enumerate(columns_for(unit)):
        shape = (len(ra), len(request.config.phot_apertures)) if column.per_aperture else (len(ra),)
        table[column.name] = np.add.outer(np.arange(len(ra)), np.full(shape[1:], i)).astype(float)
    table |= {"NUMBER": np.arange(1, len(ra) + 1)}
    table |= {"ALPHAWIN_J2000": np.array(ra), "DELTAWIN_J2000": np.array(dec)}
    if mag is not None:
        table["MAG_AUTO"] = np.array(mag)
    for name, values in (columns or {}).items():
        table[name] = np.array(values)
    chip = ChipSummary(
        hdu=1,
        extver=1,
        sources=len(ra),
        background=0.5,
        rms=0.1,
        step=0,
        unit=unit,
        zeropoint=26.0,
        exptime=100.0,
        scale=0.05,
        depth=25.0,
        depth_aperture=0.8,
        apertures=request.config.phot_apertures,
        contrast=request.config.contrast,
        system="AB",
        quality=quality,
        corners=np.full((4, 2), np.nan),
        poisson=0.0,
    )
    about = {"INSTRUME": "WFC3", "DETECTOR": "IR", "FILTER": "F160W", "EXPSTART": 55000.0, "EXPEND": 55000.5}
    source = Source(uri, io.BytesIO(), 1, version)
    return to_fits(table, [chip], request, source, about | header, ["a note"], quality)


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
        card = f"DATASUM = '{datasum(body):<10}'".ljust(80).encode()
        head = self._head[: self._sum.start] + card + self._head[self._sum.stop :]
        name = f"{number:08}"
        return self._PLACE.replace("########", name), head.replace(b"########", name.encode()) + body
