"""The ladder of detection steps: time limits, dying child processes, and nothing that leaks."""

import contextlib
import errno
import gc
import multiprocessing.connection
import os
import resource
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import sep

from sep_extract import ladder
from sep_extract.errors import ExtractionError
from sep_extract.event import Config
from sep_extract.ladder import Step, detect
from skyfan_function.errors import OutOfMemoryError

PATIENT = {"deblend_seconds": 300.0}


def open_files() -> set[tuple[int, int, int]]:
    """Number, device and inode of each open file of this process."""
    found = set()
    for number in [int(path.name) for path in Path("/dev/fd").iterdir()]:
        with contextlib.suppress(OSError):  # that of the listing itself
            about = os.fstat(number)
            found.add((number, about.st_dev, about.st_ino))
    return found


@pytest.fixture(scope="module", autouse=True)
def older_objects_are_no_garbage() -> Iterator[None]:
    """What tests before these have left is collected once, which takes half a second."""
    gc.collect()  # closes files of other tests before any are counted
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def nothing_leaks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test leaves no process, no open file and no changed global setting of sep."""
    monkeypatch.setattr(ladder, "_SHARED", 1)
    settings = sep.get_extract_pixstack(), sep.get_sub_object_limit()
    gc.collect()
    me = psutil.Process()
    files = open_files()
    yield
    gc.collect()
    assert me.children() == [], "all children have ended"
    # Threads of tests before this one may close theirs meanwhile.
    assert not open_files() - files
    assert (sep.get_extract_pixstack(), sep.get_sub_object_limit()) == settings


def peaks(side: int) -> np.ndarray:
    """A plateau with side x side peaks on it: one object, and as many sub-objects."""
    n = 5 * side + 40
    image = np.zeros((n, n), "f4")
    image[20:-20, 20:-20] = 100
    height = np.random.default_rng(1).uniform(500, 1000, (side, side))
    for dy, dx, share in ((0, 0, 1.0), (0, 1, 0.25), (0, -1, 0.25), (1, 0, 0.25), (-1, 0, 0.25)):
        image[22 + dy : n - 20 : 5, 22 + dx : n - 20 : 5] += height * share
    return image


def stars() -> np.ndarray:
    """16 round stars on a noisy background."""
    image = np.random.default_rng(1).normal(0, 1, (96, 96))
    y, x = np.mgrid[:96, :96]
    for x0 in range(16, 88, 20):
        for y0 in range(16, 88, 20):
            image += 100 * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 4.5)
    return image.astype("f4")


def run(image: np.ndarray, noise: Any = 1.0, **config: Any) -> tuple[Any, np.ndarray, Step]:
    return detect(image, noise, np.zeros(image.shape, bool), Config(**{**PATIENT, **config}))


def test_out_of_time() -> None:
    """The last step takes no time, however crowded the field is."""
    found, segmentation, step = run(peaks(70), deblend_mincont=1e-6, deblend_seconds=0.001)
    assert step == Step.NO_DEBLENDING
    assert len(found) == 1
    assert set(np.unique(segmentation)) == {0, 1}


SLOW = {
    Step.AS_ASKED: (Step.COARSE_DEBLENDING, (16, 0.005)),
    Step.COARSE_DEBLENDING: (Step.NO_DEBLENDING, (1, 1.0)),
}


@pytest.mark.slow
@pytest.mark.parametrize("slowest", SLOW)
def test_each_step_down(monkeypatch: pytest.MonkeyPatch, slowest: Step) -> None:
    """Steps up to `slowest` hang; the next one gives the result."""
    reached, (nthresh, mincont) = SLOW[slowest]
    real = ladder._extract

    def hang(data: Any, noise: Any, mask: Any, config: Any, now: Any, shared: Any) -> Any:
        if now.step <= slowest:
            time.sleep(60)
        assert (now.nthresh, now.mincont) == (nthresh, mincont)
        return real(data, noise, mask, config, now, shared)

    monkeypatch.setattr(ladder, "_extract", hang)
    found, _, step = run(stars(), deblend_seconds=0.2)
    assert step == reached
    assert len(found) == 16


@pytest.mark.slow
def test_a_coarse_contrast_goes_straight_to_no_deblending(monkeypatch: pytest.MonkeyPatch) -> None:
    real = ladder._extract

    def hang(*arguments: Any) -> Any:
        if arguments[4].step == Step.AS_ASKED:
            time.sleep(60)
        return real(*arguments)

    monkeypatch.setattr(ladder, "_extract", hang)
    assert run(stars(), deblend_seconds=0.2, deblend_mincont=0.2)[2] == Step.NO_DEBLENDING


def kill(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def half_a_reply(*_: Any) -> None:
    """Announces a thousand bytes on the pipe, writes ten and dies."""
    pipes = [o for o in gc.get_objects() if isinstance(o, multiprocessing.connection.Connection)]
    (pipe,) = [p for p in pipes if not p.closed and p.writable]
    os.write(pipe.fileno(), struct.pack("!i", 1000) + b"x" * 10)
    os._exit(1)


def fail(*_: Any) -> None:
    raise ZeroDivisionError


def segfault(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


@pytest.mark.parametrize(("death", "code"), [(half_a_reply, "1"), (fail, "1"), (segfault, "-11")])
def test_a_child_that_dies(
    monkeypatch: pytest.MonkeyPatch, capfd: Any, death: Callable[..., None], code: str
) -> None:
    monkeypatch.setattr(ladder, "_extract", death)
    with pytest.raises(ExtractionError, match=f"exit code {code}\\b"):
        run(np.zeros((20, 20), "f4"))
    assert capfd.readouterr().err.count("Traceback") == 0


def no_memory(*_: Any) -> None:
    raise MemoryError


@pytest.mark.parametrize("death", [kill, no_memory])
def test_a_child_without_memory(monkeypatch: pytest.MonkeyPatch, death: Callable[..., None]) -> None:
    monkeypatch.setattr(ladder, "_extract", death)
    with pytest.raises(OutOfMemoryError):
        run(np.zeros((20, 20), "f4"))


def test_sep_without_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child may not allocate what a map of the image needs."""
    real = ladder._extract

    def cramped(*arguments: Any) -> Any:
        used = psutil.Process().memory_info().vms
        resource.setrlimit(resource.RLIMIT_AS, (used, resource.RLIM_INFINITY))
        blocks = []
        with contextlib.suppress(MemoryError):
            while True:  # takes what earlier tests have freed, which no limit counts
                blocks.append(bytearray(2**22))
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**23, resource.RLIM_INFINITY))
        return real(*arguments)

    monkeypatch.setattr(ladder, "_extract", cramped)
    # Over 64 MB: smaller maps fit into the address space that malloc reserves for each thread, as in xdist.
    with pytest.raises(OutOfMemoryError):
        run(np.zeros((4200, 4200), "f4"))


@pytest.mark.parametrize("call", ["mmap.mmap", "os.fork"])
@pytest.mark.parametrize(("number", "error"), [(errno.ENOMEM, OutOfMemoryError), (errno.EAGAIN, OSError)])
def test_a_child_that_cannot_begin(
    monkeypatch: pytest.MonkeyPatch, call: str, number: int, error: type[Exception]
) -> None:
    """Only want of memory is mended by a larger function; no pipe is left behind."""

    def refuse(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(f"sep_extract.child.{call}", refuse)
    with pytest.raises(error) as caught:
        run(np.zeros((20, 20), "f4"))
    assert isinstance(caught.value, OutOfMemoryError) == (number == errno.ENOMEM)


@pytest.mark.slow
def test_many_calls_leak_nothing() -> None:
    """The fixture checks; here are many attempts, most of them killed."""
    image = peaks(20)
    for _ in range(20):
        run(image, deblend_seconds=1e-6)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a stopped child stays until it goes on")
def test_a_child_dies_with_its_parent_even_when_it_is_stopped() -> None:
    code = (
        "import time; from sep_extract.child import Child\n"
        "child = Child(lambda *_: (print('at work', flush=True), time.sleep(600)), 1)\n"
        "print(child._pid, flush=True)\n"
        "child.answer(None, None, None)"
    )
    folders = os.pathsep.join(path for path in sys.path if path)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": folders}
    ) as parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        assert parent.stdout.readline() == b"at work\n", "not stopped before it has begun"
        child.suspend()
        parent.kill()
    assert psutil.wait_procs([child], timeout=10)[1] == []
