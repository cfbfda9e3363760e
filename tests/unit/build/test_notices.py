"""build/notices.py: each package of a layer has its licence text."""

from pathlib import Path

import notices
import pytest


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("own-1.0.dist-info/licenses/sub/LICENSE.txt", "bare-2.0.dist-info/METADATA"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True)
        (tmp_path / "tree" / name).write_text(name)
    return tmp_path / "tree"


def _text(folder: Path, package: str) -> Path:
    (folder / package).mkdir(parents=True)
    (folder / package / "COPYING").write_text("do as you like")
    return folder


def test_a_text_is_put_beside_its_package(tree: Path, tmp_path: Path) -> None:
    notices.add(tree, _text(tmp_path / "licences", "bare"))
    assert (tree / "bare-2.0.dist-info/licenses/COPYING").read_text() == "do as you like"
    assert [path.name for path in notices.texts(tree / "own-1.0.dist-info")] == ["LICENSE.txt"]


def test_a_package_without_a_text_is_an_error(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(notices.NoticeError, match="bare"):
        notices.add(tree, tmp_path / "licences")


def test_a_text_without_its_package_is_an_error(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(notices.NoticeError, match="gone"):
        notices.add(tree, _text(tmp_path / "licences", "gone"))
