"""Compile a tree of sources for the Python of the target, so that nothing is compiled at run time."""

from __future__ import annotations

import subprocess
from pathlib import Path

import interpreter


class CompileError(Exception):
    """A source that the target's Python does not take."""


def compile_tree(tree: Path, python: str, mount: str, *, docstrings: bool = True) -> str:
    """Write the .pyc of every .py file of ``tree``; returns the version of the Python that did.

    ``mount`` is where the tree will stand in Lambda, which the .pyc files name, not a path of this machine.
    A read-only mount without them would cost a compilation of every import on every cold start. Without
    ``docstrings`` they are a tenth smaller; some packages read theirs when they are imported.
    """
    bare = "" if docstrings else "\tbare"
    sources = sorted(path for path in tree.rglob("*.py") if path.is_file())
    lines = [f"{path}\t{mount}/{path.relative_to(tree).as_posix()}{bare}" for path in sources]
    done = subprocess.run(
        interpreter.command(python), input="\n".join(lines).encode(), capture_output=True, check=False
    )
    if done.returncode:
        raise CompileError(done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}")
    return done.stdout.decode().strip()
