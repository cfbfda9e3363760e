"""Reads FITS headers of files to be planned, local ones and objects; see skyfan_contract.headers."""

import asyncio
import gzip
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, cast

import obstore

from skyfan_contract.headers import GZIPPED, Header, of_bytes, read

from ..errors import InputError
from ..storage import s3
from .limits import ArchiveLimits


def local(path: Path) -> Header | None:
    """The headers of a local file; None if it is no FITS file that can be read."""
    try:
        return _local(path)
    except InputError:
        return None


def check(name: str, file: BinaryIO) -> None:
    """Raises InputError for a file that astropy would read without an end, or fail on: one with a header
    without an end or with sizes that are none. `file` is not packed.
    """
    try:
        found = _of_file(file)
    except (OSError, EOFError, ValueError, OverflowError) as error:
        raise InputError(f"{name} is not a FITS file: {error}") from error
    if found is None:
        raise InputError(f"{name} is not a FITS file: it does not begin with a whole header")


def _local(path: Path) -> Header | None:
    is_gzipped = path.name.lower().endswith(".gz")
    try:
        if path.exists() and not path.is_file():  # to open a FIFO waits for a writer
            raise InputError(f"{path} is not a FITS file: it is no regular file")
        with gzip.open(path) if is_gzipped else path.open("rb") as file:
            # All headers of a gzipped file would take decompressing all of it.
            return _of_file(cast("BinaryIO", file), first_plane_only=is_gzipped)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except (OSError, EOFError, ValueError, OverflowError, zlib.error) as error:
        raise InputError(f"{path} is not a FITS file: {error}") from error


def _of_file(file: BinaryIO, *, first_plane_only: bool = False) -> Header | None:
    reading = read(first_plane_only=first_plane_only)
    try:
        request = next(reading)
        while True:
            file.seek(request[0])
            request = reading.send(file.read(request[1]))
    except StopIteration as end:
        found: Header | None = end.value
        return found


async def remote(
    uris: Iterable[str],
    limits: ArchiveLimits,
    access: str,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[dict[str, Header | None], dict[str, str]]:
    """The headers of s3:// objects by URI, from ranges of bytes; and error messages by URI."""
    slots = asyncio.Semaphore(limits.objects)
    found: dict[str, Header | None] = {}
    errors: dict[str, str] = {}
    stores: dict[str, Any] = {}

    async def one(uri: str) -> None:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if bucket not in stores:
            stores[bucket] = s3.client(bucket, access)
        try:
            async with slots:
                found[uri] = await _remote(stores[bucket], key)
        except ValueError:
            found[uri] = None
        except s3.ERRORS as error:
            errors[uri] = f"its header: {s3.storage_error(uri, error, access)}"
        progress(len(found) + len(errors))

    async with asyncio.TaskGroup() as group:
        for uri in uris:
            group.create_task(one(uri))
    return found, errors


async def _remote(store: Any, key: str) -> Header | None:
    if key.lower().endswith(".gz"):
        start = bytes(await obstore.get_range_async(store, key, start=0, length=GZIPPED))
        return of_bytes(start, is_gzipped=True)
    size: int | None = None
    reading = read()
    try:
        request = next(reading)
        while True:
            piece = b""
            if size is None or request[0] < size:
                options: Any = {"range": (request[0], request[0] + request[1])}
                answer = await obstore.get_async(store, key, options=options)
                size = answer.meta["size"]
                piece = bytes(await answer.bytes_async())
            request = reading.send(piece)
    except StopIteration as end:
        found: Header | None = end.value
        return found
