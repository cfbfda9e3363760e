"""Faults of S3, each a change of one reply of the bucket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .bucket import Bucket, Request, listed

Spoil = Callable[[Bucket, Request, dict[str, str], bytes], bytes]
PAGE = b"<html><head><title>Log in</title></head><body>Welcome</body></html>"
_OLD = "Thu, 01 Jan 2015 00:00:00 GMT"


@dataclass(frozen=True)
class Fault:
    """What is wrong with a reply."""

    name: str
    spoil: Spoil


def error(status: int, code: str = "", more: str = "", **headers: str) -> Fault:
    """An error of S3 instead of the reply; 0: the connection is closed."""
    body = f"<Error><Code>{code}</Code><Message>said so</Message>{more}</Error>".encode() if code else b""

    def spoil(_: Bucket, request: Request, sent: dict[str, str], __: bytes) -> bytes:
        request.status = status
        sent.clear()
        sent |= {
            "Content-Length": str(len(body)),
            **{name.replace("_", "-"): headers[name] for name in headers},
        }
        return b"" if request.method == "HEAD" else body

    return Fault(f"{status} {code}".strip() if status else "no reply", spoil)


def page(status: int = 200) -> Fault:
    """A page of a proxy."""

    def spoil(_: Bucket, request: Request, headers: dict[str, str], __: bytes) -> bytes:
        request.status = status
        headers.clear()
        headers |= {"Content-Type": "text/html", "Content-Length": str(len(PAGE))}
        return PAGE

    return Fault(f"{status} with a page of HTML", spoil)


def body(name: str, change: Callable[[bytes], bytes], *, announced: bool = True) -> Fault:
    """Another body; its length is as announced, or else the connection breaks."""

    def spoil(_: Bucket, __: Request, headers: dict[str, str], reply: bytes) -> bytes:
        reply = change(reply)
        if announced:
            headers["Content-Length"] = str(len(reply))
        return reply

    return Fault(name, spoil)


def header(name: str, **changes: str | None) -> Fault:
    """Other headers, or None of them."""

    def spoil(_: Bucket, __: Request, headers: dict[str, str], reply: bytes) -> bytes:
        for key, value in changes.items():
            headers.pop(key.replace("_", "-"), None)
            if value is not None:
                headers[key.replace("_", "-")] = value
        return reply

    return Fault(name, spoil)


def rate(name: str, bytes_per_s: float) -> Fault:
    def spoil(_: Bucket, request: Request, __: dict[str, str], reply: bytes) -> bytes:
        request.rate = bytes_per_s
        return reply

    return Fault(name, spoil)


def _shifted(_: Bucket, request: Request, headers: dict[str, str], reply: bytes) -> bytes:
    size = headers["Content-Range"].rpartition("/")[2]
    start = request.start + 1000
    headers["Content-Range"] = f"bytes {start}-{start + len(reply) - 1}/{size}"
    return reply


def _grown(_: Bucket, __: Request, headers: dict[str, str], reply: bytes) -> bytes:
    headers["Content-Range"] += "0"
    return reply


def _whole(bucket: Bucket, request: Request, headers: dict[str, str], _: bytes) -> bytes:
    request.status = 200
    headers.pop("Content-Range")
    content = (bucket.folder / request.key).read_bytes()
    headers["Content-Length"] = str(len(content))
    return content


def flipped(content: bytes) -> bytes:
    """One bit in the middle is another."""
    middle = len(content) // 2
    if not content:
        return content
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]


REDIRECT = error(301, "PermanentRedirect", x_amz_bucket_region="eu-west-1")
_ALL = (
    error(0),
    error(400, "RequestTimeout"),
    error(400, "ExpiredToken"),
    error(403, "AccessDenied"),
    error(403, "RequestTimeTooSkewed"),
    error(404, "NoSuchKey"),
    error(429),
    error(500, "InternalError"),
    error(503, "SlowDown"),
    REDIRECT,
    page(),
    page(503),
    rate("a stall in the body", 0),
)
READS = (
    *_ALL,
    error(204),
    error(304),
    error(412, "PreconditionFailed"),
    error(416, "InvalidRange"),
    body("the connection breaks in the body", lambda reply: reply[: len(reply) // 2], announced=False),
    body("a body that is too short", lambda reply: reply[:-100]),
    body("a body that is too long", lambda reply: reply + bytes(100)),
    body("no body", lambda _: b""),
    Fault("the whole object for a range", _whole),
    Fault("another range than asked for", _shifted),
    Fault("another size of the object", _grown),
    header("no Content-Range", Content_Range=None),
    header("a Content-Range that is none", Content_Range="bytes x-y/z"),
    header("another ETag", ETag='"another"'),
    header("no ETag", ETag=None),
    header("a weak ETag", ETag='W/"weak"'),
    header("no ETag, another date", ETag=None, Last_Modified=_OLD),
    header("no date", Last_Modified=None),
    header("a date that is none", Last_Modified="yesterday"),
    rate("1 kB/s", 1000),
    body("a flipped bit in the pixels", flipped),
)


VERSIONS = (
    header("no ETag", ETag=None),
    header("a weak ETag", ETag='W/"weak"'),
    header("no date", Last_Modified=None),
    body("a body that is too short", lambda reply: reply[:-100]),
)


def _stored(
    name: str, change: Callable[[bytes], bytes] | None, headers: Mapping[str, str] | None = None
) -> Fault:
    """Something else is stored than what was put, or nothing; the reply has its ETag, or other headers."""

    def spoil(bucket: Bucket, request: Request, sent: dict[str, str], reply: bytes) -> bytes:
        kept = bucket.stored.pop(request.key)
        if change:
            sent["ETag"] = bucket.put(request.key, change(kept.body), kept.headers)
        sent.update(headers or {})
        return reply

    return Fault(name, spoil)


def _lost(_: Bucket, request: Request, __: dict[str, str], ___: bytes) -> bytes:
    request.status = 0
    return b""


def _unstored(fault: Fault) -> Fault:
    """The fault of a request that stores nothing."""

    def spoil(bucket: Bucket, request: Request, headers: dict[str, str], reply: bytes) -> bytes:
        bucket.stored.pop(request.key, None)
        return fault.spoil(bucket, request, headers, reply)

    return Fault(fault.name, spoil)


WRITES = (
    *(_unstored(fault) for fault in _ALL if "stall" not in fault.name),
    _unstored(error(400, "BadDigest")),
    _unstored(error(404, "NoSuchBucket")),
    _unstored(error(403, "KMS.DisabledException")),
    _unstored(error(501, "NotImplemented")),
    Fault("stored, but no reply", _lost),
    header("stored, no ETag", ETag=None),
    header("stored, an ETag that is no digest", ETag='"0123456789abcdef0123456789abcdef"'),
    _stored("a flipped bit is stored", flipped),
    _stored("half is stored", lambda content: content[: len(content) // 2]),
    _stored("nothing is stored", None, {"ETag": '"0123456789abcdef0123456789abcdef"'}),
    Fault(
        "200 with an error in its body", lambda b, r, h, _: error(200, "InternalError").spoil(b, r, h, b"")
    ),
)


def _without_end(_: Bucket, __: Request, headers: dict[str, str], reply: bytes) -> bytes:
    """Goes on with the first page."""
    again = b"<IsTruncated>true</IsTruncated><NextContinuationToken>!</NextContinuationToken>"
    reply = reply.replace(b"<IsTruncated>false</IsTruncated>", again)
    headers["Content-Length"] = str(len(reply))
    return reply


def _with_others(_: Bucket, __: Request, headers: dict[str, str], reply: bytes) -> bytes:
    other = listed("", [("elsewhere/a.fits", {"ETag": '"a"', "Last-Modified": _OLD}, 5)])
    entry = other[other.index(b"<Contents>") : other.index(b"</ListBucketResult>")]
    reply = reply.replace(b"</ListBucketResult>", entry + b"</ListBucketResult>")
    headers["Content-Length"] = str(len(reply))
    return reply


def _with_odd_keys(bucket: Bucket, request: Request, headers: dict[str, str], _: bytes) -> bytes:
    """As S3 lists a bucket that holds them."""
    folder = request.key
    keys = [f"{folder}a//b.txt", f"{folder}../c.txt", f"{folder}\x01.txt"]
    for key in keys:
        bucket.put(key, b"", {})
    try:
        _, found, reply = bucket.list(request.wanted)
    finally:
        for key in keys:
            del bucket.stored[key]
    headers.clear()
    headers |= found
    return reply


LISTS = (
    *(fault for fault in _ALL if "Key" not in fault.name),
    error(404, "NoSuchBucket"),
    body("an empty body", lambda _: b""),
    body("JSON", lambda _: b"{}"),
    body("HTML that is no XML", lambda _: b"<!doctype html><html><body><br>Log in<p></body></html>"),
    body("half of a page", lambda reply: reply[: len(reply) // 2]),
    Fault("a token that repeats", _without_end),
    Fault("keys outside of the prefix", _with_others),
    Fault("keys with empty and '..' parts and control characters", _with_odd_keys),
)
