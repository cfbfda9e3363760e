"""skyfan as pip installs it: for tests/e2e/test_wheel.py and benchmarks/install_size."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import venv
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]


def build(folder: Path) -> Path:
    """Build the wheel of this clone into `folder`, with the hatchling that is installed. No network."""
    _run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder)
    (wheel,) = folder.glob("skyfan-*.whl")
    return wheel


def constraints(folder: Path) -> Path:
    """A constraints file with the versions of requirements/dev.txt, so that each run installs the same.

    Without the hashes, which pip would then want of the wheel as well.
    """
    lock = (REPO / "requirements/dev.txt").read_text(encoding="utf-8")
    path = folder / "constraints.txt"
    path.write_text("\n".join(re.findall(r"^([^\s#].*?) *\\?$", lock, re.MULTILINE)), encoding="utf-8")
    return path


def environment(folder: Path) -> Path:
    """Make a virtual environment that holds nothing, not even pip; return its Python."""
    venv.create(folder, with_pip=False, symlinks=True)
    return folder / "bin/python"


def pip(python: Path | str, *words: object) -> None:
    """Run pip for the environment of `python`, which need not have pip itself."""
    own = sys.executable if importlib.util.find_spec("pip") else Path(sys.base_prefix) / "bin/python3"
    options = ("--disable-pip-version-check", "--no-input", "--quiet")
    _run(own, "-m", "pip", "--python", python, *options, *words)


def uv(python: Path | str, *words: object) -> None:
    """Run uv, which `make` brings, for the environment of `python`: what is large is there in seconds."""
    program = Path(sys.executable).with_name("uv")
    if not program.exists():
        raise RuntimeError(f"{program} is not there: make {program.parents[1].name}/.uv")
    _run(program, "--no-config", "pip", *words, "--python", python)


def _run(*command: object) -> None:
    words = [str(part) for part in command]
    done = subprocess.run(words, cwd=REPO, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
