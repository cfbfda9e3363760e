"""Listings of a folder: as obstore has them, and the second one without what has not changed."""

import os
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import obstore
import pytest
from obstore.store import LocalStore

from skyfan.errors import InputError
from skyfan.storage import listing
from skyfan.storage.listing import Listing, Object

SETTLED_S = 0.03


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_SETTLED_NS", int(SETTLED_S * 1e9))


def all_of(folder: Path, prefix: str = "runs/") -> dict[str, Object]:
    return {item.key: item for _, items in Listing(folder, prefix).changes() for item in items}


def write(folder: Path, key: str, text: str = "x") -> Path:
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_listing_is_that_of_obstore(tmp_path: Path) -> None:
    names = (
        "a b",
        "a%20b",
        "a#1",
        "a#b",
        "q?",
        "t~",
        "b\\c",
        "s*",
        "é",
        "100%",
        "x.part",
        "deep/er/x",
        ".hidden",
    )
    for name in names:
        write(tmp_path, f"runs/{name}", name)
    write(tmp_path, "elsewhere/x")
    (tmp_path / "runs/folder").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "runs/file").symlink_to(tmp_path / "elsewhere/x")
    (tmp_path / "runs/broken").symlink_to("nowhere")
    os.mkfifo(tmp_path / "runs/pipe")
    expected = {
        item["path"]: Object(
            item["path"], item["size"], item["last_modified"].timestamp(), item["e_tag"] or ""
        )
        for page in obstore.list(LocalStore(tmp_path), "runs/")
        for item in page
        if not item["path"].endswith(".part")
    }
    assert len(expected) == 13
    assert all_of(tmp_path) == expected
    assert all_of(tmp_path, "none/") == all_of(tmp_path, "elsewhere/x/") == {}


def test_nothing_is_listed_twice_without_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/1", "a/2", "b/c/3"):
        write(tmp_path, f"runs/{name}")
    watched = Listing(tmp_path, "runs/")
    time.sleep(2 * SETTLED_S)
    assert sum(len(items) for _, items in watched.changes()) == 3
    listed = []
    scandir = os.scandir

    def scan(path: str) -> "os.ScandirIterator[str]":
        listed.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)
    assert list(watched.changes()) == []
    write(tmp_path, "runs/b/c/4")
    write(tmp_path, "runs/a/new/5")
    keys = [sorted(item.key for item in items) for _, items in watched.changes()]
    assert keys == [["runs/a/1", "runs/a/2"], ["runs/b/c/3", "runs/b/c/4"], ["runs/a/new/5"]]
    assert len(listed) == 3


def test_what_has_just_changed_is_listed_again(tmp_path: Path) -> None:
    write(tmp_path, "runs/a")
    watched = Listing(tmp_path, "runs/")
    ahead = time.time() + 3600
    os.utime(tmp_path / "runs", (ahead, ahead))
    for _ in range(2):
        ((_, items),) = watched.changes()
        assert [item.key for item in items] == ["runs/a"]


def test_a_file_behind_a_link_may_go_without_a_sign(tmp_path: Path) -> None:
    target = write(tmp_path, "elsewhere/x")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/x").symlink_to(target)
    watched = Listing(tmp_path, "runs/")
    time.sleep(2 * SETTLED_S)
    assert [len(items) for _, items in watched.changes()] == [1]
    target.unlink()
    assert [len(items) for _, items in watched.changes()] == [0]
    target.touch()
    assert [len(items) for _, items in watched.changes()] == [1]


def test_a_call_that_is_broken_off_is_repeated(tmp_path: Path) -> None:
    for name in "abc":
        write(tmp_path, f"runs/{name}/1")
    watched = Listing(tmp_path, "runs/")
    time.sleep(2 * SETTLED_S)
    next(watched.changes())
    assert sum(len(items) for _, items in watched.changes()) == 3


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_to_a_folder_is_seen(tmp_path: Path, seed: int) -> None:
    choice = random.Random(seed)
    watched = Listing(tmp_path, "runs/")
    groups: dict[int, list[Object]] = {}

    def some(kind: str) -> Iterator[Path]:
        return (path for path in sorted((tmp_path / "runs").rglob("*")) if getattr(path, kind)())

    def change() -> None:
        files, folders = list(some("is_file")), list(some("is_dir"))
        new = tmp_path / "runs" / "/".join(choice.choices("abc", k=choice.randint(1, 3)))
        match choice.randrange(5):
            case 0 if files:
                choice.choice(files).unlink()
            case 1 if files:
                other = choice.choice(files)
                other.rename(other.with_name(f"renamed {choice.randrange(3)}"))
            case 2 if folders:
                folder = choice.choice(folders)
                folder.rename(tmp_path / f"away {choice.random()}")
            case 3 if away := list(tmp_path.glob("away*")):
                place = tmp_path / "runs" / f"back {choice.randrange(3)}"
                if not place.exists():
                    away[0].rename(place)
            case _:
                with suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
                    write(tmp_path, f"{new.relative_to(tmp_path)}/file {choice.randrange(3)}")

    for _ in range(40):
        change()
        if choice.random() < 0.3:
            time.sleep(2 * SETTLED_S)
        groups.update(watched.changes())
        assert {item.key: item for items in groups.values() for item in items} == all_of(tmp_path)


def test_what_cannot_be_listed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs/a").mkdir(parents=True)
    (tmp_path / "runs/a/up").symlink_to("..")
    with pytest.raises(InputError, match="runs/a/up"):
        all_of(tmp_path)
    (tmp_path / "runs/a/up").unlink()
    Path(os.fsdecode(os.fsencode(tmp_path / "runs/a/b") + b"\xff")).touch()
    with pytest.raises(InputError, match=r"runs/a/ cannot be listed: .*UTF-8"):
        all_of(tmp_path)
