"""Stand-ins as processes of their own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running(module: str, *words: str) -> Iterator[str]:
    """Runs a stand-in until the context ends; gives the line that it prints when it is ready."""
    command = [sys.executable, "-m", f"standins.{module}", *words]
    folder = Path(__file__).parents[1]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().strip()
        finally:
            process.kill()
