"""layers/astro and the functions, built as sam build does: by make, from a lock, with pip and no Python 3.13.

What the artifacts compute is checked in the container, by the science tests; this is about what they are.
"""

import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
import resolve
import sbom

REPO = Path(__file__).parents[2]
LAYER = REPO / "layers/astro"
SETTINGS = tomllib.loads((LAYER / "layer.toml").read_text())
# e_machine in an ELF header
MACHINES = {"x86_64": 62, "arm64": 183}
# CPython 3.13's, for all its releases
MAGIC = struct.pack("<H2s", 3571, b"\r\n")
# The total for layer and function together, in bytes
LIMIT = 81e6

each_architecture = pytest.mark.parametrize("architecture", MACHINES)


# What another machine may have: its habits must not show in what is built.
ELSEWHERE = {"PYTHONHASHSEED": "7", "TZ": "Asia/Kolkata", "LC_ALL": "C", "SOURCE_DATE_EPOCH": "1"}


def _make(makefile: Path, target: str, output: Path, elsewhere: bool = False) -> str:
    """Run a Makefile as sam does, in a copy of its folder and with no Python 3.13 on PATH; what it prints."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    output.mkdir(parents=True)
    folders = os.environ["PATH"].split(os.pathsep)
    path = [
        f for f in folders if not any((Path(f) / name).exists() for name in ("python3.13", "python3.13t"))
    ]
    done = subprocess.run(
        ["make", "--makefile", str(makefile), target],
        env={**os.environ, "PATH": os.pathsep.join(path), "ARTIFACTS_DIR": str(output)}
        | (ELSEWHERE if elsewhere else {}),
        cwd=output,
        umask=0o077 if elsewhere else 0o022,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The layer for each architecture, and what its build printed beside it as report.txt."""
    made = {}
    for architecture in MACHINES:
        made[architecture] = tmp_path_factory.mktemp("layer") / architecture
        report = _make(LAYER / architecture / "Makefile", "build-AstroLayer", made[architecture])
        (made[architecture].parent / "report.txt").write_text(report)
    return made


def _report(layer: Path) -> str:
    return (layer.parent / "report.txt").read_text()


def _hash(report: str) -> str:
    found = re.search(r"sha256 ([0-9a-f]{64})$", report.strip())
    assert found, report
    return found[1]


def _needs(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", lock.read_text(), re.MULTILINE))


def test_lambda_has_the_versions_that_the_laptop_has() -> None:
    layer, laptop = _needs(LAYER / "requirements.txt"), _needs(REPO / "requirements/run.txt")
    assert {name: laptop.get(name) for name in layer} == layer


def test_the_two_makefiles_differ_in_nothing() -> None:
    assert len({(LAYER / architecture / "Makefile").read_text() for architecture in MACHINES}) == 1
    assert set(SETTINGS["platforms"]) == set(MACHINES)


def _tree(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Mode, time and content of everything in a folder: what a zip file of it would hold."""
    return {
        path.relative_to(folder).as_posix(): (
            path.stat().st_mode,
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in folder.rglob("*")
    }


@pytest.mark.slow
def test_two_builds_in_two_places_are_equal(built: dict[str, Path], tmp_path: Path) -> None:
    there = tmp_path / "some where/else"
    again = _make(LAYER / "x86_64/Makefile", "build-AstroLayer", there, elsewhere=True)
    assert _hash(again) == _hash(_report(built["x86_64"]))
    assert "compiled by Python 3.13" in again
    assert _tree(there) == _tree(built["x86_64"])


@pytest.fixture(scope="module")
def pinned() -> dict[str, list[resolve.Wheel]]:
    """The wheels that the lock pins for each architecture."""
    return {architecture: sbom.wheels_of_layer(architecture) for architecture in MACHINES}


@pytest.mark.slow
@each_architecture
def test_the_lock_has_a_wheel_of_each_package(
    pinned: dict[str, list[resolve.Wheel]], architecture: str
) -> None:
    lock = (LAYER / "requirements.txt").read_text()
    wheels = {wheel.name.lower(): wheel for wheel in pinned[architecture]}
    assert {name: wheel.version for name, wheel in wheels.items()} == _needs(LAYER / "requirements.txt")
    assert not [wheel.file for wheel in wheels.values() if f"sha256:{wheel.sha256}" not in lock]
    machine = {"x86_64": "x86_64", "arm64": "aarch64"}[architecture]
    assert not [w.file for w in wheels.values() if not w.file.endswith(("-none-any.whl", f"_{machine}.whl"))]


_VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
print(JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read()))
"""


@pytest.fixture(scope="module")
def bills(built: dict[str, Path], pinned: dict[str, list[resolve.Wheel]]) -> dict[str, sbom.Bom]:
    """The SBOM of each layer."""
    if not sbom.TOOL.exists():
        pytest.skip("cyclonedx-py is not installed here: make .venv/sbom/.made")
    return {each: sbom.of_layer(built[each] / "python", each, pinned[each]) for each in MACHINES}


@pytest.mark.slow
@each_architecture
def test_the_sbom_lists_what_the_layer_holds(
    built: dict[str, Path],
    bills: dict[str, sbom.Bom],
    pinned: dict[str, list[resolve.Wheel]],
    architecture: str,
) -> None:
    bom = bills[architecture]
    found = {each["name"].lower(): each for each in bom["components"]}
    held = {
        each.name.lower(): each.version for each in distributions(path=[str(built[architecture] / "python")])
    }
    assert {name: each["version"] for name, each in found.items()} == held
    assert all(each["licenses"] for each in found.values())
    wheels = {wheel.name.lower(): wheel.sha256 for wheel in pinned[architecture]}
    assert {name: each["hashes"][0]["content"] for name, each in found.items()} == wheels
    properties = {each["name"]: each["value"] for each in bom["metadata"]["component"]["properties"]}
    assert properties["skyfan:sha256"] == _hash(_report(built[architecture]))
    tool = [sbom.TOOL.with_name("python"), "-c", _VALIDATE]
    said = subprocess.run(tool, input=json.dumps(bom), capture_output=True, text=True, check=False)
    assert (said.stdout, said.stderr) == ("None\n", "")


@pytest.mark.slow
def test_the_sbom_does_not_depend_on_the_place(
    built: dict[str, Path],
    bills: dict[str, sbom.Bom],
    pinned: dict[str, list[resolve.Wheel]],
    tmp_path: Path,
) -> None:
    (tmp_path / "moved").symlink_to(built["x86_64"] / "python")
    assert sbom.of_layer(tmp_path / "moved", "x86_64", pinned["x86_64"]) == bills["x86_64"]


@pytest.mark.slow
@each_architecture
def test_nothing_is_left_to_compile(built: dict[str, Path], architecture: str) -> None:
    sources = list(built[architecture].rglob("*.py"))
    assert len(sources) > 400
    for source in sources:
        compiled = source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc"
        # by the source's hash, and that unchecked: see PEP 552
        assert compiled.read_bytes()[:8] == MAGIC + struct.pack("<I", 1), source
    assert len(list(built[architecture].rglob("*.pyc"))) == len(sources)


@pytest.mark.slow
@each_architecture
def test_every_library_is_for_the_architecture(built: dict[str, Path], architecture: str) -> None:
    libraries = [path for path in built[architecture].rglob("*") if ".so" in path.name]
    assert len(libraries) > 20
    for path in libraries:
        assert struct.unpack_from("<4s14xH", path.read_bytes()) == (b"\x7fELF", MACHINES[architecture]), path


@pytest.mark.slow
@each_architecture
def test_tests_stubs_headers_and_debugging_symbols_are_gone(
    built: dict[str, Path], architecture: str
) -> None:
    names = {path.relative_to(built[architecture]).as_posix() for path in built[architecture].rglob("*")}
    left = {
        n for n in names if re.search(r"(/tests/(?!__init__|runner|__pycache__))|\.(pyi|h|c|pyx|pxd|a)$", n)
    }
    assert not left
    for path in (path for path in built[architecture].rglob("*") if ".so" in path.name):
        # no section headers: nothing of the file is there for a debugger
        assert struct.unpack_from("<Q", path.read_bytes(), 40) == (0,), path


@pytest.mark.slow
@each_architecture
def test_layer_and_function_stay_under_81_mb(
    built: dict[str, Path], architecture: str, tmp_path: Path
) -> None:
    _make(REPO / "functions/sep_extract/Makefile", "build-SepExtract", tmp_path / "function")
    folders = (built[architecture], tmp_path / "function")
    size = sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())
    print(f"{architecture}: {size / 1e6:.2f} MB")
    assert size < LIMIT


@pytest.mark.slow
@pytest.mark.parametrize("function", ["sep_extract", "fits_summary", "transits"])
def test_a_function_is_its_package_and_the_runtime_compiled(function: str, tmp_path: Path) -> None:
    makefile = REPO / f"functions/{function}/Makefile"
    report = _make(makefile, "build-AnyLogicalId", tmp_path / "1")
    assert report == _make(makefile, "build-Another", tmp_path / "2", elsewhere=True)
    assert _tree(tmp_path / "1") == _tree(tmp_path / "2")
    runtime = REPO / "functions/runtime"
    own = REPO / "functions" / function / function
    packages = (own, *(runtime / f"skyfan_{name}" for name in ("function", "contract", "watch")))
    assert re.findall(r"^(\w+): .* sha256 [0-9a-f]{64}$", report, re.MULTILINE) == [p.name for p in packages]
    expected = {
        f"{package.name}/{name}"
        for package in packages
        for path in package.glob("*.py")
        for name in (path.name, f"__pycache__/{path.stem}.cpython-313.pyc")
    } | {f"{package.name}/{path.name}" for package in packages for path in package.glob("*.toml")}
    built = tmp_path / "1"
    assert {path.relative_to(built).as_posix() for path in built.rglob("*.*")} == expected


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["functions/fits_summary", "functions/sep_extract", "layers/astro/arm64"])
def test_what_cannot_build_is_refused_in_words(tmp_path: Path, folder: str) -> None:
    """A python3 of an older system; and --use-container, which sees this folder alone."""
    old = tmp_path / "python3"
    pretend = "import sys; sys.version_info = (3, 9, 2); exec(sys.argv[1])"
    old.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{pretend}' \"$2\"\n")
    old.chmod(0o755)
    alone = tmp_path / "source"
    shutil.copytree(REPO / folder, alone)
    for makefile, python, words in (
        (REPO / folder / "Makefile", old, f"needs Python 3.11 or newer, and {old} is 3.9: PYTHON="),
        (alone / "Makefile", sys.executable, "works without --use-container"),
    ):
        done = subprocess.run(
            ["make", "--makefile", str(makefile), "build-AstroLayer", f"PYTHON={python}"],
            env={**os.environ, "ARTIFACTS_DIR": str(tmp_path / "out")},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode
        assert words in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "out").exists()
