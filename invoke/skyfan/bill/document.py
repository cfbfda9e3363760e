"""A bill as plain data for JSON, and its invocations as rows for CSV."""

import csv
import dataclasses
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UsageError
from .billed import billed_ms
from .costs import Bill
from .prices import Prices
from .records import Records

if TYPE_CHECKING:
    from .statement import Costs

COLUMNS = (
    "request_id",
    "ended",
    "memory_mb",
    "used_mb",
    "duration_ms",
    "init_ms",
    "billed_ms",
    "status",
    "error_type",
)


def document(costs: "Costs") -> dict[str, Any]:
    """All of it. Times are Unix seconds, money is USD; what is not known is null."""
    made: dict[str, Any] = {
        "run": costs.run,
        "own_machine": costs.own_machine,
        "prices": {"source": costs.prices.source, "collected": costs.prices.collected},
        "bill": _bill(costs.bill),
        "models": {name: other.usd for name, other in costs.others.items()},
        "estimate": None if costs.estimate is None else _plain(costs.estimate),
        "what_if": None,
        "advice": None if costs.advice is None else _plain(costs.advice),
    }
    if other := costs.what_if:
        made["what_if"] = {
            "usd": other.usd,
            "files": other.files,
            "usd_per_image": other.usd / other.files if other.files else None,
            "lines": _plain(other.charges.lines),
            "assumptions": other.assumptions,
        }
    return made


def write_csv(path: Path, records: Records, prices: Prices, model: str) -> None:
    """One row an invocation, with the time that the model bills; whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows(_rows(records, prices, model))
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error


def _rows(records: Records, prices: Prices, model: str) -> Iterator[list[Any]]:
    billed = billed_ms(records, prices.model(model)).tolist()
    for report, ms in zip(records.reports(), billed, strict=True):
        ended = ""
        if not math.isnan(report.time):
            ended = datetime.fromtimestamp(report.time, UTC).isoformat(timespec="milliseconds")
        init = "" if math.isnan(report.init_ms) else report.init_ms
        yield [
            report.request_id,
            ended,
            report.memory_mb,
            report.used_mb,
            report.duration_ms,
            init,
            ms,
            report.status,
            report.error_type,
        ]


def _bill(bill: Bill) -> dict[str, Any]:
    made: dict[str, Any] = _plain(bill)
    made["lines"] = made.pop("charges")["lines"]
    thousand = None if bill.usd_per_image is None else bill.usd_per_image * 1000
    return {
        "usd": bill.usd,
        "usd_per_image": bill.usd_per_image,
        "usd_per_thousand": thousand,
        "usd_per_source": bill.usd_per_source,
        **made,
    }


def _plain(value: Any) -> Any:
    """Dataclasses as dicts, NumPy's numbers as Python's, NaN as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
