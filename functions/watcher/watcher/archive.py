"""The archive as it is now: what a message says of a file may be old, or forged."""

from __future__ import annotations

from typing import Any

from skyfan_contract import hdus, headers
from skyfan_function.s3_client import client_of
from skyfan_watch.ports import Found, UnreachableError

# Bytes of a file that are read at first, which hold most primary headers, and if its header is longer.
_READS = (2 * hdus.PIECE, 40 * hdus.PIECE)


class PublicArchive:
    """See skyfan_watch.ports.Archive. A file is looked at once, for whichever watches."""

    def __init__(self, allowed: str) -> None:
        """``allowed`` are the names of buckets, separated by commas; empty for any."""
        self._allowed = allowed.split(",") if allowed else []
        self._found: dict[tuple[str, str, bool], Found | None] = {}

    def look(self, bucket: str, key: str, *, with_header: bool) -> Found | None:
        """See Archive."""
        if self._allowed and bucket not in self._allowed:
            raise PermissionError(f"this stack reads no bucket but {', '.join(self._allowed)}")
        asked = bucket, key, with_header
        if asked not in self._found:
            self._found[asked] = _look(bucket, key, with_header)
        return self._found[asked]


def _look(bucket: str, key: str, with_header: bool) -> Found | None:
    from obstore import exceptions as s3

    client, _ = client_of(f"s3://{bucket}/{key}", "anonymous")
    try:
        return _with_header(client, key) if with_header else _found(_head(client, key))
    except (FileNotFoundError, s3.NotFoundError):
        return None
    except (s3.PermissionDeniedError, s3.UnauthenticatedError) as error:
        raise PermissionError("access denied: it is not public, or not there any more") from error
    except (s3.BaseError, OSError) as error:
        said = str(error).strip().splitlines()[0][:300]
        raise UnreachableError(f"s3://{bucket}/{key}: {said}") from error


def _head(client: Any, key: str) -> Any:
    import obstore

    return obstore.head(client, key)


def _found(meta: Any, columns: dict[str, Any] | None = None) -> Found:
    return Found(int(meta["size"]), (meta["e_tag"] or "").strip('"'), {} if columns is None else columns)


def _with_header(client: Any, key: str) -> Found:
    import obstore

    is_gzipped = key.lower().endswith(".gz")
    reads = (headers.GZIPPED,) if is_gzipped else _READS
    found: Found | None = None
    for length in reads:
        answer = obstore.get(client, key, options={"range": (0, length)})
        content = bytes(answer.bytes())
        try:
            header = headers.of_bytes(content, is_gzipped=is_gzipped)
        except ValueError:
            header = None
        meta = _found(answer.meta)
        if header is not None:
            return Found(meta.size, meta.etag, header.columns)
        found = Found(meta.size, meta.etag, None)
        if meta.size <= length:
            break
    assert found is not None, "at least one read"
    return found
