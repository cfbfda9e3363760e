"""build/prune.py: what is removed, what stays, and patterns that have lost their reason."""

from pathlib import Path

import prune
import pytest


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "pkg/__init__.py",
        "pkg/tests/test_a.py",
        "pkg/tests/data/a.fits",
        "pkg/sub/a.pyi",
        "pkg/sub/a.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def _files(tree: Path) -> list[str]:
    return sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file())


def test_a_star_crosses_folders_and_empty_folders_go(tree: Path) -> None:
    prune.prune(tree, ["*/tests/*", "*.pyi"], [])
    assert _files(tree) == ["pkg/__init__.py", "pkg/sub/a.py"]
    assert not (tree / "pkg/tests").exists()


def test_keep_wins(tree: Path) -> None:
    prune.prune(tree, ["pkg/*"], ["*/a.py"])
    assert _files(tree) == ["pkg/sub/a.py"]


@pytest.mark.parametrize(("remove", "keep"), [(["*.pyx"], []), (["*.pyi"], ["*.pyx"])])
def test_a_pattern_without_a_file_is_an_error_and_nothing_is_removed(
    tree: Path, remove: list[str], keep: list[str]
) -> None:
    before = _files(tree)
    with pytest.raises(prune.PruneError, match=r"\*\.pyx"):
        prune.prune(tree, remove, keep)
    assert _files(tree) == before
