"""Results that are not the ones that the engine recorded: not done, named, and made again, only these."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from skyfan import api
from skyfan.cli import main
from skyfan.runs import state
from skyfan.runs.local_receipts import LocalReceipts
from skyfan.storage.place import Place

TOY = str(Path(__file__).parent / "toy" / "template.yaml")
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "half": lambda body: body[: len(body) // 2],
    "empty": lambda body: b"",
    "one byte more": lambda body: body + b"\0",
    "zeros": lambda body: bytes(len(body)),
    "random": lambda body: os.urandom(len(body)),
}


@pytest.fixture
def skyfan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command in tmp_path, on six files."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for number in range(6):
        Path("in", f"{number}.fits" if number else "\n0.fits").write_text("ok")

    def call(command: str, *words: str) -> Result:
        paths = {"run": ["in", "--function", "Toy"], "retry": ["default"], "status": ["default"]}[command]
        options = [] if command == "status" else ["--template", TOY, "-j", "1"]
        result = CliRunner().invoke(main, [command, *paths, "-o", "out", *options, *words])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return call


def result(number: int) -> Path:
    (path,) = Path("out/runs/default/results").rglob(f"*{number}.fits.txt")
    return path


def damage(*names: str) -> None:
    for number, name in enumerate(names):
        path = result(number)
        body = DAMAGES[name](path.read_bytes())
        path.write_bytes(body)


def counts() -> dict[str, int]:
    return {name: n for name, n in state.read(Place.at("out"), "default").counts.items() if n}


@pytest.mark.slow
def test_a_size_that_differs_is_not_done_and_the_same_command_mends_it(skyfan: Callable[..., Result]) -> None:
    assert skyfan("run").exit_code == 0
    damage("half", "empty", "one byte more")
    assert counts() == {"planned": 6, "done": 3, "damaged": 2, "unsent": 1}
    shown = skyfan("status")
    assert (shown.exit_code, "`skyfan retry default` sends 2 files again" in shown.stdout) == (1, True)
    again = json.loads(skyfan("run", "--json").stdout)
    assert (again["done"], again["done_before"], again["damaged"]) == (3, 3, 3)
    assert counts() == {"planned": 6, "done": 6}


@pytest.mark.slow
def test_retry_sends_what_is_known_to_be_damaged(skyfan: Callable[..., Result]) -> None:
    skyfan("run")
    damage("half", "one byte more")
    assert json.loads(skyfan("retry", "--json").stdout)["files"] == 2
    assert counts() == {"planned": 6, "done": 6}


@pytest.mark.slow
def test_retry_damaged_reads_all_and_makes_exactly_the_damaged_again(skyfan: Callable[..., Result]) -> None:
    skyfan("run")
    before = [result(number).stat().st_mtime_ns for number in range(6)]
    damage("half", "zeros", "random")
    assert counts() == {"planned": 6, "done": 5, "damaged": 1}, "contents are not read"
    dry = skyfan("retry", "--damaged", "--dry-run")
    assert len(dry.stdout.splitlines()) == 3
    assert result(1).read_bytes() == bytes(len(result(5).read_bytes()))
    retried = skyfan("retry", "--damaged", "--json")
    assert retried.stderr.count("\nskyfan: damaged: the result of ") == 2
    assert "/in/\\n0.fits: its bytes" in retried.stderr, "names are on one line"
    document: dict[str, Any] = json.loads(retried.stdout)
    assert (retried.exit_code, document["files"], document["done"], document["damaged"]) == (0, 3, 3, 3)
    assert not api.find_damaged("default", "out")
    assert [result(number).stat().st_mtime_ns for number in range(3, 6)] == before[3:]
    assert skyfan("retry", "--damaged").stdout == "No files of run default to send again.\n"
    assert skyfan("retry", "--damaged", "--all").exit_code == 2


@pytest.mark.slow
def test_results_of_earlier_versions_are_done_and_said_to_be_unrecorded(
    skyfan: Callable[..., Result],
) -> None:
    skyfan("run")
    file = Path("out/runs/default/inputs.jsonl")
    lines = [json.loads(line) for line in file.read_text().split("\n") if line]
    file.write_text("".join(f"\n{json.dumps(line[:3])}\n" for line in lines[:4]))
    damage("half")
    assert counts() == {"planned": 6, "done": 6}
    assert "6 results without a receipt" in skyfan("status").stdout
    again = json.loads(skyfan("run", "--json").stdout)
    assert (again["done_before"], again["damaged"]) == (6, 0)


def test_receipts_are_read_as_they_are_appended_and_after_a_replacement(tmp_path: Path) -> None:
    file = tmp_path / "runs" / "r" / "inputs.jsonl"
    file.parent.mkdir(parents=True)
    found = LocalReceipts(Place.at(tmp_path), "r")
    found.update()
    lines = [b'\n["a/1", 5, 7, 10, "aa"]\n', b'\n["a/2", null, null, 20, "bb"]\n\x00\xff\n', b'["a/1", 5']
    for number, expected in ((1, ("aa", "")), (2, ("aa", "bb")), (3, ("aa", "bb"))):
        file.write_bytes(b"".join(lines[:number]))
        found.update()
        assert (found.digest_of("a/1"), found.digest_of("a/2")) == expected
    with file.open("ab") as more:
        more.write(b', 7, 11, "cc"]\n')
    found.update()
    assert found.digest_of("a/1") == "cc", "the last line counts"
    file.write_bytes(lines[1])
    found.update()
    assert (found.digest_of("a/1"), found.digest_of("a/2")) == ("", "bb")
