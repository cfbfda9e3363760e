"""Bytes in and out: ``s3://`` and ``file://`` behind one interface."""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote, unquote, urlsplit

from .errors import AccessDeniedError, ConfigurationError, InputNotFoundError, StorageError

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import S3Store

    from .event import Access

_KIND = {"SKYFAN_OUTPUT": "results", "SKYFAN_FAILURES": "failures"}
# Ranged GETs of this size, four at a time, fill the 78 MB/s of a small Lambda environment.
_PART = 8 << 20
_STREAMS = 4
_READ_AHEAD = 1 << 20

# An anonymous request must go to the bucket's own region, wherever the caller is configured to be.
_BUCKET_REGION = {"stpubdata": "us-east-1"}


@dataclass(frozen=True)
class Source:
    """An opened input: a seekable file, its size in bytes and their version (ETag, or size and mtime)."""

    uri: str
    file: BinaryIO
    size: int
    version: str


def key_of(uri: str) -> str:
    """The {key} that mirrors an input: ``bucket/key``, or the absolute path without its first slash."""
    parts = urlsplit(uri, allow_fragments=False)
    if parts.scheme == "file":
        return unquote(parts.path).lstrip("/")
    return uri.removeprefix("s3://")


@contextmanager
def open_input(uri: str, access: Access = "anonymous") -> Iterator[Source]:
    """Open an image for reading.

    Raises InputNotFoundError, AccessDeniedError or StorageError. Over S3, bytes are fetched when they are
    read, in ranges, each on the condition that the object has not changed since it was opened.
    """
    if uri.startswith("file://"):
        with _file_errors(uri):
            file = Path("/", key_of(uri)).open("rb")  # noqa: SIM115 (what the caller raises is not ours to name)
        with file:
            stat = os.fstat(file.fileno())
            yield Source(uri, file, stat.st_size, f"size={stat.st_size} mtime={int(stat.st_mtime)}")
        return
    import obstore

    store, key = _s3(uri, access)
    with _s3_errors(uri, access):
        meta = obstore.head(store, key)
        raw = _S3Object(store, key, meta["size"], meta["e_tag"])
        yield Source(
            uri,
            io.BufferedReader(raw, _READ_AHEAD),
            meta["size"],
            f"etag={(meta['e_tag'] or '').strip(chr(34))}",
        )


def write(uri: str, body: bytes) -> None:
    """Write a whole object at once: a reader sees all of it or none. Raises StorageError."""
    if uri.startswith("file://"):
        path = Path("/", key_of(uri))
        part = path.with_name(f".{secrets.token_hex(8)}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(body)
            part.replace(path)
        except OSError as exc:
            with suppress(OSError):
                part.unlink()
            raise StorageError(f"cannot write {path}: {exc.strerror or exc}") from exc
        return
    import obstore

    store, key = _s3(uri, "signed")
    try:
        obstore.put(store, key, body, use_multipart=False)
    except Exception as exc:
        raise StorageError(f"cannot write {uri}: {_first_line(exc)}") from exc


def output_uri(run: str, key: str, variable: str = "SKYFAN_OUTPUT") -> str:
    """Where a result goes: an environment variable, which the template sets and its policy grants, filled in.

    Raises ConfigurationError when it is not a URI with {run} and {key} in it.
    """
    template = os.environ.get(variable, "")
    if not template.startswith(("s3://", "file:///")) or "{run}" not in template or "{key}" not in template:
        raise ConfigurationError(
            f"the environment variable {variable} must say where {_KIND[variable]} go, "
            f"for example file:///tmp/out/runs/{{run}}/{_KIND[variable]}/{{key}}; it is {template!r}"
        )
    # A file name can hold what a URI cannot, or what would read as an escape of one.
    return template.replace("{run}", run).replace(
        "{key}", quote(key) if template.startswith("file:") else key
    )


def _s3(uri: str, access: Access) -> tuple[S3Store, str]:
    from obstore.store import S3Store

    bucket, _, key = uri.removeprefix("s3://").partition("/")
    own = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    options: dict[str, Any] = {"region": _BUCKET_REGION.get(bucket, own)}
    if access == "anonymous":
        options["skip_signature"] = True
    elif not os.environ.get("AWS_ACCESS_KEY_ID"):
        options["credential_provider"] = _profile_credentials()
    if access == "requester-pays":
        options["request_payer"] = True
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        options |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
    store = S3Store(
        bucket,
        client_options={"allow_http": bool(endpoint and endpoint.startswith("http://")), "timeout": "60s"},
        retry_config={"max_retries": 5},
        **options,
    )
    return store, key


def _profile_credentials() -> Any:
    """Credentials from profiles and sign-on, which only boto3 knows; in Lambda the environment has them."""
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider

        return Boto3CredentialProvider()
    except (ImportError, ValueError) as exc:
        raise AccessDeniedError(
            "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "or install boto3 and configure a profile"
        ) from exc


class _S3Object(io.RawIOBase):
    """A seekable view of one version of an object; big reads go out as parallel ranges."""

    def __init__(self, store: S3Store, key: str, size: int, etag: str | None) -> None:
        self._store, self._key, self._size = store, key, size
        self._match: GetOptions = {"if_match": etag} if etag else {}
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = max(0, offset + (0, self._position, self._size)[whence])
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._position))
        starts = range(0, count, _PART)

        def fetch(start: int) -> None:
            stop = min(start + _PART, count)
            view[start:stop] = self._get(self._position + start, self._position + stop)

        if len(starts) > 1:
            with ThreadPoolExecutor(_STREAMS) as pool:
                list(pool.map(fetch, starts))
        elif count:
            fetch(0)
        self._position += count
        return count

    def readall(self) -> bytes:
        rest = bytearray(max(0, self._size - self._position))
        self.readinto(rest)
        return bytes(rest)

    def _get(self, start: int, stop: int) -> memoryview:
        import obstore
        from obstore.exceptions import GenericError

        for last_try in (False, False, True):
            reply = obstore.get(self._store, self._key, options={"range": (start, stop), **self._match})
            try:
                return memoryview(reply.bytes())
            except GenericError:  # obstore tries again until a reply begins, not when it breaks off
                if last_try:
                    raise
        raise AssertionError


@contextmanager
def _file_errors(uri: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise InputNotFoundError(f"{uri}: no such file") from exc
    except IsADirectoryError as exc:
        raise InputNotFoundError(f"{uri} is a folder, not a file") from exc
    except PermissionError as exc:
        raise AccessDeniedError(f"{uri}: you may not read this file") from exc
    except OSError as exc:
        raise StorageError(f"cannot read {uri}: {exc.strerror or exc}") from exc


@contextmanager
def _s3_errors(uri: str, access: Access) -> Iterator[None]:
    from obstore import exceptions as s3

    try:
        yield
    except (FileNotFoundError, s3.NotFoundError) as exc:
        raise InputNotFoundError(f"{uri}: no such object") from exc
    except (s3.PermissionDeniedError, s3.UnauthenticatedError) as exc:
        raise AccessDeniedError(
            f"{uri}: access denied with access '{access}'; it may be proprietary, "
            "or the bucket may want 'signed' or 'requester-pays'"
        ) from exc
    except s3.PreconditionError as exc:
        raise StorageError(f"{uri} changed while it was being read; try again") from exc
    except s3.BaseError as exc:
        raise StorageError(f"cannot read {uri}: {_first_line(exc)}") from exc


def _first_line(exc: BaseException) -> str:
    return str(exc).strip().splitlines()[0][:300] if str(exc).strip() else type(exc).__name__
