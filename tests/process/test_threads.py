"""The same image gives the same catalog on any number of CPUs."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

REPO = Path(__file__).parents[2]
CODE = """
import sys
sys.path[:0] = sys.argv[1:3]
from sep_extract.handler import handler
handler({"input": sys.argv[3]}, None)
"""


def catalog(image: Path, folder: Path, cpus: set[int]) -> bytes:
    """The catalog that a process makes which may use these CPUs."""
    environment = {key: value for key, value in os.environ.items() if "THREADS" not in key}
    environment["SKYFAN_OUTPUT"] = f"{folder.as_uri()}/{{run}}/{{key}}.cat.fits"
    sources = [str(REPO / "functions" / name) for name in ("runtime", "sep_extract")]
    command = [sys.executable, "-c", CODE, *sources, image.as_uri()]
    subprocess.run(
        command,
        env=environment,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cpus),
    )
    (path,) = folder.rglob("*.cat.fits")
    return path.read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process which CPUs to use")
def test_one_cpu_and_all_give_equal_bytes(tmp_path: Path) -> None:
    """Of galaxies whose stamps are large enough for BLAS to share them among threads."""
    rows, columns = np.mgrid[:900, :900]
    rng = np.random.default_rng(1)
    pixels = rng.normal(10, 1, rows.shape)
    for x, y in rng.uniform(100, 800, (9, 2)):
        pixels += 400 * np.exp(-np.hypot(columns - x, rows - y) / 25)
    image = tmp_path / "galaxies.fits"
    fits.PrimaryHDU(pixels.astype(np.float32)).writeto(image)
    every = os.sched_getaffinity(0)
    assert catalog(image, tmp_path / "one", {min(every)}) == catalog(image, tmp_path / "all", every)
