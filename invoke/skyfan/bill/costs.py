"""From records and prices to the bill: cost by part, waste, and cost per image. Pure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .charges import TMP_FREE_MB, Charges, Usage, billed_ms, charge, gb_seconds, start_ms, stored_gb_months
from .prices import MODEL, Prices
from .records import Concurrency, Records, concurrency, percentiles

_GB = 1e9


@dataclass(frozen=True)
class Unlogged:
    """Usage that is on the bill but not in the logs, counted or estimated by the caller."""

    images: int | None = None
    """Files done; None for the number in the logs."""
    gets: float = 0.0
    """Reads from S3 that we pay for."""
    puts: float | None = None
    """None for one per image."""
    lists: float = 0.0
    tmp_mb: int = TMP_FREE_MB
    log_months: float = 1.0
    """How many months logs are kept."""


NOTHING_UNLOGGED = Unlogged()


@dataclass(frozen=True)
class FailureCost:
    """Failed invocations of one kind."""

    kind: str
    count: int
    usd: float


@dataclass(frozen=True)
class Waste:
    """Costs without a result, for compute and requests. The three do not overlap."""

    failures: float
    """USD of failed invocations other than timeouts."""
    timeouts: float
    cold_starts: float
    """USD of the cold starts of invocations that succeeded."""


@dataclass(frozen=True)
class Bill:
    """The cost of some records under one model."""

    model: str
    region: str
    arch: str
    free_tier: bool
    charges: Charges
    usage: Usage
    invocations: int
    retries: int
    """Invocations after the first of their request ID."""
    cold_starts: int
    failed_starts: int
    """INIT_REPORT lines, which are not billed."""
    failures: tuple[FailureCost, ...]
    waste: Waste
    images: int
    sources: int | None
    rebilled: int
    """Invocations whose Billed Duration follows another model and was recomputed."""
    percentiles: dict[str, dict[str, float]]
    concurrency: Concurrency | None
    unparsed: int
    examples: tuple[str, ...]
    repeated: int
    """Reports that were read more than once, by exports that overlap; each is counted once."""

    @property
    def usd(self) -> float:
        return self.charges.usd

    @property
    def usd_per_image(self) -> float | None:
        return self.usd / self.images if self.images else None

    @property
    def usd_per_source(self) -> float | None:
        return self.usd / self.sources if self.sources else None


def usage(records: Records, ms: NDArray[np.int64], done: int, unlogged: Unlogged = NOTHING_UNLOGGED) -> Usage:
    """The usage of records that are billed `ms` (n,) each and produced `done` images."""
    restored = ~np.isnan(records.restore_ms)
    log_gb = records.log_bytes / _GB
    return Usage(
        gb_seconds=gb_seconds(records, ms),
        requests=int(records.invoked.sum()),
        tmp_gb_seconds=max(0, unlogged.tmp_mb - TMP_FREE_MB) / 1024 * (int(ms.sum()) / 1000),
        restore_gb=float(records.memory_mb[restored].sum()) / 1024,
        gets=unlogged.gets,
        puts=done if unlogged.puts is None else unlogged.puts,
        lists=unlogged.lists,
        log_gb=log_gb,
        log_gb_months=stored_gb_months(log_gb, unlogged.log_months),
    )


def images(records: Records, unlogged: Unlogged = NOTHING_UNLOGGED) -> int:
    """Files done: by the caller's count, by the function's own lines, or else successful request IDs."""
    if unlogged.images is not None:
        return unlogged.images
    if len(records.results.file):
        return len(records.results.file)
    return records.requests(records.invoked & ~records.failed)


def bill(
    records: Records,
    prices: Prices,
    *,
    model: str = MODEL,
    arch: str = "x86_64",
    free_tier: bool = False,
    unlogged: Unlogged = NOTHING_UNLOGGED,
) -> Bill:
    """The bill of all records, as if they were all invocations of the month.

    Raises UsageError for a model or architecture without a price.
    """
    rule = prices.model(model)
    ms, done, invoked = billed_ms(records, rule), images(records, unlogged), records.invoked
    used = usage(records, ms, done, unlogged)
    charges = charge(used, prices, rule, arch, free_tier=free_tier)
    spent = _Spent(records, charges, used, ms)
    bad, late = records.failed, records.timed_out
    by_kind: dict[str, NDArray[np.bool_]] = {}
    for code, (status, error_type) in enumerate(records.kinds):
        mask = bad & (records.kind == code)
        if mask.any():
            name = error_type or status
            by_kind[name] = by_kind.get(name, np.zeros(len(records), np.bool_)) | mask
    failures = [FailureCost(kind, int(mask.sum()), spent.on(mask)) for kind, mask in by_kind.items()]
    good = invoked & ~bad
    starts = np.where(good, start_ms(records, rule, ms), 0)
    columns = {
        "duration_ms": np.where(invoked, records.duration_ms, np.nan),
        "billed_ms": np.where(invoked, ms, np.nan),
        "init_ms": np.where(invoked, records.init_ms, np.nan),
        "used_mb": np.where(invoked & (records.used_mb > 0), records.used_mb, np.nan),
    }
    return Bill(
        model=rule.name,
        region=prices.region,
        arch=arch,
        free_tier=free_tier,
        charges=charges,
        usage=used,
        invocations=int(invoked.sum()),
        retries=int(invoked.sum()) - records.requests(invoked),
        cold_starts=int((invoked & ~(np.isnan(records.init_ms) & np.isnan(records.restore_ms))).sum()),
        failed_starts=int((~invoked).sum()),
        failures=tuple(sorted(failures, key=lambda failure: (-failure.count, failure.kind))),
        waste=Waste(spent.on(bad & ~late), spent.on(late), spent.compute(starts)),
        images=done,
        sources=int(records.results.sources.sum()) if len(records.results.file) else None,
        rebilled=int((invoked & (ms != np.nan_to_num(records.billed_ms))).sum()),
        percentiles={name: values for name, column in columns.items() if (values := percentiles(column))},
        concurrency=concurrency(records),
        unparsed=records.unparsed,
        examples=records.examples,
        repeated=records.repeated,
    )


def per_invocation(bill: Bill, records: Records, prices: Prices) -> NDArray[np.float64]:
    """USD (n,) of each record of a bill: its share of compute and requests; 0 for a failed start."""
    ms = billed_ms(records, prices.model(bill.model))
    spent = _Spent(records, bill.charges, bill.usage, ms)
    return spent.each()


class _Spent:
    """USD of some invocations: their share of the lines for compute and requests."""

    def __init__(self, records: Records, charges: Charges, used: Usage, ms: NDArray[np.int64]) -> None:
        lines = {line.name: line.usd for line in charges.lines}
        self._records, self._ms = records, ms
        self._per_gb_second = lines.get("compute", 0.0) / used.gb_seconds if used.gb_seconds else 0.0
        self._per_request = lines.get("requests", 0.0) / used.requests if used.requests else 0.0

    def compute(self, ms: NDArray[np.int64]) -> float:
        """USD for `ms` (n,) of each record."""
        return gb_seconds(self._records, ms) * self._per_gb_second

    def each(self) -> NDArray[np.float64]:
        """USD (n,) of each record, requests included."""
        gb_s = self._records.memory_mb * self._ms / 1_024_000
        return np.asarray(gb_s * self._per_gb_second + self._records.invoked * self._per_request, np.float64)

    def on(self, which: NDArray[np.bool_]) -> float:
        """USD for these invocations, requests included."""
        return self.compute(np.where(which, self._ms, 0)) + int(which.sum()) * self._per_request
