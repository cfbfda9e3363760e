"""A watched folder: from a file to its catalog, by the command line."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from skyfan.cli import main

REPO = Path(__file__).parents[2]
IMAGE = "ib4606c6q_flc.fits"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def skyfan(*words: str, code: int = 0) -> str:
    """The command in this process; its workers have their own."""
    done = CliRunner().invoke(main, words)
    assert done.exit_code == code, done.output
    return done.stdout


def keep() -> Any:
    words = (
        "watch",
        "run",
        "night",
        "--output",
        "out",
        "--settle",
        "0.3",
        "--every",
        "0.2",
        "--until-idle",
        "--json",
    )
    return json.loads(skyfan(*words, "--jobs", "1"))


@pytest.mark.slow
def test_files_are_taken_when_they_are_complete_and_again_when_they_change(
    tmp_path: Path, demo_data: Path
) -> None:
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    skyfan("watch", "add", "night", "incoming", "--product", "FLC", "--output", "out")
    body = (demo_data / IMAGE).read_bytes()
    (incoming / IMAGE).write_bytes(body)
    (incoming / "a b+ü%41_flc.fits").write_bytes(body)
    (incoming / ".half_flc.fits").write_bytes(body[:100])
    (incoming / "other_drz.fits").write_bytes(body)
    (incoming / "bad_flc.fits").write_bytes(b"no FITS file")
    first = keep()
    assert first["counts"]["accepted"] == 3
    assert first["skipped"] == {"another product type": 1}
    shown = json.loads(skyfan("status", "night", "--output", "out", "--json", code=1))
    assert {name: shown["counts"][name] for name in ("planned", "done", "failed")} == {
        "planned": 3,
        "done": 2,
        "failed": 1,
    }
    assert keep()["counts"]["accepted"] == 3, "nothing new"
    os.utime(incoming / IMAGE, (time.time() - 5, time.time() - 5))  # another version
    Path(incoming, ".half_flc.fits").unlink()
    (tmp_path / "renamed").write_bytes(body)
    (tmp_path / "renamed").rename(incoming / "late_flc.fits")
    last = keep()
    assert last["counts"]["accepted"] == 5
    shown = json.loads(skyfan("status", "night", "--output", "out", "--json", code=1))
    assert (shown["counts"]["planned"], shown["counts"]["done"]) == (4, 3)
    assert shown["watch"]["state"] == "watching"


@pytest.mark.slow
def test_it_ends_by_ctrl_c_and_goes_on_after_kill_9(tmp_path: Path, demo_data: Path) -> None:
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    skyfan("watch", "add", "night", "incoming", "--output", "out")
    for number in range(6):
        shutil.copy(demo_data / IMAGE, incoming / f"{number}_flc.fits")

    def catalogs() -> list[Path]:
        return list((tmp_path / "out/runs/night").rglob("*.cat.fits"))

    words = ("watch", "run", "night", "--output", "out", "--settle", "0", "--every", "0.2", "--jobs", "1")
    for end, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)):
        process = subprocess.Popen(
            [sys.executable, "-m", "skyfan", *words], cwd=tmp_path, start_new_session=True
        )
        before, deadline = len(catalogs()), time.monotonic() + 120
        while len(catalogs()) == before and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(end)
        assert process.wait(60) == code
    done = keep()
    assert not done["in_flight"]
    shown = json.loads(skyfan("status", "night", "--output", "out", "--json"))
    assert (shown["counts"]["planned"], shown["counts"]["done"]) == (6, 6)


@pytest.mark.slow
def test_the_page_s_commands_for_a_folder_work(tmp_path: Path, demo_data: Path) -> None:
    page = (REPO / "docs/howto/keep-up.md").read_text(encoding="utf-8")
    block = page.partition("```console\n")[2].partition("```")[0]
    commands = [line.removeprefix("$ ").split() for line in block.splitlines()]
    assert len(commands) == 6
    (tmp_path / "incoming").mkdir()
    shutil.copy(demo_data / IMAGE, tmp_path / "incoming" / IMAGE)
    printed = [skyfan(*words[1:]) for words in commands]
    assert "night" in printed[2]
    assert "accepted" in printed[3]
