"""Extras: each import of an optional package is guarded, and the error names the command to install it."""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standins.processes import SKYFAN

from skyfan import extras

REPO = Path(__file__).parents[2]
SOURCES = sorted((REPO / "invoke/skyfan").rglob("*.py"))
EXTRA_OF = {module: extra for extra, modules in extras.MODULES.items() for module in modules}

# Python runs a sitecustomize.py at its start: in the command, and in the worker processes that it starts.
BLOCKER = """
import os
from importlib.machinery import PathFinder

found = PathFinder.find_spec

def find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] in os.environ["BLOCKED"].split(",") else found(name, path, target)

PathFinder.find_spec = find_spec
"""
COMMANDS = """
import json, sys
from click.testing import CliRunner
from skyfan.cli import main

for words in json.loads(sys.argv[1]):
    done = CliRunner().invoke(main, words)
    text = done.output + ("" if isinstance(done.exception, SystemExit) else repr(done.exception))
    print(json.dumps([done.exit_code, text]))
"""
# What each command needs besides the bare install.
NEEDS = {
    "plan images --to plan.parquet": None,
    "plan --instrument WFC3/IR --to other.parquet": "mast",
    "run plan.parquet --output out --outputs preview": None,
    "run plan.parquet --engine aws": "aws",
    "status default --output out": None,
    "status default": "aws",
    "status default --output s3://bucket": "aws",
    "retry default --output out": None,
    "cancel default": "aws",
    "collect default --output out": None,
    "match default --output out --to objects --jobs 1": "match",
    "search default --output out --around '6.0304 -72.0813' --radius 5s": None,
    "costs default --output out": None,
    "costs default --output out --plot bill.svg": None,
    "report default --output out": None,
    "show images/j8bt06nyq_flt.fits": None,
    "show images/j8bt06nyq_flt.fits --cmap magma": "plot",
    "show s3://bucket/image.fits --access signed": "aws",
    "plan s3://bucket/images/ --access signed": "aws",
    "runs --output out": None,
    "deploy --yes": "aws",
    "stack copy copy": None,
    "completion bash": None,
    "demo --output demo": None,
    "doctor": None,
}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPO / "invoke")))
def test_imports_of_optional_packages_are_guarded(path: Path) -> None:
    found = list(_unguarded(ast.parse(path.read_text(encoding="utf-8")), None))
    assert not found, f"not in `with extras.needed(...)`: {found}"


def _unguarded(node: ast.AST, extra: str | None) -> Iterator[str]:
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.With):
        for item in node.items:
            if guard := re.fullmatch(r"extras\.needed\('(\w+)'\)", ast.unparse(item.context_expr)):
                extra = guard[1]
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    if isinstance(node, ast.ImportFrom) and not node.level:
        names = [node.module or ""]
    for name in names:
        of = "aws" if name == "obstore.auth.boto3" else EXTRA_OF.get(name.partition(".")[0])
        if of != extra and of:
            yield name
    for child in ast.iter_child_nodes(node):
        yield from _unguarded(child, extra)


def test_the_extras_are_those_of_the_package() -> None:
    optional = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {extra: {re.split(r"[><=[]", line)[0] for line in optional[extra]} for extra in extras.MODULES}
    # All that a user of results needs; containers are for those who change functions.
    users = [extra for extra in extras.MODULES if extra != "sam"]
    assert optional["all"] == [f"skyfan[{','.join(users)}]"]
    for extra, packages in named.items():
        assert packages <= set(extras.MODULES[extra])


@pytest.mark.parametrize(
    "blocked",
    [
        pytest.param(["aws", "mast", "plot"], id="bare", marks=pytest.mark.slow),
        *(pytest.param([extra], id=f"no-{extra}", marks=pytest.mark.slow) for extra in extras.MODULES),
    ],
)
def test_a_command_works_or_names_what_to_install(
    blocked: list[extras.Extra], demo_data: Path, tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/j8bt06nyq_flt.fits").symlink_to(demo_data / "j8bt06nyq_flt.fits")
    wanted = {words: extra for words, extra in NEEDS.items() if extra is None or extra in blocked}
    for (words, extra), (code, text) in zip(wanted.items(), _run(wanted, blocked, tmp_path), strict=True):
        if extra is None:
            assert code == 0, f"{words}: {text}"
        else:
            assert code == 2, f"{words}: {text}"
            assert f"pip install 'skyfan[{extra}]'" in text, f"{words}: {text}"


def _run(commands: dict[str, Any], blocked: list[extras.Extra], folder: Path) -> list[tuple[int, str]]:
    (folder / "blocker").mkdir()
    (folder / "blocker/sitecustomize.py").write_text(BLOCKER)
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, json.dumps([shlex.split(words) for words in commands])],
        cwd=folder,
        env={
            **os.environ,
            "HOME": str(folder),
            "PYTHONPATH": f"{folder / 'blocker'}{os.pathsep}{SKYFAN}",
            "BLOCKED": ",".join(module for extra in blocked for module in extras.MODULES[extra]),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def test_a_mistake_of_skyfans_own_is_not_taken_for_a_missing_extra() -> None:
    with pytest.raises(ModuleNotFoundError), extras.needed("aws"):
        raise ModuleNotFoundError("No module named 'skyfan.nothing'", name="skyfan.nothing")
