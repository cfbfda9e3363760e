"""What a file may cost at most, as a table by size: so the Watcher needs neither prices nor the estimate."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from skyfan_watch.definition import OTHER_PRODUCT
from skyfan_watch.ledger import Ledger
from skyfan_watch.standing import ACCEPTED

from .. import formatting
from ..aws.budget import Spending
from ..bill.charges import Usage, charge
from ..bill.estimate import ARCHIVE, Conditions
from ..bill.prices import MODEL, Prices
from ..plans.plan import STANDARD
from ..plans.tiers import LAYOUTS, tier

Table = dict[str, tuple[tuple[float, ...], tuple[float, ...]]]
MEMORY_MB = 256
"""Memory size of the Watcher in template.yaml."""
_FILES = 1000
_LARGEST = 1 << 36
# Of one invocation of the Watcher for one message, cold start included (benchmarks/watch).
_SECONDS, _LOG_BYTES = 2.0, 2000
_COMPRESSIONS = ("", ".gz", ".fz")


def file_costs(conditions: Conditions) -> Table:
    """Sizes in bytes and USD by tier; see skyfan_watch.definition.Watch.cost.

    USD are the upper limit of the estimate of `skyfan plan`, each file with a cold start of its own, and what
    the Watcher itself does for it.
    """
    each = replace(conditions, concurrency=_FILES, batch=1)
    own = accepted_usd(conditions.prices, conditions.arch)
    sizes = sorted({*map(float, conditions.speeds.sizes), *(2.0 ** (n / 4) for n in range(40, 145))})
    return {
        tier: (tuple(sizes), tuple(_usd(each, tier, size) + own for size in sizes))
        for tier in conditions.memory_mb
    }


def _usd(conditions: Conditions, tier: str, size: float) -> float:
    """USD of one of many files of a size, at most."""
    spending = Spending(conditions)
    spending.spend(tier, [f"{ARCHIVE}a"] * _FILES, [int(size)] * _FILES, invocations=_FILES)
    return spending.usd / _FILES


def standard_limits(memory_mb: Mapping[str, int], outputs: Sequence[str] = ()) -> dict[str, int]:
    """Bytes up to which a file is sent to the function of the standard tier, by product and compression."""
    return {
        f"{product}{ending}": _limit(f"x_{product}.fits{ending}", memory_mb, outputs)
        for product in (*LAYOUTS, OTHER_PRODUCT)
        for ending in _COMPRESSIONS
    }


def _limit(name: str, memory_mb: Mapping[str, int], outputs: Sequence[str]) -> int:
    low, high = 0, _LARGEST
    while low < high:
        middle = (low + high + 1) // 2
        is_standard = tier(name, middle, memory_mb, outputs=outputs) == STANDARD
        low, high = (middle, high) if is_standard else (low, middle - 1)
    return low


def accepted_usd(prices: Prices, arch: str) -> float:
    """USD of what the Watcher does for one accepted file that is alone in its batch."""
    return _watcher(prices, arch, puts=5, gets=5)


def skipped_usd(prices: Prices, arch: str) -> float:
    """USD of a message that no watch wants, alone in its batch: the ledger is written."""
    return _watcher(prices, arch, puts=1, gets=3)


def spent(ledger: Ledger, prices: Prices, arch: str) -> str:
    """What the Watcher did for a watch since it was made, and what that cost at most, in words. Its logs name
    no run, so that it stands in no bill. A message that several watches get counts for each.
    """
    accepted = ledger.counts.get(ACCEPTED, 0)
    others = sum(ledger.counts.values()) + sum(ledger.skipped.values()) - accepted
    usd = accepted * accepted_usd(prices, arch) + others * skipped_usd(prices, arch)
    return (
        f"Not in this bill: the Watcher, {formatting.count(accepted + others, 'message')} since the watch "
        f"was made, at most {formatting.usd(usd)} (each alone in its batch)"
    )


def _watcher(prices: Prices, arch: str, *, puts: int, gets: int) -> float:
    usage = Usage(
        gb_seconds=_SECONDS * MEMORY_MB / 1024,
        requests=1,
        puts=puts,
        gets=gets,
        lists=1,
        log_gb=_LOG_BYTES / 1e9,
    )
    # Delivered, received, deleted.
    return charge(usage, prices, prices.model(MODEL), arch).usd + 3 * prices.sqs_request
