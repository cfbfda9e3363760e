"""Download and installed size of skyfan and of each of its extras: benchmarks/install_size [--json]

The wheel of this clone and its dependencies for this machine, in the versions of requirements/dev.txt.
Download is the size of all wheels, installed the size of all files that pip writes, compiled ones
included, in an environment that held none. Needs the package index, or pip's cache.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import wheels  # noqa: E402

CHOICES = {
    "skyfan": "",
    "skyfan[aws]": "[aws]",
    "skyfan[dask]": "[dask]",
    "skyfan[mast]": "[mast]",
    "skyfan[match]": "[match]",
    "skyfan[plot]": "[plot]",
    "skyfan[vo]": "[vo]",
    "skyfan[all]": "[all]",
}


def measure(wheel: Path, extra: str, folder: Path) -> dict[str, float]:
    """Install `wheel` with `extra`; return the number of packages and the sizes in MB."""
    downloads = folder / "downloads"
    pins = ("--constraint", wheels.constraints(folder))
    what = f"{wheel}{extra}"
    wheels.pip(sys.executable, "download", "--only-binary", ":all:", "--dest", downloads, *pins, what)
    python = wheels.environment(folder / "environment")
    empty = size(folder / "environment")
    wheels.pip(python, "install", "--no-index", "--find-links", downloads, *pins, what)
    return {
        "packages": len(list(downloads.iterdir())),
        "download": size(downloads),
        "installed": size(folder / "environment") - empty,
    }


def size(folder: Path) -> float:
    """Size of all files in MB."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    is_json = parser.parse_args().json
    found = {}
    with tempfile.TemporaryDirectory() as name:
        wheel = wheels.build(Path(name))
        for choice, extra in CHOICES.items():
            folder = Path(name) / (extra.strip("[]") or "bare")
            folder.mkdir()
            found[choice] = measure(wheel, extra, folder)
    if is_json:
        print(json.dumps(found, indent=1))
        return
    print(f"{'pip install':14}{'packages':>10}{'download':>12}{'installed':>12}")
    for choice, row in found.items():
        print(f"{choice:14}{row['packages']:>10}{row['download']:>9.1f} MB{row['installed']:>9.1f} MB")


if __name__ == "__main__":
    main()
