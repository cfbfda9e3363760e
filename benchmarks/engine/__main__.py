"""What the local engine adds to the handler: start-up, two jobs beside one, and memory over many images.

    python benchmarks/engine [--images N] [--together N]

Start-up is the command line from its start to its end, less what the handler took by its own log: `skyfan
run` with one file of FitsSummary. Two jobs and one process the same copies of the demo's images with
SepExtract, in turn, twice; what counts is the best of each. Memory is that of the engine and of its largest
worker, read when a tenth of the images are done and when all are; all are copies of the smallest one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from skyfan.api import LocalOptions, Task, run
from skyfan.events import Done

REPO = Path(__file__).resolve().parents[2]
DEMO = REPO / "tests/data/demo"
SMALL = DEMO / "ib4606c6q_flc.fits"
MB = 1 << 20


def copies(folder: Path, count: int, images: list[Path]) -> list[str]:
    """Paths of so many images, these in turn."""
    folder.mkdir()
    paths = []
    for number in range(count):
        image = images[number % len(images)]
        path = folder / f"{number:05}_{image.name}"
        path.symlink_to(image)
        paths.append(str(path))
    return paths


def start_up(folder: Path) -> tuple[float, float]:
    """Seconds, and seconds of CPU, of `skyfan run` with one small file; the best of five."""
    command = [sys.executable, "-m", "skyfan", "run", str(SMALL), "--function", "FitsSummary", "--jobs", "1"]
    # What has been compiled is kept, as where skyfan is installed.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    took = []
    for number in range(5):
        began, before = time.perf_counter(), os.times()
        output = ["--output", str(folder / f"start-{number}")]
        subprocess.run([*command, *output], check=True, capture_output=True, env=environment)
        after = os.times()
        busy = after.children_user + after.children_system - before.children_user - before.children_system
        took.append((time.perf_counter() - began, busy))
    return min(took)


def seconds(paths: list[str], folder: Path, jobs: int) -> float:
    outcome = run(paths, LocalOptions(folder, jobs=jobs), Task("r"))
    assert outcome.done == len(paths)
    return outcome.seconds


def memory(paths: list[str], folder: Path) -> list[tuple[int, float, float]]:
    """Images done, MB of the engine and MB of its largest worker, at a tenth of the images and at the end."""
    process, done, found = psutil.Process(), 0, []

    def on_event(event: object) -> None:
        nonlocal done
        done += isinstance(event, Done)
        if isinstance(event, Done) and done in (len(paths) // 10, len(paths)):
            workers = [child.memory_info().rss for child in process.children(recursive=True)]
            found.append((done, process.memory_info().rss / MB, max(workers) / MB))

    run(paths, LocalOptions(folder, jobs=2), Task("r"), on_event=on_event)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/engine", description=__doc__)
    parser.add_argument("--images", type=int, default=2000, help="of the measurement of memory")
    parser.add_argument("--together", type=int, default=60, help="of the comparison of jobs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="skyfan-") as name:
        folder = Path(name)
        wall, busy = start_up(folder)
        print(f"skyfan run with one file of FitsSummary: {wall:.2f} s, {busy:.2f} s of CPU", flush=True)
        if options.together:
            paths = copies(folder / "some", options.together, sorted(DEMO.glob("*.fits")))
            one, two = [], []
            for turn in range(2):
                one.append(seconds(paths, folder / f"one-{turn}", 1))
                two.append(seconds(paths, folder / f"two-{turn}", 2))
            text = f"{len(paths)} images: {min(one):.1f} s with one job, {min(two):.1f} s with two"
            print(f"{text}, {min(one) / min(two):.2f} times as fast", flush=True)
        if options.images:
            paths = copies(folder / "many", options.images, [SMALL])
            for done, engine, worker in memory(paths, folder / "memory"):
                print(f"{done:,} images done: engine {engine:.0f} MB, largest worker {worker:.0f} MB")


if __name__ == "__main__":
    main()
