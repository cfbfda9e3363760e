"""The log of one run, from files beside it and from CloudWatch, and what logs do not show, by hand."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import urllib3.util  # looks for a socket when it is loaded

from skyfan.bill import runlog
from skyfan.bill.runlog import RunLog
from skyfan.errors import UsageError
from skyfan.plans import plan as plans
from skyfan.runs import receipts
from skyfan.runs import run as runs
from skyfan.storage.place import Place
from skyfan.task import Task

FREE, OURS, UNKNOWN = "s3://stpubdata/a.fits", "s3://mine/b.fits", "s3://mine/c.fits"
BEGAN = 1.79e9


def report(request: str, memory: int = 1024, end: str = "") -> str:
    return (
        f"REPORT RequestId: {request}\tDuration: 1000.00 ms\tBilled Duration: 1000 ms"
        f"\tMemory Size: {memory} MB\tMax Memory Used: 100 MB{end}"
    )


def result(uri: str, seconds: float | None = 2.0) -> str:
    return json.dumps({"level": "INFO", "run": "r", "input": uri, "sources": 3, "seconds": seconds})


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place.at(tmp_path / "results", make=True)


def begin(place: Place, path: Path, *more: str, access: str = "anonymous") -> None:
    """A run of three files, of 10 and 42 MB and of unknown size, and more of 1 byte."""
    runs.begin(place, Task("r", access, outputs=("preview",)), "s3://results/runs/{run}/{key}.cat.fits")
    names = [FREE, OURS, UNKNOWN, *more]
    sizes = pa.array([10_000_000, 42_000_000, None, *[1] * len(more)], pa.int64())
    table = pa.table({"uri": names, "size": sizes, "tier": ["standard"] * len(names)})
    runs.add_plan(place, "r", plans.write(path / "plan.parquet", table, {}))


def local(place: Place, *lines: str) -> RunLog:
    place.put("runs/r/logs/1.log", "".join(f"{line}\n" for line in lines).encode())
    return runlog.read(place, "r", log_groups=lambda _: pytest.fail("no receipts"), client=lambda: None)


def test_what_the_log_of_a_local_run_does_not_show(place: Place, tmp_path: Path) -> None:
    begin(place, tmp_path)
    place.put("runs/r/doubtful/mine/b.fits", b"")
    log = local(place, report("1"), report("2"), result(FREE), result(OURS))
    assert (log.sent, len(log.records), len(log.files)) == (False, 2, 3)
    # Of speeds.toml, for our two files, of 42 MB and of none: 1 + 5 to 10 + 6.5625, and 1 to 10; and a look
    # for a cancel for each image that is done.
    assert log.unlogged.gets == pytest.approx((6 + 16.5625) / 2 + (1 + 10) / 2 + 2)
    assert log.unlogged.puts == 2 * 2 + 1, "catalog and preview of each, and a mark"
    assert (log.unlogged.images, log.unlogged.lists) == (2, 1)
    assert [item.uri for item in log.items()] == [OURS, UNKNOWN, FREE], "in the order of the plan"


def test_who_pays_requests_pays_those_of_the_archive_too(place: Place, tmp_path: Path) -> None:
    begin(place, tmp_path, access="requester-pays")
    log = local(place, report("1"), result(FREE))
    more = (1 + 10 / 8.4 + 10 + 10 / 6.4) / 2
    assert log.unlogged.gets == pytest.approx(11.28125 + 5.5 + more + 1)


@pytest.mark.parametrize(("files", "lists"), [(999, 1), (1000, 2)])
def test_one_listing_shows_a_thousand_files(place: Place, tmp_path: Path, files: int, lists: int) -> None:
    begin(place, tmp_path, *(f"s3://stpubdata/{number}" for number in range(files - 3)))
    assert local(place, report("1")).unlogged.lists == lists


def test_without_logged_results_successful_requests_are_done(place: Place, tmp_path: Path) -> None:
    begin(place, tmp_path)
    bad = "\tStatus: error\tError Type: E"
    assert (
        local(place, report("1"), report("2", end=bad), report("2"), report("3", end=bad)).unlogged.images
        == 2
    )


def test_memory_sizes_are_those_of_the_log_or_the_usual_ones(place: Place, tmp_path: Path) -> None:
    begin(place, tmp_path)
    assert local(place, "no report").memory_mb == {"standard": 512, "large": 10240}
    some = [report(str(number), memory) for number, memory in enumerate((512, 3008, 512, 1024))]
    assert local(place, *some).memory_mb == {"standard": 512, "large": 3008}


def test_speeds_come_from_files_of_known_size_and_duration(place: Place, tmp_path: Path) -> None:
    begin(place, tmp_path)
    unknown = [report("1"), result(UNKNOWN), result(OURS, seconds=None), result("s3://in/no.plan")]
    assert local(place, *unknown).speeds() is None
    speeds = local(place, *unknown, result(FREE, seconds=4.0)).speeds()
    assert speeds is not None
    assert speeds.origin.startswith("1 file of the run r")
    assert speeds.sizes.tolist() == [1e7]
    assert speeds.seconds(1e7, 1024)[0] == pytest.approx(4.0)


def test_a_run_without_a_log_is_named(place: Place, tmp_path: Path) -> None:
    begin(place, tmp_path)
    with pytest.raises(UsageError, match="run r "):
        runlog.read(place, "r", log_groups=lambda _: [], client=lambda: None)


def document(uri: str, *, request: str, time: float, condition: str) -> dict[str, Any]:
    """Lambda's own record of a request that it gave up."""
    return {
        "timestamp": datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds"),
        "requestContext": {
            "requestId": request,
            "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:skyfan-SepExtract:$LATEST",
            "condition": condition,
        },
        "requestPayload": {"input": uri, "run": "r"},
    }


class CloudWatch:
    """The client: two pages of events, in one log group."""

    def __init__(self, *messages: tuple[str, float]) -> None:
        self.events = [{"message": f"{text}\n", "timestamp": round(time * 1000)} for text, time in messages]
        self.requests: list[dict[str, Any]] = []

    def filter_log_events(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        if "nextToken" in request:
            return {"events": self.events[1:]}
        return {"events": self.events[:1], "nextToken": "more"}


def sent(place: Place, *rows: tuple[str, str, float]) -> None:
    table = pa.table(
        {
            "uri": [uri for uri, _, _ in rows],
            "request_id": [request for _, request, _ in rows],
            "sent": pa.array([round(time * 1000) for *_, time in rows], pa.timestamp("ms", "UTC")),
            "function": ["skyfan-SepExtract"] * len(rows),
            "batch": pa.array([1] * len(rows), pa.int32()),
        }
    ).cast(receipts.SCHEMA)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    place.put("runs/r/receipts/0.parquet", sink.getvalue().to_pybytes())


def test_only_the_runs_own_requests_and_failed_starts_near_them_count(place: Place, tmp_path: Path) -> None:
    begin(place, tmp_path)
    # One event of two files that succeeded, one that failed.
    sent(place, (FREE, "ra", BEGAN), (OURS, "ra", BEGAN), (UNKNOWN, "rb", BEGAN + 100))
    start = "INIT_REPORT Init Duration: 10000.00 ms\tPhase: init\tStatus: timeout"
    client = CloudWatch(
        (report("other-1"), BEGAN + 5),
        (report("ra"), BEGAN + 1000),
        (report("rb", end="\tStatus: error\tError Type: E"), BEGAN + 2000),
        (report("other-2"), BEGAN + 5000),
        *((start, BEGAN + after) for after in (98, 100, 1500, 2000, 2002)),  # up to 900 s before the first
    )
    log = runlog.read(place, "r", log_groups=sorted, client=lambda: client)
    first, second = client.requests
    assert first["logGroupName"] == "skyfan-SepExtract"
    assert first["startTime"] == (BEGAN - 60) * 1000
    assert first["endTime"] == (BEGAN + 100 + 6 * 3600 + 3 * 900 + 300) * 1000
    assert second["nextToken"] == "more"
    assert log.sent
    assert urllib3.util
    assert int(log.records.invoked.sum()) == 2
    assert int((~log.records.invoked).sum()) == 3
    assert log.unlogged.images == 2, "both files of the request that succeeded"
    whole = sum(len(event["message"]) - 1 for event in client.events)
    assert log.records.log_bytes == round(whole / 2), "the share of its invocations"


def exported(place: Place, path: Path, *lines: str) -> RunLog:
    (path / "export.log").write_text("".join(f"{line}\n" for line in lines))
    nobody = lambda *_: pytest.fail("an export was named")  # noqa: E731
    return runlog.read(place, "r", log_groups=nobody, client=nobody, exports=[str(path / "export.log")])


def test_of_an_export_the_runs_own_requests_count(place: Place, tmp_path: Path) -> None:
    begin(place, tmp_path)
    sent(place, (FREE, "ra", BEGAN), (OURS, "rb", BEGAN), (UNKNOWN, "rc", BEGAN))
    log = exported(place, tmp_path, report("ra"), report("other"), report("rb"), report("ra"), result(FREE))
    assert sorted({one.request_id for one in log.records.reports()}) == ["ra", "rb"]
    assert (log.requests, log.unreported, log.sent) == (3, 1, True)
    assert log.unlogged.images == 1


def test_without_receipts_the_local_log_tells_which_are_its_own(place: Place, tmp_path: Path) -> None:
    begin(place, tmp_path)
    with pytest.raises(UsageError, match="leave out r"):
        exported(place, tmp_path, report("1"))
    place.put("runs/r/logs/1.log", f"{report('1')}\n".encode())
    log = exported(place, tmp_path, report("1"), report("2"))
    assert [one.request_id for one in log.records.reports()] == ["1"]
    assert (log.sent, log.requests, log.unreported) == (False, 0, 0)


def test_files_are_done_by_successful_requests_where_the_function_logs_none(
    place: Place, tmp_path: Path
) -> None:
    begin(place, tmp_path)
    sent(place, (FREE, "ra", BEGAN), (OURS, "ra", BEGAN), (UNKNOWN, "rb", BEGAN))
    bad = "\tStatus: error\tError Type: E"
    log = exported(place, tmp_path, report("ra", end=bad), report("ra", memory=2048), report("rb", end=bad))
    assert log.unlogged.images == 2
    assert log.unlogged.puts == 4


def test_the_size_of_an_empty_file_is_known(place: Place, tmp_path: Path) -> None:
    runs.begin(place, Task("r"), "s3://results/runs/{run}/{key}.cat.fits")
    table = pa.table({"uri": [FREE], "size": pa.array([0], pa.int64()), "tier": ["standard"]})
    runs.add_plan(place, "r", plans.write(tmp_path / "plan.parquet", table, {}))
    assert local(place, report("1"), result(FREE)).speeds() is not None


def test_requests_that_never_ran_are_not_missed_on_the_bill(place: Place, tmp_path: Path) -> None:
    """Of five: one has its report, one was cancelled, one expired, one failed, one is unknown."""
    failures = Place.at(tmp_path / "failures", make=True)
    begin(place, tmp_path, "s3://mine/d.fits", "s3://mine/e.fits")
    about = json.loads(place.get("runs/r/run.json") or b"")
    place.put("runs/r/run.json", json.dumps(about | {"failures": failures.name}).encode())
    now = time.time()
    names = {"ra": FREE, "rb": OURS, "rc": UNKNOWN, "rd": "s3://mine/d.fits", "re": "s3://mine/e.fits"}
    sent(place, *((uri, request, now - 60) for request, uri in names.items()))
    for request, condition, response in (
        ("rb", "ZeroReservedConcurrency", None),
        ("rc", "EventAgeExceeded", None),
        ("rd", "RetriesExhausted", {"errorType": "StorageError", "errorMessage": "it broke"}),
    ):
        record = document(names[request], request=request, time=now - 30, condition=condition)
        record["responsePayload"] = response
        stamp = f"{datetime.fromtimestamp(now - 30, UTC):%Y/%m/%d/%Y-%m-%dT%H.%M.%S}-{request}"
        failures.put(f"aws/lambda/async/skyfan-SepExtract/{stamp}", json.dumps(record).encode())
    log = runlog.read(place, "r", log_groups=sorted, client=lambda: CloudWatch((report("ra"), now)))
    assert (log.requests, log.unreported) == (5, 2)


def test_the_size_of_the_results_is_known(place: Place, tmp_path: Path) -> None:
    begin(place, tmp_path)
    place.put("runs/r/mine/b.fits.cat.fits", b"x" * 1000)
    place.put("runs/r/mine/b.fits.preview.png", b"x" * 500)
    assert local(place, report("1")).stored_bytes >= 1500
