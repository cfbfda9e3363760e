"""SExtractor on a plane that SepExtract has read, same settings: the reference of tests and benchmarks.

Everything is SExtractor's own: background mesh, filtering, deblending, cleaning, photometry. It is handed the
calibrated pixels and the mask, from the first to the last usable row and column: meshes begin there in both.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from sep_extract import detection
from sep_extract.background import usable_box
from sep_extract.catalog import table_of
from sep_extract.checkimages import CARD, CheckImages
from sep_extract.chip import Chip, chips
from sep_extract.dual import measure_placed
from sep_extract.event import CHECKS, Config
from sep_extract.extract import Measurement, measure
from sep_extract.image import open_image
from sep_extract.labels import Labels
from sep_extract.quality import Quality
from skyfan_function.storage import Source, open_input

PROGRAM = shutil.which("source-extractor") or shutil.which("sex")

# The quantities of SepExtract's catalog that SExtractor can measure too, positions on the sky aside: it reads
# no lookup tables.
PARAMETERS = """
NUMBER X_IMAGE Y_IMAGE ERRX2_IMAGE ERRY2_IMAGE ERRXY_IMAGE
XWIN_IMAGE YWIN_IMAGE ERRX2WIN_IMAGE ERRY2WIN_IMAGE ERRXYWIN_IMAGE
A_IMAGE B_IMAGE THETA_IMAGE ELONGATION FWHM_IMAGE ISOAREA_IMAGE ISOAREAF_IMAGE
FLUX_ISO FLUXERR_ISO MAG_ISO MAGERR_ISO FLUX_AUTO FLUXERR_AUTO MAG_AUTO MAGERR_AUTO KRON_RADIUS FLUX_RADIUS
FLUX_APER({n}) FLUXERR_APER({n}) MAG_APER({n}) MAGERR_APER({n}) MU_MAX BACKGROUND FLAGS
"""

# Mask values: far above any noise and still finite when squared in float32.
_NEVER = 1e10


def write_inputs(
    chip: Chip, config: Config, rms: float, folder: Path, checks: Mapping[str, str] | None = None
) -> list[str]:
    """Write image, noise and parameter files to ``folder``; return the command.

    ``rms`` is the noise of the map that a mask needs. The image is the part that ``usable_box`` has.
    ``checks``: check images to make, by CHECKIMAGE_TYPE, and the names of their files.
    """
    box = usable_box(chip.mask)
    mask = chip.mask[box]
    fits.writeto(folder / "image.fits", chip.data[box], overwrite=True)
    scale = chip.sky.scale or 1.0
    count = len(config.phot_apertures)
    (folder / "columns.param").write_text("\n".join(PARAMETERS.format(n=count).split()))
    kernel = "CONV NORM\n1 2 1\n2 4 2\n1 2 1\n"
    (folder / "pyramid.conv").write_text(kernel)
    options: dict[str, Any] = {
        "CATALOG_NAME": "catalog.fits",
        "CATALOG_TYPE": "FITS_1.0",
        "PARAMETERS_NAME": "columns.param",
        "DETECT_THRESH": config.detect_thresh,
        "ANALYSIS_THRESH": config.detect_thresh,
        "DETECT_MINAREA": config.detect_minarea,
        "FILTER": "Y" if config.filter else "N",
        "FILTER_NAME": "pyramid.conv",
        "BACK_SIZE": config.back_size,
        "BACK_FILTERSIZE": config.back_filtersize,
        "DEBLEND_NTHRESH": config.deblend_nthresh,
        "DEBLEND_MINCONT": config.contrast,
        "CLEAN": "Y" if config.clean else "N",
        "CLEAN_PARAM": config.clean_param,
        "MASK_TYPE": "CORRECT",
        "PHOT_AUTOPARAMS": ",".join(map(str, config.phot_autoparams)),
        "PHOT_APERTURES": ",".join(f"{d / scale:.6f}" for d in config.phot_apertures),
        "MAG_ZEROPOINT": chip.calibration.zeropoint or 0.0,
        "GAIN": chip.calibration.gain or 0.0,
        "PIXEL_SCALE": scale,
        "VERBOSE_TYPE": "QUIET",
        # Else it paints over the edge of the mask, and sources there grow.
        "INTERP_TYPE": "NONE",
        # The defaults overflow on crowded fields, and then sources are lost.
        "MEMORY_PIXSTACK": 3_000_000,
        "MEMORY_OBJSTACK": 30_000,
        "MEMORY_BUFSIZE": 8192,
    }
    if checks:
        options |= {"CHECKIMAGE_TYPE": ",".join(checks), "CHECKIMAGE_NAME": ",".join(checks.values())}
    if chip.weight is not None:
        fits.writeto(folder / "weight.fits", np.where(mask, 0, chip.weight[box]), overwrite=True)
        options |= {
            "WEIGHT_TYPE": "MAP_WEIGHT",
            "WEIGHT_IMAGE": "weight.fits",
            "WEIGHT_GAIN": "N",
            "INTERP_TYPE": "NONE",
        }
    elif mask.any():
        fits.writeto(folder / "rms.fits", np.where(mask, _NEVER, rms).astype(np.float32), overwrite=True)
        options |= {
            "WEIGHT_TYPE": "MAP_RMS",
            "WEIGHT_IMAGE": "rms.fits",
            "WEIGHT_GAIN": "N",
            "INTERP_TYPE": "NONE",
        }
        options["WEIGHT_THRESH"] = _NEVER / 10
    # SExtractor wants a configuration file; an empty one leaves its defaults and prints nothing.
    (folder / "default.sex").write_text("")
    flags = [word for key, value in options.items() for word in (f"-{key}", str(value))]
    return [str(PROGRAM), "image.fits", "-c", "default.sex", *flags]


def run(chip: Chip, config: Config, rms: float) -> Table:
    """SExtractor's catalog of one chip, before measuring has subtracted the background in place."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(write_inputs(chip, config, rms, folder), cwd=folder, check=True, capture_output=True)
        catalog = Table.read(folder / "catalog.fits")
    for axis, part in zip("YX", usable_box(chip.mask), strict=True):
        for name in (f"{axis}_IMAGE", f"{axis}WIN_IMAGE"):
            catalog[name] += part.start or 0
    return catalog


def check_images(chip: Chip, config: Config, rms: float) -> tuple[Table, dict[str, NDArray[Any]]]:
    """SExtractor's catalog of one chip, and its check images by CHECKIMAGE_TYPE, of the usable box."""
    checks = {
        "SEGMENTATION": "s.fits",
        "BACKGROUND": "b.fits",
        "BACKGROUND_RMS": "r.fits",
        "-BACKGROUND": "m.fits",
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = write_inputs(chip, config, rms, folder, checks)
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        images = {kind: np.array(fits.getdata(folder / file)) for kind, file in checks.items()}
        return Table.read(folder / "catalog.fits"), images


def compare(reference: Table, x: NDArray[Any], y: NDArray[Any], magnitude: NDArray[Any]) -> dict[str, float]:
    """How sources at 1-based ``x``, ``y`` agree with SExtractor's of S/N > 10 and FLAGS < 4.

    The share that has a counterpart within 0.5 pixel, and for those the median differences.
    """
    good = (reference["FLUX_AUTO"] > 10 * reference["FLUXERR_AUTO"]) & (reference["FLAGS"] < 4)
    chosen = reference[good]
    order = np.argsort(x, kind="stable")
    nearest = np.full(len(chosen), -1)
    distance = np.full(len(chosen), np.inf)
    for i, (rx, ry) in enumerate(zip(chosen["X_IMAGE"], chosen["Y_IMAGE"], strict=True)):
        low, high = np.searchsorted(x[order], [rx - 0.5, rx + 0.5])
        near = order[low:high]
        if len(near):
            gap = np.hypot(x[near] - rx, y[near] - ry)
            nearest[i], distance[i] = near[np.argmin(gap)], gap.min()
    matched = distance < 0.5
    difference = magnitude[nearest[matched]] - chosen["MAG_AUTO"][matched]
    return {
        "reference": len(chosen),
        "matched": float(matched.mean()) if len(chosen) else 1.0,
        "median_dmag": float(np.nanmedian(np.abs(difference))) if matched.any() else 0.0,
        "median_shift": float(np.median(distance[matched])) if matched.any() else 0.0,
    }


def agreement(path: Path, config: Config) -> dict[str, float]:
    """Measure the first chip of a file with both: how many sources each finds, and how they agree."""
    chip, config = _first(path, config)
    return agreement_on(chip, measure(chip.pixels, config), config)


def dual_agreement(path: Path, config: Config, seed: int = 0) -> dict[str, float]:
    """How fluxes agree in dual-image mode: detected on the first chip of a file, measured on another image.

    The other is made of it: 0.4 of its light, shifted by a third of a pixel, with as much noise and a
    gradient. Relative differences of fluxes of S/N above 10, SExtractor's FLAGS below 4 and one Kron radius,
    medians and 90 % quantiles.
    """
    chip, config = _first(path, config)
    labels = Labels(chip.shape)
    first = measure(chip.pixels, config, labels.whole)
    ny, nx = chip.data.shape
    noise = np.random.default_rng(seed).normal(0, first.rms, (ny, nx)) + first.rms * np.arange(nx) / nx
    light = (2 * chip.data + np.roll(chip.data, 1, axis=1)) / 3
    other = replace(chip, data=np.where(chip.mask, 0, 0.4 * light + noise).astype(np.float32), weight=None)
    known = detection.Detection(
        Source(path.resolve().as_uri(), io.BytesIO(), 0, ""),
        first.sources,
        table_of(chip, first),
        np.zeros(len(first), np.int16),
        [detection.Plane((ny, nx), chip.sky, labels, 0, len(first))],
        0,
        [],
        Quality.NONE,
    )
    grid = detection.Grid(known, other, 0)
    placed = grid.placed(np.ones(len(first), dtype=bool))
    ours = table_of(other, measure_placed(other, placed, grid, config, None)[0])
    theirs = _run_dual(chip, other, config, first.rms)
    distance = np.hypot(
        *(ours[f"{axis}_IMAGE"][:, None] - np.asarray(theirs[f"{axis}_IMAGE"]) for axis in "XY")
    )
    theirs, close = theirs[distance.argmin(axis=1)], distance.min(axis=1) < 0.01
    close &= (theirs["FLAGS"] < 4) & (np.abs(theirs["KRON_RADIUS"] / ours["KRON_RADIUS"] - 1) < 1e-3)
    result: dict[str, float] = {"sources": len(first), "alike": int(close.sum())}
    for kind in ("ISO", "AUTO"):
        some = close & (theirs[f"FLUX_{kind}"] > 10 * theirs[f"FLUXERR_{kind}"])
        apart = np.abs(ours[f"FLUX_{kind}"] / np.asarray(theirs[f"FLUX_{kind}"]) - 1)[some]
        result[f"{kind} compared"] = len(apart)
        result[f"{kind} median"], result[f"{kind} 90 %"] = (float(np.quantile(apart, q)) for q in (0.5, 0.9))
    return result


def _first(path: Path, config: Config) -> tuple[Chip, Config]:
    """The first chip of a file, and the settings for it."""
    with open_input(path.resolve().as_uri()) as source, open_image(source) as image:
        chip = next(chips(image, config.good_bits))
    if isinstance(chip, str):
        raise ValueError(chip)
    return chip, chip.configured(config)


def _run_dual(chip: Chip, other: Chip, config: Config, rms: float) -> Table:
    """SExtractor's catalog of the ``other`` chip, on the same grid, with detection on the first."""
    box = usable_box(chip.mask)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = write_inputs(chip, config, rms, folder)
        fits.writeto(folder / "other.fits", other.data[box])
        command[1] = "image.fits,other.fits"
        if "-WEIGHT_TYPE" in command:  # those of the second image stand after a comma
            command[command.index("-WEIGHT_TYPE") + 1] += ",NONE"
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        catalog = Table.read(folder / "catalog.fits")
    for axis, part in zip("YX", box, strict=True):
        catalog[f"{axis}_IMAGE"] += part.start or 0
    return catalog


def checks_agreement(path: Path, config: Config) -> dict[str, float]:
    """How the check images of the first chip of a file agree with SExtractor's.

    Segments as in _same_segments(), of sources of S/N above 10. Background, noise and residual: medians and
    99 % quantiles of differences, in sigma. ``bytes``: bytes per
    pixel of the four images; ``seconds`` of CPU per million pixels that they take.
    """
    chip, config = _first(path, config)
    began = time.process_time()
    plain = measure(chip.pixels, config)
    alone, began = time.process_time() - began, time.process_time()
    images = CheckImages(CHECKS, chip, path.name, 0)
    measure(chip.pixels, config, images.whole)
    hdus = images.hdus()
    spent = time.process_time() - began - alone
    box, top = usable_box(chip.mask), fits.PrimaryHDU().header.tostring().encode()
    ours = {}
    for kind, body in hdus.items():
        with fits.open(io.BytesIO(top + body)) as opened:
            ours[CARD[kind][0]] = opened[1].data[box]
    reference, theirs = check_images(chip, config, plain.rms)
    good = reference["FLUX_AUTO"] > 10 * reference["FLUXERR_AUTO"]
    result = _same_segments(ours["SEGMENTATION"], theirs["SEGMENTATION"], reference["NUMBER"][good])
    usable = ~chip.mask[box]
    for kind in ("BACKGROUND", "BACKGROUND_RMS", "-BACKGROUND"):
        if kind == "BACKGROUND_RMS" and (chip.weight is not None or chip.mask[box].any()):
            continue  # SExtractor shows the map that it is given
        apart = np.abs(ours[kind] - theirs[kind])[usable] / plain.rms
        result[f"{kind} median"], result[f"{kind} 99 %"] = (float(np.quantile(apart, q)) for q in (0.5, 0.99))
    for kind, body in hdus.items():
        result[f"{kind} bytes"] = len(body) / chip.data.size
    return {**result, "seconds": spent / chip.data.size * 1e6}


def _same_segments(ours: NDArray[Any], theirs: NDArray[Any], numbers: NDArray[Any]) -> dict[str, float]:
    """``detected``: of the pixels of any segment, the share that both have in one. ``pixels``: the share of
    those in a segment that is the counterpart of the other's. ``segments``: of ``numbers``, the share whose
    pixels are all those of one of ours.
    """
    one, other = ours.ravel().astype(np.int64), theirs.ravel().astype(np.int64)
    both, either = (one > 0) & (other > 0), (one > 0) | (other > 0)
    pairs, common = np.unique(np.stack([one[both], other[both]]), axis=1, return_counts=True)
    sizes = np.bincount(one)[pairs[0]], np.bincount(other)[pairs[1]]
    alike = 2 * common > np.maximum(*sizes)
    equal = (common == sizes[0]) & (common == sizes[1])
    return {
        "detected": float(both.sum() / either.sum()),
        "pixels": float(common[alike].sum() / both.sum()),
        "segments": float(np.isin(numbers, pairs[1][equal]).mean()),
    }


def agreement_on(chip: Chip, found: Measurement, config: Config) -> dict[str, float]:
    """How many sources SExtractor finds on a chip beside those ``found``, and how they agree."""
    # Only where there is a mask does SExtractor need to be told the noise, and then it is told ours.
    reference = run(chip, config, found.rms)
    flux = found.sources.photometry.flux_auto * found.unit
    zero = chip.calibration.zeropoint or 0.0
    magnitude = zero - 2.5 * np.log10(np.where(flux > 0, flux, np.nan))
    result = compare(reference, found.sources.isophotal.x + 1, found.sources.isophotal.y + 1, magnitude)
    return {"sources": len(found), "sextractor": len(reference), **result}
