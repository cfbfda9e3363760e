"""How time and memory of what holds all files at once grow: plan, state of a run, index of images.

    python benchmarks/growth [--files N ...]

By default one, three and ten archives of 122,078 files. Each step is a process of its own, which prints its
CPU time per file and the peak of its memory; the last column is CPU time per file relative to the smallest
number. `plan` writes the plan file of URIs, `status` reads a run of which every file was sent and none is
done, `send` goes through the plan as a sender does that finds every file sent, `index` gives ids to images
and makes their table as collect does. Listings of results are measured by benchmarks/status, queries of MAST
by benchmarks/plan, requests to Lambda by benchmarks/dispatch.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ARCHIVE = 122_078
STEPS = ("plan", "send", "status", "index")
CHUNK = 20_000
RESULTS = "s3://results/runs/{run}/catalogs/{key}.cat.fits"


def uri(number: int) -> str:
    return f"s3://stpubdata/hst/public/{number // 100:05}/{number:09}/{number:09}_drz.fits"


def make(folder: Path, files: int) -> None:
    """A run in a folder, all of whose files were sent."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from skyfan.plans import plan
    from skyfan.runs import receipts, run
    from skyfan.storage.place import Place
    from skyfan.task import Task

    place = Place.at(folder / "results", make=True)
    run.begin(place, Task("r"), RESULTS)
    run.add_plan(place, "r", plan.read(folder / "plan.parquet"))
    now = datetime.now(UTC)
    chunks = folder / "results/runs/r/receipts"
    chunks.mkdir()
    for start in range(0, files, CHUNK):
        numbers = range(start, min(start + CHUNK, files))
        columns = {
            "uri": [uri(number) for number in numbers],
            "request_id": [f"{number:036}" for number in numbers],
            "sent": pa.array([now] * len(numbers), pa.timestamp("ms", "UTC")),
            "function": ["skyfan-SepExtract"] * len(numbers),
            "batch": pa.array([1] * len(numbers), pa.int32()),
        }
        pq.write_table(pa.table(columns, receipts.SCHEMA), chunks / f"{start:09}.parquet")


def step(name: str, folder: Path, files: int) -> dict[str, float]:
    """CPU seconds of a step, and the peak memory of this process in MB."""
    import pyarrow as pa

    from skyfan.aws.remaining import Remaining
    from skyfan.catalogs import images
    from skyfan.catalogs.ids import Ids
    from skyfan.local.worker import max_rss_mb
    from skyfan.plans import plan
    from skyfan.plans.tiers import MEMORY_MB
    from skyfan.runs import run, state
    from skyfan.storage.place import Place
    from skyfan.storage.uris import Results, below_bucket

    began = time.process_time()
    if name == "plan":
        run.of_uris(map(uri, range(files)), folder / "plan.parquet")
    elif name == "send":
        functions: Any = SimpleNamespace(
            tiers={tier: SimpleNamespace(name="f") for tier in MEMORY_MB}, memory_mb=MEMORY_MB
        )
        planned = plan.read(folder / "plan.parquet")
        place, results = Place.at(folder / "results"), Results.of(below_bucket(RESULTS), "r")
        remaining = Remaining(place, "r", results, planned, functions)
        remaining.read()
        assert not list(remaining)
        assert remaining.sent_before == files
    elif name == "status":
        found = state.read(Place.at(folder / "results"), "r")
        assert found.counts["sent"] == files
    else:
        ids, batches = Ids(), []
        row = {each.name: "some text" if each.type == pa.string() else 1 for each in images.SCHEMA}
        for start in range(0, files, CHUNK):
            rows = [
                row | {"uri": uri(number), "catalog": f"{uri(number)}.cat.fits"}
                for number in range(start, min(start + CHUNK, files))
            ]
            for one in rows:
                ids.assign(str(one["uri"]), 2000)
            batches.append(pa.RecordBatch.from_pylist(rows, images.SCHEMA))
        assert len(pa.Table.from_batches(batches)) == files
    return {"cpu": time.process_time() - began, "mb": max_rss_mb()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/growth", description=__doc__)
    parser.add_argument("--files", type=int, nargs="*", default=[ARCHIVE, 3 * ARCHIVE, 10 * ARCHIVE])
    parser.add_argument("--step", nargs=2)
    options = parser.parse_args()
    if options.step:
        name, folder = options.step
        if name == "make":
            make(Path(folder), options.files[0])
        else:
            print(json.dumps(step(name, Path(folder), options.files[0])))
        return
    first: dict[str, float] = {}
    for files in options.files:
        with tempfile.TemporaryDirectory(prefix="skyfan-") as folder:
            for name in ("plan", "make", *STEPS[1:]):
                words = [sys.executable, __file__, "--step", name, folder, "--files", str(files)]
                text = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
                if text:
                    found = json.loads(text)
                    per_file = found["cpu"] / files
                    ratio = per_file / first.setdefault(name, per_file)
                    print(
                        f"{name:>8}: {files:>9,} files, {found['cpu']:6.1f} s of CPU, {found['mb']:6.0f} MB, "
                        f"{ratio:.2f} per file",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
