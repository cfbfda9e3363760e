"""template.yaml against the folders: each function that it registers stands alone, imports, runs its event.

The events run as Lambda would run them, in a fresh process with the function's folder and nothing of ours on
its path, and read and write a real S3 server over HTTP.
"""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import lightcurves
import numpy as np
import pytest
from standins import aws as stand_in_aws

from skyfan import api, inputs, template
from skyfan.errors import InputError
from skyfan.plans.show import preview

REPO = Path(__file__).parents[2]
OURS = template.read(REPO / "template.yaml")
FUNCTIONS = [OURS.function(name) for name in OURS.functions]
each_function = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)

INVOKE = """
import importlib, json, os, sys
folders, handler, events = sys.argv[1:]
sys.path[:0] = folders.split(os.pathsep)
module, _, name = handler.rpartition(".")
function = getattr(importlib.import_module(module), name)
assert "skyfan" not in sys.modules
for event in json.loads(events):
    print("RESULT" + json.dumps(function(event, None)))
"""
ACCOUNT = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The URL of an S3 server on this machine."""
    with stand_in_aws.moto() as url:
        yield url


@pytest.fixture
def s3(endpoint: str) -> Iterator[Any]:
    """boto3's client of that server, which is the second opinion on what obstore reads and writes."""
    session = boto3.Session("test", "test", region_name="us-east-1")
    client = session.client("s3", endpoint_url=endpoint)
    yield client
    client.close()


def put(s3: Any, uri: str, body: bytes, acl: str = "public-read") -> None:
    """Stores an object; unless told otherwise anybody may read it, as in the archive's own bucket."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    s3.create_bucket(Bucket=bucket, ACL="public-read")
    s3.put_object(Bucket=bucket, Key=key, Body=body, ACL=acl)


def invoke(
    function: template.Function, events: list[dict[str, Any]], endpoint: str
) -> subprocess.CompletedProcess[str]:
    """Runs the events one after another in a process; what it prints after RESULT is what one returned."""
    places = {
        name: text.replace("s3://OutputBucket", "s3://output-bucket")
        for name, text in function.environment.items()
    }
    environment = {
        **{
            key: value
            for key, value in os.environ.items()
            if key in {"PATH", "HOME", "LANG", "LD_LIBRARY_PATH"}
        },
        **places,
        **ACCOUNT,
        "AWS_ENDPOINT_URL_S3": endpoint,
    }
    folders = os.pathsep.join(map(str, function.folders))
    command = [sys.executable, "-P", "-c", INVOKE, folders, function.handler, json.dumps(events)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@each_function
def test_the_folder_is_complete(function: template.Function) -> None:
    assert function.code.parent == REPO / "functions"
    assert (function.code / "README.md").is_file()
    event = json.loads((function.code / "event.json").read_text())
    assert event["input"].startswith("s3://")
    package = function.handler.partition(".")[0]
    assert (function.code / package / "__init__.py").is_file()


@each_function
def test_results_go_below_the_run_in_the_stacks_bucket(function: template.Function) -> None:
    output = function.environment["SKYFAN_OUTPUT"]
    assert output.startswith("s3://OutputBucket/runs/{run}/")
    assert output.count("{key}") == 1


@each_function
def test_the_code_stands_alone(function: template.Function) -> None:
    others = {path.name for path in (REPO / "functions").iterdir()} - {function.code.name}
    forbidden = others | {"skyfan", "boto3", "botocore"}
    for path in function.code.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            found = forbidden & {name.partition(".")[0] for name in names}
            assert not found, f"{path}:{node.lineno} imports {found}"


@each_function
def test_the_event_runs_and_its_result_is_in_the_bucket(
    function: template.Function, endpoint: str, s3: Any, demo_data: Path, tmp_path: Path
) -> None:
    event = json.loads((function.code / "event.json").read_text())
    image = demo_data / "j8bt06nyq_drz.fits"
    put(s3, event["input"], (light_curve(tmp_path) if function.name == "Transits" else image).read_bytes())
    s3.create_bucket(Bucket="output-bucket")
    done = invoke(function, [event], endpoint)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.partition("RESULT")[2])
    assert result["input"] == event["input"]
    key = event["input"].removeprefix("s3://")
    folder = f"s3://output-bucket/runs/{event.get('run', 'default')}/"
    assert result["output"].startswith(folder)
    assert key in result["output"]
    stored = s3.get_object(Bucket="output-bucket", Key=result["output"].removeprefix("s3://output-bucket/"))
    assert stored["ContentLength"] > 100
    lines = done.stdout.partition("RESULT")[0].splitlines()
    assert [type(json.loads(line)) for line in lines] == [dict], "a function logs one JSON line"


def light_curve(folder: Path) -> Path:
    """A light curve of ten days at ten minutes."""
    curve = lightcurves.make(np.random.default_rng(4), 600.0, 10.0)
    return lightcurves.write(folder / "lc.fits", curve)


PERMANENT: list[tuple[dict[str, Any], str]] = [
    ({"input": "s3://stpubdata/no/such.fits"}, "InputNotFoundError"),
    ({"input": "s3://no-such-bucket/x.fits"}, "AccessDeniedError"),
    ({"input": "s3://stpubdata/no/such #1?.fits", "colour": "red"}, "EventError"),
    ({"input": "s3://stpubdata/proprietary.fits"}, "AccessDeniedError"),
    ({"input": "s3://stpubdata/words.fits", "access": "signed"}, "NotFitsError"),
]


@each_function
def test_a_permanent_failure_is_a_result_with_a_record_in_the_bucket(
    function: template.Function, endpoint: str, s3: Any
) -> None:
    put(s3, "s3://stpubdata/proprietary.fits", b"secret", acl="private")
    put(s3, "s3://stpubdata/words.fits", b"no stars here" * 1000, acl="private")
    s3.create_bucket(Bucket="output-bucket")
    done = invoke(function, [event for event, _ in PERMANENT], endpoint)
    assert done.returncode == 0, done.stderr
    # each event logs a line, then its result follows RESULT on a line of its own
    printed = [json.loads(line.removeprefix("RESULT")) for line in done.stdout.splitlines()]
    for (event, error), line, result in zip(PERMANENT, printed[::2], printed[1::2], strict=True):
        assert (result["errorType"], result["permanent"], "output" in result) == (error, True, False)
        assert (line["level"], line["errorType"], line["record"]) == ("ERROR", error, result["record"])
        key = f"runs/default/failures/{event['input'].removeprefix('s3://')}.json"
        assert result["record"] == f"s3://output-bucket/{key}"
        record = json.loads(s3.get_object(Bucket="output-bucket", Key=key)["Body"].read())
        assert record["requestPayload"] == event
        assert record["responsePayload"]["errorType"] == error


@each_function
def test_an_event_without_a_place_for_its_record_raises(function: template.Function, endpoint: str) -> None:
    done = invoke(function, [{}], endpoint)
    assert done.returncode == 1
    assert ".errors.EventError: " in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_the_local_engine_reads_s3_and_its_results_mirror_the_keys(
    endpoint: str, s3: Any, demo_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a_flt.fits", "deep/b c%41_flt.fits"):
        put(s3, f"s3://archive/public/{name}", (demo_data / "ib4606c6q_flc.fits").read_bytes())
    put(s3, "s3://archive/public/hidden.fits", b"proprietary", acl="private")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    for name, folder, suffix in (
        ("SepExtract", "catalogs", ".cat.fits"),
        ("FitsSummary", "summaries", ".json"),
    ):
        options, task = api.LocalOptions(tmp_path, jobs=1), api.Task(name, function=name)
        summary = api.run(["s3://archive/public/"], options, task)
        assert (summary.done, summary.failed, summary.retries, summary.unwritten) == (2, 1, 0, 0)
        assert list(summary.failures) == ["AccessDeniedError"]
        for key in ("a_flt.fits", "deep/b c%41_flt.fits"):
            assert (tmp_path / "runs" / name / folder / f"archive/public/{key}{suffix}").is_file()
        assert api.run(["s3://archive/public/"], options, task).done_before == 2


def test_what_s3_refuses_is_unresolved_by_name_and_all_else_is_planned(
    endpoint: str, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = ["s3://mixed/p//b_flt.fits", "s3://mixed/p/b\t_flt.fits", "s3://mixed/p/./c_flt.fits"]
    good = ["s3://mixed/p/a_flt.fits", "s3://mixed/p/z_flt.fits"]
    for uri in [*bad, *good]:
        put(s3, uri, b"x")
    put(s3, "s3://mixed/p/hidden_flt.fits", b"x", acl="private")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    for path in ("s3://mixed/p/", "s3://mixed/*_flt.fits"):
        plan = api.plan([path], tmp_path / "plan.parquet")
        assert [item.uri for item in plan] == good
        unresolved = {row["input"]: row["detail"] for row in preview(plan)["unresolved"]}
        assert sorted(unresolved) == sorted([*bad, "s3://mixed/p/hidden_flt.fits"])
        assert "--access signed" in unresolved["s3://mixed/p/hidden_flt.fits"]
        assert all("part" in unresolved[uri] or "control" in unresolved[uri] for uri in bad)
    s3.put_object_acl(Bucket="mixed", Key="p/hidden_flt.fits", ACL="public-read")
    again = api.plan(resume=tmp_path / "plan.parquet")
    assert (again.files, len(preview(again)["unresolved"])) == (3, 3)
    with pytest.raises(InputError, match="skyfan plan"):
        inputs.expand(["s3://mixed/p/"])


def test_a_prefix_gives_its_images(endpoint: str, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a_flt.fits", "deep/b_drz.fits.gz", "c.jpg"):
        put(s3, f"s3://sky/public/{name}", b"x")
    put(s3, "s3://sky/publicity/d.fits", b"x")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    found = inputs.expand(["s3://sky/public/"])
    assert found == ["s3://sky/public/a_flt.fits", "s3://sky/public/deep/b_drz.fits.gz"]
    with pytest.raises(InputError, match="no FITS file under"):
        inputs.expand(["s3://sky/nothing/"])
    with pytest.raises(InputError, match="does not exist"):
        inputs.expand(["s3://no-such-bucket/"])
