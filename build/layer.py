"""Make a layer: python build/layer.py FOLDER ARCHITECTURE OUTPUT. Called by its Makefile, from sam build.

FOLDER holds requirements.txt (a lock with hashes), layer.toml, and the licence texts that wheels lack;
OUTPUT/python is made anew.
"""

from __future__ import annotations

import shutil
import sys
import tomllib
from pathlib import Path

import budget
import compile as compiler
import interpreter
import notices
import prune
import replace
import resolve
import seal
import strip

# Where Lambda mounts it.
_MOUNT = "/opt/python"


def build(folder: Path, architecture: str, output: Path) -> str:
    """Write ``output``/python and return the report: what takes the space, and the hash of the tree."""
    settings = tomllib.loads((folder / "layer.toml").read_text(encoding="utf-8"))
    tree = output / "python"
    shutil.rmtree(tree, ignore_errors=True)
    resolve.install(
        folder / "requirements.txt", tree, settings["python"], settings["platforms"][architecture]
    )
    prune.prune(tree, settings["prune"]["remove"], settings["prune"]["keep"])
    notices.add(tree, folder / "licences")
    replace.replace(tree, settings["replace"])
    strip.strip(tree)
    version = compiler.compile_tree(tree, settings["python"], _MOUNT)
    digest = seal.seal(tree)
    found = budget.sizes(tree)
    table = budget.report(found, settings["budget"])
    try:
        budget.check(found, settings["budget"])
    except budget.BudgetError as exc:
        raise budget.BudgetError(f"{folder.resolve().name}/layer.toml: {exc}\n{table}") from exc
    return f"{table}\n{architecture}, compiled by Python {version}, sha256 {digest}"


def main(arguments: list[str]) -> int | str:
    """The command; the exit status, or the message of what failed."""
    if len(arguments) != 3:
        return __doc__ or ""
    folder, architecture, output = arguments
    try:
        print(build(Path(folder), architecture, Path(output)))
    except KeyError as exc:
        return f"layer: {Path(folder).resolve().name}/layer.toml has no {exc}"
    except (
        budget.BudgetError,
        compiler.CompileError,
        interpreter.InterpreterError,
        notices.NoticeError,
        prune.PruneError,
        replace.ReplaceError,
        resolve.ResolveError,
    ) as exc:
        return f"layer: {exc}"
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
