"""One worker process of the local engine, as the parent sees it, and its environment variables."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from skyfan_contract import INPUTS, OUTPUT

from .. import network, template
from ..storage import uris
from ..template import Function

WORKER = Path(__file__).with_name("worker.py")
# Maximum bytes of output per invocation. Only the end is kept, because errors come last.
MAX_OUTPUT = 256 * 1024
_SHARE = 10
_SPARE_FILES = 6
"""Open files that must remain for logs, records and receipts when a process starts."""
# SEP uses one thread. Libraries that start one thread per CPU in every worker would slow each other down.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def variables(function: Function, output: Path) -> dict[str, str]:
    """All environment variables of a worker: Lambda's and the template's; credentials are the user's.

    Variables that name a place in a bucket, such as SKYFAN_OUTPUT, name the folder `output` instead. What
    the user may read is read: SKYFAN_INPUTS is for those who may only invoke.
    """
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    places = {name: text for name, text in function.environment.items() if text.startswith("s3://")}
    places[OUTPUT] = template.results(function)
    # Not checked here: a worker that reads local files needs no certificates.
    certificates = next((text for name in network.AWS if (text := os.environ.get(name))), None)
    return {
        **dict.fromkeys(THREADS, "1"),
        **os.environ,
        **{name: text for name, text in function.environment.items() if name != INPUTS},
        **{name: uris.localise(place, output) for name, place in places.items()},
        **({"AWS_CA_BUNDLE": str(Path(certificates).expanduser().absolute())} if certificates else {}),
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "local",
        "LAMBDA_TASK_ROOT": str(function.code),
        "_HANDLER": function.handler,
        "TZ": ":UTC",
    }


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    """All children and their children. psutil reads the whole process table for it, Linux has a list."""
    found: list[psutil.Process] = []
    try:
        if sys.platform != "linux":
            return process.children(recursive=True)
        for thread in Path(f"/proc/{process.pid}/task").iterdir():
            for pid in (thread / "children").read_text(encoding="ascii").split():
                child = psutil.Process(int(pid))
                found += [child, *_descendants(child)]
    except (OSError, psutil.Error):  # one has ended meanwhile
        return found
    return found


def _resident(process: psutil.Process, *, shared_once: bool) -> float:
    """Resident memory in MB; with `shared_once` this process's part of it (PSS), where that can be read."""
    try:
        if shared_once:
            with contextlib.suppress(psutil.AccessDenied, AttributeError):
                return float(process.memory_full_info().pss) / 2**20
        return float(process.memory_info().rss) / 2**20
    except psutil.Error:
        return 0.0


def _pipe(read: contextlib.ExitStack, write: contextlib.ExitStack) -> tuple[int, int]:
    """The two ends of a new pipe, each of which is closed with its stack."""
    ends = os.pipe()
    for end, stack in zip(ends, (read, write), strict=True):
        stack.callback(os.close, end)
    return ends


class Process:
    """A worker process: its pipes, its captured output and its start time."""

    def __init__(self, function: Function, environment: dict[str, str]) -> None:
        """Starts the process. It takes requests after its first reply, {"kind": "ready"}.

        Raises OSError if the system has no process, or not enough open files, for it.
        """
        self.started = time.monotonic()
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            requests, self._requests = _pipe(theirs, ours)
            self.replies, replies = _pipe(ours, theirs)
            # A file instead of a pipe: nobody has to drain it, and the last output of a killed process is
            # kept.
            self._output = ours.enter_context(tempfile.TemporaryFile())
            with contextlib.ExitStack() as spare:
                for _ in range(_SPARE_FILES):
                    spare.callback(os.close, os.dup(self.replies))
            self._popen = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-u", str(WORKER), str(requests), str(replies), function.handler),
                    *map(str, function.folders),
                ],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                env=environment,
                pass_fds=(requests, replies),
                # Its own group: Ctrl-C reaches only the parent, and a kill ends the handler's children too.
                start_new_session=True,
            )
            self._files = ours.pop_all()
        os.set_blocking(self.replies, False)
        self._buffer = b""
        self.ended = self.was_killed = False
        self._watched = psutil.Process(self._popen.pid)
        self._counted_mb = self._count_after = 0.0

    @property
    def pid(self) -> int:
        return self._popen.pid

    def send(self, request: dict[str, Any]) -> None:
        """Sends one request. If the process has died, receive() notices it."""
        data = memoryview(json.dumps(request).encode() + b"\n")
        with contextlib.suppress(BrokenPipeError):
            while data:
                data = data[os.write(self._requests, data) :]

    def receive(self) -> list[dict[str, Any]]:
        """The new replies; sets `ended` after the last one."""
        while not self.ended:
            try:
                chunk = os.read(self.replies, 1 << 16)
            except BlockingIOError:
                break
            self._buffer += chunk
            self.ended = not chunk
        *lines, self._buffer = self._buffer.split(b"\n")
        return [json.loads(line) for line in lines]

    def memory_mb(self, limit_mb: float) -> float:
        """Current resident memory in MB, children included; 0 if the process has ended.

        Pages that several processes share count once, on systems that say which these are. Linux walks all
        pages for that, and stops the process meanwhile: while all is surely below the limit, it is asked only
        so often that it takes a tenth of the time, and the last answer counts.
        """
        if not (children := _descendants(self._watched)):
            return _resident(self._watched, shared_once=False)
        processes, began = (self._watched, *children), time.monotonic()
        if (
            began < self._count_after
            and sum(_resident(one, shared_once=False) for one in processes) <= limit_mb
        ):
            return self._counted_mb
        self._counted_mb = sum(_resident(one, shared_once=True) for one in processes)
        now = time.monotonic()
        self._count_after = now + _SHARE * (now - began)
        return self._counted_mb

    def take_output(self) -> str:
        """The output since the last call, stdout and stderr in their order."""
        fd = self._output.fileno()
        size = os.fstat(fd).st_size
        data = os.pread(fd, MAX_OUTPUT, max(0, size - MAX_OUTPUT))
        # The process shares the position in this file, so it continues to write at the new end.
        os.ftruncate(fd, 0)
        os.lseek(fd, 0, os.SEEK_SET)
        text = data.decode(errors="replace")
        return f"[{size - MAX_OUTPUT} bytes of output omitted]\n{text}" if size > MAX_OUTPUT else text

    def kill(self) -> int:
        """Kills the process and its children; returns its exit code."""
        self.was_killed |= self._popen.poll() is None
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        return self._popen.wait()

    def exit_code(self) -> int:
        """The exit code of a process that has closed its replies; kills it if it does not end in a second."""
        try:
            return self._popen.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return self.kill()

    def close(self) -> None:
        """Kills the process if it is still running, and closes its files."""
        self.kill()
        self._files.close()
