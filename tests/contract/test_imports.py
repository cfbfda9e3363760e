"""What is imported, and from where: no heavy module in a cold start, and no copy in place of the clone."""

import json
import os
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

from skyfan import template

REPO = Path(__file__).parents[2]
# Each costs more than sep itself, boto3 alone half a second. A function may import them when asked for them.
HEAVY = {
    *("boto3", "botocore", "requests", "aiohttp", "fsspec", "s3fs", "pyarrow", "pandas", "polars", "scipy"),
    *(
        "matplotlib",
        "PIL",
        "IPython",
        "pytest",
        "setuptools",
        "pkg_resources",
        "photutils",
        "skimage",
        "dask",
    ),
    *("asyncio", "skyfan"),
}
# The whole sky machinery: half as long again as all the rest, and only a chip with a WCS needs it.
LATER = {"astropy.wcs", "astropy.coordinates", "astropy.table", "astropy.time"}
_PROGRAM = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
print(json.dumps(sorted(sys.modules)))
"""


@pytest.mark.parametrize("function", ["SepExtract", "FitsSummary"])
def test_the_handler_imports_nothing_heavy(function: str) -> None:
    found = template.read(REPO / "template.yaml").function(function)
    module = found.handler.rpartition(".")[0]
    said = subprocess.run(
        [sys.executable, "-c", _PROGRAM, module],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, found.folders))},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    loaded = set(json.loads(said.stdout))
    assert module in loaded
    assert not {name for name in loaded if name.partition(".")[0] in HEAVY}
    assert not loaded & LATER


def test_an_editable_install_has_no_copy_that_would_hide_the_clone() -> None:
    installed = {path.parts[0] for path in distribution("skyfan").files or () if path.suffix == ".py"}
    assert not installed & {"skyfan", "skyfan_contract", "skyfan_function"}
