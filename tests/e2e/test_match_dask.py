"""A match on a Dask cluster of real processes, one of which is killed: the same bytes as on this machine."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from standins.survey import Exposure, Sky, Survey

from skyfan.errors import UsageError
from skyfan.objects import inputs, match
from skyfan.objects.match import Settings
from skyfan.objects.workers import Here, workers

pytest.importorskip("distributed")
pytestmark = [pytest.mark.slow, pytest.mark.enable_socket, pytest.mark.filterwarnings("default")]

_TEXT = subprocess.DEVNULL


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """Address of a scheduler with two worker processes, and the processes."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    file = tmp_path / "scheduler.json"
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    started = [
        subprocess.Popen([*scheduler, "--no-dashboard", "--scheduler-file", str(file)], env=environment)
    ]
    until = time.monotonic() + 120
    while not file.exists() and time.monotonic() < until:
        time.sleep(0.1)
    address = json.loads(file.read_text())["address"]
    for name in "ab":
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--name", name]
        worker += ["--nworkers", "1", "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        worker += ["--local-directory", str(tmp_path / name)]
        started.append(subprocess.Popen(worker, env=environment, stderr=_TEXT))
    try:
        yield address, started
    finally:
        for process in started:
            process.kill()
            process.wait()


def data(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    sky, made = Sky(150.0, 2.0), Survey()
    stars = rng.uniform(-90, 90, (2000, 2))
    for number in range(10):
        uri = f"s3://archive/j{number}_flc.fits"
        one = Exposure(uri, sky, rng.uniform(-30, 30, 2), "F606W", 55000.0 + number, 25.5)
        one.size, one.offset = 120.0, rng.normal(0, 0.2, 2)
        seen = stars[one.covers(stars)]
        snr = np.full(len(seen), 30.0)
        mag = 23 + rng.normal(0, 0.03, len(seen))
        made.add(one, seen + rng.normal(0, 0.002, seen.shape), mag, snr)
    return made.write(folder)


def test_a_worker_is_killed_and_the_bytes_are_the_same(
    cluster: tuple[str, list[subprocess.Popen[bytes]]], tmp_path: Path
) -> None:
    address, (_, first, _) = cluster
    source = inputs.open_input(data(tmp_path / "set"), "set")
    settings = Settings(limit=100)
    here = match.match([source], tmp_path / "here", settings, Here())
    assert here.partitions > 10
    killed = threading.Event()

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "matching tiles" and done == 2 and not killed.is_set():
            first.kill()
            killed.set()

    with workers(1, address) as pool:
        there = match.match([source], tmp_path / "there", settings, pool, progress)
    assert killed.is_set()
    assert first.wait(10) != 0
    paths = sorted(path.relative_to(here.folder) for path in here.folder.rglob("*.parquet"))
    assert paths == sorted(path.relative_to(there.folder) for path in there.folder.rglob("*.parquet"))
    for path in paths:
        assert (here.folder / path).read_bytes() == (there.folder / path).read_bytes()


def test_a_scheduler_that_does_not_answer_is_named() -> None:
    nobody = "tcp://127.0.0.1:1"
    with pytest.raises(UsageError, match=f"no Dask scheduler answers at {nobody}"), workers(1, nobody):
        pass
