"""skyfan run --engine aws through kills and faults, nothing is lost or paid for twice."""

import json
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from standins.deliveries import START, Cloud, check, environment, files, get_json, listed

from skyfan import api
from skyfan.api import AwsOptions, Task
from skyfan.plans import plan as plans
from skyfan.plans.plan import Plan


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
def test_a_bad_network_loses_none_of_two_thousand_files(
    cloud: Cloud, through_faults: Callable[..., str]
) -> None:
    proxy = through_faults("--broken", "0.02", "--blackout-after", "800", "--blackout", "5")
    sent_through_faults(cloud, proxy, "faults", files("faults", 2_000))


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
    # At most, at 1.7275 GB: a mosaic 0.00798 USD (261 s x 1.06), an exposure 0.000074 (1.65 s x 1.06 and
    # a cold start of 0.42 s, a PUT, logs), the whole plan 0.35.
    plan, limit, lanes = mixed_plan(tmp_path / "plan.parquet", "capped", 400), 0.2, 4
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
        spent = mosaics * 0.00798 + exposures * 0.000074
        # Lost responses and requests under way at a kill count twice: no excuse for sending little.
        assert limit / 2 <= spent <= limit


@pytest.mark.slow
def test_kill_9_at_ten_moments_of_two_thousand(cloud: Cloud, tmp_path: Path) -> None:
    kill_and_continue(cloud, tmp_path, "killed", files("killed", 2_000), kills=10, lanes=32)
