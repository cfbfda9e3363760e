"""skyfan run --engine aws with kills, faults and limits: the real command and client, servers play AWS.

moto is S3 and CloudFormation. standins.cloud is the Lambda endpoint, which writes results and failure records
to moto. standins.fault_proxy is the network in between.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from standins.cloud import FAILURES, RESULTS, Worker
from standins.processes import SKYFAN, running

from skyfan import api, events
from skyfan.api import AwsOptions, Task
from skyfan.cli import main
from skyfan.errors import UsageError
from skyfan.plans import plan as plans
from skyfan.plans.plan import Plan
from skyfan.runs import receipts
from skyfan.runs import run as runs
from skyfan.storage.place import Place

SEED, FAIL, DOUBT = 3, 0.02, 0.05
START = [sys.executable, "-c", "from skyfan.cli import main; main(prog_name='skyfan')"]


def get_json(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=30) as answer:
        document: dict[str, Any] = json.load(answer)
    return document


@dataclass
class Cloud:
    """The servers of the stack. taken() returns how often each file was delivered since they started."""

    aws: str
    endpoint: str

    def taken(self, files: list[str]) -> dict[str, int]:
        work = get_json(f"{self.endpoint}/work")
        return {uri: work.get(uri, 0) for uri in files}


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


def files(name: str, number: int) -> list[str]:
    return [f"s3://stpubdata/hst/public/{name}/{at:06}_flt.fits" for at in range(number)]


def fates(uris: list[str]) -> dict[str, list[str]]:
    """The files that the stand-in will process and fail."""
    worker = Worker(None, SEED, FAIL, 0.0, 0.0)
    made: dict[str, list[str]] = {"done": [], "failed": []}
    for uri in uris:
        made[worker.fate(uri)].append(uri)
    return made


def catalogs(run: str) -> list[str]:
    head = f"runs/{run}/catalogs/"
    found = Place.at(f"s3://{RESULTS}").list(head)
    return ["s3://" + item.key.removeprefix(head).removesuffix(".cat.fits") for item in found]


def check(run: str, uris: list[str], counts: dict[str, int], unrecorded: int = 0) -> None:
    """Every file is processed, has one catalog and a receipt, and the counts are exact.

    `unrecorded` files that were in flight when a process was killed may lack a receipt, but no catalog.
    """
    expected = fates(uris)
    assert catalogs(run) == expected["done"]
    assert counts["planned"] == len(uris)
    assert (counts["done"], counts["failed"]) == (len(expected["done"]), len(expected["failed"]))
    assert sum(counts[name] for name in ("unsent", "sent", "late", "missing", "cancelled")) == 0
    place = Place.at(f"s3://{RESULTS}")
    accepted = receipts.read(place, receipts.chunks(place, run))
    assert len(uris) - unrecorded <= len(set(accepted.file.tolist())) <= len(uris)


def listed(uris: list[str], folder: Path) -> str:
    path = folder / "list.txt"
    path.write_text("\n".join(uris))
    return f"@{path}"


def sent_through_faults(cloud: Cloud, proxy: str, run: str, uris: list[str]) -> None:
    outcome = api.run(uris, AwsOptions(), Task(run))
    assert outcome.state is not None
    check(run, uris, outcome.state.counts)
    assert (outcome.sent, outcome.remaining, outcome.stopped) == (len(uris), 0, "")
    faults = get_json(f"{proxy}/faults")
    assert (
        min(faults.get(name, 0) for name in ("throttled", "broken before", "broken after", "in the dark")) > 0
    )
    before = cloud.taken(uris)
    second = api.run(uris, AwsOptions(), Task(run))
    assert (second.sent, second.done_before + second.sent_before) == (0, len(uris))
    assert cloud.taken(uris) == before


@pytest.mark.slow
def test_a_bad_network_loses_no_file(cloud: Cloud, through_faults: Callable[..., str]) -> None:
    proxy = through_faults("--broken", "0.05", "--blackout-after", "150", "--blackout", "1", "--seed", "2")
    sent_through_faults(cloud, proxy, "faults", files("faults", 300))


@pytest.mark.slow
def test_a_bad_network_loses_none_of_five_thousand_files(
    cloud: Cloud, through_faults: Callable[..., str]
) -> None:
    proxy = through_faults("--blackout-after", "2000", "--blackout", "10")
    sent_through_faults(cloud, proxy, "faults5k", files("faults5k", 5_000))


def kill_and_continue(cloud: Cloud, folder: Path, run: str, uris: list[str], kills: int, lanes: int) -> None:
    words = ["run", listed(uris, folder), "--engine", "aws", "--run", run, "--connections", str(lanes)]
    command = [*START, *words, "--json"]
    moments = sorted(random.Random(run).sample(range(1, len(uris) - lanes), kills))
    start = get_json(f"{cloud.endpoint}/counts")["accepted"]
    survived = 0
    for moment in moments:
        with subprocess.Popen(
            command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            while (
                get_json(f"{cloud.endpoint}/counts")["accepted"] - start < moment and process.poll() is None
            ):
                time.sleep(0.005)
            survived += process.poll() is not None
            process.send_signal(signal.SIGKILL)
    assert survived < kills  # some were killed in mid-run
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1, done.stderr  # some files fail by their nature
    check(run, uris, json.loads(done.stdout)["state"], unrecorded=kills * lanes)
    # Files in flight when a process was killed may be sent again, and the stand-in delivers 2 % twice.
    deliveries = sum(cloud.taken(uris).values())
    assert len(uris) <= deliveries <= (len(uris) + kills * lanes) * 1.06


def mixed_plan(path: Path, name: str, number: int) -> Plan:
    """A plan in which every tenth file is a mosaic of 1 GB, and the others exposures of 4 MB."""
    uris = [f"s3://stpubdata/hst/public/{name}/{at:06}_flt.fits" for at in range(number)]
    uris[::10] = [uri.replace("_flt", "_drz") for uri in uris[::10]]
    sizes = [10**9 if "_drz" in uri else 4_000_000 for uri in uris]
    table = pa.table({"uri": uris, "size": sizes, "tier": ["standard"] * number})
    return plans.write(path, table, {})


@pytest.mark.slow
def test_a_limit_in_usd_holds_through_five_kills_and_a_bad_network(
    cloud: Cloud, through_faults: Callable[..., str], tmp_path: Path
) -> None:
    # A network that doubles a request spends what no client can know of: not in this test.
    through_faults("--broken", "0.05", "--throttle", "0.05", "--double", "0", "--seed", "5")
    # At most: a mosaic 0.06442 USD (tests/unit/aws/test_budget.py), an exposure 0.000087 (1.777 s and a cold
    # start of 1 s at 1.7275 GB, a PUT, logs), the whole plan 2.6.
    plan, limit, lanes = mixed_plan(tmp_path / "plan.parquet", "capped", 400), 1.5, 4
    words = ["run", str(plan.path), "--engine", "aws", "--run", "capped", "--max-cost", str(limit)]
    command = [*START, *words, "--connections", str(lanes), "--no-wait", "--json"]
    start, killed = get_json(f"{cloud.endpoint}/counts")["accepted"], 0
    for moment in range(start + 20, start + 200, 40):
        with subprocess.Popen(
            command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            while get_json(f"{cloud.endpoint}/counts")["accepted"] < moment and process.poll() is None:
                time.sleep(0.005)
            killed += process.poll() is None
            process.send_signal(signal.SIGKILL)
    assert killed == 5
    for _ in range(2):  # the second sends at most some exposures, where a mosaic has turned out done
        done = subprocess.run(
            command, env=environment(), capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 1, done.stderr
        assert json.loads(done.stdout)["stopped"] == "the cost limit is reached"
        # What Lambda accepted, whether skyfan has seen the response or not.
        accepted = get_json(f"{cloud.endpoint}/accepted")
        sent = [(item.uri, accepted.get(item.uri, 0)) for item in plan]
        mosaics = sum(times for uri, times in sent if "_drz" in uri)
        exposures = sum(times for uri, times in sent if "_flt" in uri)
        spent = mosaics * 0.06442 + exposures * 0.000087
        # Lost responses and requests under way at a kill count twice: no excuse for sending little.
        assert limit / 2 <= spent <= limit


@pytest.mark.slow
def test_files_are_sent_in_waves_where_events_would_grow_too_old(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One at a time, and an event lives 60 s: half of that is the work of 17 files of up to 1.677 s."""
    uris = files("waves", 40)
    table = pa.table({"uri": uris, "size": [4_000_000] * 40, "tier": ["standard"] * 40})
    plan = plans.write(tmp_path / "plan.parquet", table, {})
    told: list[events.Event] = []
    with running("cloud", "--concurrency", "1", "--event-age", "60") as line:
        urls = json.loads(line)
        monkeypatch.setenv("AWS_ENDPOINT_URL", urls["aws"])
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", urls["lambda"])
        outcome = api.run([str(plan.path)], AwsOptions(), Task("waves"), on_event=told.append)
        assert outcome.state is not None
        assert (outcome.sent, outcome.state.counts["done"]) == (40, 40)
        assert any(isinstance(event, events.Notice) and "waves" in event.text for event in told)
        ahead = [event.sent - event.done for event in told if isinstance(event, events.Dispatched)]
        assert 10 < max(ahead) <= 18  # those under way, as far as the polls of the bucket know
        options = AwsOptions(concurrency=100)
        again = api.run(files("waves2", 40), options, Task("waves2"), on_event=told.append)
        assert again.sent == 40


@pytest.mark.slow
def test_a_retry_is_sent_in_waves_too(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As above, with files that have failed: they finish although the run has no failure more."""
    uris = files("again", 40)
    table = pa.table({"uri": uris, "size": [4_000_000] * 40, "tier": ["standard"] * 40})
    told: list[events.Event] = []
    with running("cloud", "--concurrency", "1", "--event-age", "60") as line:
        urls = json.loads(line)
        monkeypatch.setenv("AWS_ENDPOINT_URL", urls["aws"])
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", urls["lambda"])
        place = Place.at(f"s3://{RESULTS}")
        runs.begin(place, Task("again"), f"s3://{RESULTS}/runs/{{run}}/catalogs/{{key}}.cat.fits")
        runs.add_plan(place, "again", plans.write(tmp_path / "plan.parquet", table, {}))
        for uri in uris:
            error = {"errorType": "StorageError", "errorMessage": "no answer", "cure": "retry"}
            record = {"requestPayload": {"input": uri, "run": "again"}, "responsePayload": error}
            place.put(f"runs/again/failures/{uri.removeprefix('s3://')}.json", json.dumps(record).encode())
        selection = api.Selection()
        first = api.retry("again", AwsOptions(max_files=3, wait=False), selection)
        assert (first.sent, first.remaining, first.state) == (3, 37, None)
        outcome = api.retry("again", AwsOptions(), on_event=told.append)
    assert (selection.files, outcome.files, outcome.sent, outcome.is_complete) == (40, 37, 37, True)
    assert outcome.state is not None
    assert outcome.state.counts["done"] == 40
    assert any(isinstance(event, events.Notice) and "waves" in event.text for event in told)
    ahead = [event.sent - event.done for event in told if isinstance(event, events.Dispatched)]
    assert 10 < max(ahead) <= 18


def test_names_without_a_plan_go_to_the_function_that_can_hold_them(cloud: Cloud, tmp_path: Path) -> None:
    archive = Place.at("s3://stpubdata")
    archive.put("names/large.fits.gz", bytes(40_000_000))  # up to 40 million pixels: 2.4 GB of memory
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


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": SKYFAN}


@pytest.mark.slow
def test_kill_9_loses_nothing_and_sends_nothing_twice(cloud: Cloud, tmp_path: Path) -> None:
    kill_and_continue(cloud, tmp_path, "killed", files("killed", 300), kills=2, lanes=4)


@pytest.mark.slow
def test_kill_9_at_ten_moments_of_four_thousand(cloud: Cloud, tmp_path: Path) -> None:
    kill_and_continue(cloud, tmp_path, "killed4k", files("killed4k", 4_000), kills=10, lanes=32)


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
def test_limits_are_hard_and_can_be_lifted(cloud: Cloud) -> None:
    uris = files("limits", 20)
    first = api.run(uris, AwsOptions(max_files=5, wait=False), Task("limits"))
    assert (first.sent, first.remaining) == (5, 15)
    assert "5 files" in first.stopped
    # A file of unknown size counts as one of 170 MB: 58 s and 3.269 s of reading, x 1.06, and a cold start of
    # 1 s at 1.7275 GB are 0.0018987 USD; with PUT, logs and requests 0.0019056. 20 listings are 0.0001. So
    # twelve files take 0.02297 USD, thirteen 0.02487: of both calls together.
    capped = AwsOptions(max_cost=0.024, wait=False)
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
def test_doubtful_files_are_counted_listed_and_refused_on_request(cloud: Cloud) -> None:
    worker = Worker(None, SEED, FAIL, 0.0, 0.0, DOUBT)
    uris = [uri for uri in files("doubts", 200) if worker.fate(uri) == "done"]
    doubtful = [uri for uri in uris if worker.is_doubtful(uri)]
    assert 0 < len(doubtful) < 50
    for words, code in (([], 0), (["--strict"], 1)):
        ended = CliRunner().invoke(
            main, ["run", *uris, "--engine", "aws", "--run", "doubts", "--json", *words]
        )
        assert ended.exit_code == code, ended.output
        outcome = json.loads(ended.stdout)
        assert (outcome["doubtful"], outcome["doubts"]) == (len(doubtful), {"MASKED": len(doubtful)})
    for words, code in (([], 0), (["--strict"], 1)):
        assert CliRunner().invoke(main, ["status", "doubts", *words]).exit_code == code
        assert CliRunner().invoke(main, ["retry", "doubts", *words]).exit_code == code
    listed = CliRunner().invoke(main, ["status", "doubts", "--doubtful", "--json"])
    rows = json.loads(listed.stdout)
    assert [row["input"] for row in rows] == doubtful
    assert {row["doubts"] for row in rows} == {"MASKED"}
    head = f"s3://{RESULTS}/runs/doubts/catalogs/"
    assert [row["result"] for row in rows] == [f"{head}{uri[5:]}.cat.fits" for uri in doubtful]
    unwaited = ["run", uris[0], "--engine", "aws", "--no-wait", "--strict"]
    assert CliRunner().invoke(main, unwaited).exit_code == 2


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
        done = api.cancel("cancelled", f"s3://{RESULTS}")
        delivered = sum(cloud.taken(uris).values())
        out, _ = process.communicate(timeout=60)
    assert "cancelled" in out
    assert process.returncode == 1, out
    assert 20 <= done.after.counts["done"] + done.after.counts["failed"] < 5000
    assert done.running == 0
    assert sum(cloud.taken(uris).values()) == delivered, "nothing runs after cancel() has returned"
    assert done.after.counts["unsent"] == 5000 - sum(count > 0 for count in cloud.taken(uris).values())


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
