"""AWS in this process: moto's server. Each begins empty, though moto's state is the process's."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import boto3
from moto.core.config import default_user_config
from moto.moto_api._internal import moto_api_backend
from moto.server import ThreadedMotoServer

_LOOPBACK = "127.0.0.1"


@contextmanager
def moto(host: str = _LOOPBACK) -> Iterator[str]:
    """Serves on a free port of `host`; gives the URL for this machine.

    A Lambda function answers with its event: where a Docker daemon runs, moto would pull an image for it.
    """
    moto_api_backend.reset()
    server = ThreadedMotoServer(ip_address=host, port=0, verbose=False)
    with patch.dict(default_user_config["lambda"], use_docker=False):
        server.start()
        try:
            yield f"http://{_LOOPBACK}:{server.get_host_and_port()[1]}"
        finally:
            server.stop()


def client(service: str, url: str) -> Any:
    """A boto3 client of a stand-in, which takes any credentials."""
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


@contextmanager
def s3_for_containers() -> Iterator[Any]:
    """Client of an S3 server that holds one empty bucket, `archive`, and one for results, `results`."""
    # All interfaces: containers come in by Docker's bridge.
    with moto("0.0.0.0") as url:
        s3 = client("s3", url)
        for bucket in ("archive", "results"):
            s3.create_bucket(Bucket=bucket)
        yield s3
