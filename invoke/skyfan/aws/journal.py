"""The journal: receipts are appended to a local file at once and uploaded to the bucket in chunks.

<state>/skyfan/<bucket>/<run>/lock           held while a process sends the run from this machine
                              lease          token of the run's lease, among all machines: see lease.py
                              open.jsonl     receipts of the last seconds
                              <name>.jsonl   a chunk to upload as runs/<run>/receipts/<name>.parquet

A chunk is named before it is uploaded, so that uploading it twice overwrites it. The next process uploads
the files of one that was killed. Writes are not synced to the disk: kill -9 loses none, and files whose
receipts a power failure loses are sent again.
"""

import errno
import io
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self

import platformdirs
import pyarrow as pa
import pyarrow.parquet as pq

from ..engine import Call
from ..errors import RunBusyError, UsageError
from ..files import from_json, lock
from ..runs import receipts
from ..storage.place import Place
from .lease import Lease

CHUNK = 20_000
"""Approximate number of receipts per chunk."""
_LAST_MS = 1e14


class Receipt(NamedTuple):
    """Lambda accepted one file (HTTP 202)."""

    uri: str
    request_id: str
    sent: int
    """Unix time in milliseconds."""
    function: str
    """Deployed name."""
    batch: int
    """Files in that invocation."""


class Journal:
    """The journal of one run on this machine. Use it as a context manager: it holds lock and lease."""

    def __init__(self, place: Place, run: str) -> None:
        self.place, self.run = place, run
        self.folder = folder(place, run)
        self.waiting = 0
        """Receipts of this process in open.jsonl."""
        self._lease = Lease(place, run, self.folder)
        self._lock: IO[str] | None = None
        self._open: int | None = None

    def __enter__(self) -> Self:
        """Takes the lock, uploads the receipts of a killed process, and takes the lease.

        Raises RunBusyError while another process, here or on another machine, sends the run.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self.folder / "lock").open("w", encoding="utf-8")
        except OSError as error:
            raise UsageError(
                f"cannot write to {self.folder}: {error.strerror}; XDG_STATE_HOME sets another folder"
            ) from error
        try:
            lock(self._lock)
        except OSError as error:
            self._lock.close()
            message = f"run {self.run!r} is being sent by another process on this machine"
            raise RunBusyError(message) from error
        try:
            self.rotate()
            self.upload()
            self._lease.__enter__()
        except BaseException:
            self._lock.close()
            raise
        return self

    @property
    def stopped(self) -> str:
        """Why nothing may be sent any more; empty while it may."""
        return self._lease.stopped

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._lease.__exit__(kind, error, _)
        if self._open is not None:
            os.close(self._open)
        if self._lock:
            self._lock.close()

    def add(self, accepted: list[tuple[Call, str, float]]) -> None:
        """Appends the receipts of accepted calls, with request IDs and Unix times.

        Raises OSError if the disk does not take all of them.
        """
        if self._open is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            self._open = os.open(self.folder / "open.jsonl", flags, 0o644)
        lines = [
            json.dumps([uri, request_id, int(sent * 1000), call.function, len(call.uris)])
            for call, request_id, sent in accepted
            for uri in call.uris
        ]
        append(self._open, lines)
        self.waiting += len(lines)

    def rotate(self) -> None:
        """Makes a chunk of open.jsonl."""
        if self._open is not None:
            os.close(self._open)
            self._open = None
        self.waiting = 0
        with suppress(FileNotFoundError):
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
            (self.folder / "open.jsonl").rename(self.folder / f"{stamp}-{secrets.token_hex(4)}.jsonl")

    def upload(self) -> None:
        """Uploads all chunks. Raises InputError if the bucket refuses; the remaining chunks stay here."""
        for path in sorted(self.folder.glob("*-*.jsonl")):
            rows = list(_read(path))
            if rows:
                self.place.put(f"runs/{self.run}/receipts/{path.stem}.parquet", table(rows))
            path.unlink()


def folder(place: Place, run: str) -> Path:
    """The folder of a run's journal: on Linux below $XDG_STATE_HOME/skyfan, or ~/.local/state/skyfan."""
    return platformdirs.user_state_path("skyfan") / place.name.removeprefix("s3://") / run


def accepted(place: Place, run: str) -> Iterator[pa.Table]:
    """All receipts of a run, in its place and on this machine: columns uri, request_id and function."""
    if rows := list(pending(place, run)):
        names = ("uri", "request_id", "function")
        yield pa.table({name: [getattr(row, name) for row in rows] for name in names})
    yield from receipts.tables(place, receipts.chunks(place, run))


def append(file: int, lines: list[str]) -> None:
    """Appends lines to an open file, whole or with an OSError."""
    # Begins with a line break: after a write that failed in the middle of a line, none is glued to it.
    data = memoryview("".join(f"\n{line}" for line in lines).encode())
    while data:
        if not (written := os.write(file, data)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        data = data[written:]


def pending(place: Place, run: str) -> Iterator[Receipt]:
    """Receipts on this machine that may not be in the bucket yet. Only reads."""
    for path in sorted(folder(place, run).glob("*.jsonl")):
        yield from _read(path)


def table(rows: list[Receipt]) -> bytes:
    """A chunk of receipts as Parquet, with the schema of runs/<run>/receipts/."""
    schema = receipts.SCHEMA
    columns = [
        pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), schema, strict=True)
    ]
    out = io.BytesIO()
    pq.write_table(pa.table(columns, schema=schema), out, compression="zstd")
    return out.getvalue()


def _read(path: Path) -> Iterator[Receipt]:
    with path.open("rb") as lines:
        for line in lines:
            # A power failure in mid-write leaves half a line: that file is sent again.
            with suppress(ValueError, TypeError, AttributeError):
                uri, request, sent, function, batch = from_json(line)
                for text in (uri, request, function):
                    text.encode()
                if 0 <= sent < _LAST_MS and 0 < batch < 1 << 31:
                    yield Receipt(uri, request, int(sent), function, int(batch))
