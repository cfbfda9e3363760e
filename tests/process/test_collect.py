"""collect in a process that is killed: the old data set stays, and the next call succeeds."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from standins import catalogs
from standins.processes import SKYFAN

from skyfan.catalogs.collect import collect
from skyfan.storage.place import Place

KILLED = """
import os, signal, sys
from pathlib import Path
from skyfan.catalogs.collect import collect
from skyfan.storage.place import Place

def progress(stage, done, total):
    if stage == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

collect(Place.at(sys.argv[1]), "default", Path(sys.argv[1], "set"), rows=40, progress=progress)
"""


def put(folder: Path, number: int) -> None:
    uri = f"s3://archive/{number}_flt.fits"
    catalogs.put(folder, uri, catalogs.catalog(uri, [10.0 * number + i / 100 for i in range(30)], [5.0] * 30))


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["reading catalogs", "writing partitions"])
def test_kill_9_keeps_the_old_data_set_and_the_next_call_succeeds(tmp_path: Path, stage: str) -> None:
    run = catalogs.run_folder(tmp_path)
    for number in range(3):
        put(run, number)
    before = contents(collect(Place.at(tmp_path), "default", tmp_path / "set", rows=40).folder)
    put(run, 3)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), stage],
        env={**os.environ, "PYTHONPATH": SKYFAN},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert contents(tmp_path / "set") == before
    assert collect(Place.at(tmp_path), "default", tmp_path / "set", rows=40).images == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs", "set"]
