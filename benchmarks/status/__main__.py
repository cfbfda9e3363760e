"""How fast `skyfan status` reads a run, in how much memory: plan, receipts, failures, catalogs and marks.

    python benchmarks/status [FILES]
    python benchmarks/status --stale [FILES]

A run is made in a folder, laid out as in the bucket: of every hundred files ninety have their catalog, half
of them with a mark of doubt, two a failure record of Lambda's, the rest is on its way. A bucket adds what S3
takes for a listing, 1,000 keys a request. What is measured is a process of its own.

With --stale, the sources of the results are compared: they are in a stand-in for S3, a hundred of them below
each prefix, and of each hundred two have another ETag than the results name.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from standins.bucket import Bucket, listed, serving

from skyfan.catalogs import freshness
from skyfan.local.worker import max_rss_mb
from skyfan.runs import receipts, run, state
from skyfan.runs import run as runs
from skyfan.storage.place import Place
from skyfan.task import Task
from skyfan_contract import mark_key

RESULTS = "s3://results/runs/{run}/catalogs/{key}.cat.fits"
CHUNK = 20_000
KEY = "stpubdata/hst/public/{0:04}/{1:09}/{1:09}_drz.fits"
DOUBTS = ("NOISE_FALLBACK", "NO_SKY NO_ZEROPOINT", "MASKED", "ASSUMED_GAIN NOISE_FALLBACK")


def make(folder: Path, count: int) -> None:
    """A run of so many files."""
    place, lambdas = Place.at(folder / "results", make=True), folder / "failures"
    runs.begin(place, Task("r"), RESULTS, marks=True)
    keys = [KEY.format(number // 100, number) for number in range(count)]
    uris = [f"s3://{key}" for key in keys]
    run.add_plan(place, "r", run.of_uris(uris, folder / "plan.parquet"))
    now = datetime.now(UTC)
    for start in range(0, count, CHUNK):
        some = uris[start : start + CHUNK]
        columns = {
            "uri": some,
            "request_id": [f"request-{start + number}" for number in range(len(some))],
            "sent": pa.array([now] * len(some), pa.timestamp("ms", "UTC")),
            "function": ["skyfan-SepExtract"] * len(some),
            "batch": pa.array([1] * len(some), pa.int32()),
        }
        path = folder / "results/runs/r/receipts" / f"{start:09}.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(pa.table(columns, receipts.SCHEMA), path)
    records = lambdas / "aws/lambda/async/skyfan-SepExtract" / f"{now:%Y/%m/%d}"
    records.mkdir(parents=True)
    for number, key in enumerate(keys):
        if number % 100 < 90:
            path = folder / f"results/runs/r/catalogs/{key}.cat.fits"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_catalog(number))
            if number % 2:
                mark = folder / "results/runs/r/doubtful" / mark_key(DOUBTS[number // 2 % len(DOUBTS)], key)
                mark.parent.mkdir(parents=True, exist_ok=True)
                mark.touch()
        elif number % 100 < 92:
            record = {
                "timestamp": now.isoformat(),
                "requestContext": {"requestId": f"request-{number}", "condition": "RetriesExhausted"},
                "requestPayload": {"input": f"s3://{key}", "run": "r"},
                "responsePayload": {"errorType": "StorageError", "errorMessage": f"no answer for {key}"},
            }
            (records / f"{now:%Y-%m-%dT%H.%M.%S}-{number}").write_text(json.dumps(record))


def _catalog(number: int) -> bytes:
    """The first cards of a catalog."""
    cards = ("SIMPLE  =                    T", f"SRCVER  = 'etag={number:032x}'")
    return "".join(card.ljust(80) for card in cards).encode()


class Sources(Bucket):
    """The archive's bucket, computed key by key."""

    def list(self, wanted: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        prefix, after = wanted["prefix"], wanted.get("start-after", "")
        first = int(prefix.rstrip("/").rpartition("/")[2]) * 100
        keys = [KEY.partition("/")[2].format(number // 100, number) for number in range(first, first + 100)]
        objects = [(key, _headers(first + at), 1000) for at, key in enumerate(keys) if key > after]
        body = listed(prefix, objects)
        return 200, {"Content-Type": "application/xml", "Content-Length": str(len(body))}, body


def _headers(number: int) -> dict[str, str]:
    """Of an object; two of a hundred were made anew."""
    etag = f"{number + (number % 50 == 7):032x}"
    return {"ETag": f'"{etag}"', "Last-Modified": "Fri, 27 Nov 2026 00:00:00 GMT"}


def compare(folder: Path) -> None:
    """Compares the sources of the run, in this process, and prints what it took."""
    before = max_rss_mb()
    began, busy = time.perf_counter(), time.process_time()
    found = freshness.compare(Place.at(folder / "results"), "r", Place.at(folder / "failures"))
    took, busy = time.perf_counter() - began, time.process_time() - busy
    counts = {name: number for name, number in found.counts.items() if number}
    print(f"{sum(counts.values()):,} results: {counts}, requests {found.requests}")
    print(f"  {took:.1f} s ({busy:.1f} s of CPU), {sum(counts.values()) / took:,.0f} files/s")
    print(f"  peak memory {max_rss_mb():.0f} MB, of which {before:.0f} MB before it began")
    assert set(counts) == {"fresh", "stale"}


def measure(folder: Path) -> None:
    """Reads the run, in this process, and prints what it took."""
    follower = state.Follower(Place.at(folder / "results"), "r", Place.at(folder / "failures"))
    before = max_rss_mb()
    began, busy = time.perf_counter(), time.process_time()
    found = follower.read()
    groups = found.groups()
    first, busy = time.perf_counter() - began, time.process_time() - busy
    again, busy_again = time.perf_counter(), time.process_time()
    follower.read()
    again, busy_again = time.perf_counter() - again, time.process_time() - busy_again
    began, processed = time.perf_counter(), time.process_time()
    doubtful = len(found.doubts() or ())
    doubts, processed = time.perf_counter() - began, time.process_time() - processed
    counts = found.counts
    print(f"{counts['planned']:,} files: {counts['done']:,} done, {counts['failed']:,} failed")
    speed = counts["planned"] / first
    print(f"  first look {first:.2f} s ({busy:.2f} s of CPU), {speed:,.0f} files/s")
    share = busy_again / busy
    print(f"  the next look {again:.2f} s ({busy_again:.2f} s of CPU, {share:.2f} of the first's)")
    print(f"  {doubtful:,} doubtful files in {doubts:.2f} s more ({processed:.2f} s of CPU)")
    print(f"  peak memory {max_rss_mb():.0f} MB, of which {before:.0f} MB before it began")
    assert counts["failed"] == sum(group.count for group in groups)


def main(words: list[str]) -> None:
    if words[:1] == ["--measure"]:
        measure(Path(words[1]))
        return
    if words[:1] == ["--compare"]:
        compare(Path(words[1]))
        return
    is_comparison = words[:1] == ["--stale"]
    words = words[is_comparison:]
    count = int(words[0].replace(",", "")) if words else 100_000
    with tempfile.TemporaryDirectory(prefix="skyfan-") as folder:
        make(Path(folder), count)
        if not is_comparison:
            subprocess.run([sys.executable, __file__, "--measure", folder], check=True)
            return
        with serving(Sources(Path(folder))) as url:
            environment = {**os.environ, "AWS_ENDPOINT_URL": url}
            subprocess.run([sys.executable, __file__, "--compare", folder], check=True, env=environment)


if __name__ == "__main__":
    main(sys.argv[1:])
