"""The soak, short: kills, full disks and faults lose nothing. `make soak` is the long one."""

import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).resolve().parents[2] / "benchmarks" / "soak"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the soak reads /proc and limits other processes")
@pytest.mark.parametrize(
    "words",
    [["150", "--kills", "3", "--events", "0"], ["0", "--events", "200", "--sender-kills", "2"]],
    ids=["engine", "sender"],
)
def test_nothing_is_lost_or_left_behind(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, str(SOAK), *words], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing lost" in done.stdout
