"""A forked process that works for this one: killed when its time is over, and its death costs one request."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import mmap
import multiprocessing
import os
import re
import resource
import signal
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar, cast

from skyfan_function.errors import OutOfMemoryError

Work = Callable[[mmap.mmap, Any], Any]
T = TypeVar("T")
_PDEATHSIG = 1  # of prctl


class OutOfTimeError(Exception):
    """The process used up its time."""


class CrashError(Exception):
    """The process died, and not for want of time or memory."""


class Child:
    """Requests go to ``work`` in the process, one at a time, and what it returns comes back, both by a pipe.

    ``shared`` is memory of ``size`` bytes that both see. What this process has when it makes the child is
    inherited. Raises OutOfMemoryError if there is no memory for the child.
    """

    def __init__(self, work: Work, size: int) -> None:
        with _enough_memory():
            self.shared = mmap.mmap(-1, size)
        self._pipe, theirs = multiprocessing.Pipe()
        parent = os.getpid()
        try:
            with _enough_memory(), warnings.catch_warnings():
                # The threads that Python warns of belong to the storage client, which the child leaves alone.
                warnings.simplefilter("ignore", DeprecationWarning)
                self._pid = os.fork()
        except BaseException:
            self._pipe.close()
            theirs.close()
            raise
        if self._pid == 0:
            self._pipe.close()
            _die_with(parent)
            _serve(theirs, work, self.shared)
        theirs.close()

    def answer(self, request: Any, seconds: float | None, patience: float | None) -> Any:
        """What ``work`` makes of the request in ``seconds`` of CPU time and ``patience`` seconds of any time.

        After an error the process is gone. Raises OutOfTimeError, CrashError and OutOfMemoryError.
        """
        try:
            self._pipe.send((request, seconds))
            if self._pipe.poll(patience):
                return self._pipe.recv()
        except (EOFError, OSError):
            code = self.close()
        except BaseException:
            self.close()
            raise
        else:
            self.close()
            code = -signal.SIGPROF
        if code == -signal.SIGPROF:
            raise OutOfTimeError
        # The kernel kills a process when memory runs out.
        if code in (errno.ENOMEM, -signal.SIGKILL):
            raise OutOfMemoryError("the child process ran out of memory")
        raise CrashError(f"the child process died: exit code {code}, negative for a signal")

    def lives(self) -> bool:
        """Whether the process is there; one that waits for requests may have been killed."""
        try:
            return os.waitpid(self._pid, os.WNOHANG) == (0, 0)
        except ChildProcessError:
            return False

    def close(self) -> int:
        """End the process if it is there; its exit code, negative for a signal."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        self._pipe.close()
        try:
            _, status = os.waitpid(self._pid, 0)
        except ChildProcessError:
            return 0
        return os.waitstatus_to_exitcode(status)


def in_child(work: Callable[[], T], memory: int | None) -> T:
    """What ``work`` returns or raises in a child, which may take ``memory`` bytes more than this process has.

    Raises CrashError and OutOfMemoryError.
    """

    def outcome(_: mmap.mmap, __: Any) -> tuple[T | None, Exception | None]:
        if memory is not None:
            _limit(memory)
        try:
            return work(), None
        except MemoryError:
            raise
        except Exception as exc:
            return None, exc

    child = Child(outcome, 1)
    try:
        result, error = child.answer(None, None, None)
    finally:
        child.close()
    if error is not None:
        raise error
    return cast("T", result)


def _limit(more: int) -> None:
    """Let this process allocate ``more`` bytes more than it has, where the system can tell that."""
    with contextlib.suppress(OSError):
        match = re.search(r"VmData:\s*(\d+) kB", Path("/proc/self/status").read_text())
        if match:
            limit = (int(match[1]) << 10) + more
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _die_with(parent: int) -> None:
    """Has Linux kill this process when its parent ends, even if this one is stopped or busy."""
    with contextlib.suppress(AttributeError, OSError):  # other systems have no prctl
        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before
        os._exit(1)


def _serve(pipe: Connection, work: Work, shared: mmap.mmap) -> None:
    """In the child, which never returns: it ends with the process that it works for, if not before."""
    status = 1
    gc.freeze()  # what the storage client left behind is not ended here: its threads are not in this process
    try:
        while True:
            request, seconds = pipe.recv()
            if seconds is not None:
                # CPU time: how busy the machine is must not decide what is in a catalog.
                signal.signal(signal.SIGPROF, signal.SIG_DFL)
                signal.setitimer(signal.ITIMER_PROF, seconds)
            answer = work(shared, request)
            signal.setitimer(signal.ITIMER_PROF, 0)
            pipe.send(answer)
    except MemoryError:
        status = errno.ENOMEM
    finally:
        os._exit(status)


@contextlib.contextmanager
def _enough_memory() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno != errno.ENOMEM:
            raise
        raise OutOfMemoryError("no memory for the process that detects sources") from exc
