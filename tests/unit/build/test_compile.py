"""build/compile.py and bytecode.py, with this Python for Lambda's; test_layer.py has the real one."""

import importlib.util
import py_compile
import subprocess
import sys
from pathlib import Path

import compile as compiler  # type: ignore[import-not-found]
import interpreter
import pytest

THIS = "{}.{}".format(*sys.version_info)


@pytest.fixture(autouse=True)
def this_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYFAN_PYTHON", sys.executable)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "pkg/sub").mkdir(parents=True)
    (tmp_path / "pkg/__init__.py").write_text("NAME = '\N{GREEK SMALL LETTER ALPHA}'\n", encoding="utf-8")
    (tmp_path / "pkg/sub/with space.py").write_text("")
    (tmp_path / "pkg/sub/raises.py").write_text("x = {3, 1, 2}\nassert x in ({'b', 'a'}, None)\n")
    return tmp_path


def _pyc(source: Path) -> Path:
    return Path(importlib.util.cache_from_source(str(source)))


def test_each_source_gets_what_py_compile_would_write(tree: Path) -> None:
    assert compiler.compile_tree(tree, THIS, "/opt/python").startswith(THIS)
    for source in tree.rglob("*.py"):
        ours = _pyc(source).read_bytes()
        shown = f"/opt/python/{source.relative_to(tree).as_posix()}"
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(str(source), dfile=shown, doraise=True, invalidation_mode=mode)
        theirs = _pyc(source).read_bytes()
        assert ours[:16] == theirs[:16]
        assert ours[:4] == importlib.util.MAGIC_NUMBER


def test_the_source_is_neither_compiled_nor_looked_at_again(tree: Path) -> None:
    compiler.compile_tree(tree, THIS, "/opt/python")
    (tree / "pkg/__init__.py").write_text("NAME = 'changed'\n")
    code = "import sys; sys.path[:0] = sys.argv[1:]; import pkg; print(ascii(pkg.NAME))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(tree)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ascii("\N{GREEK SMALL LETTER ALPHA}")


def test_where_it_was_built_does_not_show(tree: Path) -> None:
    compiler.compile_tree(tree, THIS, "/opt/python")
    for path in tree.rglob("*.pyc"):
        assert str(tree).encode() not in path.read_bytes()
        assert b"/opt/python/pkg/" in path.read_bytes()


def test_two_runs_write_the_same_bytes(tree: Path) -> None:
    compiler.compile_tree(tree, THIS, "/opt/python")
    first = {path: path.read_bytes() for path in tree.rglob("*.pyc")}
    compiler.compile_tree(tree, THIS, "/opt/python")
    assert len(first) == 3
    assert {path: path.read_bytes() for path in tree.rglob("*.pyc")} == first


def test_a_source_that_does_not_compile_is_named(tree: Path) -> None:
    (tree / "pkg/bad.py").write_text("def :\n")
    with pytest.raises(compiler.CompileError, match=r"/opt/python/pkg/bad\.py"):
        compiler.compile_tree(tree, THIS, "/opt/python")


def test_another_version_than_the_target_is_refused() -> None:
    with pytest.raises(interpreter.InterpreterError, match=rf"is Python {THIS}, and 3\.99 is needed"):
        interpreter.command("3.99")


def test_an_interpreter_that_does_not_run_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYFAN_PYTHON", "/no/such/python")
    with pytest.raises(interpreter.InterpreterError, match="/no/such/python"):
        interpreter.command("3.13")


DOCUMENTED = '''"""A module."""
from __future__ import annotations
from dataclasses import dataclass


@dataclass
class Row:
    """A row."""

    x: int
    """A column."""


class Error(Exception):
    """An error."""


def f():
    """A function."""
    return "text"


def g():
    """Nothing but this."""


def h(x):
    assert x, "still checked"
'''


def test_docstrings_can_be_left_out_and_nothing_else(tree: Path) -> None:
    (tree / "documented.py").write_text(DOCUMENTED)
    compiler.compile_tree(tree, THIS, "/var/task", docstrings=False)
    compiled = _pyc(tree / "documented.py").read_bytes()
    for words in (b"A module.", b"A row.", b"A column.", b"An error.", b"A function.", b"Nothing but this."):
        assert words not in compiled
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]; import documented as d\n"
        "assert d.Row(3).x == 3 and d.f() == 'text' and d.g() is None and issubclass(d.Error, Exception)\n"
        "try: d.h(0)\nexcept AssertionError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(tree)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "still checked"
