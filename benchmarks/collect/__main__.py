"""Many catalogs to one data set, and circles on the sky in it, beside the same with astropy.

    python benchmarks/collect [--json] [--catalogs 10000] [--beside 100]

Catalogs are those of the demo's images, each copy at a place of its own. The collection runs in a fresh
process, whose peak memory is told; a second one follows where nothing is new, and a third after one catalog
in a hundred came to it. Beside astropy: 100 catalogs, `Table.read` of each and one `vstack`, against collect,
three times in turns; the ratio is the median of the turns' ratios of CPU time, which other work on the
machine touches least. Imports are counted on neither side. Then a circle of 5 arcsec in their sources, by the
whole table in memory and by search, the median of 20.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [
    str(ROOT / name) for name in ("invoke", "functions/runtime", "functions/sep_extract", "benchmarks")
]

import numpy as np  # noqa: E402
from standins import catalogs  # noqa: E402
from standins.processes import SKYFAN  # noqa: E402

NAMES = ("abell2744_f105w_drz.fits", "ib6o23rsq_flt.fits", "j8bt06nyq_flt.fits")
_COLLECT = """
import json, resource, sys, time
from pathlib import Path
from skyfan.catalogs.collect import collect
from skyfan.storage.place import Place
import hpgeom, skyfan.runs.state
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began, cpu = time.perf_counter(), time.process_time()
done = collect(Place.at(sys.argv[1]), "bench", Path(sys.argv[2]))
seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
figures = dict(seconds=seconds, cpu=cpu, peak_mb=peak / 1024, start_mb=start / 1024)
counts = dict(images=done.images, read=done.read, sources=done.sources, partitions=done.partitions)
print(json.dumps(figures | counts))
"""


def collect(output: Path, folder: Path) -> dict[str, Any]:
    """One collection in a fresh process."""
    environment = {**os.environ, "PYTHONPATH": SKYFAN}
    command = [sys.executable, "-c", _COLLECT, str(output), str(folder)]
    made = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(made.stdout)
    return answer


def real() -> list[catalogs.Copies]:
    """The catalogs of the demo's images."""
    from sep_extract.handler import handler

    with tempfile.TemporaryDirectory() as folder:
        os.environ["SKYFAN_OUTPUT"] = f"file://{folder}/{{run}}/{{key}}.cat.fits"
        for name in NAMES:
            with contextlib.redirect_stdout(io.StringIO()):  # its log
                handler({"input": (ROOT / "tests/data/demo" / name).as_uri()}, None)
        return [catalogs.Copies(path.read_bytes()) for path in sorted(Path(folder).rglob("*.cat.fits"))]


def fill(folder: Path, sources: list[catalogs.Copies], numbers: range, seed: int = 0) -> None:
    """Writes so many catalogs, at random places."""
    rng = np.random.default_rng(seed)
    places = rng.uniform([0, -5], [360, 5], (numbers.stop, 2))
    for number in numbers:
        uri, body = sources[number % len(sources)].make(number, *places[number])
        catalogs.put(folder, uri, body)


def by_astropy(folder: Path) -> tuple[Any, float, float]:
    """All catalogs as one table in memory, and how long that took: by the clock, and of the CPU."""
    from astropy.table import Table, vstack

    began, cpu = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = vstack(
            [Table.read(path) for path in sorted(folder.rglob("*.cat.fits"))], metadata_conflicts="silent"
        )
    return whole, time.perf_counter() - began, time.process_time() - cpu


def circles(whole: Any, folder: Path, count: int = 20) -> dict[str, float]:
    """Seconds of a circle of 5 arcsec, taking turns."""
    from astropy import units as u
    from astropy.coordinates import SkyCoord

    from skyfan.api import search

    rng = np.random.default_rng(1)
    theirs, ours = [], []
    for row in rng.integers(0, len(whole), count + 1):
        ra, dec = float(whole["ALPHAWIN_J2000"][row]), float(whole["DELTAWIN_J2000"][row])
        began = time.perf_counter()
        sky = SkyCoord(whole["ALPHAWIN_J2000"], whole["DELTAWIN_J2000"], unit="deg")
        near = whole[sky.separation(SkyCoord(ra, dec, unit="deg")) <= 5 * u.arcsec]
        between = time.perf_counter()
        found = search(folder, (ra, dec), "5s")
        ours.append(time.perf_counter() - between)
        theirs.append(between - began)
        assert len(found.table) == len(near) > 0
    return {"astropy": statistics.median(theirs[1:]), "search": statistics.median(ours[1:])}


def latency(folder: Path, count: int = 20) -> float:
    """Seconds of a circle of 5 arcsec around a source, in the whole data set."""
    import pyarrow.parquet as pq

    from skyfan.api import search

    files = sorted(folder.glob("dataset/*/*/*.parquet"))
    times = []
    for number in range(count):
        file = files[number % len(files)]
        first = (
            pq.read_table(file, columns=["ALPHAWIN_J2000", "DELTAWIN_J2000"], partitioning=None)
            .slice(number, 1)
            .to_pylist()[0]
        )
        began = time.perf_counter()
        assert len(search(folder, (first["ALPHAWIN_J2000"], first["DELTAWIN_J2000"]), "5s").table)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def measure(count: int, beside: int) -> dict[str, Any]:
    """All figures."""
    sources = real()
    with tempfile.TemporaryDirectory() as name:
        few, many = Path(name, "few"), Path(name, "many")
        folder = catalogs.run_folder(few, "bench")
        fill(folder, sources, range(beside))
        turns = []
        for turn in range(3):
            ours = collect(few, few / f"set{turn}")
            whole, seconds, cpu = by_astropy(folder)
            turns.append((ours["seconds"], ours["cpu"], seconds, cpu))
        beside_us: dict[str, Any] = {
            name: statistics.median(turn[i] for turn in turns)
            for i, name in enumerate(("collect", "collect_cpu", "astropy", "astropy_cpu"))
        }
        beside_us |= {"catalogs": beside, "ratio_cpu": statistics.median(turn[3] / turn[1] for turn in turns)}
        figures: dict[str, Any] = {"beside": beside_us | {"circle": circles(whole, few / "set0")}}
        del whole
        folder = catalogs.run_folder(many, "bench")
        fill(folder, sources, range(count))
        size = sum(path.stat().st_size for path in folder.rglob("*.cat.fits"))
        figures["all"] = collect(many, many / "set") | {"catalogs_mb": size / 1e6}
        size = sum(path.stat().st_size for path in (many / "set").rglob("*.parquet"))
        figures["all"]["data_set_mb"] = size / 1e6
        figures["all"]["rows_per_second"] = figures["all"]["sources"] / figures["all"]["seconds"]
        figures["nothing_new"] = collect(many, many / "set")
        fill(folder, sources, range(count, count + max(1, count // 100)))
        figures["one_in_a_hundred_new"] = collect(many, many / "set")
        figures["circle_in_all"] = latency(many / "set")
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--catalogs", type=int, default=10_000)
    parser.add_argument("--beside", type=int, default=100)
    asked = parser.parse_args()
    figures = measure(asked.catalogs, asked.beside)
    if asked.json:
        print(json.dumps(figures, indent=1))
        return
    every, few = figures["all"], figures["beside"]
    print(
        f"{every['images']:,} catalogs, {every['catalogs_mb']:,.0f} MB, {every['sources']:,} sources: "
        f"{every['seconds']:.1f} s ({every['cpu']:.1f} s of CPU), {every['rows_per_second']:,.0f} sources/s, "
        f"peak {every['peak_mb']:.0f} MB, {every['start_mb']:.0f} MB of it before it began; "
        f"data set {every['data_set_mb']:,.0f} MB in {every['partitions']} partitions"
    )
    print(f"again, nothing new: {figures['nothing_new']['seconds']:.1f} s")
    new = figures["one_in_a_hundred_new"]
    print(f"again, {new['read']:,} new catalogs: {new['seconds']:.1f} s, peak {new['peak_mb']:.0f} MB")
    print(f"a circle of 5 arcsec: {figures['circle_in_all'] * 1e3:.0f} ms")
    print(
        f"{few['catalogs']} catalogs: collect {few['collect']:.2f} s ({few['collect_cpu']:.2f} s of CPU), "
        f"astropy's Table.read and vstack {few['astropy']:.2f} s ({few['astropy_cpu']:.2f}): "
        f"{few['ratio_cpu']:.1f} times the CPU"
    )
    circle = few["circle"]
    print(
        f"a circle in them: search {circle['search'] * 1e3:.1f} ms, astropy on the table in memory "
        f"{circle['astropy'] * 1e3:.1f} ms, which had to be read first"
    )


if __name__ == "__main__":
    main()
