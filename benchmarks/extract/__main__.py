"""The warm handler on real images, beside the bare sep calls for the same columns and beside SExtractor.

    python benchmarks/extract [--json] [--repeat N] [FILE…]

Times are seconds, the median over repeats in which the contenders take turns; a ratio is the median of the
ratios of CPU time within a turn. Peak memory is that of a fresh process that measures the image once. Without
FILE: images of the demo, and the whole files of $SKYFAN_SHARED_DATA (or ../shared/data) where they are.
Gzipped files are unpacked first: the archive's are not gzipped.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "functions/sep_extract"), str(ROOT / "benchmarks")]

import numpy as np  # noqa: E402
import sep  # noqa: E402
import sextractor  # noqa: E402

from sep_extract.chip import Chip, chips  # noqa: E402
from sep_extract.event import Config  # noqa: E402
from sep_extract.handler import handler  # noqa: E402
from sep_extract.image import open_image  # noqa: E402
from sep_extract.storage import open_input  # noqa: E402

NAMES = ("abell2744_f105w_drz.fits", "j8bt06nyq_flt.fits")
WHOLE = (
    "ib6o23rtq_sci1_blt.fits.gz",
    "ib6o23rsq_flt.fits.gz",
    "j8bt06nyq_sip_flt.fits.gz",
    "j8bt06nyq_square_drz.fits.gz",
    "abell_2744_cd_galaxy_f105w.fits.gz",
)


def bare_sep(chip: Chip, config: Config) -> int:
    """sep's own calls for the same columns, with the same sampling, on arrays in memory."""
    sep.set_extract_pixstack(max(300_000, chip.data.size // 4))
    model = sep.Background(chip.data, mask=chip.mask)
    data = chip.data - model.back()
    noise = model.rms() if chip.weight is not None else model.globalrms
    found, segments = sep.extract(
        data, config.detect_thresh, err=noise, mask=chip.mask, filter_type="conv", segmentation_map=True
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
        return sum(
            sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )

    start_cpu, start = cpu(), time.perf_counter()
    work()
    return cpu() - start_cpu, time.perf_counter() - start


def peak_memory(path: Path) -> int:
    """Peak resident MB of a fresh process that handles one image: its own or its detection child's."""
    code = (
        "import pathlib, resource, sys; sys.path.insert(0, sys.argv[1])\n"
        "from sep_extract.handler import handler\n"
        "handler({'input': sys.argv[2]}, None)\n"
        "child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss\n"
        # A process inherits ru_maxrss from the one that started it; VmHWM starts anew.
        "own = pathlib.Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]\n"
        "print(max(child, int(own)))"
    )
    command = [sys.executable, "-c", code, str(ROOT / "functions/sep_extract"), path.as_uri()]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return int(output.split()[-1]) >> 10


def measure_image(path: Path, repeat: int) -> dict[str, Any]:
    """One row of the table."""
    config = Config()
    with open_input(path.as_uri()) as source, open_image(source) as image:
        planes = [c for c in chips(image) if isinstance(c, Chip)]

    def handle() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            handler({"input": path.as_uri()}, None)

    contenders: dict[str, Callable[[], Any]] = {
        "handler": handle,
        "bare": lambda: [bare_sep(c, config) for c in planes],
    }
    with tempfile.TemporaryDirectory() as name:
        if sextractor.PROGRAM:
            commands = []
            for plane in planes:
                folder = Path(name) / str(plane.hdu)
                folder.mkdir()
                commands.append((sextractor.write_inputs(plane, config, 1.0, folder), folder))
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
        "megapixels": round(sum(c.data.size for c in planes) / 1e6, 2),
        "sources": sum(bare_sep(c, config) for c in planes),
        "handler_cpu": median("handler", 0),
        "handler_wall": median("handler", 1),
    }
    for other in ("bare", "sextractor"):
        if other in contenders:
            row |= {f"{other}_cpu": median(other, 0), f"over_{other}": ratio(other)}
    return row | {"peak_mb": peak_memory(path)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="benchmarks/extract"
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    shared = Path(os.environ.get("SKYFAN_SHARED_DATA") or ROOT.parent / "shared/data")
    files = options.files or [
        *(ROOT / "tests/data/demo" / n for n in NAMES),
        *(shared / n for n in WHOLE if (shared / n).exists()),
    ]
    rows = []
    with tempfile.TemporaryDirectory() as name:
        os.environ["SKYFAN_OUTPUT"] = Path(name).as_uri() + "/runs/{run}/catalogs/{key}.cat.fits"
        for file in files:
            path = Path(name) / file.name.removesuffix(".gz")
            with (
                gzip.open(file) if file.suffix == ".gz" else file.open("rb") as packed,
                path.open("wb") as plain,
            ):
                shutil.copyfileobj(packed, plain)
            row = measure_image(path, options.repeat)
            if not (rows or options.json):
                print("  ".join(f"{key:>15}" for key in row))
            if not options.json:
                print("  ".join(f"{str(value)[:15]:>15}" for value in row.values()), flush=True)
            rows.append(row)
    if options.json:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
