"""How SepExtract reads an image from S3, and what that costs: requests, bytes, and time to catalog.

    python benchmarks/bytes [--repeat N] [--latency S] [--rate B] [--json] [NAME ...]

A stand-in for S3 answers each request after 30 ms and sends 78 MB/s in all, what a small environment of
Lambda gets. Each image is handled in one process: from a local disk (compute alone), fetched whole in
parallel (transfer alone), and from the stand-in to the catalog. They take turns, and the ratio, of the last
to the larger of the others, is the median of those within a turn. Sequential is the length of the longest
chain of requests that each began when the one before had ended; waits are requests that began while no other
was under way. Bytes are used if the function reads them.

Whole files come from $SKYFAN_SHARED_DATA (or ../shared/data); the two chips of WFC3/UVIS are tiled from the
WFC3/IR exposure.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "benchmarks"), *(str(ROOT / "functions" / n) for n in ("runtime", "sep_extract"))]

from costs.speeds import tiled  # noqa: E402
from standins.bucket import BYTES_PER_S, LATENCY_S, Request, chain, waits  # noqa: E402

from sep_extract.handler import handler  # noqa: E402
from skyfan_function.s3_object import S3Object  # noqa: E402
from skyfan_function.storage import open_input  # noqa: E402

FLT, DRZ = "ib6o23rsq_flt.fits.gz", "j8bt06nyq_square_drz.fits.gz"
SMALL = ROOT / "tests/data/demo/j8bt06nyq_flt.fits"


def images(shared: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """Kinds of images, and their files in ``folder``."""
    for kind, name in (("WFC3/IR flt", FLT), ("drz", DRZ)):
        path = folder / name.removesuffix(".gz")
        with gzip.open(shared / name) as packed, path.open("wb") as plain:
            shutil.copyfileobj(packed, plain)
        yield kind, path
    yield "WFC3/IR flt, gzipped", Path(shutil.copy(shared / FLT, folder))
    uvis = folder / "uvis_flt.fits"
    tiled(folder / FLT.removesuffix(".gz"), 2, (2051, 4096), uvis)
    yield "WFC3/UVIS flt", uvis


@contextlib.contextmanager
def stand_in(folder: Path, latency: float, rate: float) -> Iterator[str]:
    """Serves ``folder`` from a process of its own; gives the URL."""
    command = [sys.executable, "-m", "standins.bucket", folder, "--latency", latency, "--rate", rate]
    with subprocess.Popen(
        [*map(str, command)], stdout=subprocess.PIPE, text=True, cwd=ROOT / "benchmarks"
    ) as server:
        assert server.stdout
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def requests(url: str) -> list[Request]:
    """What the stand-in was asked for since the last time."""
    with urllib.request.urlopen(f"{url}/requests") as reply:
        return [Request(**request) for request in json.load(reply)]


def used(work: Callable[[], None]) -> int:
    """Bytes of an object that ``work`` reads, each counted once."""
    read, real = [], S3Object.readinto

    def noted(self: S3Object, buffer: Any) -> int:
        start = self.tell()
        count = real(self, buffer)
        read.append((start, start + count))
        return count

    S3Object.readinto = noted  # type: ignore[method-assign]
    try:
        work()
    finally:
        S3Object.readinto = real  # type: ignore[method-assign]
    total = end = 0
    for start, stop in sorted(read):
        total += max(0, stop - max(start, end))
        end = max(end, stop)
    return total


def seconds(work: Callable[[], object]) -> float:
    """On the wall."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(kind: str, path: Path, url: str, repeat: int) -> dict[str, Any]:
    """One row of the table."""
    uri = f"s3://bucket/{path.name}"

    def handle(uri: str) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            handler({"input": uri}, None)

    def fetch() -> None:
        with open_input(uri) as source:
            assert len(source.file.read()) == path.stat().st_size

    handle(uri)
    requests(url)
    bytes_used = used(lambda: handle(uri))
    asked = requests(url)
    turns = []
    for _ in range(repeat):
        compute, transfer = seconds(lambda: handle(path.as_uri())), seconds(fetch)
        whole = seconds(lambda: handle(uri))
        turns.append((compute, transfer, whole, whole / max(compute, transfer)))
    middle = [round(statistics.median(column), 2) for column in zip(*turns, strict=True)]
    return {
        "image": kind,
        "MB": round(path.stat().st_size / 1e6, 1),
        "requests": len(asked),
        "sequential": chain(asked),
        "waits": waits(asked),
        "read/used": round(sum(request.sent for request in asked) / bytes_used, 4),
        "compute s": middle[0],
        "transfer s": middle[1],
        "catalog s": middle[2],
        "ratio": middle[3],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="benchmarks/bytes"
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="part of the kind of an image (default: all)"
    )
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--latency", type=float, default=LATENCY_S, metavar="S", help="seconds per request")
    parser.add_argument("--rate", type=float, default=BYTES_PER_S, metavar="B", help="bytes per second")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    shared = Path(os.environ.get("SKYFAN_SHARED_DATA") or ROOT.parent / "shared/data")
    if not (shared / FLT).exists():
        sys.exit(f"{shared} does not hold {FLT}: SKYFAN_SHARED_DATA names the folder of whole files")
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["SKYFAN_OUTPUT"] = (folder / "out").as_uri() + "/{run}/{key}.cat.fits"
        with stand_in(folder, options.latency, options.rate) as url:
            os.environ["AWS_ENDPOINT_URL_S3"] = url
            for kind, path in images(shared, folder):
                if options.names and not any(word in kind for word in options.names):
                    continue
                rows.append(measure(kind, path, url, options.repeat))
                if not options.json:
                    row = rows[-1]
                    if len(rows) == 1:
                        print("  ".join(f"{key:>20}" if key == "image" else f"{key:>10}" for key in row))
                    print(
                        "  ".join(f"{v:>20}" if k == "image" else f"{v:>10}" for k, v in row.items()),
                        flush=True,
                    )
    if options.json:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
