"""skyfan where Python has neither fcntl nor resource, as on Windows: what works, what is refused in words."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from standins.processes import SKYFAN

pytestmark = pytest.mark.slow
# psutil first: on Linux, unlike on Windows, it needs resource itself.
BLOCKED = """
import sys, psutil
sys.modules.update(dict.fromkeys(("fcntl", "resource", "pwd", "grp", "termios")))
from skyfan.cli import main
main(prog_name="skyfan")
"""
POSIX = "from skyfan.cli import main; main(prog_name='skyfan')"


def skyfan(folder: Path, line: str, program: str = BLOCKED) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": SKYFAN, "AWS_EC2_METADATA_DISABLED": "true"}
    command = [sys.executable, "-c", program, *shlex.split(line)]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, demo_data: Path) -> Path:
    """A run that another machine made and collected."""
    folder = tmp_path_factory.mktemp("windows")
    (folder / "image.fits").symlink_to(demo_data / "j8bt06nyq_flt.fits")
    for line in ("run image.fits -o out", "collect default -o out"):
        done = skyfan(folder, line, POSIX)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(
    "line",
    [
        "--help",
        "run --help",
        "plan image.fits --to plan.parquet",
        "runs -o out",
        "status default -o out",
        "search default -o out --around '10 0' --radius 180d --to found.csv",
        "costs default -o out",
        "report default -o out",
    ],
)
def test_what_only_reads_works(folder: Path, line: str) -> None:
    done = skyfan(folder, line)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "run image.fits -o other",
        "run image.fits --engine aws",
        "retry default -o out",
        "collect default -o out",
    ],
)
def test_what_needs_locks_and_processes_is_refused_before_it_begins(folder: Path, line: str) -> None:
    before = sorted(folder.rglob("*"))
    done = skyfan(folder, line)
    assert done.returncode == 2, done.stderr
    (message,) = done.stderr.splitlines()
    assert "fcntl" in message
    assert "Windows" in message
    assert sorted(folder.rglob("*")) == before
