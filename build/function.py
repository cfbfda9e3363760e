"""Make a function: python build/function.py PACKAGE OUTPUT. Called by its Makefile, from sam build.

PACKAGE is the import package of the function's folder. It, the runtime of all functions and the contract with
skyfan are copied into OUTPUT, each made anew and with its .pyc files. Whatever else the function imports is
in the layer.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import budget
import compile as compiler
import interpreter
import seal

PYTHON = "3.13"
_ROOT = Path(__file__).resolve().parents[1] / "functions/runtime"
RUNTIME = (_ROOT / "skyfan_function", _ROOT / "skyfan_contract", _ROOT / "skyfan_watch")
# Where Lambda mounts OUTPUT.
_MOUNT = "/var/task"
# MB, source and compiled. A function is code; what is large belongs in a layer, which all functions share.
# SepExtract takes 1.4.
_LIMIT = 1.6


def build(package: Path, output: Path) -> str:
    """Copy package and runtime into ``output``; returns a line for each: files, size, hash."""
    lines, total = [], 0.0
    for source in (package, *RUNTIME):
        tree = output / source.name
        shutil.rmtree(tree, ignore_errors=True)
        shutil.copytree(source, tree, ignore=shutil.ignore_patterns("__pycache__", "tests", ".*"))
        version = compiler.compile_tree(tree, PYTHON, f"{_MOUNT}/{tree.name}", docstrings=False)
        digest = seal.seal(tree)
        sizes = [path.stat().st_size for path in tree.rglob("*") if path.is_file()]
        total += sum(sizes)
        size = f"{len(sizes)} files, {sum(sizes):,} bytes"
        lines.append(f"{tree.name}: {size}, compiled by Python {version}, sha256 {digest}")
    if total > _LIMIT * 1e6:
        raise budget.BudgetError(f"{package.name} takes {total / 1e6:.2f} MB of {_LIMIT:g}")
    return "\n".join(lines)


def main(arguments: list[str]) -> int | str:
    """The command; the exit status, or the message of what failed."""
    if len(arguments) != 2:
        return __doc__ or ""
    try:
        print(build(Path(arguments[0]), Path(arguments[1])))
    except (budget.BudgetError, compiler.CompileError, interpreter.InterpreterError) as exc:
        return f"function: {exc}"
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
