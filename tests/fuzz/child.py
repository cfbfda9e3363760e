"""A process that runs mutants within limits of time and memory, and is replaced when it dies.

Lines of JSON go in and out: [seed, index] or a recipe for what it answers. What the handler prints, from C
too, goes to files that are read after each mutant.
"""

from __future__ import annotations

import json
import os
import random
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from . import seeds
from .choices import mutant
from .mutations import Mutation, apply

MEMORY_MB = 1024
# Bytes more than the process has before its first mutant.
_MORE_MEMORY = 400 << 20
_CPU_S, _WALL_S, _FUNCTION_S = 4.0, 120.0, 60.0
# Many copies of a mosaic are many images.
_BYTES_PER_S = 1e5
_LIMIT = 3 << 30


def recipe_of(seed: int, index: int) -> tuple[str, list[Mutation]]:
    """The mutant of this number: always the same."""
    return mutant(random.Random(f"{seed}:{index}"))


class Child:
    """The process, as the one that started it sees it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, request: Any) -> dict[str, Any]:
        """What became of a mutant: {"outcome", "faults", "cpu", "seed"}."""
        if self._process is None:
            # A session of its own: whatever a mutant leaves behind ends with it.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fuzz.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
                start_new_session=True,
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], _WALL_S)
        line = process.stdout.readline() if ready else b""
        if line:
            return dict(json.loads(line))
        code = self.close()
        fault = f"crash: the process ended with {code}" if ready else f"time-out: over {_WALL_S:.0f} s"
        return {"outcome": fault.partition(":")[0], "faults": [fault], "cpu": 0.0, "seed": ""}

    def close(self) -> int:
        """End the process and all that it started."""
        process, self._process = self._process, None
        if process is None:
            return 0
        code = process.poll()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()
        return process.returncode if code is None else code


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "w")
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        runs = Path(folder, "runs").as_uri()
        os.environ["SKYFAN_OUTPUT"] = runs + "/{run}/{key}.cat.fits"
        os.environ["SKYFAN_FAILURES"] = runs + "/{run}/{key}.json"
        runner = _Runner(Path(folder), [out, err])
        resource.setrlimit(resource.RLIMIT_DATA, (_LIMIT, _LIMIT))
        for line in sys.stdin:
            request = json.loads(line)
            name, mutations = recipe_of(*request) if isinstance(request[0], int) else request
            answers.write(json.dumps({**runner.judged(name, mutations), "seed": name}) + "\n")
            answers.flush()


class _Runner:
    def __init__(self, folder: Path, printed: list[Any]) -> None:
        # With the environment that it reads.
        from sep_extract import chip, handler, image
        from sep_extract.whole import Tiling

        image.TILED_ABOVE = seeds.TILED_ABOVE
        handler.chips = partial(chip.chips, tiling=Tiling(**seeds.TILING))
        self._handler, self._printed = handler.handler, printed
        self._path = folder / "mutant.fits"
        where = folder / "runs" / "default" / str(self._path).lstrip("/")
        self._catalog, self._record = (where.with_name(where.name + end) for end in (".cat.fits", ".json"))
        self._sources: dict[str, int] = {}
        self.judged("plain", [])
        self._base = _peak()
        self._children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10

    def judged(self, name: str, mutations: list[Mutation]) -> dict[str, Any]:
        from . import oracle

        if name not in self._sources:
            self._sources[name] = -1
            answer, _ = self._answer(seeds.raw(name))
            assert answer.result is not None, (name, answer)
            assert "sources" in answer.result, (name, answer)
            self._sources[name] = answer.result["sources"]
        raw = apply(seeds.seed(name), mutations)
        answer, cpu = self._answer(raw)
        found = list(oracle.faults(answer, raw, self._sources[name], mutations))
        found += self._excess(cpu, len(raw))
        return {"outcome": oracle.outcome(answer), "faults": found, "cpu": cpu}

    def _answer(self, raw: bytes) -> tuple[Any, float]:
        from .oracle import Answer

        for path in (self._catalog, self._record):
            path.unlink(missing_ok=True)
        self._path.write_bytes(raw)
        self._output()
        _forget_peak()
        start, end = _cpu(), time.monotonic() + _FUNCTION_S
        context = SimpleNamespace(
            memory_limit_in_mb=str(MEMORY_MB),
            get_remaining_time_in_millis=lambda: max(0, int(1000 * (end - time.monotonic()))),
            aws_request_id="fuzz",
        )
        result = error = None
        try:
            result = self._handler({"input": self._path.as_uri()}, context)
        except BaseException as exc:  # a panic of compiled code is no Exception
            error = exc
        cpu = _cpu() - start
        return Answer(result, error, *self._output(), self._catalog, self._record), cpu

    def _output(self) -> list[bytes]:
        """What was printed since the last call, on stdout and on stderr."""
        sys.stdout.flush()
        sys.stderr.flush()
        found = []
        for file in self._printed:
            file.seek(0)
            found.append(file.read())
            file.seek(0)
            file.truncate()
        return found

    def _excess(self, cpu: float, size: int) -> Iterator[str]:
        if cpu > _CPU_S + size / _BYTES_PER_S:
            yield f"slow: {cpu:.1f} s of CPU time"
        if hasattr(self, "_base"):
            if (more := _peak() - self._base) > _MORE_MEMORY:
                yield f"memory: {more >> 20} MB"
            children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10
            if children - self._base > _MORE_MEMORY and children > self._children:
                self._children = children
                yield f"memory: {(children - self._base) >> 20} MB in a child"


def _cpu() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    text = Path("/proc/self/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) << 10


if __name__ == "__main__":
    _serve()
