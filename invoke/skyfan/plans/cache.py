"""Answers of the archive on disk: an interrupted plan goes on, and a second one asks little."""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from ..errors import UsageError

DAY = 86_400.0
_FEW = 1000


def default() -> Path:
    """$XDG_CACHE_HOME/skyfan/mast, in ~/.cache where that is not set."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "skyfan" / "mast"


class Cache:
    """Texts by kind and key, each forgotten after a time of its own: a folder with a file for each kind.

    Lines [key, value, expires] in JSON are only ever appended, each batch in one write: an answer that was
    put survives kill -9, several processes may write at once, and of two lines of a key the later counts.
    For one thread at a time. Raises UsageError where the folder cannot be made.
    """

    def __init__(self, folder: Path | None = None, *, refresh: bool = False) -> None:
        """`refresh` reads nothing that was there before, and writes as ever."""
        self.folder = folder or default()
        self._refresh = refresh
        self._open: dict[str, int] = {}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"the cache {self.folder} cannot be made: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._open.values():
            os.close(file)
        self._open.clear()

    def get(self, kind: str, keys: Iterable[str]) -> dict[str, str]:
        """Those of `keys` that are known and not too old."""
        wanted = frozenset(() if self._refresh else keys)
        path, now = self._path(kind), time.time()
        if not wanted or not path.exists():
            return {}
        found: dict[str, str] = {}
        lines = old = 0
        for key, value, expires in _lines(path):
            lines += 1
            if expires < now:
                old += 1
                found.pop(key, None)
            elif key in wanted:
                found[key] = value
        if old > _FEW and old > lines / 2:
            self._shorten(path, now)
        return found

    def put(self, kind: str, answers: dict[str, str], seconds: float) -> None:
        """Keeps answers for a number of seconds."""
        expires = time.time() + seconds
        # Begins with a line break, for the last writer may have been killed inside a line.
        text = "".join(f"\n{json.dumps([key, value, expires])}" for key, value in answers.items())
        if kind not in self._open:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            self._open[kind] = os.open(self._path(kind), flags, 0o644)
        data = memoryview(f"{text}\n".encode())
        while data:
            data = data[os.write(self._open[kind], data) :]

    def _path(self, kind: str) -> Path:
        name = hashlib.sha256(kind.encode()).hexdigest()[:16]
        return self.folder / f"{kind.split(maxsplit=1)[0]}-{name}.jsonl"

    def _shorten(self, path: Path, now: float) -> None:
        """Leaves old lines out. What another process appends meanwhile is lost, and will be asked again."""
        part = path.with_suffix(f".{os.getpid()}.part")
        with part.open("w", encoding="utf-8") as file:
            for line in _lines(path):
                if line[2] >= now:
                    file.write(f"{json.dumps(line)}\n")
        part.replace(path)


def _lines(path: Path) -> Iterator[tuple[str, str, float]]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if line == "\n":
                continue
            try:
                key, value, expires = json.loads(line)
                yield str(key), str(value), float(expires)
            except (ValueError, TypeError):
                continue  # cut off by a kill
