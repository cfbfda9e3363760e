"""The science tests on what SAM built: pruned, compiled, on Python 3.13, with nothing of this environment."""

from __future__ import annotations

import os
import re
from pathlib import Path

from containers import REPO, run

# pytest comes with the image; the function and its packages come from the artifacts, and the run proves it.
_PROGRAM = """
import sys, pytest
status = pytest.main(sys.argv[1:])
import astropy, numpy, obstore, sep, sep_extract, skyfan_contract, skyfan_function
own = [sep_extract, skyfan_contract, skyfan_function]
where = {"/var/task": own, "/opt/python": [astropy, numpy, obstore, sep]}
for folder, modules in where.items():
    for module in modules:
        assert module.__file__.startswith(folder), module.__file__
print("tested", sep_extract.__file__, "on Python", sys.version.split()[0])
sys.exit(status)
"""


def _passed(image: str, built: Path, *arguments: str) -> int:
    """How many tests pass in the container; raises RuntimeError with what pytest said if one fails."""
    shared = Path(os.environ.get("SKYFAN_SHARED_DATA", REPO.parent / "shared" / "data"))
    mounts = {REPO: "/repo", built / "AstroLayer": "/opt", built / "SepExtract": "/var/task"}
    if shared.is_dir():
        mounts[shared] = "/shared"
    said = run(
        *("docker", "run", "--rm", "--network", "none", "--workdir", "/repo"),
        *(part for host, inside in mounts.items() for part in ("--volume", f"{host}:{inside}:ro")),
        *("--env", "SKYFAN_SHARED_DATA=/shared", "--env", "HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis"),
        *("--env", "PYTHONPATH=/var/task:/opt/python:/var/runtime", "--env", "PYTHONDONTWRITEBYTECODE=1"),
        *(image, "python3.13", "-c", _PROGRAM),
        *("-p", "no:cacheprovider", "--override-ini", "pythonpath=benchmarks", "-q", *arguments),
        timeout=480,
    )
    assert "tested /var/task/sep_extract" in said
    (passed,) = re.findall(r"(\d+) passed", said)
    return int(passed)


def test_units_and_bad_input(stand_in: str, built: Path) -> None:
    runtime = [
        f"tests/unit/skyfan_function/test_{name}.py" for name in ("batch", "fits_input", "handler", "storage")
    ]
    assert _passed(stand_in, built, "tests/unit/sep_extract", *runtime, "tests/e2e/test_sky.py") > 1000


def test_against_sextractor_and_truth(stand_in: str, built: Path) -> None:
    assert _passed(stand_in, built, "tests/e2e/test_sextractor.py", "tests/e2e/test_truth.py") > 20


_LOADED = """
import sys
from sep_extract.handler import handler
before = set(sys.modules)
handler({"input": "file:///repo/tests/data/demo/ib6o23rsq_flt.fits"}, None)
assert set(sys.modules) == before, set(sys.modules) - before
print("loaded", *sorted(before))
"""


def test_the_layer_spares_units_and_the_public_wcs(stand_in: str, built: Path) -> None:
    mounts = {REPO: "/repo", built / "AstroLayer": "/opt", built / "SepExtract": "/var/task"}
    said = run(
        *("docker", "run", "--rm", "--network", "none"),
        *(part for host, inside in mounts.items() for part in ("--volume", f"{host}:{inside}:ro")),
        *("--env", "PYTHONPATH=/var/task:/opt/python", "--env", "PYTHONDONTWRITEBYTECODE=1"),
        *("--env", "SKYFAN_OUTPUT=file:///tmp/out/{run}/{key}.cat.fits"),
        *(stand_in, "python3.13", "-c", _LOADED),
        timeout=120,
    )
    loaded = set(said.splitlines()[-1].split())
    assert "astropy.wcs._wcs" in loaded
    assert not loaded & {"astropy.units", "astropy.constants", "astropy.wcs", "astropy.coordinates"}
