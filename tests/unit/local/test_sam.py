"""The sam engine without containers: what it needs, what it tells sam, and what it makes of the answer."""

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
import yaml

from skyfan import template
from skyfan.engine import SamOptions, Selection
from skyfan.errors import UsageError
from skyfan.local import sam
from skyfan.local.pool import Job
from skyfan.local.run_folder import RunFolder
from skyfan.plans import plan as plans
from skyfan.task import Task

REPO = Path(__file__).parents[3]
REPORT = "REPORT RequestId: 1\tInit Duration: 0.08 ms\tDuration: 1500.00 ms\tBilled Duration: 1500 ms\t\n"


class FakeServer:
    """The S3 server, as far as the pool sees it."""

    url = "http://172.17.0.1:5000"

    def __init__(self) -> None:
        self.written: dict[str, bytes] = {}

    def put_image(self, uri: str) -> str:
        return uri.replace("file:///", f"s3://{sam.IMAGES}/")

    def take_results(self, run: str, key: str) -> Any:
        return self.written.items()


class FakeProcess:
    """`sam local invoke`, which has ended."""

    def __init__(self, words: list[str], *, stdout: Any, stderr: Any, **_: Any) -> None:
        self.words = words
        stdout.write(self.answer.encode())
        stderr.write(self.log.encode())

    answer = log = ""

    def poll(self) -> int:
        return 0


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> template.Template:
    monkeypatch.setattr(sam, "program", lambda: "sam")
    monkeypatch.setattr(sam, "_pull", lambda: ())
    monkeypatch.setattr(sam.subprocess, "Popen", FakeProcess)
    return template.read(REPO / "template.yaml")


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def pool(registry: template.Template, server: FakeServer, tmp_path: Path) -> Any:
    function = registry.function("SepExtract")
    built = tmp_path / "template.yaml"
    resource = {"Type": template.FUNCTION, "Properties": {"CodeUri": "SepExtract"}}
    built.write_text(yaml.safe_dump({"Resources": {"SepExtract": resource}}))
    folder = RunFolder(tmp_path / "out", Task("r"), template.results(function))
    logs: list[str] = []
    made = sam.Containers(function, folder, server, built, 1, logs.append)  # type: ignore[arg-type]
    yield SimpleNamespace(pool=made, logs=logs, folder=folder, built=built)
    made.close()


def attempt(pool: Any, monkeypatch: pytest.MonkeyPatch, answer: str, log: str) -> Any:
    monkeypatch.setattr(FakeProcess, "answer", answer)
    monkeypatch.setattr(FakeProcess, "log", log)
    pool.pool.give(Job(0.0, "file:///data/a.fits", {"input": "file:///data/a.fits", "run": "r"}))
    assert not pool.pool.can_take()
    (made,) = pool.pool.wait(0.0)
    assert pool.pool.can_take()
    return made


def test_results_are_copied_to_where_the_local_engine_has_them(
    pool: Any, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = "runs/r/catalogs/data/a.fits.cat.fits"
    server.written = {catalog: b"SIMPLE", "runs/r/doubtful/NO_SKY/data/a.fits": b""}
    old = pool.folder.folder / "doubtful/UNIT/data/a.fits"
    old.parent.mkdir(parents=True)
    old.touch()
    log = f"START RequestId: 1\n{{'input': 's3://images/data/a.fits'}}\n{REPORT}"
    made = attempt(pool, monkeypatch, '{"input": "s3://images/data/a.fits", "sources": 3}\n', log)
    assert (made.error, made.seconds) == (None, 1.5)
    assert made.result == {"input": "file:///data/a.fits", "sources": 3}
    assert (pool.folder.output / catalog).read_bytes() == b"SIMPLE"
    marks = [path.parts[-3] for path in (pool.folder.folder / "doubtful").rglob("a.fits")]
    assert marks == ["NO_SKY"], "the mark of an earlier result is gone"
    assert "s3://images" not in pool.logs[0]


def test_a_record_names_the_file_of_this_machine(
    pool: Any, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = json.dumps({"requestPayload": {"input": "s3://images/data/a.fits"}}).encode()
    server.written = {"runs/r/failures/data/a.fits.json": record}
    answer = json.dumps(
        {"input": "s3://images/data/a.fits", "errorType": "TruncatedError", "record": "s3://x"}
    )
    made = attempt(pool, monkeypatch, answer, f"START RequestId: 1\n{REPORT}")
    assert made.recorded["errorType"] == "TruncatedError"
    written = json.loads(pool.folder.failure("file:///data/a.fits").read_text())
    assert written["requestPayload"]["input"] == "file:///data/a.fits"


@pytest.mark.parametrize(
    ("answer", "log", "error_type", "started"),
    [
        ('{"errorType": "StorageError", "errorMessage": "x"}', "START RequestId: 1\n", "StorageError", True),
        (
            "",
            "START RequestId: 1\nFunction 'SepExtract' timed out after 300 seconds\n",
            "Sandbox.Timedout",
            True,
        ),
        ("", "START RequestId: 1\nkilled\n", "Runtime.ExitError", True),
        ("", "Error: image not found\n", "Runtime.ExitError", False),
        ("not JSON\n[1]\n", "", "Runtime.ExitError", False),
    ],
)
def test_an_error_is_one_of_lambda_s(
    pool: Any, monkeypatch: pytest.MonkeyPatch, answer: str, log: str, error_type: str, started: bool
) -> None:
    made = attempt(pool, monkeypatch, answer, log)
    assert (made.error["errorType"], made.started) == (error_type, started)


def test_the_template_for_containers_names_the_local_server_and_the_limits(pool: Any) -> None:
    document = yaml.safe_load(pool.built.with_name("skyfan-SepExtract.yaml").read_text())
    properties = document["Resources"]["SepExtract"]["Properties"]
    assert (properties["CodeUri"], properties["MemorySize"], properties["Timeout"]) == (
        "SepExtract",
        512,
        300,
    )
    variables = properties["Environment"]["Variables"]
    assert variables["AWS_ENDPOINT_URL_S3"] == FakeServer.url
    assert variables["SKYFAN_OUTPUT"] == "s3://results/runs/{run}/catalogs/{key}.cat.fits"
    assert variables["SKYFAN_INPUTS"] == "images", "which is where the files are put"
    assert variables["SKYFAN_FAILURES"] == "s3://results/runs/{run}/failures/{key}.json"


def test_only_files_of_this_machine_are_taken(
    registry: template.Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sam, "check", lambda: None)
    plan = plans.write(
        tmp_path / "plan.parquet", pa.table({"uri": ["s3://b/a.fits"], "size": [1], "tier": ["standard"]}), {}
    )
    with pytest.raises(UsageError, match="local files"):
        sam.SamEngine(registry, SamOptions(tmp_path / "out"), lambda: tmp_path).send(Task("r"), plan)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("programs", "code", "words"),
    [
        ([], 0, "install it with"),
        (["sam"], 0, "Docker is not installed: https://"),
        (["sam", "docker"], 1, "no Docker daemon answers"),
    ],
)
def test_what_is_missing_is_named_with_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, programs: list[str], code: int, words: str
) -> None:
    monkeypatch.setattr(sam.shutil, "which", lambda name: name if name in programs else None)
    monkeypatch.setattr(template, "OWN", tmp_path)
    done = subprocess.CompletedProcess([], code)
    monkeypatch.setattr(sam.subprocess, "run", lambda *_, **__: done)
    engine = sam.SamEngine(template.read(REPO / "template.yaml"), SamOptions(tmp_path), lambda: tmp_path)
    with pytest.raises(UsageError, match=words):
        engine.send(Task("r"), Selection())


@pytest.mark.parametrize(
    ("configuration", "address"),
    [
        ([{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.9"}], "172.17.0.9"),
        ([{"Subnet": "172.17.0.0/16"}], "172.17.0.1"),
        ([{"Subnet": "172.17.0.0/16", "Gateway": ""}], "172.17.0.1"),
        ([{"Subnet": "fd00::/64"}, {"Subnet": "10.5.4.0/24"}], "10.5.4.1"),
        ([{"Subnet": "fd00::/64"}], None),
        ([], None),
        (None, None),
    ],
)
def test_the_address_of_a_network_is_the_first_of_its_subnet_unless_it_is_named(
    configuration: Any, address: str | None
) -> None:
    assert sam.gateway(json.dumps(configuration)) == address
    assert sam.gateway("") is None
