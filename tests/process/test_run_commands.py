"""status, runs, retry and cancel on a folder, as a user calls them: output and exit codes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from skyfan import api
from skyfan.cli import main
from skyfan.errors import UsageError
from skyfan.local import sam

TOY = str(Path(__file__).parent / "toy" / "template.yaml")
Skyfan = Callable[..., Result]


@pytest.fixture
def skyfan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Skyfan:
    """Runs a command in tmp_path."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> Result:
        result = CliRunner().invoke(main, words)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return call


@pytest.fixture
def toy(tmp_path: Path, skyfan: Skyfan) -> Callable[..., Result]:
    """Runs the toy function over scripts, without retries."""

    def make(*actions: str) -> Result:
        (tmp_path / "in").mkdir(exist_ok=True)
        for number, action in enumerate(actions):
            (tmp_path / "in" / f"{number}.fits").write_text(action)
        words = ("--template", TOY, "--function", "Toy", "--retries", "0", "-j", "2")
        return skyfan("run", "in", "-o", "out", *words)

    return make


def status(skyfan: Skyfan) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(skyfan("status", "default", "-o", "out", "--json").stdout)
    return document


def counts(skyfan: Skyfan) -> dict[str, int]:
    return {name: count for name, count in status(skyfan)["counts"].items() if count}


def retry(skyfan: Skyfan, *words: str) -> Result:
    return skyfan("retry", "default", "-o", "out", "--template", TOY, *words)


def test_status_is_0_if_all_files_are_done(skyfan: Skyfan, toy: Callable[..., Result]) -> None:
    toy("ok", "ok")
    result = skyfan("status", "default", "-o", "out")
    assert result.exit_code == 0
    assert "run default of Toy" in result.stdout
    assert "skyfan retry" not in result.stdout
    assert counts(skyfan) == {"planned": 2, "done": 2}


def test_status_is_1_with_failures_and_names_the_remedies(skyfan: Skyfan, toy: Callable[..., Result]) -> None:
    toy("ok", "fail no good", "fail worse", "leave 4", "eat 2000")
    result = skyfan("status", "default", "-o", "out")
    assert result.exit_code == 1
    for part in (
        "2 x PixelError",
        "1 x Runtime.OutOfMemory",
        "1 x Runtime.ExitError",
        "`skyfan retry default`",
    ):
        assert part in result.stdout
    document = status(skyfan)
    assert document["counts"]["failed"] == sum(group["count"] for group in document["failures"]) == 4
    groups = {group["errorType"]: group for group in document["failures"]}
    assert groups["PixelError"]["permanent"]
    assert groups["Runtime.OutOfMemory"]["exhausted"]
    record = groups["PixelError"]["example"]["record"]
    assert Path(record.removeprefix("file://")).is_file()


def test_failed_files_are_listed_one_per_line(
    skyfan: Skyfan, toy: Callable[..., Result], tmp_path: Path
) -> None:
    toy("ok", "fail no\tgood", "fail worse")
    result = skyfan("status", "default", "-o", "out", "--failed")
    assert result.exit_code == 1
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert [row[:4] for row in rows] == [
        [(tmp_path / "in/1.fits").as_uri(), "failed", "PixelError", "no good"],
        [(tmp_path / "in/2.fits").as_uri(), "failed", "PixelError", "worse"],
    ]
    listed = json.loads(skyfan("status", "default", "-o", "out", "--failed", "--json").stdout)
    assert [row["errorMessage"] for row in listed] == ["no good", "worse"]


def test_follow_ends_when_all_files_have_ended(skyfan: Skyfan, toy: Callable[..., Result]) -> None:
    toy("ok", "fail bad")
    result = skyfan("status", "default", "-o", "out", "--follow", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)["counts"]
    assert (found["planned"], found["failed"], found["done"]) == (2, 1, 1)


def test_runs_of_a_folder_are_listed(skyfan: Skyfan, toy: Callable[..., Result], tmp_path: Path) -> None:
    assert json.loads(skyfan("runs", "-o", ".", "--json").stdout) == []
    toy("ok", "ok", "fail bad")
    (tmp_path / "out/runs/no-run").mkdir()
    (run,) = json.loads(skyfan("runs", "-o", "out", "--json").stdout)
    assert (run["run"], run["function"], run["files"]) == ("default", "Toy", 3)
    assert (run["done"], run["failed"], run["done_is_all"]) == (2, 1, True)
    assert "default" in skyfan("runs", "-o", "out").stdout


def test_functions_of_the_api_take_where_a_run_is_kept_as_retry_does(
    skyfan: Skyfan, toy: Callable[..., Result]
) -> None:
    toy("ok")
    for where in ("out", Path("out"), api.LocalOptions("out"), api.SamOptions("out")):
        assert api.status("default", where).counts["done"] == 1
        assert [run.run for run in api.runs(where)] == ["default"]
        assert api.costs("default", where).bill.invocations == 1
    with pytest.raises(UsageError, match="where is the run default"):
        api.costs("default")


@pytest.mark.parametrize("command", ["status", "retry"])
def test_an_unknown_run_or_place_is_2(skyfan: Skyfan, toy: Callable[..., Result], command: str) -> None:
    toy("ok")
    result = skyfan(command, "nope", "-o", "out")
    assert result.exit_code == 2
    assert "'nope'" in result.stderr
    assert "existing runs: default" in result.stderr
    result = skyfan(command, "default", "-o", "elsewhere")
    assert result.exit_code == 2
    assert "elsewhere" in result.stderr
    assert skyfan(command).exit_code == 2


def test_a_run_keeps_its_engine(
    skyfan: Skyfan, toy: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check() -> None:
        raise UsageError("the sam engine")

    monkeypatch.setattr(sam, "check", check)
    toy("fail bad")
    about = tmp_path / "out/runs/default/run.json"
    recorded = json.loads(about.read_text())
    assert recorded["engine"] == "local"
    refused = retry(skyfan, "--engine", "sam")
    assert (refused.exit_code, "the engine local" in refused.stderr) == (2, True)
    assert "the sam engine" not in retry(skyfan, "--engine", "local", "--all").stderr
    # of a run in containers
    about.write_text(json.dumps(recorded | {"engine": "sam"}))
    assert "the sam engine" in retry(skyfan).stderr
    result = toy("fail bad")
    assert (result.exit_code, 'engine was "sam" and is now "local"' in result.stderr) == (2, True)
    with pytest.raises(UsageError, match="the sam engine"):
        api.retry("default", "out", template_file=TOY)
    with pytest.raises(UsageError, match="cannot be retried with local"):
        api.retry("default", api.LocalOptions("out"), template_file=TOY)
    # of a run that an earlier version made
    del recorded["engine"]
    about.write_text(json.dumps(recorded))
    assert "does not record its engine; --engine local" in retry(skyfan).stderr
    assert "the sam engine" in retry(skyfan, "--engine", "sam").stderr


@pytest.mark.parametrize("words", [("-o", "out", "--engine", "aws"), ("--engine", "sam")])
def test_an_engine_that_has_no_runs_in_the_place_is_refused(
    skyfan: Skyfan, toy: Callable[..., Result], words: tuple[str, ...]
) -> None:
    toy("fail bad")
    result = skyfan("retry", "default", *words)
    assert (result.exit_code, "has no runs in" in result.stderr) == (2, True)


def test_retry_uses_the_larger_function_for_files_that_ran_out_of_memory(
    skyfan: Skyfan, toy: Callable[..., Result], tmp_path: Path
) -> None:
    toy("ok", "eat 400", "fail bad", "leave 4")
    (tmp_path / "in/3.fits").write_text("ok")
    assert counts(skyfan) == {"planned": 4, "failed": 3, "done": 1}
    calls = json.loads(retry(skyfan, "--dry-run", "--json").stdout)["invocations"]
    assert [(call["function"], Path(call["payload"]["input"]).name) for call in calls] == [
        ("ToyLarge", "1.fits"),
        ("Toy", "3.fits"),
    ]
    assert counts(skyfan)["failed"] == 3, "a dry run changes nothing"
    result = retry(skyfan, "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert (document["selected"], document["skipped"]) == ({"large": 1, "standard": 1}, {"PixelError": 1})
    assert (document["files"], document["done"], document["failed"], document["remaining"]) == (2, 2, 0, 0)
    assert document["state"]["failed"] == 1
    assert counts(skyfan) == {"planned": 4, "failed": 1, "done": 3}


def test_files_that_exhausted_the_larger_function_are_skipped(
    skyfan: Skyfan, toy: Callable[..., Result], tmp_path: Path
) -> None:
    toy("fail bad")
    (path,) = (tmp_path / "out/runs/default/failures").rglob("*.json")
    record = json.loads(path.read_text())
    record["responsePayload"] = {"errorType": "Runtime.OutOfMemory", "errorMessage": "killed"}
    arn = record["requestContext"]["functionArn"]
    for function, selected in (("Toy", 1), ("ToyLarge", 0)):
        record["requestContext"]["functionArn"] = arn.replace(":Toy:", f":{function}:")
        path.write_text(json.dumps(record))
        assert len(retry(skyfan, "--dry-run").stdout.splitlines()) == selected
    result = retry(skyfan, "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert (document["files"], document["skipped"]) == (0, {"Runtime.OutOfMemory": 1})
    assert "1 x Runtime.OutOfMemory" in retry(skyfan).stdout


def test_retry_all_includes_permanent_failures(
    skyfan: Skyfan, toy: Callable[..., Result], tmp_path: Path
) -> None:
    toy("fail bad")
    (tmp_path / "in/0.fits").write_text("ok")
    result = retry(skyfan, "--all", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["done"] == 1
    assert counts(skyfan) == {"planned": 1, "done": 1}


def test_a_retry_that_fails_is_1(skyfan: Skyfan, toy: Callable[..., Result]) -> None:
    toy("leave 4")
    result = retry(skyfan, "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert (document["done"], document["failed"], document["failures"][0]["count"]) == (0, 1, 1)


def test_a_local_run_cannot_be_cancelled(skyfan: Skyfan, toy: Callable[..., Result], tmp_path: Path) -> None:
    toy("ok")
    result = skyfan("cancel", "default", "-o", "out")
    assert result.exit_code == 2
    assert "Ctrl-C" in result.stderr
    assert not (tmp_path / "out/runs/default/cancel.json").exists()


def test_a_retry_keeps_configuration_and_plans_of_the_run(
    skyfan: Skyfan, toy: Callable[..., Result], tmp_path: Path
) -> None:
    toy("ok", "eat 400")
    folder = tmp_path / "out/runs/default"
    before = sorted(path.name for path in (folder / "plans").iterdir())
    retry(skyfan)
    assert sorted(path.name for path in (folder / "plans").iterdir()) == before
    assert json.loads((folder / "run.json").read_text())["function"] == "Toy"
    assert "2 done before" in toy().stdout
