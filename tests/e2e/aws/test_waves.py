"""skyfan run and retry on AWS, in waves of files and over several commands."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner
from standins.cloud import RESULTS, Worker
from standins.deliveries import DOUBT, FAIL, SEED, Cloud, files
from standins.processes import running

from skyfan import api, events
from skyfan.api import AwsOptions, Task
from skyfan.cli import main
from skyfan.plans import plan as plans
from skyfan.runs import run as runs
from skyfan.storage.place import Place


@pytest.mark.slow
def test_files_are_sent_in_waves_where_events_would_grow_too_old(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One at a time, and an event lives 60 s: half of that is the work of 18 files of up to 1.651 s."""
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
        assert 10 < max(ahead) <= 19  # those under way, as far as the polls of the bucket know
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
    assert 10 < max(ahead) <= 19


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
