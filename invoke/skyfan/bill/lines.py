"""A file of log -> events: plain lines, JSON lines, the JSON that `aws logs` prints, and CloudWatch's CSV.

Formats may be mixed. A text report may go over several lines, as in 2018; an event keeps its time if the file
has one beside it.
"""

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator
from itertools import chain

from . import reports
from .reports import FIELD, MARK, NONE

Event = tuple[str, float]
"""A message and its time in Unix seconds, NONE where it has none."""

_STREAM = r"(?:\d{4}/\d\d/\d\d/\S+\s+)?"
_PREFIXED = re.compile(
    rf"{_STREAM}(\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?)\s+{_STREAM}(?=\{{|REPORT )"
)
_LIST = re.compile(r'"(?:events|logEvents)"\s*:\s*\[|\A\s*\[')
_CHUNK = 1 << 20
_DECODER = json.JSONDecoder()


def events(lines: Iterable[str]) -> Iterator[Event]:
    """The events of a log file's lines, with or without their line ends."""
    lines = iter(lines)
    first = next((line for line in lines if line.strip()), "")
    whole = chain([first], lines)
    if first.strip() in {"{", "["} or (first.lstrip()[:1] in {"{", "["} and not _is_json(first)):
        return _documents(whole)
    if "," in first and re.search(r'(^|,)"?@?message"?\s*(,|$)', first.strip()):
        return _csv(whole)
    return _lines(whole)


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _lines(lines: Iterable[str]) -> Iterator[Event]:
    """Line by line. Fields that follow a text report on lines of their own belong to it."""
    pending: list[str] = []
    began = NONE
    for raw in lines:
        line = raw.rstrip("\r\n")
        if not line:
            continue
        if pending:
            if _goes_on(pending, line):
                pending.append(line)
                continue
            yield "\n".join(pending), began
            pending = []
        when = NONE
        if line[0].isdigit() and (prefix := _PREFIXED.match(line)):
            line, when = line[prefix.end() :], reports.seconds(prefix[1])
        if line[0] == "{":
            if '"message"' not in line:
                yield line, when
                continue
            for text, time in _from_json(line):
                yield text, when if math.isnan(time) else time
        elif MARK in line:
            pending, began = [line], when
        else:
            yield line, when
    if pending:
        yield "\n".join(pending), began


def _goes_on(pending: list[str], line: str) -> bool:
    if MARK in line or not FIELD.match(line.lstrip()):
        return False
    # A whole report is followed by X-Ray's line at most; what a handler prints may look like a field.
    return len(pending) > 1 or "Max Memory Used:" not in pending[0] or line.startswith("XRAY ")


def _from_json(line: str) -> Iterator[Event]:
    """The events of one JSON line that holds a message: an exported one, a list of them, or a handler's."""
    if '"timestamp"' in line or '"events"' in line or '"logEvents"' in line:
        try:
            document = json.loads(line)
        except ValueError:
            yield line, NONE
            return
        listed = document.get("events", document.get("logEvents", [document]))
        if isinstance(listed, list) and all(_is_exported(item) for item in listed):
            for item in listed:
                yield _exported(item)
            return
    yield line, NONE


def _is_exported(item: object) -> bool:
    return (
        isinstance(item, dict)
        and isinstance(item.get("message"), str)
        and isinstance(item.get("timestamp"), int | float)
    )


def _exported(item: dict[str, str | float]) -> Event:
    return str(item["message"]).rstrip("\n"), float(item["timestamp"]) / 1000


def _documents(lines: Iterable[str]) -> Iterator[Event]:
    """JSON over many lines: the lists of events in it, one at a time, so that memory stays flat."""
    buffer, inside = "", False
    source = iter(lines)
    more = True
    while more:
        taken, size = [], 0
        while size < _CHUNK and (line := next(source, None)) is not None:
            taken.append(line if line.endswith("\n") else line + "\n")
            size += len(line)
        more = bool(taken)
        buffer += "".join(taken)
        at = 0
        while True:
            if not inside:
                if not (found := _LIST.search(buffer, at)):
                    at = max(at, len(buffer) - 20)
                    break
                inside, at = True, found.end()
            while at < len(buffer) and buffer[at] in ", \r\n\t":
                at += 1
            if buffer[at : at + 1] == "]":
                inside, at = False, at + 1
                continue
            try:
                item, at = _DECODER.raw_decode(buffer, at)
            except ValueError:
                break
            yield _exported(item) if _is_exported(item) else (json.dumps(item), NONE)
        buffer = buffer[at:]
    if inside:
        yield buffer.strip(), NONE  # cut off: parse() tells whether a report was lost


def _csv(lines: Iterable[str]) -> Iterator[Event]:
    """CloudWatch's download and Logs Insights' result: columns timestamp and message, with @ or without."""
    rows = csv.reader(lines)
    names = [name.strip().lstrip("@") for name in next(rows)]
    message = names.index("message")
    stamp = names.index("timestamp") if "timestamp" in names else None
    for row in rows:
        if len(row) <= message:
            continue
        time = NONE
        if stamp is not None:
            text = row[stamp].strip()
            time = float(text) / 1000 if text.isdigit() else reports.seconds(text)
        yield row[message].rstrip("\n"), time
