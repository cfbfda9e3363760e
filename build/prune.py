"""Leave out of a tree of packages what nothing reads at run time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path


class PruneError(Exception):
    """A pattern that removes nothing: the packages have changed, or it is misspelt."""


def prune(tree: Path, remove: Sequence[str], keep: Sequence[str]) -> None:
    """Remove the files of ``tree`` whose path matches a pattern of ``remove`` and none of ``keep``.

    Patterns are the shell's, matched against paths relative to ``tree``; ``*`` crosses folders. Folders left
    empty go too. Raises PruneError if a pattern matches nothing, so that the list cannot outlive its reasons.
    """
    files = {path: path.relative_to(tree).as_posix() for path in sorted(tree.rglob("*")) if not path.is_dir()}
    idle = [pattern for pattern in (*remove, *keep) if not any(_match(files.values(), pattern))]
    if idle:
        raise PruneError(f"these patterns match no file: {', '.join(idle)}")
    for path, name in files.items():
        if any(fnmatchcase(name, p) for p in remove) and not any(fnmatchcase(name, p) for p in keep):
            path.unlink()
    for folder in sorted((p for p in tree.rglob("*") if p.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def _match(names: Iterable[str], pattern: str) -> Iterable[str]:
    return (name for name in names if fnmatchcase(name, pattern))
