"""The on-disk cache: entries are kept until they expire, also after a crash."""

import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from skyfan.errors import UsageError
from skyfan.plans.cache import Cache, default_folder


def test_entries_are_found_by_another_cache_on_the_same_folder(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "c"
    with Cache(file) as cache:
        cache.put("path", {str(number): f"value {number}" for number in range(1200)}, 60)
        cache.put("path", {"0": "newer"}, 60)
    with Cache(file) as cache:
        found = cache.get("path", [str(number) for number in range(1300)])
        assert len(found) == 1200
        assert (found["0"], found["1199"]) == ("newer", "value 1199")
        assert cache.get("size", ["0"]) == {}


def test_entries_are_written_together_and_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("skyfan.plans.cache.time.monotonic", lambda: clock[0])
    with Cache(tmp_path) as one, Cache(tmp_path) as other:
        for number in range(3):  # the first is written, the others wait for a second to pass
            one.put("path", {str(number): "x"}, 60)
        assert list(other.get("path", "0123")) == ["0"]
        clock[0] += 1.0
        one.put("path", {"3": "x"}, 60)
        assert list(other.get("path", "0123")) == ["0", "1", "2", "3"]
        one.put("path", {"4": "x"}, 60)
        assert one.get("path", "4") == {"4": "x"}


def test_expired_entries_are_not_returned(tmp_path: Path) -> None:
    with Cache(tmp_path / "c") as cache:
        cache.put("path", {"old": "x"}, -1)
        cache.put("path", {"new": "x"}, 60)
    with Cache(tmp_path / "c") as cache:
        assert cache.get("path", ["old", "new"]) == {"new": "x"}


def test_refresh_writes_but_does_not_read(tmp_path: Path) -> None:
    file = tmp_path / "c"
    with Cache(file) as cache:
        cache.put("path", {"a": "old", "b": "old"}, 60)
    with Cache(file, refresh=True) as cache:
        assert cache.get("path", ["a"]) == {}
        cache.put("path", {"a": "new"}, 60)
    with Cache(file) as cache:
        assert cache.get("path", ["a", "b"]) == {"a": "new", "b": "old"}


def test_entries_survive_an_interruption(tmp_path: Path) -> None:
    def work() -> None:
        with Cache(tmp_path / "c") as cache:
            for number in range(10):
                cache.put("path", {str(number): "x"}, 60)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    with Cache(tmp_path / "c") as cache:
        assert len(cache.get("path", map(str, range(10)))) == 10


def test_expired_entries_are_removed_and_no_put_is_lost(tmp_path: Path) -> None:
    with Cache(tmp_path) as one, Cache(tmp_path) as other:
        one.put("path", {"first": "x"}, 60)
        other.put("path", {str(number): "x" for number in range(3000)}, -1)
        assert other.get("path", ["first"]) == {"first": "x"}
        one.put("path", {"second": "x"}, 60)
    with Cache(tmp_path) as cache:
        assert cache.get("path", ["first", "second", "0"]) == {"first": "x", "second": "x"}
    with closing(sqlite3.connect(tmp_path / "cache.sqlite3")) as file:
        assert file.execute("SELECT count(*) FROM entries").fetchone() == (2,)


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from skyfan.plans.cache import Cache\n"
        "with Cache(Path(sys.argv[1])) as cache:\n"
        "    for at in range(40): cache.put('path', {f'{sys.argv[2]} {at}': 'x'}, 60)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path), str(number)], env=environment)
        for number in range(3)
    ]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0]
    with Cache(tmp_path) as cache:
        assert len(cache.get("path", (f"{number} {at}" for number in range(3) for at in range(40)))) == 120


def test_another_thread_may_use_it(tmp_path: Path) -> None:
    with Cache(tmp_path) as cache, ThreadPoolExecutor(1) as threads:
        threads.submit(cache.put, "path", {"a": "x"}, 60).result()
        assert cache.get("path", ["a"]) == {"a": "x"}


def test_files_of_the_old_format_are_removed(tmp_path: Path) -> None:
    (tmp_path / "path-0123456789abcdef.jsonl").write_text('\n["a", "x", 9e99]\n')
    with Cache(tmp_path) as cache:
        assert cache.get("path", ["a"]) == {}
    assert [path.name for path in tmp_path.iterdir()] == ["cache.sqlite3"]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "cache.sqlite3").write_bytes(b"no database" * 1000)
    with pytest.raises(UsageError, match=str(tmp_path / "cache.sqlite3")):
        Cache(tmp_path)


def test_a_folder_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=str(tmp_path / "file" / "below")):
        Cache(tmp_path / "file" / "below")


def test_the_default_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "skyfan" / "mast"
