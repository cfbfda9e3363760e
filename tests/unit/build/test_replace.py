"""build/replace.py, and that what layers/astro replaces is not used otherwise than it says."""

import ast
import tomllib
from importlib.metadata import version
from pathlib import Path

import astropy
import pytest
import replace

LAYER = Path(__file__).parents[3] / "layers/astro"
ENTRIES = tomllib.loads((LAYER / "layer.toml").read_text())["replace"]


def test_a_line_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import x\nimport y\n")
    entries = [{"file": "a.py", "old": "import x\n", "new": ""}, {"file": "a.py", "old": "y", "new": "z"}]
    replace.replace(tmp_path, entries)
    assert (tmp_path / "a.py").read_text() == "import z\n"


@pytest.mark.parametrize("text", ["", "import x\nimport x\n"])
def test_what_is_not_there_once_is_an_error_and_nothing_is_written(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.py").write_text("import a\n")
    (tmp_path / "b.py").write_text(text)
    entries = [{"file": "a.py", "old": "a", "new": "c"}, {"file": "b.py", "old": "import x\n", "new": ""}]
    with pytest.raises(replace.ReplaceError, match=r"b\.py"):
        replace.replace(tmp_path, entries)
    assert (tmp_path / "a.py").read_text() == "import a\n"


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(replace.ReplaceError, match=r"gone\.py"):
        replace.replace(tmp_path, [{"file": "gone.py", "old": "a", "new": ""}])


def _annotations(tree: ast.Module) -> set[ast.AST]:
    """All nodes within annotations of arguments and results."""
    found: set[ast.AST] = set()
    for node in ast.walk(tree):
        for part in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            found |= set(ast.walk(part)) if isinstance(part, ast.AST) else set()
    return found


def test_only_annotations_use_the_names_that_are_any_in_the_layer() -> None:
    assert f"astropy=={version('astropy')} " in (LAYER / "requirements.txt").read_text()
    (entry,) = ENTRIES
    text = (Path(astropy.__file__).parents[1] / entry["file"]).read_text()
    assert text.count(entry["old"]) == 1
    tree = ast.parse(text)
    (imported,) = ast.parse(entry["old"]).body
    assert isinstance(imported, ast.ImportFrom)
    names = {alias.name for alias in imported.names}
    used = {node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in names}
    assert used
    assert used <= _annotations(tree)
