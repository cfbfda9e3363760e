"""boto3 sessions and clients, and the error messages of AWS."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from . import extras, network
from .errors import UsageError, explain

with extras.needed("aws"):
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
    from botocore.loaders import Loader, create_loader

REGION = "us-east-1"
"""Where no region is configured: the region of the archive's bucket, which a stack there reads for free."""


def session() -> boto3.Session:
    """A session with the user's profile and region (default: REGION).

    All its clients trust the certificates that `network` finds, including those that fetch credentials.
    """
    with aws_errors("AWS"):
        # boto3 reads AWS_DEFAULT_REGION alone; other clients of AWS read this one first.
        configured = boto3.Session(region_name=os.environ.get("AWS_REGION"))
        if not configured.region_name:
            configured = boto3.Session(region_name=REGION)
        bundle = network.bundle(network.AWS, configured._session.get_config_variable("ca_bundle"))
        configured._session.register_component("data_loader", _models(_data_path(configured)))
    if bundle:
        configured._session.set_config_variable("ca_bundle", str(bundle))
    return configured


def _data_path(session: boto3.Session) -> str | None:
    """Where the user has models of services beside botocore's own."""
    path: str | None = session._session.get_config_variable("data_path")
    return path


@cache
def _models(data_path: str | None) -> Loader:
    """The descriptions of services, which each session would read and parse again: 0.1 s for S3 alone."""
    return create_loader(data_path)


def certificates(session: boto3.Session) -> Path | None:
    """The PEM file of certificates that a session trusts; None for botocore's own."""
    bundle = session._session.get_config_variable("ca_bundle")
    return Path(bundle) if bundle else None


def client(
    service: str, region: str | None = None, *, patient: bool = True, of: boto3.Session | None = None
) -> Any:
    """A client that slows down when throttled, of a session (default: a new one, which looks up credentials).

    If not `patient`, it gives up after seconds: for what can be done without AWS.

    Honours AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_<SERVICE>.
    """
    config = Config(retries={"mode": "adaptive", "max_attempts": 8})
    if not patient:
        config = Config(connect_timeout=4, read_timeout=8, retries={"mode": "standard", "max_attempts": 2})
    with aws_errors("AWS"):
        try:
            return (of or session()).client(service, region_name=region, config=config)
        except ValueError as error:
            if isinstance(error, BotoCoreError):
                raise
            raise UsageError(f"AWS: {error}: see AWS_ENDPOINT_URL and ~/.aws/config") from error


def credentials(session: boto3.Session) -> Any:
    """The credentials of a session, read once so that what is wrong with them is an error now.

    Raises UsageError if there are none, or if they cannot be had.
    """
    with aws_errors("AWS credentials"):
        found = session.get_credentials()
        if found is None:
            raise NoCredentialsError
        found.get_frozen_credentials()
    return found


@contextmanager
def aws_errors(subject: str) -> Iterator[None]:
    """Turns errors of AWS and boto3 into a UsageError, whose message begins with `subject`."""
    try:
        yield
    except ClientError as error:
        details = error.response.get("Error", {})
        code, said = str(details.get("Code", "")), str(details.get("Message") or "")
        reason = ": ".join(filter(None, (code, said))) or str(error)
        advice = network.advice(str(error)) or explain([code], said)
        raise UsageError(f"{subject}: {f'{advice} ({reason})' if advice else said or reason}") from error
    except BotoCoreError as error:
        # A credential_process may have said a lot; its last line is the reason.
        said = str(error).strip().splitlines()[-1].rstrip(".")
        advice = network.advice(f"{error} {error.kwargs.get('error', '')}")
        advice = advice or explain([kind.__name__ for kind in type(error).__mro__])
        raise UsageError(f"{subject}: {f'{advice} ({said})' if advice else said}") from error
    except FileNotFoundError as error:  # the program of a credential_process
        raise UsageError(f"{subject}: {explain(['CredentialRetrievalError'])} ({error})") from error


def error_code(error: UsageError) -> str:
    """The code of AWS's response behind an error of aws_errors(), such as AccessDenied; empty without one."""
    cause = error.__cause__
    return str(cause.response.get("Error", {}).get("Code", "")) if isinstance(cause, ClientError) else ""
