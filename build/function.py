"""Make a function: python build/function.py PACKAGE OUTPUT. Called by its Makefile, from sam build.

PACKAGE is the import package, the only thing of the function's folder that runs in Lambda; OUTPUT/<its name>
is made anew, with its .pyc files. What else it imports is in the layer.
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
# Where Lambda mounts it.
_MOUNT = "/var/task"
# MB. A function is code; what is large belongs in a layer, which all functions share.
_LIMIT = 0.5


def build(package: Path, output: Path) -> str:
    """Write ``output``/<package's name> and return one line: files, size, hash."""
    tree = output / package.name
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(package, tree, ignore=shutil.ignore_patterns("__pycache__", "tests", ".*"))
    version = compiler.compile_tree(tree, PYTHON, f"{_MOUNT}/{package.name}")
    digest = seal.seal(tree)
    files = [path for path in tree.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 1e6
    if size > _LIMIT:
        raise budget.BudgetError(f"{package.name} takes {size:.2f} MB of {_LIMIT:g}")
    return f"{package.name}: {len(files)} files, {size:.2f} MB, compiled by Python {version}, sha256 {digest}"


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
