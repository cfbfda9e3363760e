"""The READMEs say what the code does: generated parts are up to date, and what they name is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import docs
import pytest


@pytest.mark.parametrize("page", docs.pages(), ids=lambda page: str(page.relative_to(docs.ROOT)))
def test_generated_parts_are_up_to_date(page: Path) -> None:
    assert docs.filled(page.read_text()) == page.read_text(), "run make docs"


@pytest.mark.parametrize("page", docs.pages(), ids=lambda page: str(page.relative_to(docs.ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_benchmark_named_in_the_readme_exists() -> None:
    named = set(re.findall(r"benchmarks/(\w+)", (docs.ROOT / "README.md").read_text()))
    assert named
    for name in named:
        assert (docs.ROOT / "benchmarks" / name / "__main__.py").exists(), name


_COMMANDS = [
    line
    for page in docs.pages()
    for kind, block in re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
    if not kind and line.startswith("skyfan ")
]


@pytest.mark.parametrize("line", _COMMANDS)
def test_commands_in_the_readmes_are_ones_that_there_are(line: str) -> None:
    _, name, *words = shlex.split(line, comments=True)
    try:
        with docs.main.commands[name].make_context(name, words):
            pass
    except click.UsageError as error:
        pytest.fail(error.format_message())
