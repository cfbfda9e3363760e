"""Extras: each import of an optional package is guarded, and the error names the command to install it."""

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

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
# What each command needs besides the bare install, in the order of their calls.
NEEDS: dict[str, extras.Extra | None] = {
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
    "collect default --output out --moc coverage.fits": "vo",
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

# What needs another extra first.
NEEDS_TOO: dict[str, extras.Extra | None] = {
    "match default --output out --to others --scheduler tcp://127.0.0.1:1": "dask",
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


@pytest.fixture(scope="module")
def bare(demo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[int, str]]]:
    """A folder in which all commands were called without any extra, and what each said."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "images").mkdir()
    (folder / "images/j8bt06nyq_flt.fits").symlink_to(demo_data / "j8bt06nyq_flt.fits")
    return folder, _run(NEEDS, list(extras.MODULES), folder)


def _check(extra: extras.Extra | None, words: str, code: int, text: str) -> None:
    if extra is None:
        assert code == 0, f"{words}: {text}"
    else:
        assert code == 2, f"{words}: {text}"
        assert f"pip install 'skyfan[{extra}]'" in text, f"{words}: {text}"


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(NEEDS)), ids=list(NEEDS))
def test_a_bare_command_works_or_names_what_to_install(
    bare: tuple[Path, list[tuple[int, str]]], number: int
) -> None:
    words, extra = list(NEEDS.items())[number]
    _check(extra, words, *bare[1][number])


@pytest.mark.slow
@pytest.mark.parametrize(
    "extra", [extra for extra in extras.MODULES if extra in (NEEDS | NEEDS_TOO).values()]
)
def test_with_all_other_extras_a_command_names_the_one_that_is_missing(
    bare: tuple[Path, list[tuple[int, str]]], tmp_path: Path, extra: extras.Extra
) -> None:
    shutil.copytree(bare[0], tmp_path, dirs_exist_ok=True, symlinks=True)
    wanted = [words for words, needed in (NEEDS | NEEDS_TOO).items() if needed == extra]
    for words, (code, text) in zip(wanted, _run(wanted, [extra], tmp_path), strict=True):
        _check(extra, words, code, text)


def _run(commands: Iterable[str], blocked: list[extras.Extra], folder: Path) -> list[tuple[int, str]]:
    (folder / "blocker").mkdir(exist_ok=True)
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
