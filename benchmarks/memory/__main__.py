"""What an image costs at each memory size.

    python benchmarks/memory [--product TEXT] [--memory MB ...] [--repeat N] [--least] [--json]

The handler that `sam build` makes runs in Lambda's stand-in, with the CPU share and the memory of each size,
and reads images over HTTP from a bucket that takes 30 ms per request and sends 78 MB/s. Seconds and
GB-seconds are those of a warm invocation, the median of N; a cold start is INIT, from process start to
imported handler, and what the first invocation takes more. Where an image does not fit, it is refused or
killed; --least finds the smallest size, in steps of 32 MB, in which it is not killed. Below each table are
the figures of invoke/skyfan/bill/speeds.toml: seconds that an image waits and computes, by least squares over
the sizes, as `waits + computes / share of a CPU`. Last, what skyfan estimates for a hundred of each image at
the template's memory, beside the bill of the measured ones; Lambda's own log lines are assumed.

Real files are those of $SKYFAN_SHARED_DATA (or ../shared/data); those of WFC3/UVIS are tiled from them, and
the direct flt is the blt of the same visit with the other planes of the grism flt. Needs Docker and
`make sam`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import containers  # noqa: E402
from products import PRODUCTS, Product  # noqa: E402
from standins.bucket import BYTES_PER_S, LATENCY_S, Bucket, serving  # noqa: E402

from skyfan import template  # noqa: E402
from skyfan.bill import prices, speeds  # noqa: E402
from skyfan.bill.charges import Usage, charge, stored_gb_months  # noqa: E402
from skyfan.bill.estimate import Conditions, estimate  # noqa: E402
from skyfan.plans.plan import LARGE, STANDARD, Item  # noqa: E402
from skyfan.plans.tiers import sending_tier  # noqa: E402

SIZES_MB = (512, 768, 1024, 1769, 3008)
ONE_CPU_MB = speeds.ONE_CPU_MB
FILES = 100
_GATEWAY = """
import socket, struct
route = next(line.split() for line in open("/proc/net/route") if line.split()[1] == "00000000")
print(socket.inet_ntoa(struct.pack("<L", int(route[2], 16))))
"""
# One environment: seconds of INIT and of each invocation; bytes of the last line of the log.
_DRIVE = """
import contextlib, io, json, os, sys, time, types
from sep_extract.handler import handler
began = float(open("/proc/self/stat").read().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")
init = time.clock_gettime(time.CLOCK_BOOTTIME) - began
context = types.SimpleNamespace(
    memory_limit_in_mb=sys.argv[3], aws_request_id="0" * 36, get_remaining_time_in_millis=lambda: 900_000
)
seconds = []
for _ in range(1 + int(sys.argv[2])):
    log, start = io.StringIO(), time.perf_counter()
    with contextlib.redirect_stdout(log):
        result = handler({"input": sys.argv[1], "run": "bench"}, context)
    seconds.append(time.perf_counter() - start)
assert "sources" in result, result
sources = result["sources"]
print(json.dumps({"init": init, "seconds": seconds, "sources": sources, "log": len(log.getvalue())}))
"""


class Sandbox:
    """Lambda's stand-in with what was built, and a bucket on a port of this machine."""

    def __init__(self, built: Path, port: int) -> None:
        self._built, self._port = built, port
        words = ("docker", "run", "--rm", containers.STAND_IN, "python3.13", "-c", _GATEWAY)
        self._host = containers.run(*words, timeout=60).strip()

    def run(
        self,
        file: str,
        memory_mb: int,
        repeat: int,
        *,
        cpus: float | None = None,
        named_mb: int | None = None,
    ) -> dict[str, Any] | None:
        """Seconds of INIT and invocations at a memory size; None if there is too little memory.

        The function refuses what it expects not to fit in the size that it is told, and is killed otherwise.
        """
        environment = {
            **containers.ENVIRONMENT,
            "AWS_ENDPOINT_URL_S3": f"http://{self._host}:{self._port}",
            "SKYFAN_OUTPUT": "s3://results/runs/{run}/catalogs/{key}.cat.fits",
            "SKYFAN_DOUBTFUL": "s3://results/runs/{run}/doubtful/{key}",
            "PYTHONPATH": "/opt/python:/var/task",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command: list[object] = ["docker", "run", "--rm", "--cpus", f"{cpus or memory_mb / ONE_CPU_MB:.3f}"]
        command += ["--memory", f"{memory_mb}m", "--memory-swap", f"{memory_mb}m"]
        for folder, name in (("AstroLayer/python", "/opt/python"), ("SepExtract", "/var/task")):
            command += ["-v", f"{self._built / folder}:{name}:ro"]
        for key, value in environment.items():
            command += ["-e", f"{key}={value}"]
        drive = ("python3.13", "-c", _DRIVE, f"s3://stpubdata/{file}", repeat, named_mb or memory_mb)
        try:
            result = containers.run(*command, containers.STAND_IN, *drive, timeout=900)
        except RuntimeError as error:
            if "Traceback" in str(error) and "ImageTooLargeError" not in str(error):
                raise
            return None
        found: dict[str, Any] = json.loads(result)
        return found


def least_mb(sandbox: Sandbox, file: str) -> int:
    """The smallest memory size, in steps of 32 MB, at which two invocations are not killed."""
    low, high = 2, 3008 // 32
    while low < high:
        middle = (low + high) // 2
        if sandbox.run(file, 32 * middle, 1, cpus=2.0, named_mb=10240):
            high = middle
        else:
            low = middle + 1
    return 32 * low


def measure(
    sandbox: Sandbox, bucket: Bucket, product: Product, sizes: list[int], repeat: int
) -> dict[str, Any]:
    """One kind of image at all sizes, with its requests and bytes."""
    path = product.make(bucket.folder)
    size = path.stat().st_size
    repeat = repeat if size < 5e7 else 1
    row: dict[str, Any] = {
        "product": product.name,
        "file": product.file,
        "bytes": size,
        "sizes": {},
        "least_mb": None,
    }
    for memory_mb in sizes:
        bucket.requests.clear()
        row["sizes"][memory_mb] = sandbox.run(path.name, memory_mb, repeat)
        if row["sizes"][memory_mb]:
            each = 1 + repeat
            asked = Counter(request.method for request in bucket.requests)
            row["gets"] = (asked["GET"] + asked["HEAD"]) / each
            row["puts"] = (asked["PUT"] - 1) / each  # one is the probe
            row["read"] = sum(request.sent for request in bucket.requests) / each / size
    return row


def fitted(shares: list[float], seconds: list[float]) -> tuple[float, float]:
    """Seconds that wait and that compute at one CPU, neither negative."""
    slowness = 1 / np.minimum(1.0, shares)
    if len(set(slowness)) == 1:
        return 0.0, float(np.mean(seconds))
    computes, waits = np.polyfit(slowness, seconds, 1)
    return max(0.0, float(waits)), float(computes if waits > 0 else np.mean(np.array(seconds) / slowness))


def show(row: dict[str, Any]) -> None:
    good = {size: found for size, found in row["sizes"].items() if found}
    one = next(iter(good.values()))
    least = f"; fits in {row['least_mb']} MB" if row["least_mb"] else ""
    print(f"\n{row['product']}: {row['bytes'] / 1e6:.1f} MB, {one['sources']} sources{least}")
    print(f"{row['gets']:.0f} requests, {row['read']:.0%} read, {row['puts']:.1f} objects written, ", end="")
    print(f"{one['log']} bytes of log")
    print(f"{'memory':>8} {'CPU':>5} {'warm':>8} {'GB-s':>8} {'INIT':>6} {'first':>7} {'start GB-s':>11}")
    warm_s, start_s = [], []
    for size, found in row["sizes"].items():
        if not found:
            print(f"{size:>8} {size / ONE_CPU_MB:>5.2f}  does not fit")
            continue
        first, *others = found["seconds"]
        warm_s.append(statistics.median(others))
        start_s.append(found["init"] + max(0.0, first - warm_s[-1]))
        warm_gb, start_gb = (seconds * size / 1024 for seconds in (warm_s[-1], start_s[-1]))
        print(
            f"{size:>8} {size / ONE_CPU_MB:>5.2f} {warm_s[-1]:>8.3f} {warm_gb:>8.3f} {found['init']:>6.2f} "
            f"{first:>7.2f} {start_gb:>11.3f}"
        )
    shares = [size / ONE_CPU_MB for size in good]
    waits, computes = fitted(shares, warm_s)
    off = max(abs((waits + computes / min(1.0, s)) / w - 1) for s, w in zip(shares, warm_s, strict=True))
    print(
        f"waits {waits:.3f} s, computes {computes:.3f} s at one CPU, within {off:.0%}; a start waits and ",
        end="",
    )
    print("computes {:.2f} and {:.2f} s".format(*fitted(shares, start_s)), flush=True)


def compare(rows: list[dict[str, Any]]) -> None:
    """Prints the estimate for FILES of each image beside their bill, and their sums."""
    registry, rates = template.read(ROOT / "template.yaml"), prices.load()
    names = {STANDARD: "SepExtract", LARGE: "SepExtractLarge"}
    memory_mb = {tier: registry.function(name).memory_mb for tier, name in names.items()}
    own_lines = sum(speeds.measured().log_bytes) / 2
    items, total = [], 0.0
    print(f"\n{f'USD for {FILES} images':>26} {'low':>9} {'high':>9} {'measured':>9} {'middle by it':>13}")
    for row in rows:
        uri = f"s3://stpubdata/{row['file']}"
        tier = sending_tier(Item(uri, row["bytes"]), memory_mb)
        if not (found := row["sizes"].get(memory_mb[tier])):
            continue
        first, *others = found["seconds"]
        billed = found["init"] + first + (FILES - 1) * statistics.median(others)
        log_gb = FILES * (found["log"] + own_lines) / 1e9
        usage = Usage(
            gb_seconds=billed * memory_mb[tier] / 1024,
            requests=FILES,
            gets=FILES,
            puts=FILES * row["puts"],
            log_gb=log_gb,
            log_gb_months=stored_gb_months(log_gb),
        )
        usd = charge(usage, rates, rates.model(prices.MODEL)).usd
        items += (own := [Item(uri, row["bytes"], tier)] * FILES)
        total += usd
        _line(row["product"], own, memory_mb, usd)
    if items:
        _line("all", items, memory_mb, total)


def _line(name: str, items: list[Item], memory_mb: dict[str, int], usd: float) -> None:
    made = estimate(items, Conditions(memory_mb, concurrency=1))
    middle = (made.usd_low * made.usd_high) ** 0.5
    print(f"{name:>26} {made.usd_low:>9.5f} {made.usd_high:>9.5f} {usd:>9.5f} {middle / usd:>13.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="benchmarks/memory"
    )
    parser.add_argument("--product", default="", help="only those whose name contains this")
    parser.add_argument("--memory", type=int, nargs="*", default=SIZES_MB, help="memory sizes in MB")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--built", type=Path, help="a folder that sam build made; else it is made")
    parser.add_argument("--least", action="store_true", help="find the smallest size that an image fits in")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if reason := containers.missing():
        sys.exit(reason)
    containers.make_stand_in()
    rows = []
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        bucket = Bucket(Path(name), LATENCY_S, BYTES_PER_S)
        built = options.built or containers.build(Path(name) / "build")
        server = stack.enter_context(serving(bucket, "0.0.0.0"))
        sandbox = Sandbox(built, urlsplit(server).port or 0)
        for product in PRODUCTS:
            if options.product in product.name and not product.missing:
                row = measure(sandbox, bucket, product, list(options.memory), options.repeat)
                if options.least:
                    row["least_mb"] = least_mb(sandbox, product.file)
                (bucket.folder / product.file).unlink()
                rows.append(row)
                if not options.json:
                    show(row)
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        compare(rows)


if __name__ == "__main__":
    main()
