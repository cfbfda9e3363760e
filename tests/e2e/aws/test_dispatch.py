"""skyfan run --engine aws with limits, interruptions and refusals: the real command, servers play AWS.

moto is S3 and CloudFormation. standins.cloud is the Lambda endpoint, which writes results and failure records
to moto. standins.fault_proxy is the network in between.
"""

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import boto3
import pytest
from standins.cloud import FAILURES, RESULTS
from standins.deliveries import START, Cloud, check, environment, fates, files, get_json, listed

from skyfan import api
from skyfan.api import AwsOptions, Task
from skyfan.errors import UsageError
from skyfan.runs import receipts
from skyfan.storage.place import Place


def test_names_without_a_plan_go_to_the_function_that_can_hold_them(cloud: Cloud, tmp_path: Path) -> None:
    archive = Place.at("s3://stpubdata")
    archive.put("names/large.fits.gz", bytes(110_000_000))  # up to 110 million pixels: too slow for it
    archive.put("names/small.fits.gz", bytes(1000))
    names = [f"s3://stpubdata/names/{name}.fits.gz" for name in ("absent", "large", "small")]
    with api.preview(names, AwsOptions(), Task("names", access="signed")) as preview:
        functions = {call.uris[0]: call.function for call in preview.calls}
    assert [functions[name] for name in names] == [
        "skyfan-SepExtract",
        "skyfan-SepExtractLarge",
        "skyfan-SepExtract",
    ]
    with api.preview(names, tmp_path, Task("names", access="signed")) as here:
        assert [call.function for call in here.calls] == ["SepExtract", "SepExtractLarge", "SepExtract"]
    assert any("1 file of unknown size" in line for line in preview.notices)


@pytest.mark.slow
def test_a_run_is_sent_by_one_process_at_a_time(cloud: Cloud) -> None:
    from skyfan.aws.journal import Journal

    uris = files("locked", 3)
    with (
        Journal(Place.at(f"s3://{RESULTS}"), "locked"),
        pytest.raises(UsageError, match="'locked'"),
    ):
        api.run(uris, AwsOptions(), Task("locked"))
    assert set(cloud.taken(uris).values()) == {0}


@pytest.mark.slow
def test_files_in_buckets_that_the_stack_does_not_read_cost_no_invocation(cloud: Cloud) -> None:
    boto3.client("s3").create_bucket(Bucket="my-sky")
    (own,), other = files("buckets", 1), "s3://my-sky/a.fits"
    refusal = r"only stpubdata.* 1 file in my-sky, .*a\.fits.*InputBuckets"
    with pytest.raises(UsageError, match=refusal):
        api.run([own, other], AwsOptions(), Task("buckets"))
    with (
        pytest.raises(UsageError, match=refusal),
        api.preview([own, other], AwsOptions(), Task("buckets")) as preview,
    ):
        list(preview.calls)
    assert not list(Place.at(f"s3://{RESULTS}").list("runs/buckets/"))
    assert cloud.taken([own, other]) == {own: 0, other: 0}

    # A file that is done, as from a time when the stack read its bucket, is no reason.
    done = "s3://my-sky/done.fits"
    Place.at(f"s3://{RESULTS}").put("runs/buckets/catalogs/my-sky/done.fits.cat.fits", b"catalog")
    outcome = api.run([own, done], AwsOptions(), Task("buckets"))
    assert (outcome.sent, outcome.done_before) == (1, 1)


@pytest.mark.slow
def test_limits_are_hard_and_can_be_lifted(cloud: Cloud) -> None:
    uris = files("limits", 20)
    first = api.run(uris, AwsOptions(max_files=5, wait=False), Task("limits"))
    assert (first.sent, first.remaining) == (5, 15)
    assert "5 files" in first.stopped
    # A file of unknown size counts as one of 170 MB: 42 s and 2.98 s of reading, x 1.06, and a cold start of
    # 0.42 s at 1.7275 GB are 0.0013848 USD; with PUT, logs and requests 0.00139. 20 listings are 0.0001. So
    # twelve files take 0.0168 USD, thirteen 0.0182: of both calls together.
    capped = AwsOptions(max_cost=0.0175, wait=False)
    with api.preview(uris, capped, Task("limits")) as preview:
        assert sum(len(call.uris) for call in preview.calls) == 7
    second = api.run(uris, capped, Task("limits"))
    assert (second.sent, second.remaining) == (7, 8)
    assert "cost" in second.stopped
    third = api.run(uris, capped, Task("limits"))
    assert (third.sent, third.remaining) == (0, 8)
    assert sum(count > 0 for count in cloud.taken(uris).values()) == 12
    last = api.run(uris, AwsOptions(), Task("limits"))
    assert (last.sent, last.sent_before + last.done_before, last.stopped) == (8, 12, "")


def test_a_preview_shows_what_would_be_sent_and_changes_nothing(cloud: Cloud) -> None:
    uris = files("dry", 7)
    with api.preview(uris, AwsOptions(batch=3), Task("dry", config={"thresh": 2})) as preview:
        calls = list(preview.calls)
    assert [call.function for call in calls] == ["skyfan-SepExtract"] * 3
    assert json.loads(calls[2].payload) == {"inputs": uris[6:], "run": "dry", "config": {"thresh": 2}}
    place = Place.at(f"s3://{RESULTS}")
    assert list(place.list("runs/dry/")) == []
    assert set(cloud.taken(uris).values()) == {0}


@pytest.mark.slow
def test_files_of_a_batch_fail_alone(cloud: Cloud) -> None:
    uris = files("batch", 120)
    outcome = api.run(uris, AwsOptions(batch=25), Task("batch"))
    assert outcome.state is not None
    assert outcome.invocations == 5
    check("batch", uris, outcome.state.counts)
    assert fates(uris)["failed"]
    assert not list(Place.at(f"s3://{FAILURES}").list("aws/lambda/async/none/"))


@pytest.mark.slow
def test_ctrl_c_is_130_and_the_same_command_continues(cloud: Cloud, tmp_path: Path) -> None:
    uris = files("stopped", 200)
    words = ["run", listed(uris, tmp_path), "--engine", "aws", "--run", "stopped", "--connections", "2"]
    start = get_json(f"{cloud.endpoint}/counts")["accepted"]
    with subprocess.Popen(
        [*START, *words, "--json"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while get_json(f"{cloud.endpoint}/counts")["accepted"] - start < 20 and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    document = json.loads(out)
    assert document["interrupted"]
    place = Place.at(f"s3://{RESULTS}")
    accepted = receipts.read(place, receipts.chunks(place, "stopped"))
    assert len(accepted.file) == document["sent"] >= 20
    outcome = api.run(uris, AwsOptions(), Task("stopped"))
    assert outcome.sent == len(uris) - document["sent"]


@pytest.mark.slow
def test_cancel_stops_the_sender_and_nothing_runs_after_it(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from skyfan.aws import cancel

    monkeypatch.setattr(cancel, "EVERY_S", 0.1)
    uris = files("cancelled", 5000)
    words = ["run", listed(uris, tmp_path), "--engine", "aws", "--run", "cancelled", "--connections", "2"]
    start = get_json(f"{cloud.endpoint}/counts")["accepted"]
    with subprocess.Popen(
        [*START, *words], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        while get_json(f"{cloud.endpoint}/counts")["accepted"] - start < 20 and process.poll() is None:
            time.sleep(0.005)
        with pytest.warns(UserWarning, match="'cancelled'"):
            done = api.cancel("cancelled", f"s3://{RESULTS}")
        delivered = sum(cloud.taken(uris).values())
        out, _ = process.communicate(timeout=60)
    assert "cancelled" in out
    assert process.returncode == 1, out
    assert 20 <= done.after.counts["done"] + done.after.counts["failed"] < 5000
    assert done.running == 0
    assert sum(cloud.taken(uris).values()) == delivered, "nothing runs after cancel() has returned"
    assert done.after.counts["unsent"] == 5000 - sum(count > 0 for count in cloud.taken(uris).values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "task", "culprit"),
    [
        ({"stack": "nowhere"}, {}, "nowhere"),
        ({}, {"function": "Nope"}, "'Nope'"),
        ({"batch": 0}, {}, "batch"),
        ({"max_cost": -1.0}, {}, "max-cost"),
        ({}, {"config": {"text": "x" * 1_100_000}}, "at most 256000"),
    ],
)
def test_an_impossible_run_is_refused(
    cloud: Cloud, options: dict[str, Any], task: dict[str, Any], culprit: str
) -> None:
    uris = files("refused", 2)
    with pytest.raises(UsageError, match=culprit):
        api.run(uris, AwsOptions(**options), Task("refused", **task))
    assert not list(Place.at(f"s3://{RESULTS}").list("runs/refused/"))  # its name is free
    assert set(cloud.taken(uris).values()) == {0}


def test_local_files_are_refused(cloud: Cloud, demo_data: Path) -> None:
    with pytest.raises(UsageError, match="file://"):
        api.run([str(demo_data)], AwsOptions(), Task("local-files"))
    assert not list(Place.at(f"s3://{RESULTS}").list("runs/local-files/"))
