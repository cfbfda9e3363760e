"""Stand-ins, and skyfan of this clone, as processes of their own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
SKYFAN = os.pathsep.join(str(REPO / name) for name in ("invoke", "functions/runtime"))
"""PYTHONPATH that finds skyfan of this clone, and nothing else."""


@contextmanager
def running(module: str, *words: str) -> Iterator[str]:
    """Runs a stand-in until the context ends; gives the line that it prints when it is ready."""
    command = [sys.executable, "-m", f"standins.{module}", *words]
    folder = REPO / "benchmarks"
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().strip()
        finally:
            process.kill()
