"""Whether a file is what its source says: the ETag where it is an MD5, else the checksums that S3 keeps."""

import base64
import hashlib
import re
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .. import network
from ..storage import s3
from .recipe import PIECE
from .source import Version

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


def digests(path: Path, names: tuple[str, ...]) -> dict[str, str]:
    """Checksums of a file by name, in hexadecimal digits, from one reading: sha256, sha1, md5, crc32 and
    parts, which is the ETag of an upload in parts of PIECE bytes.
    """
    sums: dict[str, Any] = {
        name: hashlib.new(name, usedforsecurity=False) for name in names if name not in ("crc32", "parts")
    }
    crc, parts, part, length = 0, list[bytes](), hashlib.md5(usedforsecurity=False), 0
    with path.open("rb", buffering=0) as file:
        buffer = memoryview(bytearray(_BLOCK))
        while count := file.readinto(buffer):
            body = buffer[:count]
            for one in sums.values():
                one.update(body)
            if "crc32" in names:
                crc = zlib.crc32(body, crc)
            if "parts" in names:  # blocks of a file end at multiples of their size, and so do parts
                part.update(body)
                length += count
                if length % PIECE == 0:
                    parts.append(part.digest())
                    part = hashlib.md5(usedforsecurity=False)
    found = {name: one.hexdigest() for name, one in sums.items()}
    if length % PIECE:
        parts.append(part.digest())
    if "parts" in names:
        whole = hashlib.md5(b"".join(parts), usedforsecurity=False).hexdigest()
        found["parts"] = f"{whole}-{len(parts)}"
    if "crc32" in names:
        found["crc32"] = f"{crc:08x}"
    return found


def compare(path: Path, version: Version, stated: Callable[[], dict[str, str]]) -> tuple[str, str, bool]:
    """The SHA-256 of a whole file, what it was compared with, and whether it is what its source says.

    `stated` requests what S3 keeps beside the ETag, for one that is no MD5.
    """
    etag = version.etag.strip('"')
    if _MD5.fullmatch(etag):
        found = digests(path, ("sha256", "md5"))
        if found["md5"] == etag:
            return found["sha256"], "md5", True
        headers = stated()
        if not headers.get("x-amz-server-side-encryption", "").startswith("aws:kms"):
            return found["sha256"], "md5", False
    elif _PARTS.fullmatch(etag):
        found = digests(path, ("sha256", "parts"))
        if found["parts"] == etag:
            return found["sha256"], "md5 of parts", True
        headers = stated()
    else:
        return digests(path, ("sha256",))["sha256"], SIZE, True
    if headers.get("x-amz-checksum-type", "FULL_OBJECT") == "FULL_OBJECT":
        for header, name in _CHECKSUMS.items():
            if (text := headers.get(header)) and "-" not in text:
                more = digests(path, (name,))[name]
                return found["sha256"], name, more == base64.b64decode(text).hex()
    return found["sha256"], SIZE, True


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
