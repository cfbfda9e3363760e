"""The cache of answers: what is put comes back, for as long as it is meant to."""

from pathlib import Path

import pytest

from skyfan.errors import UsageError
from skyfan.plans.cache import Cache, default


def test_answers_come_back_in_another_process_of_ours(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "c"
    with Cache(file) as cache:
        cache.put("path", {str(number): f"value {number}" for number in range(1200)}, 60)
        cache.put("path", {"0": "newer"}, 60)
    with Cache(file) as cache:
        found = cache.get("path", [str(number) for number in range(1300)])
        assert len(found) == 1200
        assert (found["0"], found["1199"]) == ("newer", "value 1199")
        assert cache.get("size", ["0"]) == {}


def test_old_answers_are_forgotten(tmp_path: Path) -> None:
    with Cache(tmp_path / "c") as cache:
        cache.put("path", {"old": "x"}, -1)
        cache.put("path", {"new": "x"}, 60)
    with Cache(tmp_path / "c") as cache:
        assert cache.get("path", ["old", "new"]) == {"new": "x"}


def test_refresh_reads_nothing_and_writes(tmp_path: Path) -> None:
    file = tmp_path / "c"
    with Cache(file) as cache:
        cache.put("path", {"a": "old", "b": "old"}, 60)
    with Cache(file, refresh=True) as cache:
        assert cache.get("path", ["a"]) == {}
        cache.put("path", {"a": "new"}, 60)
    with Cache(file) as cache:
        assert cache.get("path", ["a", "b"]) == {"a": "new", "b": "old"}


def test_what_was_put_is_there_when_work_fails(tmp_path: Path) -> None:
    def work() -> None:
        with Cache(tmp_path / "c") as cache:
            for number in range(10):
                cache.put("path", {str(number): "x"}, 60)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    with Cache(tmp_path / "c") as cache:
        assert len(cache.get("path", map(str, range(10)))) == 10


def test_a_line_that_a_kill_cut_off_spoils_no_other(tmp_path: Path) -> None:
    with Cache(tmp_path) as cache:
        cache.put("path", {"a": "first"}, 60)
    (file,) = tmp_path.iterdir()
    with file.open("a") as lines:
        lines.write('["b", "hal')
    with Cache(tmp_path) as cache:
        cache.put("path", {"c": "third"}, 60)
        assert cache.get("path", "abc") == {"a": "first", "c": "third"}


def test_a_file_of_old_answers_is_shortened(tmp_path: Path) -> None:
    with Cache(tmp_path) as cache:
        cache.put("path", {str(number): "x" for number in range(1500)}, -1)
        cache.put("path", {"new": "x"}, 60)
    with Cache(tmp_path) as cache:
        assert cache.get("path", ["new"]) == {"new": "x"}
    (file,) = tmp_path.iterdir()
    assert len(file.read_text().splitlines()) == 1


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be made"):
        Cache(tmp_path / "file" / "below")


def test_its_place_is_xdgs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default() == tmp_path / "skyfan" / "mast"
