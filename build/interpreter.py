"""A Python of the target's version on a machine that has none, brought by pip.

The wheels of freeze-core (cx_Freeze's half in C) hold an executable that is a whole, statically linked
CPython; frozen programs are made by laying their code beside it. It needs nothing of the machine but its C
library, and is asked to do one thing here: run bytecode.py.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import resolve

LOCK = Path(__file__).with_name("interpreter.txt")
PROGRAM = Path(__file__).with_name("bytecode.py")
CACHE = Path(__file__).resolve().parents[1] / ".aws-sam/skyfan"
_BASES = "freeze_core/bases/"
# The names in "\N{DEGREE SIGN}"; and, on macOS, CPython as a library.
_LIBRARIES = ("freeze_core/lib/unicodedata.", f"{_BASES}lib/")


class InterpreterError(Exception):
    """There is no Python of the wanted version, and the reason."""


def command(python: str) -> list[str]:
    """The command that runs bytecode.py under ``python`` ("3.13").

    SKYFAN_PYTHON, a path, overrides the pinned interpreter, for platforms that it has no wheel for.
    """
    if own := os.environ.get("SKYFAN_PYTHON"):
        found = _version(own)
        if found != python:
            raise InterpreterError(f"SKYFAN_PYTHON={own} is Python {found}, and {python} is needed")
        return [own, "-I", "-X", "utf8", str(PROGRAM)]
    return [str(_unpacked(python))]


def _version(executable: str) -> str:
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([executable, "-c", ask], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as exc:
        raise InterpreterError(f"SKYFAN_PYTHON={executable} does not run: {exc}") from exc
    return done.stdout.strip()


def _unpacked(python: str) -> Path:
    """The executable with bytecode.py as its program, unpacked once for each version of what makes it.

    Several builds may do so at once: each unpacks its own, and the first to finish gives its folder the name.
    """
    made_of = b"".join(path.read_bytes() for path in (LOCK, PROGRAM, Path(__file__)))
    digest = hashlib.sha256(made_of).hexdigest()[:16]
    home = CACHE / f"python{python}-{sys.platform}-{os.uname().machine}-{digest}"
    if not home.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            made = Path(scratch, "made")
            _unpack(python, Path(scratch), made)
            try:
                made.rename(home)
            except OSError:
                if not home.is_dir():
                    raise
    return home / "python"


def _unpack(python: str, scratch: Path, home: Path) -> None:
    try:
        resolve.download(LOCK, scratch, python)
    except resolve.ResolveError as exc:
        raise InterpreterError(
            f"no Python {python} to compile with. Either pip gets the wheel of build/interpreter.txt, or "
            f"SKYFAN_PYTHON names a Python {python} of this machine.\n{exc}"
        ) from exc
    (home / "lib").mkdir(parents=True)
    with zipfile.ZipFile(next(scratch.glob("*.whl"))) as wheel:
        for name in wheel.namelist():
            if name.startswith(f"{_BASES}console-"):
                (home / "python").write_bytes(wheel.read(name))
            elif name.startswith(_LIBRARIES) and not name.endswith("/"):
                (home / "lib" / Path(name).name).write_bytes(wheel.read(name))
    (home / "python").chmod(0o755)
    # The executable runs the module named after itself.
    shutil.copyfile(PROGRAM, home / "lib/__init__python.py")
