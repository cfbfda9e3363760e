"""A run's folder on disk, as the local engine works on it: laid out as in the bucket."""

import contextlib
import json
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from .. import uris
from ..errors import UsageError
from ..task import Task
from . import run as runs
from .place import Place


@dataclass(frozen=True)
class Run:
    """The folder <output>/runs/<run> and the place of each input's result in it."""

    output: Path
    """Absolute."""
    task: Task
    results: str
    """SKYFAN_OUTPUT as the template has it; the output folder stands for the bucket."""

    @property
    def folder(self) -> Path:
        return self.output / "runs" / self.task.run

    @property
    def place(self) -> Place:
        return Place.at(self.output, make=True)

    def open(self, function: str) -> bool:
        """Makes the folder (True), or checks that the run that is there has the same configuration (False).

        Raises RunConflictError that names each key that differs.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot write to {self.output}: {error.strerror}") from error
        return runs.begin(self.place, self.task, function, self.results)

    def disown(self) -> None:
        """Forgets the configuration of a run that never began, so that a corrected one can have its name."""
        (self.folder / "run.json").unlink(missing_ok=True)
        shutil.rmtree(self.folder / "plans", ignore_errors=True)

    def result(self, uri: str) -> Path:
        """Where the result of this input lies, once it is done."""
        return uris.result_path(self.results, self.output, self.task.run, uris.key(uri))

    def is_done(self, uri: str) -> bool:
        """Whether there is a result that is not older than the input. An S3 object's age is not asked for."""
        try:
            made = self.result(uri).stat().st_mtime_ns
        except OSError:
            return False
        path = uris.local_path(uri)
        try:
            return path is None or path.stat().st_mtime_ns <= made
        except OSError:
            return True  # the input is gone, its result is not

    def failure(self, uri: str) -> Path:
        """Where the failure record of this input lies, if its last try failed."""
        return self.folder / "failures" / f"{uris.key(uri)}.json"

    def record_failure(self, uri: str, record: dict[str, Any]) -> Path:
        path = self.failure(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, record)
        return path

    def clear_failure(self, uri: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.failure(uri).unlink()

    def new_log(self) -> IO[str]:
        """A new log file, named after the time in UTC, one for each call of an engine."""
        folder = self.folder / "logs"
        folder.mkdir(exist_ok=True)
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%S.%fZ")
        return (folder / f"{stamp}.log").open("x", encoding="utf-8")


def write(path: Path, document: dict[str, Any]) -> None:
    """Writes JSON whole or not at all: a reader, or a run after a crash, never meets half of it."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    part.replace(path)
