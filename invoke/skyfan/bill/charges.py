"""From usage to charges: one line per part, each with its rule."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .prices import Model, Prices
from .records import Records

Ints = NDArray[np.int64]
TMP_FREE_MB = 512
"""Size of /tmp that is not charged."""
LOG_STORED_SHARE = 0.15
"""Stored bytes by ingested bytes: CloudWatch charges storage by compressed bytes, and the examples on
its pricing page take 0.15 of each ingested byte. The log itself does not say how well it compresses."""


@dataclass(frozen=True)
class Usage:
    """Usage in the units that AWS charges."""

    gb_seconds: float = 0.0
    requests: float = 0.0
    tmp_gb_seconds: float = 0.0
    """/tmp above 512 MB, times billed time."""
    restore_gb: float = 0.0
    """Sum of the memory sizes of SnapStart restores."""
    gets: float = 0.0
    """S3 reads that we pay for; the archive pays for reads from its bucket."""
    puts: float = 0.0
    lists: float = 0.0
    log_gb: float = 0.0
    """Ingested, not compressed."""
    log_gb_months: float = 0.0
    """Stored, compressed; see stored_gb_months()."""


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
    """The lines of a bill; `usd` is their sum."""

    lines: tuple[Line, ...]
    usd: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "usd", math.fsum(line.usd for line in self.lines))


def stored_gb_months(log_gb: float, months: float = 1.0) -> float:
    """GB-months that the storage of `log_gb` ingested GB is charged for, if they are kept for `months`."""
    return log_gb * LOG_STORED_SHARE * months


def charge(
    usage: Usage, prices: Prices, model: Model, arch: str = "x86_64", *, free_tier: bool = False
) -> Charges:
    """The charges for the usage of one month.

    `free_tier` subtracts Lambda's monthly free tier, as if nothing else had used it. Raises UsageError for an
    architecture without a price.
    """
    lines: dict[str, Iterator[Line]] = {
        "compute": _compute(usage, prices, model, arch, prices.free_gb_seconds if free_tier else 0.0),
        "requests": _requests(usage, prices, prices.free_requests if free_tier else 0.0),
        "tmp": _tmp(usage, prices),
        "snapstart": _snapstart(usage, prices),
        "s3": _s3(usage, prices),
        "logs": _logs(usage, prices),
    }
    return Charges(tuple(line for part in model.charges for line in lines[part]))


def _compute(usage: Usage, prices: Prices, model: Model, arch: str, free: float) -> Iterator[Line]:
    usd = prices.compute(max(0.0, usage.gb_seconds - free), arch, model)
    first = prices.gb_second[arch][0].price if model.gb_second is None else model.gb_second
    rule = (
        f"{_usd(first)} per GB-s{_beyond(free)}, rounded up to {model.granularity_ms} ms, "
        f"cold starts {'' if model.init else 'not '}billed"
    )
    yield Line(
        "compute", usage.gb_seconds, "GB-s", rule + (f", {arch}" if model.gb_second is None else ""), usd
    )


def _requests(usage: Usage, prices: Prices, free: float) -> Iterator[Line]:
    rule = f"{_usd(prices.request * 1e6)} per million{_beyond(free)}"
    usd = max(0.0, usage.requests - free) * prices.request
    yield Line("requests", usage.requests, "requests", rule, usd)


def _tmp(usage: Usage, prices: Prices) -> Iterator[Line]:
    rule = f"{_usd(prices.tmp_gb_second)} per GB-s of /tmp above {TMP_FREE_MB} MB"
    usd = usage.tmp_gb_seconds * prices.tmp_gb_second
    yield Line("ephemeral storage", usage.tmp_gb_seconds, "GB-s", rule, usd)


def _snapstart(usage: Usage, prices: Prices) -> Iterator[Line]:
    if usage.restore_gb:
        rule = f"{_usd(prices.snapstart_restore_gb)} per GB restored; the cache is not counted"
        usd = usage.restore_gb * prices.snapstart_restore_gb
        yield Line("SnapStart restores", usage.restore_gb, "GB", rule, usd)


def _s3(usage: Usage, prices: Prices) -> Iterator[Line]:
    for name, count, price, note in (
        (
            "S3 GET",
            usage.gets,
            prices.s3_get,
            "; one per image for cancels; reads from the archive's bucket are free",
        ),
        ("S3 PUT", usage.puts, prices.s3_put, ""),
        ("S3 LIST", usage.lists, prices.s3_put, ""),
    ):
        yield Line(name, count, "requests", f"{_usd(price * 1e3)} per thousand{note}", count * price)


def _logs(usage: Usage, prices: Prices) -> Iterator[Line]:
    stored = f", compressed to {LOG_STORED_SHARE:g} of the ingested bytes"
    for name, quantity, unit, price, note in (
        ("log ingestion", usage.log_gb, "GB", prices.log_gb, ""),
        ("log storage", usage.log_gb_months, "GB-months", prices.log_gb_month, stored),
    ):
        rule = f"{_usd(price)} per {unit.removesuffix('s')}{note}"
        yield Line(name, quantity, unit, rule, quantity * price)


def _usd(price: float) -> str:
    return f"{price:.10f}".rstrip("0").rstrip(".") + " USD"


def _beyond(free: float) -> str:
    return f" beyond {free:,.0f} free per month" if free else ""


def billed_ms(records: Records, model: Model) -> Ints:
    """Billed time in whole ms of each report (n,) under a model; 0 for a failed start, which is not billed.

    The log's Billed Duration counts if it follows the model. For older lines it is the duration, with the
    cold start if the model bills it, rounded up to a whole step.
    """
    ruled = _steps(records.duration_ms + _init(records, model), model)
    ruled += np.nan_to_num(records.billed_restore_ms).astype(np.int64)
    logged = np.nan_to_num(records.billed_ms).astype(np.int64)
    # Printed durations are rounded, so the rule can be off by 1 ms. A report without a time counts as old.
    follows = (np.abs(logged - ruled) <= 1) & (model.granularity_ms == 1)
    if model.as_logged_since is not None:
        follows |= records.time >= model.as_logged_since
    return np.where(~records.invoked, 0, np.where(follows, logged, ruled))


def start_ms(records: Records, model: Model, billed: Ints) -> Ints:
    """The part of `billed` (the result of billed_ms) that cold starts and restores added, (n,) ms."""
    bare = _steps(records.duration_ms, model)
    added: Ints = np.maximum(billed - bare, 0)
    return np.where(np.isnan(records.init_ms) & np.isnan(records.restore_ms), 0, added)


def gb_seconds(records: Records, ms: Ints) -> float:
    """GB-s of `ms` (n,) at each report's memory size: an exact sum, whatever the order."""
    return int((records.memory_mb.astype(np.int64) * ms).sum()) / 1_024_000


def _init(records: Records, model: Model) -> NDArray[np.float64]:
    zero = np.zeros(len(records))
    return np.nan_to_num(records.init_ms) if model.init else zero


def _steps(ms: NDArray[np.float64], model: Model) -> Ints:
    # Lambda prints two or three decimals; anything below is rounding error.
    step = model.granularity_ms
    return (np.ceil(np.round(ms / step, 6)) * step).astype(np.int64)
