"""The same work under other conditions: memory size, architecture, number of files; and advice on memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from .. import formatting
from ..errors import UsageError
from . import costs, speeds
from .charges import Charges, charge
from .costs import NOTHING_UNLOGGED, Unlogged
from .prices import MODEL, Prices
from .records import Floats, Records

SIZES_MB = (512, 1024, 1769, 3008, 5120, 10240)
LEAST_MB, MOST_MB = 128, 10240
MOST_S = 900.0
"""Longest time that Lambda lets an invocation run."""
# The memory size must be this much larger than the memory used, so that somewhat larger images still fit.
_ROOM = 1.25
_ENOUGH = 100
"""Images at one memory size that count as a measurement."""
_ALIKE = 0.02
"""Costs that differ by less than this share are equal."""


@dataclass(frozen=True)
class TimeLimits:
    """Time limits of the functions of a run, below Lambda's own; without any, they are not known."""

    seconds: Mapping[int, float] = field(default_factory=dict)
    """By memory size in MB."""
    source: str = ""
    """Where they are from, to follow "the time limit"."""

    def of(self, memory_mb: float) -> float:
        """Seconds that images at this size may take.

        The limit of its function, else of the one with the next more memory, to which they would be sent,
        else of the largest.
        """
        if not self.seconds:
            return MOST_S
        size = min((size for size in self.seconds if size >= memory_mb), default=max(self.seconds))
        return min(MOST_S, self.seconds[size])

    def named(self, limit: float) -> str:
        """A limit for people."""
        return f"{limit:.0f} s" + (f", the time limit {self.source}" if limit < MOST_S else "")


@dataclass(frozen=True)
class Variation:
    """Other conditions for the same work; None for no change."""

    memory_mb: int | None = None
    arch: str | None = None
    files: int | None = None
    limits: TimeLimits = field(default_factory=TimeLimits)

    def __post_init__(self) -> None:
        if self.memory_mb is not None and not LEAST_MB <= self.memory_mb <= MOST_MB:
            raise UsageError(f"memory is {LEAST_MB} to {MOST_MB} MB, not {self.memory_mb}")
        if self.files is not None and self.files < 1:
            raise UsageError(f"files must be at least 1, not {self.files}")


@dataclass(frozen=True)
class WhatIf:
    """The charges of the same work under other conditions."""

    charges: Charges
    """For all of `files`."""
    files: int
    assumptions: list[str]

    @property
    def usd(self) -> float:
        return self.charges.usd


@dataclass(frozen=True)
class Size:
    """Cost and duration of the images of a tier at one memory size."""

    memory_mb: int
    usd_per_image: float
    seconds: float
    """Median duration of an invocation."""
    measured: int
    """Images of the tier that ran at this size; 0 if duration and cost were computed."""


@dataclass(frozen=True)
class Advice:
    """A recommended memory size for the images of one tier: those that ran at `tier_mb`."""

    tier_mb: int
    memory_mb: int
    """Of the measured sizes the cheapest; of those that cost the same, the fastest."""
    why: str
    sure: str
    """How certain that is, and what to measure where the log cannot tell."""
    sizes: list[Size]


def what_if(
    records: Records,
    prices: Prices,
    variation: Variation,
    *,
    model: str = MODEL,
    arch: str = "x86_64",
    free_tier: bool = False,
    unlogged: Unlogged = NOTHING_UNLOGGED,
) -> WhatIf:
    """The cost of the same work with another memory size, architecture or number of files.

    With another memory size, images keep the time limits of their functions.
    Raises UsageError for an architecture without a price, and for a number of files if the log has none done.
    """
    limits = variation.limits
    assumptions = []
    if variation.memory_mb is not None:
        most_ms = np.array([1000 * limits.of(size) for size in records.memory_mb.tolist()])
        records = scaled(records, variation.memory_mb)
        assumptions.append(
            f"durations scale with the share of a CPU, which is one at {speeds.ONE_CPU_MB} MB; "
            "more memory is no faster, and reading from S3 scales alike"
        )
        over = int((records.used_mb > variation.memory_mb).sum())
        if over:
            number = formatting.count(over, "invocation")
            assumptions.append(f"{number} used more than {variation.memory_mb} MB and would fail")
        if (late := records.duration_ms > most_ms).any():
            times = " or ".join(limits.named(most / 1000) for most in np.unique(most_ms[late]).tolist())
            records = replace(records, duration_ms=np.minimum(records.duration_ms, most_ms))
            longest = np.ceil(records.duration_ms + _start(records))
            records = replace(records, billed_ms=np.fmin(records.billed_ms, longest))
            assumptions.append(
                f"{formatting.count(int(late.sum()), 'invocation')} would take longer than {times}: Lambda "
                "ends them then, billed and without a result"
            )
    if variation.arch not in {None, arch}:
        assumptions.append(f"{variation.arch} is as fast as {arch}: this was not measured")
    bill = costs.bill(records, prices, model=model, arch=variation.arch or arch, unlogged=unlogged)
    rule = prices.model(model)
    files = variation.files or bill.images
    if not bill.images:
        assumptions.append("no file is done: this is the cost of the same invocations")
    factor = files / bill.images if bill.images else 1.0
    if variation.files is not None:
        if not bill.images:
            raise UsageError("this log has no file that is done: there is nothing to scale to another number")
        assumptions.append(
            f"{formatting.count(files)} like the {bill.images:,} here, with the same share of failures and "
            "cold starts"
        )
    used = replace(
        bill.usage, **{name: value * factor for name, value in vars(bill.usage).items() if factor != 1.0}
    )
    charged = charge(used, prices, rule, variation.arch or arch, free_tier=free_tier)
    return WhatIf(charged, files, assumptions)


def scaled(records: Records, memory_mb: int) -> Records:
    """The records at another memory size: durations scale with the share of a CPU."""
    old = np.minimum(1.0, records.memory_mb / speeds.ONE_CPU_MB)
    return _slower(records, memory_mb, np.where(records.memory_mb > 0, old, 1.0) / speeds.cpus(memory_mb))


def _slower(records: Records, memory_mb: int, factor: Floats | float) -> Records:
    """The records at another memory size, with all durations times `factor`, (n,) or one."""
    invoked = records.invoked
    changed = records.memory_mb != memory_mb
    times = {name: getattr(records, name) * factor for name in ("duration_ms", "init_ms")}
    longer = replace(records, **times)
    billed = np.where(changed, np.ceil(np.round(longer.duration_ms + _start(longer), 6)), records.billed_ms)
    return replace(
        longer,
        billed_ms=np.where(invoked, billed, np.nan),
        memory_mb=np.where(invoked, float(memory_mb), records.memory_mb),
    )


def _start(records: Records) -> Floats:
    started: Floats = np.nan_to_num(records.init_ms) + np.nan_to_num(records.billed_restore_ms)
    return started


def advise(
    records: Records,
    prices: Prices,
    *,
    arch: str = "x86_64",
    limits: TimeLimits | None = None,
) -> list[Advice]:
    """The best memory size for the images of each tier, the tier with the most images first.

    Large images go to a function with more memory, so each memory size in the log is a tier of other images.
    Only where the log says that the same images ran at several sizes are these compared: by the images that
    they share, at least _ENOUGH. Sizes at which an image would exceed its time limit are left out. Raises
    UsageError if no invocation succeeded.
    """
    good = records.select(records.invoked & ~records.failed)
    if not len(good):
        raise UsageError("no invocation in this log succeeded: there is nothing to base advice on")
    times = _by_image(good)
    logged, counts = np.unique(good.memory_mb, return_counts=True)
    open_sizes = [int(size) for size in logged[np.argsort(-counts, kind="stable")]]
    found = []
    while open_sizes:
        base = open_sizes.pop(0)
        ratios = {size: ratio for size in open_sizes if (ratio := _ratio(times, base, size)) is not None}
        open_sizes = [size for size in open_sizes if size not in ratios]
        # An image that failed with less memory may be one of this tier.
        tried = records.invoked & (records.memory_mb <= max(base, *ratios, 0))
        needed = float(records.used_mb[tried].max()) * _ROOM
        tier = _Tier(good.select(good.memory_mb == base), base, ratios, prices, arch, limits or TimeLimits())
        found.append(tier.advice(needed))
    return found


def _by_image(good: Records) -> dict[int, dict[int, float]]:
    """Duration in ms by memory size and image; the longest, if an image ran twice."""
    times: dict[int, dict[int, float]] = {}
    images = good.images().tolist()
    for image, size, took in zip(images, good.memory_mb.tolist(), good.duration_ms.tolist(), strict=True):
        if image:
            of_size = times.setdefault(int(size), {})
            of_size[image] = max(took, of_size.get(image, 0.0))
    return times


def _ratio(times: dict[int, dict[int, float]], base: int, size: int) -> tuple[float, int] | None:
    """Total duration at `size` by that at `base` of the images that ran at both, and their number."""
    one, other = times.get(base, {}), times.get(size, {})
    shared = one.keys() & other.keys()
    if len(shared) < _ENOUGH:
        return None
    return sum(other[image] for image in shared) / sum(one[image] for image in shared), len(shared)


@dataclass(frozen=True)
class _Tier:
    """The images that ran at one size, and what is known of them at others."""

    sample: Records
    base: int
    ratios: dict[int, tuple[float, int]]
    """By memory size: duration by that at `base`, and the number of images that tell it."""
    prices: Prices
    arch: str
    limits: TimeLimits

    def advice(self, needed: float) -> Advice:
        """The advice for sizes of at least `needed` MB."""
        rows, late, most_s = [], 0, self.limits.of(self.base)
        for size in sorted({*SIZES_MB, self.base, *self.ratios}):
            if size < needed and size not in (self.base, MOST_MB):
                continue
            moved = _slower(self.sample, size, self._factor(size))
            if size != self.base and float(np.nanmax(moved.duration_ms)) > most_s * 1000:
                late += 1
                continue
            bill = costs.bill(
                replace(moved, log_bytes=0),
                self.prices,
                arch=self.arch,
                unlogged=Unlogged(len(moved)),
            )
            seconds = bill.percentiles["duration_ms"]["median"] / 1000
            rows.append(Size(size, bill.usd / len(moved), seconds, self._measured(size)))
        best = _cheapest([row for row in rows if row.measured])
        why = f"at most {needed / _ROOM:.0f} MB were used, so sizes from {needed:.0f} MB were compared"
        if late:
            why += f", without {late} at which images would take longer than {self.limits.named(most_s)}"
        if not self.limits.seconds:
            why += "; the function's own time limit is not known"
        return Advice(self.base, best.memory_mb, why, self._certainty(best, rows), rows)

    def _measured(self, size: int) -> int:
        return len(self.sample) if size == self.base else self.ratios.get(size, (0.0, 0))[1]

    def _factor(self, size: int) -> float:
        """Duration at `size` by that at the base: measured, or fitted to what was measured.

        Of the duration, a part waits and the rest is computed by a share of a CPU; with one size, all is.
        """
        if size == self.base:
            return 1.0
        if size in self.ratios:
            return self.ratios[size][0]
        shares = self._shares
        slope = 1 / shares[self.base]
        if len(set(shares.values())) > 1:
            values = [1.0, *(ratio for ratio, _ in self.ratios.values())]
            fitted = float(np.polyfit(list(shares.values()), values, 1)[0])
            slope = min(max(fitted, 0.0), slope)
        return 1.0 + slope * (1 / speeds.cpus(size) - shares[self.base])

    @property
    def _shares(self) -> dict[int, float]:
        """By memory size that was measured: what computing takes there, by what it takes with a CPU."""
        return {size: 1 / speeds.cpus(size) for size in (self.base, *self.ratios)}

    def _certainty(self, best: Size, rows: list[Size]) -> str:
        if len(self.sample) < _ENOUGH:
            return (
                f"cannot tell: {formatting.count(len(self.sample), 'image')} ran at {self.base} MB; "
                f"measure {_ENOUGH - len(self.sample)} more at {self.base} MB"
            )
        others = [row for row in rows if not row.measured]
        wanted = _cheapest([best, *others])
        if len(set(self._shares.values())) == 1 and wanted is best:
            # All sizes below a CPU cost the same if nothing waits, and less if something does.
            smaller = [row for row in others if row.memory_mb < best.memory_mb]
            wanted = smaller[-1] if smaller else best
        if wanted is best:
            return (
                f"certain: {len(self.ratios) + 1} sizes were measured with the same images; the others were "
                "computed from these"
                if self.ratios
                else "certain: a smaller size has no room, and more than one CPU is no faster"
            )
        return (
            f"cannot tell: {wanted.memory_mb} MB may be cheaper or faster; measure {_ENOUGH} of these images "
            "with it"
        )


def _cheapest(rows: list[Size]) -> Size:
    """Of the sizes that cost the least, within _ALIKE, the fastest."""
    least = min(row.usd_per_image for row in rows) * (1 + _ALIKE)
    alike = (row for row in rows if row.usd_per_image <= least)
    return min(alike, key=lambda row: (row.seconds, row.memory_mb))
