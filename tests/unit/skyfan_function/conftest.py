"""A toy function around a process() that does what its input says, and places for what it writes."""

import json
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from skyfan_function import errors
from skyfan_function.event import Request
from skyfan_function.handler import Job, Result, lambda_handler

Handler = Callable[[Any, Any], dict[str, Any]]


class StarlessError(errors.InputError):
    """An error of the toy's own."""


def process(job: Job[Request]) -> dict[str, Any] | Result:
    """Reads the first word of the input: the name of an error to raise, or what kind of result to give."""
    word, _, rest = job.source.file.read().decode().partition(" ")
    if word == "bug":
        raise ZeroDivisionError("a fault of ours")
    if word == "MemoryError":
        raise MemoryError(rest)
    if word == "StarlessError":
        raise StarlessError("no stars")
    if word.endswith("Error"):
        raise getattr(errors, word)(rest)
    if word == "result":
        more = {job.output.replace(".json", ".txt"): b"beside"}
        return Result(b"body", {"sources": 3, "notes": ["faint"], "doubts": rest}, more)
    document = {"words": [word, *rest.split()], "notes": ["short"], "memory": job.memory}
    return {**document, "doubts": rest} if word == "doubt" else document


@pytest.fixture
def handler() -> Handler:
    """The toy function as Lambda calls it."""
    return lambda_handler(process)


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of all runs; results and failures go below it."""
    root = (tmp_path / "out").as_uri()
    monkeypatch.setenv("SKYFAN_OUTPUT", f"{root}/runs/{{run}}/words/{{key}}.json")
    monkeypatch.setenv("SKYFAN_FAILURES", f"{root}/runs/{{run}}/failures/{{key}}.json")
    monkeypatch.setenv("SKYFAN_DOUBTFUL", f"{root}/runs/{{run}}/doubtful/{{key}}")
    return tmp_path / "out" / "runs"


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., str]:
    """Writes an input and gives its URI."""

    def write(content: str, name: str = "a.txt") -> str:
        path = tmp_path / "in" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        return path.as_uri()

    return write


@pytest.fixture
def context() -> Any:
    """What Lambda gives a handler besides the event."""
    return types.SimpleNamespace(
        memory_limit_in_mb="1769",
        aws_request_id="abc",
        invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:Toy",
        get_remaining_time_in_millis=lambda: 300_000,
    )


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    """Takes the lines of log since the last call; each is a JSON object."""

    def take() -> list[dict[str, Any]]:
        captured = capsys.readouterr()
        assert captured.err == ""
        return [json.loads(line, parse_constant=pytest.fail) for line in captured.out.splitlines()]

    return take


@pytest.fixture
def path_of() -> Callable[[str], Path]:
    """The path of a file:// URI."""
    return lambda uri: Path(unquote(uri.removeprefix("file://")))
