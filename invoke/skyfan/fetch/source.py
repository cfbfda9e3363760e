"""Where files come from: sizes, versions, and ranges of bytes that are of one version."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import obstore
from obstore.exceptions import (
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from .. import concurrency
from ..errors import InputError
from ..storage import s3

T = TypeVar("T")
Buffer = bytes | memoryview

CHUNK = 1 << 20
"""Bytes that arrive between two notes in the journal of a partial file."""
STALL_S = 60.0
"""Seconds without a byte after which a request is made again."""
_ATTEMPTS = 6
LOOKED_UP = 128
"""Files whose sizes and versions are requested at once."""
_IN_MEMORY = 2
"""Files that are held in memory at once."""
_FIRST_S, _LONGEST_S = 0.5, 30.0
_PERMANENT = (NotFoundError, FileNotFoundError, PermissionDeniedError, UnauthenticatedError)


@dataclass(frozen=True)
class Version:
    """One version of a file at its source."""

    size: int
    """Bytes."""
    etag: str
    """As the source gives it; Last-Modified of a source without ETags; empty without both."""
    ranges: bool = field(default=True, compare=False)
    """Whether the source sends ranges of bytes."""
    is_expected: bool = field(default=False, compare=False)
    """Whether only its size is known, from a plan: the first answer tells the ETag."""

    def admits(self, found: "Version") -> bool:
        """Whether an answer is of this version."""
        return self.size == found.size if self.is_expected else self == found

    def __str__(self) -> str:
        etag = "in the plan" if self.is_expected else self.etag or "no ETag"
        return f"{etag}, {self.size:,} bytes"


class VersionError(Exception):
    """The file at the source is another one than the one that was begun."""


class PassingError(Exception):
    """A request failed in a way that may pass; the message says how."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        """`wait` in seconds, which the server asks for."""
        super().__init__(message)
        self.wait = wait


OnVersion = Callable[[Version], None]


class Source(Protocol):
    """A kind of source. `version` and `stream` raise InputError, `stream` VersionError too; both raise
    PassingError for what may pass.
    """

    async def version(self, uri: str) -> Version:
        """Size and ETag of a file."""

    def stream(
        self, uri: str, version: Version, start: int, stop: int, answered: OnVersion
    ) -> AsyncIterator[Buffer]:
        """The bytes from `start` to `stop` (exclusive) in chunks. `answered` gets the version of the answer
        before the first of them, and raises VersionError if it is another one.
        """

    async def close(self) -> None:
        """Ends connections."""


class Objects:
    """Objects of S3."""

    def __init__(self, access: str) -> None:
        self._access = access
        self._stores: dict[str, Any] = {}

    def _object(self, uri: str) -> tuple[Any, str]:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if bucket not in self._stores:
            self._stores[bucket] = s3.client(bucket, self._access, endless=True)
        return self._stores[bucket], key

    async def version(self, uri: str) -> Version:
        """Size and ETag by a HEAD."""
        store, key = self._object(uri)
        try:
            meta = await obstore.head_async(store, key)
        except s3.ERRORS as error:
            raise self._translated(uri, error) from error
        return Version(meta["size"], meta["e_tag"] or "")

    async def stream(
        self, uri: str, version: Version, start: int, stop: int, answered: OnVersion
    ) -> AsyncIterator[Buffer]:
        """The bytes by one GET, pinned to the version by If-Match if its ETag is known."""
        store, key = self._object(uri)
        options: Any = {"range": (start, stop)}
        if version.etag:
            options["if_match"] = version.etag
        try:
            answer = await obstore.get_async(store, key, options=options)
            answered(Version(answer.meta["size"], answer.meta["e_tag"] or version.etag))
            async for chunk in answer.stream(min_chunk_size=CHUNK):
                yield memoryview(chunk)
        except PreconditionError as error:
            raise VersionError(f"it was {version}, and is another one now") from error
        except s3.ERRORS as error:
            raise self._translated(uri, error) from error

    async def close(self) -> None:
        """Nothing: obstore closes idle connections."""

    def _translated(self, uri: str, error: Exception) -> Exception:
        reason = s3.storage_error(uri, error, self._access)
        if isinstance(error, _PERMANENT) or s3.is_permanent(error):
            return reason
        return PassingError(str(reason).removeprefix(f"{uri}: "))


def _ignore(_: Version) -> None:
    pass


class Reader:
    """Reads a source with a maximum of concurrent requests, retries, and counts."""

    def __init__(self, sources: dict[str, Source], connections: int, on_bytes: Callable[[int], None]) -> None:
        """`sources` by the scheme of URIs: s3, mast. `on_bytes` is told of all bytes that arrive."""
        self._sources = sources
        self._slots = asyncio.Semaphore(connections)
        self._looks = asyncio.Semaphore(LOOKED_UP)
        self._on_bytes = on_bytes
        self.in_memory = asyncio.Semaphore(_IN_MEMORY)
        """For whoever holds a whole file in memory."""
        self.received = 0
        """Bytes that arrived, those of failed requests included."""
        self.requests = 0
        """Requests for content."""
        self.retries = 0

    def _source(self, uri: str) -> Source:
        return self._sources[uri.partition(":")[0]]

    async def version(self, uri: str) -> Version:
        """Size and ETag of a file. Raises InputError."""

        async def once() -> Version:
            try:
                async with asyncio.timeout(STALL_S):
                    return await self._source(uri).version(uri)
            except TimeoutError as error:
                raise PassingError(f"no answer for {STALL_S:.0f} s") from error

        return await self._retried(uri, once, self._looks)

    async def read(self, uri: str, version: Version, start: int, stop: int) -> bytes:
        """The bytes from `start` to `stop` in memory. Raises InputError, VersionError."""
        chunks: list[Buffer] = []

        async def keep(at: int, chunk: Buffer) -> None:
            chunks.append(chunk)

        await self.stream(uri, version, start, stop, keep)
        return b"".join(chunks)

    async def stream(
        self,
        uri: str,
        version: Version,
        start: int,
        stop: int,
        take: Callable[[int, Buffer], Awaitable[None]],
        on_version: OnVersion = _ignore,
    ) -> None:
        """Hands all bytes from `start` to `stop` to `take`, with their offset, in order; a retry continues
        where the connection broke. `on_version` gets the version before the first byte if it was only
        expected. Raises InputError, VersionError.
        """
        at = start

        def answered(found: Version) -> None:
            nonlocal version
            if not version.admits(found):
                raise VersionError(f"it was {version}, and is {found} now")
            if version.is_expected:
                version = found
                on_version(found)

        async def once() -> None:
            nonlocal at
            self.requests += 1
            stream = self._source(uri).stream(uri, version, at, stop, answered)
            async with aclosing(stream) as chunks:  # type: ignore[type-var]
                while True:
                    try:
                        async with asyncio.timeout(STALL_S):
                            chunk = await anext(chunks, b"")
                    except TimeoutError as error:
                        raise PassingError(f"no byte came for {STALL_S:.0f} s") from error
                    if not chunk:
                        break
                    self.received += len(chunk)
                    self._on_bytes(len(chunk))
                    if at + len(chunk) > stop:
                        raise PassingError(f"more bytes came than {stop - start:,}")
                    await take(at, chunk)
                    at += len(chunk)
            if at < stop:
                raise PassingError(f"the answer ended after {at - start:,} of {stop - start:,} bytes")

        if start < stop:
            await self._retried(uri, once, self._slots, lambda: at)

    async def _retried(
        self,
        uri: str,
        request: Callable[[], Awaitable[T]],
        slots: asyncio.Semaphore,
        progress: Callable[[], int] = lambda: 0,
    ) -> T:
        """Makes a request again while it fails in a way that may pass. Progress gives it new attempts."""
        failures, reached = 0, progress()
        delays = concurrency.backoff(_FIRST_S, _LONGEST_S)
        while True:
            try:
                async with slots:
                    return await request()
            except PassingError as error:
                if progress() > reached:
                    failures, reached = 0, progress()
                    delays = concurrency.backoff(_FIRST_S, _LONGEST_S)
                failures += 1
                self.retries += 1
                if failures == _ATTEMPTS:
                    raise InputError(f"{uri}: {error} ({_ATTEMPTS} attempts)") from error
                await asyncio.sleep(error.wait + next(delays))
