"""Replace lines in a tree of packages: imports of what only a type checker reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path


class ReplaceError(Exception):
    """A text that is not in its file exactly once: the packages have changed."""


def replace(tree: Path, replacements: Iterable[Mapping[str, str]]) -> None:
    """Write ``new`` instead of ``old`` in each ``file``, a path in ``tree``.

    Raises ReplaceError, before anything is written, unless ``old`` is there exactly once.
    """
    texts = {}
    for entry in replacements:
        path = tree / entry["file"]
        text = texts.get(path) or (path.read_text(encoding="utf-8") if path.is_file() else "")
        if text.count(entry["old"]) != 1:
            raise ReplaceError(
                f"{entry['file']} has {text.count(entry['old'])} times, not once: {entry['old']!r}"
            )
        texts[path] = text.replace(entry["old"], entry["new"])
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
