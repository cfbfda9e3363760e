"""Wheels for a machine that this one is not: fetched by this one's pip, checked against a lock of hashes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


class ResolveError(Exception):
    """pip could not bring what the lock asks for; its own words are part of the message."""


def install(lock: Path, target: Path, python: str, platforms: Sequence[str]) -> None:
    """Unpack the wheels that ``lock`` pins for ``python`` ("3.13") on any of ``platforms`` into ``target``.

    Nothing is built, nothing outside the lock is taken, and no package's code runs.
    """
    options = [f"--platform={platform}" for platform in platforms]
    _pip("install", lock, python, [*options, "--no-compile", "--target", str(target)])


def download(lock: Path, target: Path, python: str) -> None:
    """Put the wheels that ``lock`` pins for ``python`` on this machine's own platform into ``target``."""
    _pip("download", lock, python, ["--dest", str(target)])


def _pip(command: str, lock: Path, python: str, options: Sequence[str]) -> None:
    arguments = [
        sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", command, "--quiet",
        f"--python-version={python}", "--implementation=cp", "--only-binary=:all:", "--no-deps",
        "--require-hashes", "--requirement", str(lock), *options,
    ]  # fmt: skip
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ResolveError(f"pip {command} from {lock.name} failed:\n{done.stderr.strip()}")
