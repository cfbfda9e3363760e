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
# Half as long again as all the rest: only a header that is not plain needs them.
LATER = {"astropy.wcs", "astropy.coordinates", "astropy.table", "astropy.time"}
_PROGRAM = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
print(json.dumps(sorted(sys.modules)))
"""


@pytest.mark.parametrize("function", ["SepExtract", "FitsSummary", "Transits"])
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


_FIRST_IMAGE = """
import json, sys
from sep_extract.handler import handler
before = set(sys.modules)
handler({"input": sys.argv[1]}, None)
print(json.dumps([sorted(before), sorted(set(sys.modules) - before)]))
"""


@pytest.mark.parametrize("name", ["ib6o23rsq_flt.fits", "j8bt06nyq_drz.fits"])
def test_all_that_an_image_needs_is_loaded_before_the_first(
    name: str, demo_data: Path, tmp_path: Path
) -> None:
    found = template.read(REPO / "template.yaml").function("SepExtract")
    said = subprocess.run(
        [sys.executable, "-c", _FIRST_IMAGE, (demo_data / name).as_uri()],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, found.folders)),
            "SKYFAN_OUTPUT": f"{tmp_path.as_uri()}/runs/{{run}}/{{key}}.cat.fits",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    before, with_image = json.loads(said.stdout.splitlines()[-1])
    assert "astropy.wcs._wcs" in before
    assert not with_image


@pytest.mark.parametrize(
    ("output", "made"), [("s3://results/runs/{run}/{key}", 1), ("file:///tmp/{run}/{key}", 0)]
)
def test_the_storage_client_is_made_before_the_first_event_if_results_go_to_s3(
    output: str, made: int
) -> None:
    code = (
        "import sys; from sep_extract.handler import handler; from skyfan_function.s3_client import _client; "
        "print(_client.cache_info().currsize, 'obstore' in sys.modules)"
    )
    found = template.read(REPO / "template.yaml").function("SepExtract")
    environment = {
        "PYTHONPATH": os.pathsep.join(map(str, found.folders)),
        "SKYFAN_OUTPUT": output,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    said = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert said.stdout.split() == [str(made), str(bool(made))]


def test_an_editable_install_has_no_copy_that_would_hide_the_clone() -> None:
    installed = {path.parts[0] for path in distribution("skyfan").files or () if path.suffix == ".py"}
    assert not installed & {"skyfan", "skyfan_contract", "skyfan_function"}
