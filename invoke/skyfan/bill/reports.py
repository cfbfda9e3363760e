"""One event of a log -> one record: Lambda's REPORT and INIT_REPORT lines, old and new, text and JSON.

Fields are read as key and value, in any order; numbers are Lambda's own and nothing is worked out here.
"""

import json
import math
import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ..errors import SkyfanError

# Status where a line does not state one: old lines of invocations that came to an end.
UNSTATED = ""
GOOD = ("success", UNSTATED)
NONE = math.nan
"""What a line does not say: columns of numbers have no better word for it."""


class Report(NamedTuple):
    """One invocation's last line, or the report of a start that failed; NONE where it has no such field.

    A tuple, since there may be millions.
    """

    request_id: str
    """Shared by the tries of one event. Empty for INIT_REPORT, which names none."""
    duration_ms: float
    billed_ms: float
    """As logged. NONE for INIT_REPORT."""
    memory_mb: int
    """0 for INIT_REPORT."""
    used_mb: int
    init_ms: float = NONE
    restore_ms: float = NONE
    billed_restore_ms: float = NONE
    status: str = UNSTATED
    """success, failure, error, timeout, or empty where the line does not say."""
    error_type: str = ""
    time: float = NONE
    """When it ended, Unix time in seconds, where the line says or the caller knew."""


class UnparsedError(SkyfanError):
    """A text looks like a report and is none that is known here."""


_NUMBER = r"(\d++(?:\.\d++)?+)"
# Nearly every line is of this form; what is not goes the way of keys and values. It never steps back.
USUAL = re.compile(
    rf"REPORT RequestId: ([!-~]++)\tDuration: {_NUMBER} ms\tBilled Duration: (\d++) ms\t"
    rf"Memory Size: (\d++) MB\tMax Memory Used: (\d++) MB(?:\tInit Duration: {_NUMBER} ms)?+"
    r"(?:\tStatus: (\w++))?+(?:\tError Type: ([!-~]++))?+(?:\tStart Time: (\S++))?+\s*+\Z"
)
# The same in JSON; Lambda has put the status before the metrics and behind them.
USUAL_JSON = re.compile(
    r'\{"time": ?+"([^"\\]++)", ?+"type": ?+"platform\.report", ?+"record": ?+\{'
    r'"requestId": ?+"([!#-\[\]-~]++)", ?+(?:"status": ?+"(\w++)", ?+)?+"metrics": ?+\{'
    rf'"durationMs": ?+{_NUMBER}, ?+"billedDurationMs": ?+(\d++)(?:\.0)?+, ?+"memorySizeMB": ?+(\d++), ?+'
    rf'"maxMemoryUsedMB": ?+(\d++)(?:, ?+"initDurationMs": ?+{_NUMBER})?+\}}'
    r'(?:, ?+"status": ?+"(\w++)")?+(?:, ?+"errorType": ?+"([!#-\[\]-~]++)")?+\}\}\s*+\Z'
)
FIELD = re.compile(
    r"(?<!\S)(REPORT RequestId|Billed Restore Duration|Restore Duration|Billed Duration|Init Duration|"
    r"Duration|"
    r"Memory Size|Max Memory Used|Status|Error Type|Start Time|Phase|XRAY TraceId|"
    r"SegmentId|Sampled): ?"
)
"""The name of a field in a text report."""
MARK, INIT_MARK = "REPORT RequestId:", "INIT_REPORT "
_QUANTITY = re.compile(rf"{_NUMBER} *(ms|MB)(?!\S)")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?")
_JSON_MARKS = ("platform.report", "platform.initReport", MARK)


def parse(text: str, time: float = NONE) -> Report | None:
    """The record of one log event, None where it is no report.

    `time` is the event's own in Unix seconds; a time inside the text goes before it. Raises UnparsedError for
    a text that looks like a report and cannot be read.
    """
    at = text.find(MARK)
    if at >= 0 and not text.startswith("{"):
        usual = USUAL.match(text, at)
        return _usual(usual, text[:at], time) if usual else _fields(text, at, time)
    if text.startswith("{"):
        return _json(text, time) if any(mark in text for mark in _JSON_MARKS) else None
    at = text.find(INIT_MARK)
    return _init(text, at, time) if at >= 0 and "Init Duration:" in text else None


def seconds(stamp: str) -> float:
    """Unix time of an ISO 8601 time, in UTC where it names no zone; NONE where it is none."""
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return NONE
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _usual(match: re.Match[str], prefix: str, time: float) -> Report:
    request, duration, billed, memory, used, init, status, kind, start = match.groups()
    took = float(duration)
    return Report(
        request,
        took,
        float(billed),
        int(memory),
        int(used),
        NONE if init is None else float(init),
        NONE,
        NONE,
        status or UNSTATED,
        kind or "",
        _ended(start, took, prefix, time),
    )


def _ended(start: str | None, duration_ms: float, prefix: str, time: float) -> float:
    if start and (began := seconds(start)) == began:
        return began + duration_ms / 1000
    if prefix and math.isnan(time) and (stamp := _TIME.search(prefix)):
        return seconds(stamp[0])
    return time


def _values(text: str, start: int) -> dict[str, str]:
    """Keys and values of a text report from `start` on; where a key comes twice, the first counts."""
    values: dict[str, str] = {}
    found = list(FIELD.finditer(text, start))
    for field, following in zip(found, [*found[1:], None], strict=True):
        value = text[field.end() : following.start() if following else len(text)].strip()
        values.setdefault(field[1].removeprefix("REPORT "), value)
    return values


def _quantity(values: dict[str, str], key: str, unit: str) -> float:
    if key not in values:
        return NONE
    match = _QUANTITY.match(values[key])
    if not match or match[2] != unit:
        raise UnparsedError(f"{key} is {values[key]!r}")
    return float(match[1])


def _needed(values: dict[str, str], key: str, unit: str) -> float:
    if key not in values:
        raise UnparsedError(f"no {key}")
    return _quantity(values, key, unit)


def _word(values: dict[str, str], key: str) -> str:
    return (values.get(key, "").split() or [""])[0]


def _fields(text: str, at: int, time: float) -> Report:
    values = _values(text, at)
    request, duration = _word(values, "RequestId"), _needed(values, "Duration", "ms")
    if not (request and request.isascii()):
        raise UnparsedError("no RequestId")
    return Report(
        request,
        duration,
        _needed(values, "Billed Duration", "ms"),
        int(_needed(values, "Memory Size", "MB")),
        int(_quantity(values, "Max Memory Used", "MB")) if "Max Memory Used" in values else 0,
        _quantity(values, "Init Duration", "ms"),
        _quantity(values, "Restore Duration", "ms"),
        _quantity(values, "Billed Restore Duration", "ms"),
        _word(values, "Status"),
        _word(values, "Error Type"),
        _ended(_word(values, "Start Time"), duration, text[:at], time),
    )


def _init(text: str, at: int, time: float) -> Report:
    values = _values(text, at)
    init = _needed(values, "Init Duration", "ms")
    when = _ended(None, 0.0, text[:at], time)
    status, kind = _word(values, "Status"), _word(values, "Error Type")
    return Report("", 0.0, NONE, 0, 0, init, status=status, error_type=kind, time=when)


def _json(text: str, time: float) -> Report | None:
    try:
        event = json.loads(text)
    except ValueError as error:
        raise UnparsedError("JSON that cannot be read") from error
    if event.get("type") not in {"platform.report", "platform.initReport"}:
        return None  # somebody's message that mentions one
    try:
        record, metrics = event["record"], event["record"]["metrics"]
        when = seconds(event["time"]) if "time" in event else NONE
        status, kind = str(record.get("status", UNSTATED)), str(record.get("errorType") or "")
        when = time if math.isnan(when) else when
        if event["type"] == "platform.initReport":
            init = _metric(metrics, "durationMs")
            return Report("", 0.0, NONE, 0, 0, init, status=status, error_type=kind, time=when)
        request = record["requestId"]
        if not (isinstance(request, str) and request and request.isascii()):
            raise UnparsedError("no requestId")
        return Report(
            request,
            _metric(metrics, "durationMs"),
            _metric(metrics, "billedDurationMs"),
            int(_metric(metrics, "memorySizeMB")),
            int(_metric(metrics, "maxMemoryUsedMB", 0)),
            _metric(metrics, "initDurationMs", NONE),
            _metric(metrics, "restoreDurationMs", NONE),
            _metric(metrics, "billedRestoreDurationMs", NONE),
            status,
            kind,
            when,
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UnparsedError(f"JSON without {error}") from error


def _metric(metrics: dict[str, Any], name: str, otherwise: float | None = None) -> float:
    value = metrics.get(name)
    if value is None:
        if otherwise is None:
            raise UnparsedError(f"no {name}")
        return otherwise
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise UnparsedError(f"{name} is {value!r}")
    return float(value)
