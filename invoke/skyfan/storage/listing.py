"""The files below a folder, listed folder by folder; a folder that has not changed is listed only once."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError

_SETTLED_NS = 2_000_000_000
"""No file system has coarser times: a folder that changed before may change again without a sign of it."""
_STAGED = re.compile(r"#\d+\Z")
"""What obstore adds to the name of a file that it is writing."""


class Object(NamedTuple):
    """One object of a listing."""

    key: str
    size: int
    modified: float
    """Unix time in seconds."""
    etag: str = ""
    """Differs between versions of an object, also if size and time do not."""


class Listing:
    """The files below a folder, listed again and again."""

    def __init__(self, root: Path, prefix: str) -> None:
        """`prefix` is the path of the folder below `root` and ends with a slash; it need not exist."""
        self._root = f"{root}/"
        self._paths = [prefix]
        self._numbers = {prefix: 0}
        self._stamps = [0]
        """What stat() says of each folder when all of it was listed; 0 if it must be listed again."""

    def changes(self) -> Iterator[tuple[int, list[Object]]]:
        """The number of each folder that may have changed since the last call that came to its end, at first
        of all folders, with the files that are directly in it now: none if it was removed.

        The time of a folder changes with its entries, so what is not yielded has the same files as before,
        although one may have been overwritten in place. Follows links. Raises InputError for a folder that
        cannot be read.
        """
        settled = time.time_ns() - _SETTLED_NS
        listed: dict[int, int] = {}
        for number, path in enumerate(self._paths):  # which grows while folders are found
            try:
                changed, stamp = self._stamp(path)
                if stamp and stamp == self._stamps[number]:
                    continue
                files, is_plain = self._files(path)
            except (FileNotFoundError, NotADirectoryError):
                files, is_plain, changed, stamp = [], False, 0, 0
            except (OSError, UnicodeEncodeError) as error:
                reason = getattr(error, "strerror", None) or "a name in it is not UTF-8"
                raise InputError(f"the folder {self._root}{path} cannot be listed: {reason}") from error
            listed[number] = stamp if is_plain and changed < settled else 0
            yield number, files
        for number, stamp in listed.items():
            self._stamps[number] = stamp

    def _stamp(self, path: str) -> tuple[int, int]:
        """When a folder changed, in ns, and a number that says which folder it is and when it changed."""
        found = os.stat(self._root + path)  # noqa: PTH116  (Path takes twice the time)
        if os.name != "posix":  # elsewhere it is the time of creation
            return found.st_ctime_ns, 0
        return found.st_ctime_ns, (found.st_ctime_ns << 64 | found.st_ino) << 64 | found.st_dev

    def _files(self, path: str) -> tuple[list[Object], bool]:
        """The files in a folder, and whether none of them is a link, behind which a file may come and go."""
        files, is_plain = [], True
        with os.scandir(self._root + path) as entries:
            for entry in entries:
                key = path + entry.name
                if is_link := entry.is_symlink():
                    self._refuse_loop(entry.path, path)
                if entry.is_dir():
                    self._add(key + "/")
                    continue
                is_plain = is_plain and not is_link
                if entry.is_file() and not key.endswith(".part") and not _STAGED.search(key):
                    key.encode()
                    with suppress(FileNotFoundError):  # removed since
                        files.append(_object(key, entry.stat()))
        return files, is_plain

    def _add(self, path: str) -> None:
        if path not in self._numbers:
            self._numbers[path] = len(self._paths)
            self._paths.append(path)
            self._stamps.append(0)

    def _refuse_loop(self, link: str, path: str) -> None:
        target, folder = os.path.realpath(link), Path(self._root, path)
        if any(os.path.realpath(above) == target for above in (folder, *folder.parents)):
            raise InputError(f"{link} is a link to a folder above it")


def _object(key: str, found: os.stat_result) -> Object:
    """As obstore describes the file."""
    moment = found.st_mtime_ns // 1000
    etag = f'"{found.st_ino:x}-{moment:x}-{found.st_size:x}"'
    return Object(key, found.st_size, moment / 1_000_000, etag)
