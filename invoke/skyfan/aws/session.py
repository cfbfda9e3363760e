"""The only maker of AWS clients. boto3 takes endpoints from AWS_ENDPOINT_URL(_<SERVICE>)."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ProfileNotFound,
)
from botocore.httpsession import get_cert_path

from ..errors import NO_CREDENTIALS, UsageError
from .connection import Endpoint

# stpubdata lies here, and a stack beside it reads it for nothing.
REGION = "us-east-1"


def session() -> boto3.Session:
    """A session with the person's own profile and region; where none is configured, the archive's region."""
    with told("AWS"):
        made = boto3.Session()
        return made if made.region_name else boto3.Session(region_name=REGION)


def client(service: str) -> Any:
    """A client that backs off on throttling. Credentials are looked up at its first call, not here."""
    return session().client(service, config=Config(retries={"mode": "adaptive", "max_attempts": 8}))


def endpoint() -> Endpoint:
    """Where Invoke is sent: what boto3 would call, trusting whom it would (AWS_CA_BUNDLE, ca_bundle)."""
    made = session()
    url = client("lambda").meta.endpoint_url
    if not url.startswith("https:"):
        return Endpoint(url, made.region_name, None)
    bundle = made._session.get_config_variable("ca_bundle")
    with told("the certificates that AWS is trusted by"):
        return Endpoint(
            url, made.region_name, ssl.create_default_context(cafile=get_cert_path(bundle or True))
        )


@contextmanager
def told(what: str) -> Iterator[None]:
    """Turns what AWS refuses into a UsageError in plain words."""
    try:
        yield
    except NoCredentialsError as error:
        raise UsageError(NO_CREDENTIALS) from error
    except ProfileNotFound as error:
        raise UsageError(f"{error}: see AWS_PROFILE") from error
    except EndpointConnectionError as error:
        raise UsageError(f"{what}: {error}") from error
    except ClientError as error:
        told = error.response.get("Error", {})
        raise UsageError(f"{what}: {told.get('Message') or told.get('Code') or error}") from error
    except BotoCoreError as error:
        raise UsageError(f"{what}: {error}") from error
