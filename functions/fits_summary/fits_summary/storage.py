"""Reads from and writes to s3:// and file:// URIs."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

import obstore
from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from .errors import AccessDeniedError, InputNotFoundError, StorageError

if TYPE_CHECKING:
    from obstore import ReadableFile

ACCESS: dict[str, dict[str, Any]] = {
    "anonymous": {"skip_signature": True},
    "signed": {},
    "requester-pays": {"request_payer": True},
}


def key_of(uri: str) -> str:
    """The input's part of an output key: bucket/key, or the absolute path without its leading slash."""
    parts = urlsplit(uri)
    return uri.removeprefix("s3://") if parts.scheme == "s3" else unquote(parts.path).lstrip("/")


@contextmanager
def open_input(uri: str, access: str) -> Iterator[IO[bytes]]:
    """Opens `uri` for reading with seek. S3 objects are read in ranges: what is skipped is never fetched."""
    with _named_errors(uri):
        if uri.startswith("file://"):
            with Path("/", key_of(uri)).open("rb") as file:
                yield file
        else:
            bucket, _, key = key_of(uri).partition("/")
            reader = obstore.open_reader(_store(bucket, access), key, buffer_size=256 * 1024)
            with io.BufferedReader(_Ranges(reader)) as buffered:
                yield buffered


def write_output(template: str, *, run: str, key: str, body: bytes) -> str:
    """Writes `body` to the place that SKYFAN_OUTPUT names, whole or not at all, and returns its URI."""
    local = template.startswith("file://")
    uri = template.replace("{run}", run).replace("{key}", quote(key) if local else key)
    with _named_errors(uri):
        if local:
            path = Path("/", key_of(uri))
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{path.name}.{os.getpid()}.part")
            part.write_bytes(body)
            part.replace(path)
        else:
            bucket, _, name = uri.removeprefix("s3://").partition("/")
            obstore.put(_store(bucket, "signed"), name, body)
    return uri


def _store(bucket: str, access: str) -> S3Store:
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    options: dict[str, Any] = dict(ACCESS[access])
    if endpoint:
        options |= {"endpoint": endpoint, "client_options": {"allow_http": endpoint.startswith("http://")}}
    # obstore would try for three minutes, longer than Lambda gives this function.
    options["retry_config"] = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}
    return S3Store(bucket, region=os.environ.get("AWS_REGION", "us-east-1"), **options)


class _Ranges(io.RawIOBase):
    """An S3 object as a raw file: astropy wants real bytes, and obstore's reader gives its own kind."""

    def __init__(self, reader: "ReadableFile") -> None:
        self._reader = reader

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._reader.seek(offset, whence)

    def tell(self) -> int:
        return self._reader.tell()

    def readinto(self, buffer: Any) -> int:
        data = memoryview(self._reader.read(len(buffer)))
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def _named_errors(uri: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotFoundError) as error:
        raise InputNotFoundError(
            f"{uri} does not exist: check its spelling, and upper and lower case"
        ) from error
    except (PermissionError, PermissionDeniedError, UnauthenticatedError) as error:
        raise AccessDeniedError(
            f"{uri} may not be read or written: proprietary data, or a bucket that needs "
            '"access": "signed" or "requester-pays" in the event'
        ) from error
    except BaseError as error:
        raise StorageError(f"{uri}: the storage failed: {str(error).strip().splitlines()[0]}") from error
