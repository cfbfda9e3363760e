"""status, runs, retry and cancel over HTTP: moto's S3, Lambda and CloudFormation, our endpoint for Invoke."""

import asyncio
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from click.testing import CliRunner, Result
from standins import aws as stand_in_aws
from standins.lambda_endpoint import Endpoint

from skyfan.aws import cancel, stack
from skyfan.cli import main
from skyfan.runs import given, receipts, state
from skyfan.runs import run as runs
from skyfan.runs.place import Place
from skyfan.task import Task

FILES = [f"s3://stpubdata/hst/public/{number} ü%.fits" for number in range(6)]
NAMES = ("SepExtract", "SepExtractLarge")
RESULTS = "s3://results/runs/{run}/catalogs/{key}.cat.fits"
Skyfan = Callable[..., Result]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with stand_in_aws.moto() as url:
        yield url


@pytest.fixture
def aws(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Place:
    """A stack with two functions and two buckets; gives the place of its results."""
    requests.post(f"{server}/moto-api/reset", timeout=10)
    for name, value in (
        ("AWS_ENDPOINT_URL", server),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("XDG_STATE_HOME", str(tmp_path / "state")),
    ):
        monkeypatch.setenv(name, value)
    for bucket in ("results", "failures"):
        boto3.client("s3").create_bucket(Bucket=bucket)
    role = boto3.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("empty.py", "")
    outputs = {"ResultsBucket": "results", "FailuresBucket": "failures"}
    for name in NAMES:
        made = boto3.client("lambda").create_function(
            FunctionName=f"skyfan-{name}",
            Runtime="python3.13",
            Role=role,
            Handler="empty.handler",
            Code={"ZipFile": archive.getvalue()},
        )
        outputs |= {f"{name}Name": made["FunctionName"], f"{name}Arn": made["FunctionArn"]}
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {key: {"Value": value} for key, value in outputs.items()},
    }
    boto3.client("cloudformation").create_stack(StackName="skyfan", TemplateBody=json.dumps(template))
    return Place.at("s3://results")


@pytest.fixture
def skyfan(monkeypatch: pytest.MonkeyPatch) -> Skyfan:
    """Runs a command in this process, with short waits."""
    monkeypatch.setattr(cancel, "EVERY_S", 0.1)

    def call(*words: str) -> Result:
        done = CliRunner().invoke(main, words)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done

    return call


def begin(place: Place, run: str = "r", files: list[str] = FILES) -> None:
    runs.begin(place, Task(run, config={"detect_thresh": 3}), "SepExtract", RESULTS, "s3://failures")
    given.keep(place, run, files)


def send(place: Place, *files: str, run: str = "r", ago: float = 60.0, function: str = "SepExtract") -> None:
    """Receipts, one request a file, named after the file's last part."""
    sent = datetime.fromtimestamp(time.time() - ago, UTC)
    columns = {
        "uri": list(files),
        "request_id": [uri.rpartition("/")[2] for uri in files],
        "sent": pa.array([sent] * len(files), pa.timestamp("ms", "UTC")),
        "function": [f"skyfan-{function}"] * len(files),
        "batch": pa.array([1] * len(files), pa.int32()),
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, receipts.SCHEMA), sink)
    name = f"{sent:%Y%m%dT%H%M%S.%fZ}-00000000"
    place.put(f"runs/{run}/receipts/{name}.parquet", sink.getvalue().to_pybytes())


def done(place: Place, uri: str, run: str = "r") -> None:
    place.put(f"runs/{run}/catalogs/{uri.removeprefix('s3://')}.cat.fits", b"catalog")


def fail(
    uri: str,
    error: str | None,
    *,
    run: str = "r",
    name: str = "SepExtract",
    condition: str = "RetriesExhausted",
) -> str:
    """What Lambda leaves in the failures bucket."""
    now = datetime.now(UTC)
    record = {
        "version": "1.0",
        "timestamp": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "requestContext": {
            "requestId": uri.rpartition("/")[2],
            "functionArn": f"arn:aws:lambda:us-east-1:123456789012:function:skyfan-{name}:$LATEST",
            "condition": condition,
            "approximateInvokeCount": 3,
        },
        "requestPayload": {"input": uri, "run": run},
        "responsePayload": {"errorType": error, "errorMessage": "told"} if error else None,
    }
    key = f"aws/lambda/async/skyfan-{name}/{now:%Y/%m/%d}/{now:%Y-%m-%dT%H.%M.%S}-{hash(uri):x}"
    Place.at("s3://failures").put(key, json.dumps(record).encode())
    return key


def reserved(name: str) -> int | None:
    told = boto3.client("lambda").get_function_concurrency(FunctionName=f"skyfan-{name}")
    found: int | None = told.get("ReservedConcurrentExecutions")
    return found


def test_status_of_a_bucket_without_its_stack(aws: Place, skyfan: Skyfan) -> None:
    begin(aws)
    send(aws, *FILES[:4])
    done(aws, FILES[0])
    key = fail(FILES[1], "NotFitsError")
    fail(FILES[2], "StorageError", run="another")
    found = skyfan("status", "r", "--output", "s3://results", "--json")
    assert found.exit_code == 1
    document = json.loads(found.stdout)
    assert {name: count for name, count in document["counts"].items() if count} == {
        "planned": 6, "done": 1, "failed": 1, "sent": 2, "unsent": 2
    }  # fmt: skip
    (group,) = document["failures"]
    assert group["example"] == {"input": FILES[1], "message": "told", "record": f"s3://failures/{key}"}
    assert json.loads(skyfan("status", "r", "--json").stdout)["counts"] == document["counts"]


def test_more_files_than_a_page_of_a_listing(
    aws: Place, skyfan: Skyfan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "7")
    files = [f"s3://stpubdata/{number}.fits" for number in range(40)]
    begin(aws, files=files)
    send(aws, *files)
    for uri in files[:20]:
        done(aws, uri)
    for uri in files[20:30]:
        fail(uri, "StorageError")
    found = state.read(aws, "r")
    assert (found.counts["done"], found.counts["failed"], found.counts["sent"]) == (20, 10, 10)
    (glance,) = json.loads(skyfan("runs", "--json").stdout)
    assert (glance["files"], glance["done"], glance["done_is_all"]) == (40, 20, True)


def test_what_is_not_there_is_2(aws: Place, skyfan: Skyfan) -> None:
    begin(aws)
    told = skyfan("status", "nope")
    assert (told.exit_code, told.stderr) == (
        2,
        "skyfan: there is no run 'nope' in s3://results; there are: r\n",
    )
    assert skyfan("status", "r", "--output", "s3://nowhere").exit_code == 2
    told = skyfan("retry", "r", "--output", "s3://failures")
    assert told.exit_code == 2
    told = skyfan("status", "r", "--stack", "none")
    assert told.exit_code == 2
    assert "none" in told.stderr


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Our stand-in for Lambda's Invoke; gives what was sent to it."""
    taken: list[tuple[str, dict[str, Any]]] = []
    loop = asyncio.new_event_loop()
    listener = Endpoint(take=lambda function, _, body: taken.append((function, json.loads(body))))
    served = loop.run_until_complete(listener.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", f"http://127.0.0.1:{served.sockets[0].getsockname()[1]}")
    yield taken
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    served.close()
    loop.run_until_complete(served.wait_closed())
    loop.close()


def test_retry_sends_the_right_files_to_the_right_functions(
    aws: Place, skyfan: Skyfan, endpoint: list[tuple[str, dict[str, Any]]]
) -> None:
    begin(aws)
    send(aws, *FILES)
    done(aws, FILES[0])
    fail(FILES[1], "NotFitsError")
    fail(FILES[2], "Runtime.OutOfMemory")
    fail(FILES[3], "StorageError")
    fail(FILES[4], None, condition="ZeroReservedConcurrency")
    told = skyfan("retry", "r")
    assert told.exit_code == 0, told.stderr
    assert "3 files sent again, 1 of them with the most memory" in told.stdout
    shared = {"run": "r", "config": {"detect_thresh": 3}}
    assert sorted(endpoint, key=str) == sorted(
        [
            ("skyfan-SepExtractLarge", {"input": FILES[2], **shared}),
            ("skyfan-SepExtract", {"input": FILES[3], **shared}),
            ("skyfan-SepExtract", {"input": FILES[4], **shared}),
        ],
        key=str,
    )
    counts = state.read(aws, "r").counts
    assert (counts["done"], counts["failed"], counts["sent"], counts["cancelled"]) == (1, 1, 4, 0)
    told = skyfan("retry", "r")
    assert "Nothing of run r is to be sent again." in told.stdout
    assert len(endpoint) == 3


class Queue:
    """What moto lacks: events wait, and become failure records when their function's concurrency is 0."""

    def __init__(self, place: Place, files: list[str], run: str = "r") -> None:
        self.place, self.files, self.run = place, files, run
        self.seen: list[int | None] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> "Queue":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.wait(0.05):
            if reserved("SepExtract") == 0:
                for uri in self.files:
                    fail(uri, None, run=self.run, condition="ZeroReservedConcurrency")
                self.files = []


@pytest.mark.parametrize("before", [None, 7])
def test_cancel_stops_what_is_queued_and_restores_what_was_reserved(
    aws: Place, skyfan: Skyfan, before: int | None
) -> None:
    if before is not None:
        boto3.client("lambda").put_function_concurrency(
            FunctionName="skyfan-SepExtract", ReservedConcurrentExecutions=before
        )
    begin(aws)
    send(aws, *FILES[:5])
    send(aws, FILES[5], ago=30, function="SepExtractLarge")
    done(aws, FILES[0])
    fail(FILES[1], "StorageError")
    with Queue(aws, FILES[2:]):
        told = skyfan("cancel", "r", "--json")
    assert told.exit_code == 0, told.stderr
    document = json.loads(told.stdout)
    assert (document["stopped"], document["running"]) == (4, 0)
    assert document["reserved"] == {"skyfan-SepExtract": before, "skyfan-SepExtractLarge": None}
    assert (reserved("SepExtract"), reserved("SepExtractLarge")) == (before, None)
    counts = json.loads(skyfan("status", "r", "--json").stdout)["counts"]
    assert (counts["cancelled"], counts["failed"], counts["done"]) == (4, 1, 1)
    again = skyfan("cancel", "r")
    assert (again.exit_code, again.stdout) == (
        0, "Nothing of run r is on its way: there is nothing to stop.\n"
    )  # fmt: skip


def test_what_runs_while_it_is_cancelled_is_told(aws: Place, skyfan: Skyfan) -> None:
    begin(aws)
    send(aws, *FILES)
    with Queue(aws, FILES[1:]):
        told = skyfan("cancel", "r", "--patience", "1")
    assert told.exit_code == 1
    assert "5 files stopped before they ran" in told.stdout
    assert "1 are still on their way" in told.stdout
    assert reserved("SepExtract") is None


def test_cancel_is_refused_while_another_run_is_on_its_way(aws: Place, skyfan: Skyfan) -> None:
    begin(aws)
    send(aws, *FILES)
    begin(aws, "other", FILES[:1])
    send(aws, FILES[0], run="other")
    told = skyfan("cancel", "r")
    assert told.exit_code == 2
    assert "run 'other' is on its way through the same functions" in told.stderr
    assert reserved("SepExtract") is None
    assert skyfan("cancel", "r", "--restore").exit_code == 2
    done(aws, FILES[0], "other")
    with Queue(aws, FILES):
        assert skyfan("cancel", "r").exit_code == 0
    boto3.client("lambda").put_function_concurrency(
        FunctionName="skyfan-SepExtract", ReservedConcurrentExecutions=0
    )
    begin(aws, "third", FILES[:1])
    send(aws, FILES[0], run="third")
    told = skyfan("cancel", "third")
    assert told.exit_code == 2
    assert "is stopped already" in told.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_a_cancel_that_is_broken_off_can_be_undone(
    aws: Place, skyfan: Skyfan, how: signal.Signals, tmp_path: Path
) -> None:
    boto3.client("lambda").put_function_concurrency(
        FunctionName="skyfan-SepExtract", ReservedConcurrentExecutions=9
    )
    begin(aws)
    send(aws, *FILES)
    code = "from skyfan.cli import main; main(prog_name='skyfan')"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", code, "cancel", "r"], env=environment, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while reserved("SepExtract") != 0:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(how)
    _, stderr = process.communicate(timeout=60)
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert re.search(r"skyfan cancel r --stack skyfan --restore", stderr)
    assert reserved("SepExtract") == 0
    assert "`skyfan cancel r --restore`" in skyfan("status", "r").stdout
    begin(aws, "other", FILES[:1])
    send(aws, FILES[0], run="other")
    told = skyfan("cancel", "other")
    assert (told.exit_code, "a cancel of run 'r' is under way" in told.stderr) == (2, True)
    told = skyfan("cancel", "r", "--restore")
    assert (told.exit_code, told.stdout) == (0, "Reserved concurrency is as before: skyfan-SepExtract: 9.\n")
    assert reserved("SepExtract") == 9
    assert skyfan("cancel", "r", "--restore").exit_code == 2


def test_a_stack_of_another_place_is_refused(aws: Place, skyfan: Skyfan) -> None:
    boto3.client("s3").create_bucket(Bucket="mine")
    begin(Place.at("s3://mine"))
    told = skyfan("retry", "r", "--output", "s3://mine", "--dry-run")
    assert told.exit_code == 2
    assert "has its results in s3://results, not in s3://mine" in told.stderr
    assert stack.find("skyfan").results.name == "s3://results"
