"""Parser of Lambda's REPORT and INIT_REPORT lines, old and new, text and JSON.

Fields are read as keys and values in any order. Numbers are Lambda's own; nothing is computed here.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any, NamedTuple

from ..errors import SkyfanError

UNSTATED = ""
"""Status of a line without one: an old line of an invocation that ended by itself."""
GOOD = ("success", UNSTATED)
NONE = math.nan
"""The number of a missing field."""


class Report(NamedTuple):
    """The report of one invocation, or of a failed start; NONE for missing fields.

    A tuple, because there may be millions.
    """

    request_id: str
    """The same for all attempts of one event. Empty for INIT_REPORT, which has none."""
    duration_ms: float
    billed_ms: float
    """Billed Duration of the log; NONE for INIT_REPORT."""
    memory_mb: int
    """0 for INIT_REPORT."""
    used_mb: int
    init_ms: float = NONE
    restore_ms: float = NONE
    billed_restore_ms: float = NONE
    status: str = UNSTATED
    """success, failure, error or timeout; UNSTATED if the line has none."""
    error_type: str = ""
    time: float = NONE
    """End of the invocation, Unix seconds; NONE if neither the line nor the caller knows it."""


class UnparsedError(SkyfanError):
    """A text looks like a report but cannot be read as one."""


_NUMBER = r"(\d{1,15}+(?:\.\d{1,20}+)?+)"
# Nearly every line has this form; others are read by keys and values. Possessive: it never backtracks.
USUAL = re.compile(
    rf"REPORT RequestId: ([!-~]{{1,64}}+)\tDuration: {_NUMBER} ms\tBilled Duration: (\d{{1,15}}+) ms\t"
    rf"Memory Size: ([1-9]\d{{0,14}}+) MB\tMax Memory Used: (\d{{1,15}}+) MB"
    rf"(?:\tInit Duration: {_NUMBER} ms)?+"
    r"(?:\tStatus: (\w{1,64}+))?+(?:\tError Type: ([!-~]{1,256}+))?+(?:\tStart Time: (\S++))?+\s*+\Z"
)
# The same in JSON; Lambda has written the status before and after the metrics.
USUAL_JSON = re.compile(
    r'\{"time": ?+"([^"\\]++)", ?+"type": ?+"platform\.report", ?+"record": ?+\{'
    r'"requestId": ?+"([!#-\[\]-~]{1,64}+)", ?+(?:"status": ?+"(\w{1,64}+)", ?+)?+"metrics": ?+\{'
    rf'"durationMs": ?+{_NUMBER}, ?+"billedDurationMs": ?+(\d{{1,15}}+)(?:\.0)?+, ?+'
    r'"memorySizeMB": ?+([1-9]\d{0,14}+), ?+'
    rf'"maxMemoryUsedMB": ?+(\d{{1,15}}+)(?:, ?+"initDurationMs": ?+{_NUMBER})?+\}}'
    r'(?:, ?+"status": ?+"(\w{1,64}+)")?+(?:, ?+"errorType": ?+"([!#-\[\]-~]{1,256}+)")?+\}\}\s*+\Z'
)
FIELD = re.compile(
    r"(?<!\S)(Billed Restore Duration|Restore Duration|Billed Duration|Init Duration|Duration|"
    r"Memory Size|Max Memory Used|Status|Error Type|Start Time|Phase|XRAY TraceId|SegmentId|Sampled): ?"
)
"""The name of a field in a text report."""
TYPES = ("platform.report", "platform.initReport")
COLOUR = re.compile(r"(?:\x1b|\\+u001b)(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
"""What a terminal takes for a colour or a link."""
TIME_LINE = re.compile(r"[\s|]*(?:timestamp: )?'?(\d{13})'?[\s|]*")
"""A line behind a message with the time of its event, as AWS's text, table and YAML have it."""

_JSON_TYPE = r"[tT]ype\W{1,24}platform\.(?:initR|r)eport\b"
_START = re.compile(
    r"(INIT_REPORT[\s\\]+)(?=.{0,80}?Init[\s\\]+Duration:)|(REPORT[\s\\]+RequestId:)|"
    r"(?:[tT]ype\W{1,24}|(?<=[\"'\\]))platform\.(?:initR|r)eport\b"
)
_ASIDE = {"XRAY TraceId", "SegmentId", "Sampled"}
_KILLED = "Task timed out|signal: killed"
WORTH = re.compile(rf"REPORT|platform\.(?:initR|r)eport|{_KILLED}|H4sI")
"""What text beside objects must have to be an event that matters."""
REPEATED = "\0repeated"
"""Key of an object of JSON for a name that it has more than once: the name and its values."""
LATER = re.compile(
    r"REPORT[\s\\]+RequestId:[\s\\]*(?:[0-9a-f]{8}-[0-9a-f]{4}-|.{0,200}?Duration:)|"
    rf"INIT_REPORT[\s\\]+Init|{_JSON_TYPE}|{_KILLED}",
    re.DOTALL,
)
"""What a string must have to be an event of another function; words about reports are none."""

_SEGMENT = re.compile(r"[^\"'{|]{0,8192}+")
_LINE_END = re.compile(r"\\+n|\\+u000a")
_BLANK = re.compile(r"\\\n[ \t]*+\\?|\n[ \t]{2,}+|\\+[tr ]|\\+u00(?:09|0d)")
_QUANTITY = re.compile(rf"{_NUMBER}\s*+(ms|MB)\b")
_REQUEST = re.compile(r"[!-~]{1,64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?: ?Z| ?[+-]\d\d:?\d\d)?|\b\d{13}\b")
_LATEST = 4102444800.0
"""Unix time of 2100: later times are errors."""


def reports(text: str, time: float = NONE) -> Iterator[Report | UnparsedError]:
    """The reports in one log event, which is text or an object of JSON.

    `time` is the event's in Unix seconds; a time in the text takes precedence. What looks like a report but
    cannot be read is an UnparsedError, which is not raised.
    """
    if text[:1] == "{":
        with suppress(ValueError, RecursionError):
            if isinstance(event := DECODER.decode(text), dict):
                if event.get("type") in TYPES or (REPEATED in event and _START.search(text)):
                    yield _read(_from_object, event, time)
                return  # else a message that may mention a report
    if "\x1b" in text or "u001b" in text:
        text = COLOUR.sub("", text)
    starts = list(_START.finditer(text))
    for start, following in zip(starts, [*starts[1:], None], strict=False):
        if start[1] or start[2]:
            end = following.start() if following else len(text)
            yield _read(_from_text, text, start, end, time)
        else:
            yield UnparsedError("JSON that cannot be read")


def _read(read: Callable[..., Report], *what: Any) -> Report | UnparsedError:
    try:
        return read(*what)
    except UnparsedError as error:
        return error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        name = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        value[REPEATED] = [name, [one for key, one in pairs if key == name]]
    return value


DECODER = json.JSONDecoder(object_pairs_hook=_object)
"""Of JSON that may repeat a name: the last value counts, and REPEATED of that object has all of them."""


def two_values(value: dict[str, Any]) -> str:
    """Why an object with REPEATED cannot be read."""
    return f"JSON with two values of {str(value[REPEATED][0])[:40]!r}"


def seconds(stamp: str) -> float:
    """Unix time of an ISO 8601 time (UTC without a time zone) or of milliseconds; NONE for any other text."""
    if stamp.isdigit():
        return _known(float(stamp[:20]) / 1000)
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        plain = stamp.replace(",", ".").replace(" Z", "Z").replace(" +", "+")
        return NONE if plain == stamp else seconds(plain)
    time = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return time if 0 < time < _LATEST else NONE


def moment(event: dict[str, Any], time: float) -> float:
    """Unix time of an exported event, by its timestamp or time; `time` if it has none."""
    for name in ("timestamp", "@timestamp", "time"):
        value = event.get(name)
        if isinstance(value, str) and (found := seconds(value)) == found:
            return found
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e15:
            return _known(value / 1000 if value > 1e11 else value)
    return time


def stamp(before: str) -> float:
    """Unix time at the start of a line, the last one in what is `before` the message; NONE without one."""
    line = before[before.rfind("\n") + 1 :][-400:]
    found = NONE
    for one in _TIME.finditer(line):
        found = seconds(one[0])
    return found


def _known(time: float) -> float:
    return time if 0 < time < _LATEST else NONE


def _values(text: str) -> dict[str, str]:
    """Keys and values of a text report. Raises UnparsedError if one that counts has two values."""
    values: dict[str, str] = {}
    found = list(FIELD.finditer(text))
    for field, following in zip(found, [*found[1:], None], strict=False):
        value = text[field.end() : following.start() if following else len(text)].strip()
        if values.setdefault(field[1], value) != value and field[1] not in _ASIDE:
            raise UnparsedError(f"two values of {field[1]}")
    values["RequestId"] = text[: found[0].start()] if found else text
    return values


def _quantity(values: dict[str, str], key: str, unit: str) -> float:
    if key not in values:
        return NONE
    match = _QUANTITY.match(values[key])
    if not match or match[2] != unit:
        raise UnparsedError(f"{key} is {values[key][:40]!r}")
    return float(match[1])


def _required(values: dict[str, str], key: str, unit: str) -> float:
    if key not in values:
        raise UnparsedError(f"no {key}")
    return _quantity(values, key, unit)


def _first_word(values: dict[str, str], key: str) -> str:
    return (values.get(key, "").split() or [""])[0]


def _from_text(text: str, start: re.Match[str], end: int, time: float) -> Report:
    """A text report, in any disguise of its tabs and line ends."""
    whole = _SEGMENT.match(text, start.end(), end)
    first, *others = _BLANK.sub(" ", _LINE_END.sub("\n", whole[0] if whole else "")).split("\n")
    lines = [first, *takewhile(lambda line: FIELD.match(line.lstrip()), others)]
    values = _values("\n".join(" ".join(line.split()) for line in lines))
    if math.isnan(time):
        later = re.search(rf"\n{TIME_LINE.pattern}\Z", text[start.end() : end])
        time = seconds(later[1]) if later else stamp(text[: start.start()])
    status, kind = _first_word(values, "Status"), _first_word(values, "Error Type")
    if start[1]:
        init = _required(values, "Init Duration", "ms")
        return Report("", 0.0, NONE, 0, 0, init, status=status, error_type=kind, time=time)
    request, duration = _first_word(values, "RequestId"), _required(values, "Duration", "ms")
    if not _REQUEST.fullmatch(request):
        raise UnparsedError("no RequestId")
    began = seconds(_first_word(values, "Start Time"))
    return Report(
        request,
        duration,
        _required(values, "Billed Duration", "ms"),
        _memory(_required(values, "Memory Size", "MB")),
        int(_quantity(values, "Max Memory Used", "MB")) if "Max Memory Used" in values else 0,
        _quantity(values, "Init Duration", "ms"),
        _quantity(values, "Restore Duration", "ms"),
        _quantity(values, "Billed Restore Duration", "ms"),
        status,
        kind,
        time if math.isnan(began) else began + duration / 1000,
    )


def _from_object(event: dict[str, Any], time: float) -> Report:
    try:
        record, metrics = event["record"], event["record"]["metrics"]
        for one in (event, record, metrics):
            if REPEATED in one:
                raise UnparsedError(two_values(one))
        status, kind = _name(record.get("status")), _name(record.get("errorType"))
        time = moment({"time": event.get("time")}, time)
        if event["type"] == "platform.initReport":
            init = _metric(metrics, "durationMs")
            return Report("", 0.0, NONE, 0, 0, init, status=status, error_type=kind, time=time)
        request = record["requestId"]
        if not (isinstance(request, str) and _REQUEST.fullmatch(request)):
            raise UnparsedError("no requestId")
        return Report(
            request,
            _metric(metrics, "durationMs"),
            _metric(metrics, "billedDurationMs"),
            _memory(_metric(metrics, "memorySizeMB")),
            int(_metric(metrics, "maxMemoryUsedMB", 0)),
            _metric(metrics, "initDurationMs", NONE),
            _metric(metrics, "restoreDurationMs", NONE),
            _metric(metrics, "billedRestoreDurationMs", NONE),
            status,
            kind,
            time,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise UnparsedError(f"JSON without {error}") from error


def _memory(size: float) -> int:
    """No function has none, which would cost nothing."""
    if size < 1:
        raise UnparsedError(f"the memory size is {size:g} MB")
    return int(size)


def _name(value: object) -> str:
    """A status or type as printable text."""
    return "" if value is None else "".join(one for one in str(value)[:256] if one.isprintable())


def _metric(metrics: dict[str, Any], name: str, default: float | None = None) -> float:
    value = metrics.get(name)
    if value is None:
        if default is None:
            raise UnparsedError(f"no {name}")
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e15:
        raise UnparsedError(f"{name} is {str(value)[:40]}")
    return float(value)
