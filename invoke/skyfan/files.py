"""Files and folders that are replaced in one step: a reader sees all of the old one or all of the new one."""

import ctypes
import errno
import importlib.util
import json
import os
import re
import secrets
import shutil
import sys
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from .errors import InputError, UsageError
from .formatting import FORMULA

if TYPE_CHECKING:
    import pyarrow as pa

PART = re.compile(r"\A\.[0-9a-f]{16}\.part\Z|#\d+\Z")
"""Names of half-written files: of replace() and of functions, and of obstore."""
_SCRATCH = "skyfan-scratch-"
_LOCKED = ".locked"
"""A file in a folder that was locked."""
_AT_FDCWD = -100
_EXCHANGE = 2  # RENAME_EXCHANGE on Linux, RENAME_SWAP on macOS


def from_json(body: str | bytes) -> Any:
    """JSON that may be damaged or somebody else's. Raises ValueError, also for what is nested too deeply."""
    try:
        return json.loads(body)
    except RecursionError as error:
        raise ValueError("JSON of too many levels") from error


def require_posix(what: str) -> None:
    """Raises UsageError on a system without POSIX locks and processes; `what` names what needs them."""
    if missing := [name for name in ("fcntl", "resource") if importlib.util.find_spec(name) is None]:
        raise UsageError(
            f"{what} needs POSIX locks and processes ({', '.join(missing)}), which Windows does not have: "
            "use Linux, macOS or the Windows Subsystem for Linux"
        )


def lock(file: int | IO[str], *, shared: bool = False) -> None:
    """Locks an open file until it is closed; a `shared` lock excludes only those that are not. Raises
    BlockingIOError while another process holds the lock.
    """
    require_posix("a lock")
    import fcntl

    fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


def resolved(path: str | Path) -> Path:
    """The absolute path without links. Raises UsageError for links in a circle."""
    try:
        return Path(path).resolve()
    except (RuntimeError, OSError) as error:
        raise UsageError(f"{path} cannot be followed: {error}") from error


def require_folder(path: Path) -> None:
    """Raises InputError if the folder of a file that is to be written does not exist."""
    if not path.resolve().parent.is_dir():
        raise InputError(f"cannot write {path}: the folder {path.parent} does not exist")


def cannot_write(path: Path, error: OSError) -> UsageError:
    """The error of a file or folder that cannot be written. Where the system, as in /proc, says only that
    something does not exist, it is the file that is to be made.
    """
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno == errno.ENOENT and path.parent.is_dir():
        reason = f"{path.parent} takes no new files"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        reason += "; free space there. What was there before is whole"
    return UsageError(f"cannot write {path}: {reason}")


def folded(name: str) -> str:
    """Equal for names that some file systems take for one: without case, composed as Unicode's NFC."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def is_too_long(path: Path, folder: Path) -> bool:
    """Whether there can be no file with a name, or a path, of this length. `folder` is one above it that
    exists: where the path's own does not exist yet, the system says nothing about the name.
    """
    for candidate in (path, folder / path.name):
        try:
            candidate.lstat()
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return True
    return False


def is_locked(path: Path) -> bool | None:
    """Whether a process holds the lock of a file; None where that cannot be known."""
    try:
        with path.open() as file:
            lock(file, shared=True)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    except (OSError, UsageError):  # a file system, or a system, without locks
        return None
    return False


@contextmanager
def replace(path: Path) -> Iterator[Path]:
    """Yields a temporary file to write, which replaces `path` if the block ends without an error.

    It lies beside `path`, because a rename is atomic only within one file system, and is removed after an
    error. Raises UsageError where the file cannot be written, and for what exists and is no file, such as
    /dev/null: it would be one afterwards.
    """
    if path.exists() and not path.is_file():
        raise UsageError(f"cannot write {path}: it exists and is not a regular file")
    part = path.with_name(f".{secrets.token_hex(8)}.part")  # never longer than a system allows
    try:
        yield part
        part.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            part.unlink()


def write_csv(table: "pa.Table", path: Path) -> None:
    """Writes a table as CSV, which a spreadsheet may open: no text in it is a formula."""
    import pyarrow.compute as pc
    import pyarrow.csv

    for number, field in enumerate(table.schema):
        if pyarrow.types.is_string(field.type):
            column = table[field.name]
            is_formula = pc.fill_null(
                pc.is_in(pc.utf8_slice_codeunits(column, 0, 1), pyarrow.array(FORMULA)), False
            )
            quoted = pc.binary_join_element_wise("'", column, "")
            table = table.set_column(number, field, pc.if_else(is_formula, quoted, column))
    pyarrow.csv.write_csv(table, path)


@contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """Yields a work folder; its subfolder `new` replaces `folder` if the block ends without an error.

    A block that makes no `new` leaves `folder` as it is. The work folder lies beside `folder`, for the same
    reason as above, and is removed at the end; the next call removes the one of a killed process. Raises
    UsageError while another process replaces the same folder, and on Windows.
    """
    require_posix(f"writing the folder {folder}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        recover_folder(folder)
        work = _work_folder(folder)
        held = _lock(work, folder)
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        for leftover in work.iterdir():
            shutil.rmtree(leftover)
        yield work
        if (work / "new").exists():
            _swap(work / "new", folder, work / "old")
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise cannot_write(folder, error) from error
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
        os.close(held)


@contextmanager
def scratch() -> Iterator[Path]:
    """Yields a folder for temporary files, which is removed at the end.

    It is locked meanwhile, so that those that killed processes have left are known, and removed first. One
    that cannot be locked, as on some network file systems, is never taken for such a one.
    """
    for leftover in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*/{_LOCKED}"):
        with suppress(OSError, UsageError):  # in use, not ours, just removed, or a system without locks
            held = _locked(leftover.parent)
            shutil.rmtree(leftover.parent, ignore_errors=True)
            os.close(held)
    while True:
        folder, descriptor = Path(tempfile.mkdtemp(prefix=_SCRATCH)), None
        try:
            descriptor = _locked(folder)
            (folder / _LOCKED).touch()
        except (BlockingIOError, FileNotFoundError):  # another process takes it for a leftover
            continue
        except (OSError, UsageError):
            pass
        break
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def _locked(folder: Path) -> int:
    """Locks a folder that exists; returns its descriptor, which holds the lock until it is closed.

    Raises BlockingIOError while another process holds it, FileNotFoundError if it is removed meanwhile.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        lock(descriptor)
        if folder.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
        raise FileNotFoundError(folder)
    except BaseException:
        os.close(descriptor)
        raise


def recover_folder(folder: Path) -> None:
    """Restores the old folder after a process was killed between the two renames of `_swap`."""
    old = _work_folder(folder) / "old"
    if not folder.exists() and old.exists():
        old.rename(folder)


def _work_folder(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.part")


def _lock(work: Path, folder: Path) -> int:
    """Creates and locks the work folder; returns its descriptor, which holds the lock until it is closed."""
    while True:
        work.mkdir(exist_ok=True)
        try:
            return _locked(work)
        except BlockingIOError as error:
            raise UsageError(f"another process is writing {folder}: wait until it is done") from error
        except FileNotFoundError:  # its owner finished between our open and our lock
            pass


def _swap(new: Path, folder: Path, old: Path) -> None:
    if not folder.exists():
        new.rename(folder)
    elif not _exchange(new, folder):
        folder.rename(old)
        new.rename(folder)


def _exchange(a: Path, b: Path) -> bool:
    """Exchanges two names in one step; False if the system or the file system cannot."""
    library = ctypes.CDLL(None)
    try:
        if sys.platform == "darwin":
            return bool(library.renamex_np(os.fsencode(a), os.fsencode(b), _EXCHANGE) == 0)
        return bool(library.renameat2(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _EXCHANGE) == 0)
    except AttributeError:
        return False
