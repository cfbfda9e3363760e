"""From what was used to what it costs: one line a part, each with its rule."""

import math
from dataclasses import dataclass, field

from .prices import Model, Prices

TMP_FREE_MB = 512


@dataclass(frozen=True)
class Usage:
    """What was used, as AWS counts it."""

    gb_seconds: float = 0.0
    requests: float = 0.0
    tmp_gb_seconds: float = 0.0
    """/tmp above 512 MB, times billed time."""
    restore_gb: float = 0.0
    """Memory sizes of SnapStart's restores, added up."""
    gets: float = 0.0
    """S3 reads that are ours to pay: those of the archive's bucket are the archive's."""
    puts: float = 0.0
    lists: float = 0.0
    log_gb: float = 0.0
    log_gb_months: float = 0.0


@dataclass(frozen=True)
class Line:
    """One line of a bill."""

    name: str
    quantity: float
    unit: str
    rule: str
    usd: float


@dataclass(frozen=True)
class Charges:
    """The lines of a bill. `usd` is their sum."""

    lines: tuple[Line, ...]
    usd: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "usd", math.fsum(line.usd for line in self.lines))


def charge(
    usage: Usage, prices: Prices, model: Model, arch: str = "x86_64", *, free_tier: bool = False
) -> Charges:
    """The bill of what was used within one month.

    With `free_tier`, Lambda's monthly free tier is taken off, as if nothing else had used it.
    """
    free_seconds = prices.free_gb_seconds if free_tier else 0.0
    free_requests = prices.free_requests if free_tier else 0.0
    seconds = max(0.0, usage.gb_seconds - free_seconds)
    requests = max(0.0, usage.requests - free_requests)
    compute = prices.compute(seconds, arch, model)
    first = model.gb_second if model.gb_second is not None else prices.gb_second[arch][0].price
    how = f"rounded up to {model.granularity_ms} ms, starts {'' if model.init else 'not '}billed"
    lines: dict[str, list[Line]] = {
        "compute": [
            Line(
                "compute",
                usage.gb_seconds,
                "GB-s",
                f"{_usd(first)} a GB-s{_less(free_seconds)}, {how}"
                + ("" if model.gb_second is not None else f", {arch}"),
                compute,
            )
        ],
        "requests": [
            Line(
                "requests",
                usage.requests,
                "requests",
                f"{_usd(prices.request * 1e6)} a million{_less(free_requests)}",
                requests * prices.request,
            )
        ],
        "tmp": [
            Line(
                "ephemeral storage",
                usage.tmp_gb_seconds,
                "GB-s",
                f"{_usd(prices.tmp_gb_second)} a GB-s of /tmp above {TMP_FREE_MB} MB",
                usage.tmp_gb_seconds * prices.tmp_gb_second,
            )
        ],
        "snapstart": [
            Line(
                "SnapStart restores",
                usage.restore_gb,
                "GB",
                f"{_usd(prices.snapstart_restore_gb)} a GB restored; its cache is not counted",
                usage.restore_gb * prices.snapstart_restore_gb,
            )
        ]
        if usage.restore_gb
        else [],
        "s3": [
            Line(name, count, "requests", f"{_usd(price * 1e3)} a thousand{whose}", count * price)
            for name, count, price, whose in (
                ("S3 GET", usage.gets, prices.s3_get, "; reads of the archive's bucket cost us nothing"),
                ("S3 PUT", usage.puts, prices.s3_put, ""),
                ("S3 LIST", usage.lists, prices.s3_put, ""),
            )
        ],
        "logs": [
            Line(
                "log ingestion",
                usage.log_gb,
                "GB",
                f"{_usd(prices.log_gb)} a GB",
                usage.log_gb * prices.log_gb,
            ),
            Line(
                "log storage",
                usage.log_gb_months,
                "GB-months",
                f"{_usd(prices.log_gb_month)} a GB-month",
                usage.log_gb_months * prices.log_gb_month,
            ),
        ],
    }
    return Charges(tuple(line for part in model.charges for line in lines[part]))


def _usd(price: float) -> str:
    return f"{price:.10f}".rstrip("0").rstrip(".") + " USD"


def _less(free: float) -> str:
    return f" beyond {free:,.0f} free a month" if free else ""
