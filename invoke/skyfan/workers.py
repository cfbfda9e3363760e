"""Where the pieces of a match or a collection run: in this process, in others of this machine, or on Dask.

A piece is a call of a function of a module; arguments and results are pickled. Its result does not depend on
where it runs.
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import IO, Any, Protocol

from . import extras
from .errors import SkyfanError, UsageError

Call = tuple[Any, ...]
_CHILD = "from skyfan.workers import serve; serve()"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_RETRIES = 3
_TIMEOUT_S = 10.0


class LostWorkerError(SkyfanError):
    """A process ended before it had finished its piece."""


class Workers(Protocol):
    """Runs calls."""

    def map(self, function: Callable[..., Any], calls: Sequence[Call]) -> Iterator[tuple[int, Any]]:
        """Yields the number and the result of each call, in the order in which they finish."""


class Here:
    """This process."""

    def map(self, function: Callable[..., Any], calls: Sequence[Call]) -> Iterator[tuple[int, Any]]:
        """See Workers."""
        for number, call in enumerate(calls):
            yield number, function(*call)


class Processes:
    """Processes of this machine. They are started when the first calls come, and end with close()."""

    def __init__(self, count: int) -> None:
        self._idle: SimpleQueue[_Process] = SimpleQueue()
        self._all: list[_Process] = []
        self._count = count

    def map(self, function: Callable[..., Any], calls: Sequence[Call]) -> Iterator[tuple[int, Any]]:
        """See Workers. Raises LostWorkerError if a process is killed, most likely for want of memory."""
        while len(self._all) < min(self._count, len(calls)):
            self._all.append(_Process())
            self._idle.put(self._all[-1])
        pool = ThreadPoolExecutor(max(1, len(self._all)))
        try:
            numbers = {pool.submit(self._run, function, call): n for n, call in enumerate(calls)}
            for future in as_completed(numbers):
                yield numbers[future], future.result()
        except BaseException:
            self.close()  # a thread that waits for a process would not end
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def _run(self, function: Callable[..., Any], call: Call) -> Any:
        process = self._idle.get()
        try:
            return process.run(function, call)
        finally:
            self._idle.put(process)

    def close(self) -> None:
        """Ends the processes, also those that are busy."""
        for process in self._all:
            process.close()


class _Process:
    """A Python process that runs one call after another; it does not run the caller's script."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        environment |= dict.fromkeys(_THREADS, "1")
        # A session of its own: an interrupt from the terminal is for the caller, who ends it.
        self._child = subprocess.Popen(
            [sys.executable, "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )

    def run(self, function: Callable[..., Any], call: Call) -> Any:
        stdin, stdout = _pipes(self._child)
        try:
            pickle.dump((function, call), stdin, pickle.HIGHEST_PROTOCOL)
            stdin.flush()
            is_result, value = pickle.load(stdout)
        except (EOFError, BrokenPipeError, ValueError, pickle.UnpicklingError) as error:
            code = self._child.wait()
            raise LostWorkerError(
                f"a process of the match ended with {code}, most likely for want of memory: repeat the "
                "command with fewer --jobs; what is done is kept"
            ) from error
        if not is_result:
            raise value
        return value

    def close(self) -> None:
        self._child.kill()
        self._child.wait()
        for pipe in _pipes(self._child):
            with suppress(OSError):  # a call that it never read
                pipe.close()


def _pipes(child: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert child.stdin is not None
    assert child.stdout is not None
    return child.stdin, child.stdout


def serve() -> None:
    """What a process does: reads calls from its input and writes results, until its input ends."""
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # for what a library prints
    while True:
        try:
            function, call = pickle.load(stdin)
        except EOFError:
            return
        try:
            answer = True, function(*call)
        except Exception as error:
            answer = False, error
        pickle.dump(answer, stdout, pickle.HIGHEST_PROTOCOL)
        stdout.flush()


class Cluster:
    """A Dask cluster that exists already. Its workers see the same folders under the same names."""

    def __init__(self, address: str) -> None:
        with extras.needed("dask"):
            import distributed
        self._dask: Any = distributed  # no part of it is typed
        try:
            self._client = self._dask.Client(address, timeout=_TIMEOUT_S, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise UsageError(f"no Dask scheduler answers at {address}: {error}") from error

    def map(self, function: Callable[..., Any], calls: Sequence[Call]) -> Iterator[tuple[int, Any]]:
        """See Workers. A piece of a worker that is lost runs on another one."""
        futures = {
            self._client.submit(function, *call, pure=False, retries=_RETRIES): n
            for n, call in enumerate(calls)
        }
        for future in self._dask.as_completed(futures, loop=self._client.loop):
            yield futures[future], future.result()

    def close(self) -> None:
        """Leaves the cluster, which goes on."""
        self._client.close()


@contextmanager
def workers(jobs: int, scheduler: str | None) -> Iterator[Workers]:
    """The workers for pieces: a Dask cluster if the address of its scheduler is known."""
    if scheduler is None and jobs == 1:
        yield Here()
        return
    made = Cluster(scheduler) if scheduler else Processes(jobs)
    try:
        yield made
    finally:
        made.close()
