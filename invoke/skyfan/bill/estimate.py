"""Time and cost of a plan on Lambda: a range, with its assumptions."""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import formatting
from ..errors import UsageError
from ..plans.plan import Item
from ..task import MAX_EVENT, Filling
from . import prices as price_list
from .charges import Charges, Usage, charge, stored_gb_months
from .prices import MODEL, Prices
from .speeds import ONE_CPU_MB, Array, Speeds, cpus, measured

ARCHIVE = "s3://stpubdata/"
ASSUMED_CONCURRENCY = 1000
"""Invocations at once where the account's limit is not known: the default of an account."""
UNKNOWN_SIZE = 1.7e8
"""Bytes assumed for a file of unknown size."""
# Lambda waits one and two minutes before the second and the third attempt.
_WAITS_S = 180.0
# A function gains this many environments every ten seconds, the first ones immediately.
_RAMP, _RAMP_S = 1000, 10.0
_LISTINGS = (2, 20)


WORK = {"": (1.0, 1.0), "completeness": (0.0, 16.0)}
"""How often an image is measured for itself and for an output, at least and at most: stars are planted in up
to MOST_ROUNDS rounds (sep_extract.completeness), or not at all.
"""


@dataclass(frozen=True)
class Estimate:
    """Minimum and maximum time and cost of a plan."""

    files: int
    seconds_low: float
    """From the first invocation to the last catalog."""
    seconds_high: float
    usd_low: float
    usd_high: float
    usd_most: float
    """With images as crowded as the most crowded that were measured, of whatever kind."""
    busy_seconds_high: float
    """Duration of all invocations together, with such images."""
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
    outputs: Sequence[str] = ()
    """What they write beside the catalog, see WORK."""
    requester_pays: bool = False
    """Whether reads from the archive's bucket are paid too."""
    speeds: Speeds = field(default_factory=measured)

    def __post_init__(self) -> None:
        for name, value in (("concurrency", self.concurrency), ("batch", self.batch)):
            if value < 1:
                raise UsageError(f"{name} must be at least 1, not {value}")

    @property
    def work(self) -> tuple[float, float]:
        """How often an image is measured, at least and at most."""
        low, high = zip(*(WORK.get(name, (0.0, 0.0)) for name in ("", *self.outputs)), strict=True)
        return sum(low), sum(high)

    def seconds(
        self, sizes: Array, memory_mb: int, kinds: NDArray[np.int8] | None = None
    ) -> tuple[Array, Array]:
        """Minimum and maximum duration (n,) of warm invocations for files of `sizes` (n,) bytes, in s."""
        low, high = self.speeds.seconds(sizes, memory_mb, kinds)
        return low * self.work[0], high * self.work[1]

    def is_paid(self, uri: str) -> bool:
        """Whether we pay for reading a file."""
        return uri.startswith("s3://") and (self.requester_pays or not uri.startswith(ARCHIVE))


def estimate(items: Iterable[Item], conditions: Conditions) -> Estimate:
    """Time and cost of the files of a plan on Lambda. Raises UsageError for a tier without a memory size."""
    rates, table = conditions.prices, conditions.speeds
    tiers, unknown = _by_tier(items, conditions)
    if missing := set(tiers) - set(conditions.memory_mb):
        raise UsageError(f"the memory size of the tier {', '.join(sorted(missing))} is not known")
    low, low_s, _ = _bound(tiers, conditions, high=False)
    high, high_s, _ = _bound(tiers, conditions, high=True)
    most, _, busy_s = _bound(tiers, conditions, high=True, any_kind=True)
    files = sum(len(found.sizes) for found in tiers.values())
    others = sum(int((found.kinds < 0).sum()) for found in tiers.values()) if len(table.known) else 0
    sizes_mb = ", ".join(
        f"{conditions.memory_mb[tier]} MB for {formatting.count(len(found.sizes), f'{tier} file')}"
        for tier, found in tiers.items()
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
    if others:
        assumptions.insert(1, f"{formatting.count(others)} of other kinds: empty fields to 47 Tuc")
    if files > others and table.names:
        kinds = np.unique(np.concatenate([found.kinds for found in tiers.values()]))
        names = ", ".join(table.names[kind] for kind in kinds[kinds >= 0].tolist())
        assumptions.insert(
            1,
            f"{formatting.count(files - others)} like those measured, ± {table.spread:.0%} in computing: "
            f"{names}; if all fields were like 47 Tuc, {formatting.usd(max(high.usd, most.usd))}",
        )
    if conditions.work[1] > 1:
        rounds = f"{conditions.work[1] - 1:g}"
        assumptions.append(
            f"stars are planted in up to {rounds} rounds, each of which measures the image again"
        )
    if unknown:
        size = f"{UNKNOWN_SIZE / 1e6:.0f} MB"
        assumptions.append(f"{formatting.count(unknown)} of unknown size: {size} each")
    if not conditions.requester_pays:
        assumptions.append(
            "reads from the archive's bucket stpubdata are free; reads from other buckets are counted"
        )
    usd = (low.usd, high.usd, max(high.usd, most.usd))
    return Estimate(files, low_s, high_s, *usd, busy_s, unknown, assumptions, low, high)


def known_sizes(sizes: ArrayLike) -> Array:
    """Sizes (n,) in bytes, with the assumed one instead of -1."""
    size = np.asarray(sizes, np.float64)
    return np.where(size < 0, UNKNOWN_SIZE, size)


class _Files(NamedTuple):
    """The files of a tier, (n,) each."""

    sizes: Array
    paid: NDArray[np.bool_]
    """Whether we pay for reading them."""
    kinds: NDArray[np.int8]
    """Rows of Speeds.known; -1 for others."""
    events: int
    """Number of their invocations."""


def _by_tier(items: Iterable[Item], conditions: Conditions) -> tuple[dict[str, _Files], int]:
    """The files of each tier, and how many are of unknown size."""
    columns: dict[str, tuple[array[float], bytearray, array[int]]] = {}
    fillings: defaultdict[str, Filling] = defaultdict(lambda: Filling(conditions.batch, conditions.room))
    unknown = 0
    for item in items:
        uri, size = item.uri, item.bytes_read
        if item.tier not in columns:
            columns[item.tier] = array("d"), bytearray(), array("b")
        sizes, paid, kinds = columns[item.tier]
        unknown += size is None
        sizes.append(UNKNOWN_SIZE if size is None else size)
        paid.append(conditions.is_paid(uri))
        kinds.append(conditions.speeds.kind_of(uri, item.size))
        if conditions.batch > 1:
            fillings[item.tier].begins(uri, item.detect)
    return {
        tier: _Files(
            np.frombuffer(sizes),
            np.frombuffer(paid, np.bool_),
            np.frombuffer(kinds, np.int8),
            fillings[tier].events if fillings else len(sizes),
        )
        for tier, (sizes, paid, kinds) in columns.items()
    }, unknown


@dataclass(frozen=True)
class Sums:
    """One end of the range of what some files of a tier take."""

    seconds: float
    """Of warm invocations, repeated attempts included."""
    gets: float
    """Those that we pay for."""
    invocations: float
    files: int
    marks: float
    """Objects that mark doubtful results."""

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
        kinds: NDArray[np.int8] | None = None,
    ) -> "Sums":
        """Of files of `sizes` (n,) bytes of one tier; `paid` (n,) says which of them we pay to read.

        Without `kinds` (n,), they count as of any kind, and at the high end each as doubtful.
        """
        table = conditions.speeds
        attempts = 1 + 2 * table.failing[high]
        seconds = float(conditions.seconds(sizes, conditions.memory_mb[tier], kinds)[high].sum()) * attempts
        # One for each file looks for a cancel of its run.
        gets = (float(table.requests(sizes, kinds)[high][paid].sum()) + len(sizes)) * attempts
        marks = len(sizes) * (high if kinds is None else table.doubtful[high])
        return cls(seconds, gets, invocations, len(sizes), marks)

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.seconds + other.seconds,
            self.gets + other.gets,
            self.invocations + other.invocations,
            self.files + other.files,
            self.marks + other.marks,
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
        puts=files * (1 + len(conditions.outputs)) + sum(sums.marks for sums in tiers.values()),
        lists=_LISTINGS[high] * (1 + files / 1000) if files else 0.0,
        log_gb=log_gb,
        log_gb_months=stored_gb_months(log_gb),
    )
    return charge(usage, conditions.prices, conditions.prices.model(MODEL), conditions.arch)


def _bound(
    tiers: Mapping[str, _Files], conditions: Conditions, *, high: bool, any_kind: bool = False
) -> tuple[Charges, float, float]:
    """One end of the range: charges, elapsed seconds, and seconds of all invocations together."""
    table, concurrency, batch = conditions.speeds, conditions.concurrency, conditions.batch
    sums: dict[str, Sums] = {}
    busy = longest = 0.0
    for tier, (sizes, paid, own_kinds, events) in tiers.items():
        memory, kinds = conditions.memory_mb[tier], None if any_kind else own_kinds
        sums[tier] = Sums.of(sizes, paid, events, conditions, tier, high=high, kinds=kinds)
        busy += sums[tier].seconds_with_starts(memory, conditions, high=high)
        longest_file = float(conditions.seconds(sizes, memory, kinds)[high].max()) * (batch if high else 1)
        longest = max(longest, longest_file + table.start[high] / cpus(memory))
    wall = max(busy / concurrency, longest)
    if high and tiers:
        wall = busy / concurrency + longest * 3 + _WAITS_S + max(0, concurrency - _RAMP) / _RAMP * _RAMP_S
    return charges(sums, conditions, high=high), wall, busy
