"""Collect and match on a Dask cluster of real processes, one of which is killed: the same bytes as here."""

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
from standins import catalogs
from standins.survey import Exposure, Sky, Survey

from skyfan import workers as running
from skyfan.catalogs import collect
from skyfan.catalogs.collected import Collected
from skyfan.errors import UsageError
from skyfan.objects import inputs, match
from skyfan.objects.match import Settings
from skyfan.storage.place import Place
from skyfan.workers import Here, workers

pytest.importorskip("distributed")
pytestmark = [pytest.mark.slow, pytest.mark.enable_socket, pytest.mark.filterwarnings("default")]

_TEXT = subprocess.DEVNULL


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """Address of a scheduler with two worker processes, and the processes."""
    tmp_path = tmp_path_factory.mktemp("cluster")
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
    rows = zip(*(each.tolist() for each in sky.degrees(stars)), strict=True)
    folder.with_suffix(".csv").write_text("\n".join(["ra,dec", *(f"{ra},{dec}" for ra, dec in rows)]))
    return made.write(folder)


def same_bytes(here: Path, there: Path) -> None:
    paths = sorted(path.relative_to(here) for path in here.rglob("*.parquet"))
    assert paths == sorted(path.relative_to(there) for path in there.rglob("*.parquet"))
    for path in paths:
        assert (here / path).read_bytes() == (there / path).read_bytes()


def test_collect_writes_the_same_partitions(
    cluster: tuple[str, list[subprocess.Popen[bytes]]], tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    folder = catalogs.run_folder(tmp_path / "out", "night")

    def add(numbers: range) -> None:
        for number in numbers:
            uri = f"s3://archive/i{number}_flt.fits"
            place = rng.uniform(0, 0.05, (2, 60))
            body = catalogs.catalog(uri, 10 + place[0], -30 + place[1], columns={}, ROOTNAME=f"i{number}")
            catalogs.put(folder, uri, body)

    def both() -> tuple[Collected, Collected]:
        with workers(1, cluster[0]) as pool:
            there = collect.collect(
                Place.at(tmp_path / "out"), "night", tmp_path / "there", rows=100, workers=pool
            )
        return there, collect.collect(Place.at(tmp_path / "out"), "night", tmp_path / "here", rows=100)

    add(range(8))
    there, here = both()
    assert there.partitions == here.partitions > 4
    same_bytes(tmp_path / "here", tmp_path / "there")
    add(range(8, 10))  # what has not changed is linked
    there, here = both()
    assert (there.sources, there.read) == (here.sources, here.read) == (600, 2)
    same_bytes(tmp_path / "here", tmp_path / "there")
    assert not [path for path in tmp_path.rglob("*") if "job-" in path.name], "nothing else remains"


def test_a_worker_is_killed_and_the_bytes_are_the_same(
    cluster: tuple[str, list[subprocess.Popen[bytes]]], tmp_path: Path
) -> None:
    address, (_, first, _) = cluster
    source = inputs.open_input(data(tmp_path / "set"), "set")
    settings = Settings(limit=100, reference=str(tmp_path / "set.csv"))
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
    assert there.tied == {"tied": 10}
    assert first.wait(10) != 0
    same_bytes(here.folder, there.folder)


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_TIMEOUT_S", 0.5)
    nobody = "tcp://127.0.0.1:1"
    with pytest.raises(UsageError, match=f"no Dask scheduler answers at {nobody}"), workers(1, nobody):
        pass
