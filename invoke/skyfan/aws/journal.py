"""Receipts on their way to the bucket: appended to a local file at once, uploaded in chunks.

<state>/skyfan/<bucket>/<run>/lock           held while a process sends the run from this machine
                              open.jsonl     receipts of the last seconds
                              <name>.jsonl   a chunk to be uploaded as runs/<run>/receipts/<name>.parquet

A chunk has its name before it is uploaded, so that uploading it again overwrites it. A process that was
killed leaves its files to the next one. Nothing is synced to the disk: kill -9 loses no write, and what a
power cut loses is sent once more.
"""

import fcntl
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

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import UsageError
from ..runs import receipts
from ..runs.place import Place
from .calls import Call

CHUNK = 20_000
"""Receipts of one chunk, about."""


class Receipt(NamedTuple):
    """Lambda's 202 for one file."""

    uri: str
    request_id: str
    sent: int
    """Unix time in milliseconds."""
    function: str
    """Deployed name."""
    batch: int
    """Files in that invocation."""


class Journal:
    """The journal of one run on this machine. Use it as a context manager: it holds the lock."""

    def __init__(self, place: Place, run: str) -> None:
        self.place, self.run = place, run
        self.folder = folder(place, run)
        self.waiting = 0
        """Receipts that are not in the bucket yet, of this process."""
        self._lock: IO[str] | None = None
        self._open: int | None = None

    def __enter__(self) -> Self:
        """Takes the lock and uploads what a dead process left. Raises UsageError where another has it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self.folder / "lock").open("w", encoding="utf-8")
        except OSError as error:
            raise UsageError(
                f"cannot write to {self.folder}: {error.strerror}; see XDG_STATE_HOME"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise UsageError(f"run {self.run!r} is being sent by another process on this machine") from error
        try:
            self.rotate()
            self.upload()
        except BaseException:
            self._lock.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open is not None:
            os.close(self._open)
        if self._lock:
            self._lock.close()

    def add(self, accepted: list[tuple[Call, str, float]]) -> None:
        """Records accepted calls, with their request IDs and Unix times, in one write."""
        if self._open is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            self._open = os.open(self.folder / "open.jsonl", flags, 0o644)
        lines = [
            json.dumps([uri, request_id, int(sent * 1000), call.function, len(call.uris)])
            for call, request_id, sent in accepted
            for uri in call.uris
        ]
        os.write(self._open, ("\n".join(lines) + "\n").encode())
        self.waiting += len(lines)

    def rotate(self) -> None:
        """Makes a chunk of the receipts recorded so far."""
        if self._open is not None:
            os.close(self._open)
            self._open = None
        self.waiting = 0
        with suppress(FileNotFoundError):
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
            (self.folder / "open.jsonl").rename(self.folder / f"{stamp}-{secrets.token_hex(4)}.jsonl")

    def upload(self) -> None:
        """Uploads all chunks. Raises InputError where the bucket takes none: they stay here."""
        for path in sorted(self.folder.glob("*-*.jsonl")):
            rows = list(_read(path))
            if rows:
                self.place.put(f"runs/{self.run}/receipts/{path.stem}.parquet", table(rows))
            path.unlink()


def folder(place: Place, run: str) -> Path:
    """Where the journal of a run lies: below XDG_STATE_HOME, or ~/.local/state."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "skyfan" / place.name.removeprefix("s3://") / run


def left(place: Place, run: str) -> Iterator[Receipt]:
    """Receipts that are on this machine and may not be in the bucket; nothing is changed."""
    for path in sorted(folder(place, run).glob("*.jsonl")):
        yield from _read(path)


def table(rows: list[Receipt]) -> bytes:
    """A chunk of receipts as Parquet, with the columns that every reader of runs/<run>/receipts/ expects."""
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
            # A machine that went down in mid-write leaves half a line: that file is sent once more.
            with suppress(ValueError, TypeError):
                yield Receipt(*json.loads(line))
