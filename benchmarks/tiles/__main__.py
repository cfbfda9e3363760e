"""Mosaics measured in tiles: beside the same ones measured whole, and the memory and time of large ones.

    python benchmarks/tiles [--side N] [--core N]
    python benchmarks/tiles --large

The first makes a drizzled mosaic (SCI, WHT) that fits both ways and compares the catalogs row by row. sep
deals the pixels between deblended neighbours by random numbers, in the order of detection: a control shows
what that alone does, the mosaic measured whole but without its first rows. Differences are those of rows that
both catalogs have; rows that stand alone are those without FLAGS of neighbours.

--large makes a drizzled mosaic of 20,000 x 20,000 pixels and a JWST i2d of 2 GB, and runs the handler with
1,769 MB, one CPU of Lambda. Peak memory is that of the process and its child together, what they share
counted once.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / name) for name in ("functions/runtime", "functions/sep_extract", "benchmarks")]

import mosaics  # noqa: E402
import numpy as np  # noqa: E402
import psutil  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from sep_extract import image as images  # noqa: E402
from sep_extract.catalog import Table, table_of  # noqa: E402
from sep_extract.chip import Chip, chips  # noqa: E402
from sep_extract.event import Config  # noqa: E402
from sep_extract.extract import measure  # noqa: E402
from sep_extract.flags import Flag  # noqa: E402
from sep_extract.tiles import measure_tiles  # noqa: E402
from sep_extract.whole import TILING, Tiling  # noqa: E402
from skyfan_function.storage import open_input  # noqa: E402

CUT = 512
ONE_CPU_MB = 1769
# What is compared, relative to which column: its own value, or its error.
COMPARED = {
    "X_IMAGE": "ERRX2_IMAGE", "XWIN_IMAGE": "ERRX2WIN_IMAGE", "FLUX_ISO": "FLUXERR_ISO",
    "FLUX_AUTO": "FLUXERR_AUTO", "FLUX_APER": "FLUXERR_APER", "FLUX_TOTAL": "FLUXERR_TOTAL",
    "FLUXERR_AUTO": "FLUXERR_AUTO", "ERRX2WIN_IMAGE": "ERRX2WIN_IMAGE", "KRON_RADIUS": "KRON_RADIUS",
    "FLUX_RADIUS": "FLUX_RADIUS", "BACKGROUND_RMS": "BACKGROUND_RMS",
}  # fmt: skip


def catalogs(path: Path, tiling: Tiling) -> dict[str, Table]:
    """The mosaic's catalog whole, in tiles, and whole without its first rows."""
    found = {}
    with open_input(path.as_uri()) as source, images.open_image(source) as image:
        for name, above in (("whole", sys.maxsize), ("tiles", 0)):
            images.TILED_ABOVE = above
            chip = next(chips(image, None, tiling))
            assert isinstance(chip, Chip)
            config, start = chip.configured(Config()), time.process_time()
            measured = measure_tiles(chip.parts, config) if chip.parts else measure(chip.pixels, config)
            seconds = time.process_time() - start
            print(f"{name}: {len(measured)} rows, {seconds:.1f} s of CPU time but for detection")
            found[name] = table_of(chip, measured)
            if name == "whole":
                planes = {n: v[CUT:] for n, v in vars(chip.pixels).items() if isinstance(v, np.ndarray)}
                control = table_of(chip, measure(replace(chip.pixels, **planes), config))
                found["control"] = control | {"Y_IMAGE": control["Y_IMAGE"] + CUT}
    return found


def matched(one: Table, other: Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of both catalogs in the same place, within a hundredth of a pixel."""
    places = {}
    for i, (x, y) in enumerate(zip(one["X_IMAGE"], one["Y_IMAGE"], strict=True)):
        places[round(x * 50), round(y * 50)] = i
    pairs = []
    for j, (x, y) in enumerate(zip(other["X_IMAGE"], other["Y_IMAGE"], strict=True)):
        near = [
            places.get((math.floor(x * 50) + dx, math.floor(y * 50) + dy)) for dx in (0, 1) for dy in (0, 1)
        ]
        pairs += [(i, j) for i in near if i is not None][:1]
    both = np.array(pairs, np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def compare(name: str, one: Table, other: Table) -> None:
    """Print how the rows of two catalogs differ."""
    i, j = matched(one, other)
    lonely = (one["FLAGS"][i] | other["FLAGS"][j]) & (Flag.CROWDED | Flag.BLENDED) == 0
    lonely &= (one["BLENDED_SHARE"][i] == 0) & (other["BLENDED_SHARE"][j] == 0)
    missing = 100 * (1 - len(i) / len(one["FLAGS"]))
    flags, kinds = (one[column][i] != other[column][j] for column in ("FLAGS", "CLASS"))
    print(
        f"{name}: {len(one['FLAGS'])} and {len(other['FLAGS'])} rows, {len(i)} in the same places "
        f"({missing:.2f} % missing), {np.count_nonzero(lonely)} of these alone; other FLAGS: "
        f"{np.count_nonzero(flags & lonely)} of those alone, {np.count_nonzero(flags & ~lonely)} of others; "
        f"other CLASS: {np.count_nonzero(kinds)}"
    )
    for column, scale in COMPARED.items():
        ours, theirs, unit = (
            np.asarray(table[name][k], float).reshape(len(k), -1)[:, -1]
            for table, name, k in ((other, column, j), (one, column, i), (one, scale, i))
        )
        is_variance = scale.startswith("ERR") and scale != column
        with np.errstate(divide="ignore", invalid="ignore"):
            off = np.abs(ours - theirs) / (np.sqrt(unit) if is_variance else np.abs(unit))
        known = np.isfinite(off)
        alone, every = off[known & lonely], off[known]
        print(
            f"  {column:15} relative to {scale:15} alone: median {np.median(alone):.1e}, 99.9 % below "
            f"{np.quantile(alone, 0.999):.1e}, largest {alone.max():.1e}; all: 99 % below "
            f"{np.quantile(every, 0.99):.1e}"
        )


CODE = """
import json, sys, types
sys.path[:0] = sys.argv[1:3]
from sep_extract.handler import handler
limits = types.SimpleNamespace(memory_limit_in_mb=sys.argv[4])
found = handler({"input": sys.argv[3]}, limits)
print(json.dumps([found["sources"], found["notes"]]))
"""


def shared_once(process: psutil.Process) -> int:
    """Bytes that a process and its children hold."""
    total = 0
    for each in (process, *process.children(recursive=True)):
        try:
            total += each.memory_full_info().pss
        except psutil.Error:
            continue
    return total


def run(path: Path, memory_mb: int) -> tuple[float, float, float, str]:
    """A fresh process with this limit measures a file: peak MB, seconds of CPU and of all time, answer."""
    folders = [str(ROOT / "functions" / name) for name in ("runtime", "sep_extract")]
    command = [sys.executable, "-c", CODE, *folders, path.as_uri(), str(memory_mb)]
    start, peak, cpu = time.perf_counter(), 0, 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        process = psutil.Process(child.pid)
        while child.poll() is None:
            try:
                peak = max(peak, shared_once(process))
                used = process.cpu_times()
                cpu = used.user + used.system + used.children_user + used.children_system
            except psutil.Error:
                break
            time.sleep(0.05)
        assert child.stdout is not None
        said = child.stdout.read().splitlines()[-1]
    return peak / 2**20, cpu, time.perf_counter() - start, said


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="benchmarks/tiles"
    )
    parser.add_argument(
        "--side", type=int, default=6000, help="of the mosaic, in pixels (default: %(default)s)"
    )
    parser.add_argument("--core", type=int, default=TILING.core, help="side of a tile (default: %(default)s)")
    parser.add_argument("--large", action="store_true", help="memory and time of large mosaics")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.environ["SKYFAN_OUTPUT"] = Path(name).as_uri() + "/runs/{run}/catalogs/{key}.cat.fits"
        path = Path(name) / "mosaic_drc.fits"
        if not options.large:
            mosaics.make(path, options.side)
            found = catalogs(path, replace(TILING, core=options.core))
            compare("tiles beside whole", found["whole"], found["tiles"])
            some: list[dict[str, Any]] = [
                {column: values[t["Y_IMAGE"] > 2 * CUT] for column, values in t.items()}
                for t in (found["whole"], found["control"])
            ]
            compare(f"control, {CUT} rows less", *some)
            return
        for file, side, planes in (
            ("mosaic_drc.fits", 20_000, mosaics.DRIZZLED),
            ("mosaic_i2d.fits", 8_450, mosaics.RESAMPLED),
        ):
            path = mosaics.make(Path(name) / file, side, planes, per_megapixel=50)
            peak, cpu, wall, said = run(path, ONE_CPU_MB)
            print(
                f"{file}, {side} x {side}, {path.stat().st_size / 1e9:.1f} GB, with {ONE_CPU_MB} MB: peak "
                f"{peak:.0f} MB, {cpu:.0f} s of CPU time, {wall:.0f} s\n  {said}",
                flush=True,
            )
            path.unlink()


if __name__ == "__main__":
    main()
