"""Detections to objects: time and memory as they grow, beside a loop of astropy, and the truth of a survey.

    python benchmarks/match [--json] [--detections 1000000,3000000,10000000] [--beside 100000]
    python benchmarks/match --truth [--json]

Fields of 20 images with 250 detections each, all over the sky. Each match runs in a fresh process with two
processes of its own; CPU time is that of all of them, peak memory the sum of their peaks. Beside astropy,
both in one process: each image in turn is matched with `match_coordinates_sky` to the objects so far, a
source within 0.075 arcsec joins the nearest, any other begins an object. The images of that comparison have
no offsets, because the loop cannot find them; the results are equal if both put the same detections together.

With --truth: 200 overlapping images in 4 filters of a field as dense as the outskirts of 47 Tucanae.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_PATHS = ("invoke", "functions/runtime", "functions/sep_extract", "benchmarks", "benchmarks/match")
sys.path[:0] = [str(ROOT / name) for name in _PATHS]

import numpy as np  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
import truth  # noqa: E402
from standins.survey import Exposure, Sky, Survey  # noqa: E402

IMAGES, SOURCES = 20, 250
_MATCH = """
import json, resource, sys, time
from skyfan.api import MatchOptions, match
began = time.perf_counter()
done = match(sys.argv[1], sys.argv[2], options=MatchOptions(jobs=int(sys.argv[3])))
seconds = time.perf_counter() - began
own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
cpu = sum(use.ru_utime + use.ru_stime for use in (own, children))
# ru_maxrss of this process counts what its parent had when it was started; VmHWM does not.
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
peak = (int(status["VmHWM"].split()[0]) + 2 * children.ru_maxrss) / 1024
print(json.dumps(dict(seconds=seconds, cpu=cpu, peak_mb=peak, objects=done.objects, links=done.links)))
"""


def build(folder: Path, detections: int, *, offset: float = 0.3, seed: int = 0) -> Path:
    """Writes a data set with about this number of detections."""
    rng = np.random.default_rng(seed)
    survey = Survey()
    for field in range(max(1, round(detections / IMAGES / SOURCES))):
        sky = Sky(rng.uniform(0, 360), float(np.degrees(np.arcsin(rng.uniform(-0.95, 0.95)))))
        stars, mags = rng.uniform(-200, 200, (980, 2)), rng.uniform(20, 24.5, 980)
        for number in range(IMAGES):
            name = f"s3://archive/f{field:05d}n{number:02d}_flc.fits"
            mjd = 50000 + field + 0.01 * number
            one = Exposure(name, sky, rng.uniform(-60, 60, 2), ("F606W", "F814W")[number % 2], mjd, 26.0)
            one.offset, one.turn = rng.normal(0, 1, 2) * offset, rng.normal(0, 5e-5) * (offset > 0)
            rows = np.flatnonzero(one.covers(stars))
            snr = 5 * 10 ** (0.4 * (26.0 - mags[rows]))
            xy = stars[rows] + rng.normal(0, 0.04 / snr[:, None], (len(rows), 2))
            survey.add(one, xy, mags[rows] + rng.normal(0, 1.0857 / snr), snr)
    return survey.write(folder)


def run(data: Path, objects: Path, jobs: int = 2) -> dict[str, Any]:
    """One match in a fresh process, with `jobs` processes of its own if that is more than one."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in _PATHS)}
    command = [sys.executable, "-c", _MATCH, str(data), str(objects), str(jobs)]
    made = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    figures: dict[str, Any] = json.loads(made.stdout)
    return figures


def naive(data: Path) -> tuple[dict[int, int], float]:
    """The object of each SOURCE_ID by the loop, and its CPU seconds."""
    from astropy import units as u
    from astropy.coordinates import SkyCoord, match_coordinates_sky

    paths = sorted(data.glob("dataset/*/*/*.parquet"))
    tables = [pq.read_table(path, partitioning=None).to_pandas() for path in paths]
    import pandas

    whole = pandas.concat(tables)
    began = time.process_time()
    ra, dec = np.empty(0), np.empty(0)
    owner: dict[int, int] = {}
    for _, rows in whole.groupby("IMAGE", sort=True):
        own = SkyCoord(rows["ALPHAWIN_J2000"].to_numpy(), rows["DELTAWIN_J2000"].to_numpy(), unit=u.deg)
        number = np.full(len(rows), -1)
        if len(ra):
            near, distance, _ = match_coordinates_sky(own, SkyCoord(ra, dec, unit=u.deg))
            number = np.where(distance.arcsec <= 0.075, near, -1)
        new = number < 0
        number[new] = len(ra) + np.arange(new.sum())
        ra, dec = np.append(ra, own.ra.deg[new]), np.append(dec, own.dec.deg[new])
        owner |= zip(rows["SOURCE_ID"].tolist(), number.tolist(), strict=True)
    return owner, time.process_time() - began


def beside(detections: int, folder: Path) -> dict[str, Any]:
    """Match and loop on the same data."""
    data = build(folder / "beside", detections, offset=0.0, seed=1)
    ours = run(data, folder / "beside-objects", jobs=1)
    owner, cpu = naive(data)
    groups: dict[int, set[int]] = {}
    for path in folder.glob("beside-objects/links/dataset/*/*/*.parquet"):
        table = pq.read_table(path, partitioning=None)
        for ident, source in zip(table["OBJECT_ID"].to_pylist(), table["SOURCE_ID"].to_pylist(), strict=True):
            groups.setdefault(ident, set()).add(source)
    theirs: dict[int, set[int]] = {}
    for source, number in owner.items():
        theirs.setdefault(number, set()).add(source)
    a, b = ({frozenset(group) for group in each.values()} for each in (groups, theirs))
    return {
        "detections": len(owner), "match_cpu": ours["cpu"], "astropy_cpu": cpu, "ratio": cpu / ours["cpu"],
        "equal": len(a & b) / max(len(a), len(b)),
    }  # fmt: skip


def measure(sizes: list[int], few: int) -> dict[str, Any]:
    """All figures of speed."""
    figures: dict[str, Any] = {"sizes": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in sizes:
            data = build(folder / str(size), size)
            images = pq.read_metadata(data / "images.parquet").num_rows
            figures["sizes"].append({"images": images} | run(data, folder / f"{size}-objects"))
        figures["beside"] = beside(few, folder)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--truth", action="store_true")
    parser.add_argument("--detections", default="1000000,3000000,10000000")
    parser.add_argument("--beside", type=int, default=100_000)
    asked = parser.parse_args()
    if asked.truth:
        with tempfile.TemporaryDirectory() as name:
            figures = truth.judge(truth.make(Path(name)), Path(name))
        for key, value in figures.items() if not asked.json else ():
            print(f"{key}: {value:.4g}" if isinstance(value, float) else f"{key}: {value}")
    else:
        figures = measure([int(size) for size in asked.detections.split(",")], asked.beside)
        for each in figures["sizes"] if not asked.json else ():
            per_million = each["cpu"] / each["links"] * 1e6
            print(
                f"{each['links']:,} detections in {each['images']:,} images: {each['objects']:,} objects, "
                f"{each['seconds']:.0f} s, {each['cpu']:.0f} s of CPU ({per_million:.0f} per million), "
                f"peak {each['peak_mb']:.0f} MB"
            )
        near = figures["beside"]
        if not asked.json:
            print(
                f"{near['detections']:,} detections: match {near['match_cpu']:.1f} s of CPU, a loop of "
                f"astropy {near['astropy_cpu']:.1f}, {near['ratio']:.1f} times as long; {near['equal']:.2%} "
                "of objects are equal"
            )
    if asked.json:
        print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
