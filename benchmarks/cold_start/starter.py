"""In the container: starts a handler in a fresh process and times it, step by step, as the benchmark says.

One line of JSON per step on stdin, one on stdout: {"path", "code", "event"} starts a process until its code,
which defines `handler`, has run; {} hands it the event and waits for its result. Times are seconds on the
wall, and of CPU in the whole container.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

_CHILD = """
import json, os, sys
answers = os.dup(1)
os.dup2(2, 1)
exec(os.environ["CODE"])
os.write(answers, b"{}\\n")
if line := sys.stdin.readline():
    result = handler(json.loads(line), None)
    os.write(answers, json.dumps({"sources": result["sources"]}).encode() + b"\\n")
    sys.stdin.readline()
os._exit(0)
"""
# Of control groups of version 2, in microseconds behind a name, and 1, in nanoseconds.
_USAGE, _OLD_USAGE = (Path("/sys/fs/cgroup") / name for name in ("cpu.stat", "cpuacct/cpuacct.usage"))
_SAID = Path("/tmp/stderr")


def cpu() -> float:
    """CPU seconds of the container so far."""
    if _USAGE.exists():
        return int(_USAGE.read_text().split()[1]) / 1e6
    return int(_OLD_USAGE.read_text()) / 1e9


def step(process: "subprocess.Popen[bytes]", wall: float, used: float) -> None:
    """Wait for the next line of a process and print it with the time since the start."""
    assert process.stdout
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(_SAID.read_text())
    times = {"seconds": time.perf_counter() - wall, "cpu": cpu() - used}
    print(json.dumps(json.loads(line) | times), flush=True)


def main() -> None:
    """Serve one contender after another."""
    for line in sys.stdin:
        word = json.loads(line)
        environment = {**os.environ, "PYTHONPATH": word["path"], "CODE": word["code"]}
        with _SAID.open("w") as said:
            wall, used = time.perf_counter(), cpu()
            with subprocess.Popen(
                [sys.executable, "-c", _CHILD],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
            ) as process:
                step(process, wall, used)
                if word["event"]:
                    sys.stdin.readline()
                    wall, used = time.perf_counter(), cpu()
                    assert process.stdin
                    process.stdin.write(json.dumps(word["event"]).encode() + b"\n")
                    process.stdin.flush()
                    step(process, wall, used)


if __name__ == "__main__":
    main()
