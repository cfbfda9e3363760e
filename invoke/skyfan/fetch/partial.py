"""A file under construction: its bytes in any order, and a journal of which are there.

    .0123456789abcdef.part           the bytes
    .0123456789abcdef.part.journal   a line of JSON that says what is made, then one per stretch
                                     of bytes: first, end

The name is a digest of the final one. What was written before a kill counts when the file is continued. After
a restart of the machine it may not be, whatever the journal says: the file is then begun again.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from .. import files
from .checks import Sums
from .recipe import Recipe, Span
from .source import Buffer

_SAME_BOOT_S = 60.0
"""The time of the machine's start moves with its clock."""


class Partial:
    """A file under construction. Methods raise OSError, such as for a full disk."""

    def __init__(self, target: Path, recipe: Recipe, about: Mapping[str, Any], sums: Sums) -> None:
        """`about` identifies source and version: a partial file of another one is begun again.

        `sums` get the bytes that come in their order, as long as they do; read_sums() adds the others.
        """
        self.path = path_of(target)
        self._target, self._recipe, self._sums = target, recipe, sums
        self._journal_path = self.path.with_name(f"{self.path.name}.journal")
        self._about = {**about, "recipe": recipe.digest(), "size": recipe.size}
        self._file = self._journal = -1
        self.present: list[Span] = []
        """What was there when it was opened."""

    def promised(self) -> int:
        """Bytes that are present from an earlier call."""
        return sum(end - start for start, end in self._journalled())

    def open(self) -> int:
        """Opens the file, and returns how many of its bytes are present from an earlier call."""
        self.present = self._journalled()
        flags = os.O_RDWR | os.O_CREAT
        self._file = os.open(self.path, flags | (0 if self.present else os.O_TRUNC), 0o666)
        self._journal = os.open(self._journal_path, flags | os.O_APPEND | os.O_TRUNC, 0o666)
        lines = [json.dumps({**self._about, "boot": psutil.boot_time()})]
        lines += [f"{start} {end}" for start, end in self.present]
        os.write(self._journal, "".join(f"{line}\n" for line in lines).encode())
        for at, body in self._recipe.own():
            _write(self._file, body, at)
        return sum(end - start for start, end in self.present)

    def write(self, at: int, body: Buffer) -> None:
        """Writes bytes to their place; they survive a kill from now on. Threads may write at once."""
        view = memoryview(body)
        _write(self._file, view, at)
        os.write(self._journal, f"{at} {at + len(view)}\n".encode())
        if at == self._sums.length:  # of one thread alone, for no other stretch begins there
            self._sums.update(view)

    def read_sums(self) -> Sums:
        """The checksums of the whole file, whose bytes are all there."""
        return self._sums.read(self.path)

    def stat(self) -> os.stat_result:
        """Size and time of the file, which keeps them when it gets its name."""
        return os.fstat(self._file)

    def save(self) -> None:
        """Waits until the disk has the bytes, so that no loss of power leaves a file without its content."""
        os.fsync(self._file)

    def finish(self) -> None:
        """Gives the file its final name, in one step."""
        self.close()
        self.path.replace(self._target)
        self._journal_path.unlink()

    def close(self) -> None:
        """Closes the file, which can be continued later."""
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

    def _journalled(self) -> list[Span]:
        """The stretches that an earlier call has written, sorted; none if it made another file."""
        try:
            first, *lines = self._journal_path.read_bytes().split(b"\n")
            about = files.from_json(first)
            is_lost = abs(about.pop("boot") - psutil.boot_time()) > _SAME_BOOT_S
            size = self.path.stat().st_size
        except (OSError, ValueError, AttributeError, KeyError, TypeError):
            return []
        if is_lost or about != self._about:
            return []
        spans = []
        for line in lines[:-1]:  # what follows the last line end was not written whole
            words = line.split()
            with suppress(ValueError, IndexError):
                start, end = int(words[0]), int(words[1])
                if 0 <= start < end <= min(size, self._recipe.size):
                    spans.append((start, end))
        return _merged(spans)


def path_of(target: Path) -> Path:
    """The path of a file under construction."""
    return target.with_name(f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}.part")


def _write(descriptor: int, body: Buffer, at: int) -> None:
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
