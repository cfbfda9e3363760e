"""layers/astro and the functions, built as sam build does: by make, from a lock, with pip and no Python 3.13.

What the artifacts compute is checked in the container, by the science tests; this is about what they are.
"""

import os
import re
import shutil
import struct
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
LAYER = REPO / "layers/astro"
SETTINGS = tomllib.loads((LAYER / "layer.toml").read_text())
# e_machine in an ELF header
MACHINES = {"x86_64": 62, "arm64": 183}
# CPython 3.13's, for all its releases
MAGIC = struct.pack("<H2s", 3571, b"\r\n")
# The total for layer and function together, in bytes
LIMIT = 80e6

each_architecture = pytest.mark.parametrize("architecture", MACHINES)


def _make(makefile: Path, target: str, output: Path) -> str:
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
        env={**os.environ, "PATH": os.pathsep.join(path), "ARTIFACTS_DIR": str(output)},
        cwd=output,
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


@pytest.mark.slow
def test_two_builds_in_two_places_have_one_hash(built: dict[str, Path], tmp_path: Path) -> None:
    again = _make(LAYER / "x86_64/Makefile", "build-AstroLayer", tmp_path / "some where/else")
    assert _hash(again) == _hash(_report(built["x86_64"]))
    assert "compiled by Python 3.13" in again


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
def test_layer_and_function_stay_under_80_mb(
    built: dict[str, Path], architecture: str, tmp_path: Path
) -> None:
    _make(REPO / "functions/sep_extract/Makefile", "build-SepExtract", tmp_path / "function")
    folders = (built[architecture], tmp_path / "function")
    size = sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())
    print(f"{architecture}: {size / 1e6:.2f} MB")
    assert size < LIMIT


@pytest.mark.slow
@pytest.mark.parametrize("function", ["sep_extract", "fits_summary"])
def test_a_function_is_its_package_and_the_runtime_compiled(function: str, tmp_path: Path) -> None:
    makefile = REPO / f"functions/{function}/Makefile"
    report = _make(makefile, "build-AnyLogicalId", tmp_path / "1")
    assert report == _make(makefile, "build-Another", tmp_path / "2")
    runtime = REPO / "functions/runtime"
    own = REPO / "functions" / function / function
    packages = (own, runtime / "skyfan_function", runtime / "skyfan_contract")
    assert re.findall(r"^(\w+): .* sha256 [0-9a-f]{64}$", report, re.MULTILINE) == [p.name for p in packages]
    expected = {
        f"{package.name}/{name}"
        for package in packages
        for path in package.glob("*.py")
        for name in (path.name, f"__pycache__/{path.stem}.cpython-313.pyc")
    } | {f"{own.name}/{path.name}" for path in own.glob("*.toml")}
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
