"""Whether a file is what its source says: the ETag where it is an MD5, else the checksums that S3 keeps."""

import base64
import hashlib
import re
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterable
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from .. import network
from ..storage import s3
from .recipe import PIECE
from .source import Buffer, Version

SIZE = "size"
"""What a file was compared with if the source has no checksum that can be computed here."""
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')
_PARTS = re.compile(r'"?[0-9a-f]{32}-(\d+)"?')
_BLOCK = 1 << 20
_TIMEOUT_S = 30.0
_CHECKSUMS = {
    "x-amz-checksum-sha256": "sha256",
    "x-amz-checksum-sha1": "sha1",
    "x-amz-checksum-crc32": "crc32",
}


class Checked(NamedTuple):
    """What is known of the bytes of a file."""

    algorithm: str | None
    """Of the checksum: md5 or sha256; None without one."""
    checksum: str | None
    """Of all bytes, in hexadecimal digits."""
    verified: str
    """What the bytes were compared with: md5, md5 of parts, sha256, sha1, crc32; else SIZE."""
    is_same: bool = True
    """Whether they are those of the source."""


class Sums:
    """Checksums of bytes that come in their order: md5, sha256, sha1, crc32, and parts, which is the ETag of
    an upload in parts of PIECE bytes.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        self._whole: dict[str, Any] = {
            name: hashlib.new(name, usedforsecurity=False) for name in self._names - {"crc32", "parts"}
        }
        self._crc, self._parts, self._part = 0, list[bytes](), hashlib.md5(usedforsecurity=False)
        self.length = 0
        """Bytes that have come."""

    def update(self, body: Buffer) -> None:
        """Adds the next bytes."""
        view = memoryview(body)
        for one in self._whole.values():
            one.update(view)
        if "crc32" in self._names:
            self._crc = zlib.crc32(view, self._crc)
        if "parts" in self._names:
            self._add_to_parts(view)
        self.length += len(view)

    def _add_to_parts(self, view: memoryview) -> None:
        at = self.length
        while view:
            room = PIECE - at % PIECE
            self._part.update(view[:room])
            at += min(room, len(view))
            view = view[room:]
            if at % PIECE == 0:
                self._parts.append(self._part.digest())
                self._part = hashlib.md5(usedforsecurity=False)

    def read(self, path: Path) -> "Sums":
        """Adds what a file has from the next byte on. Raises OSError."""
        with path.open("rb", buffering=0) as file:
            file.seek(self.length)
            buffer = memoryview(bytearray(_BLOCK))
            while count := file.readinto(buffer):
                self.update(buffer[:count])
        return self

    def digests(self) -> dict[str, str]:
        """In hexadecimal digits, by name."""
        found = {name: one.hexdigest() for name, one in self._whole.items()}
        if "crc32" in self._names:
            found["crc32"] = f"{self._crc:08x}"
        if "parts" in self._names:
            parts = [*self._parts, *([self._part.digest()] if self.length % PIECE else [])]
            whole = hashlib.md5(b"".join(parts), usedforsecurity=False).hexdigest()
            found["parts"] = f"{whole}-{len(parts)}"
        return found


def digest(path: Path, algorithm: str) -> str:
    """A checksum of a file. Raises OSError."""
    return Sums((algorithm,)).read(path).digests()[algorithm]


def needed(etag: str) -> Sums:
    """The checksums that compare a whole file with its ETag, and one of all bytes: an MD5 is both."""
    if _MD5.fullmatch(etag):
        return Sums(("md5",))
    return Sums(("sha256", "parts") if _PARTS.fullmatch(etag) else ("sha256",))


def own(sums: Sums) -> Checked:
    """Of a file that holds parts of its source, with which it cannot be compared; `sums` as of needed("")."""
    return Checked("sha256", sums.digests()["sha256"], SIZE)


def compare(sums: Sums, path: Path, version: Version, stated: Callable[[], dict[str, str]]) -> Checked:
    """Compares a whole file with its source; `sums` are those needed() of all its bytes.

    `stated` requests what S3 keeps beside the ETag, for one that is no MD5.
    """
    etag, found = version.etag.strip('"'), sums.digests()
    algorithm = "md5" if "md5" in found else "sha256"
    checksum = found[algorithm]
    if algorithm == "md5":
        if checksum == etag:
            return Checked(algorithm, checksum, "md5")
        headers = stated()
        if not headers.get("x-amz-server-side-encryption", "").startswith("aws:kms"):
            return Checked(algorithm, checksum, "md5", is_same=False)
    elif "parts" in found:
        if found["parts"] == etag:
            return Checked(algorithm, checksum, "md5 of parts")
        headers = stated()
    else:
        return Checked(algorithm, checksum, SIZE)
    if headers.get("x-amz-checksum-type", "FULL_OBJECT") == "FULL_OBJECT":
        for header, name in _CHECKSUMS.items():
            if (text := headers.get(header)) and "-" not in text:
                is_same = digest(path, name) == base64.b64decode(text).hex()
                return Checked(algorithm, checksum, name, is_same)
    return Checked(algorithm, checksum, SIZE)


def stated(uri: str, access: str) -> dict[str, str]:
    """The headers of a HEAD with checksums, in lower case; empty if there is no answer."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if access != "anonymous":
        from .. import session

        payer = {"RequestPayer": "requester"} if access == "requester-pays" else {}
        with session.aws_errors(uri):
            client = session.client("s3", s3.REGIONS.get(bucket))
            answer = client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED", **payer)
        return dict(answer["ResponseMetadata"]["HTTPHeaders"])
    endpoint = str(s3.client(bucket, access).config.get("endpoint", ""))
    request = urllib.request.Request(
        f"{endpoint}/{bucket}/{quote(key)}",
        method="HEAD",
        headers={"x-amz-checksum-mode": "ENABLED"},
    )
    trusted = network.bundle(network.AWS)
    context = network.tls(trusted) if trusted else None
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S, context=context) as answer:
            return {name.lower(): value for name, value in answer.headers.items()}
    except (urllib.error.URLError, OSError, HTTPException):
        return {}
