"""One worker process of the local engine, seen from the parent: started, spoken to, watched, killed."""

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

from ..template import Function

WORKER = Path(__file__).with_name("worker.py")
# What a handler prints in one invocation is kept up to this many bytes, from the end: errors come last.
KEPT_OUTPUT = 256 * 1024


class Process:
    """A worker process: its pipes, its captured output and its times."""

    def __init__(self, function: Function, environment: dict[str, str]) -> None:
        """Starts the process at once; it is ready for a request when the reply {"kind": "ready"} has come."""
        requests, self._requests = os.pipe()
        self.replies, replies = os.pipe()
        # A file, not a pipe: nobody has to drain it, and what a killed process printed last is still there.
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  (closed by close())
        self.started = time.monotonic()
        try:
            self._popen = subprocess.Popen(
                [sys.executable, "-P", "-u", str(WORKER), str(requests), str(replies), function.handler],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                env=environment,
                pass_fds=(requests, replies),
                # Its own group: Ctrl-C reaches the parent alone; a kill takes the handler's children along.
                start_new_session=True,
            )
        finally:
            os.close(requests)
            os.close(replies)
        os.set_blocking(self.replies, False)
        self._buffer = b""
        self.ended = False
        self._watched = psutil.Process(self._popen.pid)

    @property
    def pid(self) -> int:
        return self._popen.pid

    def send(self, request: dict[str, Any]) -> None:
        """Hands over one request. A process that has died is noticed later, by the end of its replies."""
        data = memoryview(json.dumps(request).encode() + b"\n")
        with contextlib.suppress(BrokenPipeError):
            while data:
                data = data[os.write(self._requests, data) :]

    def receive(self) -> list[dict[str, Any]]:
        """The replies that have come since the last call; sets `ended` when there will be no more."""
        while not self.ended:
            try:
                chunk = os.read(self.replies, 1 << 16)
            except BlockingIOError:
                break
            self._buffer += chunk
            self.ended = not chunk
        *lines, self._buffer = self._buffer.split(b"\n")
        return [json.loads(line) for line in lines]

    def rss_mb(self) -> float:
        """Resident memory now, in MB; 0 when the process has gone."""
        try:
            return float(self._watched.memory_info().rss) / 2**20
        except psutil.Error:
            return 0.0

    def take_output(self) -> str:
        """What the process has printed since the last call, stdout and stderr as they came."""
        fd = self._output.fileno()
        size = os.fstat(fd).st_size
        data = os.pread(fd, KEPT_OUTPUT, max(0, size - KEPT_OUTPUT))
        # The process shares this file's position, so it goes on writing at the new end.
        os.ftruncate(fd, 0)
        os.lseek(fd, 0, os.SEEK_SET)
        text = data.decode(errors="replace")
        return f"[{size - KEPT_OUTPUT} bytes of output left out]\n{text}" if size > KEPT_OUTPUT else text

    def kill(self) -> int:
        """Kills the process and whatever it has started, frees what it held, and gives its exit code."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        return self._popen.wait()

    def exit_code(self) -> int:
        """Waits for a process that has closed its replies; kills it if it lingers without them."""
        try:
            return self._popen.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return self.kill()

    def close(self) -> None:
        """Ends the process if it still runs and closes its files."""
        self.kill()
        for fd in (self._requests, self.replies):
            os.close(fd)
        self._output.close()
