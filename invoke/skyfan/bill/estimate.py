"""Time and cost of a plan on Lambda: a range, with its assumptions."""

import tomllib
from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import formatting
from ..errors import UsageError
from ..plans.plan import Item
from ..task import MAX_EVENT, Filling
from . import prices as price_list
from .charges import Charges, Usage, charge, stored_gb_months
from .prices import MODEL, Prices

Array = NDArray[np.float64]
Range = tuple[float, float]
OWN = Path(__file__).with_name("speeds.toml")
ARCHIVE = "s3://stpubdata/"
ONE_CPU_MB = 1769
"""The memory size at which Lambda gives one CPU."""


ASSUMED_CONCURRENCY = 1000
"""Invocations at once where the account's limit is not known: the default of an account."""
UNKNOWN_SIZE = 1.7e8
"""Bytes assumed for a file of unknown size."""
# Lambda waits one and two minutes before the second and the third attempt.
_WAITS_S = 180.0
# A function gains this many environments every ten seconds, the first ones immediately.
_RAMP, _RAMP_S = 1000, 10.0
_LISTINGS = (2, 20)


def cpus(memory_mb: float) -> float:
    """The share of a CPU that one thread gets, at most 1."""
    return min(1.0, memory_mb / ONE_CPU_MB)


@dataclass(frozen=True)
class Speeds:
    """Processing time by file size, and what else an image takes; ranges are minimum and maximum."""

    origin: str
    """Where the figures come from, in words."""
    sizes: Array
    """(n,) bytes, increasing."""
    few: Array
    """(n,) CPU seconds of an image with few sources, never decreasing."""
    many: Array
    """The same with many sources."""
    start: Range
    """CPU seconds of a cold start."""
    network: float
    """Bytes per second."""
    read_share: Range
    """Bytes read by bytes of the file."""
    gets: Range
    """Requests per file, besides one per `bytes_per_get`."""
    bytes_per_get: Range
    log_bytes: Range
    """Lambda's own lines, per invocation."""
    image_log_bytes: Range
    """The handler's line, per image."""
    failing: Range
    """Share of files that fail in all three attempts."""

    def seconds(self, sizes: ArrayLike, memory_mb: float) -> tuple[Array, Array]:
        """Minimum and maximum duration (n,) in s of a warm invocation for files of `sizes` (n,) bytes."""
        size = np.asarray(sizes, np.float64)
        share, read = cpus(memory_mb), size / self.network
        return (
            _along(size, self.sizes, self.few) / share + read * self.read_share[0],
            _along(size, self.sizes, self.many) / share + read * self.read_share[1],
        )

    def requests(self, sizes: ArrayLike) -> tuple[Array, Array]:
        """Minimum and maximum number (n,) of S3 requests to read files of `sizes` (n,) bytes."""
        size = np.asarray(sizes, np.float64)
        return self.gets[0] + size / self.bytes_per_get[0], self.gets[1] + size / self.bytes_per_get[1]


def measured(file: Path = OWN) -> Speeds:
    """The figures that ship with skyfan."""
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    return Speeds(
        origin=f"images measured on {table['measured']}, not in Lambda",
        sizes=np.array(table["bytes"]),
        few=np.maximum.accumulate(table["few"]),
        many=np.maximum.accumulate(table["many"]),
        start=tuple(table["start"]),
        network=table["network_mb_s"] * 1e6,
        read_share=tuple(table["read_share"]),
        gets=tuple(table["gets"]),
        bytes_per_get=tuple(table["bytes_per_get"]),
        log_bytes=tuple(table["log_bytes"]),
        image_log_bytes=tuple(table["image_log_bytes"]),
        failing=tuple(table["failing"]),
    )


def past(sizes: ArrayLike, seconds: ArrayLike, memory_mb: float, run: str) -> Speeds:
    """Speeds of a past run, from (n,) sizes of files in bytes and (n,) durations of their invocations.

    Files form six groups by size; the range in each is from the 10th to the 90th percentile. Raises
    ValueError if there are no files.
    """
    size, cpu = np.asarray(sizes, np.float64), np.asarray(seconds, np.float64) * cpus(memory_mb)
    if not len(size):
        raise ValueError("no file of the past run has a known size and duration")
    order = np.argsort(size, kind="stable")
    groups = [group for group in np.array_split(order, 6) if len(group)]
    middle = np.array([np.median(size[group]) for group in groups])
    low, high = (np.array([np.quantile(cpu[group], q) for group in groups]) for q in (0.1, 0.9))
    middle, first = np.unique(middle, return_index=True)
    table = measured()
    return replace(
        table,
        origin=f"{formatting.count(len(size))} of the run {run}, at {memory_mb:.0f} MB",
        sizes=np.maximum(middle, 1.0),
        few=np.maximum.accumulate(low[first]),
        many=np.maximum.accumulate(high[first]),
        read_share=(0.0, 0.0),  # durations of a run include reading
    )


def _along(size: Array, sizes: Array, seconds: Array) -> Array:
    """Linear between logarithms; constant below the smallest size, proportional above the largest."""
    inside = np.exp(np.interp(np.log(np.maximum(size, 1.0)), np.log(sizes), np.log(seconds)))
    found: Array = inside * np.maximum(1.0, size / sizes[-1])
    return found


@dataclass(frozen=True)
class Estimate:
    """Minimum and maximum time and cost of a plan."""

    files: int
    seconds_low: float
    """From the first invocation to the last catalog."""
    seconds_high: float
    usd_low: float
    usd_high: float
    busy_seconds_high: float
    """Duration of all invocations together."""
    unknown: int
    """Files of unknown size."""
    assumptions: list[str]
    low: Charges
    """The lines whose sum is usd_low."""
    high: Charges


@dataclass(frozen=True)
class Conditions:
    """How files are processed on Lambda. Raises UsageError if concurrency or batch are below 1."""

    memory_mb: Mapping[str, int]
    """Memory size of each tier."""
    arch: str = "x86_64"
    prices: Prices = field(default_factory=price_list.load)
    concurrency: int = ASSUMED_CONCURRENCY
    """Invocations at once."""
    concurrency_source: str = "assumed: the limit of the account was not asked"
    batch: int = 1
    """Files per invocation, at most."""
    room: int = MAX_EVENT
    """Bytes for the inputs of a batch in its event."""
    results: int = 1
    """Objects that an image leaves: the catalog, and additional ones."""
    requester_pays: bool = False
    """Whether reads from the archive's bucket are paid too."""
    speeds: Speeds = field(default_factory=measured)

    def __post_init__(self) -> None:
        for name, value in (("concurrency", self.concurrency), ("batch", self.batch)):
            if value < 1:
                raise UsageError(f"{name} must be at least 1, not {value}")

    def is_paid(self, uri: str) -> bool:
        """Whether we pay for reading a file."""
        return uri.startswith("s3://") and (self.requester_pays or not uri.startswith(ARCHIVE))


def estimate(items: Iterable[Item], conditions: Conditions) -> Estimate:
    """Time and cost of the files of a plan on Lambda. Raises UsageError for a tier without a memory size."""
    rates, table = conditions.prices, conditions.speeds
    tiers, paid, events, unknown = _by_tier(items, conditions)
    if missing := set(tiers) - set(conditions.memory_mb):
        raise UsageError(f"the memory size of the tier {', '.join(sorted(missing))} is not known")
    (low, low_s, _), (high, high_s, busy_s) = (
        _bound(tiers, paid, events, conditions, high=is_high) for is_high in (False, True)
    )
    files = sum(len(sizes) for sizes in tiers.values())
    sizes_mb = ", ".join(
        f"{conditions.memory_mb[tier]} MB for {formatting.count(len(sizes), f'{tier} file')}"
        for tier, sizes in tiers.items()
    )
    at_once = formatting.count(conditions.concurrency, "invocation")
    each = f"{formatting.count(conditions.batch)} each"
    assumptions = [
        f"durations: {table.origin}",
        f"memory: {sizes_mb or 'no file'}; {conditions.arch} in {rates.region}; one CPU is {ONE_CPU_MB} MB",
        f"{at_once} at once ({conditions.concurrency_source}), {each}, without sending and queueing",
        f"at most {table.failing[1]:.0%} of the files fail, each in all three attempts",
        f"prices: {rates.source}, {rates.collected}, without free tier or tax",
    ]
    if unknown:
        size = f"{UNKNOWN_SIZE / 1e6:.0f} MB"
        assumptions.append(f"{formatting.count(unknown)} of unknown size: {size} each")
    if not conditions.requester_pays:
        assumptions.append(
            "reads from the archive's bucket stpubdata are free; reads from other buckets are counted"
        )
    return Estimate(files, low_s, high_s, low.usd, high.usd, busy_s, unknown, assumptions, low, high)


def known_sizes(sizes: ArrayLike) -> Array:
    """Sizes (n,) in bytes, with the assumed one instead of -1."""
    size = np.asarray(sizes, np.float64)
    return np.where(size < 0, UNKNOWN_SIZE, size)


def _by_tier(
    items: Iterable[Item], conditions: Conditions
) -> tuple[dict[str, Array], dict[str, NDArray[np.bool_]], dict[str, int], int]:
    """Sizes by tier, which files we pay to read, the number of events, and that of files of unknown size."""
    sizes: dict[str, array[float]] = {}
    paid: dict[str, bytearray] = {}
    fillings: defaultdict[str, Filling] = defaultdict(lambda: Filling(conditions.batch, conditions.room))
    unknown = 0
    for item in items:
        if item.size is None:
            unknown += 1
        sizes.setdefault(item.tier, array("d")).append(UNKNOWN_SIZE if item.size is None else item.size)
        paid.setdefault(item.tier, bytearray()).append(conditions.is_paid(item.uri))
        if conditions.batch > 1:
            fillings[item.tier].begins(item.uri)
    return (
        {tier: np.frombuffer(values) for tier, values in sizes.items()},
        {tier: np.frombuffer(flags, np.bool_) for tier, flags in paid.items()},
        {tier: fillings[tier].events if fillings else len(values) for tier, values in sizes.items()},
        unknown,
    )


@dataclass(frozen=True)
class Sums:
    """One end of the range of what some files of a tier take."""

    seconds: float
    """Of warm invocations, repeated attempts included."""
    gets: float
    """Those that we pay for."""
    invocations: float
    files: int

    @classmethod
    def of(
        cls,
        sizes: Array,
        paid: NDArray[np.bool_],
        invocations: int,
        conditions: Conditions,
        tier: str,
        *,
        high: bool,
    ) -> "Sums":
        """Of files of `sizes` (n,) bytes of one tier; `paid` (n,) says which of them we pay to read."""
        table = conditions.speeds
        attempts = 1 + 2 * table.failing[high]
        seconds = float(table.seconds(sizes, conditions.memory_mb[tier])[high].sum()) * attempts
        # One for each file looks for a cancel of its run.
        gets = (float(table.requests(sizes)[high][paid].sum()) + len(sizes)) * attempts
        return cls(seconds, gets, invocations, len(sizes))

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.seconds + other.seconds,
            self.gets + other.gets,
            self.invocations + other.invocations,
            self.files + other.files,
        )

    def seconds_with_starts(self, memory_mb: int, conditions: Conditions, *, high: bool) -> float:
        """The same with cold starts: one per environment, and at most one more when it is replaced."""
        most = conditions.concurrency * (2 if high else 1)
        starts = min(self.invocations, most) / (1 if high else 2)
        return self.seconds + starts * conditions.speeds.start[high] / cpus(memory_mb)


def charges(tiers: Mapping[str, Sums], conditions: Conditions, *, high: bool) -> Charges:
    """One end of the range of what files cost, from the sums of each tier."""
    table, memory_mb = conditions.speeds, conditions.memory_mb
    attempts = 1 + 2 * table.failing[high]
    files = sum(sums.files for sums in tiers.values())
    invocations = sum(sums.invocations for sums in tiers.values()) * attempts
    log_gb = (invocations * table.log_bytes[high] + files * attempts * table.image_log_bytes[high]) / 1e9
    usage = Usage(
        gb_seconds=sum(
            sums.seconds_with_starts(memory_mb[tier], conditions, high=high) * memory_mb[tier] / 1024
            for tier, sums in tiers.items()
        ),
        requests=invocations,
        gets=sum(sums.gets for sums in tiers.values()),
        # Any image may be doubtful, which a function marks with an object of its own.
        puts=files * (conditions.results + high),
        lists=_LISTINGS[high] * (1 + files / 1000) if files else 0.0,
        log_gb=log_gb,
        log_gb_months=stored_gb_months(log_gb),
    )
    return charge(usage, conditions.prices, conditions.prices.model(MODEL), conditions.arch)


def _bound(
    tiers: Mapping[str, Array],
    paid: Mapping[str, NDArray[np.bool_]],
    events: Mapping[str, int],
    conditions: Conditions,
    *,
    high: bool,
) -> tuple[Charges, float, float]:
    """One end of the range: charges, elapsed seconds, and seconds of all invocations together."""
    table, concurrency, batch = conditions.speeds, conditions.concurrency, conditions.batch
    sums: dict[str, Sums] = {}
    busy = longest = 0.0
    for tier, sizes in tiers.items():
        memory = conditions.memory_mb[tier]
        sums[tier] = Sums.of(sizes, paid[tier], events[tier], conditions, tier, high=high)
        busy += sums[tier].seconds_with_starts(memory, conditions, high=high)
        longest_file = float(table.seconds(sizes, memory)[high].max()) * (batch if high else 1)
        longest = max(longest, longest_file + table.start[high] / cpus(memory))
    wall = max(busy / concurrency, longest)
    if high and tiers:
        wall = busy / concurrency + longest * 3 + _WAITS_S + max(0, concurrency - _RAMP) / _RAMP * _RAMP_S
    return charges(sums, conditions, high=high), wall, busy
