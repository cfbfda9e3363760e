"""The command line as a user runs it: a real process, its streams and its exit code."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

REPO = Path(__file__).parents[2]
TOY = Path(__file__).parent / "toy" / "template.yaml"

Skyfan = Callable[..., subprocess.CompletedProcess[str]]
START = [sys.executable, "-c", "from skyfan.cli import main; main(prog_name='skyfan')"]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPO / "invoke")}


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
def toy(tmp_path: Path) -> Callable[..., list[str]]:
    """Writes scripts for the toy function into tmp_path/in; gives the words of a command that runs them."""

    def make(*actions: str) -> list[str]:
        (tmp_path / "in").mkdir(exist_ok=True)
        for number, action in enumerate(actions):
            (tmp_path / "in" / f"{number:03}.fits").write_text(action)
        return ["run", "in", "-o", "out", "--template", str(TOY), "--function", "Toy", "--retries", "0"]

    return make


def test_all_done_is_0(skyfan: Skyfan, toy: Callable[..., list[str]], tmp_path: Path) -> None:
    words = toy("ok", "ok")
    done = skyfan(*words)
    assert done.returncode == 0, done.stderr
    assert "2 files: 2 done, in " in done.stdout
    assert f"log: {tmp_path}/out/runs/default/logs/" in done.stdout
    again = skyfan(*words)
    assert again.returncode == 0
    assert "2 files: 0 done, 2 done before" in again.stdout
    assert "Nothing was left to do" in again.stdout


def test_some_failed_is_1_and_all_are_told(skyfan: Skyfan, toy: Callable[..., list[str]]) -> None:
    done = skyfan(*toy("ok", "fail bad pixels", "fail worse", "leave 4"))
    assert done.returncode == 1
    assert "4 files: 1 done, 3 failed" in done.stdout
    assert re.search(
        r"2 x PixelError, for example file://\S+/in/\d+\.fits\n +(bad pixels|worse)\n", done.stdout
    )
    assert "1 x Runtime.ExitError" in done.stdout
    assert "The same command tries the failed files again." in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stderr.count("failed: file://") == 3


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "nope.fits", "-o", "out"], "skyfan: nope.fits does not exist"),
        (["run", "in", "-o", "out", "--run", "a/b"], "a run's name"),
        (["run", "in", "-o", "out", "--function", "Nope"], "has no function 'Nope'; it has: Toy"),
        (["run", "in", "-o", "out", "--template", "nope.yaml"], "nope.yaml does not exist"),
        (["run", "in", "-o", "out", "-c", "thresh"], "--config takes KEY=VALUE"),
        (["run", "in", "-o", "out", "--jobs", "0"], "jobs must be at least 1"),
        (["run", "in", "-o", "out", "--config-file", "nope.toml"], "nope.toml does not exist"),
        (["run", "in"], "Missing option"),
        (["run", "-o", "out"], "Missing argument"),
        (["run", "in", "-o", "out", "--engine", "aws"], "--output is for --engine local"),
        (["run", "in", "--engine", "aws", "--jobs", "2"], "--jobs is for --engine local"),
        (["run", "in", "-o", "out", "--max-cost", "1"], "--max-cost is for --engine aws"),
        (["run", "in", "-o", "out", "--engine", "sky"], "'sky' is not one of 'local', 'aws'"),
        (["run", "in", "p.parquet", "-o", "out"], "p.parquet: a plan is run alone"),
        (["run", "p.parquet", "-o", "out"], "the plan p.parquet does not exist"),
        (["run", "in", "-o", "file.txt/out"], "cannot write to"),
        (["fly"], "No such command 'fly'"),
    ],
)
def test_wrong_use_is_2_and_says_why(
    skyfan: Skyfan, toy: Callable[..., list[str]], tmp_path: Path, words: list[str], told: str
) -> None:
    toy("ok")
    (tmp_path / "file.txt").touch()
    if "--template" not in words and words[0] == "run":
        words = [*words, "--template", str(TOY)]
    done = (
        skyfan(*words) if "--function" in words or words[0] != "run" else skyfan(*words, "--function", "Toy")
    )
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout


def test_a_refused_setting_is_2_and_starts_nothing(skyfan: Skyfan, toy: Callable[..., list[str]]) -> None:
    done = skyfan(*toy("refuse no such key", "ok"), "-j", "1", "-c", "thrash=1")
    assert done.returncode == 2
    assert "skyfan: Toy refused the event: no such key" in done.stderr


def test_settings_reach_the_function(skyfan: Skyfan, toy: Callable[..., list[str]], tmp_path: Path) -> None:
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
    done = skyfan(*toy("context"), "--json", "--config-file", "s.toml", *extra, "--access", "signed")
    event = json.loads(done.stdout)["results"][0]["event"]
    assert event["config"] == {"thresh": 1.5, "name": "x", "mesh": {"size": [32, 16]}, "filter": "F160W"}
    assert (event["outputs"], event["access"]) == (["preview", "parquet"], "signed")


def test_json_is_one_document(skyfan: Skyfan, toy: Callable[..., list[str]]) -> None:
    done = skyfan(*toy(*["ok"] * 25, "fail x"), "--json")
    document = json.loads(done.stdout)
    assert (document["total"], document["done"], document["failed"]) == (26, 25, 1)
    assert len(document["results"]) == 20
    (failure,) = document["failures"]
    assert (failure["errorType"], failure["count"], failure["example"]["message"]) == ("PixelError", 1, "x")
    assert Path(failure["example"]["record"]).is_file()
    assert Path(document["log"]).is_file()


def test_a_list_comes_through_standard_input(skyfan: Skyfan, toy: Callable[..., list[str]]) -> None:
    words = toy("ok", "ok")
    words[1] = "-"
    assert "1 file: 1 done" in skyfan(*words, input="in/001.fits\n").stdout


def children(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children()


def until(condition: Callable[[], Any], seconds: float = 10) -> Any:
    """Waits until `condition` gives something true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    return value


def test_ctrl_c_is_130_kills_the_workers_and_can_be_gone_on_from(
    skyfan: Skyfan, toy: Callable[..., list[str]], tmp_path: Path
) -> None:
    words = [*toy("ok", "ok", "sleep 30", "ok"), "-j", "1"]
    process = subprocess.Popen(
        [*START, *words],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    results = tmp_path / "out/runs/default/results"
    until(lambda: len(list(results.rglob("*.txt"))) == 2)
    workers = children(process)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "2 done" in stdout
    assert "the same command goes on from here" in stdout
    assert "Traceback" not in stderr
    assert workers
    assert not any(worker.is_running() for worker in workers)
    (tmp_path / "in/002.fits").write_text("ok")
    assert "2 done, 2 done before" in skyfan(*words).stdout


def test_kill_9_at_any_moment_leaves_a_run_to_go_on_with(
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
    done = skyfan(*words, "--json")
    document = json.loads(done.stdout)
    assert (document["done"] + document["already_done"], document["failed"]) == (60, 1)
    assert document["already_done"] > 0
    results = tmp_path / "out/runs/default/results"
    assert len(list(results.rglob("*.txt"))) == 60
    assert not list((tmp_path / "out").rglob("*.part"))


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_show_writes_a_picture_and_says_where(skyfan: Skyfan, demo_data: Path, tmp_path: Path) -> None:
    done = skyfan("show", demo_data / "abell2744_f105w_drz.fits")
    assert (done.returncode, done.stdout) == (0, "abell2744_f105w_drz.png\n")
    assert (tmp_path / "abell2744_f105w_drz.png").read_bytes().startswith(b"\x89PNG")
    done = skyfan("show", demo_data / "abell2744_f105w_drz.fits", "--json", "-o", "a.png")
    assert json.loads(done.stdout)["picture"] == "a.png"
    done = skyfan("show", "nope.fits")
    assert (done.returncode, done.stderr) == (2, "skyfan: nope.fits does not exist\n")


def test_failures_that_no_try_can_mend_are_told_as_such(
    skyfan: Skyfan, toy: Callable[..., list[str]]
) -> None:
    done = skyfan(*toy("ok", "fail for good"))
    assert "Another try cannot mend these" in done.stdout


def test_help_and_version(skyfan: Skyfan) -> None:
    assert "s3://bucket/prefix/" in skyfan("run", "--help").stdout
    assert "Source extraction" in skyfan("--help").stdout
