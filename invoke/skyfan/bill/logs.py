"""Where logs come from: CloudWatch, files, standard input."""

import gzip
import io
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ..errors import InputError
from . import lines
from .lines import Event

_GZIP = b"\x1f\x8b"


def cloudwatch(
    client: Any,
    groups: Iterable[str],
    start: float,
    end: float | None = None,
    on_page: Callable[[int], None] = lambda events: None,
) -> Iterator[list[Event]]:
    """All events of log groups from `start` to `end` (Unix seconds), a page at a time.

    Everything is read, not only what a filter of CloudWatch's would find: the bytes are on the bill, and what
    looks like a report must not be lost. A page may be empty and more may follow. `client` is boto3's of the
    service logs, which waits and tries again when it is throttled.
    """
    from ..aws import session  # boto3 takes its time, and files do not need it

    for group in groups:
        asked: dict[str, Any] = {"logGroupName": group, "startTime": int(start * 1000)}
        if end is not None:
            asked["endTime"] = int(end * 1000)
        more = True
        while more:
            with session.told(f"the log group {group}"):
                page = client.filter_log_events(**asked)
            events = [(event["message"].rstrip("\n"), event["timestamp"] / 1000) for event in page["events"]]
            on_page(len(events))
            yield events
            more = bool(page.get("nextToken"))
            asked["nextToken"] = page.get("nextToken")


def files(paths: Iterable[str]) -> Iterator[Iterator[Event]]:
    """The events of files, gzipped or not, `-` for standard input.

    They are opened when their events are asked for; InputError is raised then, for one that cannot be read.
    """
    return map(_file, paths)


def _file(path: str) -> Iterator[Event]:
    try:
        if path == "-":
            yield from text(sys.stdin.buffer)
        else:
            with Path(path).open("rb") as stream:
                yield from text(stream)
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(f"the log {path} cannot be read: {reason}") from error


def text(stream: Any) -> Iterator[Event]:
    """The events of one binary file that is open, and stays so."""
    buffered = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(stream)
    raw: Any = gzip.GzipFile(fileobj=buffered) if buffered.peek(2)[:2] == _GZIP else buffered
    reader = io.TextIOWrapper(raw, encoding="utf-8", errors="replace")
    try:
        yield from lines.events(reader)
    finally:
        reader.detach()
