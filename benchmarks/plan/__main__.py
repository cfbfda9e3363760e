"""Planning a large query: skyfan plan against astroquery's get_cloud_uris, on the same archive.

    python benchmarks/plan [--files 122078] [--latency 0.05] [--sample 200] [--product DRZ] [--json]

The archive is benchmarks/standins/mast.py in a process of its own; it holds each answer back by the latency.
astroquery is timed in the same run, on a sample; its time for all is extrapolated linearly.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MAST = "https://mast.stsci.edu"


@contextmanager
def archive(files: int, latency: float) -> Iterator[str]:
    """The stand-in's URL."""
    words = [sys.executable, "-m", "standins.mast", "--observations", str(files), "--latency", str(latency)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "benchmarks")}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def ours(url: str, folder: Path, product: str) -> dict[str, Any]:
    """Time, peak memory and requests of a plan with an empty cache, then of the same plan once more."""
    environment = os.environ | {
        "PYTHONPATH": f"{ROOT / 'invoke'}{os.pathsep}{ROOT / 'functions/runtime'}",
        "SKYFAN_MAST": url,
        "AWS_ENDPOINT_URL_S3": url,
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    start = [sys.executable, "-c", "from skyfan.cli import main; main(prog_name='skyfan')"]
    words = [
        "plan",
        "--instrument",
        "WFC3/IR",
        "--product",
        product,
        "--yes",
        "--json",
        "--to",
        "plan.parquet",
    ]
    seconds, documents = [], []
    for _ in range(2):
        began = time.perf_counter()
        done = subprocess.run(
            [*start, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        seconds.append(time.perf_counter() - began)
        if done.returncode:
            sys.exit(done.stderr)
        documents.append(json.loads(done.stdout))
    with urllib.request.urlopen(f"{url}/counts") as answer:
        counts = json.load(answer)
    return {
        "files": documents[0]["files"],
        "seconds": seconds[0],
        "seconds again, from the cache": seconds[1],
        "peak MB": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
        "requests": counts["counts"],
        "at once": counts["most_at_once"],
    }


def theirs(url: str, plan: Path, sample: int, files: int) -> dict[str, Any]:
    """Seconds of get_cloud_uris on the first `sample` files of the plan, and what all of them would take."""
    os.environ["AWS_ENDPOINT_URL_S3"] = url
    import pyarrow.parquet as pq
    from astroquery.mast import ObservationsClass, utils

    request = utils._simple_request

    def redirected(address: str, params: Any = None) -> Any:
        return request(address.replace(MAST, url), params)

    # The address of path_lookup is written into astroquery's code.
    utils._simple_request = redirected
    uris = pq.read_table(plan, columns=["dataURI"])["dataURI"].to_pylist()[:sample]
    mast = ObservationsClass()
    mast.enable_cloud_dataset(verbose=False)
    began = time.perf_counter()
    found = mast.get_cloud_uris(uris, verbose=False)
    seconds = time.perf_counter() - began
    return {
        "sample": len(found),
        "seconds": seconds,
        "seconds for all, extrapolated": seconds / len(uris) * files,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks/plan", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=122_078, help="observations in the archive")
    parser.add_argument("--latency", type=float, default=0.05, help="seconds a request")
    parser.add_argument("--sample", type=int, default=200, help="files that astroquery is asked for")
    parser.add_argument("--product", default="DRZ")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    words = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        archive(words.files, words.latency) as url,
    ):
        folder = Path(name)
        plan = ours(url, folder, words.product)
        astroquery = theirs(url, folder / "plan.parquet", words.sample, plan["files"])
    if words.json:
        print(json.dumps({"skyfan": plan, "astroquery": astroquery}, indent=1))
        return
    whole = astroquery["seconds for all, extrapolated"]
    print(
        f"skyfan plan: {plan['files']:,} files in {plan['seconds']:.0f} s, at most {plan['peak MB']:.0f} MB"
    )
    print(f"    requests {plan['requests']}, most at once {plan['at once']}")
    print(f"    the same plan again, from the cache: {plan['seconds again, from the cache']:.0f} s")
    print(f"astroquery's get_cloud_uris: {astroquery['sample']} files in {astroquery['seconds']:.1f} s,")
    print(
        f"    so {whole / 3600:.1f} hours for all, {whole / plan['seconds']:.0f} times as long (extrapolated)"
    )


if __name__ == "__main__":
    main()
