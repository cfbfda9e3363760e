"""Reports as Lambda and CloudWatch write them, and records of them."""

import json
import math
import random
from collections.abc import Iterable

import numpy as np
import pytest

from skyfan.bill import prices
from skyfan.bill.collector import Collector
from skyfan.bill.costs import Bill
from skyfan.bill.logs import Event
from skyfan.bill.records import Records
from skyfan.bill.report_lines import NONE, Report


def collect(pages: Iterable[Iterable[Event]]) -> Records:
    """The records of all pages."""
    collector = Collector()
    for page in pages:
        collector.add(page)
    return collector.finish()


def records(*reports: Report) -> Records:
    """The records of these reports, whatever their numbers: no line has to be printed and read."""
    collector = Collector()
    collector._others = list(reports)
    return collector.finish()


@pytest.fixture
def reports() -> list[Report]:
    return [
        Report(f"id-{n}", 100.25 * n, 101.0 * n, 1769, 90, NONE, NONE, NONE, "success", "", 1.79e9 + n)
        for n in range(1, 6)
    ]


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


def answer(records: Records) -> list[tuple[object, ...]]:
    """The reports in one order, NaN as None so that they compare; times to the microsecond."""
    rows = []
    for row in records.reports():
        values = [None if str(value) == "nan" else value for value in row]
        values[-1] = None if values[-1] is None else round(float(values[-1]), 6)  # type: ignore[arg-type]
        rows.append(tuple(values))
    return sorted(rows, key=repr)


def expected(reports: list[Report]) -> list[tuple[object, ...]]:
    return answer(records(*reports))


OURS = prices.load()
NOW = 1.79e9  # 2026


def report(
    number: int = 0, duration: float = 1000.0, billed: float | None = None, memory: int = 1024, **rest: object
) -> Report:
    init = float(rest.get("init_ms", NONE))  # type: ignore[arg-type]
    due = math.ceil(round(duration + (0 if math.isnan(init) else init), 2))
    return Report(
        f"id-{number}", duration, due if billed is None else billed, memory, 100, **{"time": NOW, **rest}
    )


def amount(bill: Bill, name: str) -> float:
    return next(line.usd for line in bill.charges.lines if line.name == name)
