"""status, runs, retry and cancel over HTTP: moto is S3, Lambda and CloudFormation, our endpoint is Invoke."""

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
from tempfile import TemporaryDirectory
from typing import Any

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from astropy.io import fits
from click.testing import CliRunner, Result
from standins import aws as stand_in_aws
from standins import catalogs
from standins.lambda_endpoint import Endpoint

from sep_extract.handler import handler as extract
from skyfan import api
from skyfan.aws import cancel, lease, stack
from skyfan.aws.journal import Journal
from skyfan.aws.lease import Lease
from skyfan.cli import main
from skyfan.engine import Call
from skyfan.runs import cancels, receipts, state
from skyfan.runs import run as runs
from skyfan.runs.cancels import Cancel
from skyfan.storage.place import Place
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
    """A stack with two functions and two buckets; returns the place of its results."""
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
        result = CliRunner().invoke(main, words)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return call


def begin(place: Place, run: str = "r", files: list[str] = FILES) -> None:
    runs.begin(place, Task(run, config={"detect_thresh": 3}), RESULTS, "s3://failures")
    with TemporaryDirectory() as folder:
        runs.add_plan(place, run, runs.of_uris(files, Path(folder) / "plan.parquet"))


def send(place: Place, *files: str, run: str = "r", ago: float = 60.0, function: str = "SepExtract") -> None:
    """Writes receipts, one request per file; its ID is the last part of the URI."""
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
    """Writes a failure record as Lambda does."""
    now = datetime.now(UTC)
    cure = {"cure": "never"} if error == "NotFitsError" else {}
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
        "responsePayload": {"errorType": error, "errorMessage": "it broke", **cure} if error else None,
    }
    key = f"aws/lambda/async/skyfan-{name}/{now:%Y/%m/%d}/{now:%Y-%m-%dT%H.%M.%S}-{hash(uri):x}"
    Place.at("s3://failures").put(key, json.dumps(record).encode())
    return key


def reserved(name: str) -> int | None:
    response = boto3.client("lambda").get_function_concurrency(FunctionName=f"skyfan-{name}")
    number: int | None = response.get("ReservedConcurrentExecutions")
    return number


@pytest.mark.slow
def test_a_limit_on_the_cost_of_a_retry_counts_what_the_run_has_sent(aws: Place, skyfan: Skyfan) -> None:
    begin(aws)
    send(aws, *FILES, ago=1e6)  # long ago: they are missing
    # A file of unknown size at 128 MB = 0.072357 CPUs: (42 s + 0.42 s of cold start) / 0.072357 and 2.98 s of
    # reading, all but the start x 1.06, are 624 s, 78 GB-s, 0.0013 USD; with S3, logs and requests 0.0013123.
    # Six were sent; the run's listings are 0.0001 USD. A seventh makes 0.0093, an eighth 0.0106.
    for limit, number in (("0.0090", 0), ("0.0098", 1), ("0.0140", 4), ("1", 6)):
        shown = skyfan("retry", "r", "--output", "s3://results", "--max-cost", limit, "--dry-run")
        assert len(shown.stdout.splitlines()) == number, limit
    refused = skyfan("retry", "r", "--output", "s3://results", "--max-cost", "-1", "--dry-run")
    assert refused.exit_code == 2
    assert "max-cost" in refused.stderr


def test_of_two_writers_one_is_first(aws: Place) -> None:
    first = aws.put_if("runs/r/lease.json", b"1", None)
    assert first is not None
    assert aws.put_if("runs/r/lease.json", b"2", None) is None
    assert aws.get_tagged("runs/r/lease.json") == (b"1", first)
    second = aws.put_if("runs/r/lease.json", b"2", first)
    assert second not in (None, first)
    assert aws.put_if("runs/r/lease.json", b"3", first) is None
    assert aws.put_if("runs/r/missing.json", b"1", first) is None
    assert aws.get("runs/r/lease.json") == b"2"


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
    assert group["example"] == {"input": FILES[1], "message": "it broke", "record": f"s3://failures/{key}"}
    assert json.loads(skyfan("status", "r", "--json").stdout)["counts"] == document["counts"]


@pytest.mark.slow
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


def test_an_unknown_run_bucket_or_stack_is_2(aws: Place, skyfan: Skyfan) -> None:
    begin(aws)
    result = skyfan("status", "nope")
    assert result.exit_code == 2
    for part in ("'nope'", "s3://results", "existing runs: r"):
        assert part in result.stderr
    assert skyfan("status", "r", "--output", "s3://nowhere").exit_code == 2
    assert skyfan("retry", "r", "--output", "s3://failures").exit_code == 2
    result = skyfan("status", "r", "--stack", "none")
    assert result.exit_code == 2
    assert "none" in result.stderr


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Our stand-in for Lambda's Invoke; returns the list of events that it accepted."""
    accepted: list[tuple[str, dict[str, Any]]] = []
    loop = asyncio.new_event_loop()
    listener = Endpoint(take=lambda function, _, body: accepted.append((function, json.loads(body))))
    served = loop.run_until_complete(listener.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", f"http://127.0.0.1:{served.sockets[0].getsockname()[1]}")
    yield accepted
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    served.close()
    loop.run_until_complete(served.wait_closed())
    loop.close()


@pytest.mark.slow
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
    result = skyfan("retry", "r", "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert (document["selected"], document["skipped"]) == ({"large": 1, "standard": 2}, {"NotFitsError": 1})
    assert (document["files"], document["sent"], document["remaining"], document["stopped"]) == (
        3,
        3,
        0,
        None,
    )
    assert (document["invocations"], document["done"], document["state"]) == (3, None, None)
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
    assert json.loads(skyfan("retry", "r", "--json").stdout)["files"] == 0
    assert len(endpoint) == 3


@pytest.mark.slow
def test_stale_results_in_a_bucket_stay_until_the_function_has_replaced_them(
    aws: Place,
    skyfan: Skyfan,
    endpoint: list[tuple[str, dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="stpubdata", ACL="public-read")
    monkeypatch.setenv("SKYFAN_OUTPUT", RESULTS)
    monkeypatch.setenv("SKYFAN_FAILURES", "s3://results/runs/{run}/failures/{key}.json")
    files = [f"s3://stpubdata/hst/{number:02}.fits" for number in range(14)]
    for number, uri in enumerate(files):
        s3.put_object(Bucket="stpubdata", Key=uri.removeprefix("s3://stpubdata/"), Body=image(number))
    begin(aws, files=files)
    send(aws, *files)
    for uri in files:
        extract({"input": uri, "run": "r", "config": {"detect_thresh": 3}}, None)
    where = ("--output", "s3://results")
    fresh = skyfan("status", "r", *where, "--stale", "--json")
    document = json.loads(fresh.stdout)
    assert (fresh.exit_code, document["counts"]["fresh"], document["files"]) == (0, 14, [])
    assert document["requests"] == {"LIST": 1, "GET": 14}, "one page lists all sources"

    for uri, body in ((files[3], image(30)), (files[4], b"no longer FITS")):
        s3.put_object(Bucket="stpubdata", Key=uri.removeprefix("s3://stpubdata/"), Body=body)
    time.sleep(1.1)  # times of S3 are whole seconds
    found = skyfan("status", "r", *where, "--stale")
    assert (found.exit_code, found.stdout.count("stale")) == (1, 2)
    sent = skyfan("retry", "r", "--stale", "--json")
    assert sent.exit_code == 0, sent.stderr
    assert sorted(event["input"] for _, event in endpoint) == [files[3], files[4]]
    assert json.loads(skyfan("status", "r", *where, "--json").stdout)["counts"]["done"] == 14, (
        "old ones count"
    )
    for _, event in endpoint:
        extract(event, None)
    after = json.loads(skyfan("status", "r", *where, "--stale", "--json").stdout)
    ((left, state_of, message),) = [(f["input"], f["state"], f["message"]) for f in after["files"]]
    assert (left, state_of) == (files[4], "stale")
    assert "NotFitsError" in message


def image(seed: int) -> bytes:
    body = io.BytesIO()
    fits.PrimaryHDU(np.random.default_rng(seed).normal(5, 1, (32, 32)).astype("f4")).writeto(body)
    return body.getvalue()


@pytest.mark.slow
def test_retry_damaged_of_a_bucket_makes_exactly_the_damaged_again(
    aws: Place, skyfan: Skyfan, endpoint: list[tuple[str, dict[str, Any]]]
) -> None:
    runs.begin(aws, Task("r"), RESULTS, "s3://failures")
    with TemporaryDirectory() as folder:
        runs.add_plan(aws, "r", runs.of_uris(FILES, Path(folder) / "plan.parquet"))
    send(aws, *FILES)
    keys = {uri: f"runs/r/catalogs/{uri.removeprefix('s3://')}.cat.fits" for uri in FILES}
    whole = {uri: catalogs.catalog(uri, [10.0, 11.0], [20.0, 21.0]) for uri in FILES}
    for uri in FILES:
        aws.put(keys[uri], whole[uri])
    flipped = bytearray(whole[FILES[1]])
    flipped[-2880] ^= 1
    aws.put(keys[FILES[0]], whole[FILES[0]][:-2880])
    aws.put(keys[FILES[1]], bytes(flipped))
    aws.put(keys[FILES[2]], whole[FILES[3]])
    other = catalogs.catalog(FILES[4], [10.0, 11.0], [20.0, 21.0], apertures=[3.0])
    aws.put(keys[FILES[4]], other)
    bad = {FILES[0], FILES[1], FILES[2], FILES[4]}

    dry = skyfan("retry", "r", "--damaged", "--dry-run")
    assert (dry.exit_code, len(dry.stdout.splitlines()), endpoint) == (0, len(bad), [])
    retried = skyfan("retry", "r", "--damaged", "--json")
    assert (retried.exit_code, json.loads(retried.stdout)["sent"]) == (0, len(bad)), retried.stderr
    assert {event["input"] for _, event in endpoint} == bad
    assert retried.stderr.count("skyfan: damaged: the result of ") == len(bad)
    for uri in bad:  # what the functions do
        aws.put(keys[uri], whole[uri])
    assert api.find_damaged("r", "s3://results") == {}
    assert json.loads(skyfan("retry", "r", "--damaged", "--json").stdout)["files"] == 0
    assert len(endpoint) == len(bad)


class Queue:
    """What moto lacks: a function that records queued files as cancelled while a cancel is open."""

    def __init__(self, place: Place, files: list[str], run: str = "r") -> None:
        self.place, self.files, self.run = place, files, run
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
            if self.files and cancels.unfinished(self.place, self.run):
                for uri in self.files:
                    fail(uri, "RunCancelledError", run=self.run, condition="Cancelled")
                self.files = []


@pytest.mark.slow
def test_cancel_stops_the_queued_files_of_one_run(
    aws: Place, skyfan: Skyfan, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(aws)
    send(aws, *FILES[:5])
    send(aws, FILES[5], ago=30, function="SepExtractLarge")
    done(aws, FILES[0])
    fail(FILES[1], "StorageError")
    begin(aws, "other", FILES[:1])
    send(aws, FILES[0], run="other")
    with Queue(aws, FILES[2:]):
        result = skyfan("cancel", "r", "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert (document["stopped"], document["running"]) == (4, 0)
    counts = json.loads(skyfan("status", "r", "--json").stdout)["counts"]
    assert (counts["cancelled"], counts["failed"], counts["done"]) == (4, 1, 1)
    assert json.loads(skyfan("status", "other", "--json").stdout)["counts"]["sent"] == 1
    assert cancels.unfinished(aws, "r") is None
    assert lease.holder(aws, "r") is None
    second = skyfan("cancel", "r", "--json")
    assert second.exit_code == 0
    document = json.loads(second.stdout)
    assert (document["stopped"], document["running"]) == (4, 0)
    assert cancels.unfinished(aws, "r") is None
    calls = api.preview_retry("r", api.AwsOptions()).calls
    assert {uri for call in calls for uri in call.uris} == set(FILES[1:])


@pytest.mark.slow
def test_while_files_are_in_flight_the_cancel_stays_open(aws: Place, skyfan: Skyfan) -> None:
    begin(aws)
    send(aws, *FILES)
    with Queue(aws, FILES[1:]):
        result = skyfan("cancel", "r", "--patience", "4", "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert (document["stopped"], document["running"]) == (5, 1)
    retry = skyfan("retry", "r")
    assert retry.exit_code == 2
    assert "`skyfan cancel r --restore`" in retry.stderr
    assert "`skyfan cancel r --restore`" in skyfan("status", "r").stdout
    done(aws, FILES[0])
    result = skyfan("cancel", "r", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["after"]["cancelled"] == 5
    assert cancels.unfinished(aws, "r") is None


@pytest.mark.slow
def test_cancel_waits_for_the_sender(aws: Place, skyfan: Skyfan, tmp_path: Path) -> None:
    """Before the first receipts are in the bucket, only the lease says that the run is being sent."""
    begin(aws)
    held = Lease(aws, "r", tmp_path).__enter__()
    stopped: list[str] = []

    def stop_when_told() -> None:
        deadline = time.monotonic() + 30
        while not held.stopped and time.monotonic() < deadline:
            time.sleep(0.05)
        stopped.append(held.stopped)
        send(aws, FILES[0])
        held.__exit__(None, None, None)

    sender = threading.Thread(target=stop_when_told)
    sender.start()
    with Queue(aws, FILES[:1]), pytest.warns(UserWarning, match="'r'"):
        result = skyfan("cancel", "r", "--json")
    sender.join()
    assert "'r'" in stopped[0]
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["after"]["cancelled"] == 1


def test_cancel_counts_what_a_killed_sender_has_left_on_this_machine(aws: Place, skyfan: Skyfan) -> None:
    begin(aws)
    with Journal(aws, "r") as journal:
        journal.add(
            [(Call("skyfan-SepExtract", (FILES[0],), b"{}"), FILES[0].rpartition("/")[2], time.time())]
        )
    with Queue(aws, FILES[:1]):
        result = skyfan("cancel", "r", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["stopped"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_cancel_can_be_withdrawn(aws: Place, skyfan: Skyfan, how: signal.Signals) -> None:
    begin(aws)
    send(aws, *FILES)
    code = "from skyfan.cli import main; main(prog_name='skyfan')"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", code, "cancel", "r"], env=environment, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not cancels.unfinished(aws, "r") or not lease.holder(aws, "r"):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    # The first line of progress: what is imported late swallows a signal that comes meanwhile.
    assert process.stderr
    process.stderr.readline()
    process.send_signal(how)
    _, stderr = process.communicate(timeout=60)
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert re.search(r"skyfan cancel r --stack skyfan --restore", stderr)
    assert "`skyfan cancel r --restore`" in skyfan("status", "r").stdout
    result = skyfan("cancel", "r", "--restore", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["reserved"] == {}
    assert cancels.unfinished(aws, "r") is None
    assert skyfan("cancel", "r", "--restore").exit_code == 2


@pytest.mark.slow
def test_a_cancel_of_an_earlier_version_can_be_undone(aws: Place, skyfan: Skyfan) -> None:
    """It had set the reserved concurrency of the functions to 0."""
    begin(aws)
    send(aws, *FILES)
    for name in NAMES:
        boto3.client("lambda").put_function_concurrency(
            FunctionName=f"skyfan-{name}", ReservedConcurrentExecutions=0
        )
    before = {"skyfan-SepExtract": 9, "skyfan-SepExtractLarge": None}
    cancels.begin(aws, "r", Cancel(time.time(), before))
    result = skyfan("cancel", "r")
    assert result.exit_code == 2
    assert "`skyfan cancel r --restore`" in result.stderr
    result = skyfan("cancel", "r", "--restore", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["reserved"] == before
    assert (reserved("SepExtract"), reserved("SepExtractLarge")) == (9, None)
    assert skyfan("cancel", "r", "--restore").exit_code == 2


def test_a_stack_with_another_bucket_is_refused(aws: Place, skyfan: Skyfan) -> None:
    boto3.client("s3").create_bucket(Bucket="mine")
    begin(Place.at("s3://mine"))
    result = skyfan("retry", "r", "--output", "s3://mine", "--dry-run")
    assert result.exit_code == 2
    assert "s3://results" in result.stderr
    assert "s3://mine" in result.stderr
    assert stack.find("skyfan").results.name == "s3://results"
