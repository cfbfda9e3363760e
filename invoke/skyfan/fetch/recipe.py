"""A recipe: how a file at the destination is made of bytes of its source, and of bytes of its own.

A whole file is one copy; chosen extensions are a header and some copies; a cut-out copies strips of rows.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

PIECE = 8 << 20
"""Bytes of the source in one request; also of the parts in which the AWS CLI uploads."""
LONG_PIECE = 64 << 20
"""The same where files are as many as connections: fewer requests, and bytes are hashed as they arrive."""

Span = tuple[int, int]
"""First byte, and the one after the last."""


@dataclass(frozen=True)
class Copy:
    """Strips of the source, one after the other: `count` of `length` bytes each, `stride` bytes apart."""

    start: int
    length: int
    count: int = 1
    stride: int = 0

    @property
    def size(self) -> int:
        """Bytes of all strips."""
        return self.length * self.count

    @property
    def span(self) -> int:
        """Bytes of the source from the first strip to the last, with what lies between."""
        return self.stride * (self.count - 1) + self.length if self.size else 0


@dataclass(frozen=True)
class Piece:
    """A part of the file that one request makes."""

    at: int
    """Its offset in the file."""
    strips: Copy

    @property
    def source(self) -> Span:
        """The bytes to request."""
        return self.strips.start, self.strips.start + self.strips.span

    def gather(self, body: bytes) -> bytes:
        """The strips of a body that was requested, one after the other."""
        if self.strips.count == 1:
            return body
        length, stride = self.strips.length, self.strips.stride
        return b"".join(body[row * stride : row * stride + length] for row in range(self.strips.count))


@dataclass(frozen=True)
class Recipe:
    """The parts of a file in their order."""

    parts: tuple[bytes | Copy, ...]

    @classmethod
    def whole(cls, size: int) -> "Recipe":
        """A file as it is."""
        return cls((Copy(0, size),))

    @cached_property
    def size(self) -> int:
        """Bytes of the file."""
        return sum(part.size if isinstance(part, Copy) else len(part) for part in self.parts)

    @property
    def transfer(self) -> int:
        """Bytes of the source that are requested for it."""
        return sum(part.span for part in self.parts if isinstance(part, Copy))

    def digest(self) -> str:
        """Differs between recipes."""
        text = hashlib.sha256()
        for part in self.parts:
            text.update(part if isinstance(part, bytes) else repr(part).encode())
        return text.hexdigest()[:16]

    def own(self) -> Iterator[tuple[int, bytes]]:
        """Offset and bytes of the parts that need no request."""
        at = 0
        for part in self.parts:
            if isinstance(part, bytes):
                yield at, part
                at += len(part)
            else:
                at += part.size

    def pieces(self, present: Iterable[Span] = (), longest: int = PIECE) -> Iterator[Piece]:
        """What has to be requested if the `present` spans of the file are there already, in its order.

        `longest` in bytes; strips of rows, which are gathered in memory, are always shorter than PIECE.
        """
        at, spans = 0, sorted(present)
        for part in self.parts:
            if isinstance(part, bytes):
                at += len(part)
                continue
            known = spans if part.count == 1 else _whole_rows(part, at, spans)
            for start, stop in missing(at, at + part.size, known):
                yield from _pieces(part, at, start - at, stop - at, longest)
            at += part.size


def _whole_rows(copy: Copy, at: int, spans: list[Span]) -> list[Span]:
    """What spans hold of whole rows of a copy that begins at `at`: a row is requested whole, and once."""
    length = copy.length
    rows = [(-((at - start) // length), (end - at) // length) for start, end in spans]
    return [(at + first * length, at + last * length) for first, last in rows if first < last]


def missing(start: int, stop: int, present: list[Span]) -> Iterator[Span]:
    """The gaps that sorted spans leave between `start` and `stop`."""
    for first, end in present:
        if end <= start:
            continue
        if first >= stop:
            break
        if first > start:
            yield start, first
        start = end
    if start < stop:
        yield start, stop


def _pieces(copy: Copy, at: int, start: int, stop: int, longest: int) -> Iterator[Piece]:
    """Requests for the bytes `start` to `stop` of a copy that begins at `at` in the file."""
    if copy.count == 1:
        while start < stop:
            # Ends of requests lie at multiples, so that a resumed file is requested as a new one would be.
            end = min(stop, (start // longest + 1) * longest)
            yield Piece(at + start, Copy(copy.start + start, end - start))
            start = end
        return
    rows = max(1, PIECE // copy.stride)
    row, last = start // copy.length, -(-stop // copy.length)
    while row < last:
        count = min(rows, last - row)
        strips = Copy(copy.start + row * copy.stride, copy.length, count, copy.stride)
        yield Piece(at + row * copy.length, strips)
        row += count
