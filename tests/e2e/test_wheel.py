"""The wheel of this clone in an environment that holds nothing else, used from an empty folder without AWS.

`pytest -m slow -s tests/e2e/test_wheel.py` prints the transcript. pip needs the package index, or its cache.
"""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path

import pytest
import sbom
import wheels
from astropy.table import Table
from packaging.utils import canonicalize_name

from skyfan import extras
from skyfan.api import stacks

pytestmark = pytest.mark.slow
Shell = Callable[..., str]
API = "import skyfan.api; print(skyfan.api.run(['image.fits'], 'from-python').done)"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment with the wheel and its dependencies, without any extra."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel = wheels.build(folder)
    python = wheels.environment(folder / "environment")
    print(f"\n$ pip install {wheel.name}")
    wheels.pip(python, "install", "--only-binary", ":all:", "--constraint", wheels.constraints(folder), wheel)
    return python


@pytest.fixture
def shell(python: Path, tmp_path: Path, demo_data: Path) -> Shell:
    """Runs a command line in a folder that holds image.fits alone; returns stdout and stderr as they came."""
    here = tmp_path / "empty"
    here.mkdir()
    shutil.copyfile(demo_data / "j8bt06nyq_flt.fits", here / "image.fits")
    variables = {
        "PATH": f"{python.parent}{os.pathsep}/usr/bin{os.pathsep}/bin",
        "HOME": str(tmp_path / "home"),
        "LC_ALL": "C.UTF-8",
    }

    def run(line: str, code: int = 0, folder: Path = here) -> str:
        done = subprocess.run(
            line,
            shell=True,
            cwd=folder,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        print(f"\n$ {line}\n{done.stdout}", end="")
        assert done.returncode == code, f"{line}: exit code {done.returncode}\n{done.stdout}"
        return done.stdout

    return run


def test_it_installs_no_extra_and_carries_the_stack(shell: Shell, tmp_path: Path) -> None:
    modules = [module for names in extras.MODULES.values() for module in names]
    absent = f"print([m for m in {modules} if importlib.util.find_spec(m)])"
    assert shell(f'python -c "import importlib.util; {absent}"') == "[]\n"
    shell("skyfan stack copy mine")
    ours = tmp_path / "ours"
    stacks.copy(ours)
    files = sorted(str(path.relative_to(ours)) for path in ours.rglob("*") if path.is_file())
    mine = tmp_path / "empty/mine"
    assert files == sorted(str(path.relative_to(mine)) for path in mine.rglob("*") if path.is_file())
    assert filecmp.cmpfiles(ours, mine, files, shallow=False) == (files, [], [])


def test_a_run_from_its_image_to_its_report(shell: Shell, tmp_path: Path) -> None:
    here = tmp_path / "empty"
    said = shell("skyfan run image.fits")
    assert said.splitlines()[0].startswith("skyfan: results go to ./skyfan-output/runs/default")
    (catalog,) = here.glob("skyfan-output/runs/default/catalogs/**/*.cat.fits")
    sources = len(Table.read(catalog))
    assert sources > 100

    assert "./skyfan-output" in shell("skyfan status default")
    late = shell("skyfan run image.fits --run late --timeout 0.01 --retries 0", code=1)
    assert "uses the function with the most memory" in late
    shell("skyfan retry late")
    assert len(list(here.glob("skyfan-output/runs/late/catalogs/**/*.cat.fits"))) == 1

    shell("skyfan collect default")
    assert " sources within 1s" in shell("skyfan search default --around '6.0304 -72.0813' --radius 1s")
    assert "USD" in shell("skyfan costs default")
    shell(f"skyfan show image.fits {catalog.relative_to(here)} --to picture.png")
    assert (here / "picture.png").read_bytes().startswith(b"\x89PNG")
    shell("skyfan report default")
    page = (here / "skyfan-output/runs/default/report.html").read_text()
    assert "image.fits" in page
    assert "data:image/jpeg" in page
    shell("skyfan runs")


def test_the_demo_needs_no_file(shell: Shell, tmp_path: Path) -> None:
    assert "skyfan report demo" in shell("skyfan demo")
    page = (tmp_path / "empty/skyfan-demo/runs/demo/report.html").read_text()
    assert page.count("data:image/jpeg") == 3


def test_it_runs_as_a_module_and_from_python(shell: Shell, tmp_path: Path) -> None:
    shell("python -m skyfan run image.fits --output as-module --json >as-module.json")
    document = json.loads((tmp_path / "empty/as-module.json").read_text())
    assert document["done"] == 1
    assert shell(f'python -c "{API}"') == "1\n"
    assert list((tmp_path / "empty/from-python").rglob("*.cat.fits"))


def test_in_the_folder_of_another_project_its_template_is_ignored(shell: Shell, tmp_path: Path) -> None:
    foreign = tmp_path / "empty/template.yaml"
    foreign.write_text(
        "Resources: {Hello: {Type: AWS::Serverless::Function, Properties: {CodeUri: hello}}}\n"
    )
    assert f"{foreign} is ignored" in shell("skyfan run image.fits")
    assert "Metadata.Functions" in shell("skyfan run image.fits --template template.yaml", code=2)


def test_a_copy_of_the_stack_is_used_inside_it(shell: Shell, tmp_path: Path) -> None:
    shell("skyfan stack copy mine")
    mine = tmp_path / "empty/mine"
    catalog = mine / "functions/sep_extract/sep_extract/catalog.py"
    catalog.write_text("raise RuntimeError('the edited copy')\n")
    assert "the edited copy" in shell("skyfan run ../image.fits", code=2, folder=mine)


def test_a_function_of_ones_own_runs_in_a_copy(shell: Shell, tmp_path: Path) -> None:
    shell("skyfan stack copy mine")
    mine = tmp_path / "empty/mine"
    shell("skyfan new-function Brightest", folder=mine)
    shell("skyfan run ../image.fits --function Brightest", folder=mine)
    assert list((mine / "skyfan-output/runs/default").rglob("image.fits*.cat.fits"))
    assert "stack copy" in shell("skyfan new-function Brightest", code=2)


@pytest.mark.parametrize(
    ("line", "extra"),
    [
        ("skyfan status default --output s3://bucket", "aws"),
        ("skyfan deploy", "aws"),
        ("skyfan plan --instrument WFC3/IR", "mast"),
        ("skyfan show image.fits --cmap magma", "plot"),
    ],
)
def test_an_error_names_the_command_that_installs_what_is_missing(
    shell: Shell, line: str, extra: str
) -> None:
    assert f"pip install 'skyfan[{extra}]'" in shell(line, code=2)


def test_building_and_installing_leave_no_file_in_the_clone(tmp_path: Path) -> None:
    """Files in build/ would be installed again after their sources are gone."""
    clone, python = tmp_path / "clone", wheels.environment(tmp_path / "environment")
    subprocess.run(["git", "clone", "--quiet", wheels.REPO, clone], check=True)
    wheels.pip(python, "install", "--no-deps", clone)
    wheels.pip(python, "wheel", "--no-deps", "--wheel-dir", tmp_path, clone)
    status = ["git", "-C", str(clone), "status", "--porcelain", "--ignored"]
    left = subprocess.run(status, capture_output=True, text=True, check=True).stdout
    assert [line for line in left.splitlines() if not line.endswith("__pycache__/")] == []
    (installed,) = (tmp_path / "environment").rglob("skyfan/cli/__init__.py")
    assert clone not in installed.resolve().parents


def test_two_builds_of_the_wheel_are_equal(python: Path, tmp_path: Path) -> None:
    """In another folder, with other permissions, hash seed, language and time zone."""
    clone = tmp_path / "clone"
    leave_out = shutil.ignore_patterns(".venv", ".git", ".*cache", "__pycache__", "tests", "sbom")
    shutil.copytree(wheels.REPO, clone, ignore=leave_out)
    for path in clone.rglob("*"):
        path.chmod(path.stat().st_mode & 0o700)
        os.utime(path, (1, 1))
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", tmp_path],
        cwd=clone,
        env={**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Kolkata", "LC_ALL": "C"},
        umask=0o077,
        capture_output=True,
        check=True,
    )
    (first,), (second,) = python.parents[2].glob("*.whl"), tmp_path.glob("*.whl")
    assert first.read_bytes() == second.read_bytes()


def test_the_sbom_lists_what_pip_installs(python: Path) -> None:
    if not sbom.TOOL.exists():
        pytest.skip("cyclonedx-py is not installed here: make .venv/sbom/.made")
    (wheel,) = python.parents[2].glob("*.whl")
    bom = sbom.of_wheel(wheel, python.parents[1])
    packages = [str(path) for path in python.parents[1].glob("lib/python*/site-packages")]
    held = {canonicalize_name(each.name): each.version for each in distributions(path=packages)}
    assert held.pop("skyfan") == bom["metadata"]["component"]["version"]
    assert {canonicalize_name(each["name"]): each["version"] for each in bom["components"]} == held
    assert all(each["licenses"] for each in bom["components"])
    lock = sbom.LOCK.read_text()
    assert all(f"sha256:{each['hashes'][0]['content']}" in lock for each in bom["components"])
