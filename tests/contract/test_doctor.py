"""skyfan doctor: what it finds with real servers, without any, and in a hostile environment."""

import io
import json
import os
import socket
import socketserver
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from standins import aws as stand_in_aws
from standins.mast import Mast
from standins.sky import Sky

from skyfan.cli import main
from skyfan.doctor import check, machine
from skyfan.doctor.check import PURPOSES, Answer, Check, Diagnosis, Finding, NotCheckedError, Shared, examined
from skyfan.errors import UsageError

SECRET = "s3cret-word"
Doctor = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing answers: not the archive, not AWS, and no program is installed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}"
    for name in ("SKYFAN_MAST", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(name, closed)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with stand_in_aws.moto() as url:
        yield url


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with Mast(Sky(20)) as mast:
        for name, value in mast.environment.items():
            monkeypatch.setenv(name, value)
        yield


@pytest.fixture
def account(moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials and a stack; stpubdata is there too."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(name, moto.replace("//", f"//somebody:{SECRET}@"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, SECRET)
    aws = {name: stand_in_aws.client(name, moto) for name in ("s3", "iam", "lambda", "cloudformation")}
    for bucket in ("results", "stpubdata"):
        aws["s3"].create_bucket(Bucket=bucket)
    if aws["lambda"].list_functions()["Functions"]:
        return
    role = aws["iam"].create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("empty.py", "")
    function = aws["lambda"].create_function(
        FunctionName="sep",
        Runtime="python3.13",
        Role=role,
        Handler="empty.handler",
        MemorySize=512,
        Code={"ZipFile": archive.getvalue()},
    )
    for stack, more in (("skyfan", {"SkyfanVersion": machine.version()}), ("old", {})):
        outputs = {
            "ResultsBucket": "results",
            "SepExtractName": "sep",
            "SepExtractArn": function["FunctionArn"],
        }
        body = {
            "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
            "Outputs": {key: {"Value": value} for key, value in (outputs | more).items()},
        }
        aws["cloudformation"].create_stack(StackName=stack, TemplateBody=json.dumps(body))


@pytest.fixture
def doctor() -> Doctor:
    def call(*words: str) -> tuple[int, dict[str, Any]]:
        done = CliRunner().invoke(main, ["doctor", *words, "--json"])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        document = json.loads(done.stdout)
        assert SECRET not in done.output
        assert done.exit_code == (0 if all(document["works"][each] for each in document["for"]) else 1)
        return done.exit_code, {item["check"]: item for item in document["findings"]} | document

    return call


def test_without_network_account_and_programs_a_laptop_works(doctor: Doctor) -> None:
    code, found = doctor()
    assert code == 0
    assert found["works"] == dict.fromkeys(PURPOSES, False) | {"laptop": True, "pictures": True}
    missing = {item["check"]: item for item in found["findings"] if item["state"] == "missing"}
    # `make sam` puts one beside this Python, where doctor finds it.
    known = {"sam"} if (Path(sys.prefix) / "sam/bin/sam").exists() else set()
    expected = {"sam", "make and pip", "Docker", "MAST", "stpubdata", "AWS credentials"}
    assert set(missing) == expected - known
    assert all(item["advice"] for item in missing.values())
    assert found["stack"]["state"] == found["results bucket"]["state"] == "unchecked"


ANSWERS = {
    "a page of a proxy": b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>",
    "half a listing": b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n<?xml",
    "an error": b"HTTP/1.1 500 no\r\nContent-Length: 0\r\n\r\n",
    "control characters": b"HTTP/1.1 403 no\r\nContent-Length: 26\r\n\r\n<Error>\x1b[31m\x00</Error>...",
    "no HTTP": b"220 mail.example.org ESMTP\r\n",
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_store_that_answers_with_something_else_is_missing(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.request.recv(65_536)
            self.wfile.write(ANSWERS[answer])

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_address[1]}")
        code, found = doctor("--for", "laptop")
        server.shutdown()
    assert (code, found["stpubdata"]["state"]) == (0, "missing")
    assert found["stpubdata"]["advice"].isprintable()


@pytest.mark.slow
@pytest.mark.usefixtures("archive")
def test_the_archive_is_enough_for_plans(doctor: Doctor) -> None:
    code, found = doctor("--for", "plan", "--for", "laptop")
    assert code == 0
    assert found["MAST"]["state"] == found["stpubdata"]["state"] == "ok"
    assert doctor("--for", "plan", "--for", "aws")[0] == 1


@pytest.mark.slow
@pytest.mark.usefixtures("account")
def test_an_account_with_a_stack(doctor: Doctor) -> None:
    code, found = doctor("--for", "aws")
    assert code == 0
    assert "123456789012" in found["AWS credentials"]["text"]
    assert found["stack"]["state"] == found["results bucket"]["state"] == "ok"
    assert "512 MB" in found["Lambda memory"]["text"]
    assert found["AWS region"]["state"] == "doubtful", "the endpoint is not AWS's"
    old = doctor("--stack", "old", "--for", "aws")[1]["stack"]
    assert (old["state"], "skyfan deploy --stack old" in old["advice"]) == ("doubtful", True)
    code, found = doctor("--stack", "nothing", "--for", "aws")
    assert (code, found["stack"]["state"], found["results bucket"]["state"]) == (1, "missing", "unchecked")
    assert "skyfan deploy" in found["stack"]["advice"]


@pytest.mark.slow
@pytest.mark.usefixtures("account")
def test_a_bucket_that_is_gone_is_missing(doctor: Doctor, moto: str) -> None:
    stand_in_aws.client("s3", moto).delete_bucket(Bucket="results")
    code, found = doctor("--for", "aws")
    assert (code, found["results bucket"]["state"]) == (1, "missing")


HOSTILE = {
    "region": {"AWS_REGION": "no region at all", "AWS_DEFAULT_REGION": "☃"},
    "profile": {"AWS_PROFILE": "nobody"},
    "endpoint": {"AWS_ENDPOINT_URL": f"somebody:{SECRET}@nowhere", "AWS_ENDPOINT_URL_S3": "::"},
    "proxy": {"HTTPS_PROXY": f"socks5://u:{SECRET}@h:1", "HTTP_PROXY": f"http://u:{SECRET}@127.0.0.1:1"},
    "port": {"HTTP_PROXY": f"http://u:{SECRET}@[::1:99999"},
    "bundle": {"AWS_CA_BUNDLE": "/nowhere.pem", "REQUESTS_CA_BUNDLE": os.devnull},
    "mast": {"SKYFAN_MAST": f"u:{SECRET}@mast"},
    "numbers": {"AWS_MAX_ATTEMPTS": "many", "COLUMNS": "-3", "AWS_RETRY_MODE": "never"},
    "config": {"AWS_CONFIG_FILE": __file__, "AWS_SHARED_CREDENTIALS_FILE": __file__},
    "home": {"HOME": "/nowhere", "TMPDIR": "/nowhere", "XDG_CACHE_HOME": "/dev/null"},
    "stack": {"SKYFAN_STACK": "../☃ {}"},
}


@pytest.mark.slow
@pytest.mark.parametrize("variables", [pytest.param(each, id=name) for name, each in HOSTILE.items()])
def test_a_hostile_environment_is_reported_and_not_raised(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    code, found = doctor()
    assert code == 0
    assert all(item["advice"] for item in found["findings"] if item["state"] == "missing")


@pytest.mark.slow
def test_a_person_reads_a_line_per_check_and_what_works(tmp_path: Path) -> None:
    done = CliRunner(env={"COLUMNS": "80"}).invoke(main, ["doctor"])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert all(len(line) <= 80 or len(line.split()) <= 4 for line in lines), "a path is not broken"
    assert len([line for line in lines if line.startswith(("ok", "limited", "MISSING", "?"))]) == 21
    assert "laptop    works" in done.output


def test_a_working_folder_that_is_gone_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    (found,) = examined([item for item in machine.checks() if item.name == "working folder"]).values()
    assert found.state == "missing"


def hang() -> Answer:
    threading.Event().wait()
    raise AssertionError


def fail() -> Answer:
    raise SystemExit(3)


def test_no_check_hangs_or_raises_and_others_answer() -> None:
    checks = [
        Check("hangs", ("laptop",), "no", hang, 0.05),
        Check("exits", ("laptop",), "no", fail),
        Check("works", ("laptop",), "no", lambda: Answer("ok", "yes")),
    ]
    found = examined(checks)
    assert {name: item.state for name, item in found.items()} == {
        "hangs": "missing",
        "exits": "missing",
        "works": "ok",
    }
    assert not Diagnosis(list(found.values())).works("laptop")
    assert Diagnosis([found["works"]]).works("laptop")


def test_what_needs_a_missing_answer_is_not_checked() -> None:
    shared: Shared[int] = Shared("the number", 5.0)
    with pytest.raises(UsageError):
        shared.make(lambda: _raise(UsageError("no")))
    with pytest.raises(NotCheckedError, match="the number"):
        shared.get()
    (found,) = examined([Check("next", ("aws",), "no", lambda: Answer("ok", str(shared.get())))]).values()
    assert (found.state, found.blocks("aws"), found.blocks("laptop")) == ("unchecked", True, False)


def _raise(error: Exception) -> int:
    raise error


def test_passwords_are_not_in_findings() -> None:
    said = f"the proxy http://u:{SECRET}@host:1 and u:{SECRET}@host"
    found = Check("x", (), "", hang).finding(Answer("missing", said, said))
    assert isinstance(found, Finding)
    assert SECRET not in found.text + found.advice
    assert "host:1" in found.text


def test_the_limits_of_all_checks_are_a_minute_after_what_is_local() -> None:
    from skyfan.doctor import account, diagnosis

    assert max(item.limit_s for item in (*diagnosis.archive_checks(), *account.checks("x"))) <= 60
    assert check.LOCAL_S <= 20
