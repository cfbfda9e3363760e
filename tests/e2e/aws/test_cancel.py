"""skyfan cancel after the last file was sent, and after a sender was killed: the counts balance.

Within a burst: test_dispatch.py. Files that wait in Lambda's queue: tests/contract/test_runs_s3.py.
"""

import subprocess
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from standins.cloud import RESULTS
from standins.deliveries import START, Cloud, environment, fates, files, get_json, listed

from skyfan import api
from skyfan.api import AwsOptions, Task
from skyfan.aws import cancel
from skyfan.errors import UsageError
from skyfan.runs import cancels
from skyfan.runs.cancels import Cancel
from skyfan.storage.place import Place

pytestmark = pytest.mark.slow
FILES = 60
ALIVE = "a command sends run"


@pytest.mark.parametrize("moment", ["killed", "sent"])
def test_cancel_after_the_last_file_and_after_a_kill(
    cloud: Cloud,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    monkeypatch.setattr(cancel, "EVERY_S", 0.1)
    run, place = f"cancel-{moment}", Place.at(f"s3://{RESULTS}")
    uris, start = files(run, FILES), get_json(f"{cloud.endpoint}/counts")["accepted"]
    words = [*START, "run", listed(uris, tmp_path), "--engine", "aws", "--run", run, "--connections", "2"]
    wanted = {"killed": 10, "sent": FILES}[moment]
    with subprocess.Popen(
        words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as sender:
        while get_json(f"{cloud.endpoint}/counts")["accepted"] - start < wanted:
            assert sender.poll() is None
            time.sleep(0.005)
        if moment == "killed":
            sender.kill()
            sender.wait()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            done = api.cancel(run, place.name)
        out, _ = sender.communicate(timeout=60)
    is_warned = any(ALIVE in str(one.message) for one in said)
    assert not (is_warned and moment == "killed")
    of_files = int(bool(fates(uris)["failed"]))  # some fail by their nature
    assert sender.returncode == {"killed": -9, "sent": of_files}[moment], out
    assert "Traceback" not in out

    counts = dict(done.after.counts)
    assert counts.pop("planned") == sum(counts.values()) == FILES
    assert done.running == 0
    begun = sum(count > 0 for count in cloud.taken(uris).values())
    assert counts["done"] + counts["failed"] == begun
    assert begun == (FILES if moment == "sent" else begun)

    cancels.begin(place, run, Cancel(time.time(), {}))
    for again in (
        lambda: api.run(uris, AwsOptions(), Task(run)),
        lambda: api.retry(run, AwsOptions()),
    ):
        with pytest.raises(UsageError, match=f"skyfan cancel {run} --restore"):
            again()
    assert sum(count > 0 for count in cloud.taken(uris).values()) == begun
    api.restore(run, place.name)
    last = api.run(uris, AwsOptions(), Task(run))
    assert last.state is not None
    assert last.state.counts["failed"] == len(fates(uris)["failed"])
    assert last.state.counts["done"] + last.state.counts["failed"] == FILES


def test_cancel_while_lambda_throttles_ends_the_pauses_of_the_sender(
    cloud: Cloud, through_faults: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancel, "EVERY_S", 0.1)
    run, place, allowed = "cancel-throttled", Place.at(f"s3://{RESULTS}"), 15
    faults = ("throttle", "fail", "broken", "double")
    proxy = through_faults(
        *(word for name in faults for word in (f"--{name}", "0")), "--throttle-after", str(allowed)
    )
    uris = files(run, FILES)
    words = [*START, "run", listed(uris, tmp_path), "--engine", "aws", "--run", run, "--connections", "2"]
    with subprocess.Popen(
        words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as sender:
        while get_json(f"{proxy}/faults").get("throttled", 0) < 12:  # the pauses have grown to seconds
            assert sender.poll() is None
            time.sleep(0.05)
        assert place.get(f"runs/{run}/run.json")
        with pytest.warns(UserWarning, match=ALIVE):
            done = api.cancel(run, place.name)
        out, _ = sender.communicate(timeout=60)
    assert sender.returncode == 1, out
    assert "being cancelled" in out
    assert "Traceback" not in out
    counts = dict(done.after.counts)
    assert counts.pop("planned") == sum(counts.values()) == FILES
    assert (counts["done"] + counts["failed"], counts["unsent"]) == (allowed, FILES - allowed)
    assert sum(count > 0 for count in cloud.taken(uris).values()) == allowed

    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", cloud.endpoint)
    last = api.run(uris, AwsOptions(), Task(run))
    assert last.sent == FILES - allowed
    assert last.state is not None
    assert last.state.counts["done"] + last.state.counts["failed"] == FILES
