"""Records and prices -> the bill: what each part cost, what was lost, and what one image cost. Pure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import figures
from .billed import billed_ms, gb_seconds, start_ms
from .charges import TMP_FREE_MB, Charges, Usage, charge
from .figures import Concurrency
from .prices import MODEL, Prices
from .records import Records

_GB = 1e9


@dataclass(frozen=True)
class Beside:
    """What a bill needs and logs do not hold. It is counted or estimated by the caller."""

    images: int | None = None
    """Files done; None takes what the log tells."""
    gets: float = 0.0
    """Reads that are ours to pay."""
    puts: float | None = None
    """None is one for each image."""
    lists: float = 0.0
    tmp_mb: int = TMP_FREE_MB
    log_months: float = 1.0
    """How long logs are kept."""


NOTHING_BESIDE = Beside()


@dataclass(frozen=True)
class Failure:
    """Failed invocations of one kind."""

    kind: str
    count: int
    usd: float


@dataclass(frozen=True)
class Waste:
    """Money for nothing. The three do not overlap; each is computing and requests."""

    failures: float
    """USD of invocations that failed, but for time-outs."""
    timeouts: float
    cold_starts: float
    """USD of the starts of environments before invocations that succeeded."""


@dataclass(frozen=True)
class Bill:
    """What a set of records cost under one model."""

    model: str
    region: str
    arch: str
    free_tier: bool
    charges: Charges
    usage: Usage
    invocations: int
    retries: int
    """Invocations beyond the first of their request ID."""
    cold_starts: int
    failed_starts: int
    """INIT_REPORT lines: they have no bill of their own."""
    failures: tuple[Failure, ...]
    waste: Waste
    images: int
    sources: int | None
    rebilled: int
    """Invocations whose log was billed by another rule, put under this model's."""
    percentiles: dict[str, dict[str, float]]
    concurrency: Concurrency | None
    unparsed: int
    examples: tuple[str, ...]

    @property
    def usd(self) -> float:
        return self.charges.usd

    @property
    def usd_per_image(self) -> float | None:
        return self.usd / self.images if self.images else None

    @property
    def usd_per_source(self) -> float | None:
        return self.usd / self.sources if self.sources else None


def usage(records: Records, ms: NDArray[np.int64], done: int, beside: Beside = NOTHING_BESIDE) -> Usage:
    """What records use that are billed `ms` each, `done` images came of, and what is beside them."""
    restored = ~np.isnan(records.restore_ms)
    log_gb = records.log_bytes / _GB
    return Usage(
        gb_seconds=gb_seconds(records, ms),
        requests=int(records.invoked.sum()),
        tmp_gb_seconds=max(0, beside.tmp_mb - TMP_FREE_MB) / 1024 * (int(ms.sum()) / 1000),
        restore_gb=float(records.memory_mb[restored].sum()) / 1024,
        gets=beside.gets,
        puts=done if beside.puts is None else beside.puts,
        lists=beside.lists,
        log_gb=log_gb,
        log_gb_months=log_gb * beside.log_months,
    )


def images(records: Records, beside: Beside = NOTHING_BESIDE) -> int:
    """Files done: as the caller counted, as handlers' lines say, else request IDs that came to a good end."""
    if beside.images is not None:
        return beside.images
    if len(records.results.file):
        return len(records.results.file)
    return records.different(records.invoked & ~figures.failed(records))


def bill(
    records: Records,
    prices: Prices,
    *,
    model: str = MODEL,
    arch: str = "x86_64",
    free_tier: bool = False,
    beside: Beside = NOTHING_BESIDE,
) -> Bill:
    """The bill of all records, as if they were all that the month saw.

    Raises UsageError for a model or architecture without a price.
    """
    rule = prices.model(model)
    ms, done, invoked = billed_ms(records, rule), images(records, beside), records.invoked
    used = usage(records, ms, done, beside)
    charges = charge(used, prices, rule, arch, free_tier=free_tier)
    spent = _Spent(records, charges, used, ms)
    bad, late = figures.failed(records), figures.timed_out(records)
    by_kind: dict[str, NDArray[np.bool_]] = {}
    for code, kind in enumerate(records.kinds):
        mask = bad & (records.kind == code)
        if mask.any():
            known = by_kind.setdefault(figures.name(kind), np.zeros(len(records), np.bool_))
            by_kind[figures.name(kind)] = known | mask
    failures = [Failure(kind, int(mask.sum()), spent.on(mask)) for kind, mask in by_kind.items()]
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
        retries=int(invoked.sum()) - records.different(invoked),
        cold_starts=int((invoked & ~(np.isnan(records.init_ms) & np.isnan(records.restore_ms))).sum()),
        failed_starts=int((~invoked).sum()),
        failures=tuple(sorted(failures, key=lambda one: (-one.count, one.kind))),
        waste=Waste(spent.on(bad & ~late), spent.on(late), spent.computing(starts)),
        images=done,
        sources=int(records.results.sources.sum()) if len(records.results.file) else None,
        rebilled=int((invoked & (ms != np.nan_to_num(records.billed_ms))).sum()),
        percentiles={
            name: found for name, column in columns.items() if (found := figures.percentiles(column))
        },
        concurrency=figures.concurrency(records),
        unparsed=records.unparsed,
        examples=records.examples,
    )


class _Spent:
    """USD of some of the invocations: their share of the lines for computing and for requests."""

    def __init__(self, records: Records, charges: Charges, used: Usage, ms: NDArray[np.int64]) -> None:
        lines = {line.name: line.usd for line in charges.lines}
        self._records, self._ms = records, ms
        self._a_gb_second = lines.get("compute", 0.0) / used.gb_seconds if used.gb_seconds else 0.0
        self._a_request = lines.get("requests", 0.0) / used.requests if used.requests else 0.0

    def computing(self, ms: NDArray[np.int64]) -> float:
        """USD of so many ms of each record."""
        return gb_seconds(self._records, ms) * self._a_gb_second

    def on(self, which: NDArray[np.bool_]) -> float:
        """USD of these invocations, requests included."""
        return self.computing(np.where(which, self._ms, 0)) + int(which.sum()) * self._a_request
