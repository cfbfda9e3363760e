from pathlib import Path

import pytest

from skyfan.fetch.checks import Sums
from skyfan.fetch.partial import Partial
from skyfan.fetch.recipe import Copy, Recipe

MADE = Recipe((b"head", Copy(100, 20)))
ABOUT = {"source": "s3://b/a.fits", "etag": '"1"'}


def made(folder: Path, about: dict[str, str] = ABOUT) -> Partial:
    return Partial(folder / "a.fits", MADE, about, Sums(("md5",)))


def begun(folder: Path) -> Partial:
    """A partial file with 5 of its 20 bytes, closed as a kill would leave it."""
    partial = made(folder)
    assert partial.open() == 0
    partial.write(9, b"01234")
    partial.close()
    return partial


def test_what_was_written_is_there_after_a_kill(tmp_path: Path) -> None:
    begun(tmp_path)
    again = made(tmp_path)
    assert again.promised() == 5
    assert again.open() == 5
    assert again.present == [(9, 14)]
    again.write(4, b"abcde")
    again.write(14, b"567890abcd")
    again.finish()
    assert (tmp_path / "a.fits").read_bytes() == b"headabcde01234567890abcd"
    assert [path.name for path in tmp_path.iterdir()] == ["a.fits"]


@pytest.mark.parametrize("about", [{**ABOUT, "etag": '"2"'}, {**ABOUT, "source": "s3://b/c.fits"}])
def test_another_version_or_source_is_begun_again(tmp_path: Path, about: dict[str, str]) -> None:
    begun(tmp_path)
    assert made(tmp_path, about).open() == 0


def test_a_file_from_before_a_restart_of_the_machine_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut may keep the journal and lose the bytes."""
    begun(tmp_path)
    monkeypatch.setattr("psutil.boot_time", lambda: 4e9)
    assert made(tmp_path).open() == 0


def test_bytes_beyond_the_end_of_the_file_do_not_count(tmp_path: Path) -> None:
    begun(tmp_path).path.write_bytes(b"head")
    assert made(tmp_path).open() == 0


@pytest.mark.parametrize("damage", [b"", b"not JSON\n", b"9 14", b"\xff\xfe\n9 14 0\n"])
def test_a_damaged_journal_counts_for_nothing(tmp_path: Path, damage: bytes) -> None:
    partial = begun(tmp_path)
    partial.path.with_name(f"{partial.path.name}.journal").write_bytes(damage)
    again = made(tmp_path)
    assert (again.promised(), again.open()) == (0, 0)


def test_a_line_that_was_not_written_whole_does_not_count(tmp_path: Path) -> None:
    partial = begun(tmp_path)
    journal = partial.path.with_name(f"{partial.path.name}.journal")
    journal.write_bytes(journal.read_bytes()[:-1])
    assert made(tmp_path).open() == 0
