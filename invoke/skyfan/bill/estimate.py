"""What a plan will take and cost: a range, with the assumptions behind it."""

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..plans.plan import Item
from . import prices as price_list
from . import speeds
from .charges import Charges, Usage, charge
from .prices import MODEL, Prices
from .speeds import Speeds

Sizes = NDArray[np.float64]
ARCHIVE = "s3://stpubdata/"
_UNKNOWN_SIZE = 1.7e8
# Lambda's waits before the second and the third try.
_WAITS_S = 180.0
# A function gains so many environments every ten seconds, the first at once.
_RAMP, _RAMP_S = 1000, 10.0
_LISTINGS = (2, 20)


@dataclass(frozen=True)
class Estimate:
    """Least and most that a plan is expected to take."""

    files: int
    seconds_low: float
    """From the first invocation to the last catalog."""
    seconds_high: float
    usd_low: float
    usd_high: float
    usd_per_file_high: float
    assumptions: list[str]
    low: Charges
    """The lines that add up to usd_low."""
    high: Charges


def estimate(
    items: Iterable[Item],
    *,
    memory_mb: Mapping[str, int],
    arch: str = "x86_64",
    region: str = price_list.REGION,
    concurrency: int = 1000,
    batch: int = 1,
    history: Speeds | None = None,
    prices: Prices | None = None,
) -> Estimate:
    """What the files of a plan will take on Lambda, at the prices of today. Pure but for the tables it reads.

    `memory_mb` gives the memory size of each tier, `batch` the files of an invocation, `history` what a past
    run took (speeds.past), else speeds.measured(). Raises UsageError for what cannot be.
    """
    if concurrency < 1 or batch < 1:
        raise UsageError("concurrency and batch must be at least 1")
    rates = prices or price_list.load(region=region)
    table = history or speeds.measured()
    tiers, archived, unknown = _by_tier(items)
    if missing := set(tiers) - set(memory_mb):
        raise UsageError(f"no memory size is known of the tier {', '.join(sorted(missing))}")
    sides = [
        _side(tiers, archived, memory_mb, concurrency, batch, table, high=high) for high in (False, True)
    ]
    (usage_low, seconds_low), (usage_high, seconds_high) = sides
    low, high = (charge(usage, rates, rates.model(MODEL), arch) for usage in (usage_low, usage_high))
    files = sum(len(sizes) for sizes in tiers.values())
    sizes_mb = ", ".join(
        f"{memory_mb[tier]} MB for {len(sizes)} {tier} files" for tier, sizes in tiers.items()
    )
    said = [
        f"durations: {table.origin}",
        f"memory: {sizes_mb or 'no file'}; {arch} in {rates.region}; one CPU is {speeds.ONE_CPU_MB} MB",
        f"{concurrency} at once, {batch} files an invocation; sending and time in the queue are not counted",
        f"at most {table.failing[1]:.0%} of the files fail and are tried three times",
        f"prices: {rates.source}, {rates.collected}, without free tier or tax",
    ]
    if unknown:
        said.append(f"{unknown} files of unknown size are taken to have {_UNKNOWN_SIZE / 1e6:.0f} MB")
    said.append("reading the archive's bucket stpubdata costs us nothing; reads from another are counted")
    per_file = high.usd / files if files else 0.0
    return Estimate(files, seconds_low, seconds_high, low.usd, high.usd, per_file, said, low, high)


def _by_tier(items: Iterable[Item]) -> tuple[dict[str, Sizes], dict[str, NDArray[np.bool_]], int]:
    """Sizes by tier, which of them lie in the archive's bucket or on disk, and how many had no size."""
    sizes: dict[str, array[float]] = {}
    free: dict[str, bytearray] = {}
    unknown = 0
    for item in items:
        if item.size is None:
            unknown += 1
        sizes.setdefault(item.tier, array("d")).append(_UNKNOWN_SIZE if item.size is None else item.size)
        ours = item.uri.startswith("s3://") and not item.uri.startswith(ARCHIVE)
        free.setdefault(item.tier, bytearray()).append(not ours)
    return (
        {tier: np.frombuffer(values) for tier, values in sizes.items()},
        {tier: np.frombuffer(flags, np.bool_) for tier, flags in free.items()},
        unknown,
    )


def _side(
    tiers: Mapping[str, Sizes],
    archived: Mapping[str, NDArray[np.bool_]],
    memory_mb: Mapping[str, int],
    concurrency: int,
    batch: int,
    table: Speeds,
    *,
    high: bool,
) -> tuple[Usage, float]:
    """One end of the range: what is used, and seconds on the clock."""
    end = int(high)
    tries = 1 + 2 * table.failing[end]
    gb_seconds = busy = longest = invocations = gets = files = 0.0
    for tier, sizes in tiers.items():
        memory = memory_mb[tier]
        each = table.seconds(sizes, memory)[end]
        count = -(-len(sizes) // batch)
        starts = min(count, concurrency * 2) if high else min(count, concurrency) / 2
        start_s = table.start[end] / speeds.cpus(memory)
        seconds = float(each.sum()) * tries + starts * start_s
        gb_seconds += seconds * memory / 1024
        busy += seconds
        longest = max(longest, float(each.max()) * (batch if high else 1) + start_s)
        invocations += count * tries
        gets += float(table.requests(sizes)[end][~archived[tier]].sum()) * tries
        files += len(sizes)
    log_gb = invocations * table.log_bytes[end] / 1e9
    usage = Usage(
        gb_seconds=gb_seconds,
        requests=invocations,
        gets=gets,
        puts=files,
        lists=_LISTINGS[end] * (1 + files / 1000) if files else 0.0,
        log_gb=log_gb,
        log_gb_months=log_gb,
    )
    wall = max(busy / concurrency, longest)
    if high and files:
        wall = busy / concurrency + longest * 3 + _WAITS_S + max(0, concurrency - _RAMP) / _RAMP * _RAMP_S
    return usage, wall
