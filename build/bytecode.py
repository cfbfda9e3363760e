"""Compile source files to .pyc. Run by the Python of the target, whose bytecode it is.

That Python may be an executable with hardly a standard library (see interpreter.py), which imports this file
as its start-up module and calls run(); so it gets by with what is built in. Standard input names one file per
line: its path, the path to write down as its own, and "bare" if its docstrings are to be left out, with tabs
between them.
"""

import _imp
import marshal
import os
import sys
from _frozen_importlib_external import MAGIC_NUMBER

# Bit 0: valid by the hash of the source. Bit 1, unset: do not even check that.
_UNCHECKED_HASH = 0b01
# ast.PyCF_ONLY_AST
_TREE = 0x400


def run(name: str = "") -> None:
    """Write each file's .pyc where Python looks for it, and print this Python's version.

    Python loads an unchecked .pyc without a look at the source's time or content, so it stays good through
    zip files and read-only mounts, and two builds write the same bytes.
    """
    header = MAGIC_NUMBER + _UNCHECKED_HASH.to_bytes(4, "little")
    for line in sys.stdin.buffer.read().decode().splitlines():
        path, shown, *bare = line.split("\t")
        with open(path, "rb") as file:  # noqa: PTH123 - there is no pathlib
            source = file.read()
        tree = compile(source, shown, "exec", _TREE, dont_inherit=True)
        if bare:
            _drop_docstrings(tree)
        code = compile(tree, shown, "exec", dont_inherit=True, optimize=0)
        folder, _, base = path.rpartition("/")
        cache = f"{folder}/__pycache__"
        if not os.path.isdir(cache):  # noqa: PTH112
            os.mkdir(cache)  # noqa: PTH102
        with open(f"{cache}/{base[:-3]}.{sys.implementation.cache_tag}.pyc", "wb") as file:  # noqa: PTH123
            digest = _imp.source_hash(int.from_bytes(MAGIC_NUMBER, "little"), source)
            file.write(header + digest + marshal.dumps(code))
    print("{}.{}.{}".format(*sys.version_info))


def _drop_docstrings(node):
    """Take the docstrings out of a syntax tree."""
    body = getattr(node, "body", None)
    if not (isinstance(body, list) and body):
        return
    for child in body:
        _drop_docstrings(child)
    kind, first = type(node).__name__, body[0]
    if type(first).__name__ != "Expr" or not isinstance(getattr(first.value, "value", None), str):
        return
    if kind == "ClassDef":
        first.value.value = " "  # with none at all, dataclasses would make one up at each import
    elif kind in ("Module", "FunctionDef", "AsyncFunctionDef"):
        if len(body) > 1:
            del body[0]
        else:
            first.value.value = None


if __name__ == "__main__":
    run()
