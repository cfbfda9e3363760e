"""A log of a million invocations, read and summed up on one core: seconds and peak memory.

    python benchmarks/costs [--lines N] [--json]

Each form of log is read by a fresh process that may use one CPU: REPORT lines as CloudWatch holds them, the
same with the time before them as its exports have it, JSON, and a mixture with the lines that handlers print.
The bill is checked against the sum of what was written. `python benchmarks/costs/speeds.py` measures how long
images take.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FORMS = ("text", "export", "json", "mixed")
BEGAN = 1_790_000_000
READ = """
import json, os, resource, sys, time
sys.path.insert(0, sys.argv[1])
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
from skyfan import api
start, cpu = time.perf_counter(), time.process_time()
bill = api.costs(log=[sys.argv[2]]).bill
print(json.dumps({
    "seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu,
    "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10),
    "invocations": bill.invocations, "gb_seconds": bill.usage.gb_seconds, "usd": bill.usd,
}))
"""


def report(rng: random.Random, form: str, number: int) -> tuple[str, int]:
    """One invocation's line in a form, and its billed ms."""
    request = f"{rng.getrandbits(128):032x}"
    request = "-".join((request[:8], request[8:12], request[12:16], request[16:20], request[20:]))
    duration = round(rng.lognormvariate(7, 0.5), 2)
    init = round(rng.uniform(500, 900), 2) if rng.random() < 0.01 else 0.0
    billed, used, bad = int(duration + init) + 1, rng.randint(90, 200), rng.random() < 0.01
    time = datetime.fromtimestamp(BEGAN + number / 500, UTC).isoformat(timespec="milliseconds")
    time = time.replace("+00:00", "Z")
    if form == "json":
        metrics = {"durationMs": duration, "billedDurationMs": billed, "memorySizeMB": 1769}
        metrics |= {"maxMemoryUsedMB": used} | ({"initDurationMs": init} if init else {})
        record = {"requestId": request, "metrics": metrics, "status": "error" if bad else "success"}
        return json.dumps({"time": time, "type": "platform.report", "record": record}), billed
    line = f"REPORT RequestId: {request}\tDuration: {duration:.2f} ms\tBilled Duration: {billed} ms\t"
    line += f"Memory Size: 1769 MB\tMax Memory Used: {used} MB"
    line += f"\tInit Duration: {init:.2f} ms" if init else ""
    line += "\tStatus: error\tError Type: ImageError" if bad else ""
    return (f"{time} {line}" if form == "export" else line), billed


def log(form: str, lines: int) -> Iterator[tuple[str, int]]:
    """The lines of a log, each with the ms that it is billed."""
    rng = random.Random(1)
    for number in range(lines):
        one = rng.choice(FORMS[:3]) if form == "mixed" else form
        yield report(rng, one, number)
        if form == "mixed":
            uri = f"s3://stpubdata/hst/public/{number}_flt.fits"
            told = {"level": "INFO", "run": "a", "input": uri, "sources": 7, "seconds": 1.0}
            yield json.dumps(told), 0


def measure(form: str, lines: int, folder: Path) -> dict[str, float | str]:
    path, billed = folder / f"{form}.log", 0
    with path.open("w", encoding="utf-8") as file:
        for line, ms in log(form, lines):
            file.write(line + "\n")
            billed += ms
    command = [sys.executable, "-c", READ, str(ROOT / "invoke"), str(path)]
    told: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert told["invocations"] == lines
    assert abs(told["gb_seconds"] - billed * 1769 / 1_024_000) < 1e-6 * billed
    path.unlink()
    return {"form": form, "lines": lines, **told}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="benchmarks/costs"
    )
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for form in FORMS:
            row = measure(form, options.lines, Path(name))
            rows.append(row)
            if not options.json:
                print(
                    f"{form:>8}: {options.lines} invocations in {row['seconds']:.1f} s "
                    f"({row['cpu']:.1f} s of CPU), {row['mb']:.0f} MB, load {os.getloadavg()[0]:.1f}",
                    flush=True,
                )
    if options.json:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
