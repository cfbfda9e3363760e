"""The parser on real lines of CloudWatch, and on the local engine's."""

import contextlib
import json
import random
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyfan.bill.report_lines import NONE, Report, UnparsedError, moment, reports, seconds
from skyfan.local import lambda_format


def parse(text: str, time: float = NONE) -> Report | None:
    """The first report in one log event; None if there is none. Raises UnparsedError as it comes."""
    for found in reports(text, time):
        if isinstance(found, UnparsedError):
            raise found
        return found
    return None


# Real lines, as AWS wrote them; zeros take the place of parts of some request IDs.
REAL = {
    "REPORT RequestId: 5009fcc8-5032-41fd-9a62-fc133fe04d67\tDuration: 2.37 ms\tBilled Duration: 427 ms\t"
    "Memory Size: 1024 MB\tMax Memory Used: 95 MB\tInit Duration: 423.98 ms\t\n"
    "XRAY TraceId: 1-6ac7d554-62c6be2f6c1bd8032dac9acf\tSegmentId: 854892f93105b5ae\tSampled: true": Report(
        "5009fcc8-5032-41fd-9a62-fc133fe04d67", 2.37, 427, 1024, 95, 423.98
    ),
    "REPORT RequestId: 276ff3b9-1609-4ee7-a288-db3752630767\tDuration: 10935.70 ms\t"
    "Billed Duration: 10936 ms\tMemory Size: 1024 MB\tMax Memory Used: 1024 MB\tStatus: error\t"
    "Error Type: Runtime.OutOfMemory": Report(
        "276ff3b9-1609-4ee7-a288-db3752630767",
        10935.70,
        10936,
        1024,
        1024,
        status="error",
        error_type="Runtime.OutOfMemory",
    ),
    "REPORT RequestId: c4c2a78d-5976-4177-91ae-64e7418b9769\tDuration: 600000.00 ms\t"
    "Billed Duration: 600517 ms\tMemory Size: 1024 MB\tMax Memory Used: 1024 MB\tInit Duration: 516.31 ms\t"
    "Status: timeout": Report(
        "c4c2a78d-5976-4177-91ae-64e7418b9769", 600000.0, 600517, 1024, 1024, 516.31, status="timeout"
    ),
    "REPORT RequestId: 8c360c87-0000-0000-0000-000000000000\tDuration: 2338.66 ms\tBilled Duration: 2521 ms\t"
    "Memory Size: 3009 MB\tMax Memory Used: 173 MB\tRestore Duration: 398.97 ms\t"
    "Billed Restore Duration: 182 ms\t": Report(
        "8c360c87-0000-0000-0000-000000000000", 2338.66, 2521, 3009, 173, NONE, 398.97, 182
    ),
    "INIT_REPORT Init Duration: 316.80 ms\tPhase: init\tStatus: error\t"
    "Error Type: Runtime.ImportModuleError": Report(
        "", 0, NONE, 0, 0, 316.80, status="error", error_type="Runtime.ImportModuleError"
    ),
    "INIT_REPORT Init Duration: 10000.07 ms Phase: init Status: timeout": Report(
        "", 0, NONE, 0, 0, 10000.07, status="timeout"
    ),
    "REPORT RequestId: b851a5c3-6450-11e8-adbb-2f24ab6d943e  \nDuration: 1060.45 ms  \n"
    "Billed Duration: 1100 ms Memory Size: 1024 MB\tMax Memory Used: 164 MB": Report(
        "b851a5c3-6450-11e8-adbb-2f24ab6d943e", 1060.45, 1100, 1024, 164
    ),
    '{"time":"2024-05-20T16:29:45.022Z","type":"platform.report","record":{"requestId":'
    '"4b142fc3-0000-0000-0000-000000000000","status":"success","metrics":{"durationMs":11.642,'
    '"billedDurationMs":12,"memorySizeMB":128,"maxMemoryUsedMB":67,"initDurationMs":174.055}}}': Report(
        "4b142fc3-0000-0000-0000-000000000000",
        11.642,
        12,
        128,
        67,
        174.055,
        status="success",
        time=datetime(2024, 5, 20, 16, 29, 45, 22000, UTC).timestamp(),
    ),
    '{"time":"2026-07-09T06:05:50.581Z","type":"platform.report","record":{"requestId":'
    '"aec7a529-0000-0000-0000-000000000000","metrics":{"durationMs":5000.0,"billedDurationMs":5000,'
    '"memorySizeMB":128,"maxMemoryUsedMB":94},"status":"timeout"}}': Report(
        "aec7a529-0000-0000-0000-000000000000",
        5000,
        5000,
        128,
        94,
        status="timeout",
        time=datetime(2026, 7, 9, 6, 5, 50, 581000, UTC).timestamp(),
    ),
}


@pytest.mark.parametrize("line", REAL)
def test_real_lines(line: str) -> None:
    assert parse(line) == REAL[line]


def test_the_local_engine_s_line() -> None:
    report = lambda_format.Report(
        "id-1",
        started="2026-11-22T19:23:23.341Z",
        duration_ms=580.47,
        memory_mb=1769,
        used_mb=69.2,
        init_ms=833.55,
        status="error",
        error_type="ImageError",
    )
    text = lambda_format.invocation(report, "what it printed")
    (line,) = [line for line in text.splitlines() if line.startswith("REPORT")]
    ended = datetime(2026, 11, 22, 19, 23, 23, 341000, UTC).timestamp() + 0.58047
    assert parse(line) == Report(
        "id-1", 580.47, 1415, 1769, 70, 833.55, status="error", error_type="ImageError", time=ended
    )


def test_sam_local_s_line_and_the_prefixes_of_exports() -> None:
    line = "REPORT RequestId: 6c8d\tInit Duration: 0.08 ms\tDuration: 90.58 ms\tBilled Duration: 91 ms\t"
    line += "Memory Size: 128 MB\tMax Memory Used: 128 MB\t"
    plain = Report("6c8d", 90.58, 91, 128, 128, 0.08)
    assert parse(line) == plain
    when = datetime(2026, 5, 20, 16, 29, 45, 22000, UTC).timestamp()
    for prefix in (
        "2026-05-20T16:29:45.022Z ",
        "2026/05/20/[$LATEST]abc 2026-05-20T16:29:45.022000 ",
        "2026-05-20T18:29:45.022000+02:00 2026/05/20/[$LATEST]abc ",
    ):
        assert parse(prefix + line) == plain._replace(time=when)
    assert parse(line, time=5.0) == plain._replace(time=5.0)


@pytest.mark.parametrize(
    "text",
    [
        "START RequestId: 1 Version: $LATEST",
        "END RequestId: 1",
        "a report that I REPORT",
        '{"level": "INFO", "message": "REPORT RequestId: 1"}',
        '{"type": "mine", "message": "\\"platform.report\\" is a type"}',
        '{"time":"2024-05-20T16:29:45.022Z","type":"platform.start","record":{"requestId":"1"}}',
        "",
    ],
)
def test_what_is_no_report(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "REPORT RequestId: 1",
        "REPORT RequestId: 1\tDuration: 5 ms\tBilled Duration: 5 ms",
        "REPORT RequestId: 1\tDuration: five ms\tBilled Duration: 5 ms\tMemory Size: 128 MB",
        "REPORT RequestId: 1\tDuration: 5 s\tBilled Duration: 5 ms\tMemory Size: 128 MB",
        "REPORT RequestId: \tDuration: 5 ms\tBilled Duration: 5 ms\tMemory Size: 128 MB",
        "REPORT RequestId: 1\tDuration: 5 ms\tBilled Duration: 5 ms\tMemory Size: 0 MB",
        "INIT_REPORT Init Duration: long\tPhase: init",
        '{"type":"platform.report","record":{"requestId":"1","metrics":{"durationMs":1}}}',
        '{"type":"platform.report","record":{"metrics":{"durationMs":true,"billedDurationMs":1}}}',
        '{"type":"platform.report","record":null}',
        '{"type":"platform.report","record":{"reque',
        '{"type":"platform.initReport","record":{"metrics":{}}}',
    ],
)
def test_what_looks_like_a_report_and_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(UnparsedError):
        parse(text)


HUNDREDTHS = st.integers(0, 90_000_000).map(lambda number: number / 100)
REPORTS = st.builds(
    Report,
    request_id=st.uuids().map(str),
    duration_ms=HUNDREDTHS,
    billed_ms=st.integers(0, 900_000).map(float),
    memory_mb=st.integers(128, 10240),
    used_mb=st.integers(1, 10240),
    init_ms=st.just(NONE) | HUNDREDTHS,
    restore_ms=st.just(NONE) | HUNDREDTHS,
    billed_restore_ms=st.just(NONE) | st.integers(0, 900_000).map(float),
    status=st.sampled_from(["", "success", "failure", "error", "timeout"]),
    error_type=st.sampled_from(["", "Runtime.OutOfMemory", "ImageError", "Sandbox.Timedout"]),
    time=st.just(NONE),
)


def fields(report: Report) -> list[str]:
    """The fields of a text report, but for the first."""
    named = [
        ("Duration", report.duration_ms, ".2f", " ms"),
        ("Billed Duration", report.billed_ms, ".0f", " ms"),
        ("Memory Size", report.memory_mb, "d", " MB"),
        ("Max Memory Used", report.used_mb, "d", " MB"),
        ("Init Duration", report.init_ms, ".2f", " ms"),
        ("Restore Duration", report.restore_ms, ".2f", " ms"),
        ("Billed Restore Duration", report.billed_restore_ms, ".0f", " ms"),
        ("Status", report.status or None, "", ""),
        ("Error Type", report.error_type or None, "", ""),
    ]
    return [
        f"{name}: {value:{form}}{unit}"
        for name, value, form, unit in named
        if value is not None and value is not NONE
    ]


def as_json(report: Report, rng: random.Random) -> str:
    metrics = {
        "durationMs": report.duration_ms,
        "billedDurationMs": report.billed_ms,
        "memorySizeMB": report.memory_mb,
        "maxMemoryUsedMB": report.used_mb,
        "initDurationMs": report.init_ms,
        "restoreDurationMs": report.restore_ms,
        "billedRestoreDurationMs": report.billed_restore_ms,
    }
    given = [item for item in metrics.items() if item[1] is not NONE]
    rng.shuffle(given)
    record = [("requestId", report.request_id), ("metrics", dict(given))]
    record += [("status", report.status)] * bool(report.status)
    record += [("errorType", report.error_type)] * bool(report.error_type)
    rng.shuffle(record)
    return json.dumps({"type": "platform.report", "record": dict(record)})


@settings(deadline=None)
@given(REPORTS, st.randoms(use_true_random=False), st.sampled_from(["\t", "  ", "  \n", "\n", " "]))
def test_any_order_of_fields_in_any_format_gives_one_record(
    report: Report, rng: random.Random, separator: str
) -> None:
    parts = fields(report)
    assert parse("\t".join([f"REPORT RequestId: {report.request_id}", *parts])) == report
    rng.shuffle(parts)
    assert parse(separator.join([f"REPORT RequestId: {report.request_id}", *parts])) == report
    xray = "XRAY TraceId: 1-6ac7d554\tSegmentId: 854892f93105b5ae\tSampled: true"
    assert parse("\t".join([f"REPORT RequestId: {report.request_id}", *parts, xray])) == report
    assert parse(as_json(report, rng)) == report


@settings(deadline=None)
@given(st.text(max_size=200))
def test_no_text_breaks_the_parser(text: str) -> None:
    for whole in (
        text,
        f"REPORT RequestId: {text}",
        f"INIT_REPORT Init Duration: {text}",
        '{"platform.report"' + text,
    ):
        with contextlib.suppress(UnparsedError):
            parse(whole)


@pytest.mark.parametrize("colour", ["\x1b[34;1m{}\x1b[0m", "\\u001b[34m{}\\u001b[0m"])
def test_colours_are_no_part_of_a_report(colour: str) -> None:
    line = "REPORT RequestId: 6c8d\tDuration: 90.58 ms\tBilled Duration: 91 ms\tMemory Size: 128 MB"
    for word in ("REPORT", "6c8d", "90.58", "Billed"):
        assert parse(line.replace(word, colour.format(word), 1)) == Report("6c8d", 90.58, 91, 128, 0)


@pytest.mark.parametrize(
    ("event", "time"),
    [
        ({"timestamp": 1}, 1.0),
        ({"timestamp": 1_790_000_000}, 1.79e9),
        ({"timestamp": 1_790_000_000_123}, 1.79e9 + 0.123),
        ({"timestamp": 100_000_000_001}, 100_000_000.001),
        ({"timestamp": 0}, 5.0),
        ({"timestamp": -1}, 5.0),
        ({"timestamp": True}, 5.0),
        ({"timestamp": 1e15}, 5.0),
        ({"timestamp": None, "@timestamp": "2026-09-21T14:13:20Z"}, 1.79e9),
        ({"timestamp": "soon", "time": "1790000000000"}, 1.79e9),
        ({"time": "2026-09-21 14:13:20,5"}, 1.79e9 + 0.5),
        ({}, 5.0),
    ],
)
def test_the_time_of_an_event(event: dict[str, object], time: float) -> None:
    assert moment(event, 5.0) == pytest.approx(time, abs=1e-6)


@pytest.mark.parametrize("stamp", ["", "soon", "0", "1969-12-31T23:59:59Z", "2100-01-01T00:00:00Z", "9" * 30])
def test_a_time_that_cannot_be_is_unknown(stamp: str) -> None:
    assert seconds(stamp) != seconds(stamp)
    assert seconds("2099-12-31T23:59:59Z") == 4102444799.0
