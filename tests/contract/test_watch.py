"""A watch on AWS: topic -> queue -> Watcher -> Invoke -> catalog. moto is S3, SNS, SQS and CloudFormation.

Invoke is our endpoint, and what it accepts is processed by SepExtract's own handler in this process. Messages
have the shapes of AWS's documentation: "Event message structure" of S3, "Parsing message formats" of SNS.
"""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from click.testing import CliRunner, Result
from standins import aws as stand_in_aws
from standins.lambda_endpoint import Endpoint

from sep_extract.handler import handler as extract
from skyfan import template
from skyfan.cli import main
from skyfan.storage.place import Place
from watcher import handler as watcher
from watcher import invoke

BUCKET, FOLDER = "stpubdata", "hst/public/ib46/ib4606c6q"
KEY = f"{FOLDER}/ib4606c6q_flc.fits"
NAMES = ("SepExtract", "SepExtractLarge")
ADD = ("watch", "add", "new", "--mission", "HST", "--instrument", "WFC3/UVIS", "--product", "FLC")
Skyfan = Callable[..., Result]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with stand_in_aws.moto() as url:
        yield url


class Invocations:
    """What Invoke accepted, and a way to refuse it."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def take(self, function: str, request_id: str, payload: bytes) -> None:
        self.events.append((function, json.loads(payload)))


@pytest.fixture
def invocations() -> Iterator[tuple[Invocations, str]]:
    taken = Invocations()
    loop = asyncio.new_event_loop()
    listening = loop.run_until_complete(Endpoint(taken.take).start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield taken, f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    if invoke._client.cache_info().currsize:
        invoke._client().close()  # its connections stay open
    invoke._client.cache_clear()
    loop.call_soon_threadsafe(listening.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


class Aws:
    """A stack that keeps watches."""

    def __init__(self, invocations: Invocations, queue: str, topic: str) -> None:
        self.invocations, self.queue, self.topic = invocations, queue, topic
        self.results = Place.at("s3://results")

    def put(self, key: str, body: bytes) -> str:
        etag = boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=body, ACL="public-read")["ETag"]
        return str(etag).strip('"')

    def publish(self, message: Any) -> None:
        body = message if isinstance(message, str) else json.dumps(message)
        boto3.client("sns").publish(TopicArn=self.topic, Message=body)

    def receive(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        client = boto3.client("sqs")
        while some := client.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages"):
            for one in some:
                found.append({"messageId": one["MessageId"], "eventSource": "aws:sqs", "body": one["Body"]})
                client.delete_message(QueueUrl=self.queue, ReceiptHandle=one["ReceiptHandle"])
        return found

    def deliver(self) -> list[str]:
        """Hands what waits in the queue to the Watcher; returns the messages that come again."""
        return self.hand(self.receive())

    def hand(self, records: list[dict[str, Any]]) -> list[str]:
        watcher._known.clear()  # as after a minute
        answer = watcher.handler({"Records": records}, None)
        return [item["itemIdentifier"] for item in answer["batchItemFailures"]]


@pytest.fixture
def aws(
    server: str, invocations: tuple[Invocations, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Aws:
    requests.post(f"{server}/moto-api/reset", timeout=10)
    for name, value in (
        ("AWS_ENDPOINT_URL", server),
        ("AWS_ENDPOINT_URL_LAMBDA", invocations[1]),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("XDG_STATE_HOME", str(tmp_path / "state")),
        ("SKYFAN_WATCHES", "s3://results"),
        ("SKYFAN_INPUTS", BUCKET),
    ):
        monkeypatch.setenv(name, value)
    invoke._client.cache_clear()
    for bucket in ("results", "failures", BUCKET):
        boto3.client("s3").create_bucket(Bucket=bucket)
    queue = boto3.client("sqs").create_queue(QueueName="announcements")["QueueUrl"]
    topic = boto3.client("sns").create_topic(Name="stpubdata-hst")["TopicArn"]
    subscribed = subscription()
    boto3.client("sns").subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint="arn:aws:sqs:us-east-1:123456789012:announcements",
        Attributes={
            "RawMessageDelivery": "true",
            "FilterPolicyScope": subscribed["FilterPolicyScope"],
            "FilterPolicy": json.dumps(subscribed["FilterPolicy"]),
        },
    )
    deploy(StandingQueries="announcements")
    return Aws(invocations[0], queue, topic)


def subscription() -> dict[str, Any]:
    """The subscription in template.yaml."""
    document = template.load(Path(template.OWN, "template.yaml").read_text(encoding="utf-8"))
    found: dict[str, Any] = document["Resources"]["HubbleAnnouncements"]["Properties"]
    return found


def deploy(**more: str) -> None:
    outputs = {"ResultsBucket": "results", "FailuresBucket": "failures", "DoubtfulMarks": "doubtful", **more}
    for name in NAMES:
        arn = f"arn:aws:lambda:us-east-1:123456789012:function:skyfan-{name}"
        outputs |= {f"{name}Name": f"skyfan-{name}", f"{name}Arn": arn}
    document = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {key: {"Value": value} for key, value in outputs.items()},
    }
    client = boto3.client("cloudformation")
    name = "skyfan" if more else "old"
    client.create_stack(StackName=name, TemplateBody=json.dumps(document))


@pytest.fixture
def skyfan() -> Skyfan:
    def call(*words: str) -> Result:
        result = CliRunner().invoke(main, words)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return call


def record(key: str, name: str = "ObjectCreated:Put", bucket: str = BUCKET) -> dict[str, Any]:
    """One event of S3's, version 2.1, whose keys are encoded as in URLs."""
    from urllib.parse import quote_plus

    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2026-11-27T00:00:00.000Z",
        "eventName": name,
        "userIdentity": {"principalId": "AIDAJDPLRKLG7UEXAMPLE"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810", "x-amz-id-2": "FMyUVURIY8"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "testConfigRule",
            "bucket": {
                "name": bucket,
                "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
                "arn": f"arn:aws:s3:::{bucket}",
            },
            "object": {
                "key": quote_plus(key, safe="/"),
                "size": 1024,
                "eTag": "d41d8cd98f00b204e9800998ecf8427e",
                "sequencer": "0055AED6DCD90281E5",
            },
        },
    }


def message(*keys: str) -> dict[str, Any]:
    return {"Records": [record(key) for key in keys]}


def test_a_new_file_becomes_a_catalog_once(
    aws: Aws, skyfan: Skyfan, demo_data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # where the data set and the page are written
    added = skyfan(*ADD, "--budget", "5USD/month", "--config", "detect_thresh=3")
    assert added.exit_code == 0, added.output
    aws.put(KEY, (demo_data / "ib4606c6q_flc.fits").read_bytes())
    for _ in range(3):  # the archive says it more than once
        aws.publish(message(KEY))
    aws.publish(message(KEY.replace(".fits", ".jpg")))  # SNS drops it
    aws.publish(message(KEY.replace("_flc", "_raw")))
    assert len(received := aws.receive()) == 4
    assert not aws.hand(received)
    assert not aws.hand(received), "a replay"
    assert aws.invocations.events == [
        (
            "skyfan-SepExtract",
            {"input": f"s3://{BUCKET}/{KEY}", "run": "new", "config": {"detect_thresh": 3}},
        )
    ]
    monkeypatch.setenv("SKYFAN_OUTPUT", "s3://results/runs/{run}/catalogs/{key}.cat.fits")
    monkeypatch.setenv("SKYFAN_FAILURES", "s3://results/runs/{run}/failures/{key}.json")
    assert skyfan("status", "new", "--output", "s3://results", "--json").exit_code == 0
    extract(aws.invocations.events[0][1], None)
    shown = json.loads(skyfan("status", "new", "--output", "s3://results", "--json").stdout)
    assert (shown["counts"]["planned"], shown["counts"]["done"]) == (1, 1)
    assert shown["watch"]["state"] == "watching"
    assert 0 < shown["watch"]["spent_usd"] < 0.01
    (listed,) = json.loads(skyfan("watch", "list", "--output", "s3://results", "--json").stdout)["watches"]
    assert listed["counts"] == {"duplicate": 5, "accepted": 1}
    assert listed["skipped"] == {"another product type": 2}
    log = json.loads(skyfan("watch", "log", "new", "--output", "s3://results", "--json").stdout)
    assert [one["decision"] for one in log["decisions"]] == ["accepted"]
    with pytest.warns(UserWarning, match="skyfan watch pause new"):
        assert skyfan("cancel", "new", "--output", "s3://results").exit_code == 0
    for words in (("collect", "new"), ("report", "new"), ("runs",), ("costs", "new")):
        done = skyfan(*words, "--output", "s3://results")
        assert done.exit_code in (0, 2 if words[0] == "costs" else 0), done.output


@pytest.mark.slow
def test_each_shape_of_a_message_is_understood_or_kept(aws: Aws, skyfan: Skyfan, demo_data: Path) -> None:
    skyfan(*ADD, "--budget", "5USD/month")
    keys = [f"{FOLDER}/ib4606c{number}q_flc.fits" for number in range(4)]
    odd = f"hst/public/ib46/a b+ü%41/{keys[0].rpartition('/')[2]}"
    for key in (*keys, odd):
        aws.put(key, (demo_data / "ib4606c6q_flc.fits").read_bytes())
    enveloped = {
        "Type": "Notification",
        "MessageId": "m",
        "TopicArn": "arn",
        "Message": json.dumps(message(keys[0])),
    }
    bridged = {
        "version": "0",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "detail": {
            "version": "0",
            "bucket": {"name": BUCKET},
            "object": {"key": keys[1], "size": 5, "etag": "x"},
        },
    }
    test = {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Bucket": BUCKET,
        "RequestId": "5582815E1AEA5ADF",
    }
    bodies = [
        json.dumps(enveloped),
        json.dumps(bridged),
        json.dumps(message(keys[2], odd)),
        json.dumps(test),
        json.dumps({"Records": [record(keys[3]), {"eventVersion": "3.0", "eventSource": "aws:s3"}]}),
        json.dumps({"something": "else"}),
        "not JSON",
        "[" * 100_000,
        json.dumps({"Records": [record(KEY, bucket="evil"), record(KEY, "ObjectRemoved:Delete")]}),
    ]
    records = [{"messageId": str(n), "eventSource": "aws:sqs", "body": body} for n, body in enumerate(bodies)]
    assert not aws.hand(records)
    sent = {event["input"].removeprefix(f"s3://{BUCKET}/") for _, event in aws.invocations.events}
    assert sent == {*keys, odd}
    listed = json.loads(skyfan("watch", "list", "--output", "s3://results", "--json").stdout)
    assert len(listed["unknown_messages"]) == 4
    kept = json.loads(aws.results.get(listed["unknown_messages"][0].removeprefix("s3://results/")) or b"")
    assert kept["problems"]
    assert kept["body"] in bodies
    assert listed["watches"][0]["counts"]["refused"] == 1
    assert listed["watches"][0]["skipped"] == {"deleted": 1}


def test_snss_filter_drops_other_files_and_no_unknown_shapes(aws: Aws) -> None:
    aws.publish({"Records": [{"s3": {"object": {"name": "a.fits"}}}]})  # moto knows no absence further up
    aws.publish(message("hst/public/a/a.fits.gz"))
    aws.publish(message("hst/public/a/a.txt"))
    aws.publish(message("hst/public/a/a.txt", "hst/public/a/a_flt.fits"))
    assert len(aws.receive()) == 3


@pytest.mark.slow
def test_beyond_the_budget_files_wait_and_are_sent_when_it_is_raised(
    aws: Aws, skyfan: Skyfan, demo_data: Path
) -> None:
    assert skyfan(*ADD, "--budget", "0.0004USD/month").exit_code == 0
    for number in range(5):
        aws.put(f"{FOLDER}/ib4606c{number}q_flc.fits", (demo_data / "ib4606c6q_flc.fits").read_bytes())
        aws.publish(message(f"{FOLDER}/ib4606c{number}q_flc.fits"))
    assert not aws.deliver()
    (listed,) = json.loads(skyfan("watch", "list", "--output", "s3://results", "--json").stdout)["watches"]
    assert listed["state"] == "stopped"
    assert listed["spent_usd"] <= 0.0004
    sent = len(aws.invocations.events)
    assert 0 < sent < 5
    assert listed["waiting"] == 5 - sent
    shown = skyfan("status", "new", "--output", "s3://results")
    assert "stopped: budget" in shown.output
    assert "not begun" in shown.output
    assert skyfan(*ADD, "--budget", "5USD/month").exit_code == 0
    aws.publish(message(KEY.replace("_flc", "_raw")))  # anything that the archive says
    assert not aws.deliver()
    assert len(aws.invocations.events) == 5


@pytest.mark.slow
def test_retry_sends_what_waits_and_the_watch_does_not_send_it_again(
    aws: Aws, skyfan: Skyfan, demo_data: Path
) -> None:
    skyfan(*ADD, "--budget", "0USD/month")
    aws.put(KEY, (demo_data / "ib4606c6q_flc.fits").read_bytes())
    aws.publish(message(KEY))
    aws.deliver()
    assert not aws.invocations.events
    done = skyfan("retry", "new", "--no-wait")
    assert done.exit_code == 0, done.output
    assert len(aws.invocations.events) == 1
    skyfan(*ADD, "--budget", "5USD/month")
    aws.publish(message(KEY))
    aws.publish(message(KEY.replace("_flc", "_raw")))
    aws.deliver()
    assert len(aws.invocations.events) == 1
    shown = json.loads(skyfan("status", "new", "--output", "s3://results", "--json").stdout)
    assert (shown["counts"]["unsent"], shown["counts"]["sent"]) == (0, 1)


@pytest.mark.slow
def test_the_header_decides_what_the_key_does_not_tell(aws: Aws, skyfan: Skyfan, demo_data: Path) -> None:
    for name, words in (("uvis", ("--instrument", "WFC3/UVIS")), ("ir", ("--instrument", "WFC3/IR"))):
        done = skyfan("watch", "add", name, "--product", "FLC", *words, "--budget", "1 USD/month")
        assert done.exit_code == 0, done.output
    aws.put(KEY, (demo_data / "ib4606c6q_flc.fits").read_bytes())
    aws.put(f"{FOLDER}/ib4606xxq_flc.fits", b"no FITS file")
    aws.publish(message(KEY, f"{FOLDER}/ib4606xxq_flc.fits", f"{FOLDER}/ib4606yyq_flc.fits"))
    assert not aws.deliver()
    assert [event["run"] for _, event in aws.invocations.events] == ["uvis"]
    documents = json.loads(skyfan("watch", "list", "--output", "s3://results", "--json").stdout)["watches"]
    found = {one["name"]: one for one in documents}
    assert found["ir"]["skipped"] == {"another instrument": 1}
    assert found["ir"]["counts"] == {"undecided": 1, "gone": 1}


def test_what_cannot_be_reached_comes_again(
    aws: Aws, skyfan: Skyfan, demo_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skyfan(*ADD, "--budget", "5USD/month")
    aws.put(KEY, (demo_data / "ib4606c6q_flc.fits").read_bytes())
    records = [{"messageId": "m", "eventSource": "aws:sqs", "body": json.dumps(message(KEY))}]
    with monkeypatch.context() as broken:
        broken.setenv("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:9")
        invoke._client.cache_clear()
        assert aws.hand(records) == ["m"]
    invoke._client.cache_clear()
    assert aws.hand(records) == []
    assert len(aws.invocations.events) == 1
    aws.results.put("watches/new/watch.json", b"{")
    assert aws.hand(records) == ["m"], "a watch that cannot be read keeps messages waiting"


def test_a_stack_without_standing_queries_says_what_it_needs(aws: Aws, skyfan: Skyfan) -> None:
    deploy()
    refused = skyfan(*ADD, "--budget", "5USD/month", "--stack", "old")
    assert refused.exit_code == 2
    assert "--parameter StandingQueries=on" in refused.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--where", "proposal_pi=Riess*"), "No such option"),
        ((), "--budget"),
        (("--budget", "5"), "5USD/month"),
        (("--budget", "5USD/month", "--dates", "x"), "--dates"),
        (("--budget", "5USD/month", "--output", "out"), "FOLDER"),
    ],
)
def test_wrong_use_is_refused(aws: Aws, skyfan: Skyfan, words: tuple[str, ...], said: str) -> None:
    refused = skyfan(*ADD, *words)
    assert refused.exit_code == 2
    assert said in refused.stderr
    assert aws.results.get("watches/new/watch.json") is None


@pytest.mark.slow
def test_a_watch_is_dry_paused_resumed_and_removed(aws: Aws, skyfan: Skyfan, demo_data: Path) -> None:
    dry = skyfan(*ADD, "--budget", "5USD/month", "--dry-run")
    assert "would be added" in dry.output
    assert aws.results.get("watches/new/watch.json") is None
    skyfan(*ADD, "--budget", "5USD/month")
    assert skyfan(*ADD, "--filter", "F160W", "--budget", "5USD/month").exit_code == 2, "another query"
    skyfan("watch", "pause", "new", "--output", "s3://results")
    aws.put(KEY, (demo_data / "ib4606c6q_flc.fits").read_bytes())
    aws.publish(message(KEY))
    aws.deliver()
    assert not aws.invocations.events
    skyfan("watch", "resume", "new", "--output", "s3://results")
    aws.publish(message(KEY))
    aws.deliver()
    assert len(aws.invocations.events) == 1
    assert skyfan("watch", "remove", "new", "--output", "s3://results").exit_code == 0
    aws.put(KEY, b"another")
    aws.publish(message(KEY))
    aws.deliver()
    assert len(aws.invocations.events) == 1
    assert not json.loads(skyfan("watch", "list", "--output", "s3://results", "--json").stdout)["watches"]
    assert skyfan("status", "new", "--output", "s3://results").exit_code == 0


def test_another_event_than_a_queues_is_refused() -> None:
    with pytest.raises(ValueError, match="SQS"):
        watcher.handler({"input": "s3://a/b"}, None)


def test_the_example_event_is_one(aws: Aws) -> None:
    event = json.loads(Path(template.OWN, "functions/watcher/event.json").read_text())
    assert not aws.hand(event["Records"])


@pytest.mark.slow
def test_the_page_s_commands_for_the_archive_work(
    aws: Aws, skyfan: Skyfan, demo_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where data set and report of a bucket go
    page = Path(template.OWN, "docs/howto/keep-up.md").read_text(encoding="utf-8")
    block = page.rpartition("```console\n")[2].partition("```")[0]
    commands = [line.removeprefix("$ ").split()[1:] for line in block.splitlines()]
    assert len(commands) == 8
    for words in commands:
        done = skyfan(*words)
        assert done.exit_code == 0, done.output
    assert "removed since" in skyfan("watch", "list", "--removed").output
