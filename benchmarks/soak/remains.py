"""What a soak leaves: the catalogs and failures that it should, and nothing else."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from astropy.io import fits

from .images import Input

_KNOWN = ("catalogs", "doubtful", "failures", "logs", "plans", "receipts")
_FEW = 5


def files(folder: Path) -> Iterator[os.DirEntry[str]]:
    """All files below a folder, at any depth."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from files(Path(entry.path))
            elif not entry.name.startswith("."):
                yield entry


@contextmanager
def gone() -> Iterator[None]:
    """Ignores that a process has ended."""
    with suppress(psutil.Error, ProcessLookupError, OSError):
        yield


def processes(token: str) -> list[psutil.Process]:
    """The living processes that have the token in their environment."""
    found, marker = [], f"SKYFAN_SOAK={token}".encode()
    for pid in psutil.pids():
        with suppress(OSError, psutil.Error):
            if marker in Path(f"/proc/{pid}/environ").read_bytes():
                process = psutil.Process(pid)
                if process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
    return found


def left(folder: Path, run: Path) -> list[str]:
    """What a run must not leave: temporary files, held locks, anything that has no place in a run."""
    found = [f"a temporary file: {path}" for path in (folder / "tmp").rglob("*")]
    for place in (folder / "output", folder / "state", folder / "inputs", folder / "bucket"):
        found += [
            f"a part: {path}" for path in place.rglob("*") if ".part" in path.name or path.name[0] == "."
        ]
    for path in run.iterdir():
        if path.is_dir() and path.name not in _KNOWN:
            found.append(f"a folder: {path}")
    for path in (*run.rglob("*lock"), *(folder / "state").rglob("*lock")):
        with path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                found.append(f"a lock that is held: {path}")
    return _few(found)


def wrong_catalogs(folder: Path, output: Path, run: str, inputs: list[Input]) -> Iterator[str]:
    """Inputs without a catalog that astropy reads, whole and equal to those of the same image, or an error.

    Inputs that are no images must have a failure record of the right type, and no catalog.
    """
    first: dict[str, bytes] = {}
    problems = []
    for one in inputs:
        key = one.uri.partition("://")[2].lstrip("/")
        catalog = output / "runs" / run / "catalogs" / f"{key}.cat.fits"
        record = output / "runs" / run / "failures" / f"{key}.json"
        if one.error:
            if catalog.exists():
                problems.append(f"{one.uri}: a catalog of a file that is no image")
            with suppress(OSError, ValueError):
                if json.loads(record.read_text())["responsePayload"]["errorType"] == one.error:
                    continue
            problems.append(f"{one.uri}: no record of {one.error}: {_text(record)}")
            continue
        if record.exists():
            problems.append(f"{one.uri}: a failure beside the catalog: {_text(record)}")
        try:
            with fits.open(catalog, checksum=True) as hdus:
                hdus.verify("exception")
                rows = hdus["SOURCES"].data.tobytes()
        except (OSError, KeyError, ValueError, fits.VerifyError) as error:
            problems.append(f"{catalog}: {error}")
            continue
        if not rows or first.setdefault(one.image, rows) != rows:
            problems.append(f"{catalog}: another catalog than that of a copy of {one.image}")
    yield from _few(problems)


def _few(problems: list[str]) -> list[str]:
    more = len(problems) - _FEW
    return problems if more <= 0 else [*problems[:_FEW], f"and {more} more like these"]


def _text(path: Path) -> str:
    try:
        return path.read_text()[:2000]
    except OSError as error:
        return str(error)
