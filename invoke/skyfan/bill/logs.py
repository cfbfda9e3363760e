"""Events of log files, whatever wrote them: no form is guessed, each line is read for itself."""

import csv
import gzip
import io
import math
import re
import sys
import zlib
from collections.abc import Generator, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..events import OnProgress, ignore
from .objects import DEPTH, GZIP, INSIGHTS, NO_MESSAGE, Event, decode, opened, pieces, unpacked
from .report_lines import COLOUR, FIELD, NONE, TIME_LINE, WORTH, seconds, stamp

_STREAM = r"(?:\d{4}/\d\d/\d\d/\S+\s+)?"
_PREFIXED = re.compile(
    rf"{_STREAM}(\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?)\s+{_STREAM}(?=\{{|REPORT )"
)
_COMPLETE = re.compile(r"Max[\s\\]+Memory[\s\\]+Used:[\s\\]*\d+[\s\\]*MB")
_QUOTE = re.compile(r"\\.")
_NAME = r'"?@?[A-Za-z][\w.@ ]*"?'
_HEADER = re.compile(rf"\s*{_NAME}([,;\t|]){_NAME}(?:\1{_NAME})*\s*")
_LIMIT = 1 << 20
_BLOCK = 1 << 16
_ROWS = 128
_STAMP = 13
"""Digits of a time in ms; whatever WORTH finds in an event is longer."""
_BYTE_ORDERS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_ARCHIVES = {
    (0, b"PK\3\4"): "zip or xlsx",
    (0, b"BZh"): "bzip2",
    (0, b"\xfd7zXZ"): "xz",
    (0, b"(\xb5/\xfd"): "zstd",
    (257, b"ustar"): "tar",
}
"""Where such a file has what."""
_LONGEST = 1 << 28
"""Characters of a line: about a million reports, in half a gigabyte of memory."""


def events(lines: Iterable[str]) -> Iterator[Event]:
    """The events of a log file, from its lines with or without line ends.

    Reads what AWS writes and exports, and what other tools make of it: any prefix, colours, JSON in lines or
    over many, in strings of JSON, YAML and CSV, tables, packed subscription payloads. All else is one event
    per line.
    """
    source, objects_over_lines = iter(lines), _Lines()
    pending: list[str] = []
    began = NONE
    while True:
        before = iter(objects_over_lines.remaining)
        for raw in (rows := chain(before, source)):
            line = raw.rstrip("\r\n")
            if not line:
                continue
            first = line[0]
            if pending:
                if first != "{" and _continues(pending, line):
                    pending.append(line)
                    continue
                yield "\n".join(pending), began
                pending = []
            when = NONE
            if first.isdigit() and (prefix := _PREFIXED.match(line)):
                line, when = line[prefix.end() :], seconds(prefix[1])
                first = line[0]
            if first == "{" and line[-1] == "}" and "\\" not in line and '"message"' not in line:
                yield line, when
                continue
            line = COLOUR.sub("", line) if "\x1b" in line else line
            if "REPORT" in line and "{" not in line:
                pending, began = [line], when
                continue
            if "{" not in line:
                yield from _simple(line, when, rows)
                continue
            at = yield from pieces(line, when, whole=False)
            if at < len(line):
                when = stamp(line[:at]) if math.isnan(when) else when
                yield from objects_over_lines.read(line[at:], rows, when)
                objects_over_lines.remaining += before
                break
        else:
            break
    if pending:
        yield "\n".join(pending), began


def _simple(line: str, time: float, rows: Iterator[str]) -> Iterator[Event]:
    """The events of a line without braces: itself, what is packed in it, or the table whose header it is."""
    if ("essage" in line or "@" in line) and (table := _table(line, rows)):
        yield from table
    elif len(line) >= 60 and " " not in line:
        yield from unpacked(line, time)
    else:
        yield line, time


def _continues(pending: list[str], line: str) -> bool:
    """Whether a line belongs to the text in the lines before it."""
    if "REPORT" in line:
        return False
    if FIELD.match(line.lstrip()):
        # Only X-Ray's line can follow a complete report; what a handler prints may look like a field.
        return len(pending) > 1 or not _COMPLETE.search(pending[0]) or line.startswith("XRAY ")
    if line[:2] == "  " and "{" not in line:  # YAML folds long strings
        text = "\n".join(pending)
        if _QUOTE.sub("", text).count('"') % 2 or not _COMPLETE.search(text):
            return True
    return TIME_LINE.fullmatch(line) is not None


class _Lines:
    """Reads objects that are printed over many lines."""

    def __init__(self) -> None:
        self.remaining: list[str] = []
        """Lines that were read but are not part of the object."""
        self._limit = _LIMIT

    def read(self, text: str, rows: Iterator[str], time: float) -> Iterator[Event]:
        """The events of the object that begins with `text` and goes on in the next rows."""
        lines, size, tried, in_list = [text], len(text), len(text), False
        depth = text.count("{") - text.count("}")
        while True:
            at_end = True
            for raw in rows:
                line = raw.rstrip("\r\n")
                lines.append(COLOUR.sub("", line) if "\x1b" in line else line)
                size += len(line) + 1
                if in_list:
                    is_enough = size >= tried + _BLOCK
                else:
                    depth += line.count("{") - line.count("}")
                    is_enough = size >= 2 * tried or (depth <= 0 and 2 * size > 3 * tried)
                if is_enough:
                    at_end = False
                    break
            text, tried = "\n".join(lines), size
            if not in_list:
                found = decode(text, 0)
                if isinstance(found, tuple):
                    value, end = found
                    yield from opened(value, text[:end], time)
                    self.remaining, self._limit = text[end:].split("\n"), _LIMIT
                    return
                if found < len(text) or at_end or _LIMIT > size >= self._limit:
                    # Not an object. The next ones may be as deep in it: they get half the lines to end in.
                    self.remaining, self._limit = text[1:].split("\n"), max(self._limit // 2, 4096)
                    return
                if size < _LIMIT:
                    continue
                text, in_list = (
                    text[1:],
                    True,
                )  # of a large document only the events are kept, one block at a time
            at = yield from pieces(text, time, whole=at_end)
            if at == len(text):
                following = next(rows, None)
                if following is None or following.strip() != "{":
                    self.remaining = [] if following is None else [following]
                    return
                # The next of the list: the block has ended between two.
                lines, size, tried = [following.rstrip("\r\n")], len(following), 0
                continue
            if not at and size >= _LIMIT:
                in_list = False
            lines, size = [text[at:]], len(text) - at
            tried = 0 if at else size


def _table(line: str, rows: Iterator[str]) -> Iterator[Event] | None:
    """The events in the rows of a table, CSV with any separator; None if the line is not its header."""
    header = _HEADER.fullmatch(line)
    if not header:
        return None
    names = [name.strip(' "') for name in line.split(header[1])]
    plain = [name.lstrip("@").lower() for name in names]
    if "message" in plain and "timestamp" in plain:
        return _rows(plain, header[1], rows)
    return _without_message(rows) if INSIGHTS & set(names) else None


def _rows(names: list[str], separator: str, rows: Iterator[str]) -> Iterator[Event]:
    """The events in rows, a block at a time; a block that does not fit the header is read line by line."""
    message, when = names.index("message"), names.index("timestamp")
    block: list[str] = []
    quotes, at_end = 0, False
    while not at_end:
        lines = list(islice(rows, _ROWS))
        at_end = len(lines) < _ROWS
        if any(line[:1] == "{" for line in lines):
            lines = yield from _apart(lines, quotes)
        quotes += "".join(lines).count('"')
        block += lines
        if quotes % 2 and not at_end and sum(map(len, block)) < _LIMIT:
            continue
        try:
            table = [row for row in csv.reader(block, delimiter=separator) if row]
        except csv.Error:
            table = [[]]
        if quotes % 2 or any(len(row) != len(names) for row in table):
            yield from events(block)
        else:
            for row in table:
                time = seconds(row[when].strip())
                yield row.pop(message).rstrip("\n"), time
                for cell in row:
                    if len(cell) > _STAMP and WORTH.search(cell):
                        yield cell, time
        block, quotes = [], 0


def _apart(lines: list[str], quotes: int) -> Generator[Event, None, list[str]]:
    """The events of objects between rows; returns the rows. `quotes` are those before them in their block.

    An object of JSON is no row, although its commas may be as many as the header's.
    """
    kept: list[str] = []
    for line in lines:
        if line[:1] == "{" and line.rstrip()[-1] == "}" and quotes % 2 == 0:
            yield from events([line])
        else:
            kept.append(line)
            quotes += line.count('"')
    return kept


def _without_message(rows: Iterator[str]) -> Iterator[Event]:
    """The events in rows of Logs Insights that lack @message; raises InputError if no row has a report."""
    found = False
    for text, time in events(rows):
        found = found or WORTH.search(text) is not None
        yield text, time
    if not found:
        raise InputError(NO_MESSAGE)


def cloudwatch(
    client: Any,
    groups: Iterable[str],
    start: float,
    end: float | None = None,
    progress: OnProgress = ignore,
) -> Iterator[list[Event]]:
    """All events of log groups from `start` to `end` (Unix seconds), page by page; pages may be empty.

    Everything is read without a filter: the bytes are on the bill, and nothing that looks like a report may
    be lost. `client` is boto3's client for logs, which retries when it is throttled.
    """
    from .. import session  # boto3 is slow to import, and files do not need it

    read = 0
    for group in groups:
        request: dict[str, Any] = {"logGroupName": group, "startTime": int(start * 1000)}
        if end is not None:
            request["endTime"] = int(end * 1000)
        more = True
        while more:
            with session.aws_errors(f"the log group {group}"):
                page = client.filter_log_events(**request)
            events = [(event["message"].rstrip("\n"), event["timestamp"] / 1000) for event in page["events"]]
            read += len(events)
            progress("reading the log", read, 0)
            yield events
            more = bool(page.get("nextToken"))
            request["nextToken"] = page.get("nextToken")


def files(paths: Iterable[str]) -> Iterator[Iterator[Event]]:
    """The events of each file, packed by gzip any number of times or not; `-` is standard input.

    A file is opened when its events are read; that raises InputError if it cannot be read.
    """
    return map(_file, paths)


def _file(path: str) -> Iterator[Event]:
    try:
        if path == "-":
            yield from text(sys.stdin.buffer)
        else:
            with Path(path).open("rb") as stream:
                yield from text(stream)
    except (OSError, EOFError, zlib.error, InputError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(f"the log {path} cannot be read: {reason}") from error


def text(stream: Any) -> Iterator[Event]:
    """The events of one open binary file, which stays open.

    Raises OSError, EOFError or zlib.error if it is damaged, InputError if it is packed by another program.
    """
    buffered = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(stream)
    for _ in range(DEPTH):
        if buffered.peek(2)[:2] == GZIP:
            buffered = io.BufferedReader(gzip.GzipFile(fileobj=buffered, mode="rb"))
    head = buffered.peek(512)[:512]
    for (at, mark), program in _ARCHIVES.items():
        if head.startswith(mark, at):
            raise InputError(f"it is packed by {program}: unpack it, or save it as text, JSON or CSV")
    reader = io.TextIOWrapper(buffered, encoding=_encoding(head[:64]), errors="replace")
    try:
        yield from events(_bounded(reader))
    finally:
        reader.detach()


def _bounded(reader: io.TextIOWrapper) -> Iterator[str]:
    """The lines of a text. Raises InputError for one that is longer than _LONGEST.

    Lines of UTF-16 in a text of another encoding, as `cat` of two files makes it, lose the NUL beside each
    character.
    """
    while line := reader.readline(_LONGEST):
        if len(line) == _LONGEST and line[-1] != "\n":
            size = f"{_LONGEST >> 20} MB"
            raise InputError(f"a line of it has more than {size}: spread it over many, as `jq .` does")
        if "\0" in line and "\0\0" not in line and 3 * line.count("\0") > len(line):
            line = line.replace("\0", "")
        yield line


def _encoding(head: bytes) -> str:
    """The encoding of a text, by its first bytes; a byte order mark at its start is not a part of it."""
    for mark, encoding in _BYTE_ORDERS:
        if head.startswith(mark):
            return encoding
    pairs = len(head) // 2
    if pairs and head[1::2].count(0) > pairs // 2:
        return "utf-16-le"
    return "utf-16-be" if pairs and head[::2].count(0) > pairs // 2 else "utf-8"
