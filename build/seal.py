"""Make a tree of files say nothing of when and where it was built, and give it a name: its hash."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

# The first day that a zip file can hold in every time zone.
_TIME = 315_532_800 + 86_400


def seal(tree: Path) -> str:
    """Set times and permissions of ``tree`` and everything in it to fixed values; returns the tree's hash."""
    for path in [tree, *sorted(tree.rglob("*"))]:
        if path.is_symlink():
            raise ValueError(f"{path} is a link; zip files for Lambda hold files only")
        path.chmod(0o755 if path.is_dir() else 0o644)
    # Folders last, as their time changes with their content.
    for path in [*sorted(tree.rglob("*"), reverse=True), tree]:
        os.utime(path, (_TIME, _TIME))
    return digest(tree)


def digest(tree: Path) -> str:
    """SHA-256 over path and content of every file of ``tree``, in the order of their names."""
    total = hashlib.sha256()
    files = {path.relative_to(tree).as_posix(): path for path in tree.rglob("*") if path.is_file()}
    for name, path in sorted(files.items()):
        total.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()
