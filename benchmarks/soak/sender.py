"""The soak of the sender: events through a network in which three of ten requests fail, and kills -9."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
from standins.cloud import RESULTS
from standins.deliveries import SEED, Cloud, fates, files, get_json
from standins.processes import REPO, running

from skyfan import api
from skyfan.api import AwsOptions, Task
from skyfan.aws import budget
from skyfan.plans import plan as plans
from skyfan.plans.plan import Plan
from skyfan.runs import receipts
from skyfan.storage.place import Place

_RUN, _BYTES = "soak", 4_000_000
FAULTS = {"throttle": 0.1, "fail": 0.05, "unavailable": 0.05, "broken": 0.06, "silent": 0.04, "double": 0.0}
"""Shares of the requests. Half of those that break, or stay without an answer, were accepted."""
_FIRST_LIMIT, _LIMIT = 0.6, 1.3
"""--max-cost of the first calls and of the others, in estimates of the whole plan."""
_CALLS = 5


@dataclass
class Report:
    """What the soak has seen."""

    faults: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    calls: int = 0
    kills: int = 0
    accepted: int = 0
    """Events, those of one file counted each."""
    twice: int = 0
    """Files whose event was accepted more than once."""
    bound: int = 0
    """How often files can have been accepted once more at most, as the journal has it."""
    spent: list[tuple[float, float]] = field(default_factory=list)
    """USD of what was accepted, at the upper limit of the estimate, and --max-cost."""
    seconds: float = 0.0
    broken: list[str] = field(default_factory=list)


def soak(folder: Path, number: int, kills: int, seed: int) -> Report:
    """Sends so many events through so many kills; the journal and all else lie in ``folder``."""
    began, report, rng = time.monotonic(), Report(), random.Random(seed)
    with _servers(folder, seed) as (cloud, proxy):
        uris = files("soak", number)
        plan = _plan(folder / "plan.parquet", uris)
        with api.preview([str(plan.path)], AwsOptions(), Task(_RUN)) as preview:
            assert preview.estimate
            usd = preview.estimate.usd_most
        first = sorted(rng.randrange(1, number // 2) for _ in range(kills * 3 // 5))
        others = sorted(
            rng.randrange(int(number * 0.62), int(number * 0.95)) for _ in range(kills - len(first))
        )
        for share, moments in ((_FIRST_LIMIT, first), (_LIMIT, others)):
            command = [sys.executable, "-m", "soak.send", str(plan.path), _RUN, str(share * usd)]
            for moment in moments:
                report.kills += _killed(command, cloud, moment)
            outcome = _complete(command, report)
            report.calls += len(moments)
            accepted = Counter(get_json(f"{cloud.endpoint}/accepted"))
            report.spent.append((accepted.total() / number * usd, share * usd))
        report.faults = {
            name: n
            for name, n in get_json(f"{proxy}/faults").items()
            if name not in ("requests", "in the dark")
        }
        report.counts = outcome["counts"]
        _judge(report, uris, accepted)
    report.seconds = time.monotonic() - began
    return report


def _judge(report: Report, uris: list[str], accepted: Counter[str]) -> None:
    place = Place.at(f"s3://{RESULTS}")
    recorded = len(set(receipts.read(place, receipts.chunks(place, _RUN)).file.tolist()))
    report.accepted = accepted.total()
    report.twice = sum(times > 1 for times in accepted.values())
    # Each event that was accepted has its receipt, or is a request of which the journal has no end.
    report.bound = recorded + len(budget.attempts(place, _RUN)) - len(uris)
    if lost := [uri for uri in uris if not accepted[uri]]:
        report.broken.append(f"{len(lost)} files were never accepted: {lost[:3]}")
    if report.accepted - len(uris) > report.bound:
        report.broken.append(
            f"accepted {report.accepted - len(uris)} times too often, by the journal {report.bound}"
        )
    for usd, limit in report.spent:
        if usd > limit:
            report.broken.append(f"{usd:.4f} USD were spent, --max-cost was {limit:.4f}")
    expected = {name: len(found) for name, found in fates(uris).items()}
    if {name: report.counts[name] for name in expected} != expected or report.counts["planned"] != len(uris):
        report.broken.append(f"expected {expected}: {report.counts}")


def _complete(command: list[str], report: Report) -> dict[str, Any]:
    """Calls the sender until it has nothing to send, or may not send it."""
    for _ in range(_CALLS):
        report.calls += 1
        done = subprocess.run(
            command, env=_environment(), capture_output=True, text=True, timeout=600, check=False
        )
        if done.returncode:
            report.broken.append(done.stderr[-800:])
            continue
        outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        if not outcome["stopped"] or "cost" in outcome["stopped"]:
            return outcome
    raise AssertionError(f"the sender does not come to its end: {report.broken or outcome}")


def _killed(command: list[str], cloud: Cloud, moment: int) -> bool:
    """Kills the sender when so many events were accepted; returns whether it was alive."""
    with subprocess.Popen(
        command, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while get_json(f"{cloud.endpoint}/counts")["accepted"] < moment and process.poll() is None:
            time.sleep(0.005)
        is_alive = process.poll() is None
        process.kill()
    return is_alive


def _plan(path: Path, uris: list[str]) -> Plan:
    columns = {"uri": uris, "size": [_BYTES] * len(uris), "tier": [plans.STANDARD] * len(uris)}
    return plans.write(path, pa.table(columns), {})


@contextmanager
def _servers(folder: Path, seed: int) -> Iterator[tuple[Cloud, str]]:
    """The stack, and the URL of the network in front of it; with the environment that leads there."""
    words = ["--seed", str(SEED), "--fail", "0.02", "--latency", "0.02"]
    shares = [word for name, share in FAULTS.items() for word in (f"--{name}", str(share))]
    with running("cloud", *words) as line:
        urls = json.loads(line)
        with running("fault_proxy", urls["lambda"], *shares, "--seed", str(seed)) as proxy:
            values = {
                "AWS_ENDPOINT_URL": urls["aws"],
                "AWS_ENDPOINT_URL_LAMBDA": proxy,
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                "AWS_REGION": "us-east-1",
                "XDG_STATE_HOME": str(folder / "state"),
            }
            with patch.dict(os.environ, values):
                yield Cloud(urls["aws"], urls["lambda"]), proxy


def _environment() -> dict[str, str]:
    folders = ("invoke", "functions/runtime", "benchmarks")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(REPO / name) for name in folders)}
