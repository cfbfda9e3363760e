"""Cold starts in Lambda's stand-in, ours beside the naive: benchmarks/cold_start [--repeat N] [--json]

From the start of a fresh Python 3.13 process until the handler is imported, and until it has what an S3
image with a WCS needs besides. Ours is what `sam build` makes; the naive one imports astropy.io.fits,
Table, WCS, sep and makes a boto3 S3 client, from packages as pip installs them: compiled, and not, as
most installers leave them in a layer that is read-only. The contenders take turns in one container;
ratios are medians of those within a turn. Last, where the time of ours goes. Needs Docker and `make
sam`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import containers  # noqa: E402

# 1,024 MB of memory buy 0.58 of a processor, 1,769 MB a whole one.
CPUS = (0.58, 1.0)
OURS = "from sep_extract.handler import handler"
WITH_SKY = OURS + "; import astropy.wcs; from obstore.store import S3Store; S3Store('b', skip_signature=True)"
NAIVE = (
    "from astropy.io import fits; from astropy.table import Table; from astropy.wcs import WCS; "
    "import sep, boto3; boto3.client('s3')"
)
# name: PYTHONPATH in the container, code
CONTENDERS = {
    "naive, not compiled": ("/naive", NAIVE),
    "naive, compiled": ("/compiled", NAIVE),
    "ours": ("/opt/python:/var/task", OURS),
    "ours, with WCS and S3": ("/opt/python:/var/task", WITH_SKY),
}
_DRIVE = """
import json, os, subprocess, sys, time
contenders, repeat = json.loads(sys.argv[1]), int(sys.argv[2])
turns = []
for _ in range(repeat + 1):
    turn = {}
    for name, (path, code) in contenders.items():
        time.sleep(0.2)  # a new share of the processor for each
        env = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        start = time.perf_counter()
        code += "\\nimport os; os.write(1, b'r'); os._exit(0)"
        process = subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE)
        assert process.stdout.read(1) == b"r", name
        turn[name] = time.perf_counter() - start
        process.wait()
    turns.append(turn)
print(json.dumps(turns[1:]))
"""


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
    shutil.copytree(folder / "naive", folder / "compiled")
    in_container(folder, 2.0, "-m", "compileall", "-q", "/compiled", writable=True)


def in_container(folder: Path, cpus: float, *words: str, writable: bool = False) -> str:
    """Run Python 3.13 in the stand-in, with the artifacts where Lambda has them."""
    mode = "rw" if writable else "ro"
    built = folder / "build"
    mounts = {
        folder / "naive": "/naive",
        folder / "compiled": "/compiled",
        built / "AstroLayer" / "python": "/opt/python",
        built / "SepExtract": "/var/task",
    }
    command: list[object] = ["docker", "run", "--rm", "--cpus", cpus, "--entrypoint", "python3.13"]
    for there, here in mounts.items():
        command += ["-v", f"{there}:{here}:{mode}"]
    for key, value in containers.ENVIRONMENT.items():
        command += ["-e", f"{key}={value}"]
    return containers.run(*command, containers.STAND_IN, *words, timeout=900)


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def table(turns: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Seconds, and ratios to the naive ones, by contender."""
    return {
        name: {
            "seconds": median([t[name] for t in turns]),
            "of naive, compiled": median([t[name] / t["naive, compiled"] for t in turns]),
            "of naive, not compiled": median([t[name] / t["naive, not compiled"] for t in turns]),
        }
        for name in CONTENDERS
    }


def where_it_goes(folder: Path) -> dict[str, float]:
    """Milliseconds of ours, with WCS and S3, that each package's own modules take (python -X importtime)."""
    code = (
        "import subprocess, sys; "
        "p = subprocess.run([sys.executable, '-X', 'importtime', '-c', sys.argv[1]], "
        "env={'PYTHONPATH': '/opt/python:/var/task', 'PYTHONDONTWRITEBYTECODE': '1'}, "
        "capture_output=True, text=True, check=True); print(p.stderr)"
    )
    spent: dict[str, float] = {}
    for line in in_container(folder, 1.0, "-c", code, WITH_SKY).splitlines():
        parts = line.removeprefix("import time:").split("|")
        if len(parts) == 3 and parts[0].strip().isdigit():
            name = parts[2].strip().split(".")
            package = ".".join(name[:2]) if name[0] == "astropy" else name[0]
            spent[package] = spent.get(package, 0.0) + int(parts[0]) / 1000
    return dict(sorted(spent.items(), key=lambda item: -item[1])[:12])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        prog="benchmarks/cold_start",
    )
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if reason := containers.missing():
        sys.exit(reason)
    containers.make_stand_in()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        containers.build(folder / "build")
        naive_packages(folder)
        for cpus in CPUS:
            turns = in_container(folder, cpus, "-c", _DRIVE, json.dumps(CONTENDERS), str(options.repeat))
            results[f"{cpus} CPU"] = table(json.loads(turns))
        results["milliseconds"] = where_it_goes(folder)
    if options.json:
        print(json.dumps(results, indent=1))
        return
    for cpus in CPUS:
        print(f"\n{cpus} CPU                  seconds   of naive, compiled   of naive, not compiled")
        for contender, row in results[f"{cpus} CPU"].items():
            print(
                f"{contender:24}"
                + "".join(f"{row[k]:>{w}.2f}" for k, w in zip(row, (8, 21, 25), strict=True))
            )
    print("\nwhere the time of ours goes, with WCS and S3, in ms")
    for package, spent in results["milliseconds"].items():
        print(f"{package:24}{spent:8.0f}")


if __name__ == "__main__":
    main()
