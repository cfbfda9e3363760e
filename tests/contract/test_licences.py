"""The licences of all locked packages, as their metadata name them, against requirements/licences.toml."""

import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPO = Path(__file__).parents[2]
TABLE = tomllib.loads((REPO / "requirements/licences.toml").read_text())
ALLOWED, NAMES, EXCEPTIONS = set(TABLE["allowed"]), TABLE["names"], TABLE["packages"]
LOCKS = {path.stem: path for path in sorted((REPO / "requirements").glob("*.txt"))}
LOCKS["astro"] = REPO / "layers/astro/requirements.txt"

# Each in an environment of its own; CI makes them all.
TOOLS = {"audit", "awscli", "checkov", "docs", "sam", "sbom"}


def _locked(lock: Path) -> Iterator[Requirement]:
    for line in re.findall(r"^[\w.-]+==[^\\\n]+", lock.read_text(), re.MULTILINE):
        yield Requirement(line)


def _is_used(requirement: Requirement) -> bool:
    """Whether this Python installs it on Linux or macOS."""
    systems = ({"sys_platform": "linux"}, {"sys_platform": "darwin", "platform_system": "Darwin"})
    return requirement.marker is None or any(requirement.marker.evaluate(system) for system in systems)


def _environment(lock: str) -> dict[str, Distribution]:
    """What is installed of a lock, by name: in an environment of its own, or else in the one of the tests."""
    own = REPO / ".venv" / lock
    folders = [str(path) for path in own.glob("lib/python*/site-packages")] or sys.path
    return {canonicalize_name(each.name): each for each in distributions(path=folders)}


def licence(package: Distribution) -> str:
    """SPDX expression of a package: as it writes one, or by its classifiers, or by its field License.

    Classifiers do not say whether "and" or "or" is between them: all of them must then be allowed.
    """
    fields = package.metadata
    if expression := fields.get("License-Expression"):
        return canonicalize_license_expression(expression)
    classifiers = [c for c in fields.get_all("Classifier", []) if c.startswith("License :: ")]
    names = [c.split(" :: ")[-1] for c in classifiers] or [fields.get("License") or "none"]
    try:
        return canonicalize_license_expression(names[0])
    except InvalidLicenseExpression:
        return " AND ".join(dict.fromkeys(NAMES.get(name, f"'{name[:60]}'") for name in names))


def objection(lock: str, name: str, package: Distribution | None) -> str | None:
    """Why a package may not be in a lock, or None."""
    if exception := EXCEPTIONS.get(name):
        if lock not in exception["locks"]:
            return f"{name}: {exception['licence']} is an exception for {', '.join(exception['locks'])}"
        return None
    if package is None:
        return f"{name} is not installed, and requirements/licences.toml does not name it"
    found = licence(package)
    identifiers = set(re.split(r" AND | OR ", found.replace("(", "").replace(")", "")))
    return None if identifiers <= ALLOWED else f"{name}: {found} is not in requirements/licences.toml"


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_an_allowed_licence(lock: str) -> None:
    installed = _environment(lock)
    if (
        lock in {"audit", "awscli", "checkov", "docs", "sam", "sbom"}
        and not (REPO / ".venv" / lock / ".made").exists()
    ):
        pytest.skip(f"not installed here: make .venv/{lock}/.made")
    names = {canonicalize_name(each.name) for each in _locked(LOCKS[lock]) if _is_used(each)}
    assert names
    found = [objection(lock, name, installed.get(name)) for name in sorted(names)]
    assert not [each for each in found if each]


class _Package:
    """A distribution with these fields."""

    def __init__(self, fields: dict[str, list[str]]) -> None:
        self.metadata = self
        self._fields = fields

    def get(self, name: str) -> str | None:
        return self._fields.get(name, [None])[0]

    def get_all(self, name: str, default: list[str]) -> list[str]:
        return self._fields.get(name, default)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"License": ["All rights reserved"]},
        {"License-Expression": ["MIT AND AGPL-3.0-only"]},
        {"Classifier": ["License :: OSI Approved :: MIT License", "License :: Other/Proprietary License"]},
        {"License": ["GPL-3.0-or-later"]},
    ],
)
def test_an_unknown_licence_is_refused_by_name(fields: dict[str, list[str]]) -> None:
    assert "new-package" in objection("dev", "new-package", _Package(fields))  # type: ignore[arg-type,operator]


def test_the_layer_may_not_hold_what_only_a_tool_may() -> None:
    gpl = [name for name, each in EXCEPTIONS.items() if re.search(r"\bGPL", each["licence"])]
    assert {"hpgeom", "docutils"} <= set(gpl)
    assert all(objection("astro", name, None) for name in gpl)


def test_no_exception_outlives_its_package() -> None:
    held = {lock: {canonicalize_name(each.name) for each in _locked(path)} for lock, path in LOCKS.items()}
    assert {(n, lock) for n, e in EXCEPTIONS.items() for lock in e["locks"] if n not in held[lock]} == set()
    here = _environment("dev")
    assert licence(here["sep"]) == EXCEPTIONS["sep"]["licence"]
    assert licence(here["hpgeom"]) == EXCEPTIONS["hpgeom"]["licence"]


def test_the_documented_licences_are_those_of_the_packages() -> None:
    page = (REPO / "docs/licences.md").read_text()
    installed = _environment("dev")
    wanted = {
        "The layer": {canonicalize_name(each.name) for each in _locked(LOCKS["astro"])},
        "The command line": {
            canonicalize_name(Requirement(each).name)
            for each in tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["dependencies"]
        },
    }
    for title, names in wanted.items():
        section = page.split(f"## {title}\n")[1].split("\n## ")[0]
        written = dict(re.findall(r"^\| ([a-z][a-z-]*) \| (.+?) \|$", section, re.MULTILINE))
        del written["package"]
        assert written.keys() == names
        for name, text in written.items():
            # "BSD" without a number is more exact on the page
            found = licence(installed[name]).replace("LicenseRef-BSD", "BSD-3-Clause")
            assert text == found, name
