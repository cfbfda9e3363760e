"""Files in any format and pages in any split give the same records."""

import csv
import gzip
import io
import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyfan.bill import collector, lines, logs
from skyfan.bill.collector import Collector
from skyfan.bill.lines import Event
from skyfan.bill.records import Records
from skyfan.bill.reports import NONE, Report, parse, seconds
from skyfan.errors import InputError

HUNDREDTHS = st.integers(0, 90_000_000).map(lambda number: number / 100)
REPORT = st.builds(
    Report,
    request_id=st.uuids().map(str) | st.just("short"),
    duration_ms=HUNDREDTHS,
    billed_ms=st.integers(0, 900_000).map(float),
    memory_mb=st.integers(128, 10240),
    used_mb=st.integers(1, 10240),
    init_ms=st.just(NONE) | HUNDREDTHS,
    restore_ms=st.just(NONE),
    billed_restore_ms=st.just(NONE),
    status=st.sampled_from(["", "success", "error", "timeout"]),
    error_type=st.sampled_from(["", "ImageError"]),
    # Whole milliseconds, as CloudWatch keeps them.
    time=st.integers(1_700_000_000_000, 1_790_000_000_000).map(lambda number: number / 1000),
)
REPORTS = st.lists(REPORT, max_size=12)
RANDOM = st.randoms(use_true_random=False)
NOISE = (
    "START RequestId: 1 Version: $LATEST",
    "Duration: 5 ms\tMemory Size: 3 MB",  # what a handler may print
    '{"level": "INFO", "message": "Status: error"}',
    "",
    "INFO nothing of note",
)


def stamp(report: Report) -> str:
    whole = np.datetime64(round(report.time * 1000), "ms")
    return f"{whole}Z"


def parts(report: Report) -> list[str]:
    found = [
        f"Duration: {report.duration_ms:.2f} ms",
        f"Billed Duration: {report.billed_ms:.0f} ms",
        f"Memory Size: {report.memory_mb} MB",
        f"Max Memory Used: {report.used_mb} MB",
    ]
    found += [f"Init Duration: {report.init_ms:.2f} ms"] * (report.init_ms is not NONE)
    found += [f"Status: {report.status}"] * bool(report.status)
    return found + [f"Error Type: {report.error_type}"] * bool(report.error_type)


def tabs(report: Report, rng: random.Random) -> str:
    """What CloudWatch holds: the time is beside it."""
    fields = parts(report)
    if rng.random() < 0.3:
        rng.shuffle(fields)
    end = rng.choice(["", "\t", "\t\nXRAY TraceId: 1-6ac7d554\tSegmentId: 854892\tSampled: true"])
    return "\t".join([f"REPORT RequestId: {report.request_id}", *fields]) + end


def platform(report: Report) -> str:
    metrics = {
        "durationMs": report.duration_ms,
        "billedDurationMs": report.billed_ms,
        "memorySizeMB": report.memory_mb,
        "maxMemoryUsedMB": report.used_mb,
    }
    if report.init_ms is not NONE:
        metrics["initDurationMs"] = report.init_ms
    record = {"requestId": report.request_id, "metrics": metrics, "status": report.status}
    record |= {"errorType": report.error_type} if report.error_type else {}
    return json.dumps({"time": stamp(report), "type": "platform.report", "record": record})


def exported(report: Report, message: str) -> dict[str, object]:
    return {"logStreamName": "s", "timestamp": round(report.time * 1000), "message": message, "eventId": "1"}


def file_of(reports: list[Report], rng: random.Random) -> str:
    """A file with each report in some form."""
    text = []
    for report in reports:
        one_line = "\t".join([f"REPORT RequestId: {report.request_id}", *parts(report)])
        forms = [
            f"{stamp(report)} {one_line}",
            f"2026/05/20/[$LATEST]ab {stamp(report)} {tabs(report, rng)}",
            f"{stamp(report)} " + "  \n".join([f"REPORT RequestId: {report.request_id}", *parts(report)]),
            platform(report),
            f"{stamp(report)} {platform(report)}",
            json.dumps(exported(report, tabs(report, rng))),
            json.dumps({"logEvents": [exported(report, platform(report))]}),
        ]
        text.append(rng.choice(forms))
        text.append(rng.choice(NOISE[:1] + NOISE[2:]))
    return "\n".join(text) + "\n"


def answer(records: Records) -> list[tuple[object, ...]]:
    """The reports in one order, NaN as None so that they compare; times to the microsecond."""
    rows = []
    for row in records.reports():
        values = [None if str(value) == "nan" else value for value in row]
        values[-1] = None if values[-1] is None else round(float(values[-1]), 6)  # type: ignore[arg-type]
        rows.append(tuple(values))
    return sorted(rows, key=repr)


def expected(reports: list[Report]) -> list[tuple[object, ...]]:
    made = Collector()
    made._others = list(reports)
    return answer(made.finish())


@settings(deadline=None, max_examples=60)
@given(REPORTS, RANDOM)
def test_any_mixture_of_formats_in_a_file(reports: list[Report], rng: random.Random) -> None:
    text = file_of(reports, rng)
    made = collector.collect([lines.events(text.splitlines(keepends=True))])
    assert answer(made) == expected(reports)
    assert made.unparsed == 0


@settings(deadline=None, max_examples=60)
@given(REPORTS, RANDOM)
def test_any_split_into_pages_and_any_order(reports: list[Report], rng: random.Random) -> None:
    events: list[Event] = [
        (tabs(report, rng) if rng.random() < 0.7 else platform(report), report.time) for report in reports
    ]
    events += [(text, 1.7e9) for text in NOISE]
    whole = collector.collect([events])
    assert answer(whole) == expected(reports)
    rng.shuffle(events)
    cuts = sorted(rng.randrange(len(events) + 1) for _ in range(rng.randrange(5)))
    pages = [events[low:high] for low, high in zip([0, *cuts], [*cuts, len(events)], strict=True)]
    split = collector.collect([[], *pages])
    assert answer(split) == answer(whole)
    assert (split.events, split.log_bytes) == (whole.events, whole.log_bytes)
    halves = collector.collect(pages[:1]) + collector.collect(pages[1:])
    assert answer(halves) == answer(whole)


@pytest.fixture
def reports() -> list[Report]:
    return [
        Report(f"id-{n}", 100.25 * n, 101.0 * n, 1769, 90, NONE, NONE, NONE, "success", "", 1.79e9 + n)
        for n in range(1, 6)
    ]


def pretty(reports: list[Report]) -> str:
    """`aws logs filter-log-events`."""
    events = [exported(report, platform(report) + "\n") for report in reports]
    return json.dumps({"events": events, "searchedLogStreams": [{"a": []}]}, indent=4)


def table(reports: list[Report], names: tuple[str, str], times: bool) -> str:
    """CloudWatch's download, and Logs Insights' result."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(names)
    for report in reports:
        when = round(report.time * 1000) if times else stamp(report).replace("T", " ").rstrip("Z")
        writer.writerow([when, tabs(report, random.Random(1)) + "\n"])
    return out.getvalue()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "form", ["pretty", "two documents", "one line", "array", "download", "insights", "windows"]
)
def test_files_of_every_tool(tmp_path: Path, reports: list[Report], form: str, packed: bool) -> None:
    text = {
        "pretty": lambda: pretty(reports),
        "two documents": lambda: pretty(reports[:2]) + "\n" + pretty(reports[2:]),
        "one line": lambda: json.dumps({"events": [exported(one, platform(one)) for one in reports]}),
        "array": lambda: json.dumps(
            [exported(one, tabs(one, random.Random(2))) for one in reports], indent=1
        ),
        "download": lambda: table(reports, ("timestamp", "message"), True),
        "insights": lambda: table(reports, ("@timestamp", "@message"), False),
        "windows": lambda: "\r\n".join(f"{stamp(one)} {platform(one)}" for one in reports),
    }[form]()
    path = tmp_path / "log"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    assert answer(collector.collect(logs.files([str(path)]))) == expected(reports)


def test_a_document_larger_than_a_piece_and_one_cut_off(
    reports: list[Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "_CHUNK", 64)
    text = pretty(reports)
    assert answer(collector.collect([lines.events(text.splitlines())])) == expected(reports)
    cut = text[: text.index("id-5") + 10]
    made = collector.collect([lines.events(cut.splitlines())])
    assert answer(made) == expected(reports[:4])
    assert made.unparsed == 1


def test_what_looks_like_a_report_is_counted_and_shown() -> None:
    bad = "REPORT RequestId: 1\tDuration: many ms\tBilled Duration: 5 ms"
    made = collector.collect([[(bad, NONE)] * 7, [("REPORT nothing", NONE)]])
    assert (made.unparsed, len(made), made.events) == (7, 0, 8)
    assert len(made.examples) == 5
    assert made.examples[0].endswith(bad)


OLD = "REPORT RequestId: {}\tDuration: {:.2f} ms\tBilled Duration: 1 ms\tMemory Size: 128 MB"
OLD += "\tMax Memory Used: {} MB"


def kinds(*texts: str) -> dict[str, int]:
    found: dict[str, int] = {}
    made = collector.collect([[(text, NONE) for text in texts]])
    for row in made.reports():
        kind = f"{row.status} {row.error_type}".strip()
        found[kind] = found.get(kind, 0) + 1
    return found


def test_an_old_time_out_states_its_end_on_another_line() -> None:
    told = "2018-05-30T12:00:03.000Z b851 Task timed out after 3.00 seconds"
    first, second = OLD.format("b851", 3003.17, 60), OLD.format("b851", 812.5, 60)
    for order in ((told, first, second), (second, first, told), (first, told, second)):
        assert kinds(*order) == {"timeout": 1, "": 1}
    assert kinds(told.replace("b851", "other"), first) == {"": 1}


def test_an_old_kill_over_memory_is_the_try_that_used_most() -> None:
    told = "RequestId: b851 Error: Runtime exited with error: signal: killed\nRuntime.ExitError"
    texts = (OLD.format("b851", 10, 60), OLD.format("b851", 10, 128), OLD.format("c", 10, 128))
    assert kinds(told, *texts) == {"error Runtime.OutOfMemory": 1, "": 2}
    assert kinds(*reversed(texts), told) == {"error Runtime.OutOfMemory": 1, "": 2}


def test_a_status_that_a_report_states_is_left_alone() -> None:
    told = "x 1 Task timed out after 1.00 seconds"
    assert kinds(told, OLD.format("1", 1000, 60) + "\tStatus: timeout") == {"timeout": 1}
    assert kinds(told, OLD.format("1", 1000, 60) + "\tStatus: error\tError Type: E") == {"error E": 1}


def result(name: str, run: str = "a", sources: int = 3, took: float = 1.5) -> Event:
    told = {"level": "INFO", "run": run, "input": f"s3://b/{name}", "sources": sources, "seconds": took}
    return json.dumps(told), NONE


def test_results_of_handlers_count_each_image_once_and_one_run_alone() -> None:
    events = [result("1"), result("2", sources=5), result("1", took=2.5), result("3", run="b")]
    made = collector.collect([events]).results
    assert (len(made.file), made.sources.sum()) == (3, 11)
    assert sorted(made.seconds) == [1.5, 1.5, 2.5]
    own = Collector("a")
    own.add(
        [*events, ('{"run": "a", "sources": 3}', NONE), ('{"run": "a", "sources": [], "input": 1}', NONE)]
    )
    assert len(own.finish().results.file) == 2


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.log"):
        collector.collect(logs.files([str(tmp_path / "nowhere.log")]))
    broken = tmp_path / "broken.gz"
    broken.write_bytes(gzip.compress(b"REPORT RequestId: 1" * 1000)[:30])
    with pytest.raises(InputError, match=r"broken\.gz"):
        collector.collect(logs.files([str(broken)]))


def test_an_empty_file_has_nothing(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    assert len(collector.collect(logs.files([str(path)]))) == 0


def test_parse_and_the_quick_way_agree(reports: list[Report]) -> None:
    texts = [tabs(one, random.Random(3)) + f"\tStart Time: {stamp(one)}" for one in reports]
    quick = collector.collect([[(text, NONE) for text in texts]])
    slow = [parse(text + " \nXRAY TraceId: 1") for text in texts]
    assert answer(quick) == expected([one for one in slow if one])
    assert seconds(stamp(reports[0])) == pytest.approx(reports[0].time)
