"""Images made here as real FITS files, and the handler run on them."""

import json
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from sep_extract.handler import handler
from skyfan_contract import key_of

WFC3_IR = {
    "TELESCOP": "HST",
    "INSTRUME": "WFC3",
    "DETECTOR": "IR",
    "FILTER": "F140W",
    "EXPTIME": 100.0,
    "PHOTFLAM": 1.4737e-20,
    "PHOTPLAM": 13922.907,
}
TAN = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRPIX1": 48.0,
    "CRPIX2": 48.0,
    "CRVAL1": 150.1,
    "CRVAL2": 2.2,
    "CD1_1": -3.6e-5,
    "CD1_2": 0.0,
    "CD2_1": 0.0,
    "CD2_2": 3.6e-5,
}


@pytest.fixture(scope="session")
def stars() -> Callable[..., np.ndarray]:
    """Makes an image (ny, nx) float32 of round Gaussian stars on a noisy background."""

    def make(
        shape: tuple[int, int] = (96, 96),
        at: list[tuple[float, float]] | None = None,
        flux: float = 1500.0,
        sigma: float = 1.5,
        sky: float = 10.0,
        noise: float = 1.0,
        seed: int = 1,
    ) -> np.ndarray:
        rng = np.random.default_rng(seed)
        if at is None:
            steps = [np.arange(16, n - 8, 20) for n in shape[::-1]]
            at = [(x + rng.uniform(-2, 2), y + rng.uniform(-2, 2)) for x in steps[0] for y in steps[1]]
        y, x = np.mgrid[: shape[0], : shape[1]]
        image = rng.normal(sky, noise, shape) if noise else np.full(shape, float(sky))
        for x0, y0 in at:
            image += flux / (2 * np.pi * sigma**2) * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * sigma**2))
        return image.astype(np.float32)

    return make


@pytest.fixture(scope="session")
def flt(stars: Callable[..., np.ndarray]) -> Callable[..., fits.HDUList]:
    """Makes a WFC3/IR _flt: SCI, ERR, DQ; `primary` and `science` are header cards, None takes one away."""

    def make(
        sci: np.ndarray | None = None,
        err: Any = 1.0,
        dq: Any = 0,
        wht: Any = None,
        primary: dict[str, Any] | None = None,
        science: dict[str, Any] | None = None,
    ) -> fits.HDUList:
        sci = stars() if sci is None else sci
        hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(sci, name="SCI", ver=1)])
        for hdu, cards in (
            (hdus[0], {**WFC3_IR, **(primary or {})}),
            (hdus[1], {"BUNIT": "ELECTRONS/S", **TAN, **(science or {})}),
        ):
            hdu.header.update({key: value for key, value in cards.items() if value is not None})
        for name, given, kind in (("ERR", err, "f4"), ("DQ", dq, "i2"), ("WHT", wht, "f4")):
            if given is not None:
                values = given if isinstance(given, np.ndarray) else np.full(sci.shape, given, kind)
                hdus.append(fits.ImageHDU(values, name=name, ver=1))
        return hdus

    return make


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Writes an HDUList, or bytes, as a file in a folder of its own."""

    def write(content: fits.HDUList | bytes, name: str = "image.fits") -> Path:
        path = tmp_path / "in" / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content.writeto(path, overwrite=True)
        return path

    return write


@pytest.fixture
def extract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: Callable[..., Path]
) -> Callable[..., dict[str, Any]]:
    """Runs the handler on an HDUList, bytes or a path; its catalog goes below tmp_path/out."""
    monkeypatch.setenv("SKYFAN_OUTPUT", f"{(tmp_path / 'out').as_uri()}/{{run}}/{{key}}.cat.fits")

    def run(
        image: fits.HDUList | bytes | Path,
        name: str = "image.fits",
        memory_mb: int | None = None,
        **event: Any,
    ) -> dict[str, Any]:
        path = image if isinstance(image, Path) else save(image, name)
        context = types.SimpleNamespace(memory_limit_in_mb=str(memory_mb)) if memory_mb else None
        summary = handler({"input": path.as_uri(), **event}, context)
        assert json.loads(json.dumps(summary, allow_nan=False)) == summary, "the summary is plain JSON"
        return summary

    return run


@pytest.fixture(scope="session")
def catalog() -> Callable[[dict[str, Any]], Table]:
    """The catalog that a summary names, as astropy reads it; its primary header is in meta["PRIMARY"]."""

    def read(summary: dict[str, Any]) -> Table:
        path = Path("/", key_of(summary["output"]))
        table = Table.read(path, hdu="SOURCES")
        table.meta["PRIMARY"] = fits.getheader(path)
        return table

    return read
