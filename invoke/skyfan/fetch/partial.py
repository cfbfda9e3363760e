"""A file under construction: its bytes in any order, and a journal of which are there.

    .0123456789abcdef.part           the bytes
    .0123456789abcdef.part.journal   a line of JSON that says what is made, then one per stretch
                                     of bytes: first, end, CRC-32

The name is a digest of the final one. What was written before a kill, or before a power cut, is read and
compared with the journal when the file is continued: only bytes that are really there count.
"""

import hashlib
import json
import os
import threading
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .. import files
from .recipe import PIECE, Recipe, Span


class Partial:
    """A file under construction. Methods may be called from several threads, each for bytes of its own.

    Raises OSError, such as for a full disk.
    """

    def __init__(self, target: Path, recipe: Recipe, about: Mapping[str, Any]) -> None:
        """`about` identifies source and version: a partial file of another one is begun again."""
        name = f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}.part"
        self.path = target.with_name(name)
        self._target, self._recipe = target, recipe
        self._journal_path = target.with_name(f"{name}.journal")
        self._about = {**about, "recipe": recipe.digest(), "size": recipe.size}
        self._file = self._journal = -1
        self._lock = threading.Lock()
        self.present: list[Span] = []
        """What was there when it was opened."""

    def promised(self) -> int:
        """Bytes that the journal of an earlier call names; open() says how many there are."""
        return sum(end - start for start, end in _merged((a, b) for a, b, _ in self._read_journal()[1]))

    def open(self) -> int:
        """Opens the file, and returns how many of its bytes are present from an earlier call."""
        is_same, spans = self._read_journal()
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
        self._file = os.open(self.path, flags | (0 if is_same else os.O_TRUNC), 0o666)
        self.present = _merged((a, b) for a, b, crc in spans if self._crc(a, b) == crc)
        self._journal = os.open(self._journal_path, flags | os.O_APPEND | os.O_TRUNC, 0o666)
        lines = [json.dumps(self._about), *(f"{a} {b} {self._crc(a, b):08x}" for a, b in self.present)]
        os.write(self._journal, "".join(f"{line}\n" for line in lines).encode())
        for at, body in self._recipe.own():
            _write(self._file, body, at)
        return sum(end - start for start, end in self.present)

    def write(self, at: int, body: bytes) -> None:
        """Writes bytes to their place; they survive a kill from now on."""
        line = f"{at} {at + len(body)} {zlib.crc32(body):08x}\n".encode()
        with self._lock:  # a write may still run in its thread when the file is closed after Ctrl-C
            if self._file >= 0:
                _write(self._file, body, at)
                os.write(self._journal, line)

    def stat(self) -> os.stat_result:
        """Size and time of the file, which keeps them when it gets its name."""
        return os.fstat(self._file)

    def finish(self) -> None:
        """Gives the file its final name, in one step."""
        self.close()
        self.path.replace(self._target)
        self._journal_path.unlink()

    def close(self) -> None:
        """Closes the file, which can be continued later."""
        with self._lock:
            for descriptor in (self._file, self._journal):
                if descriptor >= 0:
                    os.close(descriptor)
            self._file = self._journal = -1

    def discard(self) -> None:
        """Removes the file."""
        self.close()
        for path in (self.path, self._journal_path):
            with suppress(FileNotFoundError):
                path.unlink()

    def _read_journal(self) -> tuple[bool, list[tuple[int, int, int]]]:
        """Whether the partial file is of the same source, and the stretches that its journal names."""
        try:
            first, *lines = self._journal_path.read_bytes().split(b"\n")
            if files.from_json(first) != self._about:
                return False, []
        except (FileNotFoundError, ValueError):
            return False, []
        spans = []
        for line in lines[:-1]:  # what follows the last line end was not written whole
            words = line.split()
            with suppress(ValueError):
                start, end, crc = int(words[0]), int(words[1]), int(words[2], 16)
                if 0 <= start < end <= self._recipe.size:
                    spans.append((start, end, crc))
        return True, spans

    def _crc(self, start: int, end: int) -> int:
        crc = 0
        while start < end and (body := os.pread(self._file, min(PIECE, end - start), start)):
            crc, start = zlib.crc32(body, crc), start + len(body)
        return crc


def _write(descriptor: int, body: bytes, at: int) -> None:
    view = memoryview(body)
    while view:
        written = os.pwrite(descriptor, view, at)
        view, at = view[written:], at + written


def _merged(spans: Iterable[Span]) -> list[Span]:
    """Sorted spans, those that touch made one."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found
