"""Any mixture of formats, pages and orders gives the same records."""

import json
import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyfan.bill import logs, report_lines
from skyfan.bill.collector import Collector
from skyfan.bill.logs import Event
from skyfan.bill.records import Results
from skyfan.bill.report_lines import NONE, Report, seconds
from skyfan.runs.digests import digest

from .conftest import (
    answer,
    collect,
    expected,
    exported,
    parts,
    platform,
    stamp,
    tabs,
)

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
REPORTS = st.lists(REPORT, max_size=12, unique_by=lambda report: (report.request_id, report.duration_ms))
RANDOM = st.randoms(use_true_random=False)
NOISE = (
    "START RequestId: 1 Version: $LATEST",
    "Duration: 5 ms\tMemory Size: 3 MB",  # what a handler may print
    '{"level": "INFO", "message": "Status: error"}',
    "",
    "INFO nothing of note",
)


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


@settings(deadline=None, max_examples=60)
@given(REPORTS, RANDOM)
def test_any_mixture_of_formats_in_a_file(reports: list[Report], rng: random.Random) -> None:
    text = file_of(reports, rng)
    made = collect([logs.events(text.splitlines(keepends=True))])
    assert answer(made) == expected(reports)
    assert made.unparsed == 0


@settings(deadline=None, max_examples=60)
@given(REPORTS, RANDOM)
def test_any_split_into_pages_and_any_order(reports: list[Report], rng: random.Random) -> None:
    events: list[Event] = [
        (tabs(report, rng) if rng.random() < 0.7 else platform(report), report.time) for report in reports
    ]
    events += [(text, 1.7e9) for text in NOISE]
    whole = collect([events])
    assert answer(whole) == expected(reports)
    rng.shuffle(events)
    cuts = sorted(rng.randrange(len(events) + 1) for _ in range(rng.randrange(5)))
    pages = [events[low:high] for low, high in zip([0, *cuts], [*cuts, len(events)], strict=True)]
    split = collect([[], *pages])
    assert answer(split) == answer(whole)
    assert (split.events, split.log_bytes) == (whole.events, whole.log_bytes)
    halves = collect(pages[:1]) + collect(pages[1:])
    assert answer(halves) == answer(whole)


def test_what_looks_like_a_report_is_counted_and_shown() -> None:
    bad = "REPORT RequestId: 1\tDuration: many ms\tBilled Duration: 5 ms"
    made = collect([[(bad, NONE)] * 7, [("REPORT nothing", NONE)]])
    assert (made.unparsed, len(made), made.events) == (7, 0, 8)
    assert len(made.examples) == 5
    assert made.examples[0].endswith(bad)


OLD = "REPORT RequestId: {}\tDuration: {:.2f} ms\tBilled Duration: 1 ms\tMemory Size: 128 MB"
OLD += "\tMax Memory Used: {} MB"


def kinds(*texts: str) -> dict[str, int]:
    found: dict[str, int] = {}
    made = collect([[(text, NONE) for text in texts]])
    for row in made.reports():
        kind = f"{row.status} {row.error_type}".strip()
        found[kind] = found.get(kind, 0) + 1
    return found


def test_an_old_time_out_states_its_end_on_another_line() -> None:
    timeout = "2018-05-30T12:00:03.000Z b851 Task timed out after 3.00 seconds"
    first, second = OLD.format("b851", 3003.17, 60), OLD.format("b851", 812.5, 60)
    for order in ((timeout, first, second), (second, first, timeout), (first, timeout, second)):
        assert kinds(*order) == {"timeout": 1, "": 1}
    assert kinds(timeout.replace("b851", "other"), first) == {"": 1}


def test_an_old_kill_over_memory_is_the_try_that_used_most() -> None:
    killed = "RequestId: b851 Error: Runtime exited with error: signal: killed\nRuntime.ExitError"
    texts = (OLD.format("b851", 10, 60), OLD.format("b851", 10, 128), OLD.format("c", 10, 128))
    assert kinds(killed, *texts) == {"error Runtime.OutOfMemory": 1, "": 2}
    assert kinds(*reversed(texts), killed) == {"error Runtime.OutOfMemory": 1, "": 2}


def test_a_status_that_a_report_states_is_left_alone() -> None:
    timeout = "x 1 Task timed out after 1.00 seconds"
    assert kinds(timeout, OLD.format("1", 1000, 60) + "\tStatus: timeout") == {"timeout": 1}
    assert kinds(timeout, OLD.format("1", 1000, 60) + "\tStatus: error\tError Type: E") == {"error E": 1}


def test_reports_that_overlap_are_one_and_attempts_are_not() -> None:
    line = OLD.format("b851", 3000, 60) + "\tStatus: timeout"
    first, second = (line, 1.79e9), (line, 1.79e9 + 63)
    again = (line, 1.79e9 + 63.8)  # as an export to the second has it
    for events in ([first, second, again, first], [again, first, (line, NONE), second]):
        made = collect([[*events, (OLD.format("c", 3000, 60), NONE)]])
        assert (len(made), made.repeated) == (3, 2)
    without_times = collect([[(line, NONE)], [(line, NONE)]])
    assert (len(without_times), without_times.repeated) == (1, 1)
    assert without_times.log_bytes == len(line)
    start = "INIT_REPORT Init Duration: 10000.07 ms\tPhase: init\tStatus: timeout"
    assert len(collect([[(start, 1.79e9), (start, 1.79e9), (start, NONE), (start, NONE)]])) == 3


def test_a_kill_in_two_exports_is_one_kill() -> None:
    killed = ("RequestId: b851 Error: Runtime exited with error: signal: killed", 1.79e9)
    attempts = [(OLD.format("b851", 10, 128), 1.79e9), (OLD.format("b851", 20, 60), 1.79e9 + 70)]
    made = collect([[killed, *attempts], [killed, *attempts]])
    assert sorted(row.error_type for row in made.reports()) == ["", "Runtime.OutOfMemory"]


def failure(request: object, error: str = "NotFitsError", **more: object) -> str:
    event = {"input": "s3://b/1", "run": "a"}
    record = {"level": "ERROR", "requestId": request, "event": event, "errorType": error, "permanent": True}
    return json.dumps({**record, "record": "s3://out/runs/a/failures/b/1.json", **more})


def test_a_recorded_failure_is_a_failed_invocation_though_its_report_says_success() -> None:
    for good in (OLD.format("1", 10, 60), OLD.format("1", 10, 60) + "\tStatus: success"):
        for order in ((failure("1"), good), (good, failure("1"))):
            assert kinds(*order, OLD.format("2", 10, 60)) == {"failure NotFitsError": 1, "": 1}
    assert kinds(failure("1"), OLD.format("1", 10, 60) + "\tStatus: error\tError Type: E") == {"error E": 1}


def test_of_several_attempts_the_last_is_the_recorded_one() -> None:
    attempts = [(OLD.format("1", 10 + number, 60), 100.0 + number) for number in range(3)]
    for order in (attempts, attempts[::-1]):
        made = collect([[*order, (failure("1"), 99.0)]])
        assert {row.duration_ms: row.error_type for row in made.reports()} == {
            10: "",
            11: "",
            12: "NotFitsError",
        }


@pytest.mark.parametrize(
    "text",
    [
        failure(None),  # of an input in a batch, which goes on
        failure("1", record=None),
        failure("1").replace('"record"', '"place"'),  # it was raised
        failure("1")[:-5],
        "[" + failure("1") + "]",
        '{"type": "platform.runtimeDone", "record": {"requestId": "1", "errorType": "E"}, "requestId": "1"}',
    ],
)
def test_no_other_line_makes_a_failed_invocation(text: str) -> None:
    assert kinds(text, OLD.format("1", 10, 60)) == {"": 1}


def result(name: str, run: str = "a", sources: int = 3, took: float = 1.5) -> Event:
    line = {"level": "INFO", "run": run, "input": f"s3://b/{name}", "sources": sources, "seconds": took}
    return json.dumps(line), NONE


def test_results_of_handlers_count_each_image_once_and_one_run_alone() -> None:
    events = [result("1"), result("2", sources=5), result("1", took=2.5), result("3", run="b")]
    made = collect([events]).results
    assert (len(made.file), made.sources.sum()) == (3, 11)
    assert sorted(made.seconds) == [1.5, 1.5, 2.5]
    own = Collector("a")
    own.add(
        [*events, ('{"run": "a", "sources": 3}', NONE), ('{"run": "a", "sources": [], "input": 1}', NONE)]
    )
    assert len(own.finish().results.file) == 2


def test_the_parser_and_the_quick_way_agree(reports: list[Report]) -> None:
    texts = [tabs(one, random.Random(3)) + f"\tStart Time: {stamp(one)}" for one in reports]
    quick = collect([[(text, NONE) for text in texts]])
    slow = [one for text in texts for one in report_lines.reports(text + " \nXRAY TraceId: 1")]
    assert answer(quick) == expected(slow)
    assert seconds(stamp(reports[0])) == pytest.approx(reports[0].time)


@pytest.mark.parametrize(
    "form", [platform, lambda one: f"{tabs(one, random.Random(3))}\tStart Time: {stamp(one)}"]
)
def test_more_lines_than_a_batch(form: Callable[[Report], str]) -> None:
    many = [
        Report(f"id-{n}", 100.0, 100.0, 1769, 90, NONE, NONE, NONE, "success", "", 1.79e9 + n)
        for n in range(5000)
    ]
    collector = Collector()
    collector.add((form(one), NONE) for one in many)
    assert len(collector._usual) < 3000, "packed while lines come in"
    made = collector.finish()
    assert len(made) == made.events == 5000
    late = 0.1 if form is not platform else 0.0  # after the start that the line names
    assert sorted(made.time) == pytest.approx([1.79e9 + n + late for n in range(5000)], abs=1e-3)
    assert len(set(made.request_id.tolist())) == 5000


def test_a_start_time_that_only_some_lines_have() -> None:
    one, two = (Report(f"id-{n}", 500.0, 500.0, 128, 60, NONE, time=1.79e9) for n in range(2))
    lines = [
        (f"{tabs(one, random.Random(3))}\tStart Time: {stamp(one)}", NONE),
        (tabs(two, random.Random(3)), 77.0),
    ]
    assert sorted(collect([lines]).time) == [77.0, 1.79e9 + 0.5]


def test_stamps_of_other_forms_than_lambdas() -> None:
    one = Report("id", 500.0, 500.0, 128, 60, NONE, time=1.79e9)
    for text in ("2026-09-21T14:13:20Z", "2026-09-21T14:13:20.000Z", "2026-09-21T16:13:20.000+02:00"):
        (when,) = collect([[(platform(one).replace(stamp(one), text), NONE)]]).time
        assert when == 1.79e9


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("2026-09-21T14:13:20.123456Z", 0.123456),
        ("2026-09-21T16:13:20+0200", 0.0),
        ("2026-09-21T16:13:20Z", 7200.0),
    ],
)
def test_a_stamp_is_read_to_its_last_digit_and_zone(text: str, after: float) -> None:
    one = Report("id", 500.0, 500.0, 128, 60, NONE, time=1.79e9)
    for number in (1, 2):
        lines = [
            (platform(one).replace(stamp(one), text).replace('"id"', f'"id-{n}"'), NONE)
            for n in range(number)
        ]
        assert collect([lines]).time.tolist() == pytest.approx([1.79e9 + after] * number, abs=1e-6)


@pytest.mark.parametrize(("apart", "number"), [(0.0, 1), (1.0, 1), (1.001, 2), (60.0, 2)])
def test_equal_reports_a_second_apart_are_one(apart: float, number: int) -> None:
    line = OLD.format("b851", 3000, 60)
    made = collect([[(line, 1.79e9), (line, 1.79e9 + apart)]])
    assert (len(made), made.repeated) == (number, 2 - number)


@pytest.mark.parametrize(
    ("sources", "counts"), [(0, True), ((1 << 62) - 1, True), (1 << 62, False), (1 << 64, False), (-1, False)]
)
def test_a_number_of_sources_that_cannot_be_is_no_result(sources: int, counts: bool) -> None:
    assert len(collect([[result("1", sources=sources)]]).results.file) == counts


def test_results_that_name_their_request_tell_the_image_of_a_report() -> None:
    result = '{"level": "INFO", "run": "r", "requestId": "%s", "input": "s3://b/%s.fits", "sources": 3}'
    reports = [Report(name, 100.0, 100.0, 1769, 90, NONE, NONE, NONE, "", "", NONE) for name in "xyz"]
    texts = [tabs(report, random.Random(0)) for report in reports]
    found = collect([[(text, NONE) for text in (*texts, result % ("x", "one"), result % ("z", "two"))]])
    images = dict(zip(found.request_id.tolist(), found.images().tolist(), strict=True))
    assert images == {b"x": digest("b/one.fits"), b"y": 0, b"z": digest("b/two.fits")}
    twice = found + found
    assert sorted(twice.images().tolist()) == sorted([*images.values()] * 2)


ODD_RESULTS = [
    {"input": "s3://bucket/a//b.fits", "sources": 1},
    {"input": "s3://bucket/./b.fits", "sources": 1},
    {"input": "s3://bucket", "sources": 1},
    {"input": "s3:///key", "sources": 1},
    {"input": "s3://bucket/", "sources": 1},
    {"input": "s3://b/a\ns3://b/b", "sources": 1},
    {"input": "s3://bucket/\x7f", "sources": 1},
    {"input": "s3://bucket/\ud800", "sources": 1},
    {"input": "file:///a%20b.fits", "sources": 1},
    {"input": "s3://bucket/.hidden", "sources": 1},
    {"input": 5, "sources": 1},
    {"input": "s3://bucket/a", "sources": -1},
    {"input": "s3://bucket/a", "sources": 1 << 62},
    {"input": "s3://bucket/a", "sources": True},
    {"input": "s3://bucket/a", "sources": "7"},
    {"input": "s3://bucket/a", "sources": None},
    {"input": "s3://bucket/a", "sources": 1, "seconds": 3},
    {"input": "s3://bucket/a", "sources": 1, "seconds": "x"},
    {"input": "s3://bucket/a", "sources": 1, "seconds": 10**400},
    {"input": "s3://bucket/a", "sources": 1, "requestId": "é"},
    {"input": "s3://bucket/a", "sources": 1, "requestId": ""},
    {"input": "s3://bucket/a", "sources": 1, "requestId": 0},
]


@pytest.mark.parametrize("odd", ODD_RESULTS)
def test_an_unusual_result_is_read_among_usual_ones_as_alone(odd: dict[str, object]) -> None:
    usual = [
        {"input": f"s3://bucket/é {n}.fits", "sources": n, "seconds": None if n % 3 else n / 7}
        for n in range(5)
    ]
    if odd.get("requestId"):
        usual = [{**row, "requestId": f"request-{n}"} for n, row in enumerate(usual)]
    lines = [(json.dumps(row), 0.0) for row in (*usual, odd)]

    def results(*pages: list[tuple[str, float]]) -> Results:
        parts = []
        for page in pages:
            collector = Collector()
            collector.add(page)
            parts.append(collector.finish())
        return sum(parts[1:], parts[0]).results

    together, alone = results(lines), results(*([line] for line in lines))
    assert len(together.file) in (5, 6)
    for name in ("file", "sources", "seconds", "requests"):
        np.testing.assert_array_equal(getattr(together, name), getattr(alone, name))
