"""The stack as SAM builds it, the image it runs in, a local S3 server. Needs Docker and `make sam`."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import botocore.config
import containers
import pytest
import yaml
from standins import aws as stand_in_aws

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them all; `pytest.mark.lambda` is no Python."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("lambda")


@pytest.fixture(scope="session", autouse=True)
def blas_of_lambda() -> Iterator[None]:
    """This machine's own settings of BLAS, such as another kernel, do not reach the container: its sums would
    differ in the last digits.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("OPENBLAS_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def common(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all workers of a test run share."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One worker after another: the first makes what the others find."""
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def stand_in(common: Path) -> str:
    """Name of an image with Python 3.13 and Lambda's runtime. Skips without Docker; in CI that fails."""
    if reason := containers.missing():
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    with _alone(common):
        return containers.make_stand_in()


@pytest.fixture(scope="session")
def built(stand_in: str, common: Path) -> Path:
    """Folder of what `sam build` made."""
    if there := os.environ.get("SKYFAN_BUILT"):  # while writing these tests
        return Path(there)
    with _alone(common):
        folder = common / "sam-build"
        return folder if (folder / "template.yaml").exists() else containers.build(folder)


@pytest.fixture(scope="session")
def s3() -> Iterator[boto3.client]:
    """Client of an S3 server that holds one empty bucket, `archive`, and one for results, `results`."""
    with stand_in_aws.s3_for_containers() as client:
        yield client


@pytest.fixture(scope="session")
def reaching(stand_in: str, s3: boto3.client) -> Callable[[Path], Path]:
    """Gives a built template the S3 server's URL: SAM passes on only variables that a template names."""
    host = containers.gateway()

    def written(built: Path) -> Path:
        content = yaml.safe_load((built / "template.yaml").read_text())
        content["Parameters"]["InputBuckets"]["Default"] = "archive,stpubdata"
        for resource in content["Resources"].values():
            if resource["Type"] == "AWS::Serverless::Function":
                variables = resource["Properties"]["Environment"]["Variables"]
                variables["AWS_ENDPOINT_URL_S3"] = s3.meta.endpoint_url.replace("127.0.0.1", host)
        path = built / f"local-{os.getpid()}.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return written


@pytest.fixture(scope="session")
def template(built: Path, reaching: Callable[[Path], Path]) -> Path:
    """The built template, with the S3 server's URL."""
    return reaching(built)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def sam_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `sam local start-lambda` printed, the functions' logs among it."""
    return tmp_path_factory.mktemp("start-lambda") / "log"


@pytest.fixture(scope="session")
def endpoint(template: Path, sam_log: Path) -> Iterator[boto3.client]:
    """Lambda's interface, as `sam local start-lambda` serves it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        containers.SAM,
        "local",
        "start-lambda",
        "--template",
        template,
        "--port",
        port,
        *containers.LOCAL,
    ]
    with (
        sam_log.open("w") as out,
        subprocess.Popen(
            [str(part) for part in command],
            cwd=containers.REPO,
            env={**os.environ, **containers.ENVIRONMENT},
            stdout=out,
            stderr=subprocess.STDOUT,
        ) as server,
    ):
        try:
            end = time.monotonic() + 60
            while not _answers(port):
                assert server.poll() is None, sam_log.read_text()
                assert time.monotonic() < end, sam_log.read_text()
                time.sleep(0.3)
            yield boto3.client(
                "lambda",
                endpoint_url=f"http://127.0.0.1:{port}",
                region_name="us-east-1",
                aws_access_key_id="test",
                aws_secret_access_key="test",
                config=botocore.config.Config(read_timeout=120, retries={"max_attempts": 0}),
            )
        finally:
            server.terminate()
