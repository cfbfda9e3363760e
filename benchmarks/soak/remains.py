"""What a soak leaves: the catalogs and failures that it should, and nothing else."""

from __future__ import annotations

import fcntl
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from astropy.io import fits

from .images import Input

_KNOWN = ("catalogs", "doubtful", "failures", "logs", "plans", "receipts")
_FEW = 5
_CARD, _OF_THE_INPUT = 80, (b"SRCURI", b"SRCETAG")


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
    """Inputs without a catalog: one of each image is read by astropy, and the copies have the same bytes.

    Inputs that are no images must have a failure record of the right type, and no catalog.
    """
    first: dict[tuple[str, bool], bytes] = {}
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
        kind = one.image, one.uri.startswith("s3:")
        try:
            raw = catalog.read_bytes()
            if kind not in first:
                _verify(raw)
        except (OSError, KeyError, ValueError, TypeError, Warning, fits.VerifyError) as error:
            problems.append(f"{catalog}: {error}")
            continue
        if others := _differences(raw, first.setdefault(kind, raw)):
            problems.append(f"{catalog}: differs from that of a copy of {one.image}: {others}")
    yield from _few(problems)


def _verify(raw: bytes) -> None:
    """Raises, or warns, unless this is a catalog with sources and a right checksum, as astropy sees it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.HDUList.fromstring(raw, checksum=True) as hdus:
            hdus.verify("exception")
            table = hdus["SOURCES"]
            if "DATASUM" not in table.header or not len(table.data):
                raise OSError("no checksum, or no sources")


def _differences(raw: bytes, other: bytes) -> list[bytes]:
    """What of two catalogs differs, beyond the cards that name the input and its version; [] if nothing."""
    if raw == other:
        return []
    if len(raw) != len(other):
        return [f"{len(raw)} bytes for {len(other)}".encode()]
    cards = (raw[at : at + _CARD] for at in range(0, len(raw), _CARD))
    others = (other[at : at + _CARD] for at in range(0, len(other), _CARD))
    return [card for card, that in zip(cards, others, strict=True)
            if card != that and not card.startswith(_OF_THE_INPUT)]  # fmt: skip


def _few(problems: list[str]) -> list[str]:
    more = len(problems) - _FEW
    return problems if more <= 0 else [*problems[:_FEW], f"and {more} more like these"]


def _text(path: Path) -> str:
    try:
        return path.read_text()[:2000]
    except OSError as error:
        return str(error)
