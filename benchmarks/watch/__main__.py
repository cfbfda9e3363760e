"""What a watch costs: while nothing is announced, per message, and per accepted file.

    python benchmarks/watch [--seconds]

Requests are counted while the Watcher's own code works on one message, or on ten that come together, with a
store in memory. Prices are those of prices.toml. The time of an invocation is assumed (skyfan.watches.costs);
--seconds measures that of the code alone on this machine, without S3's latency.
"""

import argparse
import time
from collections import Counter
from collections.abc import Iterable, Iterator

from skyfan.bill import prices
from skyfan.bill.estimate import Conditions, estimate
from skyfan.plans.plan import LARGE, STANDARD, Item
from skyfan.plans.tiers import MEMORY_MB
from skyfan.watches import costs, queries
from skyfan_watch.definition import Watch
from skyfan_watch.messages import CREATED, ObjectEvent
from skyfan_watch.ports import File, Found, UnreachableError
from skyfan_watch.standing import Standing

SIZE = 16_534_080
"""Bytes of a WFC3/IR exposure."""


class Counting:
    """Store, archive and functions in memory, which count requests to the results bucket."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.requests = Counter[str]()

    def get_tagged(self, key: str) -> tuple[bytes, str] | None:
        self.requests["get"] += 1
        body = self.objects.get(key)
        return None if body is None else (body, str(hash(body)))

    def put_if(self, key: str, body: bytes, etag: str | None) -> str | None:
        self.requests["put"] += 1
        held = self.objects.get(key)
        if (None if held is None else str(hash(held))) != etag:
            return None
        self.objects[key] = body
        return str(hash(body))

    def put(self, key: str, body: bytes) -> None:
        self.requests["put"] += 1
        self.objects[key] = body

    def names(self, prefix: str) -> Iterable[str]:
        self.requests["list"] += 1
        return [key.removeprefix(prefix) for key in self.objects if key.startswith(prefix)]

    def folders(self, prefix: str) -> Iterable[str]:
        self.requests["list"] += 1
        return []

    def look(self, bucket: str, key: str, *, with_header: bool) -> Found | None:
        return Found(SIZE, "etag", {"instrument_name": "WFC3/IR"})

    def send(self, files: list[File]) -> Iterator[tuple[File, str | UnreachableError]]:
        for file in files:
            self.requests["invoke"] += 1
            yield file, "request"


def watch(usd: float = 5.0) -> Watch:
    """HST, WFC3/IR, FLT, on a stack with default memory sizes."""
    return Watch(
        name="new",
        query=queries.of_archive(instrument="WFC3/IR", products="FLT"),
        created="",
        budget=usd,
        functions={STANDARD: "skyfan-SepExtract", LARGE: "skyfan-SepExtractLarge"},
        costs=costs.file_costs(Conditions(MEMORY_MB)),
        limits=costs.standard_limits(MEMORY_MB),
    )


def requests(files: int, product: str = "flt") -> Counter[str]:
    """Requests for one batch of messages about so many files, when the watch has worked before."""
    store = Counting()
    standing = Standing(store, watch(), store, store)

    def events(root: str) -> list[ObjectEvent]:
        keys = [f"hst/public/{root}/{root}{n:05}/{root}{n:05}_{product}.fits" for n in range(files)]
        return [ObjectEvent("stpubdata", key, CREATED, "ObjectCreated:Put") for key in keys]

    standing.handle(events("iaaa"))
    store.requests.clear()
    standing.handle(events("ibbb"))
    # The Watcher lists the watches and reads this one, if it has not in the last minute.
    return store.requests + Counter({"list": 1, "get": 1})


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", action="store_true")
    options = parser.parse_args()
    rates, arch = prices.load(), "x86_64"
    print(f"prices: {rates.source}, {rates.collected}, {rates.region}, without free tier")
    print("while nothing is announced: 0 USD; an empty queue, a subscription and an idle function are free")
    print(f"per message that is not wanted: {costs.skipped_usd(rates, arch) * 1e6:.2f} USD per million")
    print(f"per accepted file, the Watcher: {costs.accepted_usd(rates, arch) * 1e6:.2f} USD per million")
    for number in (1, 10):
        print(f"requests of a batch with {number} accepted: {dict(requests(number))}")
        print(f"requests of a batch with {number} not wanted: {dict(requests(number, 'drz'))}")
    each = watch().cost("s3://stpubdata/x_flt.fits", SIZE) / 1e9
    item = Item("s3://stpubdata/hst/public/ib6o/ib6o23010/ib6o23rsq_flt.fits", SIZE)
    usual = estimate([item] * 1000, Conditions(MEMORY_MB))
    print(f"a WFC3/IR exposure of {SIZE:,} bytes takes {each:.6f} USD of the budget, Watcher included;")
    print(f"  the estimate of skyfan plan is {usual.usd_low / 1000:.6f} to {usual.usd_most / 1000:.6f} USD")
    print(f"  so 5 USD per month are {int(5 // each):,} files")
    if options.seconds:
        began = time.perf_counter()
        for _ in range(100):
            requests(10)
        print(f"code alone: {(time.perf_counter() - began) / 200 * 1000:.1f} ms per batch of 10 accepted")


if __name__ == "__main__":
    main()
