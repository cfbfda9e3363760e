"""Receipts of the engines on this machine: from which version of an input a result was made, and its digest.

runs/<run>/inputs.jsonl has a line per result: key of the input, its size and time of modification in ns, then
size and digest of the result. The last line of a key counts. Objects of S3 have null for size and time; lines
of earlier versions end after these.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..files import from_json
from ..storage.place import Place
from . import digests

FILE = "inputs.jsonl"
Version = tuple[int, int]
"""Of a local file: its bytes, and its time of modification in ns."""


class Receipt(NamedTuple):
    """What is recorded of one result."""

    version: Version | None
    """Of the input; None for an object of S3."""
    size: int | None
    """Bytes of the result; None if an earlier version of skyfan made it."""
    digest: str = ""

    def line(self, key: str) -> str:
        """The receipt as it is appended. After half a line of a full disk, it begins one of its own."""
        return f"\n{json.dumps([key, *(self.version or (None, None)), self.size, self.digest])}\n"


def digest(body: bytes) -> str:
    """The digest of a result: BLAKE2b, 128 bits, in hexadecimal digits."""
    return hashlib.blake2b(body, digest_size=16).hexdigest()


def of_file(path: Path, version: Version | None) -> Receipt:
    """The receipt of the result in a file. Raises OSError."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
        return Receipt(version, file.tell(), found.hexdigest())


def parse(lines: Iterable[bytes]) -> Iterator[tuple[str, Receipt]]:
    """Keys and receipts, without damaged lines: a full disk or a power failure leaves half a line."""
    for line in lines:
        with suppress(ValueError, TypeError, AttributeError):
            key, *numbers, found = [*from_json(line), None, ""][:5]
            if not isinstance(found, str):  # a line of an earlier version
                numbers, found = [*numbers[:2], None], ""
            if not all(number is None or _is_count(number) for number in numbers):
                continue
            key.encode()
            found.encode("ascii")
            size, moment, made = numbers
            yield key, Receipt(None if size is None else (size, moment), made, found)


def _is_count(number: object) -> bool:
    return type(number) is int and 0 <= number < 1 << 63


class LocalReceipts:
    """The receipts of the results of a run; none in a bucket."""

    def __init__(self, place: Place, run: str) -> None:
        self._path = place.folder / "runs" / run / FILE if place.folder else None
        self._forget()

    def update(self) -> None:
        """Reads what was appended since the last call. Raises InputError if it cannot be read."""
        if self._path is None:
            return
        try:
            with self._path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < self._read:  # it was replaced
                    self._forget()
                file.seek(self._read)
                body = file.read() if size > self._read else b""
        except FileNotFoundError:
            return
        except OSError as error:
            raise InputError(f"{self._path} cannot be read: {error.strerror or error}") from error
        end = body.rfind(b"\n") + 1  # the rest is being written
        self._read += end
        if found := list(parse(body[:end].splitlines())):
            self._add(*zip(*found, strict=True))

    def differ(self, files: NDArray[np.uint64], size: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the results of these files have other sizes than they had when they were recorded."""
        recorded = self._sizes(files)
        differ: NDArray[np.bool_] = (recorded >= 0) & (recorded != size)
        return differ

    def missing(self, files: NDArray[np.uint64]) -> int:
        """How many of these files have no recorded result."""
        return int((self._sizes(files) < 0).sum())

    def versions_of(self, keys: Iterable[str]) -> Iterator[Version | None]:
        """The recorded version of each input; None if it is not known, as for objects of S3."""
        at = digests.find(self.file, digests.each(keys).astype(np.uint64))
        for size, moment in np.append(self.version, [[-1, -1]], axis=0)[at].tolist():
            yield (size, moment) if size >= 0 else None

    def digest_of(self, key: str) -> str:
        """The recorded digest of the result of an input; empty if it is not known."""
        (at,) = digests.find(self.file, digests.each([key]).astype(np.uint64))
        return self.digest[at].decode() if at >= 0 else ""

    def _sizes(self, files: NDArray[np.uint64]) -> NDArray[np.int64]:
        return np.append(self.size, -1)[digests.find(self.file, files)]

    def _forget(self) -> None:
        self._read = 0
        self.file = np.empty(0, np.uint64)
        """(n,) digests of the inputs' keys, sorted."""
        self.size = np.empty(0, np.int64)
        """(n,) bytes of the results; -1 if that is not recorded."""
        self.digest = np.empty(0, "S32")
        """(n,) digests of the results."""
        self.version = np.empty((0, 2), np.int64)
        """(n, 2) versions of the inputs; -1 if they are not recorded."""

    def _add(self, keys: tuple[str, ...], found: tuple[Receipt, ...]) -> None:
        file = np.concatenate([self.file, digests.each(keys)])[::-1]
        size = np.concatenate([self.size, [-1 if one.size is None else one.size for one in found]])[::-1]
        digest = np.concatenate([self.digest, np.array([one.digest for one in found], "S32")])[::-1]
        version = np.array([one.version or (-1, -1) for one in found], np.int64).reshape(-1, 2)
        version = np.concatenate([self.version, version])[::-1]
        self.file, last = np.unique(file, return_index=True)
        self.size, self.digest, self.version = size[last].astype(np.int64), digest[last], version[last]
