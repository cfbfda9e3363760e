"""Numbers, sizes, times, names and tables, formatted for people."""

import codecs
import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import localtime, strftime
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

if TYPE_CHECKING:
    from rich.console import Console

_SPACE = "  "
_PROSE = (20, 60)
"""Narrowest and widest column of prose, in characters."""
_SHORTEST = 18
"""Characters that remain of a name at least: of most archives, the beginning and the suffix."""
_ASCII = {
    **dict(zip("–—−─×…→″′•", ("-", "-", "-", "-", "x", "...", "->", '"', "'", "*"), strict=True)),
    **dict(zip(" ▁▂▃▄▅▆▇█", " ..::==##", strict=True)),
}
_UNSAFE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
"""Control characters, which terminals obey, those that reorder text or are not seen, halves of characters."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What spreadsheets take for the beginning of a formula."""


def printable(text: str) -> str:
    """A text that may hold anything, such as names of files, for a terminal or log: its control characters
    are shown as \\x1b. Tabs and line breaks stay, and so does the meaning of JSON.
    """
    return _UNSAFE.sub(lambda match: _escaped(ord(match[0])), text)


def _escaped(code: int) -> str:
    # json.dumps leaves one of them, \x7f, for which JSON has no short form.
    return f"\\x{code:02x}" if code <= 0xFF and code != 0x7F else f"\\u{code:04x}"


def one_line(text: str) -> str:
    """As printable(), with tabs and line breaks shown as \\t and \\n."""
    return printable(text).replace("\t", "\\t").replace("\n", "\\n")


def csv_text(text: str) -> str:
    """A text for a field of a CSV file, with an apostrophe before what a spreadsheet would compute."""
    return f"'{text}" if text.startswith(FORMULA) else text


def say(console: "Console", text: str) -> None:
    """Prints a text as it is: without rich's markup, coloured numbers and line breaks."""
    console.print(printable(text), markup=False, highlight=False, soft_wrap=True)


def count(number: int, noun: str = "file") -> str:
    """1 file, 12,345 files."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def reasons(counts: Mapping[str, int]) -> str:
    """MASKED 12, NO_SKY 3."""
    return ", ".join(f"{name} {number:,}" for name, number in counts.items())


def size(number: float) -> str:
    """Bytes, in decimal units: 4.7 MB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "bytes" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:,.2f} TB"


def usd(amount: float) -> str:
    """US dollars: two decimals, or three significant digits below 0.10 USD."""
    if amount == 0:
        return "0 USD"
    if abs(amount) >= 0.1:
        return f"{amount:,.2f} USD"
    digits = 2 - math.floor(math.log10(abs(amount)))
    return f"{amount:.{digits}f} USD"


def duration(seconds: float) -> str:
    """250 ms, 1.5 s, 2 min 3 s or 1 h 2 min."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min"


def clock(seconds: float) -> str:
    """A duration as on a clock: 1:02:03, or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def time_of_day(time: float) -> str:
    """A Unix time as hours, minutes and seconds of this machine's time zone."""
    return strftime("%H:%M:%S", localtime(time))


def timestamp(time: float | None) -> str:
    """Unix time in seconds as a date and time in UTC; a dash for None."""
    return "–" if time is None else f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M:%S} UTC"


def number(value: float) -> str:
    """Four significant digits, with thousands separators; a dash for NaN and infinity."""
    if not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"


def file_name(uri: str) -> str:
    """The last part of a URI, as people wrote it: file:// URIs are percent-encoded, keys of S3 are not."""
    name = uri.rstrip("/").rpartition("/")[2]
    return unquote(name, errors="backslashreplace") if uri.startswith("file://") else name


def truncate(text: str, length: int) -> str:
    """At most `length` characters; an ellipsis marks a text that was cut."""
    return text if len(text) <= length else text[: length - 1] + "…"


def shorten(name: str, length: int) -> str:
    """At most `length` characters of a name, without its middle: the ends tell files apart."""
    if len(name) <= length:
        return name
    head = (length - 1) // 2
    return f"{name[:head]}…{name[len(name) - (length - 1 - head) :]}"


@dataclass(frozen=True)
class Column:
    """A column of a table for people. Only names are shortened, and only prose is wrapped."""

    name: str
    kind: Literal["text", "number", "name", "prose"] = "text"
    optional: bool = False
    """Whether a narrow table may leave it out; the last line then says so."""


def table(columns: Sequence[Column], rows: Sequence[Sequence[str] | None], width: int) -> list[str]:
    """The lines of a table, none wider than `width` characters; the first is the header.

    A row that is None is a rule. If the table is too wide, prose is wrapped, then names are shortened, then
    optional columns are left out, the last first; if all that is not enough, each row is printed as a block
    of lines. Values are never cut.
    """
    rows = [row and [_cell(*pair) for pair in zip(columns, row, strict=True)] for row in rows]
    shown, hidden = list(range(len(columns))), list[str]()
    while (widths := _widths(columns, rows, shown, width)) is None:
        optional = [number for number in shown if columns[number].optional]
        if not optional:
            return _blocks(columns, rows)
        shown.remove(optional[-1])
        hidden.insert(0, columns[optional[-1]].name)
    lines = _lines(columns, widths, {number: columns[number].name for number in shown})
    rule = "─" * (sum(widths.values()) + len(_SPACE) * (len(widths) - 1))
    lines.append(rule)
    for row in rows:
        lines += [rule] if row is None else _lines(columns, widths, {number: row[number] for number in shown})
    if hidden:
        lines.append(f"without {', '.join(hidden)}: the window is too narrow")
    return lines


def _cell(column: Column, text: str) -> str:
    return printable(text) if column.kind == "prose" else one_line(text)


def _widths(
    columns: Sequence[Column], rows: Sequence[Sequence[str] | None], shown: Sequence[int], width: int
) -> dict[int, int] | None:
    """The width of each column that is shown; None if they do not fit."""
    widths = {
        number: max(len(columns[number].name), *(len(row[number]) for row in rows if row), 0)
        for number in shown
    }
    least = {number: widths[number] for number in shown}
    for number in shown:
        if columns[number].kind == "prose":
            words = (word for row in rows if row for word in row[number].split())
            widths[number] = min(widths[number], max(_PROSE[1], len(columns[number].name)))
            least[number] = min(widths[number], max(_PROSE[0], *map(len, words), len(columns[number].name)))
        elif columns[number].kind == "name":
            least[number] = min(widths[number], max(_SHORTEST, len(columns[number].name)))
    excess = sum(widths.values()) + len(_SPACE) * (len(shown) - 1) - width
    for kind in ("prose", "name"):
        for number in sorted(shown, key=lambda number: least[number] - widths[number]):
            if columns[number].kind == kind and excess > 0:
                cut = min(excess, widths[number] - least[number])
                widths[number], excess = widths[number] - cut, excess - cut
    return widths if excess <= 0 else None


def _lines(columns: Sequence[Column], widths: Mapping[int, int], cells: Mapping[int, str]) -> list[str]:
    """The lines of one row: as many as its longest prose needs."""
    wrapped = {}
    for number, text in cells.items():
        kind = columns[number].kind
        wrapped[number] = (
            textwrap.wrap(text, max(widths[number], 1)) or [""]
            if kind == "prose"
            else [shorten(text, widths[number]) if kind == "name" else text]
        )
    lines = []
    for at in range(max(map(len, wrapped.values()))):
        parts = [texts[at] if at < len(texts) else "" for texts in wrapped.values()]
        aligned = (
            part.rjust(widths[number]) if columns[number].kind == "number" else part.ljust(widths[number])
            for number, part in zip(wrapped, parts, strict=True)
        )
        lines.append(_SPACE.join(aligned).rstrip())
    return lines


def _blocks(columns: Sequence[Column], rows: Sequence[Sequence[str] | None]) -> list[str]:
    """Each row as lines of its own, for tables that no width fits."""
    length = max(len(column.name) for column in columns)
    lines: list[str] = []
    for row in rows:
        if row is not None:
            lines += [""] * bool(lines)
            lines += [f"{column.name:<{length}}  {text}" for column, text in zip(columns, row, strict=True)]
    return lines


def _to_ascii(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    return "".join(
        _ASCII.get(char) or char.encode("ascii", "backslashreplace").decode() for char in text
    ), error.end


ENCODING_ERRORS = "skyfan"
"""The handler of characters that a stream cannot encode: signs become ASCII, others their number."""
codecs.register_error(ENCODING_ERRORS, _to_ascii)
