"""skyfan stack copy and skyfan deploy, with CloudFormation, STS and S3 served by moto.

What sam is called with is read from a stand-in: a script that writes down its arguments. The slow test runs
the real sam: it builds, packages and uploads, and ends at CreateChangeSet, whose template moto cannot read.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result
from standins import aws as stand_in_aws
from standins.processes import SKYFAN

from skyfan import template
from skyfan.api import stacks
from skyfan.cli import main
from skyfan.errors import UsageError

REPO = Path(__file__).parents[2]
SAM = """#!{python}
import json, os, sys
with open({log!r}, "a") as log:
    print(json.dumps([os.getcwd(), os.environ["PYTHON"], *sys.argv[1:]]), file=log)
print("sam says", sys.argv[1])
sys.exit(sys.argv[1] == os.environ.get("FAILS"))
"""
Sam = Callable[[], list[list[str]]]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """URL of the services of AWS."""
    with stand_in_aws.moto() as url:
        yield url


@pytest.fixture
def account(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's AWS configuration."""
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def sam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sam:
    """Puts the stand-in on PATH; returns its calls: working folder, PYTHON, arguments."""
    log, script = tmp_path / "sam.log", tmp_path / "bin/sam"
    script.parent.mkdir()
    script.write_text(SAM.format(python=sys.executable, log=str(log)))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    return lambda: [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: a copy of the stack."""
    stacks.copy(tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def skyfan(*words: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(main, words, input=answer)


def test_a_copy_of_the_stack_is_whole_and_found_from_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = skyfan("stack", "copy", str(tmp_path / "mine"), "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"template": str(tmp_path / "mine/template.yaml")}
    ours = template.read(REPO / "template.yaml")
    mine = template.read(tmp_path / "mine/template.yaml")
    assert mine.document == ours.document
    for name in mine.functions:
        assert mine.function(name).code.is_relative_to(tmp_path / "mine")
    monkeypatch.chdir(tmp_path / "mine/functions")
    assert template.find().path == tmp_path / "mine/template.yaml"
    assert not list((tmp_path / "mine").rglob("__pycache__"))


def test_a_copy_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").touch()
    for name in ("full", "full/notes.txt"):
        done = skyfan("stack", "copy", str(tmp_path / name))
        assert done.exit_code == 2
        assert name in done.stderr
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["notes.txt"]
    with pytest.raises(UsageError, match="inside"):
        stacks.copy(REPO / "functions/copy")


@pytest.mark.usefixtures("account")
def test_it_prints_what_it_would_create_and_asks(copy: Path, sam: Sam) -> None:
    done = skyfan("deploy", "--region", "eu-west-1", "-p", "MemorySize=3008", answer="n\n")
    assert done.exit_code == 1
    assert not sam()
    document = template.load((copy / "template.yaml").read_text())
    unmet = {"ReadsExtra", "EncryptsOutput", "KeepsWatches"}
    made = {name for name, each in document["Resources"].items() if each.get("Condition") not in unmet}
    for name in made:
        assert name in done.stdout
    for fact in ("123456789012", "eu-west-1", str(copy), "3,008 MB", "MemorySize=3008", "USD"):
        assert fact in done.stdout
    assert "ExtraInputPolicy" not in done.stdout


@pytest.mark.usefixtures("account", "copy")
def test_conditions_follow_the_parameters(sam: Sam) -> None:
    words = ("-p", "ExistingOutputBucket=mine", "-p", "ExtraInputBucket=images", "-p", "Dashboard=false")
    done = skyfan("deploy", *words, answer="n\n")
    assert "ExtraInputPolicy" in done.stdout
    assert "OutputBucket," not in done.stdout
    assert "RunDashboard" not in done.stdout


@pytest.mark.usefixtures("account", "copy")
@pytest.mark.parametrize(("fails", "answer", "code"), [("", "y\n", 0), ("deploy", "y\n", 1), ("", "n\n", 1)])
def test_json_is_one_document_and_all_else_is_on_stderr(
    sam: Sam,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    fails: str,
    answer: str,
    code: int,
) -> None:
    monkeypatch.setenv("FAILS", fails)
    done = skyfan("deploy", "--json", "-p", "Dashboard=false", answer=answer)
    assert done.exit_code == code
    document = json.loads(done.stdout)
    assert (document["stack"], document["region"], document["updates"]) == ("skyfan", "us-east-1", False)
    assert (document["account"], document["parameters"]) == ("123456789012", {"Dashboard": "false"})
    assert "SepExtract" in document["resources"]["AWS::Serverless::Function"]
    assert "AWS::CloudWatch::Dashboard" not in document["resources"]
    assert document["deployed"] == (code == 0)
    assert "Deploy?" in done.stderr
    out, err = capfd.readouterr()
    assert not out
    assert ("sam says deploy" in err) == (answer == "y\n")


@pytest.mark.usefixtures("account")
def test_sam_builds_and_deploys_with_the_parameters(copy: Path, sam: Sam) -> None:
    words = ("--stack", "survey", "-p", "Architecture=arm64", "-p", "MemorySize=3008")
    done = skyfan("deploy", *words, "--yes", "--", "--tags", "team=sky")
    assert done.exit_code == 0, done.output
    here = [str(copy), sys.executable]
    overrides = ["--parameter-overrides", 'Architecture="arm64"', 'MemorySize="3008"']
    place = ["--stack-name", "survey", "--region", "us-east-1"]
    assert sam() == [
        [*here, "build", *overrides],
        [*here, "deploy", *place, *overrides, "--tags", "team=sky"],
    ]


@pytest.mark.usefixtures("account", "copy")
def test_an_update_builds_for_the_parameters_that_the_stack_has(sam: Sam) -> None:
    client = boto3.client("cloudformation", region_name="us-east-1")
    body = {
        "Parameters": {"Architecture": {"Type": "String"}, "Gone": {"Type": "String"}},
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
    }
    values = {"Architecture": "arm64", "Gone": "x"}
    client.create_stack(
        StackName="old",
        TemplateBody=json.dumps(body),
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()],
    )
    done = skyfan("deploy", "--stack", "old", "-p", "Timeout=60", "--yes")
    assert done.exit_code == 0, done.output
    assert "Updates the stack old" in done.stdout
    (_, _, *build), (_, _, *deploy) = sam()
    assert build == ["build", "--parameter-overrides", 'Architecture="arm64"', 'Timeout="60"']
    assert deploy[-2:] == ["--parameter-overrides", 'Timeout="60"']


@pytest.mark.usefixtures("account", "copy")
@pytest.mark.parametrize(("fails", "calls"), [("build", 1), ("deploy", 2)])
def test_a_failure_of_sam_is_1(sam: Sam, monkeypatch: pytest.MonkeyPatch, fails: str, calls: int) -> None:
    monkeypatch.setenv("FAILS", fails)
    done = skyfan("deploy", "--yes")
    assert done.exit_code == 1
    assert len(sam()) == calls


@pytest.mark.usefixtures("account", "copy")
@pytest.mark.parametrize(
    ("words", "fact"),
    [
        (["-p", "MemorySise=1024"], "MemorySize"),
        (["-p", "MemorySize=64"], "512"),
        (["-p", "MemorySize=much"], "512"),
        (["-p", "Architecture=vax"], "arm64"),
        (["-p", "ExistingOutputBucket=s3://mine"], "ExistingOutputBucket"),
        (["-p", "MemorySize"], "NAME=VALUE"),
        (["--", "--region", "eu-west-1"], "--region"),
        (["--", "--parameter-overrides=A=b"], "--parameter"),
    ],
)
def test_wrong_use_is_2_before_anything_runs(sam: Sam, words: list[str], fact: str) -> None:
    done = skyfan("deploy", "--yes", *words)
    assert done.exit_code == 2
    assert fact in done.stderr
    assert not sam()


@pytest.mark.usefixtures("copy")
def test_without_credentials_it_is_2(sam: Sam) -> None:
    done = skyfan("deploy", "--yes")
    assert done.exit_code == 2
    assert "credentials" in done.stderr
    assert not sam()


@pytest.mark.usefixtures("account", "copy")
@pytest.mark.parametrize(
    ("is_installed", "command"), [(True, "pipx install aws-sam-cli"), (False, "make sam")]
)
def test_without_sam_the_error_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_installed: bool, command: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(template, "IS_INSTALLED", is_installed)
    monkeypatch.setattr(template, "OWN", tmp_path)
    done = skyfan("deploy", "--yes")
    assert done.exit_code == 2
    assert command in done.stderr


@pytest.mark.usefixtures("account")
def test_the_stack_of_an_installed_package_is_built_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sam: Sam
) -> None:
    package = tmp_path / "package/stack"
    stacks.copy(package)
    monkeypatch.setattr(template, "IS_INSTALLED", True)
    monkeypatch.setattr(template, "OWN", package)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    stale = tmp_path / "cache/skyfan/deploy/survey/functions/stale.py"
    stale.parent.mkdir(parents=True)
    stale.touch()
    done = skyfan("deploy", "--stack", "survey", "--yes")
    assert done.exit_code == 0, done.output
    assert {call[0] for call in sam()} == {str(tmp_path / "cache/skyfan/deploy/survey")}
    files = {path.relative_to(package) for path in package.rglob("*")}
    assert {path.relative_to(stale.parents[1]) for path in stale.parents[1].rglob("*")} == files


@pytest.mark.slow
@pytest.mark.usefixtures("account")
def test_the_real_sam_builds_packages_and_uploads(copy: Path, endpoint: str) -> None:
    real = REPO / ".venv/sam/bin"
    if not (real / "sam").exists():
        pytest.skip("SAM is not installed: make sam")
    s3: Any = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="packages")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "skyfan", "deploy", "--yes", "-p", "Architecture=arm64"),
            *("--", "--s3-bucket", "packages", "--no-resolve-s3"),
        ],
        cwd=copy,
        env={
            **os.environ,
            "PATH": f"{real}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": SKYFAN,
            "SAM_CLI_TELEMETRY": "0",
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    said = done.stdout + done.stderr
    assert "Build Succeeded" in said, said
    assert '{"Architecture": "arm64"}' in said, said
    assert "CreateChangeSet" in said, said
    assert done.returncode == 1
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket="packages")["Contents"]]
    codes = len(list((copy / "functions").glob("*/Makefile")))
    assert len(keys) == codes + 2, keys  # one per function's code, the layer, the template
    assert sum(key.endswith(".template") for key in keys) == 1
