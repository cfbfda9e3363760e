"""Access to S3 through obstore: clients, single objects, and error messages."""

import io
import os
import re
import urllib.error
import urllib.request
from contextlib import suppress
from datetime import timedelta
from functools import cache
from http.client import HTTPException
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from .. import extras, network
from ..errors import InputError, UsageError, explain

ACCESS: dict[str, dict[str, Any]] = {
    "anonymous": {"skip_signature": True},
    "signed": {},
    "requester-pays": {"request_payer": True},
}
# These buckets are always read in their own region, whatever region the user has configured.
REGIONS = {"stpubdata": "us-east-1"}
RETRIES: Any = {"max_retries": 5, "retry_timeout": timedelta(seconds=30)}
ERRORS = (BaseError, FileNotFoundError)
"""What obstore raises: for what does not exist, Python's own error."""
_STATUS = re.compile(r"status code: (\d{3})[^:]*: (.*?)(?=\n\nDebug source|\Z)", re.DOTALL)
_REGION = re.compile(r"<Region>([-a-z0-9]+)</Region>|expecting '([-a-z0-9]+)'|s3[.-]([-a-z0-9]+)\.amazonaws")
# Codes that are about the credentials, this machine's clock or the bucket, not about one object.
_OF_ALL = frozenset(
    {
        *("InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthorizationHeaderMalformed", "InvalidSecurity"),
        *("ExpiredToken", "InvalidToken", "TokenRefreshRequired", "RequestTimeTooSkewed", "RequestExpired"),
        *("PermanentRedirect", "TemporaryRedirect", "IllegalLocationConstraintException", "NoSuchBucket"),
        *("AccountProblem", "AllAccessDisabled", "NotSignedUp", "OptInRequired"),
    }
)
# One such key makes obstore refuse the page of the listing that has it.
_BAD_KEY = re.compile(r'invalid path: (?:Error parsing )?Path "(.*?)"(?: contained|:)', re.DOTALL)
# What obstore says of a connection that was not made, and what in its long form tells why.
_NOT_SENT = "error sending request"
_WHY = re.compile(r'message: "([^"]+)"|error: "([^"]+)"|kind: (Timeout)')
REDIRECT = "redirect without LOCATION"
"""What obstore says of a bucket in another region."""
_TIMEOUT_S = 5.0
"""For what should not take longer: the region of a bucket for an error message, or whether S3 answers."""
NO_LISTING = "the answer is not a listing of S3: a proxy's page? Check AWS_ENDPOINT_URL and HTTPS_PROXY"
DENIED = "access is denied (403)"
_ANONYMOUS = "access is denied: try --access signed or --access requester-pays"


def client(bucket: str, access: str = "anonymous", *, patient: bool = True, endless: bool = False) -> S3Store:
    """A client for one bucket. If not `patient`, it gives up after seconds; if `endless`, a response may take
    any time, for whoever reads it watches that bytes arrive.

    Honours AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, AWS_REGION, and proxies and certificates of `network`; if
    `access` is not anonymous, all that boto3 does: profiles, configured endpoints, FIPS.

    Raises UsageError where `access` needs credentials and there are none, or the configuration is wrong.
    """
    options: dict[str, Any] = dict(ACCESS[access])
    if access != "anonymous":
        options["checksum_algorithm"] = "SHA256"  # of what is put, by which S3 refuses damaged bytes
    if access == "anonymous":
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        region, certificates = REGIONS.get(bucket, region), network.bundle(network.AWS)
        endpoint = _configured_endpoint() or f"https://s3.{region}.amazonaws.com"
    else:
        options["credential_provider"], region, endpoint, certificates = _profile(bucket)
    if not endpoint.startswith(("http://", "https://")):
        raise UsageError(f"AWS_ENDPOINT_URL is {endpoint}: it must begin with http:// or https://")
    retry = RETRIES
    connection = network.storage_options(endpoint, certificates)
    if not patient:
        retry = {"max_retries": 1, "retry_timeout": timedelta(seconds=_TIMEOUT_S)}
        connection |= {"timeout": timedelta(seconds=_TIMEOUT_S)}
    elif endless:
        connection |= {"timeout": timedelta(days=1)}
    return S3Store(
        bucket,
        region=region,
        endpoint=endpoint,
        client_options=connection,
        retry_config=retry,
        **options,
    )


def _configured_endpoint() -> str | None:
    if os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return None
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def _profile(bucket: str) -> tuple[Any, str, str, Path | None]:
    """Credentials, region, endpoint and certificates from boto3: obstore knows neither profiles nor SSO."""
    from .. import session  # boto3, which anonymous access does not need

    with extras.needed("aws"):
        from obstore.auth.boto3 import Boto3CredentialProvider

    profile = session.session()
    session.credentials(profile)
    meta = session.client("s3", REGIONS.get(bucket), of=profile).meta
    return (
        Boto3CredentialProvider(profile),
        meta.region_name,
        meta.endpoint_url,
        session.certificates(profile),
    )


def reach(uri: str, access: str = "anonymous") -> bool:
    """Whether S3 lists any object below s3://bucket/prefix/, within seconds. Raises InputError if it refuses.

    An answer that is no listing, such as a proxy's page, lists none.
    """
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    try:
        return any(obstore.list(client(bucket, access, patient=False), prefix or None, chunk_size=1))
    except ERRORS as error:
        raise storage_error(uri, error, access) from error


def read(uri: str, access: str = "anonymous", most: int | None = None) -> bytes:
    """All bytes of one object. Raises InputError where it does not exist, cannot be read or has more than
    `most` bytes, of which none is read then.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    try:
        answer = obstore.get(client(bucket, access), key)
        if most is not None and answer.meta["size"] > most:
            size = answer.meta["size"]
            raise InputError(f"{uri} has {size:,} bytes, more than the {most:,} that are read of a file")
        return bytes(answer.bytes())
    except ERRORS as error:
        raise storage_error(uri, error, access) from error


class _ObjectFile(io.RawIOBase):
    """An object as a file, of which only what is read is transferred, a megabyte at a time."""

    def __init__(self, uri: str, access: str) -> None:
        self._about = uri, access
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        self._reader = obstore.open_reader(client(bucket, access), key)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._reader.seek(offset, whence)

    def tell(self) -> int:
        return self._reader.tell()

    def readinto(self, buffer: Any) -> int:
        try:
            data = bytes(self._reader.read(len(buffer)))
        except ERRORS as error:
            raise storage_error(self._about[0], error, self._about[1]) from error
        buffer[: len(data)] = data
        return len(data)


def open_file(uri: str, access: str = "anonymous") -> io.RawIOBase:
    """An object as a file. Raises FileNotFoundError if it does not exist, InputError if it cannot be read."""
    try:
        return _ObjectFile(uri, access)
    except FileNotFoundError:
        raise
    except ERRORS as error:
        raise storage_error(uri, error, access) from error


def refusal(uri: str, access: str) -> str:
    """Why S3 denies access to an object, which the answer to a HEAD does not say: it has no body.

    Raises InputError if S3 refuses everything that these credentials ask for.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    try:
        obstore.get_range(client(bucket, access), key, start=0, length=1)
    except ERRORS as error:
        reason = storage_error(uri, error, access)
        if _answer(str(error))[1] in _OF_ALL:
            raise reason from error
        return str(reason).removeprefix(f"{uri}: ")
    return DENIED


def is_bad_key(error: Exception) -> bool:
    """Whether obstore refused a page of a listing for a key in it."""
    return bool(_BAD_KEY.search(str(error)))


def is_permanent(error: Exception) -> bool:
    """Whether S3 refused a request in a way that will not pass: a status of 4xx, but for 408 and 429."""
    status = _answer(str(error))[0]
    return status.startswith("4") and status not in ("408", "429")


def storage_error(uri: str, error: Exception, access: str = "signed") -> InputError:
    """The InputError to raise instead of one of ERRORS about `uri`, with S3's own reason in its message."""
    text = str(error)
    if advice := network.advice(text):
        return InputError(f"{uri}: {advice}")
    if bad := _BAD_KEY.search(text):
        return InputError(
            f"{uri}: it holds the object {bad[1]!r}, and keys with empty or '.' parts or control characters "
            "cannot be read: name the folders or files beside it"
        )
    if "invalid list response" in text:
        return InputError(f"{uri}: {NO_LISTING}")
    if _NOT_SENT in text:
        why = next((part for found in _WHY.findall(text) for part in found if part), "")
        return InputError(f"{uri}: {explain(['unreachable'])}{f' ({why})' if why else ''}")
    status, code, said = _answer(text)
    named = _REGION.search(text)
    region = next(filter(None, named.groups()), "") if named else ""
    if code == "PermanentRedirect" and not region:
        region = _region_of(uri.removeprefix("s3://").partition("/")[0], access)
    if code in ("NoSuchKey", "404") or (isinstance(error, FileNotFoundError) and code != "NoSuchBucket"):
        return InputError(f"{uri} does not exist")
    if status in ("401", "403") and code in ("AccessDenied", status) and access == "anonymous":
        return InputError(f"{uri}: {_ANONYMOUS}")
    reason = ": ".join(filter(None, (code, said)))
    if advice := explain([code, status], said, region):
        return InputError(f"{uri}: {advice} ({reason})")
    return InputError(f"{uri}: storage error: {reason or text.strip().splitlines()[0]}")


@cache
def _region_of(bucket: str, access: str) -> str:
    """The region of a bucket, from a header of S3's answer that obstore does not show; empty without one."""
    with suppress(UsageError, OSError, HTTPException):
        endpoint = client(bucket, access).config.get("endpoint", "")
        named = urllib.request.Request(f"{endpoint}/{bucket}", method="HEAD")
        trusted = network.bundle(network.AWS)
        context = network.tls(trusted) if trusted else None
        try:
            with urllib.request.urlopen(named, timeout=_TIMEOUT_S, context=context) as answer:
                headers = answer.headers
        except urllib.error.HTTPError as error:
            headers = error.headers
        return str(headers.get("x-amz-bucket-region") or "")
    return ""


def _answer(text: str) -> tuple[str, str, str]:
    """Status, error code (else the status again) and message of the response of S3 that obstore quotes."""
    if REDIRECT in text:
        return "301", "PermanentRedirect", ""
    found = _STATUS.search(text)
    if not found:
        return "", "", ""
    status, body = found.groups()
    code, said = (_inside(body, tag) for tag in ("Code", "Message"))
    if title := _inside(body, "title"):
        said = f"a page with the title {title!r}, which is not S3's: a proxy's?"
    return status, code or status, said


def _inside(body: str, tag: str) -> str:
    found = re.search(rf"<{tag}[^>]*>(.*?)</{tag}>", body, re.DOTALL | re.IGNORECASE)
    return " ".join(found[1].split())[:300] if found else ""
