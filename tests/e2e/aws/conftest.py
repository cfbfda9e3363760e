"""The servers that play AWS for the commands: one of each for a file of tests."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from standins.deliveries import DOUBT, FAIL, SEED, Cloud
from standins.processes import running


@pytest.fixture(scope="module")
def cloud_process() -> Iterator[Cloud]:
    words = ["--seed", str(SEED), "--fail", str(FAIL), "--doubt", str(DOUBT)]
    words += ["--twice", "0.02", "--latency", "0.02"]
    with running("cloud", *words) as line:
        urls = json.loads(line)
        yield Cloud(urls["aws"], urls["lambda"])


@pytest.fixture
def cloud(cloud_process: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cloud:
    for name, value in {
        "AWS_ENDPOINT_URL": cloud_process.aws,
        "AWS_ENDPOINT_URL_LAMBDA": cloud_process.endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }.items():
        monkeypatch.setenv(name, value)
    return cloud_process


@pytest.fixture
def through_faults(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Starts a fault proxy in front of the Lambda endpoint; returns its URL."""
    with ExitStack() as stack:

        def put(*words: str) -> str:
            url = stack.enter_context(running("fault_proxy", cloud.endpoint, *words))
            monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", url)
            return url

        yield put
