"""S3 for the command line, through obstore: one place that knows endpoints, regions and who pays."""

import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import obstore
from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from .errors import NO_CREDENTIALS, InputError, UsageError

ACCESS: dict[str, dict[str, Any]] = {
    "anonymous": {"skip_signature": True},
    "signed": {},
    "requester-pays": {"request_payer": True},
}


# An anonymous request must go to the bucket's own region, wherever the person is configured to be.
REGIONS = {"stpubdata": "us-east-1"}


def store(bucket: str, access: str = "anonymous") -> S3Store:
    """A client of one bucket. Honours AWS_ENDPOINT_URL_S3, then AWS_ENDPOINT_URL, and AWS_REGION."""
    options: dict[str, Any] = dict(ACCESS[access])
    if endpoint := os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"):
        options |= {"endpoint": endpoint, "client_options": {"allow_http": endpoint.startswith("http://")}}
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    if access != "anonymous":
        options["credential_provider"], region = _profile()
    retry: Any = {"max_retries": 5, "retry_timeout": timedelta(seconds=30)}
    return S3Store(bucket, region=REGIONS.get(bucket, region), retry_config=retry, **options)


def _profile() -> tuple[Any, str]:
    """Credentials and region of profiles and sign-on, which boto3 knows and the S3 client does not."""
    from obstore.auth.boto3 import Boto3CredentialProvider

    from .aws import session

    known = session.session()
    try:
        return Boto3CredentialProvider(known), known.region_name
    except ValueError as error:
        raise UsageError(NO_CREDENTIALS) from error


def listing(uri: str, access: str = "anonymous") -> Iterator[str]:
    """URIs of all objects under s3://bucket/prefix/, in the order of S3, a page at a time."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    try:
        for page in obstore.list(store(bucket, access), prefix or None):
            for item in page:
                yield f"s3://{bucket}/{item['path']}"
    except BaseError as error:
        raise told(uri, error) from error


def read(uri: str, access: str = "anonymous") -> bytes:
    """All bytes of one object."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    try:
        return bytes(obstore.get(store(bucket, access), key).bytes())
    except BaseError as error:
        raise told(uri, error) from error


def told(uri: str, error: BaseError) -> InputError:
    """The error for people, in the place of the storage client's."""
    # A listing of a bucket that is not there comes as a generic error with the status in its text.
    if isinstance(error, NotFoundError) or "404 Not Found" in str(error):
        return InputError(f"{uri} does not exist")
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return InputError(f"{uri} may not be read: try --access signed or --access requester-pays")
    return InputError(f"{uri}: the storage failed: {str(error).strip().splitlines()[0]}")
