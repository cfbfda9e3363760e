"""The only maker of AWS clients. Endpoints come from AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_<SERVICE>, by boto3."""

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

from ..errors import UsageError

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


@contextmanager
def told(what: str) -> Iterator[None]:
    """Turns what AWS refuses into a UsageError in plain words."""
    try:
        yield
    except NoCredentialsError as error:
        raise UsageError(
            "no AWS credentials: run `aws configure` or `aws sso login`, or set AWS_PROFILE"
        ) from error
    except ProfileNotFound as error:
        raise UsageError(f"{error}: see AWS_PROFILE") from error
    except EndpointConnectionError as error:
        raise UsageError(f"{what}: {error}") from error
    except ClientError as error:
        told = error.response.get("Error", {})
        raise UsageError(f"{what}: {told.get('Message') or told.get('Code') or error}") from error
    except BotoCoreError as error:
        raise UsageError(f"{what}: {error}") from error
