"""CPU seconds of the handler on real images, by size of file: the table of invoke/skyfan/bill/speeds.toml.

    python benchmarks/costs/speeds.py

Each image is handled in a fresh process, twice: the second call is what a warm environment takes. CPU time,
so that a busy machine does not spoil it: one CPU is what Lambda gives at 1,769 MB, and SEP uses one thread.
Then once more over HTTP, from a server that answers as S3 does, to count requests and bytes. Larger files
are made of real frames, tiled to the two chips of WFC3/UVIS and to a mosaic. Whole files come
from $SKYFAN_SHARED_DATA (or ../shared/data), gzipped ones unpacked first.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from astropy.io import fits

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from standins.bucket import Bucket, serving  # noqa: E402

DEMO = (
    "ib4606c6q_flc.fits",
    "abell2744_f105w_drz.fits",
    "ib6o23rsq_flt.fits",
    "j8bt06nyq_drz.fits",
    "j8bt06nyq_flt.fits",
)
WHOLE = (
    "ib6o23rtq_sci1_blt.fits.gz",
    "ib6o23rsq_flt.fits.gz",
    "j8bt06nyq_sip_flt.fits.gz",
    "j8bt06nyq_square_drz.fits.gz",
)
# Tiled: the frame, chips, shape of a chip. Crowded (47 Tuc) and sparse (a grism exposure).
TILED = (
    ("j8bt06nyq_sip_flt.fits.gz", 2, (2051, 4096)),
    ("ib6o23rsq_flt.fits.gz", 2, (2051, 4096)),
    ("ib6o23rsq_flt.fits.gz", 1, (6000, 6000)),
)
HANDLE = """
import contextlib, io, os, sys, time
sys.path[:0] = sys.argv[1:3]
from sep_extract.handler import handler
def cpu():
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
for _ in range(2):
    start, log = cpu(), io.StringIO()
    with contextlib.redirect_stdout(log):
        result = handler({"input": sys.argv[3]}, None)
    seconds = cpu() - start
print(seconds, result["sources"], len(log.getvalue()))
"""


def tiled(path: Path, chips: int, shape: tuple[int, int], target: Path) -> None:
    """A file of `chips` chips of `shape`, each plane (SCI, ERR, DQ) the repeated plane of a real frame."""
    with fits.open(path) as frame:
        made = [fits.PrimaryHDU(header=frame[0].header)]
        for chip in range(1, chips + 1):
            for name in ("SCI", "ERR", "DQ"):
                plane = frame[name, 1]
                times = [-(-wanted // there) for wanted, there in zip(shape, plane.data.shape, strict=True)]
                data = np.tile(plane.data, times)[: shape[0], : shape[1]]
                made.append(fits.ImageHDU(data, plane.header))
                made[-1].header["EXTVER"] = chip
        fits.HDUList(made).writeto(target)


def images(folder: Path) -> Iterator[Path]:
    """Paths of unpacked images, one at a time; what is temporary lies in `folder`."""
    yield from (ROOT / "tests/data/demo" / name for name in DEMO)
    shared = Path(os.environ.get("SKYFAN_SHARED_DATA") or ROOT.parent / "shared/data")
    for name in WHOLE:
        if (shared / name).exists():
            path = folder / name.removesuffix(".gz")
            with gzip.open(shared / name) as packed, path.open("wb") as plain:
                shutil.copyfileobj(packed, plain)
            yield path
    for number, (name, chips, shape) in enumerate(TILED):
        path = folder / name.removesuffix(".gz")
        if path.exists():
            large = folder / f"tiled{number}_{path.name}"
            tiled(path, chips, shape, large)
            yield large
            large.unlink()


def handle(uri: str, **environment: str) -> tuple[float, int, int]:
    """CPU seconds of a warm call, sources found, bytes of its log line."""
    folders = [str(ROOT / "functions" / name) for name in ("runtime", "sep_extract")]
    command = [sys.executable, "-c", HANDLE, *folders, uri]
    env = {**os.environ, **environment}
    told = subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout.split()
    return float(told[0]), int(told[1]), int(told[2])


def requests(path: Path) -> tuple[int, int]:
    """Requests and bytes of one reading over HTTP."""
    bucket = Bucket(path.parent)
    with serving(bucket) as url:
        handle(f"s3://bucket/{path.name}", AWS_ENDPOINT_URL=url)
    # It was handled twice.
    return len(bucket.requests) // 2, sum(request.sent for request in bucket.requests) // 2


def main() -> None:
    names = ("CPU s", "s/MB", "sources", "GETs", "read", "log bytes")
    with tempfile.TemporaryDirectory() as name:
        os.environ["SKYFAN_OUTPUT"] = Path(name).as_uri() + "/runs/{run}/catalogs/{key}.cat.fits"
        print(f"{'image':>32} {'bytes':>12}", *(f"{title:>9}" for title in names))
        for path in images(Path(name)):
            size = path.stat().st_size
            seconds, sources, logged = handle(path.as_uri())
            count, read = requests(path)
            row = (
                f"{seconds:.2f}",
                f"{seconds / size * 1e6:.3f}",
                sources,
                count,
                f"{read / size:.0%}",
                logged,
            )
            print(f"{path.name:>32} {size:>12}", *(f"{value:>9}" for value in row), flush=True)


if __name__ == "__main__":
    main()
