"""What functions and skyfan must agree on: names, keys of results, failure records, cures, limits.

Both ship this package: a build copies it beside each function, and the wheel has it beside skyfan. It needs
nothing but the standard library.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from hashlib import md5
from math import isqrt
from typing import Any, Literal, get_args
from urllib.parse import quote, unquote

VERSION = "0.1.0"
"""Of skyfan: functions on Lambda carry no metadata of packages."""

OUTPUT = "SKYFAN_OUTPUT"
"""The environment variable that says where results go, with {run} and {key}."""
FAILURES = "SKYFAN_FAILURES"
"""The environment variable that says where failure records go, with {run} and {key}."""
DOUBTFUL = "SKYFAN_DOUBTFUL"
"""The environment variable that says where marks of doubtful results go, with {run} and {key}."""
INPUTS = "SKYFAN_INPUTS"
"""The environment variable with the buckets that are read, separated by commas; without it, all are."""
INPUT_VERSION = "input_version"
"""The second entry of a JSON result, after `input`: which version of the input it was made from."""
NO_DOUBTS = "none"
"""Instead of the doubts in the mark of a result that replaced another and is not doubtful."""
PROBE = "probe"
"""The key of an event that only asks whether results of a run, its value, can be written; and the name of the
empty object that the answer leaves beside them. No result ends like that.
"""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# S3's rules, which a client does not check: of s3://a#b/key it would read the bucket a.
_BUCKET = re.compile(r"(?!.*\.\.)[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
MAX_KEY_BYTES = 740
"""Of bucket/key of an input. Keys of S3 have at most 1,024; the longest result, a mark, adds the names of the
run and of all doubts.
"""
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
RUN_RULE = "1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit"

Access = Literal["anonymous", "signed", "requester-pays"]
"""How objects of S3 are read."""
ACCESS: tuple[Access, ...] = get_args(Access)

MAX_INPUTS = 100
"""Inputs of one event. More would save nothing, for a hundredth of a cold start is a few milliseconds; but
all of them are at stake when the function is killed.
"""
BYTES_BASE = 200 << 20
BYTES_PER_PIXEL: Mapping[str, int] = {"science": 44, "error": 6, "dq": 4, "weight": 10, "area": 0}
"""Memory of SepExtract: per pixel of a chip for each plane of it that is read, and in addition for all.

``benchmarks/extract --memory`` measures it. AREA is let go before anything is measured.
"""

BYTES_PER_OUTPUT: Mapping[str, int] = {"segmentation": 1, "background": 1, "background_rms": 2, "residual": 3}
"""Memory of SepExtract for the compressed images beside a catalog: per pixel of all chips together."""

BYTES_PER_LABEL = 4
"""Memory of SepExtract for the segments of a detection image, per pixel of all its chips."""

TILED_ABOVE = 24 << 20
"""Pixels of a plane that SepExtract measures as one; a larger one is measured in tiles."""
TILE, TILE_MARGINS = 2048, (256, 1024)
"""Side of a tile in pixels, and how far around it SepExtract reads: at first, and where a source is large."""

Cure = Literal["retry", "larger", "never"]
RETRY: Cure = "retry"
"""The same event may succeed."""
LARGER: Cure = "larger"
"""A function with more memory and time may succeed."""
NEVER: Cure = "never"
"""The same event cannot succeed."""
CURES: tuple[Cure, ...] = get_args(Cure)

TABLE = ".cat.fits"
"""How a result ends that is a table, of SepExtract or of any other function: skyfan collect reads these."""
ADDED_COLUMNS = ("_healpix_29", "ROW_ID", "INPUT", "INSTRUMENT", "FILTER", "MJD", "DISTANCE")
"""Columns that skyfan adds to those of a table, whose own have other names, in capitals or not."""
INPUT_COLUMNS = (
    "uri", "etag", "catalog", "catalog_size", "catalog_modified", "catalog_etag", "telescope", "instrument",
    "filter", "target", "proposal_id", "rootname", "t_min", "t_max", "sources", "source_id", "unplaced",
    "s_ra", "s_dec", "s_region", "doubts", "config", "skyfan", "numpy", "astropy", "notes",
)  # fmt: skip
"""Columns of the table of inputs; facts of a table have other names."""

PERMANENT, IN_BATCH, CANCELLED = "PermanentFailure", "FailedInBatch", "Cancelled"
"""Conditions that functions record: why a failure is final."""
RETRIED = "RetriesExhausted"
"""The condition that Lambda records."""


def memory_of_outputs(pixels: int, outputs: Iterable[str]) -> int:
    """Bytes that SepExtract takes for further results of a file, by the pixels of all its chips together."""
    return pixels * sum(BYTES_PER_OUTPUT.get(output, 0) for output in outputs)


def memory_of(pixels: int, planes: Iterable[str], width: int | None = None) -> int:
    """Bytes that SepExtract takes for a chip with these planes, by their names in BYTES_PER_PIXEL.

    ``width`` is that of an image that is measured in tiles; that of a square if it is not known.
    """
    planes = list(planes)
    each = sum(BYTES_PER_PIXEL[plane] for plane in planes)
    if pixels <= TILED_ABOVE:
        return pixels * each + BYTES_BASE
    width = width or isqrt(pixels)
    tile, widest = (TILE + 2 * margin for margin in TILE_MARGINS)
    # A strip of four bytes per pixel, from which tiles are cut, and the largest tile.
    strip = min(tile, pixels // width) * width * 4 * len(planes)
    return strip + min(widest**2, pixels) * each + BYTES_BASE


def key_of(uri: str) -> str:
    """The {key} that mirrors an input: bucket/key of s3://, the absolute path without its leading slash of
    file:///.

    Raises ValueError for any other URI, and for keys that would not stay inside the folder of the run.
    """
    # Not urlsplit: '#' and '?' may be part of a file name, escaped or not, and of the key of an object.
    if uri.startswith("s3://"):
        key = uri.removeprefix("s3://")
        _check_object(key, uri)
    elif uri.startswith("file:///"):
        # A byte that is not UTF-8 becomes \\xe9, for results are named in UTF-8, each differently.
        key = unquote(uri.removeprefix("file://"), errors="backslashreplace").lstrip("/")
        if "\0" in key:
            raise ValueError(f"{quoted(uri)} has a zero byte, which no path has")
    else:
        raise ValueError(f"{quoted(uri)} is neither s3://bucket/key nor file:///absolute/path")
    if {"", ".", ".."} & set(key.split("/")):
        raise ValueError(
            f"{quoted(uri)} has an empty, '.' or '..' part, which cannot be part of a result's key"
        )
    return key


def header_uri(uri: str) -> str:
    """How the header of a result, which is ASCII, names its input: a key of S3 is escaped like a URL.

    A URI of a file is escaped already. Earlier versions left the % of a key as it was.
    """
    return quote(uri.replace("%", "%25") if uri.startswith("s3://") else uri, safe=string.punctuation)


def _check_object(key: str, uri: str) -> None:
    """Raise ValueError if ``key``, bucket/key, is that of no object, or leaves its results no key."""
    bucket, _, rest = key.partition("/")
    if not bucket or not rest:
        raise ValueError(f"{quoted(uri)} is not s3://bucket/key")
    if _CONTROL.search(key):  # S3 stores them, and its clients refuse them
        raise ValueError(f"{quoted(uri)} has a control character, with which no object can be read")
    if not _BUCKET.fullmatch(bucket):
        raise ValueError(
            f"{quoted(bucket)} is no name of a bucket: at most 63 lower-case letters, digits, '.' and '-'"
        )
    try:
        length = len(key.encode())
    except UnicodeEncodeError:  # a lone surrogate
        raise ValueError(f"{quoted(uri)} has a character that UTF-8 does not know") from None
    if length > MAX_KEY_BYTES:
        raise ValueError(
            f"{quoted(uri)} has {length} bytes in UTF-8: with more than {MAX_KEY_BYTES} there is no room "
            "for the keys of its results"
        )


def quoted(value: object) -> str:
    """A value as a message shows it: in one line, and of a long one beginning and end, 200 characters."""
    return shortened(repr(value), 200)


def shortened(text: str, length: int) -> str:
    """A text of at most ``length`` characters: the middle of a longer one is left out."""
    half = (length - 1) // 2
    return text if len(text) <= length else f"{text[:half]}…{text[-half:]}"


_USER = re.compile(r"""(?<=://)[^/\s]+@|(?<![\w/:])[^/\s:@"'{}]+:[^/\s@"'{}]+@""")


def without_passwords(text: str) -> str:
    """A text without the users and passwords in its URLs, also in those that lack a scheme."""
    return _USER.sub("", text)


def is_digest(etag: str | None, body: bytes) -> bool:
    """Whether an ETag is the MD5 of an object's content, as S3's is without KMS key and parts."""
    return (etag or "").strip('"') == md5(body, usedforsecurity=False).hexdigest()


def mark_key(doubts: str, key: str) -> str:
    """The {key} of the mark of a result, an empty object: `doubts` joined by '-', and below it the key of the
    input. So one listing tells which results are doubtful and why. Of several marks the newest counts.
    """
    return f"{re.sub(r'[^A-Za-z0-9_]+', '-', doubts.strip())}/{key}"


def failure_record(
    event: Mapping[str, Any],
    error: Mapping[str, Any],
    condition: str,
    *,
    request_id: str | None,
    function_arn: str | None,
    attempts: int = 1,
) -> dict[str, Any]:
    """A failure record in the shape of those that Lambda sends to an on-failure destination.

    ``error`` has errorType and errorMessage, and cure and permanent if they are known.
    """
    return {
        "version": "1.0",
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "requestContext": {
            "requestId": request_id,
            "functionArn": function_arn,
            "condition": condition,
            "approximateInvokeCount": attempts,
        },
        "requestPayload": event,
        "responseContext": {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": "Unhandled" if condition == RETRIED else "Handled",
        },
        "responsePayload": error,
    }
