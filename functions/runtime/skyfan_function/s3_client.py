"""Clients of S3 buckets, made once."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skyfan_contract import OUTPUT, Access

from .errors import AccessDeniedError, ConfigurationError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Store

# Variables that a client reads.
_READ = re.compile(r"AWS_|SSL_|.*_proxy$", re.IGNORECASE)
# An anonymous request must go to the bucket's own region, wherever the caller is configured to be.
_BUCKET_REGION = {"stpubdata": "us-east-1"}
RETRIES: RetryConfig = {"max_retries": 5}
# All certificates that the systems of Lambda trust, in one file: Amazon Linux, and Debian for the tests.
_BUNDLES = ("/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt")


def client_of(uri: str, access: Access) -> tuple[S3Store, str]:
    """The client for the bucket of an ``s3://`` URI, and the key in it.

    Raises AccessDeniedError without credentials and ConfigurationError for certificates that cannot be read.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    variables = tuple((name, value) for name, value in os.environ.items() if _READ.match(name))
    return _client(bucket, access, variables), key


@lru_cache(maxsize=8)
def _client(bucket: str, access: Access, variables: tuple[tuple[str, str], ...]) -> S3Store:
    """The client of a bucket, kept while the ``variables`` of the environment that it reads stay the same.

    A new one parses all certificates of the machine, 15 ms, and opens new connections.
    """
    from obstore.store import S3Store

    options: dict[str, Any] = {"region": _BUCKET_REGION.get(bucket, own_region())}
    if access == "anonymous":
        options["skip_signature"] = True
    else:
        options["checksum_algorithm"] = "SHA256"  # of what is put, by which S3 refuses damaged bytes
    if access != "anonymous" and not os.environ.get("AWS_ACCESS_KEY_ID"):
        options["credential_provider"] = _profile_credentials()
    if access == "requester-pays":
        options["request_payer"] = True
    if endpoint := endpoint_url():
        options |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
    client: ClientConfig = {
        "allow_http": bool(endpoint and endpoint.startswith("http://")),
        "timeout": "60s",
    }
    if certificates := os.environ.get("AWS_CA_BUNDLE"):  # as the local engine sets it
        client["root_certificate"] = _certificates(certificates)
    return S3Store(bucket, client_options=client, retry_config=RETRIES, **options)


def _certificates(path: str) -> str:
    try:
        text = Path(path).read_text()
    except (OSError, ValueError) as exc:
        raise ConfigurationError(f"the certificates that AWS_CA_BUNDLE names cannot be read: {exc}") from exc
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise ConfigurationError(f"AWS_CA_BUNDLE names {path}, which has no certificate in PEM form")
    return text


def _profile_credentials() -> Any:
    """Credentials of a profile or of single sign-on, which only boto3 reads; Lambda sets the environment."""
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider

        return Boto3CredentialProvider()
    except (ImportError, ValueError) as exc:
        raise AccessDeniedError(
            "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "or install boto3 (pip install 'skyfan[aws]') and configure a profile"
        ) from exc


def own_region() -> str:
    """Where this function runs, or is configured to be."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def endpoint_url() -> str:
    """URL of a server other than AWS's own; empty for that."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""


def prepare() -> None:
    """While Lambda starts the function, with a full CPU: what the first request to the results' bucket needs.

    On Lambda the certificates of the bundle alone are read; its folder holds each once or twice more.
    """
    if not os.environ.get(OUTPUT, "").startswith("s3://"):
        return
    if "LAMBDA_TASK_ROOT" in os.environ and not {"SSL_CERT_FILE", "SSL_CERT_DIR"} & set(os.environ):
        for bundle in filter(os.path.exists, _BUNDLES):
            os.environ["SSL_CERT_FILE"] = bundle
            break
    with suppress(Exception):  # the first event meets the same error, and records it
        client_of(os.environ[OUTPUT], "signed")
