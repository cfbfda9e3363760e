"""Write software bills of materials: python build/sbom.py FOLDER. CycloneDX JSON of the wheel and the layers.

cyclonedx-py describes what is installed; the hashes are of the wheels that the locks pin. Nothing in them
depends on the time or the place, so that two calls write the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import layer
import resolve
import seal

ROOT = Path(__file__).resolve().parents[1]
LAYER = ROOT / "layers/astro"
LOCK = ROOT / "requirements/run.txt"
TOOL, UV = ROOT / ".venv/sbom/bin/cyclonedx-py", ROOT / ".venv/bin/uv"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
Bom = dict[str, Any]


def wheels_of_layer(architecture: str) -> list[resolve.Wheel]:
    """The wheels that the layer's lock pins for ``architecture``."""
    settings = tomllib.loads((LAYER / "layer.toml").read_text(encoding="utf-8"))
    platforms = settings["platforms"][architecture]
    return resolve.pinned(LAYER / "requirements.txt", settings["python"], platforms)


def of_layer(tree: Path, architecture: str, wheels: Iterable[resolve.Wheel]) -> Bom:
    """Bill of a built layer: the packages in ``tree``, which were unpacked from ``wheels``."""
    needs = (LAYER / "requirements.in").read_text(encoding="utf-8").splitlines()
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "environment"
        venv.create(python, with_pip=False)
        (packages,) = python.glob("lib/python*/site-packages")
        (packages / "layer.pth").write_text(f"{tree.resolve()}\n", encoding="utf-8")
        project = Path(folder) / "pyproject.toml"
        project.write_text(
            f'[project]\nname = "skyfan-layer-{LAYER.name}"\nversion = "{PROJECT["version"]}"\n'
            f"dependencies = {[line for line in needs if not line.startswith('#')]}\n",
            encoding="utf-8",
        )
        bom = _describe(python, project)
    bom["metadata"]["component"]["properties"] = [
        {"name": "skyfan:architecture", "value": architecture},
        {"name": "skyfan:sha256", "value": seal.digest(tree)},
    ]
    return _hashed(bom, wheels)


def of_wheel(wheel: Path, environment: Path) -> Bom:
    """Bill of the wheel and of what pip installs with it: an ``environment`` that holds nothing else."""
    bom = _describe(environment, ROOT / "pyproject.toml")
    bom["metadata"]["component"]["hashes"] = [_hash(hashlib.sha256(wheel.read_bytes()).hexdigest())]
    bom["metadata"]["component"]["purl"] = f"pkg:pypi/{PROJECT['name']}@{PROJECT['version']}"
    version = ".".join(platform.python_version_tuple()[:2])
    return _hashed(bom, resolve.pinned(LOCK, version))


def _install(wheel: Path, environment: Path) -> None:
    """Install the wheel without extras, at the versions of the lock, into an environment of its own."""
    venv.create(environment, with_pip=False)
    options = ("--quiet", "--only-binary", ":all:", "--constraint", LOCK)
    _run(UV, "--no-config", "pip", "install", *options, "--python", environment / "bin/python", wheel)


def _run(*command: object) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"sbom: {' '.join(words)} failed:\n{done.stderr.strip()}")
    return done.stdout


def _describe(environment: Path, project: Path) -> Bom:
    options = ("--output-reproducible", "--spec-version", "1.6", "--pyproject", project)
    bom: Bom = json.loads(_run(TOOL, "environment", *options, environment))
    return bom


def _hashed(bom: Bom, pinned: Iterable[resolve.Wheel]) -> Bom:
    """The bill with each component's wheel, by its hash."""
    wheels = {_name(wheel.name): wheel for wheel in pinned}
    for component in bom["components"]:
        wheel = wheels[_name(component["name"])]
        if wheel.version != component["version"]:
            found = f"{component['name']} {component['version']}"
            raise SystemExit(f"sbom: {found} is installed, the lock has {wheel.version}: make .venv/.dev")
        component["hashes"] = [_hash(wheel.sha256)]
    return bom


def _hash(sha256: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": sha256}


def _name(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def main(arguments: list[str]) -> int | str:
    """The command; the exit status, or the message of what failed."""
    if len(arguments) != 1:
        return __doc__ or ""
    output = Path(arguments[0])
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        _run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder)
        (wheel,) = Path(folder).glob("*.whl")
        _install(wheel, Path(folder) / "environment")
        boms = {"wheel": of_wheel(wheel, Path(folder) / "environment")}
        for architecture in ("x86_64", "arm64"):
            layer.build(LAYER, architecture, Path(folder) / architecture)
            tree = Path(folder) / architecture / "python"
            boms[f"layer-{architecture}"] = of_layer(tree, architecture, wheels_of_layer(architecture))
    for name, bom in boms.items():
        path = output / f"{name}.cdx.json"
        path.write_text(json.dumps(bom, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        print(f"{path}: {len(bom['components'])} components")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
