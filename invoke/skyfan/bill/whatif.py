"""The same work elsewhere: another memory size, architecture or number of files; and which size to use."""

from dataclasses import dataclass, replace

import numpy as np

from ..errors import UsageError
from . import costs, figures, speeds
from .charges import TMP_FREE_MB, Charges, charge
from .costs import NOTHING_BESIDE, Beside
from .prices import MODEL, Prices
from .records import Records

SIZES_MB = (512, 1024, 1769, 3008, 5120, 10240)
LEAST_MB, MOST_MB = 128, 10240
# A memory size must leave so much room above what was used: an image that is larger by this still fits.
_ROOM = 1.25
_ENOUGH = 100
"""Invocations at one size whose durations count as measured."""


@dataclass(frozen=True)
class Elsewhere:
    """What is to be different; None leaves it as it was."""

    memory_mb: int | None = None
    arch: str | None = None
    files: int | None = None

    def __post_init__(self) -> None:
        if self.memory_mb is not None and not LEAST_MB <= self.memory_mb <= MOST_MB:
            raise UsageError(f"memory is {LEAST_MB} to {MOST_MB} MB, not {self.memory_mb}")
        if self.files is not None and self.files < 1:
            raise UsageError(f"files must be at least 1, not {self.files}")


@dataclass(frozen=True)
class WhatIf:
    """The bill of the same work elsewhere, and what was assumed."""

    charges: Charges
    """For all files asked for."""
    files: int
    assumptions: list[str]

    @property
    def usd(self) -> float:
        return self.charges.usd


@dataclass(frozen=True)
class Size:
    """One memory size: what a file costs and takes there."""

    memory_mb: int
    usd_per_image: float
    seconds: float
    """Median duration of an invocation."""
    measured: int
    """Invocations in the log at this size; 0 where the speed curve stands for them."""


@dataclass(frozen=True)
class Advice:
    """The memory size to use."""

    memory_mb: int
    why: str
    sure: str
    sizes: list[Size]


def what_if(
    records: Records,
    prices: Prices,
    elsewhere: Elsewhere,
    *,
    model: str = MODEL,
    arch: str = "x86_64",
    free_tier: bool = False,
    beside: Beside = NOTHING_BESIDE,
) -> WhatIf:
    """What the same work would have cost with another memory size, architecture or number of files."""
    said = []
    if elsewhere.memory_mb is not None:
        records = at(records, elsewhere.memory_mb)
        said.append(
            f"durations in proportion to the share of a CPU, which {speeds.ONE_CPU_MB} MB give whole; "
            "more memory is no faster, and reading from S3 is taken to scale alike"
        )
        over = int((records.used_mb > elsewhere.memory_mb).sum())
        if over:
            said.append(f"{over} invocations used more than {elsewhere.memory_mb} MB and would fail")
    if elsewhere.arch not in {None, arch}:
        said.append(f"{elsewhere.arch} is taken to be as fast as {arch}: that was not measured")
    made = costs.bill(records, prices, model=model, arch=elsewhere.arch or arch, beside=beside)
    rule = prices.model(model)
    files = elsewhere.files or made.images
    times = files / made.images if made.images else 0.0
    if elsewhere.files is not None:
        if not made.images:
            raise UsageError("no file was done in this log: there is nothing to scale to another number")
        said.append(f"{files} files like the {made.images} here, failures and cold starts in the same share")
    used = replace(
        made.usage, **{name: value * times for name, value in vars(made.usage).items() if times != 1.0}
    )
    charged = charge(used, prices, rule, elsewhere.arch or arch, free_tier=free_tier)
    return WhatIf(charged, files, said)


def at(records: Records, memory_mb: int) -> Records:
    """The records as they might have been at another memory size: durations by the share of a CPU."""
    old = np.minimum(1.0, records.memory_mb / speeds.ONE_CPU_MB)
    slower = np.where(records.memory_mb > 0, old, 1.0) / speeds.cpus(memory_mb)
    invoked = records.invoked
    moved = records.memory_mb != memory_mb
    scaled = {name: getattr(records, name) * slower for name in ("duration_ms", "init_ms")}
    started = np.nan_to_num(scaled["init_ms"]) + np.nan_to_num(records.billed_restore_ms)
    billed = np.where(moved, np.ceil(np.round(scaled["duration_ms"] + started, 6)), records.billed_ms)
    return replace(
        records,
        **scaled,
        billed_ms=np.where(invoked, billed, np.nan),
        memory_mb=np.where(invoked, float(memory_mb), records.memory_mb),
    )


def advise(records: Records, prices: Prices, *, arch: str = "x86_64", tmp_mb: int = TMP_FREE_MB) -> Advice:
    """The memory size that is cheapest, and the faster one where two cost the same within 2 %.

    Durations are those of the log at sizes where it has at least 100 good invocations; elsewhere they are put
    along the speed curve from the size with the most. Raises UsageError where the log has no good invocation.
    """
    good = records.only(records.invoked & ~figures.failed(records))
    if not len(good):
        raise UsageError("no invocation in this log came to a good end: there is nothing to go by")
    there, counts = np.unique(good.memory_mb.astype(int), return_counts=True)
    often = {int(size): int(count) for size, count in zip(there, counts, strict=True)}
    most = max(often, key=lambda size: (often[size], size))
    used = float(records.used_mb[records.invoked].max())
    needed = used * _ROOM
    rows = []
    for size in sorted({*SIZES_MB, *often}):
        if size < needed and size != MOST_MB:
            continue
        measured = often.get(size, 0) if often.get(size, 0) >= _ENOUGH or size == most else 0
        sample = good.only(good.memory_mb == (size if measured else most))
        moved = replace(at(sample, size), log_bytes=0)
        made = costs.bill(moved, prices, arch=arch, beside=Beside(len(sample), tmp_mb=tmp_mb))
        each = made.usd / len(sample)
        rows.append(Size(size, each, made.percentiles["duration_ms"]["median"] / 1000, measured))
    cheapest = min(row.usd_per_image for row in rows)
    best = min((row for row in rows if row.usd_per_image <= cheapest * 1.02), key=lambda row: row.seconds)
    why = f"{used:.0f} MB were used at most; of sizes with a quarter more, the cheapest, the faster of equals"
    return Advice(best.memory_mb, why, _sure(best, rows, often), rows)


def _sure(best: Size, rows: list[Size], often: dict[int, int]) -> str:
    sizes = sum(1 for row in rows if row.measured >= _ENOUGH)
    if sizes > 1 and best.measured >= _ENOUGH:
        return f"sure: {sizes} sizes were measured, this one in {best.measured} invocations"
    if sum(often.values()) < _ENOUGH:
        return f"a guess: the log has only {sum(often.values())} good invocations"
    if best.measured:
        return "fairly sure: this size was measured, the others follow from the share of a CPU"
    return "not sure: this size follows from the share of a CPU; run some files with it and ask again"
