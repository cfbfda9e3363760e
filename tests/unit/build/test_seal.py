"""build/seal.py: a tree says nothing of when, where and by whom it was built."""

import os
from pathlib import Path

import pytest
import seal


def _tree(root: Path, names: list[str]) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def test_order_times_permissions_and_place_do_not_show(tmp_path: Path) -> None:
    one = _tree(tmp_path / "one", ["a/x.py", "a.b/y.py", "z.so"])
    two = _tree(tmp_path / "deep/two", ["z.so", "a.b/y.py", "a/x.py"])
    os.utime(two / "z.so", (0, 0))
    (two / "a/x.py").chmod(0o600)
    assert seal.seal(one) == seal.seal(two)
    states = [
        [(p.name, p.stat().st_mtime, p.stat().st_mode) for p in sorted(t.rglob("*"))] for t in (one, two)
    ]
    assert states[0] == states[1]


def test_content_and_names_show(tmp_path: Path) -> None:
    one = seal.seal(_tree(tmp_path / "one", ["a/x.py"]))
    assert seal.seal(_tree(tmp_path / "two", ["a/y.py"])) != one
    three = _tree(tmp_path / "three", ["a/x.py"])
    (three / "a/x.py").write_text("a/x.pY")
    assert seal.seal(three) != one


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(ValueError, match="link"):
        seal.seal(tmp_path)
