"""The structure of invoke/skyfan in figures: python build/structure.py; --check fails where it is unsound.

Counts modules (empty __init__.py do not count), names the longest, and lists cycles between folders, where
imports inside functions and for type checking count as well.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1] / "invoke"
MOST_MODULES, MOST_LINES = 216, 350


def modules() -> dict[Path, int]:
    """Lines of each module, by its path below invoke/."""
    lines = {
        path: len(path.read_text(encoding="utf-8").splitlines()) for path in ROOT.rglob("skyfan/**/*.py")
    }
    return {path.relative_to(ROOT): count for path, count in sorted(lines.items()) if count}


def folder_imports() -> dict[str, set[str]]:
    """The folders that each folder imports; a module that lies in no folder is one of its own."""
    sys.path.insert(0, str(ROOT))
    graph = grimp.build_graph("skyfan", cache_dir=None)
    found: dict[str, set[str]] = defaultdict(set)
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            if (source := _folder(module)) != (target := _folder(imported)):
                found[source].add(target)
    return found


def _folder(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def cycles(imports: dict[str, set[str]]) -> list[list[str]]:
    """Groups of folders that import each other, directly or through others."""
    reached = {folder: _reach(folder, imports) for folder in imports}
    groups = {
        frozenset(other for other in imports if other in reached[folder] and folder in reached[other])
        for folder in imports
    }
    return [sorted(group) for group in groups if group]


def _reach(start: str, imports: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(imports[start])
    while waiting:
        folder = waiting.pop()
        if folder not in found:
            found.add(folder)
            waiting += imports.get(folder, ())
    return found


def main(arguments: list[str]) -> int:
    """Prints the figures; with --check the exit status is 1 where one is beyond its limit."""
    lines, tangled = modules(), cycles(folder_imports())
    longest = max(lines, key=lambda path: lines[path])
    ordered = sorted(lines.values())
    print(f"{len(lines)} modules of at most {MOST_MODULES}, median {ordered[len(ordered) // 2]} lines")
    print(f"longest: {longest} with {lines[longest]} lines of at most {MOST_LINES}")
    print(f"cycles between folders: {'; '.join(map(str, tangled)) or 'none'}")
    is_sound = len(lines) <= MOST_MODULES and lines[longest] <= MOST_LINES and not tangled
    return 1 if "--check" in arguments and not is_sound else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
