"""Cold starts in Lambda's stand-in, ours beside the naive: benchmarks/cold_start [FILE] [--repeat N] [--json]

From the start of a fresh Python 3.13 process to the catalog of its first image in S3: interpreter, imports,
the image from an S3 server, background, sources, Kron and aperture photometry, sky coordinates, and a FITS
table back to S3. Ours is what `sam build` makes, with all that its handler does besides: errors with noise
shared by pixels, windowed positions, classes, DQ, marks of doubt, provenance. The naive one is naive.py:
astropy.io.fits, Table, WCS, sep and boto3, from packages as pip installs them, compiled.

Lambda gives a new environment a full CPU until the handler is imported, for up to 10 s, and only then the
share that its memory pays for. So each size is measured twice: imported with a full CPU, the quota of the
container lowered before the event; and with the share from the start, as if there were no such gift.
The contenders take turns in one container; ratios are medians of those within a turn. There is none where
the numbers of sources differ by more than 10 %.

Then what imports alone take, with a full CPU, and where ours spends it. "with astropy.wcs" is what a header
costs that is not plain: other projections than TAN, lookup tables, frames that are not ICRS.

FILE is by default the WFC3/IR image of 1 megapixel of $SKYFAN_SHARED_DATA (or ../shared/data), or a cut-out
of the demo. Needs Docker and `make sam`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import containers  # noqa: E402
from standins import aws  # noqa: E402

HERE = Path(__file__).parent
SHARED = Path(os.environ.get("SKYFAN_SHARED_DATA") or ROOT.parent / "shared/data")
IMAGES = (SHARED / "ib6o23rtq_sci1_blt.fits.gz", ROOT / "tests/data/demo/abell2744_f105w_drz.fits")
# Megabytes of memory, and the CPUs that they buy: one for 1,769 MB.
SHARES = {size: round(size / 1769, 2) for size in (512, 1024, 1769, 3008)}
FULL = 1.0
OURS = "from sep_extract.handler import handler"
PATHS = {"naive": "/compiled", "ours": "/opt/python:/var/task"}
CATALOGS = {"naive": "from naive import handler", "ours": OURS}
# name: PYTHONPATH in the container, code
IMPORTS = {
    "naive, not compiled": ("/naive", CATALOGS["naive"]),
    "naive": (PATHS["naive"], CATALOGS["naive"]),
    "ours": (PATHS["ours"], OURS),
    "ours, with astropy.wcs": (PATHS["ours"], OURS + "; import astropy.wcs"),
}
# As the template sets them.
PLACES = {
    "OUTPUT": "catalogs/{key}.cat.fits",
    "FAILURES": "failures/{key}.json",
    "DOUBTFUL": "doubtful/{key}",
}
_CONTRAST = 0.0005
_MOST_OTHER = 0.1


def naive_packages(folder: Path) -> None:
    """The packages as pip installs them, in the versions of our locks, and a second time compiled."""
    pins = {}
    for lock in (ROOT / "layers/astro/requirements.txt", ROOT / "requirements/dev.txt"):
        for line in lock.read_text().splitlines():
            if "==" in line and not line.startswith(("#", " ")):
                name, version = line.split(";")[0].split("\\")[0].strip().split("==")
                pins.setdefault(name, version)
    wanted = [f"{name}=={pins[name]}" for name in ("numpy", "astropy", "sep", "boto3")]
    platforms = [
        w
        for p in ("manylinux2014", "manylinux_2_17", "manylinux_2_28")
        for w in ("--platform", f"{p}_x86_64")
    ]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--only-binary", ":all:"]
    command += ["--python-version", "3.13", *platforms, "--target", str(folder / "naive"), *wanted]
    subprocess.run(command, check=True)
    shutil.copy(HERE / "naive.py", folder / "naive")
    shutil.copytree(folder / "naive", folder / "compiled")
    with Container(folder, 2.0, mode="rw") as container:
        container.run("-m", "compileall", "-q", "/compiled")


class Container:
    """The stand-in with the artifacts where Lambda has them, and a share of the CPUs that can be changed."""

    def __init__(self, folder: Path, cpus: float, *, s3: str = "", mode: str = "ro") -> None:
        self._name = f"skyfan-cold-start-{os.getpid()}"
        built = folder / "build"
        mounts = {
            folder / "naive": "/naive",
            folder / "compiled": "/compiled",
            built / "AstroLayer" / "python": "/opt/python",
            built / "SepExtract": "/var/task",
            HERE: "/benchmark",
        }
        command: list[object] = ["docker", "run", "--rm", "--detach", "--name", self._name, "--cpus", cpus]
        for there, here in mounts.items():
            command += ["-v", f"{there}:{here}:{mode}"]
        settings = containers.ENVIRONMENT | {"PYTHONDONTWRITEBYTECODE": "1", "AWS_ENDPOINT_URL_S3": s3}
        settings |= {f"SKYFAN_{name}": f"s3://results/runs/{{run}}/{place}" for name, place in PLACES.items()}
        for key, value in settings.items():
            command += ["-e", f"{key}={value}"]
        self._command = [*command, "--entrypoint", "sleep", containers.STAND_IN, "86400"]
        self._cpus = cpus

    def __enter__(self) -> Self:
        containers.run(*self._command, timeout=60)
        return self

    def __exit__(self, *_: object) -> None:
        containers.run("docker", "kill", self._name, timeout=60)

    def limit(self, cpus: float) -> None:
        """Change its share of the CPUs."""
        if cpus != self._cpus:
            containers.run("docker", "update", "--cpus", cpus, self._name, timeout=60)
            self._cpus = cpus

    def run(self, *words: str) -> str:
        """Run Python in it."""
        return containers.run("docker", "exec", self._name, "python3.13", *words, timeout=600)

    @contextmanager
    def starter(self) -> Iterator[subprocess.Popen[str]]:
        """Run starter.py in it."""
        command = ["docker", "exec", "-i", self._name, "python3.13", "/benchmark/starter.py"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            yield process


def step(starter: subprocess.Popen[str], word: dict[str, Any]) -> dict[str, Any]:
    """One step of starter.py."""
    assert starter.stdin
    assert starter.stdout
    starter.stdin.write(json.dumps(word) + "\n")
    starter.stdin.flush()
    answer: dict[str, Any] = json.loads(starter.stdout.readline())
    return answer


def catalogs(container: Container, image: str, before: float, after: float, repeat: int) -> dict[str, Any]:
    """Medians of seconds to the handler and from event to catalog, and of the ratios of their sums."""
    turns = []
    with container.starter() as starter:
        for turn in range(repeat + 1):
            times = {}
            for name, code in CATALOGS.items():
                event = {"input": f"s3://archive/{image}"}
                event |= {"contrast": _CONTRAST} if name == "naive" else {"run": "cold", "access": "signed"}
                container.limit(before)
                ready = step(starter, {"path": PATHS[name], "code": code, "event": event})
                container.limit(after)
                done = step(starter, {})
                times[name] = (ready, done)
            turns += [times] if turn else []
    rows: dict[str, Any] = {
        name: {
            "handler": statistics.median(t[name][0]["seconds"] for t in turns),
            "catalog": statistics.median(t[name][1]["seconds"] for t in turns),
            "sources": turns[0][name][1]["sources"],
        }
        for name in CATALOGS
    }
    counts = [row["sources"] for row in rows.values()]
    same = max(counts) - min(counts) <= _MOST_OTHER * max(counts)
    for what, clock in (("ratio", "seconds"), ("cpu ratio", "cpu")):
        ratios = [sum(p[clock] for p in t["ours"]) / sum(p[clock] for p in t["naive"]) for t in turns]
        rows[what] = statistics.median(ratios) if same else None
    return rows


def imports(container: Container, repeat: int) -> dict[str, dict[str, float]]:
    """Seconds to the imported handler with a full CPU, and ratios to the naive ones."""
    container.limit(FULL)
    with container.starter() as starter:
        turns = [
            {
                name: step(starter, {"path": path, "code": code, "event": None})["seconds"]
                for name, (path, code) in IMPORTS.items()
            }
            for _ in range(repeat + 1)
        ]
    return {
        name: {
            "seconds": statistics.median(t[name] for t in turns[1:]),
            "of naive": statistics.median(t[name] / t["naive"] for t in turns[1:]),
            "of naive, not compiled": statistics.median(
                t[name] / t["naive, not compiled"] for t in turns[1:]
            ),
        }
        for name in IMPORTS
    }


def where_it_goes(container: Container) -> dict[str, float]:
    """Milliseconds of our imports that each package's own modules take (python -X importtime)."""
    code = (
        "import os, subprocess, sys; "
        "p = subprocess.run([sys.executable, '-X', 'importtime', '-c', sys.argv[1]], "
        "env={**os.environ, 'PYTHONPATH': sys.argv[2]}, capture_output=True, text=True, check=True); "
        "print(p.stderr)"
    )
    spent: dict[str, float] = {}
    for line in container.run("-c", code, OURS, PATHS["ours"]).splitlines():
        parts = line.removeprefix("import time:").split("|")
        if len(parts) == 3 and parts[0].strip().isdigit():
            name = parts[2].strip().split(".")
            package = ".".join(name[:2]) if name[0] == "astropy" else name[0]
            spent[package] = spent.get(package, 0.0) + int(parts[0]) / 1000
    return dict(sorted(spent.items(), key=lambda item: -item[1])[:12])


@contextmanager
def served(path: Path) -> Iterator[str]:
    """An S3 server with the image, and its URL for containers."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with aws.s3_for_containers() as client:
        body = path.read_bytes()
        client.put_object(
            Bucket="archive",
            Key=path.name.removesuffix(".gz"),
            Body=gzip.decompress(body) if path.suffix == ".gz" else body,
        )
        yield client.meta.endpoint_url.replace("127.0.0.1", containers.gateway())


def show(results: dict[str, Any]) -> None:
    """Print the tables."""
    print("From process to catalog: seconds until the handler is imported, and from there; ours of naive\n")
    print("   MB  CPUs   naive: import  image   ours: import  image   ratio   of CPU time")
    for model, rows in results["catalogs"].items():
        print(f"imported with {model}")
        for size, row in rows.items():
            times = [row[name][what] for name in CATALOGS for what in ("handler", "catalog")]
            columns = "".join(f"{t:{w}.2f}" for t, w in zip(times, (16, 7, 15, 7), strict=True))
            same = row["ratio"] is not None
            ratios = f"{row['ratio']:8.2f}{row['cpu ratio']:14.2f}" if same else "  other numbers of sources"
            print(f"{size:>5} {SHARES[size]:5.2f}{columns}{ratios}")
    print("\nimports, 1 CPU          seconds   of naive   of naive, not compiled")
    for name, row in results["imports"].items():
        print(f"{name:24}" + "".join(f"{v:>{w}.2f}" for v, w in zip(row.values(), (7, 11, 25), strict=True)))
    print("\nwhere our imports spend it, in ms")
    for package, spent in results["milliseconds"].items():
        print(f"{package:24}{spent:7.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        prog="benchmarks/cold_start",
    )
    parser.add_argument("file", type=Path, nargs="?", default=next((p for p in IMAGES if p.exists()), None))
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if reason := containers.missing():
        sys.exit(reason)
    containers.make_stand_in()
    results: dict[str, Any] = {"catalogs": {"a full CPU": {}, "its share": {}}}
    image = options.file.name.removesuffix(".gz")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        containers.build(folder / "build")
        naive_packages(folder)
        with served(options.file) as url, Container(folder, FULL, s3=url) as container:
            for size, share in SHARES.items():
                for model, before in zip(results["catalogs"], (max(FULL, share), share), strict=True):
                    rows = results["catalogs"][model]
                    rows[size] = catalogs(container, image, before, share, options.repeat)
            results["imports"] = imports(container, options.repeat)
            results["milliseconds"] = where_it_goes(container)
    if options.json:
        print(json.dumps(results, indent=1))
    else:
        show(results)


if __name__ == "__main__":
    main()
