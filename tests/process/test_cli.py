"""The command line as a user runs it: a real process, its streams and its exit code."""

import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner
from standins.processes import SKYFAN

from skyfan.cli import main

TOY = Path(__file__).parent / "toy" / "template.yaml"

Skyfan = Callable[..., subprocess.CompletedProcess[str]]
START = [sys.executable, "-c", "from skyfan.cli import main; main(prog_name='skyfan')"]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": SKYFAN}


@pytest.fixture
def skyfan(tmp_path: Path) -> Skyfan:
    """Runs a command in tmp_path."""

    def call(*words: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
        command = [*START, *map(str, words)]
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **more,
        )

    return call


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Skyfan:
    """As skyfan, in this process: for what does not depend on one of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str | Path) -> subprocess.CompletedProcess[str]:
        done = CliRunner().invoke(main, [*map(str, words)], prog_name="skyfan")
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)

    return call


@pytest.fixture
def toy(tmp_path: Path) -> Callable[..., list[str]]:
    """Writes scripts for the toy function into tmp_path/in; returns the words of a command that runs them."""

    def make(*actions: str) -> list[str]:
        (tmp_path / "in").mkdir(exist_ok=True)
        for number, action in enumerate(actions):
            (tmp_path / "in" / f"{number:03}.fits").write_text(action)
        return ["run", "in", "-o", "out", "--template", str(TOY), "--function", "Toy", "--retries", "0"]

    return make


def test_all_done_is_0(skyfan: Skyfan, toy: Callable[..., list[str]], tmp_path: Path) -> None:
    words = toy("ok", "ok")
    result = skyfan(*words)
    assert result.returncode == 0, result.stderr
    assert "2 files: 2 done" in result.stdout
    assert f"{tmp_path}/out/runs/default/logs/" in result.stdout
    second = skyfan(*words)
    assert second.returncode == 0
    assert "2 files: 0 done, 2 done before" in second.stdout
    assert "--run" in second.stdout


def test_failures_are_1_and_all_are_printed(here: Skyfan, toy: Callable[..., list[str]]) -> None:
    result = here(*toy("ok", "fail bad pixels", "fail worse", "leave 4"))
    assert result.returncode == 1
    assert "4 files: 1 done, 3 failed" in result.stdout
    assert re.search(r"2 x PixelError.* file://\S+/in/\d+\.fits\n +(bad pixels|worse)\n", result.stdout)
    assert "1 x Runtime.ExitError" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr
    assert result.stderr.count("file://") == 3


@pytest.mark.parametrize(
    ("words", "culprit"),
    [
        (["run", "nope.fits", "-o", "out"], "nope.fits"),
        (["run", "in", "-o", "out", "--run", "a/b"], "'a/b'"),
        (["run", "in", "-o", "out", "--function", "Nope"], "'Nope'"),
        (["run", "in", "-o", "out", "--template", "nope.yaml"], "nope.yaml"),
        (["run", "in", "-o", "out", "-c", "thresh"], "'thresh'"),
        (["run", "in", "-o", "out", "--jobs", "0"], "jobs"),
        (["run", "in", "-o", "out", "--config-file", "nope.toml"], "nope.toml"),
        (["run", "-o", "out"], "PATHS"),
        (["run", "in", "-o", "out", "--engine", "aws"], "--output"),
        (["run", "in", "--engine", "aws", "--jobs", "2"], "--jobs"),
        (["run", "in", "-o", "out", "--max-cost", "1"], "--max-cost"),
        (["run", "in", "-o", "out", "--engine", "sky"], "'sky'"),
        (["run", "in", "p.parquet", "-o", "out"], "p.parquet"),
        (["run", "p.parquet", "-o", "out"], "p.parquet"),
        (["run", "in", "-o", "file.txt/out"], "file.txt/out"),
        (["fly"], "'fly'"),
    ],
)
def test_wrong_use_is_2_and_names_the_culprit(
    toy: Callable[..., list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    culprit: str,
) -> None:
    toy("ok")
    (tmp_path / "file.txt").touch()
    monkeypatch.chdir(tmp_path)
    if words[0] == "run":
        words = [*words, *("--template", str(TOY)) * ("--template" not in words)]
        words = [*words, *("--function", "Toy") * ("--function" not in words)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert culprit in result.stderr
    assert "Traceback" not in result.stderr
    assert not result.stdout


def test_a_refused_setting_is_2_and_starts_nothing(here: Skyfan, toy: Callable[..., list[str]]) -> None:
    result = here(*toy("refuse no such key", "ok"), "-j", "1", "-c", "thrash=1")
    assert result.returncode == 2
    assert "no such key" in result.stderr


def test_a_recorded_failure_is_1_and_not_retried(here: Skyfan, toy: Callable[..., list[str]]) -> None:
    result = here(*toy("record NotFitsError no stars", "ok")[:-2], "--json")
    document = json.loads(result.stdout)
    assert result.returncode == 1
    assert (document["done"], document["failed"], document["retries"]) == (1, 1, 0)
    (failure,) = document["failures"]
    assert (failure["errorType"], failure["permanent"]) == ("NotFitsError", True)


def test_settings_reach_the_function(here: Skyfan, toy: Callable[..., list[str]], tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text("thresh = 2\nname = 'x'\n[mesh]\nsize = 64\n")
    extra = [
        "-c",
        "thresh=1.5",
        "-c",
        "mesh.size=[32, 16]",
        "-c",
        "filter=F160W",
        "--outputs",
        "preview,parquet",
    ]
    result = here(*toy("context"), "--json", "--config-file", "s.toml", *extra, "--access", "signed")
    event = json.loads(result.stdout)["results"][0]["event"]
    assert event["config"] == {"thresh": 1.5, "name": "x", "mesh": {"size": [32, 16]}, "filter": "F160W"}
    assert (event["outputs"], event["access"]) == (["preview", "parquet"], "signed")


def test_json_is_one_document(here: Skyfan, toy: Callable[..., list[str]]) -> None:
    result = here(*toy(*["ok"] * 25, "fail x"), "--json")
    document = json.loads(result.stdout)
    assert (document["files"], document["done"], document["failed"]) == (26, 25, 1)
    assert (document["done_before"], document["sent"], document["remaining"]) == (0, 26, 0)
    assert (document["state"]["done"], document["state"]["failed"]) == (25, 1)
    assert len(document["results"]) == 20
    (failure,) = document["failures"]
    assert (failure["errorType"], failure["count"], failure["example"]["message"]) == ("PixelError", 1, "x")
    assert Path(failure["example"]["record"].removeprefix("file://")).is_file()
    assert Path(document["log"]).is_file()


def test_a_list_comes_through_standard_input(skyfan: Skyfan, toy: Callable[..., list[str]]) -> None:
    words = toy("ok", "ok")
    words[1] = "-"
    assert "1 file: 1 done" in skyfan(*words, input="in/001.fits\n").stdout


def children(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children()


def opened(gate: Path) -> int | None:
    """Opens a FIFO for writing if another process reads it."""
    try:
        return os.open(gate, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Waits until `condition` returns a true value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
    return value


def test_ctrl_c_while_modules_are_imported_is_130_too() -> None:
    interrupted = """
import sys
class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == "skyfan.cli.collect":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
from skyfan.__main__ import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", interrupted],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.slow
def test_ctrl_c_is_130_and_kills_the_workers_and_the_run_can_continue(
    skyfan: Skyfan, toy: Callable[..., list[str]], tmp_path: Path
) -> None:
    words = [*toy("ok", "ok", f"wait {tmp_path}/gate", "ok"), "-j", "1"]
    os.mkfifo(tmp_path / "gate")
    process = subprocess.Popen(
        [*START, *words],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # Its worker has the third file, so that the command has taken note of the first two.
    gate = until(lambda: opened(tmp_path / "gate"))
    workers = children(process)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "2 done" in stdout
    assert "Traceback" not in stderr
    assert workers
    assert not any(worker.is_running() for worker in workers)
    os.close(gate)
    (tmp_path / "in/002.fits").write_text("ok")
    assert "2 done, 2 done before" in skyfan(*words).stdout


@pytest.mark.slow
def test_after_kill_9_at_any_moment_the_run_can_continue(
    skyfan: Skyfan, toy: Callable[..., list[str]], tmp_path: Path
) -> None:
    words = [*toy(*["sleep 0.02"] * 60, "fail x"), "-j", "2"]
    moments = random.Random(2)
    for _ in range(4):
        process = subprocess.Popen(
            [*START, *words],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda process=process: children(process) or process.poll() is not None)
        time.sleep(moments.uniform(0.0, 0.4))
        workers = children(process) if process.poll() is None else []
        process.kill()
        process.wait()
        until(lambda workers=workers: not any(alive(worker) for worker in workers))
    result = skyfan(*words, "--json")
    document = json.loads(result.stdout)
    assert (document["done"] + document["done_before"], document["failed"]) == (60, 1)
    assert document["done_before"] > 0
    results = tmp_path / "out/runs/default/results"
    assert len(list(results.rglob("*.txt"))) == 60
    assert not list((tmp_path / "out").rglob("*.part"))


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.mark.slow
def test_show_writes_a_picture_and_prints_its_path(here: Skyfan, demo_data: Path, tmp_path: Path) -> None:
    result = here("show", demo_data / "abell2744_f105w_drz.fits")
    assert (result.returncode, result.stdout) == (0, "abell2744_f105w_drz.png\n")
    assert (tmp_path / "abell2744_f105w_drz.png").read_bytes().startswith(b"\x89PNG")
    result = here("show", demo_data / "abell2744_f105w_drz.fits", "--json", "--to", "a.png")
    assert json.loads(result.stdout)["picture"] == "a.png"
    result = here("show", "nope.fits")
    assert result.returncode == 2
    assert "nope.fits" in result.stderr


def test_help_and_version(skyfan: Skyfan) -> None:
    assert "s3://bucket/prefix/" in skyfan("run", "--help").stdout
    assert "Source extraction" in skyfan("--help").stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", ["--help", "run in --dry-run -o out --template TOY --function Toy", "runs -o out"]
)
def test_stdout_may_be_closed_cut_or_ascii(
    toy: Callable[..., list[str]], here: Skyfan, tmp_path: Path, words: str
) -> None:
    here(*toy(*["ok"] * 30))
    (tmp_path / "in" / "naïve – 31.fits").write_text("ok")
    command = shlex.join(START) + " " + words.replace("TOY", str(TOY))
    for end in (" | head -n 1", " >&-", " | true"):
        done = subprocess.run(
            ["bash", "-c", command + end],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr
        assert not done.stderr.startswith("skyfan: ")
    for encoding in ("ascii", "latin-1", "cp1252"):
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env={**environment(), "PYTHONIOENCODING": encoding, "COLUMNS": "80"},
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr
