"""What happens to a run: kills, stops, full disks and a bucket with faults, by chance with a seed."""

from __future__ import annotations

import os
import random
import resource
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

import psutil
from standins.bucket import Request

_FULL_BYTES = 200  # a file of this size is all that a full disk takes
_FAULTS = (("500", 0.02), ("503", 0.02), ("429", 0.01), ("cut", 0.02), ("refused", 0.01))
_BODY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


def workers(command: psutil.Process) -> list[psutil.Process]:
    """The worker processes of a command line."""
    with suppress(psutil.Error):
        return command.children()
    return []


def spoil(rng: random.Random, counts: Counter[str]) -> object:
    """Faults for standins.bucket.Bucket: statuses, and bodies that end early."""

    def fault(request: Request, headers: dict[str, str], body: bytes) -> bytes:
        if request.status >= 400:
            return body
        chance = rng.random()
        for name, share in _FAULTS:
            if chance < share:
                counts[f"S3: {name}"] += 1
                if name == "cut":
                    return body[: len(body) // 2]
                request.status = 503 if name == "refused" else int(name)
                headers.clear()
                headers["Content-Length"] = str(len(_BODY))
                return _BODY
            chance -= share
        return body

    return fault


@dataclass
class Trouble:
    """Small troubles of a live run, of which the command line must get over each by itself."""

    rng: random.Random
    counts: Counter[str] = field(default_factory=Counter)
    _restore: list[tuple[float, psutil.Process, str]] = field(default_factory=list)

    def strike(self, command: psutil.Process) -> None:
        """One trouble for one of the workers, or for the child of one."""
        if not (found := workers(command)):
            return
        worker = self.rng.choice(found)
        kind = self.rng.choice(
            ("worker SIGKILL", "worker SIGTERM", "worker SIGSTOP", "child", "child", "disk", "disk")
        )
        with suppress(psutil.Error, ProcessLookupError):
            match kind:
                case "worker SIGKILL":
                    worker.kill()
                case "worker SIGTERM":
                    worker.terminate()
                case "worker SIGSTOP":
                    worker.suspend()
                    self._later(worker, "resume")
                case "child":
                    if not (children := self._children(worker)):
                        return
                    self.rng.choice(children).kill()
                case "disk":
                    self.fill(worker)
            self.counts[kind] += 1

    def fill(self, process: psutil.Process) -> None:
        """Lets a process write no file of more than some bytes for a moment, as on a full disk."""
        _, hard = process.rlimit(resource.RLIMIT_FSIZE)
        process.rlimit(resource.RLIMIT_FSIZE, (_FULL_BYTES, hard))
        self._later(process, "room")

    def recover(self, *, all_: bool = False) -> None:
        """Ends the troubles that have lasted long enough, or all."""
        now = time.monotonic()
        due = [one for one in self._restore if all_ or one[0] <= now]
        self._restore = [one for one in self._restore if one not in due]
        for _, process, what in due:
            with suppress(psutil.Error, ProcessLookupError, OSError):
                if what == "resume":
                    process.resume()
                else:
                    _, hard = process.rlimit(resource.RLIMIT_FSIZE)
                    process.rlimit(resource.RLIMIT_FSIZE, (hard, hard))

    def end(self, command: psutil.Process) -> signal.Signals:
        """Ends the command line by one of three signals; at times just after another trouble."""
        kind = self.rng.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
        if self.rng.random() < 0.3:
            self.strike(command)
        self.counts[f"command line {kind.name}"] += 1
        os.kill(command.pid, kind)  # not reaped yet, so the number is still its own
        return kind

    def _later(self, process: psutil.Process, what: str) -> None:
        self._restore.append((time.monotonic() + self.rng.uniform(0.1, 1.0), process, what))

    def _children(self, worker: psutil.Process) -> list[psutil.Process]:
        """The children of a worker; waits some time for the one that unpacks an image."""
        until = time.monotonic() + 0.3
        most: list[psutil.Process] = []
        while time.monotonic() < until and len(most) < 2:
            children = worker.children()
            most = max(most, children, key=len)
            time.sleep(0.002)
        return [child for child in most if child.is_running()]
