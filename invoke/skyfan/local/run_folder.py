"""The folder of a run on this machine; it has the layout of a run in a bucket."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from skyfan_contract import NEVER, quoted

from .. import files
from ..errors import RunBusyError, UsageError
from ..runs import failures, local_receipts
from ..runs import run as runs
from ..runs.local_receipts import Receipt, Version
from ..storage import uris
from ..storage.place import Place
from ..storage.uris import Results, below_bucket
from ..task import Task

_WRITTEN = ("runs/{run}/failures", "runs/{run}/doubtful", "runs/{run}/plans")
"""Folders that only an engine and its workers write to, besides that of the results."""

NAME_TOO_LONG: dict[str, Any] = {
    "errorType": "NameTooLongError",
    "errorMessage": "its name, or path, leaves no room for that of its result: rename the file",
    "cure": NEVER,
    "permanent": True,
}
NAME_TAKEN: dict[str, Any] = {
    "errorType": "NameTakenError",
    "errorMessage": "the file system of the results takes its name for that of {}, so that its result would "
    "replace the other one: rename the file, or choose another --output",
    "cure": NEVER,
    "permanent": True,
}


@dataclass(frozen=True)
class RunFolder:
    """The folder <output>/runs/<run>, with the paths of results, failure records and logs in it."""

    output: Path
    """Absolute."""
    task: Task
    results: str
    """SKYFAN_OUTPUT in the template; `output` replaces its bucket."""

    @property
    def folder(self) -> Path:
        return self.output / "runs" / self.task.run

    @property
    def place(self) -> Place:
        return Place.at(self.output, make=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """While this process works on the run: `status` sees the lock, and a kill gives it back.

        Raises RunBusyError while another process holds it, and UsageError if the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / runs.LOCK).open("a+")
        except OSError as error:
            raise UsageError(f"cannot write to {error.filename or self.output}: {error.strerror}") from error
        with file:
            try:
                files.lock(file)
            except BlockingIOError as error:
                raise RunBusyError(
                    f"another process works on run {self.task.run!r} in {self.output}: wait until it has "
                    "ended, or give another name with --run"
                ) from error
            except OSError:  # a file system without locks
                yield
                return
            if file.tell():  # what an engine that did not come to its end has left in it
                self.sweep()
            try:
                file.write(f"{os.getpid()}\n")
                file.flush()
            except OSError as error:
                raise UsageError(f"cannot write to {self.output}: {error.strerror}") from error
            yield
            file.truncate(0)

    def sweep(self) -> None:
        """Removes the half-written files of processes that were killed. Call it with the lock."""
        for name in (Results.of(below_bucket(self.results), self.task.run).prefix, *_WRITTEN):
            for folder, _, names in os.walk(self.output / name.format(run=self.task.run)):
                for part in filter(files.PART.search, names):
                    Path(folder, part).unlink(missing_ok=True)

    def open(self, engine: str, *, marks: bool = False, watch: bool = False) -> bool:
        """Creates the run and returns True, or compares the existing one and returns False; see runs.begin().

        `engine` is local or sam, `marks` says whether the function marks doubtful results, `watch` whether a
        watch adds files. Call it with the lock.
        """
        return runs.begin(self.place, self.task, self.results, engine=engine, marks=marks, watch=watch)

    def disown(self) -> None:
        """Removes run.json, plans and failures of a run that was refused, so that its name is free again."""
        (self.folder / "run.json").unlink(missing_ok=True)
        for name in ("plans", "failures"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def result(self, uri: str) -> Path:
        """The path of the result of this input."""
        return self.output / Results.of(below_bucket(self.results), self.task.run).object_key(uris.key(uri))

    def is_done(self, uri: str) -> bool:
        """Whether the result of this version of the input exists. The version of S3 objects is not checked.

        A result whose size is not the recorded one is damaged, and none. The clock decides only where no
        version is recorded, as after a kill: a result that is not older than its input counts.
        """
        try:
            found = self.result(uri).stat()
        except OSError:
            return False
        receipt = self.receipt(uri)
        if not found.st_size or receipt.size not in (None, found.st_size):
            return False
        try:
            version = self.version(uri)
        except OSError:
            return True  # the input was deleted, its result was not
        if version is None:
            return True
        return version == receipt.version if receipt.version else version[1] <= found.st_mtime_ns

    def is_damaged(self, uri: str) -> bool:
        """Whether the result of this input exists, but has another size than it had when it was recorded."""
        receipt = self._receipts.get(uris.key(uri))
        try:
            return receipt is not None and receipt.size not in (None, self.result(uri).stat().st_size)
        except OSError:
            return False

    def version(self, uri: str) -> Version | None:
        """The version of a local input now; None for any other. Raises OSError if it cannot be read."""
        path = uris.local_path(uri)
        if path is None:
            return None
        found = path.stat()
        return found.st_size, found.st_mtime_ns

    def record_result(self, uri: str, version: Version | None) -> None:
        """Records the result of this input, and from which version it was made, if that is known."""
        self._append(uri, local_receipts.of_file(self.result(uri), version))

    def _append(self, uri: str, receipt: Receipt) -> None:
        with (self.folder / local_receipts.FILE).open("a", encoding="utf-8") as file:
            file.write(receipt.line(uris.key(uri)))

    @cached_property
    def _receipts(self) -> dict[str, Receipt]:
        """The receipts by key, read once: an input is taken once per call."""
        with suppress(FileNotFoundError), (self.folder / local_receipts.FILE).open("rb") as lines:
            return dict(local_receipts.parse(lines))
        return {}

    def receipt(self, uri: str) -> Receipt:
        """The receipt of this input's result when the call began."""
        return self._receipts.get(uris.key(uri), Receipt(None, None))

    def withhold_receipt(self, uri: str) -> None:
        """Takes back the receipt of this input's result, so that no new result is compared with the old."""
        self._append(uri, Receipt(None, None))

    def restore_receipt(self, uri: str, receipt: Receipt) -> None:
        """Gives back a receipt that was withheld."""
        self._append(uri, receipt)

    def clear_result(self, uri: str) -> None:
        """Removes the result of this input, if any, with its receipt and its marks."""
        self.withhold_receipt(uri)
        self.result(uri).unlink(missing_ok=True)
        self.clear_marks(uri)

    def clear_marks(self, uri: str, before: int | None = None) -> None:
        """Removes the marks of this input's result, or those that are not newer than `before`, Unix ns."""
        for marks in (self.folder / "doubtful").glob("*"):
            mark = marks / uris.key(uri)
            with suppress(OSError):
                if before is None or mark.stat().st_mtime_ns <= before:
                    mark.unlink(missing_ok=True)

    def failure(self, uri: str) -> Path:
        """The path of the failure record of this input."""
        key, folder = uris.key(uri), self.folder / "failures"
        path = folder / f"{key}.json"
        is_impossible = self.is_taken(uri) or files.is_too_long(path, self.folder)
        return folder / f"{failures.long_name(key)}.json" if is_impossible else path

    def refusal(self, uri: str) -> dict[str, Any] | None:
        """The error of an input whose result can have no name here; None if it can."""
        if self._names is not None and self.is_taken(uri):
            other = self._names[files.folded(uris.key(uri))]
            return NAME_TAKEN | {"errorMessage": NAME_TAKEN["errorMessage"].format(quoted(other))}
        return NAME_TOO_LONG if files.is_too_long(self.result(uri), self.folder) else None

    def is_taken(self, uri: str) -> bool:
        """Whether this file system takes the name of an earlier input's result for that of this one's."""
        key = uris.key(uri)
        return self._names is not None and self._names.setdefault(files.folded(key), key) != key

    @cached_property
    def _names(self) -> dict[str, str] | None:
        """Keys of inputs by what this file system takes for equal; None if that is the key alone."""
        if not (self.folder / "RUN.JSON").exists():
            return None
        return {files.folded(key): key for key, receipt in self._receipts.items() if receipt.size}

    def record_failure(self, uri: str, record: dict[str, Any]) -> Path:
        """Writes or replaces the failure record of this input; returns its path."""
        path = self.failure(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.replace(path) as part:
            part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        return path

    def clear_failure(self, uri: str) -> None:
        """Removes the failure record of this input, if any."""
        self.failure(uri).unlink(missing_ok=True)

    def new_log(self) -> IO[str]:
        """Opens a new log file, named after the current time in UTC; one per call of the engine."""
        folder = self.folder / "logs"
        folder.mkdir(exist_ok=True)
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%S.%fZ")
        return (folder / f"{stamp}.log").open("x", encoding="utf-8")
