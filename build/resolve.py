"""Wheels for a machine that this one is not: fetched by this one's pip, checked against a lock of hashes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit


class ResolveError(Exception):
    """pip could not bring what the lock asks for; its own words are part of the message."""


@dataclass(frozen=True)
class Wheel:
    """A wheel that a lock pins."""

    name: str
    version: str
    file: str
    sha256: str


def install(lock: Path, target: Path, python: str, platforms: Sequence[str]) -> None:
    """Unpack the wheels that ``lock`` pins for ``python`` ("3.13") on any of ``platforms`` into ``target``.

    Nothing is built, nothing outside the lock is taken, and no package's code runs.
    """
    options = [f"--platform={platform}" for platform in platforms]
    _pip("install", lock, python, [*options, "--no-compile", "--target", str(target)])


def download(lock: Path, target: Path, python: str) -> None:
    """Put the wheels that ``lock`` pins for ``python`` on this machine's own platform into ``target``."""
    _pip("download", lock, python, ["--dest", str(target)])


def pinned(lock: Path, python: str, platforms: Sequence[str] = ()) -> list[Wheel]:
    """The wheels that ``install`` would unpack; those of this machine if no platform is named."""
    options = [f"--platform={platform}" for platform in platforms]
    # pip wants a target for another machine's wheels, though nothing is written
    options += ["--dry-run", "--ignore-installed", "--report=-", "--target", str(lock.parent / "nowhere")]
    found = json.loads(_pip("install", lock, python, options))
    return [
        Wheel(
            each["metadata"]["name"],
            each["metadata"]["version"],
            unquote(urlsplit(each["download_info"]["url"]).path.rpartition("/")[2]),
            each["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for each in found["install"]
    ]


def _pip(command: str, lock: Path, python: str, options: Sequence[str]) -> str:
    arguments = [
        sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", command, "--quiet",
        f"--python-version={python}", "--implementation=cp", "--only-binary=:all:", "--no-deps",
        "--require-hashes", "--requirement", str(lock), *options,
    ]  # fmt: skip
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ResolveError(f"pip {command} from {lock.name} failed:\n{done.stderr.strip()}")
    return done.stdout
