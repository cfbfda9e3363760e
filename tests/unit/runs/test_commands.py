"""status, runs and retry on a folder, as a user calls them: what they print, and their exit codes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from skyfan.cli import main
from skyfan.runs.place import Place

from .conftest import Handmade, document

TOY = str(Path(__file__).parents[1] / "toy" / "template.yaml")
Skyfan = Callable[..., Result]


@pytest.fixture
def skyfan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Skyfan:
    """Runs a command in tmp_path."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> Result:
        done = CliRunner().invoke(main, words)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done

    return call


@pytest.fixture
def toy(tmp_path: Path, skyfan: Skyfan) -> Callable[..., Result]:
    """Runs the toy function over scripts, without retries."""

    def make(*actions: str) -> Result:
        (tmp_path / "in").mkdir(exist_ok=True)
        for number, action in enumerate(actions):
            (tmp_path / "in" / f"{number}.fits").write_text(action)
        words = [
            "run",
            "in",
            "-o",
            "out",
            "--template",
            TOY,
            "--function",
            "Toy",
            "--retries",
            "0",
            "-j",
            "2",
        ]
        return skyfan(*words)

    return make


def counts(skyfan: Skyfan) -> dict[str, int]:
    found = json.loads(skyfan("status", "default", "-o", "out", "--json").stdout)["counts"]
    return {name: count for name, count in found.items() if count}


def test_status_of_a_run_that_is_done_is_0(skyfan: Skyfan, toy: Callable[..., Result]) -> None:
    toy("ok", "ok")
    done = skyfan("status", "default", "-o", "out")
    assert done.exit_code == 0
    assert "run default of Toy in" in done.stdout
    assert "planned       2" in done.stdout
    assert "skyfan retry" not in done.stdout


def test_status_says_what_failed_and_what_to_do(skyfan: Skyfan, toy: Callable[..., Result]) -> None:
    toy("ok", "fail no good", "fail worse", "leave 4", "eat 2000")
    done = skyfan("status", "default", "-o", "out")
    assert done.exit_code == 1
    assert "2 x PixelError, for example file://" in done.stdout
    assert "another try cannot mend these" in done.stdout
    assert "1 x Runtime.OutOfMemory" in done.stdout
    assert "more memory or time" in done.stdout
    assert "`skyfan retry default` sends 2 files again." in done.stdout
    document = json.loads(skyfan("status", "default", "-o", "out", "--json").stdout)
    assert document["counts"]["failed"] == sum(group["count"] for group in document["failures"]) == 4
    record = document["failures"][0]["example"]["record"]
    assert Path(record.removeprefix("file://")).is_file()


def test_failed_files_are_listed_one_a_line(
    skyfan: Skyfan, toy: Callable[..., Result], tmp_path: Path
) -> None:
    toy("ok", "fail no\tgood", "fail worse")
    done = skyfan("status", "default", "-o", "out", "--failed")
    assert done.exit_code == 1
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[:4] for row in rows] == [
        [(tmp_path / "in/1.fits").as_uri(), "failed", "PixelError", "no good"],
        [(tmp_path / "in/2.fits").as_uri(), "failed", "PixelError", "worse"],
    ]
    listed = skyfan("status", "default", "-o", "out", "--failed", "--json").stdout.splitlines()
    assert [json.loads(line)["errorMessage"] for line in listed] == ["no good", "worse"]


def test_follow_ends_when_nothing_is_on_its_way(skyfan: Skyfan, toy: Callable[..., Result]) -> None:
    toy("ok", "fail bad")
    done = skyfan("status", "default", "-o", "out", "--follow")
    assert done.exit_code == 1
    assert "2 planned, 1 failed, 1 done" in done.stderr


def test_files_not_begun_are_no_failure(skyfan: Skyfan, handmade: Handmade) -> None:
    handmade.plan(["s3://b/a.fits"])
    done = skyfan("status", "r", "-o", handmade.place.name)
    assert done.exit_code == 0
    assert "1 not begun: the same `skyfan run` command goes on" in done.stdout


def test_runs_are_listed_at_a_glance(skyfan: Skyfan, toy: Callable[..., Result], tmp_path: Path) -> None:
    assert "no runs" in skyfan("runs", "-o", ".").stdout
    toy("ok", "ok", "fail bad")
    (tmp_path / "out/runs/no-run").mkdir()
    (found,) = json.loads(skyfan("runs", "-o", "out", "--json").stdout)
    assert (found["run"], found["function"], found["files"]) == ("default", "Toy", 3)
    assert (found["done"], found["failed"], found["done_is_all"]) == (2, 1, True)
    assert "default" in skyfan("runs", "-o", "out").stdout


def test_a_glance_counts_up_to_a_thousand(skyfan: Skyfan, handmade: Handmade) -> None:
    files = [f"s3://b/{number}.fits" for number in range(1005)]
    handmade.plan(files)
    for uri in files:
        handmade.done(uri)
    done = skyfan("runs", "-o", handmade.place.name)
    assert "1005   1000+        0" in done.stdout
    (found,) = json.loads(skyfan("runs", "-o", handmade.place.name, "--json").stdout)
    assert (found["files"], found["done"], found["done_is_all"]) == (1005, 1000, False)


@pytest.mark.parametrize("command", ["status", "retry"])
def test_an_unknown_run_or_place_is_2(skyfan: Skyfan, toy: Callable[..., Result], command: str) -> None:
    toy("ok")
    done = skyfan(command, "nope", "-o", "out")
    assert done.exit_code == 2
    assert done.stderr.startswith("skyfan: there is no run 'nope' in ")
    assert "there are: default" in done.stderr
    done = skyfan(command, "default", "-o", "elsewhere")
    assert (done.exit_code, done.stderr) == (2, "skyfan: there is no folder elsewhere\n")
    assert skyfan(command).exit_code == 2


def test_retry_sends_what_ran_out_of_memory_to_the_larger_function(
    skyfan: Skyfan, toy: Callable[..., Result], tmp_path: Path
) -> None:
    toy("ok", "eat 400", "fail bad", "leave 4")
    (tmp_path / "in/3.fits").write_text("ok")
    assert counts(skyfan) == {"planned": 4, "failed": 3, "done": 1}
    dry = skyfan("retry", "default", "-o", "out", "--template", TOY, "--dry-run")
    told = [json.loads(line) for line in dry.stdout.splitlines()]
    assert [(call["function"], Path(call["payload"]["input"]).name) for call in told] == [
        ("ToyLarge", "1.fits"),
        ("Toy", "3.fits"),
    ]
    assert "2 files would be sent again, 1 of them with the most memory" in dry.stderr
    assert counts(skyfan)["failed"] == 3, "a dry run changes nothing"
    done = skyfan("retry", "default", "-o", "out", "--template", TOY)
    assert done.exit_code == 0
    assert "2 files: 2 done" in done.stdout
    assert "passed over: 1 x PixelError, which no try can mend" in done.stdout
    assert counts(skyfan) == {"planned": 4, "failed": 1, "done": 3}


def test_what_the_larger_function_cannot_do_is_not_sent_there_again(
    skyfan: Skyfan, toy: Callable[..., Result], tmp_path: Path
) -> None:
    toy("fail bad")
    (record,) = (tmp_path / "out/runs/default/failures").rglob("*.json")
    words = ("retry", "default", "-o", "out", "--template", TOY)
    for function, sent in (("Toy", 1), ("ToyLarge", 0)):
        told = document("x", request="r", time=0, error="Runtime.OutOfMemory", function=function)
        record.write_text(json.dumps(told))
        assert len(skyfan(*words, "--dry-run").stdout.splitlines()) == sent
    done = skyfan(*words)
    assert done.exit_code == 0
    assert "Nothing of run default is to be sent again." in done.stdout
    assert "passed over: 1 x Runtime.OutOfMemory with the most memory there is" in done.stdout


def test_retry_all_takes_what_no_try_can_mend(
    skyfan: Skyfan, toy: Callable[..., Result], tmp_path: Path
) -> None:
    toy("fail bad")
    (tmp_path / "in/0.fits").write_text("ok")
    done = skyfan("retry", "default", "-o", "out", "--template", TOY, "--all", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["done"] == 1
    assert counts(skyfan) == {"planned": 1, "done": 1}


def test_a_run_in_a_folder_has_nothing_to_cancel(skyfan: Skyfan, toy: Callable[..., Result]) -> None:
    toy("ok")
    done = skyfan("cancel", "default", "-o", "out")
    assert done.exit_code == 2
    assert "is a folder, where nothing is queued: Ctrl-C stops a run there" in done.stderr


def test_a_retry_keeps_the_runs_configuration_and_plans(
    skyfan: Skyfan, toy: Callable[..., Result], tmp_path: Path
) -> None:
    toy("ok", "eat 400")
    before = sorted(path.name for path in (tmp_path / "out/runs/default/plans").iterdir())
    skyfan("retry", "default", "-o", "out", "--template", TOY)
    assert sorted(path.name for path in (tmp_path / "out/runs/default/plans").iterdir()) == before
    assert json.loads((tmp_path / "out/runs/default/run.json").read_text())["function"] == "Toy"
    again = toy()
    assert "2 done before" in again.stdout
    assert Place.at("out").get("runs/default/cancel.json") is None
