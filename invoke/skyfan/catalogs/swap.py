"""One folder in the place of another in one step: a reader sees all of the old one or all of the new one."""

import ctypes
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import UsageError

_AT_FDCWD = -100
_EXCHANGE = 2  # RENAME_EXCHANGE on Linux, RENAME_SWAP on macOS


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Gives a work folder; what is then in its `new` takes the place of `folder`, if the block ends well.

    The work folder lies beside it, so that both are of one file system, and goes in the end; so does that of
    a process that was killed. Raises UsageError while another process replaces the same folder.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    recover(folder)
    work = _work(folder)
    lock = _locked(work, folder)
    try:
        for left in work.iterdir():
            shutil.rmtree(left)
        yield work
        if (work / "new").exists():
            _swap(work / "new", folder, work / "old")
    finally:
        shutil.rmtree(work, ignore_errors=True)
        os.close(lock)


def recover(folder: Path) -> None:
    """Puts back what a process that was killed between two renames had taken away."""
    old = _work(folder) / "old"
    if not folder.exists() and old.exists():
        old.rename(folder)


def _work(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.part")


def _locked(work: Path, folder: Path) -> int:
    while True:
        work.mkdir(exist_ok=True)
        handle = os.open(work, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if work.stat().st_ino == os.fstat(handle).st_ino:
                return handle
        except BlockingIOError as error:
            os.close(handle)
            raise UsageError(f"another process is writing {folder}: wait until it is done") from error
        except FileNotFoundError:  # another process had it, and took it away
            pass
        os.close(handle)


def _swap(new: Path, folder: Path, old: Path) -> None:
    if not folder.exists():
        new.rename(folder)
    elif not _exchange(new, folder):
        folder.rename(old)
        new.rename(folder)


def _exchange(a: Path, b: Path) -> bool:
    """Exchanges two names in one step; False where the system or the file system cannot."""
    library = ctypes.CDLL(None)
    try:
        if sys.platform == "darwin":
            return bool(library.renamex_np(os.fsencode(a), os.fsencode(b), _EXCHANGE) == 0)
        return bool(library.renameat2(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _EXCHANGE) == 0)
    except AttributeError:
        return False
