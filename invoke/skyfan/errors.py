"""Errors that skyfan raises on purpose. Their messages say what was wrong and what to do about it."""

import errno
import re
import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from skyfan_contract import without_passwords

T = TypeVar("T")


class SkyfanError(Exception):
    """Base class of all of them. Messages lose the passwords in their URLs."""

    def __init__(self, message: str = "") -> None:
        super().__init__(without_passwords(message))


class UsageError(SkyfanError):
    """A wrong path, name or option, or something else that the user can correct. The exit code is 2."""


class TemplateError(UsageError):
    """template.yaml is missing or invalid, or lacks the function."""


class InputError(UsageError):
    """An input is missing, cannot be read, or is of the wrong kind."""


class RunConflictError(UsageError):
    """A run of this name exists with another configuration."""


class RunBusyError(UsageError):
    """Another process sends the files of the run, here or on another machine."""


class FunctionRefusedError(UsageError):
    """The function refused its first event or cannot start, so every other file would fail the same way."""


class Interrupted(KeyboardInterrupt, Generic[T]):
    """Ctrl-C. What was done before it is kept; `partial` is the result so far."""

    def __init__(self, partial: T) -> None:
        super().__init__("interrupted")
        self.partial = partial


def explain(codes: Iterable[str], message: str = "", region: str = "") -> str:
    """What an error of AWS means and what to do about it, from errors.toml; empty if that does not know it.

    `codes` are names of the error, the most specific first; `message` is what the service said; `region` the
    one that it named.
    """
    known = _answers()
    for code in codes:
        for row in known:
            if code in row["codes"] and re.search(row.get("when", ""), message):
                return str(row["advice"]).format(region=f", {region}" if region else "")
    return ""


@cache
def _answers() -> list[dict[str, Any]]:
    path = Path(__file__).with_suffix(".toml")
    rows: list[dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))["answer"]
    return rows


_CURES = {
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS),
        "it needs the right to write there: change that, or name another folder",
    ),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free space there"),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "raise the limit of open files (`ulimit -n`)"),
}


def of_system(error: OSError) -> str:
    """What the system refused: path, reason and what to do."""
    path = error.filename2 or error.filename
    text = f"{path}: {error.strerror}" if path and error.strerror else str(error)
    cure = _CURES.get(error.errno or 0)
    return f"{text}; {cure}. What was done before is whole" if cure else text
