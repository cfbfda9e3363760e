"""Event invocations accepted a second, ours and boto3's threaded client's, and memory by the number of files.

    python benchmarks/dispatch                all of it, some ten minutes
    python benchmarks/dispatch --most 10000   a short one

The endpoint is standins.lambda_endpoint, a process of its own: of two cores it has one, the client the other.
Each line of memory is a process of its own too, which sends a plan file and looks up what is done and sent.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

REPO = Path(__file__).parents[2]
sys.path[:0] = [str(REPO / "invoke"), str(REPO / "benchmarks")]

from standins.processes import running  # noqa: E402

FUNCTION = "skyfan-SepExtract"
THREADS = (16, 32, 64, 128, 256)


def uri(at: int) -> str:
    return f"s3://stpubdata/hst/public/ib46/ib4606c6q/ib{at:07}_flt.fits"


def make_plan(path: Path, files: int) -> None:
    import pyarrow as pa

    from skyfan.plans import plan

    table = pa.table({"uri": [uri(at) for at in range(files)]})
    table = table.append_column("size", pa.array([16_000_000] * files, pa.int64()))
    plan.write(path, table.append_column("tier", pa.array(["standard"] * files)), {})


def ours(folder: str, plan_file: str, connections: int) -> None:
    """Sends one plan to the endpoint in the environment; prints rate and memory as JSON."""
    from obstore.store import LocalStore

    from skyfan.aws import dispatch
    from skyfan.aws.remaining import Remaining
    from skyfan.aws.stack import Deployed, Functions
    from skyfan.engine import AwsOptions
    from skyfan.plans import plan
    from skyfan.storage.place import Place
    from skyfan.storage.uris import Results
    from skyfan.task import Task

    # Receipts go to a folder: the bucket is not what is measured here.
    place = Place("s3://results", LocalStore(Path(folder), mkdir=True))
    functions = Functions(dict.fromkeys(("standard", "large"), Deployed(FUNCTION, 1769, 300.0)), 1000, "", ())
    results = Results("runs/bench/catalogs/", ".cat.fits")
    remaining = Remaining(place, "bench", results, plan.read(plan_file), functions)

    def files() -> Iterator[Any]:
        remaining.read()
        yield from remaining

    sent = dispatch.send(place, Task("bench"), files(), AwsOptions(connections=connections))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        1 << 20 if sys.platform == "darwin" else 1024
    )
    print(json.dumps({"files": sent.files, "seconds": sent.seconds, "peak_mb": peak}))


def run_ours(url: str, files: int, connections: int = 256) -> dict[str, float]:
    with TemporaryDirectory() as folder:
        plan_file = Path(folder) / "plan.parquet"
        subprocess.run([sys.executable, __file__, "--plan", str(files), str(plan_file)], check=True)
        state = {"XDG_STATE_HOME": folder, "AWS_ENDPOINT_URL_LAMBDA": url, "AWS_REGION": "us-east-1"}
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        command = [sys.executable, __file__, "--send", f"{folder}/bucket", str(plan_file), str(connections)]
        done = subprocess.run(
            command, env={**os.environ, **state, **keys}, stdout=subprocess.PIPE, text=True, check=True
        )
        told: dict[str, float] = json.loads(done.stdout)
        assert told["files"] == files
        return told


def boto3_rate(url: str, threads: int, calls: int) -> float:
    """Invocations a second of one boto3 client that many threads share."""
    import boto3
    from botocore.config import Config

    client = boto3.client(
        "lambda",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(max_pool_connections=threads),
    )
    numbers, lock = iter(range(calls)), threading.Lock()

    def work() -> None:
        while True:
            with lock:
                at = next(numbers, None)
            if at is None:
                return
            payload = json.dumps({"input": uri(at), "run": "bench"})
            client.invoke(FunctionName=FUNCTION, InvocationType="Event", Payload=payload)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return calls / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--most", type=int, default=1_000_000, help="files of the largest plan")
    parser.add_argument("--calls", type=int, default=4000, help="calls of each of boto3's turns")
    options = parser.parse_args()
    with running("lambda_endpoint") as url:
        rates = {threads: boto3_rate(url, threads, options.calls) for threads in THREADS}
        for threads, rate in rates.items():
            print(f"boto3, {threads:3} threads   {rate:8.0f} accepted/s", flush=True)
        best = max(rates.values())
        runs = [run_ours(url, min(40_000, options.most)) for _ in range(3)]
        rate = max(told["files"] / told["seconds"] for told in runs)
        print(f"ours, one process    {rate:8.0f} accepted/s, {rate / best:.1f} x boto3's best", flush=True)
        for files in (1000, 100_000, 1_000_000):
            if files <= options.most:
                told = run_ours(url, files)
                speed = told["files"] / told["seconds"]
                print(
                    f"{files:9} files   peak {told['peak_mb']:4.0f} MB, {speed:6.0f} accepted/s", flush=True
                )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--plan"]:
        make_plan(Path(sys.argv[3]), int(sys.argv[2]))
    elif sys.argv[1:2] == ["--send"]:
        ours(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()
