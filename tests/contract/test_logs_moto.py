"""The bill of a run from CloudWatch's logs, with the real boto3; moto plays AWS."""

import io
import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.awsrequest import AWSResponse
from click.testing import CliRunner
from standins import cloud

from skyfan import api, session
from skyfan.bill import logs
from skyfan.bill.collector import Collector
from skyfan.bill.logs import Event
from skyfan.bill.records import Records
from skyfan.cli import main
from skyfan.errors import UsageError
from skyfan.plans import plan
from skyfan.runs import receipts

RUN = "first-light"
SENT = datetime.now(UTC) - timedelta(minutes=10)
STANDARD, LARGE = (f"{cloud.STACK}-{name}" for name in ("SepExtract", "SepExtractLarge"))


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        with cloud.moto() as (url, _):
            yield url


@pytest.fixture(autouse=True)
def environment(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": aws,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def group() -> Callable[..., str]:
    """Puts messages into a log group, a stream each, a second apart; gives its name."""

    def put(name: str, *streams: list[str]) -> str:
        client = boto3.client("logs")
        if not client.describe_log_groups(logGroupNamePrefix=name)["logGroups"]:
            client.create_log_group(logGroupName=name)
        for messages in streams:
            stream = str(uuid.uuid4())
            client.create_log_stream(logGroupName=name, logStreamName=stream)
            begun = int(SENT.timestamp() * 1000)
            for first in range(0, len(messages), 5000):
                some = [
                    {"timestamp": begun + 10 * number, "message": text}
                    for number, text in enumerate(messages[first : first + 5000], first)
                ]
                client.put_log_events(logGroupName=name, logStreamName=stream, logEvents=some)
        return name

    return put


def platform(request: str, duration: float, memory: int, status: str = "success", init: float = 0) -> str:
    """Lambda's report in JSON, as the stack has it."""
    metrics = {
        "durationMs": duration,
        "billedDurationMs": -(-(duration + init) // 1),
        "memorySizeMB": memory,
        "maxMemoryUsedMB": 90,
    }
    metrics |= {"initDurationMs": init} if init else {}
    record = {"requestId": request, "metrics": metrics, "status": status}
    return json.dumps({"time": SENT.isoformat(), "type": "platform.report", "record": record})


def result(uri: str, run: str = RUN) -> str:
    """SepExtract's own line."""
    return json.dumps({"level": "INFO", "run": run, "input": uri, "sources": 40, "seconds": 1.0})


def of_run(name: str, files: list[str], requests: list[str], functions: list[str]) -> dict[str, bytes]:
    """What a run on Lambda leaves in the bucket, but for its catalogs."""
    about = {"function": "SepExtract", "config": {}, "outputs": [], "access": "anonymous"}
    about["results"] = "runs/{run}/catalogs/{key}.cat.fits"
    sent = pa.table(
        {
            "uri": files,
            "request_id": requests,
            "sent": pa.array([SENT] * len(files), pa.timestamp("ms", "UTC")),
            "function": functions,
            "batch": pa.array([1] * len(files), pa.int32()),
        },
        schema=receipts.SCHEMA,
    )
    chunk = io.BytesIO()
    pq.write_table(sent, chunk)
    return {
        f"runs/{name}/run.json": json.dumps(about).encode(),
        f"runs/{name}/receipts/20261122T000000.000000Z-00000000.parquet": chunk.getvalue(),
    }


FILES = [f"s3://stpubdata/hst/{number}_flt.fits" for number in range(4)]
REQUESTS = [str(uuid.UUID(int=number)) for number in range(4)]
FUNCTIONS = [STANDARD, STANDARD, STANDARD, LARGE]


@pytest.fixture
def standard_log() -> list[str]:
    """Three files: one plain, one after a cold start, one that failed twice before it was done."""
    return [
        platform(REQUESTS[0], 1000, 1769),
        result(FILES[0]),
        platform(REQUESTS[1], 1000, 1769, init=500),
        result(FILES[1]),
        platform(REQUESTS[2], 1000, 1769, "error"),
        platform(REQUESTS[2], 1000, 1769, "timeout"),
        platform(REQUESTS[2], 1000, 1769),
        result(FILES[2]),
    ]


@pytest.fixture
def large_log() -> list[str]:
    return [platform(REQUESTS[3], 2000, 10240), result(FILES[3])]


@pytest.fixture
def of_others() -> list[str]:
    """Another run in the same log group, at the same time."""
    stranger = str(uuid.uuid4())
    return [platform(stranger, 900_000, 10240), result("s3://stpubdata/else.fits", "another"), "REPORT it"]


def collect(pages: Iterable[Iterable[Event]]) -> Records:
    collector = Collector()
    for page in pages:
        collector.add(page)
    return collector.finish()


def stored(tmp_path: Path, run: str, made: dict[str, bytes]) -> None:
    client = boto3.client("s3")
    path = tmp_path / "plan.parquet"
    table = pa.table({"uri": FILES, "size": [16_500_000] * 4, "tier": ["standard"] * 3 + ["large"]})
    plan.write(path, table, {})
    made |= {f"runs/{run}/plans/0123456789abcdef.parquet": path.read_bytes()}
    made |= {f"runs/{run}/doubtful/MASKED/{FILES[0].removeprefix('s3://')}": b""}
    for key, body in made.items():
        client.put_object(Bucket=cloud.RESULTS, Key=key, Body=body)


@pytest.mark.slow
def test_a_run_on_lambda_and_the_same_work_in_a_folder_s_log_give_one_bill(
    tmp_path: Path,
    group: Callable[..., str],
    standard_log: list[str],
    large_log: list[str],
    of_others: list[str],
) -> None:
    stored(tmp_path, RUN, of_run(RUN, FILES, REQUESTS, FUNCTIONS))
    group(f"/aws/lambda/{STANDARD}", standard_log[:3], standard_log[3:], of_others)
    group(f"/aws/lambda/{LARGE}", large_log)
    seen: list[int] = []
    made = api.costs(
        RUN,
        api.AwsOptions(),
        options=api.CostOptions(advise=True),
        progress=lambda stage, done, total: seen.append(done),
    )
    bill = made.bill
    assert seen[-1] == len(standard_log) + len(large_log) + len(of_others)
    assert (bill.invocations, bill.images, bill.sources) == (6, 4, 160)
    assert (bill.retries, bill.cold_starts) == (2, 1)
    assert [(one.kind, one.count) for one in bill.failures] == [("error", 1), ("timeout", 1)]
    assert bill.usage.gb_seconds == pytest.approx((5 * 1.0 + 0.5) * 1769 / 1024 + 2.0 * 10)
    assert bill.usage.gets == 4  # for cancels; the archive pays for those of images
    assert bill.usage.puts == 4 + 1, "four catalogs, and the mark of a doubtful one"
    assert made.estimate
    assert made.estimate.files == 4
    history = api.history(RUN, api.AwsOptions())
    assert history
    assert "4 files of the run first-light" in history.origin

    folder = tmp_path / "out" / "runs" / RUN
    (folder / "logs").mkdir(parents=True)
    about = boto3.client("s3").get_object(Bucket=cloud.RESULTS, Key=f"runs/{RUN}/run.json")["Body"].read()
    (folder / "run.json").write_bytes(about)
    (folder / "doubtful").mkdir()
    (folder / "doubtful/MASKED").touch()
    (folder / "logs" / "2026.log").write_text("\n".join(standard_log + large_log) + "\n")
    local = api.costs(RUN, tmp_path / "out").bill
    for name in (
        "invocations",
        "images",
        "sources",
        "retries",
        "cold_starts",
        "failures",
        "percentiles",
        "waste",
    ):
        assert getattr(local, name) == getattr(bill, name), name
    same = ("compute", "requests", "S3 PUT", "ephemeral storage")
    for mine, theirs in zip(local.charges.lines, bill.charges.lines, strict=True):
        assert mine.name not in same or mine == theirs


@pytest.mark.slow
def test_of_a_file_with_several_runs_one_is_billed_and_what_it_lacks_is_counted(
    tmp_path: Path, standard_log: list[str], of_others: list[str]
) -> None:
    stored(tmp_path, "exported", of_run("exported", FILES, REQUESTS, FUNCTIONS))
    path = tmp_path / "exported.log"
    path.write_text("\n".join([*standard_log[:4], *of_others[:2]]))
    made = api.costs("exported", api.AwsOptions(), log=[path])
    assert (made.bill.invocations, made.requests, made.unreported) == (2, 4, 2)
    assert api.costs(log=[path]).bill.invocations == 3
    done = CliRunner().invoke(main, ["costs", "exported", "--log", str(path), "--json"])
    assert (done.exit_code, json.loads(done.stdout)["unreported"]) == (1, 2)
    assert (
        "2 of 4 accepted requests"
        in CliRunner().invoke(main, ["costs", "exported", "--log", str(path)]).stdout
    )
    folder = tmp_path / "out" / "runs" / "unsent"
    (folder / "logs").mkdir(parents=True)
    (folder / "run.json").write_bytes(of_run("unsent", FILES, REQUESTS, FUNCTIONS)["runs/unsent/run.json"])
    with pytest.raises(UsageError, match="no receipts"):
        api.costs("unsent", tmp_path / "out", log=[path])
    (folder / "logs" / "1.log").write_text(standard_log[0])
    assert api.costs("unsent", tmp_path / "out", log=[path]).bill.invocations == 1


def test_pages_of_cloudwatch_and_a_range_of_time(group: Callable[..., str]) -> None:
    total = 10_050
    reports = [platform(f"id-{number}", 10, 128) for number in range(total)]
    name = group("/aws/lambda/many", reports)
    client = session.client("logs")
    begun = SENT.timestamp()
    pages = list(logs.cloudwatch(client, [name], begun - 1))
    assert len(pages) > 1
    assert len(collect(pages)) == total
    some = collect(logs.cloudwatch(client, [name], begun + 0.1, begun + 0.2 - 0.001))
    assert len(some) == 10


def test_a_throttled_call_is_made_again(group: Callable[..., str]) -> None:
    name = group("/aws/lambda/throttled", [platform("1", 10, 128)])
    client, calls = session.client("logs"), []

    def throttle(request: Any, **_: Any) -> AWSResponse | None:
        calls.append(request.url)
        if len(calls) > 1:
            return None
        body = io.BytesIO(json.dumps({"__type": "ThrottlingException", "message": "slow down"}).encode())
        body.stream = lambda **_: iter([body.read()])  # type: ignore[attr-defined]
        return AWSResponse(request.url, 400, {}, body)

    client.meta.events.register("before-send.cloudwatch-logs.FilterLogEvents", throttle)
    assert len(collect(logs.cloudwatch(client, [name], SENT.timestamp() - 1))) == 1
    assert len(calls) == 2


@pytest.mark.slow
def test_a_missing_run_or_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        api.costs("nowhere", api.AwsOptions())
    stored(tmp_path, "lost", of_run("lost", FILES[:1], REQUESTS[:1], ["skyfan-FitsSummary"]))
    with pytest.raises(UsageError, match="FitsSummary"):
        api.costs("lost", api.AwsOptions())
    unsent = of_run("unsent", FILES, REQUESTS, FUNCTIONS)
    stored(tmp_path, "unsent", {key: body for key, body in unsent.items() if key.endswith("run.json")})
    with pytest.raises(UsageError, match="unsent"):
        api.costs("unsent", api.AwsOptions())


class Paged:
    """boto3's client for logs, as far as it is used, with pages as CloudWatch (and not moto) has them."""

    def __init__(self, pages: list[list[str]]) -> None:
        self.pages, self.requests = pages, list[dict[str, object]]()

    def filter_log_events(self, **request: object) -> dict[str, object]:
        self.requests.append(dict(request))
        number = int(str(request.get("nextToken", 0)))
        more = {"nextToken": str(number + 1)} if number + 1 < len(self.pages) else {}
        return {"events": [{"message": text, "timestamp": 5000} for text in self.pages[number]], **more}


def test_an_empty_page_with_a_token_is_not_the_end() -> None:
    texts = [platform(str(number), 10, 128) for number in range(3)]
    client = Paged([[], texts[:1], [], [], texts[1:], []])
    seen: list[int] = []
    pages = logs.cloudwatch(client, ["g"], 1.5, 9.25, lambda stage, done, total: seen.append(done))
    assert len(collect(pages)) == 3
    assert seen == [0, 1, 1, 1, 3, 3]
    assert client.requests[0] == {"logGroupName": "g", "startTime": 1500, "endTime": 9250}
    assert client.requests[-1]["nextToken"] == "5"


def test_several_groups_one_after_the_other() -> None:
    def events(group: str) -> Iterator[list[Event]]:
        return logs.cloudwatch(Paged([["a"], ["b"]]), [group], 0)

    assert [*events("g"), *events("h")] == [[("a", 5.0)], [("b", 5.0)]] * 2
    assert list(logs.cloudwatch(Paged([["a"], ["b"]]), ["g", "h"], 0)) == [[("a", 5.0)], [("b", 5.0)]] * 2
