"""On-disk cache of the archive's answers: an interrupted plan continues, a repeated one is quick."""

import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import platformdirs

from ..concurrency import chunks
from ..errors import UsageError

DAY = 86_400.0
_FILE = "cache.sqlite3"
_BUSY_S = 60.0
_EVERY_S = 1.0
_KEYS = 500
"""Keys per query; SQLite allows 999 parameters at least."""
_TABLE = """
CREATE TABLE IF NOT EXISTS entries (
    kind TEXT, key TEXT, value TEXT NOT NULL, expiry REAL NOT NULL, PRIMARY KEY (kind, key)
)
"""
# Not WITHOUT ROWID: to find a key SQLite would then read values, and one of megabytes again and again.


def default_folder() -> Path:
    """The folder of the cache; on Linux $XDG_CACHE_HOME/skyfan/mast, or ~/.cache/skyfan/mast."""
    return platformdirs.user_cache_path("skyfan") / "mast"


class Cache:
    """On-disk cache of strings with per-entry expiry, in an SQLite file. Use it as a context manager.

    put() writes at most once per second, in one transaction; what waits is written by a later put(), or at
    the end, and kill -9 loses it. Several processes may write at once. For one thread at a time. Raises
    UsageError if the file cannot be read or written.
    """

    # SQLite's default journal, not WAL: caches are in home directories, which may be on a network.

    def __init__(self, folder: Path | None = None, *, refresh: bool = False) -> None:
        """`folder` defaults to default_folder(). With `refresh` nothing is read, but entries are written."""
        self.folder = folder or default_folder()
        self._refresh = refresh
        self._waiting: list[tuple[str, str, str, float]] = []
        self._written = -_EVERY_S
        """Monotonic time of the last transaction: each waits for the disk."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot create the cache {self.folder}: {error.strerror}") from error
        with self._errors():
            # Another thread: in a notebook the coroutines that use the cache run in one of their own.
            self._file = sqlite3.connect(self.folder / _FILE, timeout=_BUSY_S, check_same_thread=False)
            try:
                self._file.execute(_TABLE)
            except sqlite3.Error:
                self._file.close()
                raise
        for old in self.folder.glob("*-*.jsonl"):  # of the format before
            with suppress(OSError):
                old.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._write()
        with self._errors(), self._file:
            self._file.execute("DELETE FROM entries WHERE expiry < ?", [time.time()])
        self._file.close()

    def get(self, kind: str, keys: Iterable[str]) -> dict[str, str]:
        """Values of those `keys` that are cached and have not expired."""
        if self._refresh:
            return {}
        self._write()
        values: dict[str, str] = {}
        now = time.time()
        with self._errors():
            for some in chunks(keys, _KEYS):
                marks = ",".join("?" * len(some))
                query = f"SELECT key, value FROM entries WHERE kind = ? AND expiry >= ? AND key IN ({marks})"
                values.update(self._file.execute(query, [kind, now, *some]))
        return values

    def put(self, kind: str, values: dict[str, str], lifetime_s: float) -> None:
        """Stores values, which expire after `lifetime_s` seconds."""
        expiry = time.time() + lifetime_s
        self._waiting += [(kind, key, value, expiry) for key, value in values.items()]
        if time.monotonic() - self._written >= _EVERY_S:
            self._write()

    def _write(self) -> None:
        if self._waiting:
            with self._errors(), self._file:
                self._file.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)", self._waiting)
            self._waiting.clear()
            self._written = time.monotonic()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        path = self.folder / _FILE
        try:
            yield
        except sqlite3.OperationalError as error:
            raise UsageError(f"the cache {path} cannot be used: {error}") from error
        except sqlite3.DatabaseError as error:
            raise UsageError(f"the cache {path} is damaged ({error}): remove it") from error
