"""The warm handler on real images, beside the bare sep calls for the same columns and beside SExtractor.

    python benchmarks/extract [--json] [--repeat N] [FILE…]
    python benchmarks/extract --full-size
    python benchmarks/extract --memory

Times are seconds, the median over repeats in which the contenders take turns; a ratio is the median of the
ratios of CPU time within a turn. SExtractor gets the same pixels, mask, noise and settings. There is no ratio
where the work is not the same: numbers of sources that differ by more than 10 %, or less than 90 % of
SExtractor's sources of S/N 10 in their places. Such an image is measured once more without its DQ mask. Peak
memory is that of a fresh process that measures the image once. Without FILE: images of the demo, and the
whole files of $SKYFAN_SHARED_DATA (or ../shared/data) where they are. Gzipped files are unpacked first: the
archive's are not gzipped. --full-size takes the frames of benchmarks/full_size.py instead: WFC3/IR,
WFC3/UVIS, ACS/WFC and a mosaic. --memory prints the bytes that a pixel takes with each set of planes, beside
what skyfan_contract allows for it.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import itertools
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / name) for name in ("functions/runtime", "functions/sep_extract", "benchmarks")]

import numpy as np  # noqa: E402
import psutil  # noqa: E402
import sep  # noqa: E402
import sextractor  # noqa: E402
from astropy.io import fits  # noqa: E402
from full_size import FULL_SIZE  # noqa: E402

from sep_extract import image as images  # noqa: E402
from sep_extract.chip import Chip, chips  # noqa: E402
from sep_extract.event import Config  # noqa: E402
from sep_extract.extract import Measurement, measure  # noqa: E402
from sep_extract.handler import handler  # noqa: E402
from sep_extract.image import open_image  # noqa: E402
from sep_extract.planes import COMPANIONS  # noqa: E402
from skyfan_contract import BYTES_PER_PIXEL  # noqa: E402
from skyfan_function.storage import open_input  # noqa: E402

NAMES = ("abell2744_f105w_drz.fits", "j8bt06nyq_flt.fits")
WHOLE = (
    "ib6o23rtq_sci1_blt.fits.gz",
    "ib6o23rsq_flt.fits.gz",
    "j8bt06nyq_sip_flt.fits.gz",
    "j8bt06nyq_square_drz.fits.gz",
    "abell_2744_cd_galaxy_f105w.fits.gz",
)

# Beyond these the work of two programs is not the same.
MOST_OTHER, LEAST_MATCHED = 0.1, 0.9
ALL_BITS = 0xFFFF


def bare_sep(chip: Chip, config: Config) -> int:
    """sep's own calls for the same columns, with the same sampling, on arrays in memory."""
    sep.set_extract_pixstack(max(300_000, chip.data.size // 4))
    model = sep.Background(chip.data, mask=chip.mask)
    data = chip.data - model.back()
    noise = model.rms() if chip.weight is not None else model.globalrms
    found, segments = sep.extract(
        data,
        config.detect_thresh,
        err=noise,
        mask=chip.mask,
        minarea=config.detect_minarea,
        filter_type="conv",
        deblend_nthresh=config.deblend_nthresh,
        deblend_cont=config.contrast,
        clean=config.clean,
        clean_param=config.clean_param,
        segmentation_map=True,
    )
    theta = np.clip(found["theta"], -np.pi / 2, np.pi / 2)
    where = found["x"], found["y"]
    shape = *where, found["a"], found["b"], theta
    own = {"mask": chip.mask, "segmap": segments, "seg_id": np.arange(1, len(found) + 1, dtype=np.int32)}
    error = chip.error if chip.error is not None else model.globalrms
    kron, _ = sep.kron_radius(data, *shape, 6.0, **own)
    kron = np.maximum(2.5 * np.nan_to_num(kron), 3.5)
    flux, _, _ = sep.sum_ellipse(data, *shape, kron, err=error, subpix=1, **own)
    for diameter in config.phot_apertures:
        sep.sum_circle(data, *where, diameter / 2 / (chip.sky.scale or 1.0), err=error, subpix=5, **own)
    half, _ = sep.flux_radius(data, *where, kron * found["a"], 0.5, normflux=flux, subpix=5, **own)
    sep.winpos(data, *where, 2 / 2.35 * np.nan_to_num(half), mask=chip.mask, subpix=1)
    return len(found)


def cpu_and_wall(work: Callable[[], Any]) -> tuple[float, float]:
    """CPU seconds of this process and its children, and seconds on the wall."""

    def cpu() -> float:
        ended = sum(
            sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        # Of children that are kept nothing has been counted yet: their clocks, as of clock_getcpuclockid().
        return ended + sum(
            time.clock_gettime(~child.pid << 3 | 2) for child in psutil.Process().children(recursive=True)
        )

    start_cpu, start = cpu(), time.perf_counter()
    work()
    return cpu() - start_cpu, time.perf_counter() - start


def peak_memory(path: Path) -> int:
    """Peak resident MB of a fresh process that handles one image: its own or its detection child's."""
    code = (
        "import pathlib, resource, sys; sys.path[:0] = sys.argv[1:3]\n"
        "from sep_extract.handler import handler\n"
        "handler({'input': sys.argv[3]}, None)\n"
        "child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss\n"
        # A process inherits ru_maxrss from the one that started it; VmHWM starts anew.
        "own = pathlib.Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]\n"
        "print(max(child, int(own)))"
    )
    folders = [str(ROOT / "functions" / name) for name in ("runtime", "sep_extract")]
    command = [sys.executable, "-c", code, *folders, path.as_uri()]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return int(output.split()[-1]) >> 10


PLANES = ("", "ERR", "WHT", "WHT CTX", "ERR DQ", "ERR WHT", "ERR DQ AREA")


def bytes_a_pixel(names: str, folder: Path) -> tuple[float, float, int]:
    """Of a field of stars with these planes: measured, megabytes besides, and what the contract allows."""
    rng = np.random.default_rng(1)
    kinds = {name: kind for kind, known in COMPANIONS.items() for name in known}
    peaks = []
    for side in (1500, 3000):
        data = rng.normal(10, 1, (side, side)).astype(np.float32)
        y, x = np.mgrid[-7:8, -7:8]
        for at in itertools.product(range(20, side - 20, 60), repeat=2):
            data[at[0] - 7 : at[0] + 8, at[1] - 7 : at[1] + 8] += 57 * np.exp(-(x**2 + y**2) / 4.5)
        hdus = [fits.PrimaryHDU(), fits.ImageHDU(data, fits.Header({"BUNIT": "MJy/sr"}), name="SCI")]
        for name in names.split():
            plane = np.zeros(data.shape, np.uint32) if name in ("DQ", "CTX") else np.ones_like(data)
            hdus.append(fits.ImageHDU(plane, name=name))
        path = folder / f"{side}.fits"
        fits.HDUList(hdus).writeto(path, overwrite=True)
        peaks.append(peak_memory(path))
        path.unlink()
    slope = (peaks[1] - peaks[0]) * 2**20 / (3000**2 - 1500**2)
    # CTX is read when the rest has been measured.
    read = ("science", *(kinds[name] for name in names.split() if name in kinds))
    allowed = sum(BYTES_PER_PIXEL[kind] for kind in read)
    return round(slope, 1), peaks[0] - slope * 1500**2 / 2**20, allowed


def agree(chip: Chip, found: Measurement, config: Config) -> bool:
    """Whether SExtractor measures the same sources as SepExtract, so that times can be compared."""
    result = sextractor.agreement_on(chip, found, config)
    other = abs(result["sextractor"] - result["sources"])
    return other <= MOST_OTHER * result["sources"] and result["matched"] >= LEAST_MATCHED


def measure_image(path: Path, repeat: int, good_bits: int | None = None) -> dict[str, Any]:
    """One row of the table; with ``good_bits``, those that mask no pixel."""
    given = Config(good_bits=good_bits)
    # The others take whole images, also where SepExtract goes by tiles.
    whole = patch.object(images, "TILED_ABOVE", sys.maxsize)
    with whole, open_input(path.as_uri()) as source, open_image(source) as image:
        planes = [(c, c.configured(given)) for c in chips(image, good_bits) if isinstance(c, Chip)]
    measured = [measure(chip.pixels, config) for chip, config in planes]
    event = {"input": path.as_uri(), "config": {} if good_bits is None else {"good_bits": good_bits}}

    def handle() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            handler(event, None)

    count = sum(map(len, measured))
    bare = sum(bare_sep(chip, config) for chip, config in planes)
    contenders: dict[str, Callable[[], Any]] = {"handler": handle}
    if abs(bare - count) <= MOST_OTHER * count:
        contenders["bare"] = lambda: [bare_sep(chip, config) for chip, config in planes]
    with tempfile.TemporaryDirectory() as name:
        both = [(chip, found, config) for (chip, config), found in zip(planes, measured, strict=True)]
        if sextractor.PROGRAM and all(agree(*each) for each in both):
            commands = []
            for chip, found, config in both:
                folder = Path(name) / str(chip.hdu)
                folder.mkdir()
                commands.append((sextractor.write_inputs(chip, config, found.rms, folder), folder))
            contenders["sextractor"] = lambda: [
                subprocess.run(c, cwd=f, check=True, capture_output=True) for c, f in commands
            ]
        handle()
        turns = [{k: cpu_and_wall(work) for k, work in contenders.items()} for _ in range(repeat)]

    def median(key: str, which: int) -> float:
        return round(statistics.median(t[key][which] for t in turns), 3)

    def ratio(other: str) -> float:
        return round(statistics.median(t["handler"][0] / t[other][0] for t in turns), 2)

    row: dict[str, Any] = {
        "image": path.name,
        "masked": good_bits is None,
        "megapixels": round(sum(chip.data.size for chip, _ in planes) / 1e6, 2),
        "sources": count,
        "handler_cpu": median("handler", 0),
        "handler_wall": median("handler", 1),
    }
    for other in ("bare", "sextractor"):
        there = other in contenders
        row |= {f"{other}_cpu": median(other, 0) if there else None}
        row |= {f"over_{other}": ratio(other) if there else None}
    return row | {"peak_mb": peak_memory(path)}


def made(folder: Path) -> Iterator[Path]:
    """Full-size frames, one after another."""
    for frame, sources in FULL_SIZE:
        path = folder / f"{frame.name}_{sources}.fits"
        frame.write(path, sources)
        yield path


def unpacked(files: list[Path], folder: Path) -> Iterator[Path]:
    """Copies of the files, or of those of the demo and the shared ones that are there, not gzipped."""
    shared = Path(os.environ.get("SKYFAN_SHARED_DATA") or ROOT.parent / "shared/data")
    usual = [ROOT / "tests/data/demo" / n for n in NAMES]
    usual += [shared / n for n in WHOLE if (shared / n).exists()]
    for file in files or usual:
        path = folder / file.name.removesuffix(".gz")
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as packed, path.open("wb") as plain:
            shutil.copyfileobj(packed, plain)
        yield path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="benchmarks/extract"
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--memory", action="store_true", help="measure the memory of a pixel")
    parser.add_argument("--full-size", action="store_true", help="frames of benchmarks/full_size.py")
    options = parser.parse_args()
    if options.memory:
        with tempfile.TemporaryDirectory() as name:
            os.environ["SKYFAN_OUTPUT"] = Path(name).as_uri() + "/runs/{run}/catalogs/{key}.cat.fits"
            for names in PLANES:
                slope, base, allowed = bytes_a_pixel(names, Path(name))
                print(f"{'SCI ' + names:20} {slope} bytes a pixel, {allowed} allowed; {base:.0f} MB besides")
        return
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        os.environ["SKYFAN_OUTPUT"] = Path(name).as_uri() + "/runs/{run}/catalogs/{key}.cat.fits"
        for path in made(Path(name)) if options.full_size else unpacked(options.files, Path(name)):
            for good_bits in (None, ALL_BITS):
                row = measure_image(path, options.repeat, good_bits)
                if not (rows or options.json):
                    print("  ".join(f"{key:>15}" for key in row))
                if not options.json:
                    print("  ".join(f"{str(value)[:15]:>15}" for value in row.values()), flush=True)
                rows.append(row)
                if row["over_sextractor"] is not None or not sextractor.PROGRAM:
                    break
            path.unlink()
    if options.json:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
