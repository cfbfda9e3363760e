"""Answers of the archive on disk: an interrupted plan goes on, and a second one asks little."""

import os
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from ..errors import UsageError

DAY = 86_400.0
_PARTS = 500
_TABLE = """
CREATE TABLE IF NOT EXISTS answers (
    kind TEXT, key TEXT, value BLOB, expires REAL, PRIMARY KEY (kind, key)
) WITHOUT ROWID
"""


def default() -> Path:
    """$XDG_CACHE_HOME/skyfan/mast.sqlite, in ~/.cache where that is not set."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "skyfan" / "mast.sqlite"


class Cache:
    """A table of bytes by kind and key, each with a time after which it is forgotten.

    One SQLite file that several processes may use at once; an answer that was put survives kill -9.
    For one thread. Raises UsageError where the file cannot be made.
    """

    def __init__(self, path: Path | None = None, *, refresh: bool = False) -> None:
        """`refresh` reads nothing that was there before, and writes as ever."""
        self.path = path or default()
        self._refresh = refresh
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(self.path, timeout=60, isolation_level=None)
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = NORMAL")
            self._base.execute(_TABLE)
            self._base.execute("DELETE FROM answers WHERE expires < ?", (time.time(),))
        except (OSError, sqlite3.Error) as error:
            raise UsageError(f"the cache {self.path} cannot be used ({error}): remove it") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._base.close()

    def get(self, kind: str, keys: Iterable[str]) -> dict[str, bytes]:
        """Those of `keys` that are known and not too old."""
        wanted = [] if self._refresh else list(keys)
        found: dict[str, bytes] = {}
        for start in range(0, len(wanted), _PARTS):
            part = wanted[start : start + _PARTS]
            marks = ",".join("?" * len(part))
            found.update(
                self._base.execute(
                    f"SELECT key, value FROM answers WHERE kind = ? AND expires >= ? AND key IN ({marks})",
                    (kind, time.time(), *part),
                )
            )
        return found

    def put(self, kind: str, answers: dict[str, bytes], seconds: float) -> None:
        """Keeps answers for a number of seconds, all of them or none."""
        expires = time.time() + seconds
        rows = [(kind, key, value, expires) for key, value in answers.items()]
        try:
            self._base.execute("BEGIN IMMEDIATE")
            self._base.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", rows)
            self._base.execute("COMMIT")
        except sqlite3.Error as error:  # a full disk
            raise OSError(f"the cache {self.path} cannot be written: {error}") from error
