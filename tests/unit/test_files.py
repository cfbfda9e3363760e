"""Files and folders replaced in one step; tests/process/test_collect.py kills a writer."""

import errno
import fcntl
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from skyfan import files
from skyfan.errors import UsageError


def test_a_file_is_replaced_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with files.replace(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError), files.replace(path) as part:
        part.write_text("half of the new, then \ud800", encoding="utf-8")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("folder", ["missing", "file"])
def test_a_file_that_cannot_be_written_is_a_usage_error(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / folder / "a.txt"
    with pytest.raises(UsageError, match=str(path)), files.replace(path) as part:
        part.write_text("new")


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for name in ("first", "second"):
        with files.replace_folder(folder) as work:
            (work / "new").mkdir()
            (work / "new" / name).touch()
        assert [path.name for path in folder.iterdir()] == [name]
    with files.replace_folder(folder):
        pass
    assert [path.name for path in folder.iterdir()] == ["second"]
    assert list(tmp_path.iterdir()) == [folder]


def test_two_writers_of_one_folder_exclude_each_other(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    with (
        files.replace_folder(folder) as work,
        pytest.raises(UsageError, match=str(folder)),
        files.replace_folder(folder),
    ):
        pass
    assert not work.exists()


def test_the_work_folder_of_a_killed_process_is_reused(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    leftover = tmp_path / ".set.part" / "new"
    leftover.mkdir(parents=True)
    (leftover / "half").touch()
    with files.replace_folder(folder) as work:
        assert list(work.iterdir()) == []


def test_the_lock_is_taken_on_the_work_folder_that_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process removes the work folder between our open and our lock: the lock must be taken anew."""
    folder, lock = tmp_path / "set", fcntl.flock
    removed: list[int] = []

    def late(descriptor: int, operation: int) -> None:
        if not removed:
            removed.append(descriptor)
            (tmp_path / ".set.part").rmdir()
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with files.replace_folder(folder) as work:
        assert work.is_dir()
    assert removed


def test_a_kill_between_the_two_renames_is_recovered(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    old = tmp_path / ".set.part" / "old"
    old.mkdir(parents=True)
    (old / "data").write_text("whole")
    files.recover_folder(folder)
    assert (folder / "data").read_text() == "whole"


def test_without_an_exchange_of_names_two_renames_replace_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_exchange", lambda a, b: False)
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "old").touch()
    with files.replace_folder(folder) as work:
        (work / "new").mkdir()
    assert list(folder.iterdir()) == []
    assert list(tmp_path.iterdir()) == [folder]


def test_scratch_folders_of_killed_processes_are_removed_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    killed = tmp_path / "skyfan-scratch-killed"
    killed.mkdir()
    (killed / ".locked").touch()
    (killed / "plan.parquet").touch()
    (tmp_path / "other").mkdir()
    with files.scratch() as first, files.scratch() as second:
        assert {path.name for path in tmp_path.iterdir()} == {"other", first.name, second.name}
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_a_scratch_folder_needs_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(fcntl, "flock", refuse)
    with files.scratch() as first:
        monkeypatch.undo()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        with files.scratch():  # of a process that has locks
            assert first.is_dir()
    assert list(tmp_path.iterdir()) == []


def refuse(*_: object) -> None:
    raise OSError(errno.ENOLCK, "no locks available")


def test_links_in_a_circle_are_named(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    if sys.version_info < (3, 13):  # later ones leave the link as it is, and opening it fails
        with pytest.raises(UsageError, match="cannot be followed"):
            files.resolved(tmp_path / "a")
    assert files.resolved(tmp_path) == tmp_path.resolve()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_not_replaced_by_one(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(path := tmp_path / "table.csv")
    with pytest.raises(UsageError, match=r"table\.csv"), files.replace(path) as part:
        part.touch()
    assert not path.is_file()
    assert [path] == list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder that takes no files")
def test_a_folder_that_takes_no_files_is_named_and_not_the_temporary_file() -> None:
    says = r"^cannot write /proc/x: /proc takes no new files$"
    with pytest.raises(UsageError, match=says), files.replace(Path("/proc/x")) as part:
        part.write_text("x")
    with pytest.raises(UsageError, match=says), files.replace_folder(Path("/proc/x")):
        pass


def test_names_are_folded_as_file_systems_do() -> None:
    assert files.folded("Caf\xe9/A.FITS") == files.folded("cafe\u0301/a.fits") != files.folded("cafe/a.fits")
