"""Log files of every tool give the events that were written to them."""

import base64
import csv
import gzip
import io
import json
import random
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest

import skyfan.session  # noqa: F401  boto3 tries sockets when it is imported, and tests may not
from skyfan.bill import logs
from skyfan.bill.report_lines import Report
from skyfan.errors import InputError

from .conftest import (
    answer,
    collect,
    expected,
    exported,
    platform,
    stamp,
    tabs,
)


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
    assert answer(collect(logs.files([str(path)]))) == expected(reports)


def test_a_document_larger_than_a_piece_and_one_cut_off(
    reports: list[Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_LIMIT", 300)
    monkeypatch.setattr(logs, "_BLOCK", 64)
    text = pretty(reports)
    assert answer(collect([logs.events(text.splitlines())])) == expected(reports)
    cut = text[: text.index("id-5") + 10]
    made = collect([logs.events(cut.splitlines())])
    assert answer(made) == expected(reports[:4])
    assert made.unparsed == 1


def test_a_large_export_is_read_in_blocks_wherever_these_end(
    monkeypatch: pytest.MonkeyPatch, reports: list[Report]
) -> None:
    tries: list[int] = []
    decode = logs.decode

    def counted(text: str, at: int) -> Any:
        tries.append(at)
        return decode(text, at)

    monkeypatch.setattr(logs, "decode", counted)
    monkeypatch.setattr(logs, "_LIMIT", 10_000)
    monkeypatch.setattr(logs, "_BLOCK", 390)  # an event has a few more, so that blocks end behind events
    many = [reports[n % 5]._replace(request_id=f"id-{n}") for n in range(2000)]
    lines = [*pretty(many).splitlines(), "", "in plain text:", tabs(reports[0], random.Random(1))]
    found = collect([logs.events(lines)])
    assert len(found) == 2001
    assert found.unparsed == 0
    assert len(tries) < 100, "not one by one"


@pytest.mark.parametrize("limit", [200, 300, 400, 700, 1500])
@pytest.mark.parametrize("block", [1, 16, 64, 300])
def test_documents_of_any_length_beside_other_objects(
    reports: list[Report], monkeypatch: pytest.MonkeyPatch, limit: int, block: int
) -> None:
    """Lengths at which it begins to keep only events, and how often it looks for them."""
    monkeypatch.setattr(logs, "_LIMIT", limit)
    monkeypatch.setattr(logs, "_BLOCK", block)
    alone = "\n".join(json.dumps(json.loads(platform(one)), indent=2) for one in reports[:2])
    rest = json.dumps(
        {"a": [{"b": "c" * 40}] * 3, "events": [exported(one, platform(one)) for one in reports[2:]]}
    )
    for text in (
        f"{alone}\n{pretty(reports[2:])}",
        f"{pretty(reports[2:])}\n{alone}",
        f"{alone}\n{json.dumps(json.loads(rest), indent=1)}\nthe end",
    ):
        made = collect([logs.events(text.splitlines())])
        assert answer(made) == expected(reports)
        assert made.unparsed == 0


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.log"):
        collect(logs.files([str(tmp_path / "nowhere.log")]))
    broken = tmp_path / "broken.gz"
    broken.write_bytes(gzip.compress(b"REPORT RequestId: 1" * 1000)[:30])
    with pytest.raises(InputError, match=r"broken\.gz"):
        collect(logs.files([str(broken)]))


def test_insights_without_messages_names_the_column_to_add(tmp_path: Path) -> None:
    path = tmp_path / "insights.csv"
    path.write_text("@timestamp,@requestId,@duration\n2026-11-20 10:00:01.123,id-1,1000.0\n")
    with pytest.raises(InputError, match=r"insights\.csv.*@message"):
        collect(logs.files([str(path)]))
    row = {"@timestamp": "2026-11-20 10:00:01.123", "@requestId": "id-1", "@duration": "1000.0"}
    made = collect([logs.events([json.dumps([row])])])
    assert (len(made), made.unparsed) == (0, 1)
    assert "@message" in made.examples[0]


def test_packed_data_that_is_damaged_is_counted(reports: list[Report]) -> None:
    packed = base64.b64encode(gzip.compress(pretty(reports).encode())).decode()
    made = collect([logs.events([json.dumps({"awslogs": {"data": packed[:-40]}})])])
    assert (len(made), made.unparsed) == (0, 1)


def test_other_archives_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "insights.xlsx"
    path.write_bytes(b"PK\3\4 whatever")
    with pytest.raises(InputError, match="zip or xlsx"):
        collect(logs.files([str(path)]))


def test_a_tar_archive_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("REPORT RequestId: x")
    with tarfile.open(tmp_path / "logs.tar", "w") as archive:
        archive.add(tmp_path / "a.log", "a.log")
    with pytest.raises(InputError, match="packed by tar"):
        list(next(logs.files([str(tmp_path / "logs.tar")])))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16"])
def test_utf_16_behind_other_text_is_read(encoding: str) -> None:
    line = "REPORT RequestId: {}\tDuration: 1.00 ms\tBilled Duration: 1 ms\tMemory Size: 128 MB\n"
    body = line.format("a").encode() + line.format("b").encode(encoding) + line.format("c").encode(encoding)
    found = [text for text, _ in logs.text(io.BytesIO(body)) if "REPORT" in text]
    assert [re.search(r"RequestId: (\w)", text)[1] for text in found] == ["a", "b", "c"]  # type: ignore[index]


def test_a_hole_in_a_line_is_not_closed() -> None:
    body = b"REPORT RequestId: a\tDuration: 1\0\0\0 ms\n"
    assert [text for text, _ in logs.text(io.BytesIO(body))] == [body.decode().rstrip()]


def test_a_line_without_an_end_is_refused_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_LONGEST", 1 << 16)
    line = "x" * ((1 << 16) - 1) + "\n"
    assert list(logs.text(io.BytesIO(line.encode())))

    class Endless(io.RawIOBase):
        read_bytes = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            self.read_bytes += len(buffer)
            buffer[:] = b"x" * len(buffer)
            return len(buffer)

    endless = Endless()
    with pytest.raises(InputError, match="a line of it has more than"):
        list(logs.text(endless))
    assert endless.read_bytes < 1 << 18


def test_lines_of_functions_are_found_in_any_form() -> None:
    told = json.dumps({"level": "INFO", "run": "a", "input": "s3://b/1.fits", "sources": 3, "seconds": 1.5})
    forms = (
        told,
        f"a.log:3:{told}",
        json.dumps(json.loads(told), indent=2),
        json.dumps({"log": told, "stream": "stdout"}),
        json.dumps([told], indent=1),
        json.dumps({"events": [{"timestamp": 1, "message": told}]}, indent=1),
        "timestamp;message\n1763632801123;" + json.dumps(told).replace('\\"', '""'),
    )
    for form in forms:
        results = collect([logs.events(form.splitlines())]).results
        assert (len(results.file), results.sources.sum()) == (1, 3), form


def test_an_empty_file_has_nothing(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    assert len(collect(logs.files([str(path)]))) == 0


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        (b"", "utf-8"),
        (b"a", "utf-8"),
        (b"REPORT", "utf-8"),
        (b"\xef\xbb\xbfREPORT", "utf-8-sig"),
        (b"\xff\xfeR\0", "utf-16"),
        (b"\xfe\xff\0R", "utf-16"),
        (b"\xff\xfe\0\0R\0\0\0", "utf-32"),
        (b"\0\0\xfe\xff\0\0\0R", "utf-32"),
        ("RE".encode("utf-16-le"), "utf-16-le"),
        ("RE".encode("utf-16-be"), "utf-16-be"),
        # More than half of the characters have an empty byte; others are of no Latin script.
        ("RE\u4e2d".encode("utf-16-le"), "utf-16-le"),
        ("RE\u4e2d".encode("utf-16-be"), "utf-16-be"),
        ("R\u4e2d".encode("utf-16-le"), "utf-8"),
        ("R\u4e2d".encode("utf-16-be"), "utf-8"),
        ("R\u4e2d\u4e2dR\u4e2d".encode("utf-16-le"), "utf-8"),
        ("R\u4e2d\u4e2dR\u4e2d".encode("utf-16-be"), "utf-8"),
    ],
)
def test_the_first_bytes_tell_the_encoding(head: bytes, encoding: str) -> None:
    assert logs._encoding(head) == encoding


@pytest.mark.parametrize(("times", "readable"), [(0, True), (1, True), (5, True), (6, False)])
def test_a_file_may_be_packed_five_times(reports: list[Report], times: int, readable: bool) -> None:
    body = pretty(reports).encode()
    for _ in range(times):
        body = gzip.compress(body)
    made = collect([logs.text(io.BytesIO(body))])
    assert answer(made) == (expected(reports) if readable else [])


def test_an_object_with_as_many_commas_as_the_header_is_no_row(reports: list[Report]) -> None:
    first, *others = reports
    log = base64.b64encode("\n".join(map(platform, others)).encode()).decode()
    quoted = platform(first).replace('"', '""')
    rows = [
        "timestamp,message",
        json.dumps({"StatusCode": 200, "LogResult": log}),
        f'1790000000000,"{quoted}"',
    ]
    assert answer(collect([logs.events(rows)])) == expected([*others, first])


def test_packed_text_beside_other_text(reports: list[Report]) -> None:
    """A token and a hash look packed, and are not."""
    packed = base64.b64encode(gzip.compress(pretty(reports).encode())).decode()
    token = "QWxhZGRpbjpvcGVuIHNlc2FtZQ" * 4
    line = f"key {token} {packed} {token} {tabs(reports[0], random.Random(1)).partition(chr(10))[0]}"
    made = collect([logs.events([line.replace("id-1", "id-9")])])
    assert {one.request_id for one in made.reports()} == {"id-1", "id-2", "id-3", "id-4", "id-5", "id-9"}


def test_a_line_of_base64_is_the_log_in_it() -> None:
    log = f"START RequestId: 1\n{REPORT.format(1)}\n"
    (found,) = collect([logs.events([base64.b64encode(log.encode()).decode()])]).reports()
    assert (found.request_id, found.used_mb) == ("1", 60)


class Pages:
    """boto3's client for logs, with pages of events by log group."""

    def __init__(self, **pages: list[list[tuple[str, int]]]) -> None:
        self.pages, self.requests = pages, list[dict[str, object]]()

    def filter_log_events(self, **request: object) -> dict[str, object]:
        self.requests.append(request)
        at = int(str(request.get("nextToken") or "page 0").removeprefix("page "))
        pages = self.pages[str(request["logGroupName"])]
        found = [{"message": text, "timestamp": time} for text, time in pages[at]]
        return {"events": found, **({"nextToken": f"page {at + 1}"} if at + 1 < len(pages) else {})}


def test_cloudwatch_is_read_page_by_page() -> None:
    client = Pages(a=[[("one\n", 1500), ("two\n\n", 2000)], [], [("three", 3000)]], b=[[("four", 4000)]])
    seen: list[tuple[str, int, int]] = []
    pages = logs.cloudwatch(client, ["a", "b"], 1.2345, 9.0, lambda *args: seen.append(args))
    assert list(pages) == [[("one", 1.5), ("two", 2.0)], [], [("three", 3.0)], [("four", 4.0)]]
    assert [read for _, read, _ in seen] == [2, 2, 3, 4]
    assert {total for *_, total in seen} == {0}
    times = {"startTime": 1234, "endTime": 9000}
    assert client.requests[0] == {"logGroupName": "a", **times}
    assert client.requests[1] == {"logGroupName": "a", **times, "nextToken": "page 1"}
    assert client.requests[3] == {"logGroupName": "b", **times}
    client.requests.clear()
    assert len(list(logs.cloudwatch(client, ["b"], 1.0))) == 1
    assert client.requests == [{"logGroupName": "b", "startTime": 1000}]


REPORT = "REPORT RequestId: {}\tDuration: 10.00 ms\tBilled Duration: 10 ms\tMemory Size: 128 MB"
REPORT += "\tMax Memory Used: 60 MB"


@pytest.mark.parametrize(
    ("lines", "number"),
    [
        ([REPORT.format(1), REPORT.format(2)], 2),
        ([REPORT.format(1), "XRAY TraceId: 1\tSegmentId: 2"], 1),
        ([REPORT.format(1), "", REPORT.format(2)], 2),
        ([REPORT.format(1), "Init Duration: 5 ms"], 2),
        ([REPORT.format(1).partition("\tMemory")[0], "Memory Size: 128 MB", "Max Memory Used: 60 MB"], 1),
        ([REPORT.format(1), "\t1790000000000"], 1),
        ([REPORT.format(1), "nothing of it"], 2),
        ([REPORT.format(1), "  indented"], 2),
        ([REPORT.format(1).partition("\tMemory")[0], "  Memory Size: 1 MB of 2"], 1),
    ],
)
def test_lines_that_belong_to_a_report_are_one_event(lines: list[str], number: int) -> None:
    assert len(list(logs.events(lines))) == number


def test_times_before_a_report_are_its_own() -> None:
    for text in (
        "2026-09-21T14:13:20.000Z ",
        "2026-09-21T14:13:20Z 2026/09/21/[$LATEST]ab ",
        "2026/09/21/[$LATEST]ab 2026-09-21T16:13:20+02:00 ",
    ):
        ((found, time),) = logs.events([text + REPORT.format(1)])
        assert (found, time) == (REPORT.format(1), 1.79e9)


def test_a_table_has_a_header_of_names() -> None:
    def table(*lines: str) -> list[tuple[str, float]]:
        return list(logs.events(lines))

    assert table("timestamp,message", "1790000000000,hello", "", "1790000001000,more") == [
        ("hello", 1.79e9),
        ("more", 1.79e9 + 1),
    ]
    assert table('"@timestamp"|"@message"|"@ptr"', "2026-09-21 14:13:20.000|hello|x") == [("hello", 1.79e9)]
    # A cell beside the message counts if it may hold a report.
    found = table("timestamp;message;log", f"1790000000000;hello;{REPORT.format(1)}")
    assert found == [("hello", 1.79e9), (REPORT.format(1), 1.79e9)]
    # A quoted cell may go on in the next line.
    assert table("timestamp,message", '1790000000000,"hello\n', 'there"') == [("hello\nthere", 1.79e9)]
    # Rows that do not fit are read as lines.
    found = table("timestamp,message", "1,2,3", REPORT.format(1))
    assert [text for text, _ in found] == ["1,2,3", REPORT.format(1)]
    assert [text for text, _ in table("time,message", "1,2")] == ["time,message", "1,2"]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('x {"level":"INFO","b":[1,2]}', '{"level":"INFO","b":[1,2]}'),  # its bytes are on the bill
        ('x {\\"level\\":\\"INFO\\",\\"b\\":[1,2]}', '{"level": "INFO", "b": [1, 2]}'),
        ('x,"{""level"":""INFO""}"', '{"level": "INFO"}'),
        ('x { "level":"INFO"}', '{"level": "INFO"}'),
    ],
)
def test_an_object_is_itself_unless_it_was_disguised(line: str, found: str) -> None:
    assert [text for text, _ in logs.events([line])] == [found]


def test_a_report_behind_thousands_of_braces_is_found() -> None:
    """Each brace is tried, and costs what it takes to see that no object begins there."""
    line = "x" + "{x " * 5000 + json.dumps({"type": "platform.report", "a": "b"})
    assert [text for text, _ in logs.events([line])][-1] == '{"type": "platform.report", "a": "b"}'
