"""Bytes in and out: ``s3://`` and ``file://`` behind one interface."""

from __future__ import annotations

import errno
import io
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal
from urllib.parse import quote, unquote

from skyfan_contract import DOUBTFUL, FAILURES, INPUTS, OUTPUT, PROBE, Access, is_digest, key_of

from .errors import (
    AccessDeniedError,
    ConfigurationError,
    EventError,
    FunctionError,
    InputNotFoundError,
    OutputRefusedError,
    StorageError,
)
from .patience import within
from .s3_client import client_of, endpoint_url, own_region
from .s3_object import BLOCK, Range, S3Object, version

_KIND = {OUTPUT: "results", FAILURES: "failures", DOUBTFUL: "doubtful"}
_proven: set[str] = set()
# Requests for an object, if what is stored is not what was sent.
_PUTS = 2
# Buckets whose ETags are no digests.
_undigested: set[str] = set()
# Name of the metadata of an object that says what it was made from.
_ORIGIN = "skyfan-origin"


@dataclass(frozen=True)
class Source:
    """An opened input: a seekable binary file."""

    uri: str
    file: BinaryIO
    size: int
    """Bytes."""
    version: str
    """ETag, or size and mtime: which content of the file was read."""

    @property
    def name(self) -> str:
        """The file's own name, without bucket or folders."""
        return key_of(self.uri).rsplit("/", 1)[-1]

    def prefetch(self, ranges: Iterable[Range], memory: int | None = None) -> None:
        """Announce bytes [start, stop) that will be read, in the order of need.

        Of an object of S3 they are fetched in the background, several ranges at a time, with at most
        ``memory`` bytes held that have not been read; what was announced before and has not begun is
        forgotten. Of any other file nothing is done.
        """
        if isinstance(raw := getattr(self.file, "raw", None), S3Object):
            raw.prefetch(ranges, memory)


@contextmanager
def open_input(uri: str, access: Access = "anonymous") -> Iterator[Source]:
    """Open an input for reading.

    An object of S3 is fetched in ranges as it is read or announced, while it is the version that was opened.
    Raises InputNotFoundError, AccessDeniedError or StorageError, also while it is read; EventError for a file
    where results go to a bucket: on Lambda, there are only those of the function itself.
    """
    if uri.startswith("file://"):
        if os.environ.get(OUTPUT, "").startswith("s3://"):
            raise EventError(
                f"event: 'input' must be s3://bucket/key where results go to a bucket, not {uri}"
            )
        with _file_errors(uri):
            path = _path(uri)
            if not path.is_dir() and path.exists() and not path.is_file():
                raise InputNotFoundError(f"{uri} is a pipe, a device or a socket, not a file")
            file = path.open("rb")
        with file:
            stat = os.fstat(file.fileno())
            with _unchanged(uri, file):
                yield Source(uri, file, stat.st_size, f"size={stat.st_size} mtime={int(stat.st_mtime)}")
        return
    _refuse_other_buckets(uri)
    store, key = client_of(uri, access)
    raw = S3Object(store, key, partial(_s3_errors, uri, access))
    with io.BufferedReader(raw, BLOCK) as buffered, _unhidden(raw):
        yield Source(uri, buffered, raw.size, version(raw.meta))


@contextmanager
def _unhidden(raw: S3Object) -> Iterator[None]:
    """Raise the error of a read that failed inside the ``with``, whatever a reader of FITS took it for."""
    try:
        yield
    except Exception as exc:
        if raw.failed is not None and raw.failed is not exc:
            raise raw.failed from exc
        raise
    if raw.failed is not None:
        raise raw.failed


def _refuse_other_buckets(uri: str) -> None:
    """Raise AccessDeniedError for an object of a bucket that SKYFAN_INPUTS does not name."""
    bucket, named = uri.split("/")[2], os.environ.get(INPUTS, "")
    if named and bucket not in named.split(","):
        raise AccessDeniedError(
            f"{uri}: this stack reads no bucket but {named.replace(',', ', ')}; whoever deploys it can add "
            f"{bucket} to its parameter InputBuckets"
        )


def write(uri: str, body: bytes, origin: str = "") -> None:
    """Write a file or object whole or not at all; an object carries its ``origin``.

    Raises OutputRefusedError or StorageError.
    """
    if uri.startswith("file://"):
        path = _path(uri)
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
    from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

    try:
        _put(uri, body, origin, "overwrite")
    except (PermissionDeniedError, UnauthenticatedError, FileNotFoundError) as exc:
        said = ": ".join(re.findall("<(?:Code|Message)>(.*?)</", str(exc))[:2]) or _first_line(exc)
        if _may_pass(exc):
            raise StorageError(f"cannot write {uri}: {said}") from exc
        raise OutputRefusedError(
            f"cannot write {uri}: {said}; the function needs s3:PutObject there, and kms:GenerateDataKey "
            "for a bucket with a KMS key"
        ) from exc
    except FunctionError:
        raise
    except Exception as exc:
        if elsewhere := _elsewhere(uri, exc):
            raise OutputRefusedError(f"cannot write {uri}: {elsewhere}") from exc
        raise StorageError(f"cannot write {uri}: {_first_line(exc)}") from exc


def replaces(uri: str, body: bytes, origin: str = "") -> bool:
    """Write like write(); whether there was, or may have been, an earlier file or object."""
    if uri.startswith("file://"):
        existed = _path(uri).exists()
        write(uri, body, origin)
        return existed
    with suppress(Exception):  # there is one, or an error that write() gets past or explains
        _put(uri, body, origin, "create")
        return False
    write(uri, body, origin)
    return True


def origin_of(uri: str) -> str:
    """The ``origin`` with which an object was written; empty for a file, and if it cannot be read."""
    if uri.startswith("file://"):
        return ""
    import obstore

    store, key = client_of(uri, "signed")
    try:
        return within(lambda: obstore.get(store, key, options={"head": True}).attributes.get(_ORIGIN, ""))
    except Exception:  # no such object, for one: its input is processed
        return ""


def read_own(uri: str) -> bytes | None:
    """All bytes of an object that the function's own role may read; None if there is no such object.

    Raises AccessDeniedError or StorageError.
    """
    import obstore

    store, key = client_of(uri, "signed")
    try:
        with _s3_errors(uri, "signed"):
            return within(lambda: bytes(obstore.get(store, key).bytes()))
    except InputNotFoundError:
        return None


def prove_writable(run: str) -> str:
    """Write an empty object beside the results of a run, once per environment; returns its URI.

    So a refused key or permission is known before any work. Raises OutputRefusedError, ConfigurationError or
    StorageError. A folder needs no proof.
    """
    uri = output_uri(run, PROBE).partition(PROBE)[0] + PROBE
    if uri.startswith("s3://") and uri not in _proven:
        write(uri, b"")
        _proven.add(uri)
    return uri


def output_uri(run: str, key: str, variable: str = OUTPUT) -> str:
    """Fill {run} and {key} into the URI that an environment variable of the function holds.

    Raises ConfigurationError if the variable is not a URI with both.
    """
    template = os.environ.get(variable, "")
    if not template.startswith(("s3://", "file:///")) or "{run}" not in template or "{key}" not in template:
        raise ConfigurationError(
            f"the environment variable {variable} must say where {_KIND[variable]} go, "
            f"for example file:///tmp/out/runs/{{run}}/{_KIND[variable]}/{{key}}; it is {template!r}"
        )
    # A file name may contain characters that a URI must escape; an object's key is taken as it is.
    return template.replace("{run}", run).replace(
        "{key}", quote(key) if template.startswith("file:") else key
    )


def _put(uri: str, body: bytes, origin: str, mode: Literal["create", "overwrite"]) -> None:
    """Write an object and see that it is what was sent; if it never is, an empty one, which is no result.

    The request carries its SHA-256, by which S3 refuses what was damaged on the way. The ETag of the reply is
    the MD5 of what is stored; where it is not, as in a bucket with a KMS key, the object is read once.
    """
    for _ in range(_PUTS):
        if is_digest(_sent(uri, body, origin, mode), body) or uri.split("/")[2] in _undigested:
            return
        try:
            stored = read_own(uri)
        except AccessDeniedError:  # of marks and records: the checksum in the request has to do
            return
        if stored == body:
            _undigested.add(uri.split("/")[2])
            return
        mode = "overwrite"
    with suppress(Exception):
        _sent(uri, b"", "", "overwrite")
    raise StorageError(f"cannot write {uri}: what is stored is not what was sent")


def _sent(uri: str, body: bytes, origin: str, mode: Literal["create", "overwrite"]) -> str | None:
    """The ETag of what was put."""
    import obstore

    store, key = client_of(uri, "signed")
    attributes = {_ORIGIN: origin} if origin else None
    put = partial(obstore.put, store, key, body, use_multipart=False, mode=mode, attributes=attributes)
    return within(put)["e_tag"]


def _path(uri: str) -> Path:
    return Path(unquote(uri.removeprefix("file://"), errors="surrogateescape"))  # any bytes, as in os


@contextmanager
def _unchanged(uri: str, file: BinaryIO) -> Iterator[None]:
    """Raise StorageError if the file is written to inside the ``with``, whatever else came of that."""
    own = os.dup(file.fileno())  # astropy closes a file that it cannot read
    before = os.fstat(own)
    try:
        yield
    except (FunctionError, OSError) as exc:
        _refuse_changed(uri, before, os.fstat(own), exc)
        raise
    else:
        _refuse_changed(uri, before, os.fstat(own), None)
    finally:
        os.close(own)


def _refuse_changed(uri: str, before: os.stat_result, now: os.stat_result, cause: Exception | None) -> None:
    if (before.st_size, before.st_mtime_ns) != (now.st_size, now.st_mtime_ns):
        raise StorageError(f"{uri} changed while it was being read; try again") from cause


@contextmanager
def _file_errors(uri: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, ValueError) as exc:  # a name with a NUL is a ValueError
        raise InputNotFoundError(f"{uri}: no such file") from exc
    except IsADirectoryError as exc:
        raise InputNotFoundError(f"{uri} is a folder, not a file") from exc
    except PermissionError as exc:
        raise AccessDeniedError(f"{uri}: you may not read this file") from exc
    except OSError as exc:
        if exc.errno in (errno.ELOOP, errno.ENAMETOOLONG):
            raise InputNotFoundError(f"{uri}: {exc.strerror}") from exc
        raise StorageError(f"cannot read {uri}: {exc.strerror or exc}") from exc


@contextmanager
def _s3_errors(uri: str, access: Access) -> Iterator[None]:
    from obstore import exceptions as s3

    try:
        yield
    except (FileNotFoundError, s3.NotFoundError) as exc:
        raise InputNotFoundError(f"{uri}: no such object") from exc
    except (s3.PermissionDeniedError, s3.UnauthenticatedError) as exc:
        if _may_pass(exc):
            raise StorageError(f"cannot read {uri}: {_first_line(exc)}") from exc
        raise AccessDeniedError(
            f"{uri}: access denied with access '{access}'; it may be proprietary, "
            "or the bucket may want 'signed' or 'requester-pays'"
        ) from exc
    except s3.PreconditionError as exc:
        raise StorageError(f"{uri} changed while it was being read; try again") from exc
    except TimeoutError as exc:
        raise StorageError(f"cannot read {uri}: {exc}") from exc
    except s3.BaseError as exc:
        if elsewhere := _elsewhere(uri, exc):
            raise AccessDeniedError(f"cannot read {uri}: {elsewhere}") from exc
        raise StorageError(f"cannot read {uri}: {_first_line(exc)}") from exc


def _may_pass(exc: Exception) -> bool:
    """Whether S3 refused a request for its time or its credentials' age, and not for what they may do."""
    return bool(re.search("Expired|TooSkewed", str(exc)))


def _elsewhere(uri: str, exc: BaseException) -> str:
    """In which region the bucket is, if S3 refused a request because it is in another; else nothing."""
    text = str(exc)
    if not re.search("redirect without LOCATION|AuthorizationHeaderMalformed|PermanentRedirect", text):
        return ""
    found = re.search("expecting '([-a-z0-9]+)'|<Region>([-a-z0-9]+)<", text)
    region = (found[1] or found[2]) if found else _region_of(uri.split("/")[2])
    return f"the bucket is in {region or 'another region'}, and this function in {own_region()}"


def _region_of(bucket: str) -> str:
    """The region that S3 names, which obstore leaves out of its error; empty if it does not."""
    from http.client import HTTPConnection, HTTPException, HTTPSConnection
    from urllib.parse import urlsplit

    endpoint = urlsplit(endpoint_url() or f"https://s3.{own_region()}.amazonaws.com")
    kind = HTTPConnection if endpoint.scheme == "http" else HTTPSConnection
    with suppress(OSError, HTTPException), closing(kind(endpoint.netloc, timeout=5)) as connection:
        connection.request("HEAD", f"/{bucket}")
        return connection.getresponse().getheader("x-amz-bucket-region") or ""
    return ""


def _first_line(exc: BaseException) -> str:
    return str(exc).strip().splitlines()[0][:300] if str(exc).strip() else type(exc).__name__
