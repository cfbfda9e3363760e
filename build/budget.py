"""What takes the space in a tree of packages, and whether it may."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

# What of a package is of which kind; the rest is data.
_KINDS = {".py": "source", ".pyc": "compiled", ".so": "libraries"}
_MB = 1_000_000


class BudgetError(Exception):
    """A package that is larger than the budget says, or that the budget does not know."""


def sizes(tree: Path) -> dict[str, dict[str, int]]:
    """Bytes of each package of ``tree`` by kind: source, compiled, libraries, data."""
    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for path in tree.rglob("*"):
        if path.is_file():
            kind = "libraries" if ".so" in path.name else _KINDS.get(path.suffix, "data")
            found[_package(path.relative_to(tree))][kind] += path.stat().st_size
    return {package: dict(kinds) for package, kinds in found.items()}


def _package(path: Path) -> str:
    """Whose a file is: ``numpy`` for numpy/ and numpy.libs/, ``sep`` for sep.*.so, ``yaml`` for _yaml/."""
    if path.parts[0].endswith(".dist-info"):
        return "dist-info"
    top = path.name if path.parts[0] == "__pycache__" else path.parts[0]
    return top.split(".")[0].lstrip("_")


def report(found: Mapping[str, Mapping[str, int]], limits: Mapping[str, float]) -> str:
    """The sizes as a table, largest first, in MB, beside what is allowed."""
    kinds = ["libraries", "source", "compiled", "data"]
    lines = [f"{'MB':<18}{''.join(f'{kind:>11}' for kind in kinds)}{'all':>9}{'budget':>9}"]
    rows = sorted(found.items(), key=lambda item: -sum(item[1].values()))
    total = {kind: sum(each.get(kind, 0) for each in found.values()) for kind in kinds}
    for package, each in [*rows, ("total", total)]:
        cells = "".join(f"{each.get(kind, 0) / _MB:>11.2f}" for kind in kinds)
        limit = f"{limits[package]:>9.1f}" if package in limits else f"{'-':>9}"
        lines.append(f"{package:<18}{cells}{sum(each.values()) / _MB:>9.2f}{limit}")
    return "\n".join(lines)


def check(found: Mapping[str, Mapping[str, int]], limits: Mapping[str, float]) -> None:
    """Raise BudgetError, which names every package over its limit or without one, and the total."""
    wrong = []
    total = {"total": sum(sum(kinds.values()) for kinds in found.values())}
    for package, size in {**{name: sum(kinds.values()) for name, kinds in found.items()}, **total}.items():
        if package not in limits:
            wrong.append(f"{package} ({size / _MB:.2f} MB) has no budget")
        elif size > limits[package] * _MB:
            wrong.append(f"{package} takes {size / _MB:.2f} MB of {limits[package]:g}")
    if wrong:
        raise BudgetError("; ".join(sorted(wrong)))
