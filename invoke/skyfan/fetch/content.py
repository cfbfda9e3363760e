"""The HDUs of a file at its source: requested by ranges, or unpacked in memory if it is gzipped."""

import asyncio
import zlib
from dataclasses import dataclass

from skyfan_contract import hdus
from skyfan_contract.hdus import BLOCK, Hdu

from ..errors import InputError
from ..formatting import size
from .recipe import Copy, Piece
from .source import Reader, Version

LONGEST = 8 << 30
"""Bytes of an unpacked file, which is held in memory."""


@dataclass(frozen=True)
class Content:
    """The bytes of a FITS file, and its HDUs."""

    uri: str
    version: Version
    reader: Reader
    hdus: tuple[Hdu, ...]
    unpacked: bytes | None = None
    """All of a gzipped file."""

    @classmethod
    async def of(cls, reader: Reader, uri: str, version: Version) -> "Content":
        """Reads the headers. Raises InputError for what is not FITS, or is cut off; VersionError."""
        if not version.ranges:
            raise InputError(f"{uri}: its server sends whole files only: fetch it whole")
        if not uri.lower().endswith(".gz"):
            bare = cls(uri, version, reader, ())
            return cls(uri, version, reader, await bare._walk(version.size))
        async with reader.in_memory:
            packed = await reader.read(uri, version, 0, version.size)
            unpacked = await asyncio.to_thread(_unpacked, uri, packed)
        bare = cls(uri, version, reader, (), unpacked)
        return cls(uri, version, reader, await bare._walk(len(unpacked)), unpacked)

    async def read(self, start: int, stop: int) -> bytes:
        """The bytes from `start` to `stop`."""
        if self.unpacked is not None:
            return self.unpacked[start:stop]
        return await self.reader.read(self.uri, self.version, start, stop)

    def part(self, copy: Copy) -> bytes | Copy:
        """The part of a recipe that has these bytes."""
        if self.unpacked is None:
            return copy
        return Piece(0, copy).gather(self.unpacked[copy.start : copy.start + copy.span])

    @property
    def notes(self) -> tuple[str, ...]:
        """What to say of the reading."""
        return () if self.unpacked is None else ("gzipped, hence read whole",)

    async def _walk(self, end: int) -> tuple[Hdu, ...]:
        walking = hdus.walk()
        try:
            start, length = next(walking)
            while True:
                stop = min(start + length, end)
                start, length = walking.send(await self.read(start, stop) if start < stop else b"")
        except StopIteration as stopped:
            found: list[Hdu] = stopped.value
        except ValueError as error:
            raise InputError(f"{self.uri} is not a FITS file: {error}") from error
        if found[-1].end > end or len(found[-1].header) % BLOCK:
            raise InputError(
                f"{self.uri} is cut off: its HDUs need {found[-1].end:,} bytes, and it has {end:,}"
            )
        return tuple(found)


def _unpacked(uri: str, packed: bytes) -> bytes:
    unpacker, parts, total = zlib.decompressobj(31), list[bytes](), 0
    try:
        while packed:
            parts.append(unpacker.decompress(packed, LONGEST - total + 1))
            total += len(parts[-1])
            if total > LONGEST:
                raise InputError(f"{uri} unpacks to more than {size(LONGEST)}: fetch it whole")
            if not unpacker.eof:
                raise InputError(f"{uri} is cut off: its gzip stream has no end")
            packed = unpacker.unused_data.lstrip(b"\0")
            unpacker = zlib.decompressobj(31)
    except zlib.error as error:
        raise InputError(f"{uri} is not a gzip file: {error}") from error
    return b"".join(parts)
