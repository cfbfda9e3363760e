"""Events in texts of any form, by the objects of JSON in them.

An object may be bare, escaped in a string, doubled in CSV, folded in YAML, or packed in base64, at any depth.
"""

import binascii
import gzip
import json
import math
import re
import zlib
from collections.abc import Callable, Generator, Iterator
from typing import Any

from .report_lines import DECODER, LATER, REPEATED, TYPES, WORTH, moment, stamp, two_values

Event = tuple[str, float]
"""A message and its time in Unix seconds; NONE if it has none."""
Found = tuple[dict[str, Any], int]
"""An object, and where it ends in the text."""


class Damaged(str):
    """Says why an event, which may be a report, cannot be read; takes its place."""

    __slots__ = ()


# How a string hides an object: how far the string goes, its pieces, and what a piece stands for.
_Disguise = tuple[re.Pattern[str], re.Pattern[str], Callable[[re.Match[str]], str]]

_OPENING = re.compile(r'\{(?:\s|\\+[nrt])*+(?:(\\+")|(""(?!\s*:))|["}])')
_UNDECIDED = re.compile(r"\{\s*+\Z")
_PACKED = re.compile(r"H4sI[A-Za-z0-9+/]{20,}+={0,2}|(?<!\S)[A-Za-z0-9+/]{60,}+={0,2}(?!\S)")
INSIGHTS = {"@duration", "@billedDuration", "@memorySize", "@maxMemoryUsed", "@requestId"}
NO_MESSAGE = (
    "a result of Logs Insights without @message: add this column to the query (fields @timestamp, @message)"
)
_LEAST_PATIENCE = 1 << 20
_LEAST = 13
"""Characters of a time in ms; a text beside an object that is shorter is no event, either."""
GZIP = b"\x1f\x8b"
DEPTH = 5
"""How often data may be packed."""
_CHARACTERS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def _character(piece: re.Match[str]) -> str:
    if piece[1]:
        return chr(int(piece[1], 16))
    if piece[2]:
        return _CHARACTERS.get(piece[2], piece[2])
    # YAML folds long strings: a new line is a space, or nothing behind a backslash.
    return " " if piece[0][0] == "\n" else "" if piece[0][:2] == "\\\n" else piece[0]


_ESCAPED: _Disguise = (
    re.compile(r'(?:[^"\\]|\\.|\\\Z)*+', re.DOTALL),
    re.compile(r"\\u([0-9a-fA-F]{4})|\\\n[ \t]*+|\\(.)|\n[ \t]*+|[^\\\n]++|\\"),
    _character,
)
_DOUBLED: _Disguise = (
    re.compile(r'(?:[^"]|"")*+'),
    re.compile(r'""|[^"]++'),
    lambda piece: piece[0].replace('""', '"'),
)
_FOLDED: _Disguise = (
    re.compile(r".{1,65536}+", re.DOTALL),
    re.compile(r"\n[ \t]*+|''|[^\n']++|'"),
    lambda piece: " " if piece[0][0] == "\n" else piece[0].replace("''", "'"),
)


def decode(text: str, at: int) -> Found | int:
    """The object that begins with the brace at `at`; if there is none, the position that shows it.

    That is the length of the text if the object may go on behind its end.
    """
    opening = _OPENING.match(text, at)
    if not opening:
        return len(text) if _UNDECIDED.match(text, at) else at
    if opening[1]:
        return _undisguised(_ESCAPED, text, at)
    if opening[2]:
        return _undisguised(_DOUBLED, text, at)
    try:
        return DECODER.raw_decode(text, at)
    except json.JSONDecodeError as error:
        if error.msg.startswith("Unterminated") or error.pos + 10 >= len(text):
            return len(text)
        folded = text[error.pos] == "\n" and text[error.pos + 1] in " \t"
        return _undisguised(_FOLDED, text, at) if folded else error.pos
    except ValueError:  # a number of thousands of digits
        return at
    except RecursionError:  # a thousand braces
        return at + 1000


def _undisguised(disguise: _Disguise, text: str, at: int) -> Found | int:
    extent, pieces, meaning = disguise
    whole = extent.match(text, at)
    end = whole.end() if whole else at
    seen = [(piece.start(), meaning(piece)) for piece in pieces.finditer(text, at, end)]
    plain = "".join(part for _, part in seen)
    found = decode(plain, 0)
    if not isinstance(found, tuple):
        return len(text) if end == len(text) and found >= len(plain) else end
    value, size = found
    for start, part in seen:
        if size <= len(part):
            return value, start + size
        size -= len(part)
    return value, end


def pieces(text: str, time: float, *, whole: bool = True) -> Generator[Event, None, int]:
    """The events in a text: objects, opened if they hold other events, and the text between them.

    Returns where an object begins that goes on behind the text, else the length of the text. If `whole`,
    nothing follows: such an object is plain text.
    """
    at = done = 0
    patience = 20 * len(text) + _LEAST_PATIENCE  # objects in objects that are all cut would take forever
    while patience > 0 and (at := text.find("{", at)) >= 0:
        found = decode(text, at)
        if isinstance(found, tuple):
            value, end = found
            when = time
            if at - done >= _LEAST:
                between = text[done:at]
                yield from _worth(between, time)
                when = stamp(between) if math.isnan(time) else time
            yield from opened(value, text[at:end], when)
            at = done = end
        elif found < len(text) or whole:
            patience -= found - at
            at += 1
        else:
            yield from _worth(text[done:at], time)
            return at
    if not done:
        yield from unpacked(text, time)
    elif len(text) - done >= _LEAST:
        yield from _worth(text[done:], time)
    return len(text)


def _worth(text: str, time: float) -> Iterator[Event]:
    """Text beside an object: most is a prefix or the rest of a document, and no event."""
    if WORTH.search(text):
        yield from unpacked(text, time)


def opened(value: dict[str, Any], text: str, time: float) -> Iterator[Event]:
    """The events in an object; itself if it holds none, or is a line of a function."""
    inner = (message := _exported(value)) is not None
    if REPEATED in value and WORTH.search(json.dumps(value)):
        inner = True
        yield Damaged(two_values(value)), moment(value, time)
    elif message is not None:
        yield message.rstrip("\n"), moment(value, time)
    else:
        try:
            for event in _inside(value, time):
                inner = True
                yield event
        except RecursionError:
            inner = True
            yield Damaged("an object in a thousand others"), time
    if not inner or "sources" in value or "errorType" in value:
        is_plain = text[1:2] == '"' != text[2:3] and "\n" not in text
        yield text if is_plain else json.dumps(value), moment(value, time)


def _inside(value: Any, time: float) -> Iterator[Event]:
    """The events in a value of JSON: messages of exports, reports, and text that holds some, at any depth."""
    if isinstance(value, str):
        if (value[:1] == "{" and isinstance(decode(value, 0), tuple)) or LATER.search(value):
            yield from pieces(value, time)
        elif _PACKED.fullmatch(value):
            yield from unpacked(value, time, silent=True)
    elif isinstance(value, list):
        for item in value:
            yield from _inside(_row(item), time)
    elif isinstance(value, dict):
        if value.get("type") in TYPES:
            yield json.dumps(value), time
            return
        if REPEATED in value and WORTH.search(json.dumps(value)):
            yield Damaged(two_values(value)), time
            return
        time = moment(value, time)
        if (message := _exported(value)) is not None:
            yield message.rstrip("\n"), time
        elif INSIGHTS & value.keys():
            yield Damaged(NO_MESSAGE), time
        else:
            for item in value.values():
                yield from _inside(item, time)


def _exported(value: dict[str, Any]) -> str | None:
    """The message of an event in an export; None for any other object."""
    message = value.get("@message", value.get("message"))
    if not isinstance(message, str) or value.get("type") in TYPES:
        return None
    is_event = "@message" in value or isinstance(value.get("timestamp"), int | float)
    return message if is_event else None


def _row(item: Any) -> Any:
    """A row of `aws logs get-query-results`, a list of fields and values, as an object."""
    if not (isinstance(item, list) and item and all(isinstance(one, dict) for one in item)):
        return item
    fields = {str(one.get("field")): one.get("value") for one in item}
    return item if "None" in fields else fields


def unpacked(text: str, time: float, *, silent: bool = False) -> Iterator[Event]:
    """The events of a text in which some may be packed: base64, of gzip as subscriptions have it or of a log.

    If `silent`, nothing but those.
    """
    done = 0
    for found in _PACKED.finditer(text) if len(text) >= 60 else ():
        with_gzip = found[0].startswith("H4sI")
        try:
            raw = binascii.a2b_base64(found[0])
        except binascii.Error:
            raw = b""
        if not (with_gzip or b"REPORT" in raw or b"platform." in raw):
            continue
        if done < found.start():
            yield from _worth(text[done : found.start()], time)
        done = found.end()
        try:
            for _ in range(DEPTH):
                raw = gzip.decompress(raw) if raw.startswith(GZIP) else raw
        except (OSError, EOFError, zlib.error) as error:
            yield Damaged(f"packed data that cannot be read ({error})"), time
        else:
            yield from pieces(raw.decode("utf-8", "replace"), time)
    if not done and not silent:
        yield text, time
    elif done:
        yield from _worth(text[done:], time)
