"""An object of S3 as a file that is fetched in ranges, in the background where their use is announced."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from . import patience
from .errors import FunctionError

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult, ObjectMeta
    from obstore.store import S3Store

BLOCK = 2880
"""Bytes: the size of a buffer above S3Object, that of a block of a FITS file."""
# Holds the headers before the first pixels of most files; for what needs no more it takes a few milliseconds.
_FIRST = 256 << 10
# Most headers are shorter. Doubled while one read-ahead follows the other.
_AHEAD = 32 << 10
# Ranged GETs of this size, four at a time, fill the 78 MB/s of a small Lambda environment.
_PART = 8 << 20
_STREAMS = 4
_HELD = (_STREAMS + 2) * _PART
# Read-ahead that was never read to its end, as of the headers of extensions that are skipped.
_KEPT = 64

Errors = Callable[[], AbstractContextManager[None]]
Range = tuple[int, int]


class _Part:
    """Bytes [start, stop), to be fetched, on their way or fetched."""

    def __init__(self, start: int, stop: int) -> None:
        self.start, self.stop = start, stop
        self.body: Future[memoryview] | None = None

    def __len__(self) -> int:
        return self.stop - self.start


class S3Object(io.RawIOBase):
    """One version of an object as a seekable file.

    The first request of all is for the first bytes; its reply tells the size and the version. Ranges that are
    announced are fetched in their order, several at a time, while the memory for them lasts; a range that was
    read to its end is let go. ``errors`` names the errors of the store, also those of the background, when
    the bytes are read.
    """

    def __init__(self, store: S3Store, key: str, errors: Errors) -> None:
        self._store, self._key, self._errors = store, key, errors
        self._pool = ThreadPoolExecutor(2 * _STREAMS)
        self._lock = threading.RLock()
        self._memory, self._position = _HELD, 0
        try:
            with errors():
                first = patience.result(self._pool.submit(self._open))
        except BaseException:
            self.close()
            raise
        self.meta: ObjectMeta = first.meta
        self.size: int = self.meta["size"]
        etag = self.meta["e_tag"] or "W/"
        # No weak ETag matches, not even itself; each reply is compared anyway.
        self._match: GetOptions = {} if etag.startswith("W/") else {"if_match": etag}
        self.failed: FunctionError | None = None
        """The error of the last read that failed, whatever the reader above has made of it."""
        # In the order in which they will be read.
        self._parts: list[_Part] = []
        self._ahead: list[_Part] = []
        if self.size:
            part = _Part(0, min(_FIRST, self.size))
            self._begin(part, first)
            self._parts.append(part)
            self._ahead.append(part)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = max(0, offset + (0, self._position, self.size)[whence])
        return self._position

    def readinto(self, buffer: Any) -> int:
        """At least one byte, and no more than one range holds."""
        view = memoryview(buffer).cast("B")[: max(0, self.size - self._position)]
        if not view:
            return 0
        part = self._find(self._position) or self._read_ahead(len(view))
        try:
            with self._errors():
                body = self._fetched(part)
        except FunctionError as error:
            self.failed = error
            raise
        offset = self._position - part.start
        count = min(len(view), len(part) - offset)
        view[:count] = body[offset : offset + count]
        self._position += count
        # Of a small file every byte is kept: its parts are of several extensions, read in any order.
        if self._position == part.stop and self.size > self._memory:
            self._let_go([part])
        return count

    def readall(self) -> bytes:
        rest = bytearray(max(0, self.size - self._position))
        self.prefetch([(self._position, self.size)])
        done = 0
        while done < len(rest):
            done += self.readinto(memoryview(rest)[done:])
        return bytes(rest)

    def prefetch(self, ranges: Iterable[Range], memory: int | None = None) -> None:
        """Announce [start, stop) of bytes that will be read, in the order of need.

        What was announced before and has not begun is forgotten. From now on at most ``memory`` bytes are
        held that have not been read.
        """
        with self._lock:
            self._memory = self._memory if memory is None else memory
            self._parts = [part for part in self._parts if part.body is not None]
            for start, stop in ranges:
                if stop - start <= _AHEAD and self._find(start):
                    continue  # a header whose beginning is there: the rest would be a request of its own
                for gap in self._gaps(start, min(stop, self.size)):
                    self._parts += _split(*gap)
            self._begin_next()

    def close(self) -> None:
        super().close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _find(self, position: int) -> _Part | None:
        return next((part for part in self._parts if part.start <= position < part.stop), None)

    def _gaps(self, start: int, stop: int) -> Iterator[Range]:
        """What no part holds of [start, stop)."""
        for part in sorted(self._parts, key=lambda part: part.start):
            if part.stop > start and part.start < stop:
                if part.start > start:
                    yield start, part.start
                start = part.stop
        if start < stop:
            yield start, stop

    def _read_ahead(self, count: int) -> _Part:
        """The part at the position, where ``count`` bytes are read that nobody announced."""
        start = self._position
        count += BLOCK  # the buffer above asks for the last bytes of a large read by themselves
        before = self._ahead[-1] if self._ahead else None
        follows = before is not None and -_AHEAD <= start - before.stop <= _AHEAD
        ahead = min(2 * len(before), _PART) if before is not None and follows else _AHEAD
        with self._lock:
            gaps = list(self._gaps(start, min(start + max(count, ahead), self.size)))
            parts = [part for gap in (gaps[:1] if count < ahead else gaps) for part in _split(*gap)]
            self._parts[:0] = parts
            if count < ahead:
                self._ahead += parts
                self._let_go(self._ahead[:-_KEPT])
            self._begin_next()
        return parts[0]

    def _fetched(self, part: _Part) -> memoryview:
        with self._lock:
            if part.body is None:
                self._make_room(part)
                self._begin(part)
            body = part.body
        assert body is not None
        return patience.result(body)

    def _make_room(self, part: _Part) -> None:
        """Let go of what was announced before ``part`` and has not been read."""
        for other in self._parts[: self._parts.index(part)]:
            if self._fits(part):
                break
            if other.body is not None and other.body.done() and other not in self._ahead:
                self._let_go([other])

    def _fits(self, part: _Part) -> bool:
        return sum(map(len, self._begun())) + len(part) <= self._memory

    def _begun(self) -> list[_Part]:
        """Parts that take memory and streams; headers do not wait for pixels."""
        return [part for part in self._parts if part.body is not None and len(part) > _AHEAD]

    def _let_go(self, parts: list[_Part]) -> None:
        with self._lock:
            for part in parts:
                if part in self._parts:
                    self._parts.remove(part)
                if part in self._ahead:
                    self._ahead.remove(part)
            self._begin_next()

    def _begin_next(self, _: object = None) -> None:
        """Begin parts in their order, as far as memory and streams go."""
        with self._lock:
            room = True
            for part in self._parts:
                if self.closed:
                    break
                if part.body is None and len(part) > _AHEAD:
                    busy = sum(one.body is not None and not one.body.done() for one in self._begun())
                    room = room and busy < _STREAMS and self._fits(part)
                if part.body is None and (len(part) <= _AHEAD or room):
                    self._begin(part)

    def _begin(self, part: _Part, reply: GetResult | None = None) -> None:
        part.body = self._pool.submit(self._get, part, reply)
        part.body.add_done_callback(self._begin_next)

    def _open(self) -> GetResult:
        """The reply to the first request; its body is on its way."""
        import obstore
        from obstore.exceptions import GenericError

        try:
            return obstore.get(self._store, self._key, options={"range": (0, _FIRST)})
        except GenericError as exc:
            # An empty object has no range; nothing else tells it from other errors.
            if "416" in str(exc) and not obstore.head(self._store, self._key)["size"]:
                return obstore.get(self._store, self._key)
            raise

    def _get(self, part: _Part, reply: GetResult | None = None) -> memoryview:
        """The bytes of a part, from a ``reply`` that has come or from a new request."""
        import obstore
        from obstore.exceptions import GenericError, PreconditionError

        for last_try in (False, False, True):
            if reply is None:
                options: GetOptions = {"range": (part.start, part.stop), **self._match}
                reply = obstore.get(self._store, self._key, options=options)
                if (version(reply.meta), reply.meta["size"]) != (version(self.meta), self.size):
                    raise PreconditionError(f"{self._key}: a reply is of another version")
            try:
                body = memoryview(reply.bytes())
                if len(body) == len(part):
                    return body
                raise GenericError(f"{len(body)} bytes came instead of {len(part)}")
            except GenericError:  # obstore retries until a reply begins, not what is wrong with its body
                if last_try or self.closed:
                    raise
            reply = None
        raise AssertionError


def version(meta: ObjectMeta) -> str:
    """Which content of an object it is: the ETag, or size and date where the server has none."""
    if etag := meta["e_tag"]:
        return f"etag={etag.strip(chr(34))}"
    return f"size={meta['size']} modified={int(meta['last_modified'].timestamp())}"


def _split(start: int, stop: int) -> list[_Part]:
    """Parts of about equal size."""
    number = max(1, round((stop - start) / _PART))
    edges = [start + (stop - start) * i // number for i in range(number + 1)]
    return [_Part(*pair) for pair in pairwise(edges)]
