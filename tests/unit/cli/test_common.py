"""What the commands share: where runs lie by default, and which template.yaml is used."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from skyfan.aws import stack
from skyfan.cli import defaults, main
from skyfan.errors import UsageError, of_system

FOREIGN = "Resources:\n  Hello:\n    Type: AWS::Serverless::Function\n    Properties: {CodeUri: hello}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def skyfan(*words: str) -> Result:
    return CliRunner().invoke(main, words)


def test_runs_are_found_where_run_puts_them_by_default(folder: Path) -> None:
    (folder / "skyfan-output/runs").mkdir(parents=True)
    done = skyfan("runs", "--json")
    assert done.exit_code == 0
    assert done.stdout == "[]\n"
    assert "./skyfan-output" in done.stderr


@pytest.mark.parametrize("words", [["--output", "out"], ["--stack", "survey"]])
def test_a_named_place_comes_before_the_default_one(folder: Path, words: list[str]) -> None:
    (folder / "skyfan-output/runs").mkdir(parents=True)
    done = skyfan("runs", *words)
    assert done.exit_code == 2
    assert "skyfan-output" not in done.stderr


def test_a_stack_that_the_environment_names_comes_before_it_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "skyfan-output/runs").mkdir(parents=True)
    monkeypatch.setenv("SKYFAN_STACK", "survey")
    done = skyfan("runs")
    assert done.exit_code == 2
    assert "skyfan-output" not in done.stderr


def test_without_any_place_the_error_names_both_ways() -> None:
    done = skyfan("status", "default")
    assert done.exit_code == 2
    assert "credentials" in done.stderr
    assert "--output" in done.stderr


def test_an_ignored_template_is_named(folder: Path) -> None:
    (folder / "template.yaml").write_text(FOREIGN)
    done = skyfan("run", "none.fits")
    assert done.exit_code == 2
    assert f"{folder / 'template.yaml'} is ignored" in done.stderr
    assert "none.fits" in done.stderr


@pytest.mark.parametrize("before", [None, "eu-west-1"])
def test_a_region_holds_for_one_command(monkeypatch: pytest.MonkeyPatch, before: str | None) -> None:
    seen = []

    def find(*_: object, **__: object) -> None:
        seen.append(os.environ["AWS_REGION"])
        raise UsageError("no stack")

    monkeypatch.setattr(stack, "find", find)
    monkeypatch.delenv("AWS_REGION", raising=False)
    if before:
        monkeypatch.setenv("AWS_REGION", before)
    for words in (("status", "r"), ("run", "s3://b/a.fits", "--engine", "aws")):
        assert skyfan(*words, "--region", "ap-south-1").exit_code == 2
    assert seen == ["ap-south-1"] * 2
    assert os.environ.get("AWS_REGION") == before


def test_ctrl_c_is_130_before_a_command_has_begun_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(defaults, "read", interrupted)
    done = skyfan("runs")
    assert (done.exit_code, done.stderr) == (130, "skyfan: interrupted\n")


def test_a_name_in_an_error_begins_no_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: object) -> None:
        raise UsageError("no file a\nskyfan: all is well")

    monkeypatch.setattr(defaults, "read", refused)
    assert skyfan("runs").stderr == "skyfan: no file a\\nskyfan: all is well\n"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(13, "Permission denied", "/x/a"), ("/x/a: Permission denied; ", "another folder")),
        (OSError(28, "No space left on device", "/x/a"), ("/x/a: No space left on device; ", "free space")),
        (OSError(24, "Too many open files"), ("[Errno 24] Too many open files; ", "ulimit -n")),
        (OSError(5, "Input/output error", "/x/a"), ("/x/a: Input/output error",)),
        (OSError("the line is cut"), ("the line is cut",)),
    ],
)
def test_what_the_system_refuses_has_path_reason_and_cure(error: OSError, words: tuple[str, ...]) -> None:
    text = of_system(error)
    assert text.startswith(words[0])
    assert all(word in text for word in words)
