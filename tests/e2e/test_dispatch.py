"""skyfan run --engine aws, killed and misled: the real command and client, with AWS played by servers.

moto is S3 and CloudFormation, standins.cloud the Lambda endpoint that leaves results and failure records
there, standins.fault_proxy the network between.
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
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from standins.cloud import FAILURES, RESULTS, Worker

from skyfan import api
from skyfan.errors import UsageError
from skyfan.runs import receipts
from skyfan.runs.place import Place

REPO = Path(__file__).parents[2]
SEED, FAIL = 3, 0.02
START = [sys.executable, "-c", "from skyfan.cli import main; main(prog_name='skyfan')"]


@contextmanager
def server(*words: str) -> Iterator[str]:
    """A stand-in as a process of its own; gives the line that it prints when it is ready."""
    command = [sys.executable, "-m", *words]
    with subprocess.Popen(
        command, cwd=REPO / "benchmarks", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def told(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=30) as answer:
        document: dict[str, Any] = json.load(answer)
    return document


@dataclass
class Cloud:
    """The stack's servers. `taken` of a file is how often it was delivered, since the servers began."""

    aws: str
    endpoint: str

    def taken(self, files: list[str]) -> dict[str, int]:
        work = told(f"{self.endpoint}/work")
        return {uri: work.get(uri, 0) for uri in files}


@pytest.fixture(scope="module")
def cloud_process() -> Iterator[Cloud]:
    words = ["--seed", str(SEED), "--fail", str(FAIL), "--twice", "0.02", "--latency", "0.02"]
    with server("standins.cloud", *words) as line:
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
    """Puts a fault proxy before the Lambda endpoint; gives its URL."""
    with ExitStack() as stack:

        def put(*words: str) -> str:
            url = stack.enter_context(server("standins.fault_proxy", cloud.endpoint, *words))
            monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", url)
            return url

        yield put


def files(name: str, number: int) -> list[str]:
    return [f"s3://stpubdata/hst/public/{name}/{at:06}_flt.fits" for at in range(number)]


def fates(uris: list[str]) -> dict[str, list[str]]:
    """What the stand-in makes of each file."""
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
    """Each file processed, each catalog there once, the report exact, a receipt for each file.

    But for `unrecorded` files that were on their way when a process was killed: their catalogs are there.
    """
    made = fates(uris)
    assert catalogs(run) == made["done"]
    assert counts["planned"] == len(uris)
    assert (counts["done"], counts["failed"]) == (len(made["done"]), len(made["failed"]))
    assert sum(counts[name] for name in ("unsent", "sent", "late", "missing", "cancelled")) == 0
    place = Place.at(f"s3://{RESULTS}")
    accepted = receipts.read(place, receipts.keys(place, run))
    assert len(uris) - unrecorded <= len(set(accepted.file.tolist())) <= len(uris)


def listed(uris: list[str], folder: Path) -> str:
    path = folder / "list.txt"
    path.write_text("\n".join(uris))
    return f"@{path}"


def sent_through_faults(cloud: Cloud, proxy: str, run: str, uris: list[str]) -> None:
    outcome = api.run_on_aws(uris, run=run)
    assert outcome.state is not None
    check(run, uris, outcome.state.counts)
    assert (outcome.sent, outcome.left, outcome.stopped) == (len(uris), 0, "")
    faults = told(f"{proxy}/faults")
    assert (
        min(faults.get(name, 0) for name in ("throttled", "broken before", "broken after", "in the dark")) > 0
    )
    before = cloud.taken(uris)
    again = api.run_on_aws(uris, run=run)
    assert (again.sent, again.done_before + again.sent_before) == (0, len(uris))
    assert cloud.taken(uris) == before


def test_a_bad_network_costs_no_file(cloud: Cloud, through_faults: Callable[..., str]) -> None:
    proxy = through_faults("--broken", "0.05", "--blackout-after", "150", "--blackout", "1", "--seed", "2")
    sent_through_faults(cloud, proxy, "faults", files("faults", 300))


@pytest.mark.slow
def test_a_bad_network_costs_none_of_ten_thousand(cloud: Cloud, through_faults: Callable[..., str]) -> None:
    proxy = through_faults("--blackout-after", "4000", "--blackout", "10")
    sent_through_faults(cloud, proxy, "faults10k", files("faults10k", 10_000))


def killed_and_gone_on(cloud: Cloud, folder: Path, run: str, uris: list[str], kills: int, lanes: int) -> None:
    words = ["run", listed(uris, folder), "--engine", "aws", "--run", run, "--connections", str(lanes)]
    command = [*START, *words, "--json"]
    moments = sorted(random.Random(run).sample(range(1, len(uris) - lanes), kills))
    start = told(f"{cloud.endpoint}/counts")["accepted"]
    survived = 0
    for moment in moments:
        with subprocess.Popen(
            command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            while told(f"{cloud.endpoint}/counts")["accepted"] - start < moment and process.poll() is None:
                time.sleep(0.005)
            survived += process.poll() is not None
            process.send_signal(signal.SIGKILL)
    assert survived < kills  # some were killed in mid-run
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1, done.stderr  # some files fail by their nature
    check(run, uris, json.loads(done.stdout)["state"], unrecorded=kills * lanes)
    # What was on its way when a process was killed may be sent again, and the stand-in delivers 2 % twice.
    deliveries = sum(cloud.taken(uris).values())
    assert len(uris) <= deliveries <= (len(uris) + kills * lanes) * 1.06


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPO / "invoke")}


@pytest.mark.slow
def test_kill_9_loses_nothing_and_sends_nothing_twice(cloud: Cloud, tmp_path: Path) -> None:
    killed_and_gone_on(cloud, tmp_path, "killed", files("killed", 300), kills=2, lanes=4)


@pytest.mark.slow
def test_kill_9_at_ten_moments_of_ten_thousand(cloud: Cloud, tmp_path: Path) -> None:
    killed_and_gone_on(cloud, tmp_path, "killed10k", files("killed10k", 10_000), kills=10, lanes=32)


def test_a_run_is_sent_by_one_process_at_a_time(cloud: Cloud) -> None:
    from skyfan.aws.journal import Journal

    uris = files("locked", 3)
    with (
        Journal(Place.at(f"s3://{RESULTS}"), "locked"),
        pytest.raises(UsageError, match="'locked' is being sent by another process"),
    ):
        api.run_on_aws(uris, run="locked")
    assert set(cloud.taken(uris).values()) == {0}


def test_limits_are_hard_and_can_be_lifted(cloud: Cloud) -> None:
    uris = files("limits", 20)
    first = api.run_on_aws(uris, run="limits", max_files=5, wait=False)
    assert (first.sent, first.left, first.stopped) == (5, 15, "5 files were to be sent at most")
    with api.preview_on_aws(uris, run="limits") as preview:
        each = preview.estimate.usd_per_file_high
    second = api.run_on_aws(uris, run="limits", max_cost=12.5 * each, wait=False)  # of both calls together
    assert (second.sent, second.left, second.stopped) == (7, 8, "the cost limit is reached")
    third = api.run_on_aws(uris, run="limits", max_cost=12.5 * each, wait=False)
    assert (third.sent, third.left) == (0, 8)
    assert sum(count > 0 for count in cloud.taken(uris).values()) == 12
    last = api.run_on_aws(uris, run="limits")
    assert (last.sent, last.sent_before + last.done_before, last.stopped) == (8, 12, "")


def test_a_dry_run_is_what_is_sent_and_leaves_no_trace(cloud: Cloud) -> None:
    uris = files("dry", 7)
    with api.preview_on_aws(uris, run="dry", batch=3, config={"thresh": 2}) as preview:
        made = list(preview.calls)
    assert [call.function for call in made] == ["skyfan-SepExtract"] * 3
    assert json.loads(made[2].payload) == {"inputs": uris[6:], "run": "dry", "config": {"thresh": 2}}
    place = Place.at(f"s3://{RESULTS}")
    assert list(place.list("runs/dry/")) == []
    assert set(cloud.taken(uris).values()) == {0}


def test_files_of_a_batch_fail_alone(cloud: Cloud) -> None:
    uris = files("batch", 120)
    outcome = api.run_on_aws(uris, run="batch", batch=25)
    assert outcome.state is not None
    assert outcome.counts is not None
    assert outcome.counts.accepted == 5
    check("batch", uris, outcome.state.counts)
    assert fates(uris)["failed"]
    assert not list(Place.at(f"s3://{FAILURES}").list("aws/lambda/async/none/"))


def test_ctrl_c_is_130_and_the_same_command_goes_on(cloud: Cloud, tmp_path: Path) -> None:
    uris = files("stopped", 200)
    words = ["run", listed(uris, tmp_path), "--engine", "aws", "--run", "stopped", "--connections", "2"]
    start = told(f"{cloud.endpoint}/counts")["accepted"]
    with subprocess.Popen(
        [*START, *words, "--json"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while told(f"{cloud.endpoint}/counts")["accepted"] - start < 20:
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    document = json.loads(out)
    assert document["interrupted"]
    place = Place.at(f"s3://{RESULTS}")
    accepted = receipts.read(place, receipts.keys(place, "stopped"))
    assert len(accepted.file) == document["sent"] >= 20
    outcome = api.run_on_aws(uris, run="stopped")
    assert outcome.sent == len(uris) - document["sent"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"stack": "nowhere"}, "nowhere"),
        ({"function": "Nope"}, "has no function 'Nope'"),
        ({"batch": 0}, "batch must be at least 1"),
        ({"max_cost": -1.0}, "max-cost must be at least 0"),
        ({"config": {"text": "x" * 1_100_000}}, "more than the 1 MB that Lambda takes"),
    ],
)
def test_what_cannot_be_sent_is_told(cloud: Cloud, changed: dict[str, Any], said: str) -> None:
    uris = files("refused", 2)
    with pytest.raises(UsageError, match=said):
        api.run_on_aws(uris, **{"run": "refused", **changed})
    assert not list(Place.at(f"s3://{RESULTS}").list("runs/refused/"))  # its name is free
    assert set(cloud.taken(uris).values()) == {0}


def test_files_of_this_machine_are_refused(cloud: Cloud, demo_data: Path) -> None:
    with pytest.raises(UsageError, match="is on this machine, where Lambda cannot read it"):
        api.run_on_aws([str(demo_data)], run="local-files")
    assert not list(Place.at(f"s3://{RESULTS}").list("runs/local-files/"))
