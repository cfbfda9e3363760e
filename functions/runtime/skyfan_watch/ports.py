"""What a standing query needs of its surroundings: a storage, an archive, and a way to start a function."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol


class UnreachableError(Exception):
    """A storage, the archive or a function did not answer; the same may succeed later."""


class NotSentError(UnreachableError):
    """A function was certainly not started."""


class Store(Protocol):
    """The place of runs and watches. Methods raise UnreachableError."""

    def get_tagged(self, key: str) -> tuple[bytes, str] | None:
        """The content of an object and its ETag; None if it does not exist."""

    def put_if(self, key: str, body: bytes, etag: str | None) -> str | None:
        """Writes an object if it has this ETag, with None if it does not exist; None if it was otherwise."""

    def put(self, key: str, body: bytes) -> None:
        """Writes or replaces an object."""

    def names(self, prefix: str) -> Iterable[str]:
        """Names of the objects directly below a prefix that ends with a slash."""

    def folders(self, prefix: str) -> Iterable[str]:
        """Names of the folders directly below such a prefix."""


@dataclass(frozen=True)
class Found:
    """A file as it is now in the archive."""

    size: int
    """Bytes."""
    etag: str
    columns: dict[str, Any] | None = field(default_factory=dict)
    """What its header says; empty if it was not read, None if it has none."""


class Archive(Protocol):
    """Where files come from."""

    def look(self, bucket: str, key: str, *, with_header: bool) -> Found | None:
        """The file as it is now; None if it does not exist. Raises UnreachableError, or PermissionError."""


@dataclass(frozen=True)
class File:
    """One accepted version of a file."""

    version: str
    """Digest of key and ETag: the name of its plan and of its receipt."""
    uri: str
    size: int
    etag: str


class Sender(Protocol):
    """Starts the function of a watch."""

    def send(self, files: list[File]) -> Iterator[tuple[File, str | UnreachableError]]:
        """Starts the function for each file; yields the request ID, or what went wrong.

        NotSentError if the function certainly did not start.
        """
