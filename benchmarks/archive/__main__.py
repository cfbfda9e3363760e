"""The whole archive on Lambda, simulated: time and bill of 122,078 WFC3/IR images.

    python benchmarks/archive [--json]

Beside them those of the original article: 1.06 s per image at 1,024 MB, in the same simulation. Events arrive
as fast as one process sends them, environments start by Lambda's documented ramp up to an account's default
limit, and each takes the next event when it is free.

Measured: seconds that an image waits and computes, those of a cold start, bytes of its log line
(benchmarks/memory, in invoke/skyfan/bill/speeds.toml), requests per second accepted (benchmarks/dispatch).
Documented: prices, rounding, INIT, ramp. Assumed: images lie evenly between the direct and the grism exposure
that were measured; Lambda adds no time of its own, and its processors are as fast as the one measured; its
own log lines are of 750 bytes; one image in 20 is marked as doubtful; nothing fails; the
article's cold starts were like ours.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

from skyfan.bill import prices
from skyfan.bill.charges import Usage, charge, stored_gb_months
from skyfan.bill.prices import Prices
from skyfan.bill.speeds import OWN, cpus
from skyfan.plans.plan import STANDARD
from skyfan.plans.tiers import MEMORY_MB

IMAGES, ENVIRONMENTS, RAMP_S = 122_078, 1000, 10.0
"""A function gains ENVIRONMENTS in RAMP_S, the first immediately; an account has so many by default."""
SENT_PER_S = 4700
KIND = "WFC3/IR flt (F140W, G141)"
DOUBTFUL = 0.05
SIZES_MB = (512, 768, 1024, 1769)
TARGET_S, TARGET_USD = 134.0, 1.50
ARTICLE_MB, ARTICLE_S = 1024, 1.06045


def _between(ends: tuple[float, float], share: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * share


@dataclass(frozen=True)
class Work:
    """What images and cold starts take: seconds of waiting, and of computing at one CPU, least and most."""

    waits: tuple[float, float]
    computes: tuple[float, float]
    start: tuple[float, float]
    log_bytes: float
    """Per image, Lambda's own lines included."""

    def durations(self, memory_mb: float) -> Iterator[tuple[float, float]]:
        """Seconds of an image and of a cold start, without end; the same ones in each simulation."""
        rng, share = random.Random(1), cpus(memory_mb)
        while True:
            image, start = rng.random(), rng.random()
            yield (
                _between(self.waits, image) + _between(self.computes, image) / share,
                _between(self.start, start) / share,
            )


def measured() -> Work:
    """Ours, from speeds.toml."""
    table = tomllib.loads(OWN.read_text(encoding="utf-8"))
    (kind,) = (row for row in table["images"] if row["kind"] == KIND)
    each = table["each"]
    lines = sum(each["log_bytes"]) / 2 + sum(each["image_log_bytes"]) / 2
    return Work(tuple(kind["waits"]), tuple(kind["computes"]), tuple(each["start"]), lines)


def article(ours: Work) -> Work:
    """The article's images, which took so long at its memory size, whatever they waited for."""
    return Work((0.0, 0.0), (ARTICLE_S * cpus(ARTICLE_MB),) * 2, ours.start, ours.log_bytes)


@dataclass(frozen=True)
class Run:
    """A simulated run."""

    seconds: float
    """From the first event to the last result."""
    warm_ms: int
    """Of all invocations, as billed without cold starts."""
    start_ms: int
    starts: int


def simulate(work: Work, memory_mb: float, step_ms: int = 1) -> Run:
    """All images on the environments that Lambda starts."""
    free: list[float] = []  # when each environment has ended its image
    began = warm = cold = 0
    last = 0.0
    for number, (image_s, start_s) in zip(range(IMAGES), work.durations(memory_mb), strict=False):
        arrives = number / SENT_PER_S
        allowed = min(ENVIRONMENTS, ENVIRONMENTS * (1 + int(arrives / RAMP_S)))
        bare = math.ceil(image_s * 1000 / step_ms) * step_ms
        if (not free or free[0] > arrives) and began < allowed:
            began += 1
            at, billed = arrives + start_s, math.ceil((image_s + start_s) * 1000)
            cold += max(0, billed - bare)
        else:
            at = max(arrives, heapq.heappop(free))
        warm += bare
        heapq.heappush(free, at + image_s)
        last = max(last, at + image_s)
    return Run(last, warm, cold, began)


def bill(run: Run, work: Work, memory_mb: float, rates: Prices, model: str, arch: str) -> dict[str, float]:
    """USD by part."""
    rule = rates.model(model)
    log_gb = IMAGES * work.log_bytes / 1e9
    start = run.start_ms * memory_mb / 1_024_000 * rule.init
    usage = Usage(
        gb_seconds=run.warm_ms * memory_mb / 1_024_000 + start,
        requests=IMAGES,
        gets=IMAGES,  # looks for a cancel; the archive pays for reading images
        puts=IMAGES * (1 + DOUBTFUL) + run.starts,  # catalogs, marks, and a proof per environment
        lists=2 + IMAGES / 1000,
        log_gb=log_gb,
        log_gb_months=stored_gb_months(log_gb),
    )
    lines = {line.name: line.usd for line in charge(usage, rates, rule, arch).lines}
    compute = lines.pop("compute")
    share = start / usage.gb_seconds
    parts = {"images": compute * (1 - share), "cold starts": compute * share}
    parts["requests"] = lines.get("requests", 0.0)
    parts["S3"] = sum(usd for name, usd in lines.items() if name.startswith("S3"))
    parts["logs"] = sum(usd for name, usd in lines.items() if name.startswith("log"))
    return parts | {"total": sum(parts.values())}


def rows() -> Iterator[dict[str, object]]:
    """A row per combination of work, memory size and rules."""
    rates, ours = prices.load(), measured()
    theirs, usual = article(ours), MEMORY_MB[STANDARD]
    cases = [("the article, rules of 2018", theirs, ARTICLE_MB, "2018", "x86_64")]
    cases += [("the article, rules of today", theirs, ARTICLE_MB, "today", "x86_64")]
    cases += [(f"skyfan, {size} MB", ours, size, "today", "x86_64") for size in sorted({usual, *SIZES_MB})]
    cases += [(f"{usual} MB at arm64's price", ours, usual, "today", "arm64")]
    for name, work, size, model, arch in cases:
        run = simulate(work, size, rates.model(model).granularity_ms)
        yield {"case": name, "seconds": run.seconds, **bill(run, work, size, rates, model, arch)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="benchmarks/archive"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = list(rows())
    if options.json:
        print(json.dumps(found, indent=1))
        return
    print(f"{IMAGES:,} images on {ENVIRONMENTS:,} environments; USD\n")
    print(f"{'':28}" + "".join(f"{key:>12}" for key in list(found[0])[1:]))
    for row in found:
        name, seconds, *usd = row.values()
        print(f"{name:28}{seconds:>12.0f}" + "".join(f"{value:>12.3f}" for value in usd))
    print("\narm64: if it is as fast, which was not measured")
    own = next(row for row in found if row["case"] == f"skyfan, {MEMORY_MB[STANDARD]} MB")
    for what, value, target in (("seconds", own["seconds"], TARGET_S), ("USD", own["total"], TARGET_USD)):
        print(f"target: under {target:g} {what}: {value:.2f}, {float(str(value)) / target:.2f} of it")
    parts = {key: value for key, value in own.items() if key not in ("case", "seconds", "total")}
    largest = max(parts, key=lambda key: float(str(parts[key])))
    print(f"largest part: {largest}, {float(str(parts[largest])) / float(str(own['total'])):.0%}")


if __name__ == "__main__":
    main()
