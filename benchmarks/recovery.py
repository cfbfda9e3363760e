"""What the real handler makes of planted sources: biases, pulls, completeness and purity."""

from __future__ import annotations

import contextlib
import io
import math
import os
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import sep
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from planting import Floats, Planted, Scene, Shape, grown, star, winged_star

from sep_extract.handler import handler

# Diameter in pixels of the aperture of FLUX_APER: holds a star of FWHM 2.2 to 1e-4.
APERTURE = 8.0
_MATCH = 1.5


def catalog_of(path: Path, **config: Any) -> fits.FITS_rec:
    """The rows of the catalog that the handler writes of a file on disk."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        where = f"file://{folder}/runs/{{run}}/catalogs/{{key}}.cat.fits"
        with patch.dict(os.environ, {"SKYFAN_OUTPUT": where}):
            summary = handler({"input": path.as_uri(), "config": config}, None)
        with fits.open(summary["output"].removeprefix("file://"), memmap=False) as hdus:
            return hdus[1].data


def measured(scene: Scene, **config: Any) -> fits.FITS_rec:
    """The catalog of a scene, by way of a file; FLUX_APER has one aperture of `APERTURE` pixels."""
    with tempfile.TemporaryDirectory() as folder:
        path = scene.write(Path(folder) / "planted.fits")
        return catalog_of(path, **({"phot_apertures": [APERTURE * scene.scale]} | config))


def nearest(x: Floats, y: Floats, catalog: fits.FITS_rec) -> NDArray[np.int64]:
    """Row of the catalog nearest to each 0-based position, -1 where none is within 1.5 pixels."""
    if not len(catalog):
        return np.full(len(x), -1)
    distance = np.hypot(x[:, None] - (catalog["X_IMAGE"] - 1), y[:, None] - (catalog["Y_IMAGE"] - 1))
    row = distance.argmin(axis=1)
    return np.where(distance[np.arange(len(x)), row] < _MATCH, row, -1)


def width(values: Floats) -> float:
    """Robust width: 1.4826 times the median distance from the median."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


@dataclass(frozen=True)
class Recovery:
    """Planted sources of several pictures of one scene, (n,) each, and the rows (n, columns) found of them.

    ``found`` says which of the planted were; ``catalog`` and ``ra``, ``dec`` (the truth, degrees) are of
    these only. ``false_mag`` are MAG_AUTO of rows that are no source, in all pictures together.
    """

    scene: Scene
    flux: Floats
    x: Floats
    y: Floats
    shapes: tuple[Shape, ...]
    found: NDArray[np.bool_]
    catalog: dict[str, NDArray[Any]]
    ra: Floats
    dec: Floats
    false_mag: Floats

    @cached_property
    def clean(self) -> NDArray[np.bool_]:
        """Of the found: no flag raised and no bad pixel within 5."""
        x, y = (np.rint(v[self.found]).astype(int) for v in (self.x, self.y))
        return (self.catalog["FLAGS"] == 0) & ~grown(self.scene.bad, 5)[y, x]

    def bias(self, least: float = 50.0, most: float = math.inf) -> float:
        """Median of MAG_AUTO less truth, of clean sources in a range of S/N."""
        true = self.scene.zeropoint - 2.5 * np.log10(self.flux[self.found])
        return float(np.median((self.catalog["MAG_AUTO"] - true)[self._between(least, most)]))

    def bias_in_aperture(self, least: float = 50.0, most: float = math.inf) -> float:
        """The same of MAG_APER, less what lies outside a perfect `APERTURE`."""
        true = self.scene.zeropoint - 2.5 * np.log10(self.flux[self.found] * self._shares)
        return float(np.median((self.catalog["MAG_APER"][:, 0] - true)[self._between(least, most)]))

    def count(self, least: float = 50.0, most: float = math.inf) -> int:
        """Clean sources in a range of S/N."""
        return int(self._between(least, most).sum())

    def _between(self, least: float, most: float) -> NDArray[np.bool_]:
        return self.clean & (self.catalog["SNR_AUTO"] > least) & (self.catalog["SNR_AUTO"] <= most)

    def pulls(self, least: float, most: float = math.inf) -> dict[str, Floats]:
        """(measured - true) / error of each quantity, of clean sources in a range of S/N."""
        use = self._between(least, most)
        c = {name: values[use] for name, values in self.catalog.items()}
        planted = np.flatnonzero(self.found)[use]
        x, y, flux = self.x[planted], self.y[planted], self.flux[planted]
        pulls = {
            "FLUX_AUTO": (c["FLUX_AUTO"] - flux) / c["FLUXERR_AUTO"],
            "FLUX_APER": (c["FLUX_APER"][:, 0] - flux * self._shares[use]) / c["FLUXERR_APER"][:, 0],
        }
        cos = np.cos(np.radians(self.dec[use]))
        for win in ("", "WIN"):
            pulls[f"X{win}_IMAGE"] = (c[f"X{win}_IMAGE"] - 1 - x) / np.sqrt(c[f"ERRX2{win}_IMAGE"])
            pulls[f"Y{win}_IMAGE"] = (c[f"Y{win}_IMAGE"] - 1 - y) / np.sqrt(c[f"ERRY2{win}_IMAGE"])
            east = (c[f"ALPHA{win}_J2000"] - self.ra[use] + 180) % 360 - 180
            north = c[f"DELTA{win}_J2000"] - self.dec[use]
            pulls[f"ALPHA{win}_J2000"] = east * cos / np.sqrt(c[f"ERRX2{win}_WORLD"])
            pulls[f"DELTA{win}_J2000"] = north / np.sqrt(c[f"ERRY2{win}_WORLD"])
        return pulls

    @cached_property
    def _shares(self) -> Floats:
        """What a perfect `APERTURE` would hold of each source that was found; NaN for those not clean."""
        shares = np.full(len(self.clean), np.nan)
        for row, i in enumerate(np.flatnonzero(self.found)):
            if self.clean[row]:
                shares[row] = self.scene.share_within(self.shapes[i], APERTURE / 2, self.x[i], self.y[i])
        return shares

    def curve(self, step: float = 0.5) -> list[dict[str, float]]:
        """Completeness and purity by magnitude, bright first: true magnitude for the one, MAG_AUTO for the
        other.

        Purity is found / (found + false): it goes with how densely sources were planted.
        """
        true = self.scene.zeropoint - 2.5 * np.log10(self.flux)
        mag = self.catalog["MAG_AUTO"]
        rows = []
        for low in np.arange(math.floor(true.min() / step) * step, true.max(), step):
            here = (true >= low) & (true < low + step)
            right = int(((mag >= low) & (mag < low + step)).sum())
            wrong = int(((self.false_mag >= low) & (self.false_mag < low + step)).sum())
            rows.append(
                {
                    "mag": float(low + step / 2),
                    "planted": int(here.sum()),
                    "completeness": float(self.found[here].mean()) if here.any() else math.nan,
                    "found": right,
                    "false": wrong,
                    "purity": right / (right + wrong) if right + wrong else math.nan,
                }
            )
        return rows


def recover(
    scene: Scene,
    shapes: tuple[Shape, ...],
    signal_to_noise: tuple[float, float],
    pictures: int,
    *,
    spacing: int = 30,
    seed: int = 1,
) -> Recovery:
    """Plant, measure and match. Fluxes are spread evenly in the logarithm, shapes at random, angles all
    round.

    ``signal_to_noise`` is the range, for a background-limited star in an aperture of `APERTURE` pixels.

    False rows, where sources may be planted: those that are neither planted nor found without planting
    (torn-off pieces of planted sources), and all that is found in the negative of the empty scene (noise).
    """
    rng = np.random.default_rng(seed)
    noise = scene.noise * math.sqrt(math.pi) * APERTURE / 2
    empty, negative = measured(scene), measured(scene.negative())
    false = [negative["MAG_AUTO"][_in_the_open(scene, negative)]] * pictures
    parts = [
        _picture(scene, empty, sources, rng)
        for sources in _sowings(scene, shapes, [s * noise for s in signal_to_noise], pictures, spacing, rng)
    ]
    joined: dict[str, Any] = {
        k: np.concatenate([p[k] for p in parts]) for k in ("flux", "x", "y", "found", "ra", "dec")
    }
    names = parts[0]["rows"].names
    catalog = {name: np.concatenate([p["rows"][name] for p in parts]) for name in names}
    return Recovery(
        scene,
        shapes=tuple(shape for p in parts for shape in p["shapes"]),
        catalog={name: values.astype(values.dtype.newbyteorder("=")) for name, values in catalog.items()},
        false_mag=np.concatenate([*false, *(p["false"] for p in parts)]),
        **joined,
    )


def _sowings(
    scene: Scene,
    shapes: tuple[Shape, ...],
    fluxes: list[float],
    pictures: int,
    spacing: int,
    rng: np.random.Generator,
) -> Iterator[Planted]:
    for _ in range(pictures):
        x, y = scene.free_places(rng, spacing)
        flux = np.exp(rng.uniform(*np.log(fluxes), len(x)))
        kinds = [shapes[i] for i in rng.integers(len(shapes), size=len(x))]
        yield Planted(x, y, flux, tuple(s._replace(theta=rng.uniform(0, math.pi)) for s in kinds))


def _picture(
    scene: Scene, empty: fits.FITS_rec, sources: Planted, rng: np.random.Generator
) -> dict[str, Any]:
    rows = measured(scene.plant(sources, rng))
    row = nearest(sources.x, sources.y, rows)
    found = row >= 0
    other = np.setdiff1d(np.arange(len(rows)), row)
    false = nearest(rows["X_IMAGE"][other] - 1.0, rows["Y_IMAGE"][other] - 1.0, empty) < 0
    false &= _in_the_open(scene, rows)[other]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ra, dec = WCS(scene.header, naxis=2).all_pix2world(sources.x[found], sources.y[found], 0)
    return {
        "flux": sources.flux,
        "x": sources.x,
        "y": sources.y,
        "shapes": sources.shapes,
        "found": found,
        "rows": rows[row[found]],
        "ra": ra,
        "dec": dec,
        "false": rows["MAG_AUTO"][other][false],
    }


def _in_the_open(scene: Scene, rows: fits.FITS_rec) -> NDArray[np.bool_]:
    """Rows where a source might have been planted."""
    x, y = (np.rint(rows[name] - 1).astype(int) for name in ("X_IMAGE", "Y_IMAGE"))
    return ~scene.occupied[y, x]


def empty_apertures(scene: Scene, seed: int = 2) -> tuple[float, float]:
    """Scatter of `APERTURE` circles where a scene shows nothing; what independent pixels would give."""
    rng = np.random.default_rng(seed)
    data, noise = scene.residual
    x, y = (np.concatenate(v) for v in zip(*(scene.free_places(rng, 12) for _ in range(4)), strict=True))
    total, _, flag = sep.sum_circle(data, x, y, APERTURE / 2, mask=scene.bad, subpix=5)
    return width(total[(flag & sep.APER_HASMASKED) == 0]), noise * math.sqrt(math.pi) * APERTURE / 2


def losses(scene: Scene) -> dict[str, float]:
    """Median of MAG_AUTO less the total magnitude, at S/N > 100, of profiles with ever more light in the
    wings.

    The exponential has a scale length of 3 pixels and is not convolved with a PSF, which is a third as wide.
    """
    kinds = {"gaussian": star(2.2), "moffat": winged_star(2.2), "exponential": Shape("exponential", 3.0, 2.0)}
    return {
        name: recover(scene, (shape,), (100, 1000), 2, spacing=45).bias(100) for name, shape in kinds.items()
    }


def table(rows: Iterable[dict[str, float]]) -> str:
    """Rows as aligned text."""
    rows = list(rows)
    lines = ["  ".join(f"{name:>12}" for name in rows[0])]
    lines += [
        "  ".join(f"{v:12d}" if isinstance(v, int) else f"{v:12.3f}" for v in row.values()) for row in rows
    ]
    return "\n".join(lines)
