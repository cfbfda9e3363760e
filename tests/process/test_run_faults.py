"""Local runs through faults of this machine: counts balance, messages name path and cure, nothing stays.

In each case planned = done + failed + not begun, and the same command then does what remains.
"""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner, Result
from standins.processes import SKYFAN

from skyfan.cli import main
from skyfan.errors import InputError
from skyfan.runs import state
from skyfan.storage.place import Place

pytestmark = pytest.mark.slow
TOY = str(Path(__file__).parent / "toy" / "template.yaml")
START = [sys.executable, "-c", "from skyfan.cli import main; main()"]
RUN = [*START, "run", "in", "-o", "out", "--function", "Toy", "--template", TOY, "--retries", "0"]
FILES = 12


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with FILES inputs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", SKYFAN)
    write(*["ok"] * FILES)
    return tmp_path


def write(*actions: str) -> None:
    Path("in").mkdir(exist_ok=True)
    for number, action in enumerate(actions):
        Path("in", f"{number:02}.fits").write_text(action)


def call(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **options)
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended


def here(*words: str) -> Result:
    """The command in this process, where nothing depends on its being one of its own; its workers are."""
    ended = CliRunner().invoke(main, [*RUN[len(START) :], *words])
    assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
    return ended


def counts(run: str = "default", output: str = "out") -> dict[str, int]:
    found = state.read(Place.at(output), run).counts
    planned = found.pop("planned")
    assert planned == sum(found.values()) == FILES
    return {name: number for name, number in found.items() if number}


def complete(*words: str) -> None:
    """The same command does what remains."""
    again = here("-j", "2", "--json", *words)
    assert again.exit_code == 0, again.output
    assert counts() == {"done": FILES}


@pytest.fixture
def disk(folder: Path) -> Iterator[Callable[[str], None]]:
    """Mounts a small disk at `out`; its argument is the size, and it can be changed."""
    Path("out").mkdir()
    mounted = False

    def size(text: str) -> None:
        nonlocal mounted
        options = f"size={text},nr_inodes=1k" + (",remount" if mounted else "")
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", "out"], check=False)
        if done.returncode:
            pytest.skip("no right to mount a small disk")
        mounted = True

    try:
        size("48k")
        yield size
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder / "out")], check=True)


def test_a_full_disk_is_named_and_nothing_half_written_counts(disk: Callable[[str], None]) -> None:
    full = call([*RUN, "-j", "2"])
    assert full.returncode == 1
    for part in ("No space left on device", str(Path("out/runs/default").resolve()), "The same command"):
        assert part in full.stdout, full.stdout
    before = counts()
    assert 0 < before["done"] < FILES
    disk("10m")
    complete()
    assert not list(Path("out").rglob("*.part"))


def limited(kind: int, number: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(kind, (number, number))


def test_with_few_open_files_there_are_fewer_workers(folder: Path) -> None:
    ended = call([*RUN, "-j", "20", "--json"], preexec_fn=limited(resource.RLIMIT_NOFILE, 40))
    assert (ended.returncode, json.loads(ended.stdout)["done"]) == (0, FILES), ended.stderr
    assert "ulimit -n" in ended.stderr
    assert counts() == {"done": FILES}


def test_without_open_files_for_a_worker_the_run_is_kept(folder: Path) -> None:
    ended = call([*RUN, "-j", "2"], preexec_fn=limited(resource.RLIMIT_NOFILE, 18))
    assert (ended.returncode, "Too many open files" in ended.stdout + ended.stderr) == (1, True)
    if Path("out/runs/default/plans").is_dir():
        assert counts() == {"unsent": FILES}
    complete()


NOBODY, LIMITS = "54321", ("--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override")
"""A user without other processes, whom limits hold; but the files of this one's can be read."""


@pytest.mark.skipif(
    not (hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("setpriv")),
    reason="a limit of processes holds for users who are not root, and counts all of theirs",
)
@pytest.mark.parametrize("number", [1, 3, 4, 14, None])
def test_with_few_processes_there_are_fewer_workers_or_none_is_begun(
    folder: Path, number: int | None
) -> None:
    files = FILES if number else 30
    write(*["ok" if number else "sleep 1"] * files)
    limit = number or 14 + 2 * (os.cpu_count() or 1)
    os.chown(folder, int(NOBODY), -1)
    ended = call(
        [
            "setpriv",
            f"--reuid={NOBODY}",
            "--clear-groups",
            *LIMITS,
            "prlimit",
            f"--nproc={limit}",
            *RUN,
            "-j",
            "30",
        ],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "HOME": str(folder)},
    )
    assert "ulimit -u" in ended.stderr
    if number:
        assert (ended.returncode, "nothing has been changed" in ended.stderr) == (2, True), ended.stderr
        assert not Path("out/runs/default/run.json").exists()
        complete()
    else:
        assert ended.returncode == 0, ended.stderr
        assert state.read(Place.at("out"), "default").counts["done"] == files


def test_workers_die_with_their_parent_even_when_stopped_and_leave_nothing(folder: Path) -> None:
    write(*["ok"] * (FILES - 2), "sleep 60", "sleep 60")
    with subprocess.Popen([*RUN, "-j", "3"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        parent = psutil.Process(process.pid)
        while not Path("out/runs/default/plans").is_dir() or counts().get("done", 0) < FILES - 2:
            assert process.poll() is None
            time.sleep(0.05)
        workers = parent.children()
        for worker in workers:
            worker.suspend()
        process.send_signal(signal.SIGKILL)
    assert len(workers) >= 2
    gone, alive = psutil.wait_procs(workers, timeout=10)
    assert (len(gone), alive) == (len(workers), [])
    assert counts() == {"done": FILES - 2, "unsent": 2}
    results = Path("out/runs/default/results")
    half = [results / f".{'0' * 15}{number}.part" for number in range(2)]
    for path in half:
        path.write_text("half")
    mine = results / "mine.part"
    mine.write_text("not skyfan's")
    write(*["ok"] * FILES)
    complete()
    assert (mine.exists(), [path for path in half if path.exists()]) == (True, [])


def test_nothing_half_written_stays_of_a_worker_that_was_killed_at_its_limit(folder: Path) -> None:
    write(*["ok"] * (FILES - 1), "half")
    ended = call([*RUN, "-j", "2", "--timeout", "1"])
    assert (ended.returncode, counts()) == (1, {"done": FILES - 1, "failed": 1}), ended.stderr
    assert not list(Path("out").rglob("*.part"))


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "half": lambda body: body[: len(body) // 2],
    "zeros": lambda body: bytes(len(body)),
    "random": lambda body: bytes(range(256)) * (len(body) // 256 + 1),
}
STATES = {
    "run.json": "run.json",
    "plan": "plans/*.parquet",
    "lock": "engine.lock",
    "log": "logs/*.log",
    "failure": "failures/**/*.json",
    "receipts": "inputs.jsonl",
}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that has ended, in `whole`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made := tmp_path_factory.mktemp("ended"))
        patch.setenv("PYTHONPATH", SKYFAN)
        write(*["ok"] * (FILES - 1), "fail bad")
        here("-j", "2")
        Path("out").rename("whole")
    return made


@pytest.mark.parametrize("name", STATES)
def test_a_damaged_file_of_the_state_is_mended_or_named_with_a_cure(
    folder: Path, ended: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(ended)
    for damage in DAMAGES.values():
        shutil.rmtree("out", ignore_errors=True)
        shutil.copytree("whole", "out")
        (path,) = Path("out/runs/default").glob(STATES[name])
        path.write_bytes(damage(path.read_bytes()))
        with suppress(InputError):
            assert counts() == {"done": FILES - 1, "failed": 1}
        again = here("-j", "1")
        if name == "run.json":
            assert (again.exit_code, str(path.resolve()) in again.stderr) == (2, True)
            assert "remove it" in again.stderr
            path.unlink()
            again = here("-j", "1")
        assert again.exit_code == 1, again.stderr
        assert counts() == {"done": FILES - 1, "failed": 1}


@pytest.mark.parametrize("name", ["out", "out/runs", "out/runs/default", "out/runs/default/failures"])
def test_a_file_in_the_place_of_a_folder_is_named(folder: Path, name: str) -> None:
    write(*["ok"] * (FILES - 1), "fail bad")
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text("mine")
    ended = here("-j", "2")
    assert ended.exit_code == (1 if name.endswith("failures") else 2)
    assert (f"'{name}'" if name == "out" else str(Path(name).resolve())) in ended.output
    assert Path(name).read_text() == "mine"
    Path(name).unlink()
    assert here("-j", "2").exit_code == 1
    assert counts() == {"done": FILES - 1, "failed": 1}


def test_a_second_run_of_a_name_is_refused_and_harms_nothing(folder: Path) -> None:
    write(*["ok"] * (FILES - 1), f"wait {folder}/gate")
    os.mkfifo("gate")
    patient = [*RUN, "-j", "2", "--timeout", "300"]
    with subprocess.Popen(patient, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as first:
        while not Path("out/runs/default/plans").is_dir() or counts().get("done", 0) < FILES - 1:
            assert first.poll() is None
            time.sleep(0.05)
        for command in ("run", "retry"):
            words = (
                [*START, "retry", "default", "-o", "out", "--template", TOY] if command == "retry" else RUN
            )
            second = call(words)
            assert (second.returncode, "wait until it has ended" in second.stderr) == (2, True), second.stderr
        Path("gate").open("w").close()
    assert (first.returncode, counts()) == (0, {"done": FILES})


@pytest.mark.skipif(not shutil.which("faketime"), reason="faketime is not installed")
@pytest.mark.parametrize("clocks", [("+5y", "-5y"), ("-5y", "+5y")], ids=str)
def test_clocks_that_are_wrong_and_jump_change_no_count(folder: Path, clocks: tuple[str, ...]) -> None:
    for number, clock in enumerate(clocks):
        ended = call(["faketime", "-f", clock, *RUN, "-j", "2", "--json"])
        assert ended.returncode == 0, ended.stderr + ended.stdout
        document = json.loads(ended.stdout)
        assert (document["done"], document["done_before"]) == ((0, FILES) if number else (FILES, 0))
        assert counts() == {"done": FILES}
    complete()


@pytest.mark.parametrize("reader", [None, "head -c 1", "full"])
def test_an_output_that_nobody_reads_is_no_traceback(folder: Path, reader: str | None) -> None:
    target = {None: ">&-", "full": "> /dev/full"}.get(reader, f"| {reader}")
    words = " ".join([*RUN, "-j", "2"]).replace(START[2], f"'{START[2]}'")
    ended = call(["bash", "-o", "pipefail", "-c", f"{words} {target}"])
    # Whether the reader is gone before the last line is chance: a broken pipe is 1.
    codes = {None: {0}, "full": {1}}.get(reader, {0, 1})
    assert ended.returncode in codes, ended.stderr
    assert counts() == {"done": FILES}


@pytest.mark.parametrize(
    "words", ["run in -o", "status default -o", "collect default -o out --to", "run in -o out --run"]
)
def test_an_empty_value_is_wrong_use(folder: Path, words: str) -> None:
    ended = call([*START, *words.split(), ""])
    assert ended.returncode == 2
    assert not Path("runs").exists()
