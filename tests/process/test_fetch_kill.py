"""skyfan fetch that is killed, interrupted or runs out of disk: what is kept, and what is requested again."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from standins.bucket import Bucket, serving
from standins.processes import SKYFAN

SIZE = 24_000_000
COMMAND = [sys.executable, "-c", "from skyfan.cli import main; main(prog_name='skyfan')"]


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[tuple[Bucket, str]]:
    """Two files of three requests each, behind a line that takes seconds for them."""
    (tmp_path / "empty").mkdir()
    bucket = Bucket(tmp_path / "empty", rate=12e6)
    for number in range(2):
        bucket.put(f"{number}.fits", os.urandom(SIZE), {})
    with serving(bucket) as url:
        yield bucket, url


def start(to: Path, url: str, *words: str, limit: int = 0) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": SKYFAN, "AWS_ENDPOINT_URL": url}
    return subprocess.Popen(
        [*COMMAND, "fetch", "s3://b/", "--to", str(to), *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))) if limit else None,  # noqa: PLW1509
    )


def written(to: Path) -> int:
    """Bytes that the journals of partial files name."""
    total = 0
    for journal in to.glob(".*.journal"):
        for line in journal.read_text().splitlines()[1:]:
            start, end = line.split()
            total += int(end) - int(start)
    return total


def wait_for(to: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while written(to) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def sent(bucket: Bucket) -> int:
    """Bytes of files that the server has sent since the last call."""
    count = sum(request.sent for request in bucket.requests if request.method == "GET")
    bucket.requests.clear()
    return count


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_what_arrived_before_the_end_is_not_requested_again(
    bucket: tuple[Bucket, str], tmp_path: Path, how: signal.Signals
) -> None:
    server, url = bucket
    to = tmp_path / "to"
    process = start(to, url)
    wait_for(to, SIZE, process)
    process.send_signal(how)
    _, told = process.communicate(timeout=30)
    assert not list(to.glob("*.fits"))
    assert process.returncode == (-signal.SIGKILL if how is signal.SIGKILL else 130)
    assert how is signal.SIGKILL or "repeat the command to continue" in told
    kept = written(to)
    server.requests.clear()
    out, _ = start(to, url, "--json").communicate(timeout=60)
    result = json.loads(out)
    assert result["counts"] == {"fetched": 2}
    assert kept >= SIZE
    assert result["transferred"] == sent(server) == 2 * SIZE - kept
    for number in range(2):
        assert (to / f"{number}.fits").read_bytes() == server.stored[f"{number}.fits"].body
    assert not [path.name for path in to.iterdir() if path.name.startswith(".")]
    again, _ = start(to, url, "--json").communicate(timeout=60)
    assert json.loads(again)["counts"] == {"unchanged": 2}
    assert sent(server) == 0


@pytest.mark.slow
def test_a_disk_that_is_full_stops_the_command_and_keeps_what_is_there(
    bucket: tuple[Bucket, str], tmp_path: Path
) -> None:
    """The limit of the size of a file stands for it: its error is EFBIG instead of ENOSPC."""
    server, url = bucket
    server.rate = 0
    to = tmp_path / "to"
    process = start(to, url, "--connections", "1", limit=SIZE // 2)
    out, told = process.communicate(timeout=60)
    assert process.returncode == 1, told
    assert "Traceback" not in told + out
    assert "make room" in out
    assert not list(to.glob("*.fits"))
    server.requests.clear()
    kept = written(to)
    assert kept > 0
    out, _ = start(to, url, "--json").communicate(timeout=60)
    assert json.loads(out)["counts"] == {"fetched": 2}
    assert sent(server) <= 2 * SIZE - kept


@pytest.mark.slow
def test_one_process_at_a_time_fetches_to_a_folder(bucket: tuple[Bucket, str], tmp_path: Path) -> None:
    server, url = bucket
    server.rate = 1e6
    process = start(tmp_path / "to", url)
    wait_for(tmp_path / "to", 1, process)
    second = start(tmp_path / "to", url)
    _, told = second.communicate(timeout=30)
    assert second.returncode == 2
    assert "wait until it is done" in told
    process.kill()
    process.communicate()
